"""All event types, one module a family."""

from trailhouse_schemas.events.attributes import AttributeChanged
from trailhouse_schemas.events.base import DecimalText, Event, Timestamp, event_name
from trailhouse_schemas.events.datasets import (
    CategoryCount,
    ColumnLineage,
    DatasetColumn,
    DatasetLogged,
    DatasetProfiled,
    Quantile,
)
from trailhouse_schemas.events.metrics import MetricPoint, MetricsLogged
from trailhouse_schemas.events.models import (
    ArtifactLogged,
    ModelFeature,
    ModelLogged,
    PreprocessingStep,
    SignatureField,
)
from trailhouse_schemas.events.permissions import AccessDecided, PermissionChanged
from trailhouse_schemas.events.resources import (
    CapacityReported,
    PriceSet,
    ResourcesAllocated,
    ResourcesReleased,
    ResourcesSampled,
    StepsTimed,
)
from trailhouse_schemas.events.runs import HeartbeatSent, ParametersLogged, RunFinished, RunStarted

__all__ = [
    "AccessDecided",
    "ArtifactLogged",
    "AttributeChanged",
    "CapacityReported",
    "CategoryCount",
    "ColumnLineage",
    "DatasetColumn",
    "DatasetLogged",
    "DatasetProfiled",
    "DecimalText",
    "Event",
    "HeartbeatSent",
    "MetricPoint",
    "MetricsLogged",
    "ModelFeature",
    "ModelLogged",
    "ParametersLogged",
    "PermissionChanged",
    "PreprocessingStep",
    "PriceSet",
    "Quantile",
    "ResourcesAllocated",
    "ResourcesReleased",
    "ResourcesSampled",
    "RunFinished",
    "RunStarted",
    "SignatureField",
    "StepsTimed",
    "Timestamp",
    "event_name",
]

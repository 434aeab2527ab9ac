"""Models and other artifacts: what a run made or used, and what it takes to make the same object again."""

from typing import Literal

from pydantic import Field

from trailhouse_schemas.events.base import Event, Fields

__all__ = ["ArtifactLogged", "ModelFeature", "ModelLogged", "PreprocessingStep", "SignatureField"]


class SignatureField(Fields):
    """One field of what goes into a model or comes out of it."""

    name: str = Field(description="Name of the field.")
    type: str = Field(default="", description="Its type, in Arrow's words.")
    shape: list[int] = Field(default_factory=list, description="Shape of one value; -1 where any length will do.")


class PreprocessingStep(Fields):
    """One step on the way from columns to features."""

    path: str = Field(description="Dotted path of the step: names of the pipelines and transformers that hold it.")
    class_name: str = Field(description="Fully qualified class.")
    settings: dict[str, str] = Field(default_factory=dict, description="JSON value of each setting, by name.")
    input_columns: list[str] = Field(default_factory=list, description="Columns that go in.")
    output_columns: list[str] = Field(default_factory=list, description="Columns that come out.")
    fitted_digest: str = Field(default="", description="Digest of what the step learnt from data (sha256:…).")


class ModelFeature(Fields):
    """A feature that a model was trained on."""

    name: str = Field(description="Name of the feature.")
    source_dataset_id: str = Field(default="", description="The dataset that it comes from.")
    source_column: str = Field(default="", description="The column that it comes from.")
    importance: float | None = Field(default=None, description="Its importance, where known.")
    importance_method: str = Field(default="", description="How the importance was measured (gain, weight, …).")


class ModelLogged(Event):
    """A run made a model."""

    model_id: str = Field(description="The model (UUIDv7).")
    name: str = Field(default="", description="Name, the same for all versions of one model.")
    version: str = Field(default="", description="Version of the model.")
    framework: str = Field(default="", description="sklearn, xgboost, torch, …")
    framework_version: str = Field(default="", description="Version of the framework.")
    class_name: str = Field(
        default="", description="Fully qualified class of the model (of a pipeline: its last step)."
    )
    arguments: dict[str, str] = Field(
        default_factory=dict, description="JSON value of each constructor argument that re-creates the object, by name."
    )
    uri: str = Field(default="", description="Where the model is kept.")
    digest: str = Field(default="", description="Digest of the stored model (sha256:…).")
    size_bytes: int | None = Field(default=None, description="Size of the stored model.")
    requirements: list[str] = Field(default_factory=list, description="Distributions it needs, as name==version.")
    input_signature: list[SignatureField] = Field(default_factory=list, description="What goes in.")
    output_signature: list[SignatureField] = Field(default_factory=list, description="What comes out.")
    preprocessing: list[PreprocessingStep] = Field(
        default_factory=list, description="The steps before the model, in order, nested ones by dotted path."
    )
    features: list[ModelFeature] = Field(default_factory=list, description="Features, in the model's order.")
    step: int | None = Field(default=None, description="Step of the training loop at which it was logged.")


class ArtifactLogged(Event):
    """A run wrote or read a file or directory that is neither a dataset nor a model."""

    name: str = Field(description="Name of the artifact.")
    version: str = Field(default="", description="Version of the artifact.")
    kind: str = Field(default="", description="checkpoint, plot, report, log, …")
    uri: str = Field(default="", description="Where it is.")
    digest: str = Field(default="", description="Digest of its content (sha256:…).")
    size_bytes: int | None = Field(default=None, description="Size in bytes.")
    direction: Literal["input", "output"] = Field(default="output", description="input or output.")
    step: int | None = Field(default=None, description="Step of the training loop at which it was logged.")

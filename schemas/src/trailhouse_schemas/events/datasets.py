"""Datasets: which data a run read or wrote, how it was split, and what its columns look like."""

from typing import Literal

from pydantic import Field

from trailhouse_schemas.events.base import Event, Fields, Timestamp

__all__ = [
    "CategoryCount",
    "ColumnLineage",
    "DatasetColumn",
    "DatasetLogged",
    "DatasetProfiled",
    "Quantile",
]


class DatasetColumn(Fields):
    """A column of a dataset."""

    name: str = Field(description="Name of the column.")
    type: str = Field(default="", description="Its type, in Arrow's words (int64, double, string, …).")
    role: str = Field(default="", description="feature, target, weight, id, prediction, or empty where unknown.")


class ColumnLineage(Fields):
    """Which columns a column of an output was made of."""

    column: str = Field(description="Name of the output's column.")
    sources: list[str] = Field(description="Columns it was made of, each as dataset_id#column.")


class DatasetLogged(Event):
    """A run read or wrote a dataset, or a part of it."""

    direction: Literal["input", "output"] = Field(description="input (the run read it) or output (the run wrote it).")
    uri: str = Field(default="", description="Where the data is.")
    dataset_id: str = Field(description="The dataset: namespace and name, as namespace/name.")
    version: str = Field(default="", description="The dataset's own version, where it has one.")
    digest: str = Field(default="", description="Digest of the data (algorithm:hexadecimal digits).")
    digest_scope: str = Field(
        default="", description="What the digest covers: content, file, metadata, or empty where there is none."
    )
    format: str = Field(default="", description="csv, parquet, pandas, numpy, …")
    rows: int | None = Field(default=None, description="Number of rows.")
    size_bytes: int | None = Field(default=None, description="Size in bytes, in memory or on disk.")
    columns: list[DatasetColumn] = Field(default_factory=list, description="The columns, in order.")
    split: str = Field(default="", description="train, validation, test, …, or empty for the whole.")
    split_scheme: str = Field(
        default="", description="How the split was made: hold-out, k-fold, stratified, group, time, …"
    )
    split_settings: dict[str, str] = Field(default_factory=dict, description="JSON value of each splitter setting.")
    split_seed: int | None = Field(default=None, description="Seed of the splitter.")
    split_fold: int | None = Field(default=None, description="Number of the fold, from 0.")
    split_membership_digest: str = Field(default="", description="Digest of the list of members of the split.")
    split_membership_uri: str = Field(default="", description="Where the list of members of the split is kept.")
    column_lineage: list[ColumnLineage] = Field(default_factory=list, description="Lineage of an output's columns.")


class Quantile(Fields):
    """A quantile of a numeric column."""

    probability: float = Field(description="Share of values at or below, from 0 to 1.")
    value: float = Field(description="The value.")


class CategoryCount(Fields):
    """How often a category occurs."""

    value: str = Field(description="The category, as text.")
    count: int = Field(description="Number of rows.")


class DatasetProfiled(Event):
    """Statistics of one column of one dataset version, or of one window of production data.

    Profiles of the shards of one dataset can be merged: counts, sums of squared deviations (`m2`, about the mean),
    counts over the same named edges, and the sample, which keeps the values with the smallest priorities (a uniform
    random sample without replacement; the union's smallest priorities are a sample of the union).
    """

    dataset_id: str = Field(description="The dataset: namespace and name, as namespace/name.")
    version: str = Field(default="", description="The dataset's own version.")
    digest: str = Field(default="", description="Digest of the data that was profiled.")
    split: str = Field(default="", description="Split of the data, or empty for the whole.")
    segment: dict[str, str] = Field(default_factory=dict, description="Part of the data that was profiled.")
    window_start: Timestamp | None = Field(default=None, description="Begin of the window of time, included.")
    window_end: Timestamp | None = Field(default=None, description="End of the window of time, excluded.")
    shard: int = Field(default=0, description="Number of the shard that this profile covers, from 0.")
    shards: int = Field(default=1, description="Number of shards that the data has.")
    revision: int = Field(default=0, description="A higher revision replaces the lower ones of the same window.")
    column: str = Field(description="Name of the column.")
    position: int = Field(default=0, description="Position of the column in the dataset, from 0.")
    type: str = Field(default="", description="Its type, in Arrow's words.")
    measure: Literal["numeric", "categorical"] = Field(description="How the column is profiled: numeric, categorical.")
    role: str = Field(default="", description="feature, target, weight, id, prediction, or empty where unknown.")
    rows: int = Field(description="Number of rows, missing ones included.", ge=0)
    nulls: int = Field(description="Number of missing values (null, and NaN of a numeric column).", ge=0)
    distinct: int | None = Field(default=None, description="Number of distinct values that are not missing.")
    min: float | None = Field(default=None, description="Smallest finite value.")
    max: float | None = Field(default=None, description="Largest finite value.")
    mean: float | None = Field(default=None, description="Mean of the finite values.")
    m2: float | None = Field(
        default=None, description="Sum of squared deviations of the finite values from their mean (Welford)."
    )
    infinities: int = Field(default=0, description="Number of infinite values.", ge=0)
    quantiles: list[Quantile] = Field(default_factory=list, description="Quantiles of the finite values.")
    edges_name: str = Field(default="", description="Name of the edges, the same for profiles that can be compared.")
    edges: list[float] = Field(
        default_factory=list, description="Edges e0 < … < en of the bins [e0, e1), …, [en-1, en]; in order."
    )
    counts: list[int] = Field(
        default_factory=list, description="Values below e0, in each bin, and above en: two more than there are bins."
    )
    top_categories: list[CategoryCount] = Field(default_factory=list, description="Most frequent categories, in order.")
    other_count: int = Field(default=0, description="Rows whose category is not among the top ones.", ge=0)
    sample: list[float] = Field(default_factory=list, description="Uniform random sample of the finite values.")
    sample_priorities: list[float] = Field(
        default_factory=list, description="Random priority of each sampled value, in (0, 1): the smallest are kept."
    )

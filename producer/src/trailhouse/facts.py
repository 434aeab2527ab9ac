"""What a run can say of its data, models and files. What it says is found out in the calling thread, and never raises.

The object may be another one a moment later, so it is looked at when it is logged; only writing waits for later.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from trailhouse.once import warn_once
from trailhouse_schemas import events

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from trailhouse.formed import Context

__all__ = ["RunFacts"]

T = TypeVar("T")


class RunFacts:
    """The methods of a run that look at things."""

    context: Context

    def emit(self, event: type[events.Event] | events.Event, /, **fields: Any) -> bool:
        """Record any event in this run; what is wrong with it is warned about. Return whether it was taken."""
        raise NotImplementedError

    def log_dataset(  # noqa: D417 - the rest is described where it is found out
        self,
        data: Any = None,
        dataset_id: str = "",
        *,
        direction: Literal["input", "output"] = "input",
        uri: str = "",
        version: str = "",
        digest: str | None = None,
        roles: Mapping[str, str] | None = None,
        split: str = "",
        splitter: Any = None,
        fold: int | None = None,
        members: Any = None,
        members_uri: str = "",
        lineage: Mapping[str, Sequence[str]] | None = None,
    ) -> str:
        """Record that the run read or wrote a dataset, or a part of it; return the data's digest ("" for none).

        Args:
            data: what is in memory (pandas, Polars, Arrow, NumPy, a pair (X, y), …), a path, a URI, or None. All other
                arguments as in `trailhouse.capture.datasets.describe_dataset`.
            dataset_id: the dataset, as namespace/name; a name alone is put into the project's namespace, and a path
                has its own name.
        """
        from trailhouse.capture.datasets import describe_dataset  # noqa: PLC0415 - only who logs data

        fields = self._found(
            lambda: describe_dataset(
                data,
                dataset_id=self._dataset_id(data, dataset_id),
                direction=direction,
                uri=uri,
                version=version,
                digest=digest,
                roles=roles,
                split=split,
                splitter=splitter,
                fold=fold,
                members=members,
                members_uri=members_uri,
                lineage=lineage,
            )
        )
        if fields is None:
            return ""
        self.emit(events.DatasetLogged, **fields)
        return str(fields["digest"])

    def profile_dataset(  # noqa: D417 - the rest is described where it is found out
        self,
        data: Any,
        dataset_id: str = "",
        *,
        version: str = "",
        digest: str = "",
        split: str = "",
        segment: Mapping[str, str] | None = None,
        window_start: datetime | None = None,
        window_end: datetime | None = None,
        shard: int = 0,
        shards: int = 1,
        revision: int = 0,
        roles: Mapping[str, str] | None = None,
        columns: Collection[str] | None = None,
        categorical: Collection[str] = (),
        edges: Mapping[str, Sequence[float]] | None = None,
        reference: Iterable[Any] | None = None,
        seed: int = 0,
    ) -> list[dict[str, Any]]:
        """Record statistics of each column of data in memory; return them, as a `reference` for later profiles.

        Args:
            data: pandas, Polars, Arrow, NumPy, a mapping of columns, … All other arguments as in
                `trailhouse.capture.profiles.profile_dataset`.
            dataset_id: the dataset, as namespace/name; a name alone is put into the project's namespace.
        """
        try:
            from trailhouse.capture.profiles import profile_dataset  # noqa: PLC0415 - needs NumPy
        except ImportError as error:
            warn_once(f"data cannot be profiled ({error}); install trailhouse[profiles]")
            return []
        profiles = self._found(
            lambda: profile_dataset(
                data,
                dataset_id=self._dataset_id(data, dataset_id),
                version=version,
                digest=digest,
                split=split,
                segment=segment,
                window_start=window_start,
                window_end=window_end,
                shard=shard,
                shards=shards,
                revision=revision,
                roles=roles,
                columns=columns,
                categorical=categorical,
                edges=edges,
                reference=reference,
                seed=seed,
            )
        )
        for fields in profiles or []:
            self.emit(events.DatasetProfiled, **fields)
        return profiles or []

    def log_model(  # noqa: D417 - the rest is described where it is found out
        self,
        model: Any,
        name: str = "",
        *,
        model_id: str = "",
        version: str = "",
        path: str | os.PathLike[str] | None = None,
        uri: str = "",
        step: int | None = None,
        preprocessing: Any = None,
        example: Any = None,
        dataset_id: str = "",
        arguments: Mapping[str, Any] | None = None,
        features: Sequence[str] | None = None,
        importances: Mapping[str, float] | None = None,
        requirements: Iterable[str] | None = None,
        framework: str = "",
        framework_version: str = "",
        class_name: str = "",
    ) -> str:
        """Record a model; return its id, for `log(…, model_id=…)`.

        Args:
            model: a fitted pipeline or estimator says all of itself, any other object its class. All other arguments
                as in `trailhouse.capture.models.describe_model`.
            name: its name, the same for all versions.
            model_id: the model; a new UUIDv7 by default.
        """
        from trailhouse.capture.models import describe_model  # noqa: PLC0415 - only who logs models
        from trailhouse.recorder import new_id  # noqa: PLC0415

        model_id = model_id or new_id()
        fields = self._found(
            lambda: describe_model(
                model,
                model_id=model_id,
                name=name,
                version=version,
                path=path,
                uri=uri,
                step=step,
                preprocessing=preprocessing,
                example=example,
                dataset_id=self._dataset_id(None, dataset_id) if dataset_id else "",
                arguments=arguments,
                features=features,
                importances=importances,
                requirements=requirements,
                framework=framework,
                framework_version=framework_version,
                class_name=class_name,
            )
        )
        if fields is not None:
            self.emit(events.ModelLogged, **fields)
        return model_id

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        name: str = "",
        *,
        version: str = "",
        kind: str = "",
        uri: str = "",
        direction: Literal["input", "output"] = "output",
        step: int | None = None,
    ) -> str:
        """Record a file or a directory that the run wrote or read; return its digest ("" where it was not read).

        Args:
            path: on this machine, or a URI of something elsewhere, which is not read.
            name: the last part of the path by default.
            version: the artifact's own version.
            kind: checkpoint, plot, log, …
            uri: where it is kept, if not at `path`.
            direction: output (the run wrote it) or input (the run read it).
            step: of the training loop.
        """
        from trailhouse.capture.artifacts import describe_artifact  # noqa: PLC0415 - only who logs artifacts

        fields = self._found(
            lambda: describe_artifact(
                path, name=name, version=version, kind=kind, uri=uri, direction=direction, step=step
            )
        )
        if fields is None:
            return ""
        self.emit(events.ArtifactLogged, **fields)
        return str(fields["digest"])

    def _found(self, describe: Callable[[], T]) -> T | None:
        try:
            return describe()
        except Exception as error:  # noqa: BLE001 - whatever the user's object did, the training goes on
            warn_once(f"{error or type(error).__name__}")
            return None

    def _dataset_id(self, data: Any, dataset_id: str) -> str:
        text = str(dataset_id)
        if not text and isinstance(data, str | os.PathLike):
            text = os.fspath(data).rstrip("/").rpartition("/")[2].partition(".")[0]
        text = text or "dataset"
        return text if "/" in text else f"{self.context.project or 'default'}/{text}"

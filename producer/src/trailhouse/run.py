"""One run, as a training script sees it. Nothing here raises into the script once the run has begun.

Numbers go into the recorder's ring at once. What has to be found out (the digest of data, the steps of a pipeline) is
found out in the calling thread, because the object may be another one a moment later.
"""

from __future__ import annotations

import os
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from trailhouse.capture.json_values import as_json_text
from trailhouse.capture.values import as_parameters, as_points
from trailhouse.facts import RunFacts
from trailhouse.formed import Record, as_segment, as_step, as_text
from trailhouse.making import make_record
from trailhouse.once import warn_once
from trailhouse.ring import NO_STEP, SLOT_BYTES, RingFullError
from trailhouse.run_resources import RunResources
from trailhouse_schemas import events

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from trailhouse.allocations import Allocation
    from trailhouse.formed import Context
    from trailhouse.recorder import Recorder
    from trailhouse.sampler import Sampler
    from trailhouse.steps import StepTimer

__all__ = ["Run"]

#: Metrics of these types need no look before they are copied: nobody can change them later.
_PLAIN: Final = frozenset((float, int, bool))
#: A call of log lasts less than 2^62 ns.
_MOST_BITS: Final = 63

#: How long the end of a run waits for what RunStarted says: git alone may take 2 seconds.
_LONGEST_CAPTURE_SECONDS: Final = 10.0

Status = Literal["completed", "failed", "cancelled", "timeout", "preempted", "node_fail", "out_of_memory"]


class Run(RunFacts, RunResources):
    """One attempt of one run, in one of its processes. Made by `trailhouse.start_run`; a context manager."""

    def __init__(self, context: Context, recorder: Recorder, *, close: Callable[[Run, float | None], None]) -> None:
        """Take what `start_run` has found out; `close` is called once, when the run has finished."""
        self.context = context
        self.recorder = recorder
        self._close = close
        #: Finds out what RunStarted says, in rank 0.
        self.capture: threading.Thread | None = None
        self.sampler: Sampler | None = None
        self.allocations: list[Allocation] = []
        self._timers: list[StepTimer] = []
        self._owner = os.getpid()
        #: Calls of log by the bits of the nanoseconds that they took. Two threads at once may count one call for two.
        self._durations = [0] * _MOST_BITS
        self._open = True

    @property
    def run_id(self) -> str:
        """The run's id: the same in all its processes."""
        return self.context.run_id

    @property
    def rank(self) -> int:
        """Rank of this process, from 0."""
        return self.context.rank

    @property
    def world_size(self) -> int:
        """Number of processes of the run."""
        return self.context.world_size

    @property
    def attempt(self) -> int:
        """Restart of the run, from 0."""
        return self.context.attempt

    @property
    def producer_id(self) -> str:
        """The producer that this process is; another one in a forked child."""
        return self.recorder.producer_id

    def __repr__(self) -> str:
        """Say which run and which of its processes."""
        return f"Run({self.run_id!r}, rank={self.rank}, world_size={self.world_size}, attempt={self.attempt})"

    # The hot path: measured by bench/, keep it flat.

    def log(  # noqa: PLR0917 - a call by position is faster, and reads well up to the step
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        split: str = "",
        dataset_digest: str = "",
        model_id: str = "",
        segment: Mapping[str, str] | None = None,
    ) -> None:
        """Record metrics: never waits, never raises.

        Args:
            metrics: number by name. Tensors and arrays of one element, NumPy scalars and nested mappings will do; NaN
                and infinities are values. What is no number is left out, with one warning that names it.
            step: step of the training loop.
            split: split of the data that was measured on: train, validation, test, …
            dataset_digest: digest of the dataset that was measured on.
            model_id: the model that was measured.
            segment: part of the data that was measured on, such as {"country": "NL"}.
        """
        at_ns = monotonic_ns()
        slot = -1
        try:
            for value in metrics.values():
                if type(value) not in _PLAIN:
                    raise TypeError  # noqa: TRY301 - to the way that looks closely
            ring = self.recorder.ring
            pack, number = ring.shapes[self, split, dataset_digest, model_id, *metrics]
            if step is None:
                step = NO_STEP
            elif type(step) is not int:
                raise TypeError  # noqa: TRY301
            if segment is not None or not self._open:
                raise TypeError  # noqa: TRY301
            slot = next(ring.slots, -1)
            if slot < 0:
                slot = ring.take()
            place = ring.first + slot % ring.capacity * SLOT_BYTES
            pack(ring.memory, place, at_ns, step, number, *metrics.values(), slot + 1)
            self._durations[(monotonic_ns() - at_ns).bit_length()] += 1
        except BaseException as error:  # noqa: BLE001 - whatever was handed in, the training loop goes on
            self._log_slowly(error, slot, at_ns, metrics, step, split, dataset_digest, model_id, segment)

    def _log_slowly(  # noqa: PLR0917 - see log
        self,
        error: BaseException,
        slot: int,
        at_ns: int,
        metrics: Any,
        step: Any,
        split: Any,
        digest: Any,
        model_id: Any,
        segment: Any,
    ) -> None:
        if slot >= 0:
            self.recorder.ring.void(slot)
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, RingFullError):
            self.recorder.drop(len(metrics))
            self._durations[(monotonic_ns() - at_ns).bit_length()] += 1
            return
        if not self._open:
            warn_once(
                f"run {self.run_id} is finished; what is logged to it is not recorded", key=("finished", self.run_id)
            )
            return
        try:
            self._log_closely(at_ns, metrics, step, split, digest, model_id, segment)
        except Exception as wrong:  # noqa: BLE001 - whatever was handed in, the training loop goes on
            warn_once(f"a call of log cannot be recorded ({type(wrong).__name__}: {wrong})")
        self._durations[(monotonic_ns() - at_ns).bit_length()] += 1

    def _log_closely(  # noqa: PLR0917 - see log
        self, at_ns: int, metrics: Any, step: Any, split: Any, digest: Any, model_id: Any, segment: Any
    ) -> None:
        points, refused = as_points(metrics)
        for name, reason in refused:
            warn_once(f"metric {name!r} {reason}; it is not recorded", key=("metric", name, reason))
        common = {
            "split": as_text(split, "split"),
            "dataset_digest": as_text(digest, "dataset_digest"),
            "model_id": as_text(model_id, "model_id"),
            "segment": as_segment(segment),
        }
        key = None
        if not (refused or segment) and [split, digest, model_id] == list(common.values())[:3]:
            key = (self, split, digest, model_id, *metrics) if tuple(metrics) == tuple(n for n, _ in points) else None
        if points:
            given = as_step(None if step is NO_STEP else step)
            self.recorder.log(key, self.context, points, at_ns=at_ns, step=given, common=common)

    def leave_metrics_out(self) -> None:
        """Record no metrics from now on, those of rank 0 are enough: takes the place of `log`, which is not slowed."""
        self.log = _record_nothing  # type: ignore[method-assign]

    # Facts that are rarer than metrics.

    def log_params(self, parameters: Any) -> None:
        """Record hyper-parameters: a mapping, dataclass, namespace or pydantic model; nested ones get dotted names."""
        found, refused = as_parameters(parameters)
        for name, reason in refused:
            warn_once(f"parameter {name!r} {reason}; it is not recorded", key=("parameter", name, reason))
        if found:
            self.emit(events.ParametersLogged, parameters=found)

    def set_tag(self, name: str, value: Any = True, *, reason: str = "") -> None:
        """Set an attribute of the run, which may be changed again later by anybody who may."""
        self._change_attribute(str(name), "set", value, reason)

    def note(self, text: str) -> None:
        """Add a note to the run."""
        self._change_attribute("note", "add", str(text), "")

    def _change_attribute(self, attribute: str, operation: str, value: Any, reason: str) -> None:
        self.emit(
            events.AttributeChanged,
            entity_kind="run",
            entity_id=self.run_id,
            attribute=attribute,
            operation=operation,
            value=as_json_text(value),
            reason=reason,
        )

    def emit(self, event: type[events.Event] | events.Event, /, **fields: Any) -> bool:
        """Record any event in this run; what is wrong with it is warned about. Return whether it was taken."""
        try:
            return self.append(make_record(event, fields, self.context))
        except Exception as error:  # noqa: BLE001 - the training goes on
            warn_once(str(error) or type(error).__name__)
            return False

    def append(self, record: Record) -> bool:
        """Hand over a record that was made already; return whether the run still takes any."""
        if self._open:
            self.recorder.append(record)
        else:
            warn_once(
                f"run {self.run_id} is finished; what is logged to it is not recorded", key=("finished", self.run_id)
            )
        return self._open

    # The end.

    def finish(
        self,
        status: Status = "completed",
        *,
        exit_code: int | None = None,
        error: BaseException | None = None,
        timeout: float | None = None,
        reported_by: str = "producer",
    ) -> None:
        """End the run: write what is left, and wait for the forwarder, at most `timeout` seconds.

        Rank 0 says how the run ended, the others only when they did not complete. In a forked child the run is not
        ended, only the child's part of it is written. Calling it again does nothing.

        Args:
            status: completed, failed, cancelled, timeout, preempted, node_fail or out_of_memory.
            exit_code: exit code of the process, where it is known.
            error: the error that ended the run.
            timeout: seconds to wait; TRAILHOUSE_FINISH_TIMEOUT_SECONDS (30) by default.
            reported_by: who says so: producer, launcher or scheduler.
        """
        if not self._open:
            return
        owner = os.getpid() == self._owner
        if owner and self.capture is not None:
            self.capture.join(_LONGEST_CAPTURE_SECONDS)
        if owner:
            self._end_what_is_open(status)
        if owner and (self.rank == 0 or status != "completed"):
            self.emit(
                events.RunFinished,
                status=status,
                exit_code=exit_code,
                error_type=""
                if error is None
                else f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
                error_message="" if error is None else str(error)[:10_000],
                reported_by=reported_by,
                log_calls_by_duration=self._durations[: self._last_duration() + 1],
            )
        self._open = False
        self._close(self, timeout)

    def _last_duration(self) -> int:
        return max((bits for bits, calls in enumerate(self._durations) if calls), default=-1)

    def __enter__(self) -> Self:
        """Return the run itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run as the block ended; the exception goes on its way."""
        status, exit_code = _ending(error)
        said = None if isinstance(error, SystemExit) and status == "completed" else error
        self.finish(status, exit_code=exit_code, error=said)


def _record_nothing(*_: Any, **__: Any) -> None:
    pass


def _ending(error: BaseException | None) -> tuple[Status, int | None]:
    """Return status and exit code of a block that was left with `error`."""
    if error is None:
        return "completed", None
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        return ("completed" if code == 0 else "failed"), code
    if isinstance(error, KeyboardInterrupt):
        return "cancelled", 130
    if isinstance(error, MemoryError):
        return "out_of_memory", 1
    return "failed", 1

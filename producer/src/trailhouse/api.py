"""What `import trailhouse` offers, behind its light front: starting runs, emitting events, and ending it all at exit.

Runs of one process that go to the same place share one recorder. It ends with the last of them, or with the process.
"""

from __future__ import annotations

import atexit
import getpass
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from trailhouse.announcement import announce
from trailhouse.errors import InvalidRunError
from trailhouse.formed import Context
from trailhouse.forwarding import wait_until_forwarded
from trailhouse.identity import find_place
from trailhouse.making import make_record
from trailhouse.once import warn_once
from trailhouse.recorder import Recorder, new_id
from trailhouse.run import Run
from trailhouse.sampler import Sampler
from trailhouse.settings import MetricsFrom, ProducerSettings
from trailhouse_schemas.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trailhouse.forwarding import ForwarderThread
    from trailhouse.identity import Place
    from trailhouse_schemas.events.base import Event

__all__ = ["current_run", "emit", "finish_all", "start_run"]


class _Process:
    """All that this process has open."""

    lock = threading.RLock()
    recorders: Final[dict[tuple[str, str, bool], Recorder]] = {}
    forwarders: Final[dict[Recorder, ForwarderThread]] = {}
    runs: Final[list[Run]] = []
    #: Runs that were started without a name of their own.
    unnamed = 0


def start_run(
    *,
    project: str | None = None,
    name: str = "",
    params: Any = None,
    group: str = "",
    kind: str = "train",
    run_id: str | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    attempt: int | None = None,
    metrics_from: MetricsFrom | None = None,
    parent_run_id: str = "",
    resumed_from: str = "",
    seeds: Mapping[str, int] | None = None,
    parallelism: Mapping[str, int] | None = None,
    principal: str | None = None,
    spool: str | os.PathLike[str] | None = None,
    kafka: str | None = None,
    command: Sequence[str] | None = None,
) -> Run:
    """Begin a run in this process, or join it as one of its ranks; use it as a context manager or call `finish`.

    Args:
        project: the project; TRAILHOUSE_PROJECT by default.
        name: the run's name, for people.
        params: hyper-parameters; the same as `run.log_params(params)`, by rank 0.
        group: what the run belongs to, such as a sweep.
        kind: train, sweep, serve, transform or evaluate.
        run_id: the run; found out from the launcher or made up by default, see `trailhouse.identity`.
        rank: rank of this process, from 0; TRAILHOUSE_RANK or from the launcher by default.
        world_size: number of processes; TRAILHOUSE_WORLD_SIZE or from the launcher by default.
        attempt: restart of the run, from 0; TRAILHOUSE_ATTEMPT or from the launcher by default.
        metrics_from: "every rank", or "rank 0": the others record all but metrics; TRAILHOUSE_METRICS_FROM by default.
        parent_run_id: the run that started this one.
        resumed_from: the run whose checkpoint this one goes on from.
        seeds: random seeds by what they seed.
        parallelism: degree of each kind of parallelism.
        principal: who this run acts for; TRAILHOUSE_PRINCIPAL or the user of the process by default.
        spool: directory of the spools; TRAILHOUSE_SPOOL by default.
        kafka: bootstrap servers; TRAILHOUSE_KAFKA by default; empty: events stay in the spool.
        command: the command line of what runs, where that is another process than this one.

    Raises:
        InvalidRunError: an argument is not what it may be.
        SettingsError: spool, kafka, project or principal is of a wrong type. What is wrong among the settings is
            warned about, and goes by its default.
    """
    settings = ProducerSettings.read_or_warn(
        spool=None if spool is None else Path(spool), kafka=kafka, project=project, principal=principal
    )
    if kind not in _KINDS:
        raise InvalidRunError(f"Argument kind is {kind!r}; it may be {', '.join(_KINDS)}")
    if metrics_from not in {None, *get_args(MetricsFrom)}:
        raise InvalidRunError(
            f"Argument metrics_from is {metrics_from!r}; it may be {', '.join(get_args(MetricsFrom))}"
        )
    with _Process.lock:
        place = _place(settings, run_id, rank, world_size, attempt)
        if not run_id:
            _Process.unnamed += 1
        if place.world_size > 1 and not place.agreed:
            warn_once(
                "the ranks of this job cannot know that they are one run, each is one of its own; "
                "set TRAILHOUSE_RUN_ID to the same for all, or give run_id"
            )
        context = Context(
            settings.project, place.run_id, place.attempt, place.rank, place.world_size, _host(), _principal(settings)
        )
        recorder = _recorder(settings)
        recorder.opened(context)
        run = Run(context, recorder, close=_close)
        if place.rank and (metrics_from or settings.metrics_from) == "rank 0":
            run.leave_metrics_out()
        _Process.runs.append(run)
    recorder.start()
    if settings.sample_interval_seconds:
        run.sampler = Sampler(settings.sample_interval_seconds, run.emit, run.allocations, os.environ)
        run.sampler.start()
    if place.rank == 0:
        own = {
            "name": name,
            "group": group,
            "kind": kind,
            "parent_run_id": parent_run_id,
            "resumed_from": resumed_from,
            "parallelism": dict(parallelism or {}),
        }
        announce(run, own, seeds, command)
        if params is not None:
            run.log_params(params)
    return run


def _place(
    settings: ProducerSettings, run_id: str | None, rank: int | None, world_size: int | None, attempt: int | None
) -> Place:
    """Return the place of this process; call with the lock. Settings that do not fit are warned about, and left out."""

    def find(told_rank: int | None, told_size: int | None) -> Place:
        return find_place(
            os.environ,
            new_run_id=new_id(),
            ordinal=_Process.unnamed,
            run_id=run_id or settings.run_id or None,
            rank=told_rank if rank is None else rank,
            world_size=told_size if world_size is None else world_size,
            attempt=settings.attempt if attempt is None else attempt,
        )

    try:
        return find(settings.rank, settings.world_size)
    except InvalidRunError as error:
        if settings.rank is None and settings.world_size is None:
            raise
        place = find(None, None)
        warn_once(f"{error}, in TRAILHOUSE_RANK and TRAILHOUSE_WORLD_SIZE too; going on without these")
        return place


_KINDS: Final = ("train", "sweep", "serve", "transform", "evaluate")


def current_run() -> Run | None:
    """Return the run that was started last in this process and is open; None when there is none."""
    with _Process.lock:
        return _Process.runs[-1] if _Process.runs else None


def emit(event: type[Event] | Event, /, **fields: Any) -> None:
    """Record any event, within the run that is open or outside of all.

    Control facts (prices, permissions, attributes, capacity) stay in a spool that is retained, in HOME/control, where
    no Kafka is configured, whether or not a run is open.

    Args:
        event: a class of `trailhouse_schemas.events`, or an event.
        fields: its own fields, and those of the envelope that are to be other than the process's.

    Raises:
        InvalidEventError: the fields do not make an event of this type.
    """
    run = current_run()
    settings = ProducerSettings.read_or_warn() if run is None else run.recorder.settings
    record = make_record(event, fields, _outside(settings) if run is None else run.context)
    control = CATALOGUE[record.event_type].control and not settings.kafka
    if run is not None and not control:
        run.append(record)
        return
    with _Process.lock:
        _recorder(settings, control=control).append(record)


def finish_all(timeout: float | None = None) -> None:
    """End all that is open in this process: runs as they stand, then what was emitted outside of them."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    for run in _Process.runs[::-1]:
        run.__exit__(type(error), error, None) if isinstance(error, BaseException) else run.finish(timeout=timeout)
    with _Process.lock:
        left = list(_Process.recorders.items())
    for key, recorder in left:
        _Process.recorders.pop(key, None)
        _stop(recorder, timeout)


def _recorder(settings: ProducerSettings, *, control: bool = False) -> Recorder:
    """Return the recorder for these settings, a new one where there is none; call with the lock."""
    directory = settings.control_directory if control else settings.spool_directory
    key = (str(directory), settings.kafka, control)
    recorder = _Process.recorders.get(key)
    if recorder is None or recorder.finished:
        recorder = Recorder(settings, directory, _outside(settings), retained=control)
        recorder.on_start = _at_exit
        if settings.kafka:
            recorder.on_spool = lambda path: _forward(recorder, path)
        _Process.recorders[key] = recorder
    return recorder


def _forward(recorder: Recorder, path: Path) -> None:
    """Publish a new spool from now on; called on the recorder's thread."""
    from trailhouse.forwarding import ForwarderThread  # noqa: PLC0415 - only where there is a Kafka

    thread = ForwarderThread(path, recorder.settings)
    _Process.forwarders[recorder] = thread
    thread.start()


def _close(run: Run, timeout: float | None) -> None:
    recorder = run.recorder
    with _Process.lock:
        if run in _Process.runs:
            _Process.runs.remove(run)
        last = not any(other.recorder is recorder for other in _Process.runs)
        if last:
            for key, known in list(_Process.recorders.items()):
                if known is recorder:
                    del _Process.recorders[key]
    if last:
        _stop(recorder, timeout)
    else:
        recorder.closed(run.context)


def _stop(recorder: Recorder, timeout: float | None) -> None:
    seconds = recorder.settings.finish_timeout_seconds if timeout is None else timeout
    deadline = time.monotonic() + seconds
    lost = recorder.stop(deadline)
    if lost and recorder.is_kept:
        warn_once(
            f"{lost:,} calls and events could not be written to {recorder.directory} in time; they are in "
            f"{recorder.ring.path} until this machine restarts, and the next run or 'trailhouse forward' writes them"
        )
    elif lost:
        warn_once(f"{lost:,} calls and events could not be written to {recorder.directory} and are lost")
    forwarder = _Process.forwarders.pop(recorder, None)
    left = 0
    if forwarder is not None:
        left = forwarder.finish(deadline)
    elif recorder.settings.kafka and recorder.spool_path is not None:
        left = wait_until_forwarded(recorder.spool_path, deadline, recorder.hear)
    if left:
        warn_once(f"{left:,} events are still in {recorder.directory}, not published; run 'trailhouse forward'")


def _outside(settings: ProducerSettings) -> Context:
    return Context(settings.project, "", 0, 0, 1, _host(), _principal(settings))


def _host() -> str:
    return socket.gethostname()


def _principal(settings: ProducerSettings) -> str:
    if settings.principal:
        return settings.principal
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid:{os.getuid()}"


def _at_exit() -> None:
    """See to it that what is open ends with the process; children of multiprocessing do not run atexit."""
    if _Hooks.process_id == os.getpid():
        return
    _Hooks.process_id = os.getpid()
    atexit.unregister(finish_all)
    atexit.register(finish_all)
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, finish_all, exitpriority=1)


class _Hooks:
    process_id = 0


def _in_child() -> None:
    _Process.lock = threading.RLock()
    _Process.forwarders.clear()


os.register_at_fork(after_in_child=_in_child)

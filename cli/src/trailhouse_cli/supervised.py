"""Runs a command as if nothing stood before it: its own terminal, the signals that it is sent, its exit code.

Signals are taken one by one by the thread that waits for the command, not by handlers. What the terminal sends
(Ctrl-C, Ctrl-Z) reaches the command by itself, since it stays in the same process group; what some process sends to
this one alone is passed on.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Ended", "signals_kept", "supervise"]

#: Passed on. SIGKILL and SIGSTOP cannot be; SIGTSTP, SIGTTIN and SIGTTOU are the terminal's.
_PASSED_ON: Final = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGALRM,
    }
)
_WAITED_FOR: Final = _PASSED_ON | {signal.SIGCHLD}
#: `si_code` of what the kernel sends: the terminal's signals, which the whole process group has.
_BY_THE_KERNEL: Final = 0x80
_BY_SIGNAL: Final = 128


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    #: Its exit code, or None when a signal ended it.
    exit_code: int | None
    #: The signal that ended it.
    by_signal: signal.Signals | None
    #: Signals that were passed on to it.
    passed_on: frozenset[signal.Signals]

    @property
    def shell_code(self) -> int:
        """The exit code by which a shell would say it."""
        return _BY_SIGNAL + (self.by_signal or 0) if self.exit_code is None else self.exit_code


@contextmanager
def signals_kept() -> Iterator[None]:
    """Keep signals for `supervise`, in all threads that are started meanwhile; what is left acts afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def supervise(file: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Ended:
    """Run a program until it ends; to be called while signals are kept.

    Args:
        file: Path of the program.
        arguments: Its command line, the program's name first.
        environment: All of its environment.

    Raises:
        OSError: it cannot be started.
    """
    passed_on: set[signal.Signals] = set()
    process_id = os.posix_spawn(file, arguments, environment, setsigmask=[], setsigdef=[signal.SIGPIPE, signal.SIGXFSZ])
    while True:
        found = signal.sigwaitinfo(_WAITED_FOR)
        if found.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(process_id, os.WNOHANG)
            if ended:
                break
        elif found.si_code != _BY_THE_KERNEL:
            passed_on.add(signal.Signals(found.si_signo))
            os.kill(process_id, found.si_signo)
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return Ended(code, None, frozenset(passed_on))
    return Ended(None, signal.Signals(-code), frozenset(passed_on))

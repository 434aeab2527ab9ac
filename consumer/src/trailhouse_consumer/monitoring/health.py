"""Whether a collector is alive, and whether it is ready; what is not, is said in words.

Alive is one whose loop has turned lately: restarting helps one that is not. Ready is one that can land what comes: the
warehouse answers and has the tables of this version, the sources can be read, and nothing has been waited for for
long. All methods may be called from any thread, and none of them waits.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Health", "Verdict"]

#: The loop turns ten times a second. The longest that it waits for anything is a broker's answer or two, ten seconds
#: each; a minute without a turn is no waiting any more.
LIVE_SECONDS: Final = 60.0
#: What does not answer for so long is said to be not ready: a connection that breaks and comes back is not.
_PATIENCE_SECONDS: Final = 15.0
#: A warehouse that was not seen for so long does not answer: it is asked more often than that.
_UNSEEN_SECONDS: Final = 45.0

FINE: Final = "ok"
_NOT_ASKED: Final = "not asked yet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all is as it should be, and what is said of each thing: `ok`, or why it is not."""

    fine: bool
    checks: Mapping[str, str]


class Health:
    """What is known of a collector's health."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin as one that starts: alive, and not ready; `clock` returns seconds that never go back."""
        self._clock = clock
        self._lock = threading.Lock()
        self._turned: float | None = None
        self._ended = False
        #: Why a source cannot be read; empty where it can.
        self._sources: dict[str, str] = {}
        #: Since when something is waited for, and why.
        self._waiting: dict[str, tuple[float, str]] = {}
        #: When the warehouse was asked last, and what is wrong with it; None before that.
        self._warehouse: tuple[float, str] | None = None

    def turned(self, sources: Mapping[str, str]) -> None:
        """The loop has turned; `sources` says why each source cannot be read, empty where it can."""
        with self._lock:
            self._turned, self._sources = self._clock(), dict(sources)

    def ended(self) -> None:
        """The loop has come to its end."""
        self._ended = True

    def waits(self, what: str, reason: str) -> None:
        """Something does not answer; what was said of it before counts."""
        with self._lock:
            since, _ = self._waiting.get(what, (self._clock(), ""))
            self._waiting[what] = since, reason

    def answers(self, what: str) -> None:
        """It does again."""
        with self._lock:
            self._waiting.pop(what, None)

    def warehouse(self, wrong: str) -> None:
        """The warehouse was asked: what is wrong with it, empty for nothing."""
        with self._lock:
            self._warehouse = self._clock(), wrong

    @property
    def turn_age_seconds(self) -> float:
        """How long ago the loop has turned; 0 before it begins."""
        turned = self._turned
        return 0.0 if turned is None else max(0.0, self._clock() - turned)

    def live(self) -> Verdict:
        """Return whether the loop turns; one that has not begun, because something does not answer yet, is alive."""
        age = self.turn_age_seconds
        said = "starting" if self._turned is None else FINE
        if self._ended:
            said = "ended"
        elif age > LIVE_SECONDS:
            said = f"has not turned for {age:.0f} s"
        return Verdict(said in {"starting", FINE}, {"loop": said})

    def ready(self) -> Verdict:
        """Return whether what comes can be landed, and what is in the way."""
        checks = dict(self.live().checks)
        with self._lock:
            now, sources, waiting, asked = self._clock(), dict(self._sources), dict(self._waiting), self._warehouse
        checks["warehouse"] = _NOT_ASKED if asked is None else asked[1] or FINE
        if asked is not None and now - asked[0] > _UNSEEN_SECONDS:
            checks["warehouse"] = f"has not answered for {now - asked[0]:.0f} s"
        checks |= {name: reason or FINE for name, reason in sources.items()}
        for what, (since, reason) in waiting.items():
            said = checks.get(what, FINE)
            if said == _NOT_ASKED or (said == FINE and now - since >= _PATIENCE_SECONDS):
                checks[what] = f"waited for since {now - since:.0f} s: {reason}"
        return Verdict(all(said == FINE for said in checks.values()), checks)

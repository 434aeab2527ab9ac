"""What a soak prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soak.outcome import Outcome

__all__ = ["report"]


def report(outcome: Outcome) -> str:
    """Return the text: kills by kind, faults of the warehouse, and the account."""
    found, how = outcome.account, outcome.how
    lines: list[tuple[str, object]] = [("kills survived", outcome.kills.total())]
    lines += [(f"  {kind.value}", count) for kind, count in outcome.kills.most_common()]
    lines += [("collectors struck", outcome.moments.total())]
    lines += [(f"  {moment}", count) for moment, count in outcome.moments.most_common()]
    lines += [("requests to the warehouse that failed", outcome.befallen.total())]
    lines += [(f"  {name}", count) for name, count in outcome.befallen.most_common()]
    lines += [
        ("partitions added", outcome.partitions_added),
        ("collectors that ended by an error", len(outcome.fallen)),
        ("events", found.events),
        ("rows", found.rows),
        ("dead letters", found.dead_letters),
    ]
    lines += [(f"  {reason}", count) for reason, count in sorted(found.reasons.items())]
    lines += [
        ("duplicates left out", found.left_out),
        ("lost", len(found.lost)),
        ("doubled", len(found.doubled)),
        ("strange", len(found.strange)),
        ("misplaced", len(found.misplaced)),
        ("seconds", round(outcome.seconds)),
        ("seed", how.seed),
    ]
    width = max(len(name) for name, _ in lines) + 2
    text = "".join(
        f"{name:<{width}}{value:>9,}\n" if name != "seed" else f"{name:<{width}}{value:>9}\n" for name, value in lines
    )
    return text + "".join(f"{line}\n" for line in found.faults())

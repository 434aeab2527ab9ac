"""From which size on a difference matters: the defaults, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass, fields

from trailhouse_analytics.errors import DriftInputError

__all__ = ["DEFAULT_ALPHA", "DEFAULT_MINIMUM", "Thresholds"]

#: Share of false alarms among alarms that is accepted (Benjamini-Hochberg).
DEFAULT_ALPHA = 0.05
#: Values a side below which nothing is concluded: with 30 a Kolmogorov-Smirnov test at 0.05 finds a shift by one
#: standard deviation in nine cases out of ten, with 20 in seven.
DEFAULT_MINIMUM = 30


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Effect sizes from which on a significant difference is drift: one that reaches its threshold is enough.

    The defaults lie near one another: a normal column that moves by a quarter of its standard deviation has a KS
    distance of 0.1, by a third a PSI of 0.1. None switches an effect off.
    """

    #: Kolmogorov-Smirnov distance: the largest difference of the shares of values at or below any point.
    ks: float | None = 0.1
    #: Wasserstein distance in standard deviations of the reference; 0.2 is Cohen's small effect for a shift.
    wasserstein_per_sd: float | None = 0.2
    #: Population stability index; 0.1 is where a shift is called moderate.
    psi: float | None = 0.1
    #: Jensen-Shannon distance, base 2.
    jensen_shannon: float | None = 0.15
    #: Cramér's V of the table with both sides weighted alike; 0.1 is Cohen's small effect.
    cramers_v_balanced: float | None = 0.1
    #: Cohen's h of the shares of missing (or infinite) values: 0.2 is 0 to 1 %, or 50 to 60 %.
    cohens_h: float | None = 0.2
    #: Values a side, missing ones left out (for the test of missing values: rows), below which nothing is concluded.
    minimum: int = DEFAULT_MINIMUM

    def __post_init__(self) -> None:
        """Refuse what is no size; raises `DriftInputError`."""
        for field in fields(self):
            size = getattr(self, field.name)
            if size is not None and not size >= 0:
                raise DriftInputError(f"Threshold {field.name}={size} is no size; give 0 or more, or None for off")

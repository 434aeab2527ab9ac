"""What a run says of the time that its calls of log took."""

from __future__ import annotations

import pytest

from trailhouse_analytics.runs.log_calls import log_calls_in_words


@pytest.mark.parametrize(
    ("by_duration", "words"),
    [
        ([], ""),
        ([0, 0], ""),
        ([0] * 11 + [1], "1; half took less than 2.05 us, 99 % less than 2.05 us, the longest less than 2.05 us"),
        (
            [0] * 10 + [990_000, 9_000, *[0] * 10, 999, 0, 1],
            "1,000,000; half took less than 1.02 us, 99 % less than 1.02 us, the longest less than 16.8 ms",
        ),
        (
            [0] * 9 + [50, 40, 10],
            "100; half took less than 512 ns, 99 % less than 2.05 us, the longest less than 2.05 us",
        ),
        ([0] * 31 + [1], "1; half took less than 2.15 s, 99 % less than 2.15 s, the longest less than 2.15 s"),
    ],
)
def test_bounds_are_told_in_a_unit_that_can_be_read(by_duration: list[int], words: str) -> None:
    """From nanoseconds to seconds."""
    assert log_calls_in_words(by_duration) == words

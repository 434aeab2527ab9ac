"""Remembers what ranges come to, so that thousands of schedules do not make the same few rows again and again.

`make_rows` promises that the same messages give the same rows whenever and by whomever they are made, but for what the
table holds of them already. So that is asked each time, of the real `Duplicates`, and the rest is done once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

    from trailhouse_consumer.decode import Decoder
    from trailhouse_consumer.duplicates import Duplicates
    from trailhouse_consumer.rows import Rows
    from trailhouse_consumer.sources import Messages, Partition

__all__ = ["remembering"]


class _Question:
    """Stands for `Duplicates`: says what it is told to say, and keeps what it was asked."""

    asked: tuple[pa.Array, NDArray[np.int64], int] | None = None

    def __init__(self, real: Duplicates | None, answer: NDArray[np.bool_] | None = None) -> None:
        self._real = real
        self.answer = answer

    def find(self, producer_ids: pa.Array, sequences: NDArray[np.int64], first: int) -> NDArray[np.bool_]:
        self.asked = producer_ids, sequences, first
        if self.answer is None:
            assert self._real is not None
            self.answer = self._real.find(producer_ids, sequences, first)
        return self.answer


def remembering(make_rows: Callable[..., Rows]) -> Callable[..., Rows]:
    """Return `make_rows` with a memory."""
    questions: dict[object, _Question] = {}
    found: dict[object, Rows] = {}

    def remembered(
        partition: Partition, messages: Messages, decoder: Decoder, duplicates: Duplicates, *, whole: bool
    ) -> Rows:
        key = (
            partition.topic_id,
            partition.number,
            whole,
            messages.offsets.tobytes(),
            messages.published_us.tobytes(),
            tuple(messages.values),
        )
        question = questions.get(key)
        if question is None:
            question = _Question(duplicates)
            rows = make_rows(partition, messages, decoder, question, whole=whole)
            questions[key] = question
            found[key, _bytes(question.answer)] = rows
            return rows
        answer = None if question.asked is None else duplicates.find(*question.asked)
        again = key, _bytes(answer)
        if again not in found:
            found[again] = make_rows(partition, messages, decoder, _Question(None, answer), whole=whole)
        return found[again]

    return remembered


def _bytes(answer: Any) -> bytes:
    return b"" if answer is None else np.asarray(answer).tobytes()

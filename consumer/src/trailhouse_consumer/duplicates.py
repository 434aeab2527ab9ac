"""Finds events that a forwarder has sent again, and leaves out only those that are proven to be in the table already.

A forwarder that did not see an acknowledgement sends the same events to the same partition again. An event whose
sequence is not above the highest that the partition has landed for its producer is only a suspect: a refused batch
that is sent again later is out of order too, and new. It is a duplicate when its (producer_id, sequence) lies in the
table at a lower offset of the partition, or earlier in the same range.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trailhouse_consumer.sources import Partition
    from trailhouse_consumer.warehouse import Warehouse

__all__ = ["Duplicates"]

#: Producers that are remembered for each partition; others are asked for again.
REMEMBERED: Final = 20_000


class Duplicates:
    """Knows the highest landed sequence of the producers of one partition."""

    def __init__(self, partition: Partition, warehouse: Warehouse, *, fresh: bool) -> None:
        """Begin; `fresh` says that the table holds nothing of the partition, so that nothing need be asked."""
        self._partition = partition
        self._warehouse = warehouse
        self._highest: OrderedDict[str, int] = OrderedDict()
        self._knows_all = fresh

    def find(self, producer_ids: pa.Array, sequences: NDArray[np.int64], first: int) -> NDArray[np.bool_]:
        """Return which of the events of a range that begins at offset `first` are proven duplicates.

        Raises:
            WarehouseUnavailableError: it could not be asked.
        """
        words = producer_ids.dictionary_encode()
        names = words.dictionary.to_pylist()
        codes = words.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self._learn(names)
        highest = np.array([self._highest.get(name, -1) for name in names], np.int64)
        landed = sequences <= highest[codes]
        again = _repeated(codes, sequences)
        self._forget()
        if landed.any():
            again |= self._proven(names, codes, sequences, np.flatnonzero(landed), first)
        return again

    def landed(self, producer_ids: pa.Array, sequences: NDArray[np.int64]) -> None:
        """Remember what has been landed."""
        if not len(producer_ids):
            return
        table = pa.table({"producer": producer_ids, "sequence": sequences}).group_by("producer")
        found = table.aggregate([("sequence", "max")])
        for name, sequence in zip(
            found.column("producer").to_pylist(), found.column("sequence_max").to_pylist(), strict=True
        ):
            self._remember(name, max(sequence, self._highest.get(name, -1)))

    def _learn(self, names: list[str]) -> None:
        unknown = [name for name in names if name not in self._highest]
        if unknown and not self._knows_all:
            answer = self._warehouse.ask("highest_sequences", self._place() | {"producers": unknown})
            known = dict(
                zip(answer.column("producer_id").to_pylist(), answer.column("highest").to_pylist(), strict=True)
            )
            for name in unknown:
                self._highest[name] = known.get(name, -1)

    def _remember(self, name: str, sequence: int) -> None:
        self._highest[name] = sequence
        self._highest.move_to_end(name)
        self._forget()

    def _forget(self) -> None:
        while len(self._highest) > REMEMBERED:
            self._highest.popitem(last=False)
            self._knows_all = False

    def _proven(
        self,
        names: list[str],
        codes: NDArray[np.int64],
        sequences: NDArray[np.int64],
        suspects: NDArray[np.int64],
        first: int,
    ) -> NDArray[np.bool_]:
        producers = [names[code] for code in np.unique(codes[suspects])]
        answer = self._warehouse.ask(
            "landed_sequences",
            self._place()
            | {
                "first": first,
                "producers": producers,
                "lowest": int(sequences[suspects].min()),
                "highest": int(sequences[suspects].max()),
            },
        )
        there = pc.index_in(answer.column("producer_id").cast(pa.string()), value_set=pa.array(names, pa.string()))
        pairs = set(zip(there.to_pylist(), answer.column("sequence").to_pylist(), strict=True))
        proven = np.zeros(len(codes), bool)
        for row in suspects:
            proven[row] = (int(codes[row]), int(sequences[row])) in pairs
        return proven

    def _place(self) -> dict[str, object]:
        return {
            "table": self._partition.event_type.table,
            "topic_id": self._partition.topic_id,
            "partition": self._partition.number,
        }


def _repeated(codes: NDArray[np.int64], sequences: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which events are in the range already, before themselves."""
    again = np.zeros(len(codes), bool)
    order = np.argsort(codes, kind="stable")
    same_producer = codes[order][1:] == codes[order][:-1]
    if (np.diff(sequences[order])[same_producer] > 0).all():
        return again
    order = np.lexsort((np.arange(len(codes)), sequences, codes))
    same_producer = codes[order][1:] == codes[order][:-1]
    again[order[1:]] = same_producer & (np.diff(sequences[order]) == 0)
    return again

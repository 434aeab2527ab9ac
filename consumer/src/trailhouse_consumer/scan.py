"""Finds the records of a batch that cannot be decoded, by walking the bytes of all of them at once, decoding none.

A decoder by columns fails for a whole batch and does not say which record it failed at. This walk follows the schema
step by step, each step for all records together in NumPy, so that a batch in which every second record is bad costs
little more than a good one. Its verdict on a record is the same in any company: what ends early, what has bytes left
over, and what Avro's specification does not allow (negative lengths, branches that a union does not have, booleans
beyond 1, numbers beyond 64 bits) is bad. It looks at no text and at no values.

Few records, and long lists of few records, are walked in plain Python, which is quicker there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    #: Passes one value of each of these rows.
    _Step: TypeAlias = Callable[["_Walk", Any], None]
    #: Passes one value that begins there, and returns where it ends.
    _One: TypeAlias = Callable[[bytes, int], int]

__all__ = ["Scan"]

#: So few records are walked one by one.
_FEW: Final = 16
#: A batch is walked in stretches of so many bytes at most, to bound the memory for it.
_STRETCH_BYTES: Final = 32 << 20
_LONGEST: Final = 10
#: Bytes that a record of nothing but zeros may take.
_MOST_ZEROS: Final = 1 << 16
_CONTINUED: Final = np.uint64(0x8080808080808080)
_EIGHT: Final = np.arange(8)
_ALL: Final = slice(None)


class _Unsupported(Exception):  # noqa: N818 - caught where it is raised, never an error
    """The schema has types that the walk does not know."""


class _Bad(Exception):  # noqa: N818
    """A record that is walked alone is bad."""


class Scan:
    """Walks records that were written with one schema."""

    def __init__(self, schema: Any) -> None:
        """Take the schema as JSON; `supported` says whether records of it can be walked."""
        self._names: dict[str, Any] = {}
        self._open: set[str] = set()
        self.supported = True
        try:
            self._step, self._one, self._zeros = self._compiled(schema, "")
        except _Unsupported:
            self.supported = False

    def faults(self, values: Sequence[bytes], body_at: int) -> dict[int, str]:
        """Return what is wrong with each bad value, by its place; the bodies begin at `body_at`."""
        found: dict[int, str] = {}
        if not self.supported:
            return found
        begin = 0
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        through = np.cumsum(lengths)
        while begin < len(values):
            before = int(through[begin - 1]) if begin else 0
            end = max(begin + 1, int(np.searchsorted(through, before + _STRETCH_BYTES)))
            stretch = values[begin:end]
            if len(stretch) < _FEW:
                singly: Sequence[int] = range(len(stretch))
            else:
                walk = _Walk(stretch, lengths[begin:end], body_at, self._zeros)
                self._step(walk, _ALL)
                found.update((begin + place, text) for place, text in walk.result())
                singly = walk.singly
            for place in singly:
                text = self._alone(stretch[place], body_at)
                if text:
                    found[begin + place] = text
            begin = end
        return found

    def _alone(self, value: bytes, at: int) -> str:
        try:
            rest = len(value) - self._one(value, at)
        except _Bad as bad:
            return str(bad)
        return _left_over(rest) if rest else ""

    def _compiled(self, schema: Any, path: str) -> tuple[_Step, _One, int]:
        """Return how to walk many values of a schema, how one, and the bytes of one that is all zeros."""
        if isinstance(schema, list):
            return self._union(schema, path)
        if isinstance(schema, str):
            return self._named(schema, path)
        kind = schema["type"]
        if kind == "record":
            return self._record(schema, path)
        if kind in {"array", "map"}:
            return self._list(schema, path)
        if isinstance(kind, str) and set(schema) <= {"type", "logicalType", "name", "doc"}:
            return self._named(kind, path)
        raise _Unsupported

    def _named(self, kind: str, path: str) -> tuple[_Step, _One, int]:
        where = path or "the record"
        if kind == "null":
            return (lambda _walk, _rows: None), (lambda _value, at: at), 0
        if kind == "long":
            return (lambda walk, rows: walk.skip_long(rows, where)), (lambda value, at: _long(value, at, where)[1]), 1
        if kind == "string":
            return (lambda walk, rows: walk.text(rows, where)), (lambda value, at: _text(value, at, where)), 1
        if kind == "double":
            return (lambda walk, rows: walk.fixed(rows, 8, where)), (lambda value, at: _fixed(value, at, 8, where)), 8
        if kind == "boolean":
            return (lambda walk, rows: walk.boolean(rows, where)), (lambda value, at: _boolean(value, at, where)), 1
        if kind in self._names and kind not in self._open:
            return self._compiled(self._names[kind], path)
        raise _Unsupported

    def _record(self, schema: Any, path: str) -> tuple[_Step, _One, int]:
        name = schema["name"]
        for known in (name, f"{schema.get('namespace', 'trailhouse')}.{name}"):
            self._names[known] = schema
        if name in self._open:
            raise _Unsupported
        self._open.add(name)
        parts = [self._compiled(f["type"], f"{path}.{f['name']}" if path else f["name"]) for f in schema["fields"]]
        self._open.discard(name)
        zeros = sum(part[2] for part in parts)
        if zeros > _MOST_ZEROS:
            raise _Unsupported
        steps, ones = [part[0] for part in parts], [part[1] for part in parts]

        def step(walk: _Walk, rows: Any) -> None:
            for each in steps:
                each(walk, rows)

        def one(value: bytes, at: int) -> int:
            for each in ones:
                at = each(value, at)
            return at

        return step, one, zeros

    def _union(self, schema: list[Any], path: str) -> tuple[_Step, _One, int]:
        parts = [self._compiled(branch, path) for branch in schema]

        def step(walk: _Walk, rows: Any) -> None:
            branches = walk.long(rows, path)
            strange = (branches < 0) | (branches >= len(parts))
            if strange.any():
                walk.fail(rows, strange, _no_branch(path, len(parts)))
                branches[strange] = -1
            every = np.arange(len(walk)) if isinstance(rows, slice) else rows
            for number, (each, _, _) in enumerate(parts):
                if schema[number] != "null":
                    chosen = branches == number
                    if chosen.all():
                        each(walk, rows)
                    elif chosen.any():
                        each(walk, every[chosen])

        def one(value: bytes, at: int) -> int:
            branch, at = _long(value, at, path)
            if not 0 <= branch < len(parts):
                raise _Bad(_no_branch(path, len(parts)))
            return parts[branch][1](value, at)

        return step, one, 1 + parts[0][2]

    def _list(self, schema: Any, path: str) -> tuple[_Step, _One, int]:
        step_item, one_item = self._entry(schema, path) if schema["type"] == "map" else self._element(schema, path)

        def step(walk: _Walk, rows: Any) -> None:
            walk.blocks(rows, path, step_item)

        def one(value: bytes, at: int) -> int:
            while True:
                count, at = _long(value, at, path)
                if count < 0:
                    count, at = -count, _long(value, at, path)[1]
                if not count:
                    return at
                if count > len(value) - at:
                    raise _Bad(_ends_in(path))
                for _ in range(count):
                    at = one_item(value, at)

        return step, one, 1

    def _element(self, schema: Any, path: str) -> tuple[_Step, _One]:
        step, one, least = self._compiled(schema["items"], path)
        if not least:
            raise _Unsupported  # elements of no bytes: a count alone could keep the walk busy for years
        return step, one

    def _entry(self, schema: Any, path: str) -> tuple[_Step, _One]:
        step_value, one_value, _ = self._compiled(schema["values"], path)

        def step(walk: _Walk, rows: Any) -> None:
            walk.text(rows, path)
            step_value(walk, rows)

        def one(value: bytes, at: int) -> int:
            return one_value(value, _text(value, at, path))

        return step, one


class _Walk:
    """Where the walk is in each record. A record that has failed goes on in zeros, where nothing fails any more."""

    def __init__(self, values: Sequence[bytes], lengths: NDArray[np.int64], body_at: int, zeros: int) -> None:
        blob = b"".join((*values, bytes(zeros + _LONGEST + 8)))
        self._data = np.frombuffer(blob, np.uint8)
        self._end = np.cumsum(lengths)
        self._at = np.concatenate(([0], self._end[:-1])) + body_at
        self._zeros_at = len(blob) - zeros - _LONGEST - 8
        self._failed = np.zeros(len(values), bool)
        self._faults: list[tuple[NDArray[np.int64], str]] = []
        #: Records that are to be walked alone.
        self.singly: list[int] = []

    def __len__(self) -> int:
        return len(self._at)

    def result(self) -> list[tuple[int, str]]:
        """Return what was found, and what is left over."""
        found = [(place, text) for places, text in self._faults for place in places.tolist()]
        rest = np.where(self._failed, 0, self._end - self._at)
        left = np.flatnonzero(rest)
        return found + list(zip(left.tolist(), map(_left_over, rest[left].tolist()), strict=True))

    def fail(self, rows: Any, which: NDArray[np.bool_], text: str) -> None:
        """Declare some of the rows bad; those that are so already keep their first fault."""
        places = np.flatnonzero(which) if isinstance(rows, slice) else rows[which]
        self._faults.append((places[~self._failed[places]], text))
        self._leave(places)

    def _leave(self, places: NDArray[np.int64]) -> None:
        self._failed[places] = True
        self._at[places] = self._zeros_at
        self._end[places] = len(self._data)

    def _moved(self, rows: Any, at: NDArray[np.int64], where: str) -> NDArray[np.bool_] | None:
        """Take over where the rows are now; return which of them have failed by it, if any."""
        self._at[rows] = at
        over: NDArray[np.bool_] = at > self._end[rows]
        if not over.any():
            return None
        self.fail(rows, over, _ends_in(where))
        return over

    def long(self, rows: Any, where: str) -> NDArray[np.int64]:
        """Read a number of each of the rows."""
        raw, at, wide = self._varint(rows)
        value = (raw >> np.uint64(1)).astype(np.int64) ^ -(raw & np.uint64(1)).astype(np.int64)
        over = self._moved(rows, at, where)
        if over is not None:
            value[over] = 0
        if wide is not None and wide.any():
            self.fail(rows, wide if over is None else wide & ~over, _too_long(where))
            value[wide] = 0
        return value

    def skip_long(self, rows: Any, where: str) -> None:
        """Pass a number of each of the rows."""
        self.long(rows, where)

    def _varint(self, rows: Any) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.bool_] | None]:
        """Return the raw numbers, where they end, and which are too long for 64 bits."""
        at = self._at[rows]
        first = self._data[at]
        value = first.astype(np.uint64)
        more = np.flatnonzero(first > 0x7F)  # noqa: PLR2004 - continued
        if not len(more):
            return value, at + 1, None
        wide = np.zeros(len(at), bool)
        begins = at[more]
        words = self._data[begins[:, None] + _EIGHT].view("<u8").ravel()
        ends = ~words & _CONTINUED
        lowest = ends & (~ends + np.uint64(1))
        # The exponent of a power of two is exact in a double; a word without an end counts as nine bytes and more.
        size = np.where(ends == 0, 8, ((lowest.astype(np.float64).view(np.int64) >> 52) - 1023 >> 3) + 1)
        bits = words & ((lowest - np.uint64(1)) | lowest)
        bits = np.where(ends == 0, words, bits) & ~_CONTINUED
        for shift, mask in (
            (1, 0x7F007F007F007F00),
            (2, 0x3FFF00003FFF0000),
            (4, 0x0FFFFFFF00000000),
        ):
            high = bits & np.uint64(mask)
            bits = (bits ^ high) | (high >> np.uint64(shift))
        long = np.flatnonzero(ends == 0)
        if len(long):
            ninth, tenth = self._data[begins[long] + 8], self._data[begins[long] + 9]
            bits[long] |= (ninth.astype(np.uint64) & np.uint64(0x7F)) << np.uint64(56)
            ten = ninth > 0x7F  # noqa: PLR2004 - continued
            bits[long[ten]] |= tenth[ten].astype(np.uint64) << np.uint64(63)
            size[long] = np.where(ten, 10, 9)
            wide[more[long[ten & (tenth > 1)]]] = True
        value[more] = bits
        end = at + 1
        end[more] = begins + size
        return value, end, wide

    def text(self, rows: Any, where: str) -> None:
        """Pass a text of each of the rows."""
        length = self.long(rows, where)
        if (length < 0).any():
            self.fail(rows, length < 0, _negative(where))
            length[length < 0] = 0
        at = self._at[rows]
        # A length near 2^63 must not come out of the addition below zero.
        self._moved(rows, at + np.minimum(length, len(self._data)), where)

    def fixed(self, rows: Any, size: int, where: str) -> None:
        """Pass so many bytes of each of the rows."""
        self._moved(rows, self._at[rows] + size, where)

    def boolean(self, rows: Any, where: str) -> None:
        """Pass a boolean of each of the rows."""
        at = self._at[rows]
        strange = self._data[at] > 1
        over = self._moved(rows, at + 1, where)
        if strange.any():
            self.fail(rows, strange if over is None else strange & ~over, _no_boolean(where))

    def blocks(self, rows: Any, where: str, item: _Step) -> None:
        """Pass a list of each of the rows, element by element of all of them."""
        rows = np.arange(len(self)) if isinstance(rows, slice) else rows
        while len(rows):
            left = self.long(rows, where)
            sized = left < 0
            if sized.any():
                self.long(rows[sized], where)
                left = np.abs(left)
            beyond = (left < 0) | (left > self._end[rows] - self._at[rows])
            if beyond.any():
                self.fail(rows, beyond, _ends_in(where))
            going = (left != 0) & ~self._failed[rows]
            rows, left = rows[going], left[going]
            again = []
            while len(rows):
                if len(rows) < _FEW and left.max() > _FEW:
                    self.singly += rows.tolist()
                    self._leave(rows)
                    break
                item(self, rows)
                left -= 1
                alive = ~self._failed[rows]
                again.append(rows[alive & (left == 0)])
                going = alive & (left > 0)
                rows, left = rows[going], left[going]
            rows = np.concatenate(again) if again else rows[:0]


def _long(value: bytes, at: int, where: str) -> tuple[int, int]:
    found = shift = 0
    for place in range(at, min(at + _LONGEST, len(value))):
        byte = value[place]
        found |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - not continued
            if found >> 64:
                raise _Bad(_too_long(where))
            return (found >> 1) ^ -(found & 1), place + 1
        shift += 7
    raise _Bad(_too_long(where) if len(value) - at >= _LONGEST else _ends_in(where))


def _text(value: bytes, at: int, where: str) -> int:
    length, at = _long(value, at, where)
    if length < 0:
        raise _Bad(_negative(where))
    return _fixed(value, at, length, where)


def _fixed(value: bytes, at: int, size: int, where: str) -> int:
    if at + size > len(value):
        raise _Bad(_ends_in(where))
    return at + size


def _boolean(value: bytes, at: int, where: str) -> int:
    end = _fixed(value, at, 1, where)
    if value[at] > 1:
        raise _Bad(_no_boolean(where))
    return end


def _ends_in(where: str) -> str:
    return f"it ends within {where}"


def _too_long(where: str) -> str:
    return f"the number in {where} has more than 64 bits"


def _negative(where: str) -> str:
    return f"the text in {where} has a negative length"


def _no_boolean(where: str) -> str:
    return f"the boolean in {where} is neither 0 nor 1"


def _no_branch(where: str, branches: int) -> str:
    return f"{where} names a branch that is none of its {branches}"


def _left_over(rest: Any) -> str:
    return f"{rest} bytes are left over after the record"

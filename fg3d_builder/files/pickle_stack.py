"""What a pickle is read with: its bytes, a stack, and limits that no pickle gets around."""

from __future__ import annotations

import struct
from typing import Any

MAX_DEPTH = 100
"""Of lists within tables within tuples and so on."""

_LONGEST_LINE = 1 << 20
_COPIES = 3
"""Bytes that texts, arrays and the like may take in all, in those of the file."""


class PickleStack:
    """Stack, marks and memo of a pickle, and the next of its bytes.

    Every misuse is a `ValueError`.

    Parameters
    ----------
    data : bytes

    Attributes
    ----------
    place : int
        Of the next byte.
    stack : list
    marks : list of int
        Lengths of the stack.
    memo : dict of int to Any
    """

    def __init__(self, data: bytes) -> None:
        self.place = 0
        self._data = data
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self._budget = _COPIES * len(data)
        # Of containers by identity; all of them are kept, so that none is taken for another.
        self._depths: dict[int, int] = {}
        self._kept: list[Any] = []
        self._within: set[int] = set()

    # ---- bytes ----

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        part = self._data[self.place : self.place + count]
        if len(part) != count:
            raise ValueError(f"ends {count - len(part)} bytes early")
        self.place += count
        return part

    def number(self, form: str) -> Any:
        """Return the next number; `form` as in ``struct``."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def sized(self, form: str) -> bytes:
        """Return bytes that stand behind their length."""
        count = self.number(form)
        if count < 0:
            raise ValueError(f"a part of {count} bytes")
        self.spend(count)
        return self.take(count)

    def line(self) -> bytes:
        """Return the bytes up to the end of the line."""
        end = self._data.find(b"\n", self.place, self.place + _LONGEST_LINE)
        if end < 0:
            raise ValueError("a line without an end")
        line = self._data[self.place : end]
        self.place = end + 1
        self.spend(len(line))
        return line

    def spend(self, count: int) -> None:
        """Count bytes that are copied: the same text may be asked for again and again."""
        self._budget -= count
        if self._budget < 0:
            raise ValueError(f"unpacks to more than {_COPIES} times its size")

    # ---- the stack ----

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def _floor(self) -> int:
        return self.marks[-1] if self.marks else 0

    def pop(self) -> Any:
        """Take the topmost value, which must be above the last mark."""
        if len(self.stack) <= self._floor():
            raise ValueError("takes more from the stack than is there")
        return self.stack.pop()

    def top(self) -> Any:
        """Return the topmost value."""
        if len(self.stack) <= self._floor():
            raise ValueError("takes more from the stack than is there")
        return self.stack[-1]

    def to_mark(self) -> list[Any]:
        """Take all values above the last mark, and the mark."""
        if not self.marks:
            raise ValueError("no mark on the stack")
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    # ---- containers ----

    def note(self, container: Any, *parts: Any) -> Any:
        """Take note of a container, and of what it holds."""
        self._kept.append(container)
        self._depths[id(container)] = 1
        self.filled(container, *parts)
        return container

    def filled(self, container: Any, *parts: Any) -> None:
        """Take note of parts that go into a container."""
        depth = self._depths[id(container)]
        for part in parts:
            if part is container:
                raise ValueError("a list, table or array that is part of itself")
            below = self._depths.get(id(part), 0)
            if below:
                self._within.add(id(part))
                depth = max(depth, below + 1)
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        self._depths[id(container)] = depth

    def must_be_open(self, container: Any) -> None:
        """Refuse to change what is already part of something: depths hold, and nothing is round."""
        if id(container) in self._within:
            raise ValueError("a list, table or array that is changed after it was put to use")

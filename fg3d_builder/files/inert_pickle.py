"""Reading pickles without running them: a machine of its own that calls and imports nothing.

A pickle is a program. Here its instructions build numbers, texts, bytes, tuples, lists and tables;
NumPy's arrays are filled from their bytes (`fg3d_builder.files.inert_numpy`); whatever else the
program names, calls or makes becomes an `Inert` record of that, and stays one. Also pickles of
Python 2 are read, whose texts of bytes come as Latin-1.

Instructions as ``pickletools`` of Python's standard library lists them, protocols 0 to 5.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from fg3d_builder.errors import CaptureError, printable
from fg3d_builder.files import inert_numpy
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.inert_numpy import Inert

MAX_STEPS = 4_000_000
"""Instructions of a pickle; one of arrays has some hundreds, one of lists one per element."""

MAX_DEPTH = 100
"""Of lists within tables within tuples and so on."""

_LONGEST_LINE = 1 << 20
_LONGEST_INTEGER = 1 << 10
"""Bytes; those of a pickle are sizes and numbers."""

_KEYS = (str, bytes, int, float, type(None))
"""What a table's keys may be: nothing whose hash is computed by going through its parts."""

_COPIES = 3
"""Bytes that texts, arrays and the like may take in all, in those of the file."""


def read_inert_pickle(path: Path, limit_bytes: int) -> Any:
    """Return what a pickle holds, as far as it can be told without running it.

    Parameters
    ----------
    path : Path
    limit_bytes : int
        Largest file that is read.

    Returns
    -------
    Numbers, str, bytes, tuples, lists, dicts with plain keys, NumPy arrays (read-only) and scalars,
    and `Inert` records of everything else: sparse matrices, Chumpy's objects, classes, functions.

    Raises
    ------
    ValueError
        One line with the file: not there, too large, no pickle, damaged, nested deeper than
        `MAX_DEPTH`, more instructions than `MAX_STEPS`, or in need of what cannot be inert.
    """
    try:
        data = read_regular(path, "unreadable_pickle", limit_bytes)
    except CaptureError as error:
        raise ValueError(error.message) from None
    return inert_pickle(data, str(path))


def inert_pickle(data: bytes, where: str) -> Any:
    """Return what the bytes of a pickle hold; see `read_inert_pickle`.

    Parameters
    ----------
    data : bytes
        What follows the end of the pickle is left alone.
    where : str
        File, and part of it, for messages.
    """
    machine = _Machine(data)
    try:
        return machine.run()
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        reason = printable(str(error)) if isinstance(error, ValueError) else "not in its form"
        text = f"{where}: no pickle, or a damaged one (byte {machine.place}: {reason})"
        raise ValueError(text) from None


class _Machine:
    """Stack, marks and memo of a pickle, and the next of its bytes."""

    def __init__(self, data: bytes) -> None:
        self.place = 0
        self._data = data
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._budget = _COPIES * len(data)
        # Of containers by identity; all of them are kept, so that none is taken for another.
        self._depths: dict[int, int] = {}
        self._kept: list[Any] = []
        self._within: set[int] = set()
        self._empty_arrays: set[int] = set()

    def run(self) -> Any:
        """Go through the instructions until the end."""
        for _ in range(MAX_STEPS):
            code = self._take(1)[0]
            if code == _STOP:
                return self._pop()
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(f"instruction {bytes([code])!r} is unknown, or cannot be inert")
            step.run(self, step.argument)
        raise ValueError(f"more than {MAX_STEPS} instructions")

    # ---- bytes ----

    def _take(self, count: int) -> bytes:
        part = self._data[self.place : self.place + count]
        if len(part) != count:
            raise ValueError(f"ends {count - len(part)} bytes early")
        self.place += count
        return part

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _sized(self, form: str) -> bytes:
        count = self._number(form)
        if count < 0:
            raise ValueError(f"a part of {count} bytes")
        self._spend(count)
        return self._take(count)

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self.place, self.place + _LONGEST_LINE)
        if end < 0:
            raise ValueError("a line without an end")
        line = self._data[self.place : end]
        self.place = end + 1
        self._spend(len(line))
        return line

    def _spend(self, count: int) -> None:
        """Count bytes that are copied: the same text may be asked for again and again."""
        self._budget -= count
        if self._budget < 0:
            raise ValueError(f"unpacks to more than {_COPIES} times its size")

    # ---- the stack ----

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _floor(self) -> int:
        return self._marks[-1] if self._marks else 0

    def _pop(self) -> Any:
        if len(self._stack) <= self._floor():
            raise ValueError("takes more from the stack than is there")
        return self._stack.pop()

    def _top(self) -> Any:
        if len(self._stack) <= self._floor():
            raise ValueError("takes more from the stack than is there")
        return self._stack[-1]

    def _to_mark(self) -> list[Any]:
        if not self._marks:
            raise ValueError("no mark on the stack")
        start = self._marks.pop()
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    # ---- containers ----

    def _new(self, container: Any, *parts: Any) -> Any:
        """Take note of a container, and of what it holds."""
        self._kept.append(container)
        self._depths[id(container)] = 1
        self._filled(container, *parts)
        return container

    def _filled(self, container: Any, *parts: Any) -> None:
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

    def _open(self, container: Any) -> None:
        """Refuse to change what is already part of something: depths hold, and nothing is round."""
        if id(container) in self._within:
            raise ValueError("a list, table or array that is changed after it was put to use")

    # ---- instructions ----

    def protocol(self, _argument: Any) -> None:
        number = self._take(1)[0]
        if number > 5:
            raise ValueError(f"protocol {number}")

    def skip(self, count: Any) -> None:
        self._take(count)

    def constant(self, value: Any) -> None:
        self._push(value)

    def packed(self, form: Any) -> None:
        self._push(self._number(form))

    def integer_line(self, _argument: Any) -> None:
        line = self._line()
        known = {b"00": False, b"01": True}
        self._push(known[line] if line in known else _decimal(line))

    def long_line(self, _argument: Any) -> None:
        self._push(_decimal(self._line().removesuffix(b"L")))

    def float_line(self, _argument: Any) -> None:
        self._push(float(self._line()))

    def long_bytes(self, form: Any) -> None:
        data = self._sized(form)
        if len(data) > _LONGEST_INTEGER:
            raise ValueError(f"an integer of {len(data)} bytes")
        self._push(int.from_bytes(data, "little", signed=True))

    def quoted(self, _argument: Any) -> None:
        line = self._line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise ValueError("a text without its quotes")
        self._push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))

    def latin_text(self, form: Any) -> None:
        self._push(self._sized(form).decode("latin-1"))

    def text_line(self, _argument: Any) -> None:
        self._push(self._line().decode("raw-unicode-escape"))

    def text(self, form: Any) -> None:
        self._push(self._sized(form).decode("utf-8", "surrogatepass"))

    def raw(self, form: Any) -> None:
        self._push(self._sized(form))

    def mark(self, _argument: Any) -> None:
        self._marks.append(len(self._stack))

    def drop(self, _argument: Any) -> None:
        if self._marks and len(self._stack) == self._marks[-1]:
            self._marks.pop()
        else:
            self._pop()

    def drop_to_mark(self, _argument: Any) -> None:
        self._to_mark()

    def twice(self, _argument: Any) -> None:
        self._push(self._top())

    def remember(self, form: Any) -> None:
        number = _decimal(self._line()) if form is None else self._number(form)
        self._memo[number] = self._top()

    def memoize(self, _argument: Any) -> None:
        self._memo[len(self._memo)] = self._top()

    def recall(self, form: Any) -> None:
        number = _decimal(self._line()) if form is None else self._number(form)
        if number not in self._memo:
            raise ValueError(f"nothing is remembered as number {number}")
        self._push(self._memo[number])

    def empty(self, kind: Any) -> None:
        self._push(self._new(kind()))

    def short_tuple(self, count: Any) -> None:
        parts = tuple(reversed([self._pop() for _ in range(count)]))
        self._push(self._new(parts, *parts))

    def tuple_(self, _argument: Any) -> None:
        parts = tuple(self._to_mark())
        # The one tuple without parts is everybody's, and no container.
        self._push(self._new(parts, *parts) if parts else ())

    def list_(self, _argument: Any) -> None:
        parts = self._to_mark()
        self._push(self._new(parts, *parts))

    def empty_set(self, _argument: Any) -> None:
        self._push(self._record("builtins", "set"))

    def frozen_set(self, _argument: Any) -> None:
        parts = self._to_mark()
        self._push(self._record("builtins", "frozenset", self._new((parts,), *parts)))

    def dict_(self, _argument: Any) -> None:
        parts = self._to_mark()
        self._push(self._new({}))
        self._set(parts)

    def append(self, _argument: Any) -> None:
        self._extend([self._pop()])

    def appends(self, _argument: Any) -> None:
        self._extend(self._to_mark())

    def _extend(self, parts: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            self._open(target)
            target.extend(parts)
        else:
            self._inert(target).items.extend(parts)
        self._filled(target, *parts)

    def set_item(self, _argument: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def set_items(self, _argument: Any) -> None:
        self._set(self._to_mark())

    def _set(self, parts: list[Any]) -> None:
        if len(parts) % 2:
            raise ValueError("a table with a key too many")
        target, keys, values = self._top(), parts[::2], parts[1::2]
        if isinstance(target, dict):
            self._open(target)
            for key in keys:
                if not isinstance(key, _KEYS):
                    raise ValueError(f"a table's key of type {type(key).__name__}")
            target.update(zip(keys, values, strict=True))
        else:
            pairs = [self._new(pair, *pair) for pair in zip(keys, values, strict=True)]
            self._inert(target).items.extend(pairs)
            values = pairs
        self._filled(target, *values)

    # ---- what a pickle names, calls and makes ----

    def _inert(self, value: Any) -> Inert:
        if not isinstance(value, Inert):
            raise ValueError(f"makes an object of {type(value).__name__}")
        return value

    def _record(self, module: str, name: str, arguments: tuple[Any, ...] = ()) -> Inert:
        made = Inert(module, name, arguments)
        if arguments:
            self._new(made, arguments)
        else:
            self._new(made)
        return made

    def global_line(self, _argument: Any) -> None:
        module, name = self._line().decode("utf-8"), self._line().decode("utf-8")
        self._push(self._record(module, name))

    def global_stack(self, _argument: Any) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is no text")
        self._push(self._record(module, name))

    def call(self, _argument: Any) -> None:
        arguments, what = self._pop(), self._inert(self._pop())
        if not isinstance(arguments, tuple):
            raise ValueError("arguments that are no tuple")
        self._push(self._made(what, arguments))

    def new_object(self, with_names: Any) -> None:
        names = self._pop() if with_names else {}
        arguments, what = self._pop(), self._inert(self._pop())
        if not isinstance(arguments, tuple) or not isinstance(names, dict):
            raise ValueError("arguments that are no tuple")
        self._push(self._record(what.module, what.name, arguments))

    def old_instance(self, named: Any) -> None:
        module, name = (
            (self._line().decode("utf-8"), self._line().decode("utf-8")) if named else ("", "")
        )
        parts = self._to_mark()
        if not named:
            what = self._inert(parts.pop(0) if parts else None)
            module, name = what.module, what.name
        arguments = tuple(parts)
        if arguments:
            self._new(arguments, *arguments)
        self._push(self._record(module, name, arguments))

    def _made(self, what: Inert, arguments: tuple[Any, ...]) -> Any:
        """Return what a call gives: an array or bytes where it is one of NumPy's few, or a record.

        Nothing is called but the functions of `inert_numpy`.
        """
        if what.arguments or what.state is not None:
            raise ValueError("calls an object")
        kind = inert_numpy.kind_of(what)
        if kind == "new object":  # copyreg's ways to make one
            made = self._inert(arguments[0] if arguments else None)
            return self._record(made.module, made.name, arguments[1:2])
        if kind == "empty array" and inert_numpy.is_plain_array(arguments):
            array = self._new(np.zeros(0, np.uint8))
            self._empty_arrays.add(id(array))
            return array
        rebuild = inert_numpy.REBUILT.get(kind)
        if rebuild is None:
            return self._record(what.module, what.name, arguments)
        self._spend(inert_numpy.bytes_in(arguments))
        return rebuild(arguments)

    def build(self, _argument: Any) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, np.ndarray):
            if id(target) not in self._empty_arrays:
                raise ValueError("fills an array twice")
            self._open(target)
            self._empty_arrays.remove(id(target))
            if isinstance(state, tuple):
                self._spend(inert_numpy.bytes_in(state))
                parts = inert_numpy.fill(target, state)
                self._filled(target, *parts)
                return
            raise ValueError("an array without its content")
        made = self._inert(target)
        made.state = state
        self._filled(made, state)

    def refused(self, why: Any) -> NoReturn:
        raise ValueError(why)


class _Step(NamedTuple):
    run: Callable[[_Machine, Any], Any]
    argument: Any = None


def _decimal(line: bytes) -> int:
    if len(line) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(line)} digits")
    return int(line)


_STOP = ord(".")
_OUTSIDE = "it needs something that is not in the file"
_INSTRUCTIONS: dict[str, tuple[Any, ...]] = {
    "\x80": (_Machine.protocol,),
    "\x95": (_Machine.skip, 8),
    "N": (_Machine.constant, None),
    "\x88": (_Machine.constant, True),
    "\x89": (_Machine.constant, False),
    "I": (_Machine.integer_line,),
    "L": (_Machine.long_line,),
    "F": (_Machine.float_line,),
    "J": (_Machine.packed, "<i"),
    "K": (_Machine.packed, "<B"),
    "M": (_Machine.packed, "<H"),
    "G": (_Machine.packed, ">d"),
    "\x8a": (_Machine.long_bytes, "<B"),
    "\x8b": (_Machine.long_bytes, "<i"),
    "S": (_Machine.quoted,),
    "T": (_Machine.latin_text, "<i"),
    "U": (_Machine.latin_text, "<B"),
    "V": (_Machine.text_line,),
    "X": (_Machine.text, "<I"),
    "\x8c": (_Machine.text, "<B"),
    "\x8d": (_Machine.text, "<Q"),
    "B": (_Machine.raw, "<I"),
    "C": (_Machine.raw, "<B"),
    "\x8e": (_Machine.raw, "<Q"),
    "\x96": (_Machine.raw, "<Q"),
    "(": (_Machine.mark,),
    "0": (_Machine.drop,),
    "1": (_Machine.drop_to_mark,),
    "2": (_Machine.twice,),
    "p": (_Machine.remember, None),
    "q": (_Machine.remember, "<B"),
    "r": (_Machine.remember, "<I"),
    "\x94": (_Machine.memoize,),
    "g": (_Machine.recall, None),
    "h": (_Machine.recall, "<B"),
    "j": (_Machine.recall, "<I"),
    ")": (_Machine.constant, ()),
    "]": (_Machine.empty, list),
    "}": (_Machine.empty, dict),
    "\x85": (_Machine.short_tuple, 1),
    "\x86": (_Machine.short_tuple, 2),
    "\x87": (_Machine.short_tuple, 3),
    "\x8f": (_Machine.empty_set,),
    "\x90": (_Machine.appends,),
    "\x91": (_Machine.frozen_set,),
    "t": (_Machine.tuple_,),
    "l": (_Machine.list_,),
    "d": (_Machine.dict_,),
    "a": (_Machine.append,),
    "e": (_Machine.appends,),
    "s": (_Machine.set_item,),
    "u": (_Machine.set_items,),
    "c": (_Machine.global_line,),
    "\x93": (_Machine.global_stack,),
    "R": (_Machine.call,),
    "\x81": (_Machine.new_object, False),
    "\x92": (_Machine.new_object, True),
    "i": (_Machine.old_instance, True),
    "o": (_Machine.old_instance, False),
    "b": (_Machine.build,),
    "P": (_Machine.refused, _OUTSIDE),
    "Q": (_Machine.refused, _OUTSIDE),
    "\x82": (_Machine.refused, _OUTSIDE),
    "\x83": (_Machine.refused, _OUTSIDE),
    "\x84": (_Machine.refused, _OUTSIDE),
    "\x97": (_Machine.refused, _OUTSIDE),
    "\x98": (_Machine.refused, _OUTSIDE),
}
_STEPS = {ord(code): _Step(*step) for code, step in _INSTRUCTIONS.items()}

"""Reading pickles without running them: a machine of its own that calls and imports nothing.

A pickle is a program. Here its instructions build numbers, texts, bytes, tuples, lists and tables;
NumPy's arrays are filled from their bytes (`fg3d_builder.files.inert_numpy`); whatever else the
program names, calls or makes becomes an `Inert` record of that, and stays one. Also pickles of
Python 2 are read, whose texts of bytes come as Latin-1.

Instructions as ``pickletools`` of Python's standard library lists them, protocols 0 to 5.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.errors import CaptureError, printable
from fg3d_builder.files import inert_numpy
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.inert_numpy import Inert
from fg3d_builder.files.pickle_stack import PickleStack

MAX_STEPS = 4_000_000
"""Instructions of a pickle; one of arrays has some hundreds, one of lists one per element."""

_LONGEST_INTEGER = 1 << 10
"""Bytes; those of a pickle are sizes and numbers."""

_KEYS = (str, bytes, int, float, type(None))
"""What a table's keys may be: nothing whose hash is computed by going through its parts."""


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
        `pickle_stack.MAX_DEPTH`, more instructions than `MAX_STEPS`, or in need of what is not in
        the file.
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


class _Machine(PickleStack):
    """The instructions of a pickle."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._empty_arrays: set[int] = set()

    def run(self) -> Any:
        """Go through the instructions until the end."""
        for _ in range(MAX_STEPS):
            code = self.take(1)[0]
            if code == _STOP:
                return self.pop()
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(
                    f"instruction {bytes([code])!r} is unknown, or needs what is not in the file"
                )
            step.run(self, step.argument)
        raise ValueError(f"more than {MAX_STEPS} instructions")

    # ---- instructions ----

    def protocol(self, _argument: Any) -> None:
        number = self.take(1)[0]
        if number > 5:
            raise ValueError(f"protocol {number}")

    def skip(self, count: Any) -> None:
        self.take(count)

    def constant(self, value: Any) -> None:
        self.push(value)

    def packed(self, form: Any) -> None:
        self.push(self.number(form))

    def integer_line(self, _argument: Any) -> None:
        line = self.line()
        known = {b"00": False, b"01": True}
        self.push(known[line] if line in known else _decimal(line))

    def long_line(self, _argument: Any) -> None:
        self.push(_decimal(self.line().removesuffix(b"L")))

    def float_line(self, _argument: Any) -> None:
        self.push(float(self.line()))

    def long_bytes(self, form: Any) -> None:
        data = self.sized(form)
        if len(data) > _LONGEST_INTEGER:
            raise ValueError(f"an integer of {len(data)} bytes")
        self.push(int.from_bytes(data, "little", signed=True))

    def quoted(self, _argument: Any) -> None:
        line = self.line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise ValueError("a text without its quotes")
        self.push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))

    def latin_text(self, form: Any) -> None:
        self.push(self.sized(form).decode("latin-1"))

    def text_line(self, _argument: Any) -> None:
        self.push(self.line().decode("raw-unicode-escape"))

    def text(self, form: Any) -> None:
        self.push(self.sized(form).decode("utf-8", "surrogatepass"))

    def raw(self, form: Any) -> None:
        self.push(self.sized(form))

    def mark(self, _argument: Any) -> None:
        self.marks.append(len(self.stack))

    def drop(self, _argument: Any) -> None:
        if self.marks and len(self.stack) == self.marks[-1]:
            self.marks.pop()
        else:
            self.pop()

    def drop_to_mark(self, _argument: Any) -> None:
        self.to_mark()

    def twice(self, _argument: Any) -> None:
        self.push(self.top())

    def remember(self, form: Any) -> None:
        number = _decimal(self.line()) if form is None else self.number(form)
        self.memo[number] = self.top()

    def memoize(self, _argument: Any) -> None:
        self.memo[len(self.memo)] = self.top()

    def recall(self, form: Any) -> None:
        number = _decimal(self.line()) if form is None else self.number(form)
        if number not in self.memo:
            raise ValueError(f"nothing is remembered as number {number}")
        self.push(self.memo[number])

    def empty(self, kind: Any) -> None:
        self.push(self.note(kind()))

    def short_tuple(self, count: Any) -> None:
        parts = tuple(reversed([self.pop() for _ in range(count)]))
        self.push(self.note(parts, *parts))

    def tuple_(self, _argument: Any) -> None:
        parts = tuple(self.to_mark())
        # The one tuple without parts is everybody's, and no container.
        self.push(self.note(parts, *parts) if parts else ())

    def list_(self, _argument: Any) -> None:
        parts = self.to_mark()
        self.push(self.note(parts, *parts))

    def empty_set(self, _argument: Any) -> None:
        self.push(self._record("builtins", "set"))

    def frozen_set(self, _argument: Any) -> None:
        parts = self.to_mark()
        self.push(self._record("builtins", "frozenset", self.note((parts,), *parts)))

    def dict_(self, _argument: Any) -> None:
        parts = self.to_mark()
        self.push(self.note({}))
        self._set(parts)

    def append(self, _argument: Any) -> None:
        self._extend([self.pop()])

    def appends(self, _argument: Any) -> None:
        self._extend(self.to_mark())

    def _extend(self, parts: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            self.must_be_open(target)
            target.extend(parts)
        else:
            self._inert(target).items.extend(parts)
        self.filled(target, *parts)

    def set_item(self, _argument: Any) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def set_items(self, _argument: Any) -> None:
        self._set(self.to_mark())

    def _set(self, parts: list[Any]) -> None:
        if len(parts) % 2:
            raise ValueError("a table with a key too many")
        target, keys, values = self.top(), parts[::2], parts[1::2]
        if isinstance(target, dict):
            self.must_be_open(target)
            for key in keys:
                if not isinstance(key, _KEYS):
                    raise ValueError(f"a table's key of type {type(key).__name__}")
            target.update(zip(keys, values, strict=True))
        else:
            pairs = [self.note(pair, *pair) for pair in zip(keys, values, strict=True)]
            self._inert(target).items.extend(pairs)
            values = pairs
        self.filled(target, *values)

    # ---- what a pickle names, calls and makes ----

    def _inert(self, value: Any) -> Inert:
        if not isinstance(value, Inert):
            raise ValueError(f"makes an object of {type(value).__name__}")
        return value

    def _record(self, module: str, name: str, arguments: tuple[Any, ...] = ()) -> Inert:
        made = Inert(module, name, arguments)
        self.note(made, *arguments)
        return made

    def global_line(self, _argument: Any) -> None:
        module, name = self.line().decode("utf-8"), self.line().decode("utf-8")
        self.push(self._record(module, name))

    def global_stack(self, _argument: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is no text")
        self.push(self._record(module, name))

    def call(self, _argument: Any) -> None:
        arguments, what = self.pop(), self._inert(self.pop())
        if not isinstance(arguments, tuple):
            raise ValueError("arguments that are no tuple")
        self.push(self._made(what, arguments))

    def new_object(self, with_names: Any) -> None:
        names = self.pop() if with_names else {}
        arguments, what = self.pop(), self._inert(self.pop())
        if not isinstance(arguments, tuple) or not isinstance(names, dict):
            raise ValueError("arguments that are no tuple")
        self.push(self._record(what.module, what.name, arguments))

    def old_instance(self, named: Any) -> None:
        module, name = (
            (self.line().decode("utf-8"), self.line().decode("utf-8")) if named else ("", "")
        )
        parts = self.to_mark()
        if not named:
            what = self._inert(parts.pop(0) if parts else None)
            module, name = what.module, what.name
        arguments = tuple(parts)
        if arguments:
            self.note(arguments, *arguments)
        self.push(self._record(module, name, arguments))

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
            array = self.note(np.zeros(0, np.uint8))
            self._empty_arrays.add(id(array))
            return array
        rebuild = inert_numpy.REBUILT.get(kind)
        if rebuild is None:
            return self._record(what.module, what.name, arguments)
        self.spend(inert_numpy.bytes_in(arguments))
        return rebuild(arguments)

    def build(self, _argument: Any) -> None:
        state, target = self.pop(), self.top()
        if isinstance(target, np.ndarray):
            if id(target) not in self._empty_arrays:
                raise ValueError("fills an array twice")
            self.must_be_open(target)
            self._empty_arrays.remove(id(target))
            if isinstance(state, tuple):
                self.spend(inert_numpy.bytes_in(state))
                parts = inert_numpy.fill(target, state)
                self.filled(target, *parts)
                return
            raise ValueError("an array without its content")
        made = self._inert(target)
        made.state = state
        self.filled(made, state)


class _Step(NamedTuple):
    run: Callable[[_Machine, Any], Any]
    argument: Any = None


def _decimal(line: bytes) -> int:
    if len(line) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(line)} digits")
    return int(line)


_STOP = ord(".")
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
}
_STEPS = {ord(code): _Step(*step) for code, step in _INSTRUCTIONS.items()}

"""NumPy's arrays as pickles hold them, rebuilt from their bytes; everything else stays a record."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fg3d_builder.files.bounded import can_be_made
from fg3d_builder.records import Array


@dataclass(eq=False)
class Inert:
    """An object, class or function that a pickle names, of which nothing is imported or called.

    Attributes
    ----------
    module, name : str
    arguments : tuple
        Of the call that would make it; ``()`` for the class or function itself.
    state : Any
        What it would be filled with, often a dict of its attributes; None where nothing is given.
    items : list
        What would be appended to it; pairs where it would be a table.
    """

    module: str
    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)

    def attribute(self, name: str) -> Any:
        """Return an attribute of its state, None where there is none."""
        state = self.state
        # Objects with slots have a pair: attributes, and slots.
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict) and name in part:
                return part[name]
        return None

    def __repr__(self) -> str:
        return f"Inert({self.module}.{self.name})"


_CORES = ("numpy.core", "numpy._core")
_KINDS = {
    **{(f"{core}.multiarray", "_reconstruct"): "empty array" for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): "scalar" for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): "array" for core in _CORES},
    ("_codecs", "encode"): "bytes",
    ("__builtin__", "bytes"): "no bytes",
    ("builtins", "bytes"): "no bytes",
    **{(module, "_reconstructor"): "new object" for module in ("copy_reg", "copyreg")},
    **{(module, "__newobj__"): "new object" for module in ("copy_reg", "copyreg")},
}
_DTYPE = re.compile(r"[biufSU][0-9]{1,6}|O[48]?")
_MOST_AXES = 16
_Order = Literal["<", ">", "|", "="]
_ORDERS: dict[str, _Order] = {"<": "<", ">": ">", "|": "|", "=": "="}


def kind_of(what: Inert) -> str:
    """Return what a function makes: a key of `REBUILT`, "empty array", "new object", or ""."""
    return _KINDS.get((what.module, what.name), "")


def is_plain_array(arguments: tuple[Any, ...]) -> bool:
    """Whether the arguments of ``_reconstruct`` ask for an array and not for a kind of it."""
    kind = arguments[0] if arguments else None
    return isinstance(kind, Inert) and (kind.module, kind.name) == ("numpy", "ndarray")


def bytes_in(arguments: tuple[Any, ...]) -> int:
    """Return the number of bytes that are held by the texts and bytes of a call."""
    return sum(len(part) for part in arguments if isinstance(part, (str, bytes)))


def fill(array: Array, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Fill an empty array in its place, as its ``__setstate__`` does.

    Parameters
    ----------
    array : (0,) uint8
    state : tuple
        Version, shape, element type, whether in Fortran's order, bytes (text in Latin-1 from
        Python 2, a list for an array of objects).

    Returns
    -------
    tuple
        The objects that it now holds.

    Raises
    ------
    ValueError
        The state is no array's, or holds another number of bytes than it declares.
    """
    if len(state) != 5 or not isinstance(state[3], (int, bool)):
        raise ValueError("an array without its content")
    _, shape, kind, fortran, content = state
    dtype = _dtype(kind)
    count = _count(shape)
    if dtype.hasobject:
        if not isinstance(content, list) or len(content) != count:
            raise ValueError(f"an array of {count} objects without them")
        _set_state(array, (1, shape, dtype, bool(fortran), content))
        return tuple(content)
    data = _bytes(content)
    _held(count, dtype, data)
    _set_state(array, (1, shape, dtype, bool(fortran), data))
    array.flags.writeable = False
    return ()


def _set_state(array: Array, state: Any) -> None:
    array.__setstate__(state)


def _array(arguments: tuple[Any, ...]) -> Array:
    """Return the array that protocol 5 keeps in one piece: bytes, element type, shape, order."""
    if len(arguments) != 4 or arguments[3] not in ("C", "F"):
        raise ValueError("an array without its content")
    data, dtype, count = _bytes(arguments[0]), _dtype(arguments[1]), _count(arguments[2])
    if dtype.hasobject:
        raise ValueError("an array of objects in bytes")
    _held(count, dtype, data)
    return np.frombuffer(data, dtype, count).reshape(arguments[2], order=arguments[3])


def _scalar(arguments: tuple[Any, ...]) -> Any:
    dtype = _dtype(arguments[0] if arguments else None)
    if len(arguments) != 2 or dtype.hasobject:
        raise ValueError("a number without its content")
    data = _bytes(arguments[1])
    _held(1, dtype, data)
    return np.frombuffer(data, dtype, 1)[0]


def _encoded(arguments: tuple[Any, ...]) -> bytes:
    """Return the bytes that Python 3 writes as a text into old protocols."""
    if len(arguments) != 2 or arguments[1] not in ("latin1", "latin-1"):
        raise ValueError("bytes in another encoding than Latin-1")
    if not isinstance(arguments[0], str):
        raise ValueError("bytes that are no text")
    return arguments[0].encode("latin-1")


def _no_bytes(arguments: tuple[Any, ...]) -> bytes:
    if arguments:
        raise ValueError("bytes that are made of something")
    return b""


REBUILT: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "array": _array,
    "scalar": _scalar,
    "bytes": _encoded,
    "no bytes": _no_bytes,
}


def _dtype(record: Any) -> np.dtype[Any]:
    """Return the element type of ``numpy.dtype`` with its state, which has the order of bytes."""
    if not isinstance(record, Inert) or (record.module, record.name) != ("numpy", "dtype"):
        raise ValueError("an array without an element type")
    name = record.arguments[0] if record.arguments else None
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise ValueError(f"an array of elements of type {str(name)[:40]!r}")
    order = record.state[1] if isinstance(record.state, tuple) and record.state[1:] else "|"
    if not isinstance(order, str) or order not in _ORDERS:
        raise ValueError("an element type without an order of bytes")
    try:
        dtype = (
            np.dtype("O") if name.startswith("O") else np.dtype(name).newbyteorder(_ORDERS[order])
        )
    except TypeError:
        raise ValueError(f"an array of elements of type {name!r}") from None
    if dtype.itemsize == 0:
        raise ValueError("an array of elements without a size")
    return dtype


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or len(shape) > _MOST_AXES:
        raise ValueError("an array without a shape")
    if any(type(n) is not int or n < 0 for n in shape) or not can_be_made(shape):
        raise ValueError("an array with a length that is none")
    return math.prod(shape)


def _bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode("latin-1")
    raise ValueError("an array without its bytes")


def _held(count: int, dtype: np.dtype[Any], data: bytes) -> None:
    if count * dtype.itemsize != len(data):
        declared = f"{count} elements of {dtype.itemsize} bytes"
        raise ValueError(f"an array of {declared} in {len(data)} bytes")

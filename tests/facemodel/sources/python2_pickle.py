"""Pickles as Python 2 and its NumPy, SciPy and Chumpy wrote them: protocol 2, texts of bytes."""

from __future__ import annotations

import io
import pickle
import struct
import types
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

_MODULES = {
    "numpy._core.multiarray": "numpy.core.multiarray",
    "scipy.sparse._csc": "scipy.sparse.csc",
    "scipy.sparse._csr": "scipy.sparse.csr",
    "copyreg": "copy_reg",
    "builtins": "__builtin__",
}


class Ch:
    """Stands for Chumpy's object of that name, which is not installed: an array as ``x``."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self._dirty_vars: set[str] = set()
        self._itr = None


class Select:
    """Stands for Chumpy's object of that name: elements of another object."""

    def __init__(self, a: Any, idxs: np.ndarray, preferred_shape: tuple[int, ...]) -> None:
        self.a, self.idxs, self.preferred_shape = a, idxs, preferred_shape


Ch.__module__, Select.__module__ = "chumpy.ch", "chumpy.reordering"


class _Pickler(pickle._Pickler):  # the one that is written in Python and can be told otherwise
    dispatch: ClassVar[dict[type, Callable[..., None]]] = dict(pickle._Pickler.dispatch)

    def save_text(self, text: str | bytes) -> None:
        """Both are one in Python 2."""
        data = text.encode("latin-1") if isinstance(text, str) else text
        short = len(data) < 256
        head = b"U" + bytes([len(data)]) if short else b"T" + struct.pack("<i", len(data))
        self.write(head + data)  # type: ignore[attr-defined]
        self.memoize(text)  # type: ignore[attr-defined]

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Name a class or function as Python 2 called it."""
        module = _MODULES.get(obj.__module__, obj.__module__)
        self.write(f"c{module}\n{name or obj.__qualname__}\n".encode())  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]

    dispatch[str] = dispatch[bytes] = save_text
    dispatch[type] = save_global
    dispatch[types.BuiltinFunctionType] = dispatch[types.FunctionType] = save_global


def python2_pickle(value: Any) -> bytes:
    """Return a pickle of protocol 2."""
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()

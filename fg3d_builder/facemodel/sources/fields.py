"""Fields of a model's file, each held against what it must be before it is believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from fg3d_builder.errors import CaptureError, printable
from fg3d_builder.records import Array

UNREADABLE = "unreadable_model"
"""Code of the errors of `fg3d_builder.files`; whoever reads a model sees a `ValueError`."""

_LARGEST = 1e9
"""Of any number in a model, in whatever unit; what is larger has overflowed."""

_LAST_CHARACTER = 0x10FFFF

_MOST_LISTED = 20_000_000
"""Numbers in lists of lists. A file names each list once, but may put it to use again and again:
a few hundred bytes can say more numbers than any memory holds."""


@contextmanager
def said_in_a_line() -> Iterator[None]:
    """Turn errors of files into `ValueError`, the one kind that a reader of models raises."""
    try:
        yield
    except CaptureError as error:
        raise ValueError(error.message) from None


class Fields:
    """What a file holds under names.

    Parameters
    ----------
    where : str
        File, for messages.
    values : mapping of str to Any
    """

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where, self._values = where, values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def value(self, name: str) -> Any:
        """Return a field as it is.

        Raises
        ------
        ValueError
            It is not there.
        """
        if name not in self._values:
            raise ValueError(f"{self.where}: field '{name}' is missing")
        return self._values[name]

    def wrong(self, name: str, problem: str) -> ValueError:
        """Return the error for a field."""
        return ValueError(f"{self.where}: field '{name}': {printable(problem)}")

    def numbers(self, name: str) -> Array:
        """Return a field of real numbers as they are, of any shape and size.

        Raises
        ------
        ValueError
            It is missing, or holds other things.
        """
        return self._array(name, "fiu")

    def real(self, name: str, *shape: int | None) -> Array:
        """Return a field of real numbers as float64.

        Parameters
        ----------
        name : str
        *shape : int or None
            Wanted lengths of its axes, None for any.

        Raises
        ------
        ValueError
            It is missing, holds other things than finite real numbers, or has another shape.
        """
        array = self._array(name, "fiu")
        self._shaped(name, array, shape)
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.array(array, dtype=np.float64)
        # Also false where one of them is no number.
        if values.size and not -_LARGEST < values.min() <= values.max() < _LARGEST:
            raise self.wrong(name, "holds what is no finite number, or one beyond 1e9")
        return values

    def spread(self, name: str, length: int | None) -> Array:
        """Return a field (length,) of standard deviations or variances: real, above zero."""
        values = self.real(name, length)
        if values.size and values.min() <= 0:
            raise self.wrong(name, "holds what is not above 0")
        return values

    def indices(self, name: str, count: int, *shape: int | None, first: int = 0) -> Array:
        """Return a field of indices as int32, counted from 0.

        Parameters
        ----------
        name : str
        count : int
            Of the things that are numbered.
        *shape : int or None
            As in `real`.
        first : int
            Number of the first thing in the file.
        """
        array = self._array(name, "fiu")
        self._shaped(name, array, shape)
        if array.size and not first <= array.min() <= array.max() < count + first:
            raise self.wrong(
                name, f"holds a number that is not from {first} to below {count + first}"
            )
        whole = np.asarray(array).astype(np.int64)
        if array.dtype.kind == "f" and not np.array_equal(whole, array):
            raise self.wrong(name, "holds fractions, wanted whole numbers")
        return (whole - first).astype(np.int32)

    def texts(self, name: str, length: int | None) -> tuple[str, ...]:
        """Return a field (length,) of texts."""
        array = np.asarray(self.value(name))
        if array.dtype.kind not in "US" or array.ndim != 1:
            raise self.wrong(name, "no list of texts")
        self._shaped(name, array, (length,))
        return tuple(self._printable(name, array))

    def text(self, name: str) -> str:
        """Return a field that is one text."""
        array = np.asarray(self.value(name))
        if array.dtype.kind not in "US" or array.shape != ():
            raise self.wrong(name, "no text")
        return next(self._printable(name, array[None]))

    def _printable(self, name: str, array: Array) -> Iterator[str]:
        points = np.ascontiguousarray(array)
        if points.dtype.kind == "U" and points.size:
            # Python fails at numbers beyond those of Unicode.
            order = ">" if points.dtype.byteorder == ">" else "<"
            if points.view(f"{order}u4").max() > _LAST_CHARACTER:
                raise self.wrong(name, "holds what is no text")
        for text in points.tolist():
            yield printable(text.decode("latin-1") if isinstance(text, bytes) else text)

    def _array(self, name: str, kinds: str) -> Array:
        value = self.value(name)
        if _listed(value, {}) > _MOST_LISTED:
            raise self.wrong(name, f"lists with more than {_MOST_LISTED} numbers")
        try:
            array = np.asarray(value)
        except ValueError:  # lists of different lengths
            array = np.zeros(0, dtype=object)
        if array.dtype.kind not in kinds:
            found = "texts" if array.dtype.kind in "US" else f"elements of type {array.dtype}"
            raise self.wrong(name, f"expected numbers, found {found}")
        return array

    def _shaped(self, name: str, array: Array, shape: tuple[int | None, ...]) -> None:
        pairs = zip(array.shape, shape, strict=False)
        if array.ndim != len(shape) or any(w is not None and n != w for n, w in pairs):
            wanted = ", ".join("any" if length is None else str(length) for length in shape)
            raise self.wrong(name, f"shape {array.shape}, wanted ({wanted})")


def _listed(value: Any, known: dict[int, int]) -> int:
    """Return how many numbers lists within lists would make, each list looked at once.

    Parameters
    ----------
    value : Any
    known : dict of int to int
        Counts of the lists that were looked at, by their identity.
    """
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, str | bytes):
        return len(value)
    if not isinstance(value, list | tuple):
        return 1
    if id(value) not in known:
        known[id(value)] = 1 + sum(_listed(part, known) for part in value)
    return known[id(value)]

"""Arrays of SMPL-like models as their pickles hold them: Chumpy's objects, sparse matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse as sp

from fg3d_builder.files.inert_numpy import Inert
from fg3d_builder.records import Array

_MOST_ELEMENTS = 200_000_000
_MOST_SELECTIONS = 8
"""A slice of a slice of an array; more would be a circle."""


def array_of(value: Any, selections: int = 0) -> Any:
    """Return the array that a Chumpy object or a sparse matrix stands for; else the value itself.

    Chumpy's ``Ch`` keeps its array as ``x``; its ``Select`` takes elements ``idxs`` of another
    object ``a`` and shapes them.

    Parameters
    ----------
    value : Any
    selections : int
        In how many objects that take elements of another it is.

    Raises
    ------
    ValueError
        Another object, or one without its content.
    """
    if not isinstance(value, Inert):
        return value
    if value.module.split(".")[0] == "scipy":
        return dense_matrix(value)
    if value.module.split(".")[0] != "chumpy":
        raise ValueError(f"an object of {value.module}.{value.name}")
    if value.name == "Select":
        return _selected(value, selections)
    x = value.attribute("x")
    if value.name != "Ch" or isinstance(x, Inert):
        raise ValueError(f"a Chumpy object of kind {value.name}, which would have to be computed")
    return x


def dense_matrix(record: Inert) -> Array:
    """Return a matrix of scipy.sparse, stored by rows or columns, as (rows, columns) float64.

    Raises
    ------
    ValueError
        Of another form, or its indices contradict its shape.
    """
    by_rows = record.name == "csr_matrix"
    if not by_rows and record.name != "csc_matrix":
        raise ValueError(f"a sparse matrix of kind {record.name}, wanted csc_matrix")
    shape = record.attribute("_shape")
    if (
        not isinstance(shape, tuple)
        or len(shape) != 2
        or any(type(n) is not int or n < 0 for n in shape)
        or math.prod(shape) > _MOST_ELEMENTS
    ):
        raise ValueError("a sparse matrix without a shape")
    data, indices, pointers = (_plain(record, name) for name in ("data", "indices", "indptr"))
    major, minor = shape if by_rows else shape[::-1]
    if (
        data.dtype.kind not in "fiu"
        or indices.dtype.kind not in "iu"
        or pointers.dtype.kind not in "iu"
        or pointers.shape != (major + 1,)
        or data.shape != indices.shape
        or pointers[0] != 0
        or np.any(np.diff(pointers.astype(np.int64)) < 0)
        or pointers[-1] != len(data)
        or (len(indices) and not 0 <= indices.min() <= indices.max() < minor)
    ):
        raise ValueError("a sparse matrix whose indices contradict its shape")
    matrix = sp.csr_matrix(
        (data.astype(np.float64), indices.astype(np.int64), pointers.astype(np.int64)),
        shape=(major, minor),
    )
    dense = matrix.toarray()
    return np.asarray(dense if by_rows else dense.T)


def _plain(record: Inert, name: str) -> Array:
    value = record.attribute(name)
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise ValueError(f"a sparse matrix without '{name}'")
    return value


def _selected(record: Inert, selections: int) -> Array:
    if selections >= _MOST_SELECTIONS:
        raise ValueError(f"Chumpy objects Select in more than {_MOST_SELECTIONS} others")
    whole = array_of(record.attribute("a"), selections + 1)
    index, shape = record.attribute("idxs"), record.attribute("preferred_shape")
    if (
        not isinstance(whole, np.ndarray)
        or not isinstance(index, np.ndarray)
        or index.dtype.kind not in "iu"
        or (index.size and not 0 <= index.min() <= index.max() < whole.size)
    ):
        raise ValueError("a Chumpy object Select without its content")
    taken = whole.ravel()[index.ravel().astype(np.int64)]
    if shape is None:
        return np.asarray(taken)
    shaped = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not shaped or math.prod(shape) != taken.size:
        raise ValueError("a Chumpy object Select of another shape")
    return taken.reshape(shape)

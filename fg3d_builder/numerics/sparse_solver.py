"""Symmetric positive definite sparse systems: analyse a pattern once, factor it many times.

Two backends behind one interface. ``"cholmod"`` (scikit-sparse) is what the pipeline is
made for. ``"superlu"`` (scipy) needs nothing but wheels, is several times slower and serves
as the reference that CHOLMOD is tested against. The choice is the caller's, never a silent
fallback.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from fg3d_builder.errors import ConfigError, MissingDependencyError
from fg3d_builder.records import Array

BACKENDS = ("cholmod", "superlu")

_LOG = logging.getLogger(__name__)


class SparseFactor(Protocol):
    """A factored matrix."""

    def solve(self, right_hand_side: Array) -> Array:
        """Return ``A^-1 b`` for (n,) or (n, k) right-hand sides, in their shape."""
        ...


class SymbolicAnalysis(Protocol):
    """What is known of a matrix from its pattern alone."""

    def factor(self, values: Array, reuse: SparseFactor | None = None) -> SparseFactor:
        """Factor the matrix with the analysed pattern and these values.

        Parameters
        ----------
        values : (nnz,) float64
            In the order of the analysed matrix's ``data``. Explicit zeros are fine: it is
            the pattern that must stay.
        reuse : SparseFactor, optional
            An earlier factor of this analysis that is no longer needed: its memory is
            overwritten. A factor takes a hundred megabytes, and getting them from the
            system anew each time costs a third of the factorisation.

        Raises
        ------
        numpy.linalg.LinAlgError
            The matrix is not positive definite (CHOLMOD) or singular (SuperLU).
        """
        ...


def analyze(
    lower: sp.csc_matrix,
    backend: str = "cholmod",
    supernodal: bool = True,
    ordering: str = "metis",
) -> SymbolicAnalysis:
    """Analyse the pattern of a symmetric matrix.

    Parameters
    ----------
    lower : (n, n) csc_matrix
        Its lower triangle with the diagonal; only the pattern is used, indices sorted.
    backend : str
        One of `BACKENDS`.
    supernodal : bool
        CHOLMOD's dense blocks pay where several rows share a pattern. Without them a matrix
        must be known to be positive definite: the factorisation does not notice otherwise.
    ordering : {"metis", "amd"}
        CHOLMOD's: nested dissection is best for meshes that are factored often, minimum degree
        is found several times faster and serves small patterns of one capture.

    Raises
    ------
    MissingDependencyError
        scikit-sparse is not installed and ``"cholmod"`` is asked for.
    ConfigError
        Unknown backend.
    ValueError
        An entry above the diagonal, or unsorted indices.
    """
    if not lower.has_sorted_indices:
        raise ValueError("the pattern's row indices must be sorted")
    columns = np.repeat(np.arange(lower.shape[1]), np.diff(lower.indptr))
    if np.any(lower.indices < columns):
        raise ValueError("the pattern has entries above the diagonal")
    if backend == "cholmod":
        return _CholmodAnalysis(lower, supernodal, ordering)
    if backend == "superlu":
        _warn_of_superlu()
        return _SuperLuAnalysis(lower, columns)
    raise ConfigError(f"unknown sparse solver '{backend}'; known are {', '.join(BACKENDS)}")


def lower_pattern(size: int, *entries: Array) -> tuple[sp.csc_matrix, list[Array]]:
    """Make the pattern of a symmetric matrix from its entries on and below the diagonal.

    Parameters
    ----------
    size : int
        Rows of the matrix.
    *entries : int64 of any shape
        Entries as column times `size` plus row; an entry may occur more than once.

    Returns
    -------
    lower : (size, size) csc_matrix
        All its values are 1.
    positions : list of int64
        For each of `entries`, in its shape, where in ``lower.data`` they are.
    """
    keys = np.unique(np.concatenate([entry.ravel() for entry in entries]))
    counts = np.bincount(keys // size, minlength=size)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    lower = sp.csc_matrix(
        (np.ones(len(keys)), (keys % size).astype(np.int32), indptr), (size, size)
    )
    return lower, [np.searchsorted(keys, entry) for entry in entries]


@lru_cache(maxsize=1)
def _warn_of_superlu() -> None:
    """Log that this process, which may solve thousands of systems, does it slowly."""
    _LOG.warning("sparse systems are solved with SuperLU, which is several times slower")


class _CholmodAnalysis:
    """Cholesky; nested dissection is the fastest ordering for surface meshes."""

    def __init__(self, lower: sp.csc_matrix, supernodal: bool, ordering: str) -> None:
        try:
            from sksparse import cholmod
        except ImportError as error:
            raise MissingDependencyError(
                "the sparse solver 'cholmod' needs scikit-sparse 0.4.16, which builds against "
                "the system package libsuitesparse-dev (pip install 'scikit-sparse<0.5'); "
                f"registration.solver = 'superlu' works without it, slowly ({error})"
            ) from None
        self._error = cholmod.CholmodError
        self._lower = lower
        # CHOLMOD analyses the pattern; the values only have to be there.
        ones = sp.csc_matrix((np.ones(lower.nnz), lower.indices, lower.indptr), lower.shape)
        mode = "supernodal" if supernodal else "simplicial"
        self._symbolic = cholmod.analyze(ones, mode=mode, ordering_method=ordering)

    def factor(self, values: Array, reuse: SparseFactor | None = None) -> SparseFactor:
        lower = self._lower
        matrix = sp.csc_matrix((values, lower.indices, lower.indptr), lower.shape)
        if not isinstance(reuse, _CholmodFactor):
            reuse = _CholmodFactor(self._symbolic.copy())
        try:
            reuse.numeric.cholesky_inplace(matrix)
        except self._error as error:
            raise np.linalg.LinAlgError(str(error)) from None
        return reuse


class _CholmodFactor:
    def __init__(self, numeric: Any) -> None:
        self.numeric = numeric

    def solve(self, right_hand_side: Array) -> Array:
        return np.asarray(self.numeric.solve_A(np.asarray(right_hand_side, dtype=np.float64)))


class _SuperLuAnalysis:
    def __init__(self, lower: sp.csc_matrix, columns: Array) -> None:
        rows = lower.indices
        below = rows != columns
        self._rows = np.concatenate([rows, columns[below]])
        self._columns = np.concatenate([columns, rows[below]])
        self._below = below
        self._shape = lower.shape

    def factor(self, values: Array, reuse: SparseFactor | None = None) -> SparseFactor:
        both = np.concatenate([values, values[self._below]])
        matrix = sp.csc_matrix((both, (self._rows, self._columns)), shape=self._shape)
        try:
            numeric = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        except RuntimeError as error:
            raise np.linalg.LinAlgError(str(error)) from None
        return _SuperLuFactor(numeric)


class _SuperLuFactor:
    def __init__(self, numeric: Any) -> None:
        self._numeric = numeric

    def solve(self, right_hand_side: Array) -> Array:
        return np.asarray(self._numeric.solve(np.asarray(right_hand_side, dtype=np.float64)))

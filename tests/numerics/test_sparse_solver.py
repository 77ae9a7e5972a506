"""Both backends against dense algebra; a reused analysis against a fresh one."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from fg3d_builder.errors import ConfigError, MissingDependencyError
from fg3d_builder.numerics.sparse_solver import BACKENDS, analyze
from fg3d_builder.records import Array

SIZE = 60


def random_system(seed: int) -> tuple[sp.csc_matrix, Array]:
    """Lower triangle of a random positive definite sparse matrix, and the dense whole."""
    rng = np.random.default_rng(seed)
    pattern = sp.random(SIZE, SIZE, density=0.05, rng=7) != 0
    values = pattern.multiply(rng.normal(size=(SIZE, SIZE)))
    dense = (values @ values.T + sp.identity(SIZE)).toarray()
    known = (pattern @ pattern.T + sp.identity(SIZE)).toarray() != 0
    lower = sp.csc_matrix(np.tril(known).astype(float))
    lower.data[:] = dense[tuple(np.array(lower.nonzero()))]
    rows, columns = lower.indices, np.repeat(np.arange(SIZE), np.diff(lower.indptr))
    lower.data[:] = dense[rows, columns]
    return lower, dense


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(SIZE,), (SIZE, 3)])
def test_solution_equals_dense_algebra(backend: str, shape: tuple[int, ...]) -> None:
    lower, dense = random_system(0)
    side = np.random.default_rng(1).normal(size=shape)
    solution = analyze(lower, backend).factor(lower.data).solve(side)
    assert solution.shape == shape
    np.testing.assert_allclose(solution, np.linalg.solve(dense, side), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_reused_analysis_equals_a_fresh_one(backend: str) -> None:
    first, _ = random_system(0)
    second, dense = random_system(5)
    np.testing.assert_array_equal(first.indices, second.indices)
    side = np.ones(SIZE)
    analysis = analyze(first, backend)
    kept = analysis.factor(first.data)
    before = kept.solve(side)
    reused = analysis.factor(second.data).solve(side)
    fresh = analyze(second, backend).factor(second.data).solve(side)
    np.testing.assert_allclose(reused, fresh, rtol=1e-12)
    np.testing.assert_allclose(reused, np.linalg.solve(dense, side), rtol=1e-9)
    # An earlier factor stays what it was, unless it is given back.
    np.testing.assert_array_equal(kept.solve(side), before)
    overwritten = analysis.factor(second.data, reuse=kept).solve(side)
    np.testing.assert_array_equal(overwritten, reused)


def test_explicit_zeros_are_fine() -> None:
    lower, _ = random_system(0)
    columns = np.repeat(np.arange(SIZE), np.diff(lower.indptr))
    diagonal = np.where(lower.indices == columns, lower.data, 0.0)
    for backend in BACKENDS:
        solution = analyze(lower, backend).factor(diagonal).solve(np.ones(SIZE))
        np.testing.assert_allclose(solution, 1.0 / diagonal[lower.indices == columns])


def test_a_matrix_that_is_not_positive_definite_is_refused() -> None:
    lower, _ = random_system(0)
    with pytest.raises(np.linalg.LinAlgError):
        analyze(lower).factor(-lower.data)


def test_wrong_patterns_and_backends_are_refused() -> None:
    lower, dense = random_system(0)
    with pytest.raises(ConfigError, match="known are cholmod, superlu"):
        analyze(lower, "pardiso")
    with pytest.raises(ValueError, match="above the diagonal"):
        analyze(sp.csc_matrix(dense))


def test_missing_scikit_sparse_is_said_and_not_papered_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lower, _ = random_system(0)
    real: Callable[..., Any] = builtins.__import__

    def blocked(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("sksparse"):
            raise ImportError("not here")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", blocked)
    monkeypatch.delitem(sys.modules, "sksparse.cholmod", raising=False)
    with pytest.raises(MissingDependencyError, match="libsuitesparse-dev"):
        analyze(lower)
    assert analyze(lower, "superlu").factor(lower.data).solve(np.ones(SIZE)).shape == (SIZE,)

"""The Poisson solver of painted views beside sparse libraries, on the holes of real views.

`python -m benchmarks.poisson` turns synthetic captures as a build does, keeps every equation that
their painting solves (three channels, views of 256 x 256), and solves each one by our multigrid,
by CHOLMOD and SuperLU (analysed each time: every hole has its own pattern) and, where pyamg is
installed, by its two multigrid methods with conjugate gradients. All get the same believed border
and the same tolerance; the libraries' time contains the assembly of their matrix. Writes
build/bench/poisson.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from benchmarks.fullview import TURNS, camera_of
from benchmarks.timings import machine
from benchmarks.turned_heads import Frontals
from benchmarks.turning import turnable, turned
from fg3d_builder.config import FaceModelConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fullview import inpaint, poisson
from fg3d_builder.fullview.augment import FULL_VIEW
from fg3d_builder.heads.library import get_model
from fg3d_builder.numerics.sparse_solver import analyze
from fg3d_builder.records import Array


class Hole(NamedTuple):
    """The arguments of one `poisson.membrane`."""

    known: Array
    unknown: Array
    border: Array
    screen: float
    tolerance: float


def holes_of_views(model: FaceModel, subjects: int, seed: int) -> list[Hole]:
    """Turn captures and keep what their painting solves."""
    holes: list[Hole] = []
    solve = poisson.corrections

    def kept(known: Array, *equation: Any) -> Array:
        *others, largest = equation
        holes.append(Hole(np.clip(known, -largest, largest), *others))
        return solve(known, *equation)

    with patch.object(inpaint, "corrections", kept):
        for frontal in Frontals(model, Path()).synthetic(subjects, seed):
            ready = turnable(model, frontal.capture, frontal.registration, FULL_VIEW)
            for turn in (turn for turn in TURNS if any(turn)):
                turned(ready, camera_of(model, frontal, *turn))
    return [hole for hole in holes if hole.unknown.any()]


def assembled(hole: Hole) -> tuple[sp.csc_matrix, Array, Array]:
    """Return the lower triangle, the right-hand side (k, 3) and the pixels that it is about.

    The equation is `membrane`'s: every unknown pixel is the mean of its unknown and border
    neighbours and of a zero of the weight `screen`.
    """
    unknown = poisson.held(hole.unknown, hole.border)
    count = int(unknown.sum())
    number = np.full(unknown.shape, -1)
    number[unknown] = np.arange(count)
    diagonal = np.full(count, hole.screen)
    right = np.zeros((count, hole.known.shape[2]))
    rows, columns = [np.arange(count)], [np.arange(count)]
    for one, other in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        a, b = number[one], number[other]
        both = (a >= 0) & (b >= 0)
        diagonal += np.bincount(a[both], minlength=count) + np.bincount(b[both], minlength=count)
        rows.append(b[both])
        columns.append(a[both])
        for mine, theirs in ((a, other), (b, one)):
            pulled = (mine >= 0) & hole.border[theirs]
            diagonal += np.bincount(mine[pulled], minlength=count)
            np.add.at(right, mine[pulled], hole.known[theirs][pulled])
    values = np.concatenate([diagonal, np.full(sum(map(len, rows[1:])), -1.0)])
    place = (np.concatenate(rows), np.concatenate(columns))
    lower = sp.csc_matrix((values, place), shape=(count, count))
    lower.sort_indices()
    return lower, right, unknown


def by_multigrid(hole: Hole) -> Array:
    """Ours."""
    return poisson.membrane(*hole)


def by_cholmod(hole: Hole) -> Array:
    """A sparse Cholesky factor through `numerics.sparse_solver`."""
    lower, right, unknown = assembled(hole)
    out = np.zeros(hole.known.shape)
    out[unknown] = analyze(lower, "cholmod", supernodal=False).factor(lower.data).solve(right)
    return out


def by_cholmod_amd(hole: Hole) -> Array:
    """CHOLMOD at its best for such holes: ordered by approximate minimum degree."""
    from sksparse import cholmod

    lower, right, unknown = assembled(hole)
    out = np.zeros(hole.known.shape)
    out[unknown] = cholmod.cholesky(lower, mode="simplicial", ordering_method="amd")(right)
    return out


def by_superlu(hole: Hole) -> Array:
    """A sparse LU factor of SciPy."""
    lower, right, unknown = assembled(hole)
    matrix = (lower + sp.tril(lower, -1).T).tocsc()
    out = np.zeros(hole.known.shape)
    factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    out[unknown] = factor.solve(right)
    return out


def by_pyamg(method: str) -> Callable[[Hole], Array]:
    """Conjugate gradients with one of pyamg's hierarchies, channel by channel."""
    import pyamg

    make = {"smoothed": pyamg.smoothed_aggregation_solver, "classical": pyamg.ruge_stuben_solver}

    def solved(hole: Hole) -> Array:
        lower, right, unknown = assembled(hole)
        matrix = (lower + sp.tril(lower, -1).T).tocsr()
        hierarchy = make[method](matrix)
        out = np.zeros(hole.known.shape)
        channels = [hierarchy.solve(b, tol=hole.tolerance, accel="cg") for b in right.T]
        out[unknown] = np.stack(channels, axis=1)
        return out

    return solved


def measured(solve: Callable[[Hole], Array], holes: list[Hole], repeats: int) -> dict[str, float]:
    """Return the least processor time of several runs, and the error.

    The error is the largest difference to the exact solution, as a part of the largest value
    that the border holds.
    """
    times, errors = [], []
    for hole in holes:
        error = np.abs(solve(hole) - by_superlu(hole)).max()
        errors.append(error / max(float(np.abs(hole.known).max()), 1e-12))
        laps = []
        for _ in range(repeats):
            start = time.process_time()
            solve(hole)
            laps.append(1e3 * (time.process_time() - start))
        times.append(min(laps))
    return {
        "median_ms": float(np.median(times)),
        "largest_ms": max(times),
        "median_error": float(np.median(errors)),
        "largest_error": max(errors),
    }


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("build/bench/poisson.json"))
    arguments = parser.parse_args()
    holes = holes_of_views(get_model(FaceModelConfig()), arguments.subjects, arguments.seed)
    solvers: dict[str, Callable[[Hole], Array]] = {
        "our multigrid": by_multigrid,
        "CHOLMOD": by_cholmod,
        "CHOLMOD, AMD": by_cholmod_amd,
        "SuperLU": by_superlu,
    }
    if importlib.util.find_spec("pyamg"):
        solvers |= {f"pyamg, {name}": by_pyamg(name) for name in ("smoothed", "classical")}
    found = {name: measured(solve, holes, arguments.repeats) for name, solve in solvers.items()}
    sizes = [int(hole.unknown.sum()) for hole in holes]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(), "unknown_pixels": sizes, "solvers": found}
    arguments.out.write_text(json.dumps(result, indent=1))
    print(
        f"{len(sizes)} holes of {min(sizes)} to {max(sizes)} pixels, median {np.median(sizes):.0f}"
    )
    for name, figures in found.items():
        print(f"{name:18s}" + "".join(f"  {key} {value:9.4f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()

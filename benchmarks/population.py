"""How real faces vary, in the embedded head's own shape parameters.

`python -m benchmarks.population` carries ICT-FaceKit's identities and the MeshMonk faces into the
embedded topology, fits the local shape axes of the head to them, and compares how synthetic
people vary with how they do. `--fit` writes what it finds to templates/real-faces.toml: means,
common factors and own deviations of the axes, no face of either source. Heads are built from
that file; docs/facemodels.md says how it is estimated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tomli_w

from benchmarks.real_faces import RealFaces, ict_faces, meshmonk_faces
from benchmarks.shape_axes import AxisFit, ShapeAxes, to_both_and_apart
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.model import PARTS
from fg3d_builder.heads.library import default_model, head_population
from fg3d_builder.heads.makehuman import macro_weights
from fg3d_builder.heads.population import HeadPopulation
from fg3d_builder.heads.recipe import REAL_FACES_NAME, templates_folder
from fg3d_builder.records import Array

PHENOTYPE_SHARE = 0.75
"""Share of MakeHuman's phenotypes in shape: with more of it, their leading direction (size)
would vary more than it does in real faces."""

LIMIT = 1.0
"""Bound of every axis; MakeHuman's own sliders end there."""

FACTORS = {"both_sides": 24, "sides_apart": 8}

PHENOTYPES = 300
"""Drawn to find what phenotypes do to the shape axes."""


class Moments(NamedTuple):
    """Mean (a,) and covariance (a, a) of the axes' values."""

    mean: Array
    covariance: Array


def pooled(parts: list[Moments], sizes: list[int]) -> Moments:
    """Return the moments of a mixture of populations that count by their sizes."""
    shares = np.array(sizes) / sum(sizes)
    mean = sum(share * part.mean for share, part in zip(shares, parts, strict=True))
    covariance = np.zeros((len(mean), len(mean)))
    for share, part in zip(shares, parts, strict=True):
        apart = part.mean - mean
        covariance += share * (part.covariance + np.outer(apart, apart))
    return Moments(mean, covariance)


def of_source(fit: AxisFit, faces: RealFaces) -> Moments:
    """Return the moments of the axes over a source of faces.

    What the faces do not determine keeps the spread of the prior: the posterior's covariance
    is added.
    """
    values = fit.values(faces.deviations_mm)
    return Moments(fit.centre, values.T @ values + fit.posterior_covariance())


def of_phenotypes(axes: ShapeAxes, population: HeadPopulation, fit: AxisFit) -> Moments:
    """Return the moments of the axes that stand for what MakeHuman's phenotypes do."""
    sampler = population.sampler
    drawn = []
    for seed in range(PHENOTYPES):
        macro = sampler.draw_macro(np.random.default_rng([20_000_000 + seed]))
        drawn.append(axes.phenotype_mm(macro_weights(macro)) - axes.start_mm)
    values = fit.values(np.array(drawn))
    return Moments(values.mean(axis=0), np.cov(values.T))


def remaining(real: Moments, phenotypes: Moments, share: float, metric: Array) -> Moments:
    """Return the moments that, with the phenotypes' share, add up to the real ones.

    Where phenotypes alone vary more than real faces, nothing is left: negative variances, in
    the metric (a, a) of the displacement that the axes cause, are taken for zero.
    """
    left = real.covariance - share**2 * phenotypes.covariance
    value, vector = np.linalg.eigh(metric)
    root = (vector * np.sqrt(value)) @ vector.T
    inverse = (vector / np.sqrt(value)) @ vector.T
    value, vector = np.linalg.eigh(root @ left @ root)
    kept = (vector * np.maximum(value, 0.0)) @ vector.T
    return Moments(real.mean - share * phenotypes.mean, inverse @ kept @ inverse)


def factors(covariance: Array, metric: Array, count: int) -> tuple[Array, Array]:
    """Split a covariance (a, a) into loadings (a, count) and own deviations (a,).

    The loadings hold what displaces the face most, by the metric (a, a).
    """
    value, vector = np.linalg.eigh(metric)
    root, inverse = np.sqrt(value), 1.0 / np.sqrt(value)
    to_metric, from_metric = (vector * root) @ vector.T, (vector * inverse) @ vector.T
    value, vector = np.linalg.eigh(to_metric @ covariance @ to_metric)
    order = np.argsort(-value)[:count]
    loadings = from_metric @ (vector[:, order] * np.sqrt(np.maximum(value[order], 0.0)))
    # Signs of eigenvectors are arbitrary: fixed, so that the file does not change by chance.
    largest = loadings[np.argmax(np.abs(loadings), axis=0), np.arange(loadings.shape[1])]
    loadings = loadings * np.where(largest < 0, -1.0, 1.0)
    # Of the rest each axis gets its share of what the rest displaces. The diagonal of the rest
    # itself would be too much: axes that overlap vary against each other.
    rest = to_metric @ (covariance - loadings @ loadings.T) @ to_metric
    own = np.sqrt(np.maximum(np.diag(rest), 0.0) / np.diag(metric))
    return loadings, own


def estimate(model: FaceModel, population: HeadPopulation, data: Path) -> dict[str, object]:
    """Return the content of templates/real-faces.toml."""
    axes = ShapeAxes.of(population)
    sources = [ict_faces(model, data), meshmonk_faces(model, data)]
    fits = [AxisFit.to(axes, faces.mean_mm, faces.weights) for faces in sources]
    for faces, fit in zip(sources, fits, strict=True):
        print(f"{faces.name}: mean face within {fit.residual_mm:.2f} mm RMS of the axes' span")
    parts = [of_source(fit, faces) for fit, faces in zip(fits, sources, strict=True)]
    real = pooled(parts, [len(faces.deviations_mm) for faces in sources])
    middle = AxisFit.to(axes, axes.start_mm, axes.weights)
    phenotypes = of_phenotypes(axes, population, middle)
    metric = axes.metric()
    local = remaining(real, phenotypes, PHENOTYPE_SHARE, metric)
    table: dict[str, object] = {
        "source": "ICT-FaceKit's 100 identity modes (MIT) and the 30 faces of MeshMonk "
        "(Apache-2.0), counted by these numbers; python -m benchmarks.population --fit",
        "phenotype_share": PHENOTYPE_SHARE,
        "limit": LIMIT,
    }
    split = to_both_and_apart(axes)
    for kind, rows in split.items():
        select = rows.matrix
        mean = select @ local.mean if kind == "both_sides" else np.zeros(len(select))
        back = np.linalg.pinv(select)
        loadings, own = factors(
            select @ local.covariance @ select.T, back.T @ metric @ back, FACTORS[kind]
        )
        table[kind] = {
            name: [round(float(x), 4) for x in (mean[i], own[i], *loadings[i])]
            for i, name in enumerate(rows.names)
        }
    return table


def compare(model: FaceModel, population: HeadPopulation, data: Path, people: int) -> dict:
    """Compare the means and deviations of synthetic people with those of real faces, mm."""
    drawn = np.array([population.neutral(40_000_000 + i)[1] for i in range(people)])
    report = {}
    for faces in (ict_faces(model, data), meshmonk_faces(model, data)):
        used = faces.weights > 0
        ours = faces.aligned_mm(drawn)
        apart = np.linalg.norm(ours.mean(axis=0) - faces.mean_mm, axis=1)[used]
        own = np.sqrt(((ours - ours.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))[used]
        real = np.sqrt((faces.deviations_mm**2).sum(axis=2).sum(axis=0))[used]
        row = {"means_apart_mm": float(np.median(apart))}
        for number, part in enumerate(PARTS):
            here = model.parts[used] == number
            row |= {
                f"{part}_synthetic_mm": float(np.median(own[here])),
                f"{part}_real_mm": float(np.median(real[here])),
            }
        report[faces.name] = row
    return report


def main() -> None:
    """Fit or compare, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--fit", action="store_true", help=f"write templates/{REAL_FACES_NAME}")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("build/bench/population.json"))
    arguments = parser.parse_args()
    model, population = default_model(), head_population()
    if arguments.fit:
        table = estimate(model, population, arguments.data)
        file = templates_folder() / REAL_FACES_NAME
        file.write_text(HEADER + _rows(table), encoding="utf-8")
        print(f"written to {file.name}; the heads are built anew when they are next used")
        return
    report = compare(model, population, arguments.data, arguments.people)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1))
    for name, row in report.items():
        print(name, "  ".join(f"{key} {value:.2f}" for key, value in row.items()))


HEADER = """\
# How the local shape axes of the embedded head are distributed among real people. Figures only,
# made by `python -m benchmarks.population --fit`; docs/facemodels.md says how. Rows are
# [mean, own deviation, loadings on common factors]; both_sides is what left and right have in
# common, sides_apart half of their difference.

"""


def _rows(table: dict[str, object]) -> str:
    """TOML with a row a line: tomli_w would give every figure its own."""
    plain = {k: v for k, v in table.items() if not isinstance(v, dict)}
    text = tomli_w.dumps(plain)
    for kind, rows in table.items():
        if isinstance(rows, dict):
            text += f"\n[{kind}]\n"
            text += "".join(f'"{name}" = {json.dumps(row)}\n' for name, row in rows.items())
    return text


if __name__ == "__main__":
    main()

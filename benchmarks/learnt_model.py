"""Does a learnt model explain faces that it has not seen better than the one it came from?

`python -m benchmarks.learnt_model meshmonk` learns from the 30 MeshMonk faces, registered one by
one, leaves parts of them out and reconstructs these; `python -m benchmarks.learnt_model synthetic`
learns from registrations of 200 synthetic subjects and reconstructs the true faces of others. Both
models reconstruct in the same way: least squares over pose and the first modes, without a prior.
Results are in build/bench/learnt-PART.json and .png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learnt_meshmonk import Surfaces, identities, meshmonk_registrations
from benchmarks.learnt_registrations import registrations, true_neutral_faces
from benchmarks.surfaces import Surface
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.learning.choice import chosen, mode_grid
from fg3d_builder.facemodel.learning.components import (
    OldModel,
    even_sample,
    fold_of,
    learnt_components,
    linear_of,
)
from fg3d_builder.facemodel.learning.learn import Subjects, by_subject
from fg3d_builder.facemodel.learning.reconstruction import LinearShapes, Reconstructor
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.heads.library import default_model
from fg3d_builder.records import Array
from fg3d_builder.report.curves import Curve, Panel, curves_picture

OUT = Path("build/bench")
VERTICES = 2500
FOLDS = 6
TITLES = {
    "meshmonk": "MeshMonk faces left out",
    "synthetic": "true faces of other synthetic people",
}
TRAIN_SEED, HELD_OUT_SEED = 200, 201


def meshmonk(model: FaceModel, data: Path, prior: float | None) -> dict[str, Any]:
    """Leave each sixth of the MeshMonk faces out in turn."""
    surfaces = meshmonk_registrations(model, data)
    faces = identities(surfaces)
    names = faces.subjects
    whole = OldModel.of_shapes(model)
    vertices = even_sample(whole, VERTICES)
    old, faces = whole.at(vertices), faces.at(vertices)
    measured = old.measurements * model.reliable[vertices]
    grid = mode_grid(old.linear.basis.shape[2])
    fold = fold_of(names, FOLDS)
    rows: dict[str, list[Array]] = {"learnt": [], "old": []}
    priors = []
    for number in range(FOLDS):
        rest = faces.subset(fold != number)
        # The strength of the prior is chosen without the faces that are left out, too.
        prior_subjects = chosen(old, rest, grid[-1], prior).prior_subjects
        priors.append(prior_subjects)
        learnt = linear_of(learnt_components(old, rest, grid[-1], prior_subjects))
        for row in np.flatnonzero(fold == number).tolist():
            weights = faces.confidence[row] * measured
            for name, linear in (("learnt", learnt), ("old", old.linear)):
                rows[name].append(_errors(linear, faces.values[row], weights, grid, surfaces, row))
        text = f"fold {number + 1} of {FOLDS}: the old model counts as {prior_subjects:g} faces"
        print(text, flush=True)
    result = {"modes": grid, "faces": len(names), "folds": FOLDS, "prior_subjects": priors}
    return result | _summary(np.array(rows["learnt"]), np.array(rows["old"]))


def _errors(
    model: LinearShapes,
    shape: Array,
    weights: Array,
    grid: list[int],
    surfaces: Surfaces | None = None,
    row: int = 0,
) -> Array:
    """(2, m) mean distances of reconstructions to the registered vertices and to the surface."""
    reconstruct = Reconstructor(model, shape, weights)
    used = weights > 0
    share = weights[used] / weights[used].sum()
    source = None
    if surfaces is not None:
        source = Surface(surfaces.source_mm[row], surfaces.source_triangles)
    out = np.full((2, len(grid)), np.nan)
    for i, modes in enumerate(grid):
        found = reconstruct(modes)
        out[0, i] = share @ found.distance_mm[used]
        if source is not None:
            out[1, i] = share @ source.distance_mm(found.shape_mm[used])
    return out


def synthetic(
    model: FaceModel, subjects: int, captures: int, prior: float | None
) -> dict[str, Any]:
    """Learn from registrations; reconstruct the true faces of subjects of another seed."""
    collected = Subjects(model)
    for group in by_subject(registrations(model, TRAIN_SEED, subjects, captures)):
        collected.add(group)
    held_out = true_neutral_faces(HELD_OUT_SEED, 60).astype(np.float32)
    whole = OldModel.of_shapes(model)
    vertices = even_sample(whole, VERTICES)
    old, faces = whole.at(vertices), collected.identities().at(vertices)
    measured = old.measurements * model.reliable[vertices]
    grid = mode_grid(100)
    choice = chosen(old, faces, grid[-1], prior)
    print(f"the old model counts as {choice.prior_subjects:g} subjects: {choice.by_prior}")
    learnt = linear_of(learnt_components(old, faces, grid[-1], choice.prior_subjects))
    within = [count for count in grid if count <= old.linear.basis.shape[2]]
    rows: dict[str, list[Array]] = {"learnt": [], "old": []}
    for shape in held_out[:, vertices]:
        rows["learnt"].append(_errors(learnt, shape, measured, grid))
        known = _errors(old.linear, shape, measured, within)
        # Beyond its last mode the old model stays what it is.
        rows["old"].append(np.pad(known, ((0, 0), (0, len(grid) - len(within))), "edge"))
    result = {
        "modes": grid,
        "subjects": len(faces.subjects),
        "held_out": len(held_out),
        "prior_subjects": choice.prior_subjects,
        "by_prior": {str(key): value for key, value in choice.by_prior.items()},
    }
    return result | _summary(np.array(rows["learnt"]), np.array(rows["old"]))


def _summary(learnt: Array, old: Array) -> dict[str, Any]:
    """Means over faces (s, 2, m), standard errors of the differences, and who is better."""
    apart = learnt - old
    error = apart.std(axis=0, ddof=1) / np.sqrt(len(apart))
    table: dict[str, Any] = {}
    for i, what in enumerate(("vertices", "surface")):
        if np.isnan(learnt[:, i]).all():
            continue
        table[what] = {
            "learnt_mm": learnt[:, i].mean(axis=0).tolist(),
            "old_mm": old[:, i].mean(axis=0).tolist(),
            "difference_se_mm": error[i].tolist(),
            "faces_better": (apart[:, i] < 0).mean(axis=0).tolist(),
        }
    return table


def show(part: str, result: dict[str, Any]) -> None:
    """Print a table; write figures and curves."""
    for what in ("vertices", "surface"):
        if what in result:
            print(f"{part}, mean distance to the {what}, mm")
            print("modes    " + "".join(f"{count:8d}" for count in result["modes"]))
            for name in ("learnt_mm", "old_mm", "difference_se_mm", "faces_better"):
                print(f"{name[:9]:9}" + "".join(f"{v:8.3f}" for v in result[what][name]))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"learnt-{part}.json").write_text(json.dumps(result, indent=1))
    write_bytes(OUT / f"learnt-{part}.png", encode_png(curves_picture([panel(part, result)])))


def panel(part: str, result: dict[str, Any]) -> Panel:
    """Return the curves of a part."""
    curves = []
    for what, style in (("vertices", "-"), ("surface", "--")):
        if what in result:
            rows, modes = result[what], result["modes"]
            curves.append(Curve(f"learnt, {what}", modes, rows["learnt_mm"], style, 0))
            curves.append(Curve(f"embedded, {what}", modes, rows["old_mm"], style, 1))
    return Panel(TITLES[part], "mean distance, mm", curves)


def main() -> None:
    """Measure the parts that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=("meshmonk", "synthetic"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--subjects", type=int, default=200)
    parser.add_argument("--captures", type=int, default=1, choices=(1, 2))
    parser.add_argument("--prior", type=float, help="subjects that the old model counts as")
    arguments = parser.parse_args()
    model = default_model()
    for part in arguments.parts:
        if part == "meshmonk":
            result = meshmonk(model, arguments.data, arguments.prior)
        else:
            result = synthetic(model, arguments.subjects, arguments.captures, arguments.prior)
        show(part, result)


if __name__ == "__main__":
    main()

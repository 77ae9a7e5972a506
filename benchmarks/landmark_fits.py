"""How well a face model's prior places a face by landmarks alone: DACE (Eq. 20) of the fit.

`python -m benchmarks.landmark_fits --data ../shared/data` fits the model to the landmarks of real
scans, phone frames and textured heads, and measures the fit against the registration of the depth
that it did not see and against the surface of that depth, over reliable vertices that the
registration is sure of. It also says how much of the misfit is one displacement common to all
faces of a set, which is what a biased mean face shows as. Writes build/bench/landmark_fits.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.prediction import truth_of
from fg3d_builder.captures import open_source
from fg3d_builder.config import BuildConfig, FaceModelConfig, SourceConfig
from fg3d_builder.evaluation import Correspondence, dace, interocular_mm, nme
from fg3d_builder.evaluation.places import outer_eye_corners
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fitting import fit_landmarks
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.records import Array, Capture

SETS = ("facefuns", "lee", "sven", "heads")

SCANS = {
    "facefuns": ("scans", "facefuns-*", 1.0, (0.0, 30.0)),
    "lee": ("scans", "lee-*", 0.0, (0.0, 30.0)),
    "heads": ("heads", "*", 1.0, (0.0,)),
}
"""Folder, names, unit in mm (0 is found), and yaws of the pictures, by set."""


def captures(name: str, data: Path) -> Iterator[Capture]:
    """Yield the captures of a set: frames, or scans and heads as they are rendered."""
    if name == "sven":
        source = open_source(SourceConfig(kind="folder", path=str(data / "captures")))
    else:
        folder, pattern, unit_mm, yaws = SCANS[name]
        views = tuple((0.0, yaw) for yaw in yaws)
        source = open_source(
            SourceConfig(
                kind="scan",
                path=str(data / folder),
                include=(pattern,),
                unit_mm=unit_mm,
                views=views,
            )
        )
    for entry in source.entries():
        yield source.load(entry)


class Measured(NamedTuple):
    """A fit's figures and its displacements (n, 3) from the registration; NaN outside of C."""

    row: dict[str, Any]
    apart_mm: Array


def measure(model: FaceModel, capture: Capture) -> Measured:
    """Fit the model to the capture's landmarks and compare the shape with the registered one."""
    config = BuildConfig()
    landmarks = open_detector(config.landmarks).detect(capture)
    fit = fit_landmarks(model, landmarks, capture.intrinsics, config.fit)
    truth = truth_of(model, capture, landmarks)
    between = interocular_mm(truth.shape_mm, outer_eye_corners(model))
    pairs = Correspondence.same_topology(truth.members)
    surface = dace(fit.shape_obj_mm, truth.shape_mm, pairs, truth.scan, between)
    own = nme(fit.shape_obj_mm, truth.shape_mm, pairs, between)
    # In the fit's own frame the displacements of different captures can be averaged.
    there = own.truth_from_reconstruction.obj_from_cam(truth.shape_mm)
    apart = np.where(truth.members[:, None], there - fit.shape_obj_mm, np.nan)
    row = {
        "capture": capture.capture_id,
        "dace_percent": 100 * surface.value,
        "nme_percent": 100 * own.value,
        "dace_mm": surface.value * between,
        "nme_mm": own.value * between,
    }
    return Measured(row, apart)


def common_mm(apart_mm: list[Array]) -> tuple[float, float]:
    """Return the RMS displacement, mm, and that of its mean over the captures.

    Over the vertices that at least half of them have.
    """
    stacked = np.stack(apart_mm)
    known = 2 * np.isfinite(stacked[..., 0]).sum(axis=0) >= len(stacked)
    chosen = stacked[:, known]
    total = np.sqrt(np.nanmean((chosen**2).sum(axis=2)))
    return float(total), float(np.sqrt((np.nanmean(chosen, axis=0) ** 2).sum(axis=1).mean()))


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/landmark_fits.json"))
    parser.add_argument("--model", choices=("default", "ict"), default="default")
    parser.add_argument("--only", choices=SETS, nargs="*", default=SETS)
    arguments = parser.parse_args()
    path = str(arguments.data / "ict_facekit") if arguments.model == "ict" else ""
    model = get_model(FaceModelConfig(arguments.model, path))
    result: dict[str, Any] = {}
    print(f"{'capture':28s}   DACE %   NME %   DACE mm   NME mm")
    for name in arguments.only:
        found = [measure(model, capture) for capture in captures(name, arguments.data)]
        rows = [one.row for one in found]
        figures = [key for key in rows[0] if key != "capture"]
        mean = {key: float(np.mean([row[key] for row in rows])) for key in figures}
        total, common = common_mm([one.apart_mm for one in found])
        result[name] = {"rows": rows, **mean, "misfit_mm": total, "common_mm": common}
        for row in [*rows, {"capture": f"{name}, mean", **mean}]:
            print(f"{row['capture']:28s}" + "".join(f"{row[key]:9.2f}" for key in figures))
        print(
            f"{'':28s} RMS misfit {total:.2f} mm, of it common to all {common:.2f} mm", flush=True
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

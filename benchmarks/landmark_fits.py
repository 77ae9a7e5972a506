"""How well a face model's prior places a face by landmarks alone: DACE (Eq. 20) of the fit.

`python -m benchmarks.landmark_fits --data ../shared/data` fits the model to the landmarks of real
scans, phone frames and textured heads, and measures the fit on the surface behind them: pairs and
set C are those of the capture's own registration, as in Sec. 7.2. It also says how much of the
misfit is one displacement common to all faces of a set, which is what a biased mean face shows
as. Writes build/bench/landmark_fits.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.reference_alignment import align_to_reference, read_reference
from fg3d_builder.captures import open_source
from fg3d_builder.captures.scan import read_scan, scan_camera, scan_unit_mm
from fg3d_builder.config import BuildConfig, FaceModelConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import (
    Correspondence,
    dace,
    interocular_mm,
    nme,
    reliable_correspondence,
)
from fg3d_builder.evaluation.places import outer_eye_corners
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fitting import fit_landmarks
from fg3d_builder.geometry.closest_points import Scan, ScanSurface, ScanVertices
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Registration

SETS = ("facefuns", "lee", "sven", "heads")


class Truth(NamedTuple):
    """The surface behind a capture and, in its frame, the registration's vertices (n, 3)."""

    scan: Scan
    vertices_mm: Array
    normals: Array
    registered_mm: Array


def captures(name: str, data: Path, model: FaceModel) -> Iterator[tuple[Capture, Truth]]:
    """Yield the captures of a set with their surfaces.

    Captures that cannot be registered are left out with a line that says so.
    """
    if name == "sven":
        reference = read_reference(str(data / "captures" / "sven-fused-reference.ply"))
        scan = ScanVertices(reference.points_mm)
        source = open_source(SourceConfig(kind="folder", path=str(data / "captures")))
        for entry in source.entries():
            capture = source.load(entry)
            found = _registered(model, capture)
            if found is None:
                continue
            embedding = model.embeddings["mediapipe478"]
            vertices = found.vertices_cam_mm
            seen = (found.confidence > 0) & model.reliable
            moved = align_to_reference(
                vertices[seen],
                embedding.point_index,
                embedding.points(vertices, model.triangles),
                reference,
            )
            there = vertices @ moved.rotation.T + moved.translation_mm
            yield capture, Truth(scan, reference.points_mm, reference.normals, there)
        return
    folder, pattern, unit_mm = {
        "facefuns": ("scans", "facefuns-*", 1.0),
        "lee": ("scans", "lee-*", 0.0),
        "heads": ("heads", "*", 1.0),
    }[name]
    config = SourceConfig(kind="scan", path=str(data / folder), include=(pattern,), unit_mm=unit_mm)
    source = open_source(config)
    for entry in source.entries():
        capture = source.load(entry)
        found = _registered(model, capture)
        if found is None:
            continue
        mesh = read_scan(Path(entry.location))
        known = replace(config, unit_mm=unit_mm or scan_unit_mm(mesh, entry.location))
        pose, _ = scan_camera(known, config.views[0], mesh)
        vertices = pose.cam_from_obj(mesh.vertices)
        normals = vertex_normals(vertices, mesh.triangles)
        surface = ScanSurface(vertices, mesh.triangles)
        yield capture, Truth(surface, vertices, normals, found.vertices_cam_mm)


def _registered(model: FaceModel, capture: Capture) -> Registration | None:
    try:
        return register_capture(model, capture, BuildConfig()).registration
    except CaptureError as error:
        print(f"{capture.capture_id}: left out, {error}")
        return None


class Measured(NamedTuple):
    """A fit's figures and its displacements (n, 3) from the registration; NaN outside of C."""

    row: dict[str, Any]
    apart_mm: Array


def measure(model: FaceModel, capture: Capture, truth: Truth) -> Measured:
    """Fit the model to the capture's landmarks and compare the shape with the surface."""
    config = BuildConfig()
    landmarks = open_detector(config.landmarks).detect(capture)
    fit = fit_landmarks(model, landmarks, capture.intrinsics, config.fit)
    registered = truth.registered_mm
    normals = vertex_normals(registered, model.triangles)
    members = reliable_correspondence(
        registered, normals, truth.scan, truth.normals, model.reliable
    )
    between = interocular_mm(registered, outer_eye_corners(model))
    surface = dace(fit.shape_obj_mm, truth.vertices_mm, members, truth.scan, between)
    index = members.source.vertex_index
    inside = np.zeros(len(registered), dtype=bool)
    inside[index] = True
    own = nme(fit.shape_obj_mm, registered, Correspondence.same_topology(inside), between)
    apart = np.full((len(registered), 3), np.nan)
    # In the fit's own frame the displacements of different captures can be averaged.
    pose = own.truth_from_reconstruction
    apart[index] = (pose.obj_from_cam(registered) - fit.shape_obj_mm)[index]
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
        found = [measure(model, *pair) for pair in captures(name, arguments.data, model)]
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

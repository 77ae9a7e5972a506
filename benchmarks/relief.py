"""Relief between 4 and 12 mm: how far registered faces are off the truth, clean and with noise.

`python -m benchmarks.relief --data ../shared/data` prints a table and writes
build/bench/relief.json. Synthetic captures and scans are registered without noise and with that of
a structured-light sensor. Over the visible reliable face, per capture:

relief_mm
    Root mean square of the displacement along the true normals between the registered vertices
    and the true surface, wavelengths of 4 to 12 mm: the difference of two smoothing splines over
    the registered mesh, each of which keeps half of the wavelength that it is named by.
noise_mm
    The same of the displacement along the normals between the registrations of two depth images
    that differ in their noise alone, over the root of 2: dimples that the noise has drawn.
normal_deg, surface_mm, vertex_mm
    Mean angle between registered and true normals; mean distance from the true surface; mean
    vertex error over the whole visible face, where the truth has the model's vertices.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.surfaces import Surface
from fg3d_builder.captures import open_source
from fg3d_builder.captures.scan import read_scan, scan_camera
from fg3d_builder.captures.source import CaptureEntry
from fg3d_builder.config import BuildConfig, SensorConfig, SourceConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.geometry.meshes import normalized, vertex_areas, vertex_normals
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.registration.membrane import shared_pattern
from fg3d_builder.registration.relief import smoothing_spline

BAND_MM = (4.0, 12.0)
REACH_MM = 8.0
"""Vertices further from the true surface lie beside it."""

SENSORS = tuple(SensorConfig(kind="structured_light", seed=seed) for seed in (7, 8))
"""One sensor, two draws of its noise."""


class Truth(NamedTuple):
    """A true surface in the camera frame; `visible` where it has the model's vertices."""

    vertices_cam_mm: Array
    triangles: Array
    visible: Array | None


def relief(model: FaceModel, vertices_mm: Array, values_mm: Array, known: Array) -> Array:
    """Return the part (n,) of values over a mesh whose wavelengths are in `BAND_MM`.

    Parameters
    ----------
    vertices_mm : (n, 3) float64
        Of the model's topology.
    values_mm : (n,) float64
    known : (n,) bool
        Where they count.
    """
    pattern = shared_pattern(model.triangles, model.vertex_count, "cholmod")
    areas = vertex_areas(vertices_mm, model.triangles)
    known = known.astype(float)
    fine, wide = (
        smoothing_spline(
            pattern, areas, known, (values_mm * known)[:, None], (wavelength / (2 * np.pi)) ** 4
        )[:, 0]
        for wavelength in BAND_MM
    )
    return np.asarray(fine - wide)


def root_mean_square(values: Array, areas: Array) -> float:
    """Return it over a surface."""
    return float(np.sqrt((areas * values**2).sum() / areas.sum()))


def measured(
    model: FaceModel, found: Registration, again: Registration, truth: Truth
) -> dict[str, float]:
    """Return the module's figures of one registration; `again` is that of other noise."""
    vertices = found.vertices_cam_mm
    seen = (found.visible if truth.visible is None else truth.visible) & model.reliable
    spots = Surface(truth.vertices_cam_mm, truth.triangles).nearest(vertices)
    corners = truth.triangles[spots.triangle]
    place = np.einsum("nk,nkd->nd", spots.barycentric, truth.vertices_cam_mm[corners])
    normals = vertex_normals(truth.vertices_cam_mm, truth.triangles)
    normal = normalized(np.einsum("nk,nkd->nd", spots.barycentric, normals[corners]))
    off = np.einsum("nd,nd->n", vertices - place, normal)
    known = seen & (np.linalg.norm(vertices - place, axis=1) < REACH_MM)
    own = vertex_normals(vertices, model.triangles)
    angle = np.degrees(np.arccos(np.clip(np.einsum("nd,nd->n", own, normal), -1.0, 1.0)))
    drawn = np.einsum("nd,nd->n", vertices - again.vertices_cam_mm, own) / np.sqrt(2.0)
    areas = vertex_areas(vertices, model.triangles)[known]
    figures = {
        "relief_mm": root_mean_square(relief(model, vertices, off, known)[known], areas),
        "noise_mm": root_mean_square(relief(model, vertices, drawn, known)[known], areas),
        "normal_deg": float(angle[known].mean()),
        "surface_mm": float(np.abs(off[known]).mean()),
        "vertex_mm": float("nan"),
    }
    if truth.visible is not None:
        error = np.linalg.norm(vertices - truth.vertices_cam_mm, axis=1)[truth.visible]
        figures["vertex_mm"] = float(error.mean())
    return figures


def sources(data: Path, subjects: int) -> Iterator[SourceConfig]:
    """Synthetic captures as in `benchmarks.accuracy`, and scans where there are any."""
    yield SourceConfig(
        kind="synthetic",
        subjects=subjects,
        captures_per_subject=1,
        seed=7_000,
        max_yaw_deg=20.0,
    )
    if (data / "scans").is_dir():
        yield SourceConfig(kind="scan", path=str(data / "scans"), include=("facefuns-*",))


def true_surface(
    config: SourceConfig, entry: CaptureEntry, capture: Capture, model: FaceModel
) -> Truth:
    """Return the surface that a capture was rendered from."""
    if capture.truth is not None:
        return Truth(capture.truth.vertices_cam_mm, model.triangles, capture.truth.visible)
    mesh = read_scan(Path(entry.location))
    pose, _ = scan_camera(config, config.views[0], mesh)
    return Truth(pose.cam_from_obj(mesh.vertices), mesh.triangles, None)


def measure_source(model: FaceModel, config: SourceConfig) -> list[dict[str, Any]]:
    """Register every capture of a source without noise and twice with it."""

    def registrations(sensor: SensorConfig) -> Iterator[tuple[CaptureEntry, Capture, Registration]]:
        source = open_source(dataclasses.replace(config, sensor=sensor))
        for entry in source.entries():
            capture = source.load(entry)
            yield entry, capture, register_capture(model, capture, BuildConfig()).registration

    rows = []
    runs = [registrations(sensor) for sensor in (config.sensor, *SENSORS)]
    for (entry, capture, clean), (_, _, noisy), (_, _, again) in zip(*runs, strict=True):
        truth = true_surface(config, entry, capture, model)
        for depth, found, other in (("clean", clean, clean), ("noisy", noisy, again)):
            figures = measured(model, found, other, truth)
            rows.append({"capture": entry.capture_id, "depth": depth} | figures)
    return rows


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/relief.json"))
    parser.add_argument("--subjects", type=int, default=6)
    arguments = parser.parse_args()
    model = get_model(BuildConfig().facemodel)
    results = {
        config.kind: measure_source(model, config)
        for config in sources(arguments.data, arguments.subjects)
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1))
    names = ("relief_mm", "noise_mm", "normal_deg", "surface_mm", "vertex_mm")
    for kind, rows in results.items():
        print(f"\n{kind:34s}" + "".join(f"{name:>12s}" for name in names))
        for depth in ("clean", "noisy"):
            mean = {n: np.mean([r[n] for r in rows if r["depth"] == depth]) for n in names}
            for row in [r for r in rows if r["depth"] == depth] + [{"capture": "mean"} | mean]:
                figures = "".join(f"{row[name]:12.3f}" for name in names)
                print(f"  {row['capture']:26s} {depth:5s}" + figures)


if __name__ == "__main__":
    main()

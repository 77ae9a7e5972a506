"""Registration accuracy against independent truth: fused reference, scans, synthetic faces.

`python -m benchmarks.accuracy --data ../shared/data` prints a table and writes
build/bench/accuracy.json. The real data is described in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.annotation import annotated_ibug
from benchmarks.reference_alignment import align_to_reference, read_reference
from benchmarks.regions import outer_face
from benchmarks.surfaces import Surface
from fg3d_builder.captures import open_source
from fg3d_builder.captures.scan import read_scan, scan_camera
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    SensorConfig,
    SourceConfig,
)
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.groups import fuse_all
from fg3d_builder.pipeline.register import RegisteredCapture, register_capture
from fg3d_builder.records import Array, Capture, Registration


def seconds_of(found: RegisteredCapture) -> float:
    """Return how long fit and registration took together, without detection."""
    return sum(found.seconds.values()) - found.seconds.get("landmarks", 0.0)


def summary(distance_mm: Array) -> dict[str, float]:
    """Mean, median and 95th percentile, mm."""
    return {
        "mean_mm": float(np.mean(distance_mm)),
        "median_mm": float(np.median(distance_mm)),
        "p95_mm": float(np.quantile(distance_mm, 0.95)),
    }


def sven(model: FaceModel, data: Path) -> list[dict[str, Any]]:
    """Visible registered face against the surface fused from 90 frames, after rigid ICP."""
    reference = read_reference(str(data / "captures" / "sven-fused-reference.ply"))
    embedding = model.embeddings["mediapipe478"]
    source = open_source(SourceConfig(kind="folder", path=str(data / "captures")))
    rows: list[dict[str, Any]] = []
    shapes: dict[str, Registration] = {}
    captures = {entry.capture_id: source.load(entry) for entry in source.entries()}
    outcomes = {
        name: register_capture(model, capture, BuildConfig()) for name, capture in captures.items()
    }
    start = time.perf_counter()
    fused = fused_registrations(model, captures, outcomes)
    fusing = (time.perf_counter() - start) / len(fused)
    for name, outcome in outcomes.items():
        shapes[name] = outcome.registration
        for what, vertices, seen in (
            (
                "3DMM fit",
                outcome.coarse.pose.cam_from_obj(outcome.coarse.shape_obj_mm),
                outcome.registration.visible,
            ),
            ("registered", shapes[name].vertices_cam_mm, shapes[name].visible),
            ("fused", fused[name].vertices_cam_mm, fused[name].visible),
        ):
            points = embedding.points(vertices, model.triangles)
            for region, mask in (("visible", seen), ("visible reliable", seen & model.reliable)):
                result = align_to_reference(
                    vertices[mask], embedding.point_index, points, reference
                )
                rows.append(
                    {"capture": name, "region": region, "what": what}
                    | summary(result.distance_mm)
                    | {"seconds": seconds_of(outcome) + fusing * (what == "fused")}
                )
    return rows + agreement(model, shapes)


def fused_registrations(
    model: FaceModel, captures: dict[str, Capture], outcomes: dict[str, RegisteredCapture]
) -> dict[str, Registration]:
    """Register captures of one subject and expression together."""
    return fuse_all(
        model,
        captures,
        {name: outcome.landmarks for name, outcome in outcomes.items()},
        {name: outcome.coarse for name, outcome in outcomes.items()},
        {name: outcome.registration for name, outcome in outcomes.items()},
        BuildConfig().registration,
    )


def agreement(model: FaceModel, shapes: dict[str, Registration]) -> list[dict[str, Any]]:
    """Distance of ``S*`` between any two captures of one head, over commonly seen vertices.

    Seen means reliable, visible and with a confidence above zero in both; nothing is aligned.
    """
    rows = []
    for (first, a), (second, b) in combinations(shapes.items(), 2):
        common = (a.confidence > 0) & (b.confidence > 0) & model.reliable
        difference = np.linalg.norm(a.shape_obj_mm - b.shape_obj_mm, axis=1)[common]
        names = {"capture": f"{first} / {second}", "region": "seen by both", "what": "S*"}
        rows.append(names | summary(difference) | {"seconds": float("nan")})
    return rows


def facefuns(model: FaceModel, data: Path) -> list[dict[str, Any]]:
    """Visible reliable region against the scan's own surface, in the capture's camera."""
    config = SourceConfig(kind="scan", path=str(data / "scans"), include=("facefuns-*",))
    source = open_source(config)
    rows = []
    for entry in source.entries():
        outcome = register_capture(model, source.load(entry), BuildConfig())
        mesh = read_scan(Path(entry.location))
        pose, _ = scan_camera(config, config.views[0], mesh)
        surface = Surface(pose.cam_from_obj(mesh.vertices), mesh.triangles)
        mask = outcome.registration.visible & model.reliable
        for what, vertices in (
            ("3DMM fit", outcome.coarse.pose.cam_from_obj(outcome.coarse.shape_obj_mm)),
            ("registered", outcome.registration.vertices_cam_mm),
        ):
            distance = surface.distance_mm(vertices[mask])
            rows.append(
                {"capture": entry.capture_id, "region": "visible reliable", "what": what}
                | summary(distance)
                | {"seconds": seconds_of(outcome)}
            )
    return rows


def synthetic(model: FaceModel, subjects: int, max_yaw_deg: float) -> list[dict[str, Any]]:
    """Vertex error against truth; seeds that no preset uses.

    Over the visible face, its reliable part, and what of cheeks, forehead and chin the camera
    did not see or the depth did not support; with detected landmarks and with annotated ones
    (`annotated_ibug`), which tell what the registration makes of good landmarks.
    """
    config = SourceConfig(
        kind="synthetic",
        subjects=subjects,
        captures_per_subject=1,
        seed=7_000,
        max_yaw_deg=max_yaw_deg,
        sensor=SensorConfig(kind="structured_light", seed=7),
    )
    source = open_source(config)
    rows = []
    for number, entry in enumerate(source.entries()):
        capture = source.load(entry)
        rows += errors(model, capture, register_capture(model, capture, BuildConfig()), "")
        annotated = register_capture(
            model, capture, BuildConfig(), landmarks=annotated_ibug(model, capture, number)
        )
        rows += errors(model, capture, annotated, ", annotated")
    return rows


def several_views(model: FaceModel, subjects: int) -> list[dict[str, Any]]:
    """Four views of each synthetic subject: errors alone and fused, and S* of any two of them."""
    config = SourceConfig(
        kind="synthetic",
        subjects=subjects,
        captures_per_subject=4,
        expressions=False,
        seed=7_100,
        max_yaw_deg=45.0,
        sensor=SensorConfig(kind="structured_light", seed=7),
    )
    source = open_source(config)
    captures = {entry.capture_id: source.load(entry) for entry in source.entries()}
    outcomes = {
        name: register_capture(model, capture, BuildConfig()) for name, capture in captures.items()
    }
    fused = fused_registrations(model, captures, outcomes)
    rows = []
    for name, outcome in outcomes.items():
        rows += errors(model, captures[name], outcome, "")
        together = replace(outcome, registration=fused[name])
        rows += [
            row | {"what": "fused"}
            for row in errors(model, captures[name], together, "")
            if row["what"] == "registered"
        ]
    for subject in sorted({capture.subject_id for capture in captures.values()}):
        own = {
            name: outcome.registration
            for name, outcome in outcomes.items()
            if captures[name].subject_id == subject
        }
        rows += agreement(model, own)
    return rows


def errors(
    model: FaceModel, capture: Capture, outcome: RegisteredCapture, suffix: str
) -> list[dict[str, Any]]:
    """Vertex errors of a coarse fit and its registration by region."""
    truth, registration = capture.truth, outcome.registration
    assert truth is not None
    unsupported = ~truth.visible | (registration.confidence <= 0)
    regions = {
        "visible": truth.visible,
        "visible reliable": truth.visible & model.reliable,
        "unseen": unsupported & outer_face(model),
    }
    rows = []
    for what, vertices in (
        ("3DMM fit", outcome.coarse.pose.cam_from_obj(outcome.coarse.shape_obj_mm)),
        ("registered", registration.vertices_cam_mm),
    ):
        error = np.linalg.norm(vertices - truth.vertices_cam_mm, axis=1)
        for region, chosen in regions.items():
            rows.append(
                {"capture": capture.capture_id, "region": region, "what": what + suffix}
                | summary(error[chosen])
                | {"seconds": seconds_of(outcome)}
            )
    return rows


def main() -> None:
    """Run what the arguments name and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/accuracy.json"))
    parser.add_argument("--only", choices=("sven", "facefuns", "synthetic", "views"))
    parser.add_argument("--model", choices=("default", "ict"))
    parser.add_argument("--subjects", type=int, default=6)
    arguments = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    for name in ("default", "ict"):
        if arguments.model not in (None, name):
            continue
        path = str(arguments.data / "ict_facekit") if name == "ict" else ""
        model = get_model(FaceModelConfig(name, path))
        if arguments.only in (None, "sven"):
            results[f"sven, {name}"] = sven(model, arguments.data)
        if arguments.only in (None, "facefuns"):
            results[f"facefuns, {name}"] = facefuns(model, arguments.data)
        if arguments.only in (None, "synthetic") and name == "default":
            for yaw in (20.0, 45.0):
                title = f"synthetic, default, yaw up to {yaw:.0f} degrees"
                results[title] = synthetic(model, arguments.subjects, yaw)
        if arguments.only in (None, "views") and name == "default":
            results["synthetic, default, four views of each"] = several_views(model, 3)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1))
    for title, rows in results.items():
        print(f"\n{title}\n  {'capture':28s} {'what':21s} {'region':16s}   mean median   95 %   s")
        for row in rows:
            figures = f"{row['mean_mm']:6.2f} {row['median_mm']:6.2f} {row['p95_mm']:6.2f}"
            name = f"{row['capture']:28s} {row['what']:21s} {row['region']:16s}"
            print(f"  {name} {figures} {row['seconds']:5.1f}")


if __name__ == "__main__":
    main()

"""Varied synthetic captures beside plain ones: are faces found, and how well do they register?

`python -m benchmarks.varied_captures` looks for faces in 60 captures, registers 12 of them and 12
plain ones of the same people, and writes build/bench/varied_captures.json and a sheet of pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timings import machine
from fg3d_builder.captures.synthetic import SyntheticSource
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    LandmarkConfig,
    SensorConfig,
    SourceConfig,
    VarietyConfig,
)
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture
from fg3d_builder.report.figures import surface_error_to_truth_mm, vertex_error_mm
from fg3d_builder.report.paper import contact_sheet

PLAIN = SourceConfig(
    subjects=60, captures_per_subject=1, seed=200, sensor=SensorConfig("structured_light", 1)
)
VARIED = replace(PLAIN, variety=VarietyConfig("phones"))
COLUMNS = 6


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detected", type=int, default=60)
    parser.add_argument("--registered", type=int, default=12)
    parser.add_argument("--shown", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    if arguments.shown:
        picture = sheet(arguments.shown)
        write_bytes(arguments.out / "varied_captures.png", encode_png(picture))
    figures: dict[str, Any] = {}
    if arguments.detected:
        figures |= detection(arguments.detected)
    for name, config in (("plain", PLAIN), ("varied", VARIED)):
        if arguments.registered:
            rows = list(registrations(config, arguments.registered))
            figures[name] = {"rows": rows} | summary(rows)
    text = json.dumps({"machine": machine(), "figures": figures}, indent=1)
    write_bytes(arguments.out / "varied_captures.json", text.encode())
    print(text)


def captures(config: SourceConfig, count: int) -> Iterator[Capture]:
    """Load the first captures of a source."""
    source = SyntheticSource(config)
    for entry in source.entries()[:count]:
        yield source.load(entry)


def sheet(count: int) -> Array:
    """Put the first captures beside each other."""
    tiles = [
        (
            f"{c.depth_mm.shape[0]} px, f {c.intrinsics[0, 0]:.0f}, {_distance_mm(c):.0f} mm",
            c.rgb,
        )
        for c in captures(VARIED, count)
    ]
    return contact_sheet(tiles, columns=COLUMNS, height=320)


def detection(count: int) -> dict[str, Any]:
    """Count the captures in which MediaPipe finds a face; processor time of rendering one."""
    detector = open_detector(LandmarkConfig())
    missed, seconds = [], 0.0
    source = SyntheticSource(VARIED)
    for entry in source.entries()[:count]:
        start = time.process_time()
        capture = source.load(entry)
        seconds += time.process_time() - start
        try:
            detector.detect(capture)
        except CaptureError as error:
            missed.append({"capture": entry.capture_id, "code": error.code})
    return {
        "looked_at": count,
        "found_share": 1.0 - len(missed) / count,
        "missed": missed,
        "render_s": seconds / count,
    }


def registrations(config: SourceConfig, count: int) -> Iterator[dict[str, Any]]:
    """Register captures; yield mean errors over the visible reliable face, mm."""
    model = get_model(FaceModelConfig())
    detector = open_detector(LandmarkConfig())
    for capture in captures(config, count):
        assert capture.truth is not None
        row: dict[str, Any] = {
            "capture": capture.capture_id,
            "distance_mm": _distance_mm(capture),
            "visible": float(capture.truth.visible[model.reliable].mean()),
        }
        try:
            found = register_capture(model, capture, BuildConfig(), detector=detector)
        except CaptureError as error:
            yield row | {"failed": error.code}
            continue
        registered = found.registration
        coarse = found.coarse.pose.cam_from_obj(found.coarse.shape_obj_mm)
        for name, vertices in (("coarse", coarse), ("registration", registered.vertices_cam_mm)):
            across = surface_error_to_truth_mm(vertices, capture.truth, model)
            row[f"{name}_surface_mm"] = float(np.nanmean(across))
            row[f"{name}_vertex_mm"] = float(
                np.nanmean(vertex_error_mm(vertices, capture.truth, model))
            )
        yield row | {"quality": registered.quality}


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Average the rows that did not fail; those nearer than 700 mm also on their own."""
    good = [row for row in rows if "failed" not in row]
    near = [row for row in good if row["distance_mm"] < 700.0]
    out: dict[str, float] = {"failed": len(rows) - len(good), "near": len(near)}
    for prefix, part in (("", good), ("near_", near)):
        for name in ("coarse_surface_mm", "registration_surface_mm", "registration_vertex_mm"):
            out[prefix + name] = float(np.mean([row[name] for row in part])) if part else np.nan
    return out


def _distance_mm(capture: Capture) -> float:
    assert capture.truth is not None
    return float(capture.truth.vertices_cam_mm[:, 2].mean())


if __name__ == "__main__":
    main()

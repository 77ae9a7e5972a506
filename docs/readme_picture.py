"""The picture on the first screen of the README: a real capture on its way through the pipeline."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures import read_capture
from fg3d_builder.config import BuildConfig, FaceModelConfig
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array
from fg3d_builder.report.paper import contact_sheet
from fg3d_builder.report.pictures import (
    depth_picture,
    error_picture,
    image_picture,
    landmark_picture,
    overlay_picture,
    side_picture,
)
from fg3d_builder.report.sheets import edge_overlay, face_view
from fg3d_builder.shards import ShardReader

CAPTURE = "sven-056"
"""A frame of an iPhone's TrueDepth camera (StandardCyborg, MIT), of a painted mannequin head."""

TILE = 280
"""Height in pixels of each picture."""

PRESET = """
name = "readme"
[[sources]]
kind = "folder"
path = "{captures}"
include = ["{capture}"]
[[sources]]
kind = "synthetic"
subjects = 6
captures_per_subject = 1
seed = 50
[fullview]
yaw_steps_deg = [30.0]
pitch_steps_deg = [-25.0]
[transform]
shapes_per_capture = 3
[shards]
test_fraction = 0.0
image_format = "png"
"""
"""The capture, and the people whose parts its new faces are made of."""

TURNED = {
    "view+00+30": "turned by +30 degrees",
    "view+00-30": "turned by -30 degrees",
    "view-25+00": "tilted by -25 degrees",
}


def real_capture(data: Path) -> Array:
    """Show a real capture in twelve pictures, from the photo to new faces.

    Parameters
    ----------
    data : Path
        Folder of real data, with ``captures``.

    Returns
    -------
    (H, W, 3) uint8
    """
    with tempfile.TemporaryDirectory() as folder:
        preset = PRESET.format(captures=(data / "captures").resolve(), capture=CAPTURE)
        views = stored_views(built(preset, Path(folder)))
    tiles = [*registration_tiles(data / "captures" / CAPTURE), *views]
    return contact_sheet(tiles, columns=6, height=TILE)


def built(preset_text: str, folder: Path) -> Path:
    """Build a preset in a folder; return the folder of the dataset."""
    preset = folder / "preset.toml"
    preset.write_text(preset_text, encoding="utf-8")
    command = ["-m", "fg3d_builder.cli", "build", str(preset), "--out", str(folder / "out")]
    subprocess.run([sys.executable, *command], check=True)
    return folder / "out" / "dataset"


def registration_tiles(folder: Path) -> list[tuple[str, Array]]:
    """Register a capture; show what goes in, each step, and the shape that comes out."""
    model, capture = get_model(FaceModelConfig()), read_capture(folder)
    found = register_capture(model, capture, BuildConfig())
    registration, coarse = found.registration, found.coarse
    vertices, triangles = registration.vertices_cam_mm, model.triangles
    view = face_view(model, capture, vertices, TILE)
    fit = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
    error = np.where(registration.visible, registration.surface_error_mm, np.nan)
    return [
        ("photo", image_picture(capture, view)),
        ("depth", depth_picture(capture.depth_mm, view)),
        ("landmarks", landmark_picture(capture, found.landmarks, view)),
        ("3DMM fit", overlay_picture(capture, fit, triangles, view=view)),
        ("registration", edge_overlay(model, capture, found.landmarks, vertices, view)),
        ("distance to depth", error_picture(capture, vertices, triangles, error, view=view)),
        (
            "its shape",
            side_picture(registration.shape_obj_mm, triangles, yaws_deg=(30.0,), height=TILE),
        ),
    ]


def stored_views(dataset: Path) -> list[tuple[str, Array]]:
    """Show the capture's turned views, then the new faces under its photo that differ most."""
    reader = ShardReader(dataset, "train")
    mine = [sample for sample in reader if sample["capture_id"] == CAPTURE]
    by_name = {tuple(s["sample_id"].split("/")[1:]): s for s in mine}
    turned = [(label, by_name[name, "capture"]["image"].copy()) for name, label in TURNED.items()]
    captured = by_name["view+00+00", "capture"]["shape_obj_mm"]
    new = [
        s for (name, source), s in by_name.items() if name == "view+00+00" and source != "capture"
    ]

    def difference_mm(sample: Any) -> float:
        distance = np.linalg.norm(sample["shape_obj_mm"] - captured, axis=1)
        return float(distance[reader.model.reliable].mean())

    new.sort(key=difference_mm, reverse=True)
    return turned + [("a new face", sample["image"]) for sample in new[:2]]

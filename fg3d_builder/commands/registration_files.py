"""A registered capture in files: meshes, pictures and figures, with everything to see of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.config import BuildConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import write_bytes, write_json
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.mesh_io import mesh_with_texture, write_mesh
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.groups import fuse_all
from fg3d_builder.pipeline.register import RegisteredCapture, register_capture
from fg3d_builder.records import Array, Capture
from fg3d_builder.report.figures import capture_figures
from fg3d_builder.report.pictures import error_picture
from fg3d_builder.report.sheets import capture_sheet, edge_overlay, face_view, failure_sheet
from fg3d_builder.report.texture import texture_from_image


def register_into(
    out: Path, model: FaceModel, capture: Capture, config: BuildConfig
) -> dict[str, Any]:
    """Register one capture and write meshes, pictures and figures into a folder.

    ``registered.ply`` (object frame, mm) and ``registered.glb`` (the same in metres, with the
    texture from the image),
    ``overlay.png``, ``depth_error.png``, ``sheet.png``, ``result.json``.

    Returns
    -------
    dict
        The content of ``result.json``.

    Raises
    ------
    CaptureError
        The capture cannot be used; ``failure.png`` in `out` shows why.
    """
    return write_registration(out, model, capture, registered_or_shown(out, model, capture, config))


def registered_or_shown(
    out: Path, model: FaceModel, capture: Capture, config: BuildConfig
) -> RegisteredCapture:
    """Register one capture; where that fails leave ``failure.png`` in a folder, and raise.

    Raises
    ------
    CaptureError
    """
    landmarks, start = None, time.perf_counter()
    try:
        # Apart from the rest: the picture of a failure shows the landmarks that were found.
        landmarks = open_detector(config.landmarks).detect(capture)
        took = time.perf_counter() - start
        found = register_capture(model, capture, config, landmarks=landmarks)
    except CaptureError as error:
        _save(out / "failure.png", failure_sheet(capture, error, landmarks))
        raise
    return dataclasses.replace(found, seconds={"landmarks": took, **found.seconds})


def write_registration(
    out: Path, model: FaceModel, capture: Capture, found: RegisteredCapture
) -> dict[str, Any]:
    """Write a registration's meshes, pictures and figures; see `register_into`."""
    registration = found.registration
    texture = texture_from_image(model, capture, registration)
    mesh = mesh_with_texture(registration.shape_obj_mm, model.triangles, model.uv, texture)
    for suffix in (".ply", ".glb"):
        write_mesh(out / f"registered{suffix}", mesh)
    _write_pictures(out, model, capture, found)
    result = _figures(model, capture, found)
    write_json(out / "result.json", result)
    return result


def register_fused_into(
    out: Path, model: FaceModel, captures: Sequence[Capture], config: BuildConfig
) -> tuple[dict[str, dict[str, Any]], dict[str, CaptureError]]:
    """Register captures, those of one subject and expression together; a folder for each.

    Parameters
    ----------
    out : Path
        Gets a folder named after each capture, with what `register_into` writes.
    model : FaceModel
    captures : sequence of Capture
    config : BuildConfig

    Returns
    -------
    results : dict of str to dict
        The content of each ``result.json`` by capture id.
    failures : dict of str to CaptureError
        Captures that cannot be used; they do not keep the others from being fused.
    """
    found: dict[str, RegisteredCapture] = {}
    failures: dict[str, CaptureError] = {}
    by_id = {capture.capture_id: capture for capture in captures}
    for name, capture in by_id.items():
        try:
            found[name] = registered_or_shown(out / name, model, capture, config)
        except CaptureError as error:
            failures[name] = error
    fused = fuse_all(
        model,
        by_id,
        {name: one.landmarks for name, one in found.items()},
        {name: one.coarse for name, one in found.items()},
        {name: one.registration for name, one in found.items()},
        config.registration,
    )
    results = {
        name: write_registration(
            out / name, model, by_id[name], dataclasses.replace(found[name], registration=one)
        )
        for name, one in fused.items()
    }
    return results, failures


def _write_pictures(
    out: Path, model: FaceModel, capture: Capture, found: RegisteredCapture
) -> None:
    landmarks, registration = found.landmarks, found.registration
    vertices, triangles = registration.vertices_cam_mm, model.triangles
    view = face_view(model, capture, vertices)
    error = np.where(registration.visible, registration.surface_error_mm, np.nan)
    _save(out / "overlay.png", edge_overlay(model, capture, landmarks, vertices, view))
    _save(out / "depth_error.png", error_picture(capture, vertices, triangles, error, view=view))
    _save(out / "sheet.png", capture_sheet(model, capture, landmarks, found.coarse, registration))


def _figures(model: FaceModel, capture: Capture, found: RegisteredCapture) -> dict[str, Any]:
    # There is no fit from landmarks alone: its figures, which would repeat the other's, go.
    figures = capture_figures(
        model, capture, found.coarse, found.coarse, found.registration, found.seconds
    )
    for name in ("truth_mm", "truth_surface_mm"):
        figures[name].pop("landmark_fit", None)
    pose = found.registration.pose
    return {
        **figures,
        "facemodel": model.name,
        "topology_hash": model.topology_hash,
        "licence": capture.licence,
        "pose": {
            "scale": pose.scale,
            "rotation": pose.rotation.tolist(),
            "translation_mm": pose.translation_mm.tolist(),
        },
    }


def _save(path: Path, image: Array) -> None:
    write_bytes(path, encode_png(image))

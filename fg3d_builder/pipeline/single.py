"""One capture through the pipeline, with everything that a person wants to see of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fg3d_builder.captures import open_source
from fg3d_builder.captures.folder import read_capture
from fg3d_builder.config import BuildConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import write_bytes, write_json
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.mesh_io import mesh_with_texture, write_mesh
from fg3d_builder.fitting.appearance import settled_landmarks
from fg3d_builder.fitting.depth_fit import fit_capture
from fg3d_builder.landmarks import check_depth_on_face, open_detector
from fg3d_builder.records import Capture, CoarseFit, Landmarks, Registration
from fg3d_builder.registration.register import register
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.report.figures import capture_figures
from fg3d_builder.report.pictures import error_picture, overlay_picture
from fg3d_builder.report.sheets import capture_sheet, edge_points, face_view, failure_sheet
from fg3d_builder.report.texture import texture_from_image

T = TypeVar("T")


def load_single(path: Path, scan: SourceConfig) -> Capture:
    """Load a capture folder, or render the first view of a scan.

    Parameters
    ----------
    path : Path
        Folder with ``capture.json``; or a mesh file, or a folder with one.
    scan : SourceConfig
        How a scan is rendered; its `kind` and `path` are set here.

    Raises
    ------
    CaptureError
        Nothing there, or not to be read.
    """
    if not path.exists():
        raise CaptureError("missing_file", f"{path} does not exist")
    if (path / "capture.json").is_file():
        return read_capture(path)
    table = {**scan.__dict__, "kind": "scan", "path": str(path)}
    source = open_source(SourceConfig(**table))
    return source.load(source.entries()[0])


def register_single(
    model: FaceModel, capture: Capture, config: BuildConfig, out: Path
) -> dict[str, Any]:
    """Register one capture and write meshes, pictures and figures into a folder.

    ``registered.ply`` and ``registered.glb`` (object frame, mm, texture from the image),
    ``overlay.png``, ``depth_error.png``, ``sheet.png``, ``result.json``.

    Returns
    -------
    dict
        What stands in ``result.json``.

    Raises
    ------
    CaptureError
        The capture cannot be used; ``failure.png`` in `out` shows why.
    """
    out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    landmarks = None
    try:
        detector = open_detector(config.landmarks)
        landmarks = _timed(seconds, "landmarks", lambda: detector.detect(capture))
        check_depth_on_face(capture, landmarks)
        found = landmarks
        surface = _timed(
            seconds,
            "surface",
            lambda: DepthSurface.from_depth(capture.depth_mm, capture.intrinsics),
        )
        coarse = _timed(
            seconds, "fitting", lambda: fit_capture(model, capture, found, config.fit, surface)
        )
        registration = _timed(
            seconds,
            "registration",
            lambda: register(
                model,
                capture,
                settled_landmarks(model, found, coarse, capture.intrinsics),
                coarse,
                config.registration,
                surface,
            ),
        )
    except CaptureError as error:
        write_bytes(out / "failure.png", encode_png(failure_sheet(capture, error, landmarks)))
        raise
    _write_meshes(model, capture, registration, out)
    _write_pictures(model, capture, landmarks, coarse, registration, out)
    figures = capture_figures(model, capture, coarse, coarse, registration, seconds)
    for name in ("truth_mm", "truth_surface_mm"):
        figures[name].pop("landmark_fit", None)
    pose = registration.pose
    result = {
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
    write_json(out / "result.json", result)
    return result


def _write_meshes(
    model: FaceModel, capture: Capture, registration: Registration, out: Path
) -> None:
    texture = texture_from_image(model, capture, registration)
    mesh = mesh_with_texture(registration.shape_obj_mm, model.triangles, model.uv, texture)
    for suffix in (".ply", ".glb"):
        write_mesh(out / f"registered{suffix}", mesh)


def _write_pictures(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    coarse: CoarseFit,
    registration: Registration,
    out: Path,
) -> None:
    view = face_view(model, capture, registration.vertices_cam_mm)
    vertices, triangles = registration.vertices_cam_mm, model.triangles
    points, targets = edge_points(model, capture, landmarks, vertices)
    overlay = overlay_picture(
        capture, vertices, triangles, view=view, points_px=points, targets_px=targets
    )
    error = np.where(registration.visible, registration.surface_error_mm, np.nan)
    write_bytes(out / "overlay.png", encode_png(overlay))
    depth_error = error_picture(capture, vertices, triangles, error, view=view)
    write_bytes(out / "depth_error.png", encode_png(depth_error))
    sheet = capture_sheet(model, capture, landmarks, coarse, registration)
    write_bytes(out / "sheet.png", encode_png(sheet))


def _timed(seconds: dict[str, float], stage: str, work: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = work()
    seconds[stage] = time.perf_counter() - start
    return result

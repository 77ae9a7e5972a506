"""Faces of photos in files: meshes, maps, pose and what people look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.source import safe_id
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.prediction import RenderedFace
from fg3d_builder.fgnet.trained import Trained
from fg3d_builder.files.atomic import replacing, write_bytes, write_json
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.mesh_io import mesh_with_texture, write_mesh
from fg3d_builder.files.obj_writer import write_textured_obj
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.pipeline.photo import (
    FIT_METHOD,
    PhotoFace,
    fit_photo,
    predict_photo,
    read_photo,
)
from fg3d_builder.report.paper import contact_sheet
from fg3d_builder.report.pictures import image_picture, overlay_picture
from fg3d_builder.report.sheets import face_view
from fg3d_builder.report.turntable import turntable_sheet

SCHEMA = "fg3d-prediction-1"
SUMMARY_NAME = "predictions.json"
DEPTH_UNIT_MM = 0.1
FIT_ALONE = "3DMM fit, no network"
_GREY_LEVELS = 65535


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: its `folder` with all files, or the reason why there is none.

    Attributes
    ----------
    photo : Path
    folder : Path
    method : str
        What the face was made by, see `PhotoFace`; ``""`` where there is none.
    error : CaptureError, optional
        None where the photo has been reconstructed.
    """

    photo: Path
    folder: Path
    method: str = ""
    error: CaptureError | None = None

    @property
    def reason(self) -> str:
        """Name the photo and say why it cannot be used; empty where it has been reconstructed.

        What reads a photo names its file, and what looks at it calls it a capture of that name.
        """
        if self.error is None:
            return ""
        text = self.error.message.replace(f" of capture {self.photo.stem}", "")
        text = text.replace(f"capture {self.photo.stem} ", "it ").removeprefix(f"{self.photo}: ")
        named = "" if str(self.photo) in text else f"{self.photo}: "
        return f"{named}{self.error.code}: {text}"


def predict_photos(
    by: Trained | FaceModel,
    photos: Sequence[Path],
    out: Path,
    detector: LandmarkDetector,
    *,
    focal_px: float | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Reconstruct the largest face of each photo, a folder of files for each.

    A photo that cannot be used is an outcome with an error; the others go on.

    Parameters
    ----------
    by : Trained or FaceModel
        A network, or without one the face model whose fit is the face.
    photos : sequence of Path
    out : Path
        Gets a folder for each photo, named after it, and ``predictions.json``.
    detector : LandmarkDetector
    focal_px : float, optional
        Focal length of all photos; without it, each photo's own (`pipeline.photo.focal_of`).
    on_outcome : callable
        Is given each outcome as soon as it is there.
    """
    outcomes = []
    for path, folder in zip(photos, folders_for(photos, out), strict=True):
        try:
            photo = read_photo(path, detector.name)
            if isinstance(by, Trained):
                model = by.model
                found = predict_photo(by, path.stem, photo, detector, focal_px=focal_px)
            else:
                model = by
                found = fit_photo(by, path.stem, photo, detector, focal_px=focal_px)
            write_prediction(folder, path.name, model, found)
            outcomes.append(Outcome(path, folder, found.method))
        except CaptureError as error:
            outcomes.append(Outcome(path, folder, error=error))
        on_outcome(outcomes[-1])
    write_json(out / SUMMARY_NAME, [_summary(outcome, out) for outcome in outcomes])
    return outcomes


def folders_for(photos: Sequence[Path], out: Path) -> list[Path]:
    """Return a folder in `out` for each photo: its name, numbered where names repeat."""
    taken: set[str] = set()
    folders = []
    for photo in photos:
        name = stem = safe_id(photo.stem)
        number = 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        folders.append(out / name)
    return folders


def write_prediction(folder: Path, photo_name: str, model: FaceModel, face: PhotoFace) -> None:
    """Write everything about the face of one photo into a folder.

    ``face.obj`` (with ``face.mtl`` and ``face.png``) and ``face.ply``: object frame, mm, with
    texture; ``face.glb``: the same in metres. ``depth.png``, ``depth.npy`` and ``pncc.png``: in
    the photo's pixels.
    ``pose.json``; ``overlay.png`` and ``turntable.png`` to look at. Of a network that says how
    far off it expects to be also ``expected_error_mm.npy``, a number for each vertex.
    """
    shape = face.prediction.shape_obj_mm
    write_textured_obj(folder / "face.obj", shape, model.triangles, model.uv, face.texture)
    mesh = mesh_with_texture(shape, model.triangles, model.uv, face.texture)
    for suffix in (".ply", ".glb"):
        write_mesh(folder / f"face{suffix}", mesh)
    unit_mm = _write_maps(face.rendered, folder)
    _write_pictures(model, face, folder)
    if face.prediction.expected_error_mm is not None:
        error = face.prediction.expected_error_mm.astype(np.float32)
        path = folder / "expected_error_mm.npy"
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, error)
    about = _description(model, photo_name, face)
    write_json(folder / "pose.json", {**about, "depth_unit_mm": unit_mm})


def _write_maps(rendered: RenderedFace, folder: Path) -> float:
    """Write depth and PNCC; return the length of a grey level of the depth picture."""
    depth = rendered.depth_mm
    with replacing(folder / "depth.npy") as temporary, temporary.open("wb") as file:
        np.save(file, depth)
    farthest = float(np.nanmax(depth, initial=0.0))
    unit_mm = DEPTH_UNIT_MM * max(1, math.ceil(farthest / (DEPTH_UNIT_MM * _GREY_LEVELS)))
    levels = np.rint(np.nan_to_num(depth.astype(np.float64)) / unit_mm).astype(np.uint16)
    write_bytes(folder / "depth.png", encode_png(levels))
    code = np.rint(255 * rendered.pncc).astype(np.uint8)
    write_bytes(folder / "pncc.png", encode_png(code))
    return unit_mm


def _write_pictures(model: FaceModel, face: PhotoFace, folder: Path) -> None:
    capture, found = face.capture, face.prediction
    view = face_view(model, capture, found.vertices_cam_mm)
    fit = face.coarse.pose.cam_from_obj(face.coarse.shape_obj_mm)
    if face.method == FIT_METHOD:
        faces = [(FIT_ALONE, fit)]
    else:
        faces = [("3DMM fit", fit), ("network", found.vertices_cam_mm)]
    tiles = [("photo", image_picture(capture, view))]
    for label, vertices in faces:
        tiles.append((label, overlay_picture(capture, vertices, model.triangles, view=view)))
    write_bytes(folder / "overlay.png", encode_png(contact_sheet(tiles)))
    sheet = turntable_sheet(found.shape_obj_mm, model.triangles, model.uv, face.texture)
    made_by, _ = faces[-1]
    labelled = contact_sheet([(made_by, sheet)], height=len(sheet))
    write_bytes(folder / "turntable.png", encode_png(labelled))


def _description(model: FaceModel, photo_name: str, face: PhotoFace) -> dict[str, Any]:
    capture, coarse, found = face.capture, face.coarse, face.prediction
    pose, crop = coarse.pose, found.px_crop_from_px
    pitch, yaw, roll = angles_from_rotation(pose.rotation)
    moved = np.linalg.norm(found.shape_obj_mm - coarse.shape_obj_mm, axis=1)
    return {
        "schema": SCHEMA,
        "photo": photo_name,
        "method": face.method,
        "image_size": list(capture.rgb.shape[1::-1]),
        "intrinsics": capture.intrinsics.tolist(),
        "focal_source": face.focal.source,
        "scale": float(pose.scale),
        "rotation": pose.rotation.tolist(),
        "translation_mm": pose.translation_mm.tolist(),
        "angles_deg": {"pitch": pitch, "yaw": yaw, "roll": roll},
        "px_crop_from_px": None if crop is None else crop.tolist(),
        "alpha_id": coarse.alpha_id.tolist(),
        "alpha_exp": coarse.alpha_exp.tolist(),
        "detector": face.landmarks.detector,
        "landmark_error_px": coarse.landmark_error_px,
        "displacement_rms_mm": float(np.sqrt((moved[model.reliable] ** 2).mean())),
        "expected_error_mm": (
            None
            if found.expected_error_mm is None
            else float(found.expected_error_mm[model.reliable].mean())
        ),
        "trust": found.trust,
        "facemodel": model.name,
        "topology_hash": model.topology_hash,
    }


def _summary(outcome: Outcome, out: Path) -> dict[str, str]:
    if outcome.error is None:
        return {
            "photo": str(outcome.photo),
            "folder": outcome.folder.relative_to(out).as_posix(),
            "method": outcome.method,
        }
    return {
        "photo": str(outcome.photo),
        "code": outcome.error.code,
        "message": outcome.error.message,
    }

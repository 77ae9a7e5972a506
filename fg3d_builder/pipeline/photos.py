"""From photo files to faces in files: landmarks, 3DMM fit, network, and what people look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from fg3d_builder.captures.folder import read_landmarks
from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import FitConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.fgnet.prediction import (
    FittedPhoto,
    Prediction,
    RenderedFace,
    predict,
    rendered_face,
)
from fg3d_builder.fgnet.trained import Trained
from fg3d_builder.files.atomic import replacing, write_bytes, write_json
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.images import read_rgb
from fg3d_builder.files.mesh_io import mesh_with_texture, write_mesh
from fg3d_builder.files.obj_writer import write_textured_obj
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks
from fg3d_builder.rendering.rasterizer import visible_vertices
from fg3d_builder.report.pictures import contact_sheet, image_picture, overlay_picture
from fg3d_builder.report.sheets import face_view
from fg3d_builder.report.texture import PREDICTED_TRUST, texture_of_surface
from fg3d_builder.report.turntable import turntable_sheet

SCHEMA = "fg3d-prediction-1"
SUMMARY_NAME = "predictions.json"
ANNOTATION = "annotation"
"""The detector that takes landmarks from ``NAME.json`` beside the photo ``NAME.jpg``."""

DEPTH_UNIT_MM = 0.1
FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""Of the 35 mm film that cameras state their equivalent focal length for."""

_EXIF_IFD, _FOCAL_35_MM, _ORIENTATION = 0x8769, 0xA405, 0x0112
_GREY_LEVELS = 65535


class Focal(NamedTuple):
    """A focal length in pixels and where it is from: ``"given"``, ``"exif"`` or ``"guessed"``."""

    px: float
    source: str


class Photo(NamedTuple):
    """A photo as a person sees it: upright.

    Attributes
    ----------
    rgb : (H, W, 3) uint8
    focal_35_mm : float or None
        Equivalent focal length that the camera has noted down.
    """

    rgb: Array
    focal_35_mm: float | None


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: its `folder` with all files, or the reason why there is none."""

    photo: Path
    folder: Path
    error: CaptureError | None = None


def predict_photos(
    trained: Trained,
    photos: Sequence[Path],
    out: Path,
    detector: LandmarkDetector,
    *,
    focal_px: float | None = None,
    fit: FitConfig | None = None,
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Reconstruct the largest face of each photo, a folder of files for each.

    A photo that cannot be used is an outcome with an error; the others go on.

    Parameters
    ----------
    trained : Trained
    photos : sequence of Path
    out : Path
        Gets a folder for each photo, named after it, and ``predictions.json``.
    detector : LandmarkDetector
    focal_px : float, optional
        Of all photos; otherwise that of `focal_of`.
    fit : FitConfig, optional
    told : callable
        Is given each outcome as soon as it is there.
    """
    outcomes = []
    for photo, folder in zip(photos, folders_for(photos, out), strict=True):
        try:
            predict_photo(trained, photo, folder, detector, focal_px, fit or FitConfig())
            outcomes.append(Outcome(photo, folder))
        except CaptureError as error:
            outcomes.append(Outcome(photo, folder, error))
        told(outcomes[-1])
    write_json(out / SUMMARY_NAME, [_summary(outcome, out) for outcome in outcomes])
    return outcomes


def predict_photo(
    trained: Trained,
    path: Path,
    folder: Path,
    detector: LandmarkDetector,
    focal_px: float | None,
    fit: FitConfig,
) -> Prediction:
    """Reconstruct the face of one photo and write everything about it into a folder.

    ``face.obj`` (with ``face.mtl`` and ``face.png``), ``face.ply``, ``face.glb``: object frame,
    mm, with texture. ``depth.png``, ``depth.npy`` and ``pncc.png``: in the photo's pixels.
    ``pose.json``; ``overlay.png`` and ``turntable.png`` to look at.

    Raises
    ------
    CaptureError
        Unreadable, no face in it, or a fit that failed.
    """
    photo = read_photo(path)
    focal = focal_of(photo, focal_px)
    annotated = read_landmarks(path.with_suffix(".json")) if detector.name == ANNOTATION else None
    capture = capture_of(path.stem, photo, focal, annotated)
    landmarks = detector.detect(capture)
    coarse = fit_landmarks(trained.model, landmarks, capture.intrinsics, fit)
    (found,) = predict(trained, [fitted_photo(capture, coarse)])
    rendered = rendered_face(
        trained.model, found.vertices_cam_mm, capture.intrinsics, *photo.rgb.shape[:2]
    )
    texture = _texture(trained, capture, found, rendered)
    _write_meshes(trained, found, texture, folder)
    unit_mm = _write_maps(rendered, folder)
    _write_pictures(trained, capture, coarse, found, texture, folder)
    about = _description(trained, path, capture, focal, landmarks, coarse, found)
    write_json(folder / "pose.json", {**about, "depth_unit_mm": unit_mm})
    return found


def read_photo(path: Path) -> Photo:
    """Read a photo and turn it upright as its EXIF data say.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_image``.
    """
    rgb = read_rgb(path)
    with Image.open(path) as image:
        exif = image.getexif()
        if exif.get(_ORIENTATION, 1) != 1:
            rgb = np.array(ImageOps.exif_transpose(image).convert("RGB"))
        noted = exif.get_ifd(_EXIF_IFD).get(_FOCAL_35_MM)
    return Photo(rgb, float(noted) if noted else None)


def focal_of(photo: Photo, given_px: float | None) -> Focal:
    """Return the focal length: the given one, the camera's own, or the image's diagonal.

    A diagonal is what a lens of 43 mm has on 35 mm film, the field of view (53 degrees across
    the diagonal) that is called normal. A focal length that is wrong by some factor puts the face
    off by about the same factor in depth, and changes its shape little at arm's length.
    """
    if given_px is not None:
        return Focal(given_px, "given")
    diagonal = math.hypot(*photo.rgb.shape[:2])
    if photo.focal_35_mm is not None:
        return Focal(photo.focal_35_mm / FILM_DIAGONAL_MM * diagonal, "exif")
    return Focal(diagonal, "guessed")


def capture_of(
    name: str, photo: Photo, focal: Focal, landmarks: Landmarks | None = None
) -> Capture:
    """Return a photo as a capture without any depth; its principal point is the middle."""
    height, width = photo.rgb.shape[:2]
    return Capture(
        capture_id=safe_id(name),
        subject_id=safe_id(name),
        source="photo",
        rgb=photo.rgb,
        depth_mm=np.full((height, width), np.nan, dtype=np.float32),
        intrinsics=intrinsics_matrix(focal.px, focal.px, (width - 1) / 2, (height - 1) / 2),
        landmarks=landmarks,
    )


def fitted_photo(capture: Capture, coarse: CoarseFit) -> FittedPhoto:
    """Return a photo with its fit, as `predict` takes it."""
    return FittedPhoto(capture.rgb, capture.intrinsics, coarse.shape_obj_mm, coarse.pose)


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


def _texture(
    trained: Trained, capture: Capture, found: Prediction, rendered: RenderedFace
) -> Array:
    """The photo on the face; where the photo does not show it, the model's own colours."""
    model, vertices = trained.model, found.vertices_cam_mm
    normals = vertex_normals(vertices, model.triangles)
    height, width = capture.rgb.shape[:2]
    visible = visible_vertices(
        *(vertices, model.triangles, normals, capture.intrinsics), height, width
    )
    # Its own depth in place of a measured one keeps the background off the silhouette.
    with_depth = Capture(**{**vars(capture), "depth_mm": rendered.depth_mm})
    return texture_of_surface(
        *(model, with_depth, vertices, visible), trust_cosines=PREDICTED_TRUST
    )


def _write_meshes(trained: Trained, found: Prediction, texture: Array, folder: Path) -> None:
    model, shape = trained.model, found.shape_obj_mm
    write_textured_obj(folder / "face.obj", shape, model.triangles, model.uv, texture)
    mesh = mesh_with_texture(shape, model.triangles, model.uv, texture)
    for suffix in (".ply", ".glb"):
        write_mesh(folder / f"face{suffix}", mesh)


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


def _write_pictures(
    trained: Trained,
    capture: Capture,
    coarse: CoarseFit,
    found: Prediction,
    texture: Array,
    folder: Path,
) -> None:
    model = trained.model
    view = face_view(model, capture, found.vertices_cam_mm)
    fit = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
    tiles = [("photo", image_picture(capture, view))]
    for label, vertices in (("3DMM fit", fit), ("network", found.vertices_cam_mm)):
        tiles.append((label, overlay_picture(capture, vertices, model.triangles, view=view)))
    write_bytes(folder / "overlay.png", encode_png(contact_sheet(tiles)))
    sheet = turntable_sheet(found.shape_obj_mm, model.triangles, model.uv, texture)
    write_bytes(folder / "turntable.png", encode_png(sheet))


def _description(
    trained: Trained,
    path: Path,
    capture: Capture,
    focal: Focal,
    landmarks: Landmarks,
    coarse: CoarseFit,
    found: Prediction,
) -> dict[str, Any]:
    pose, model = coarse.pose, trained.model
    pitch, yaw, roll = angles_from_rotation(pose.rotation)
    moved = np.linalg.norm(found.shape_obj_mm - coarse.shape_obj_mm, axis=1)
    return {
        "schema": SCHEMA,
        "photo": path.name,
        "image_size": list(capture.rgb.shape[1::-1]),
        "intrinsics": capture.intrinsics.tolist(),
        "focal_source": focal.source,
        "scale": float(pose.scale),
        "rotation": pose.rotation.tolist(),
        "translation_mm": pose.translation_mm.tolist(),
        "angles_deg": {"pitch": pitch, "yaw": yaw, "roll": roll},
        "px_crop_from_px": found.px_crop_from_px.tolist(),
        "alpha_id": coarse.alpha_id.tolist(),
        "alpha_exp": coarse.alpha_exp.tolist(),
        "detector": landmarks.detector,
        "landmark_error_px": coarse.landmark_error_px,
        "displacement_rms_mm": float(np.sqrt((moved[model.reliable] ** 2).mean())),
        "facemodel": model.name,
        "topology_hash": model.topology_hash,
    }


def _summary(outcome: Outcome, out: Path) -> dict[str, str]:
    if outcome.error is None:
        return {"photo": str(outcome.photo), "folder": outcome.folder.relative_to(out).as_posix()}
    return {
        "photo": str(outcome.photo),
        "code": outcome.error.code,
        "message": outcome.error.message,
    }

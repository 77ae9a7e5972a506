"""The fit that a network is given: the same at training and at prediction, whatever the picture?

`python -m benchmarks.fit_sizes --data ../shared/data` shows the same faces 60 to 800 pixels wide
(pictures resampled, cameras scaled with them) and fits them on the three paths that there are:

* ``capture``: a dataset's sample of the picture as it was captured;
* ``view``: a sample of a rendered view, whose face is looked for in the training image itself;
* ``photo``: prediction, from the whole picture.

It prints NME of the fits, their mean ``|alpha / sd|``, and the RMS distance over the reliable
face between the shapes of two paths, next to that between two fits of one path where the picture
was moved by some pixels: what a detector's mood makes. Then it gives the fit focal lengths that are
wrong, as prediction has to guess them. Writes build/bench/fit_sizes.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.release_pictures import ReleaseTruth, exact_truth, pictures
from benchmarks.timings import machine
from fg3d_builder.captures import open_source
from fg3d_builder.config import ALL_LOOKS, BuildConfig, FaceModelConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fgnet.prediction import crop_of_fit
from fg3d_builder.fgnet.trained import CropSettings
from fg3d_builder.files.atomic import write_json
from fg3d_builder.fitting import fit_landmarks
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.crop import crop_image
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_view_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.pipeline.photo import Photo, capture_of, fitted_photo, focal_of
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks

WIDTHS_PX = (60, 100, 150, 250, 400, 800)
FOCAL_FACTORS = (0.6, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
DISTANCES_MM = (300.0, 550.0, 1000.0)
FOCAL_WIDTH_PX = 250

SCANS = ("facefuns-f26_pitch0_yaw0", "facefuns-m26_pitch0_yaw30", "facefuns-m66_pitch0_yaw-30")
FRAME = "sven-052"

MOVED_PX = (7, 4)
PATHS = ("capture", "view", "photo")

Row = dict[str, Any]


class Face(NamedTuple):
    """A face in a picture, and the truth about it.

    Attributes
    ----------
    name : str
    rgb : (H, W, 3) uint8
    intrinsics : (3, 3) float64
        Its true camera.
    truth : ReleaseTruth
    """

    name: str
    rgb: Array
    intrinsics: Array
    truth: ReleaseTruth


def faces(model: FaceModel, data: Path, cache: Path, subjects: int) -> Iterator[Face]:
    """Yield synthetic people, scans, and a phone's frame."""
    for capture in synthetic(subjects, 550.0):
        yield face_of(capture, exact_truth(model, capture))
    for one in pictures(cache, data, sets=("facefuns", "sven")):
        if one.name in (*SCANS, FRAME):
            yield Face(one.name, one.rgb, one.intrinsics, one.truth)


def synthetic(subjects: int, distance_mm: float) -> Iterator[Capture]:
    """Yield captures of the same people from some distance, in which they are as large."""
    usual = SourceConfig()
    source = open_source(
        SourceConfig(
            subjects=subjects,
            captures_per_subject=1,
            seed=5_011,
            max_yaw_deg=30.0,
            distance_mm=distance_mm,
            focal_px=usual.focal_px * distance_mm / usual.distance_mm,
        )
    )
    for entry in source.entries():
        yield source.load(entry)


def face_of(capture: Capture, truth: ReleaseTruth) -> Face:
    """Return the face of a capture, without its depth."""
    return Face(capture.capture_id, capture.rgb, capture.intrinsics, truth)


def resampled(face: Face, factor: float) -> Face:
    """Show a face `factor` times as large, the camera scaled with its picture."""
    height, width = face.rgb.shape[:2]
    size = (round(width * factor), round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    exact = np.array(size) / (width, height)
    camera = face.intrinsics.copy()
    camera[:2] *= exact[:, None]
    camera[:2, 2] += (exact - 1.0) / 2.0
    return face._replace(rgb=cv2.resize(face.rgb, size, interpolation=how), intrinsics=camera)


def moved(face: Face) -> Face:
    """Show a face `MOVED_PX` further right and down; what comes in is the border's colour."""
    right, down = MOVED_PX
    rgb = np.pad(face.rgb, ((down, 0), (right, 0), (0, 0)), mode="edge")
    camera = face.intrinsics.copy()
    camera[:2, 2] += MOVED_PX
    return face._replace(rgb=rgb, intrinsics=camera)


class Fitter:
    """Fits faces on the paths of training and of prediction.

    Parameters
    ----------
    model : FaceModel
    size : int
        Side of training images, pixels.
    """

    def __init__(self, model: FaceModel, size: int) -> None:
        self._config, self._model = BuildConfig(), model
        self.crop = CropSettings(self._config.shards.crop_margin, size)
        looks = self._config.fullview.looks
        self._captures = open_view_detector(self._config.landmarks, ALL_LOOKS)
        self._views = open_view_detector(self._config.landmarks, looks)

    def capture(self, face: Face) -> CoarseFit:
        """Fit as a dataset's sample of a captured picture is."""
        return self._fit(face.rgb, face.intrinsics, self._captures)

    def photo(self, face: Face) -> CoarseFit:
        """Fit as prediction does."""
        return self._fit(face.rgb, face.intrinsics, self._views)

    def view(self, face: Face) -> CoarseFit:
        """Fit as a dataset's sample of a rendered view is: within the training image."""
        found = self.photo(face)
        rgb, camera = self.training_image(face, found)
        return self._fit(rgb, camera, self._views)

    def training_image(self, face: Face, fit: CoarseFit) -> tuple[Array, Array]:
        """Cut the training image out of a picture; return it with its camera."""
        photo = fitted_photo(self._picture(face.rgb, face.intrinsics), fit)
        crop = crop_of_fit(self._model, photo, self.crop)
        return crop_image(face.rgb, crop, self.crop.size), crop @ face.intrinsics

    def landmarks(self, face: Face) -> Landmarks:
        """Return the landmarks of prediction."""
        return self._views.detect(self._picture(face.rgb, face.intrinsics))

    def fit(self, landmarks: Landmarks, intrinsics: Array) -> CoarseFit:
        """Fit landmarks with a camera that may be a wrong one."""
        return fit_landmarks(self._model, landmarks, intrinsics, self._config.fit)

    def _fit(self, rgb: Array, intrinsics: Array, detector: LandmarkDetector) -> CoarseFit:
        return self.fit(detector.detect(self._picture(rgb, intrinsics)), intrinsics)

    @staticmethod
    def _picture(rgb: Array, intrinsics: Array) -> Capture:
        photo = Photo(rgb, None)
        alone = capture_of("picture", photo, focal_of(photo, float(intrinsics[0, 0])))
        return replace(alone, intrinsics=intrinsics)


def width_px(model: FaceModel, face: Face, fit: CoarseFit) -> float:
    """Return how wide the reliable part of a fitted face is in its picture."""
    points = fit.pose.cam_from_obj(fit.shape_obj_mm[model.reliable])
    return float(np.ptp(px_from_cam(points, face.intrinsics)[:, 0]))


def size_row(model: FaceModel, fitter: Fitter, face: Face, width: int, whole_px: float) -> Row:
    """Fit a face that is shown `width` pixels wide, on all paths.

    Parameters
    ----------
    model : FaceModel
    fitter : Fitter
    face : Face
    width : int
    whole_px : float
        Width of the face as it is.
    """
    shown = resampled(face, width / whole_px)
    row: Row = {"face": face.name, "width": width}
    try:
        fits = {path: getattr(fitter, path)(shown) for path in PATHS}
        again = {path: getattr(fitter, path)(moved(shown)) for path in PATHS}
    except CaptureError as error:
        return row | {"failure": f"{error.code}: {error.message}"}
    for path, fit in fits.items():
        row[path] = fit_figures(model, face.truth, fit) | {
            "again_mm": apart_mm(model, fit, again[path])
        }
    row["capture_photo_mm"] = apart_mm(model, fits["capture"], fits["photo"])
    row["view_photo_mm"] = apart_mm(model, fits["view"], fits["photo"])
    return row


def fit_figures(model: FaceModel, truth: ReleaseTruth, fit: CoarseFit) -> dict[str, float]:
    """Return NME and DACE of a fit, per cent, and the mean of its standardised coefficients."""
    return {
        "nme": truth.nme(fit.shape_obj_mm),
        "dace": truth.dace(fit.shape_obj_mm),
        "alpha_id": float(np.abs(fit.alpha_id / model.id_sd).mean()),
        "alpha_exp": float(np.abs(fit.alpha_exp / model.exp_sd).mean()),
    }


def apart_mm(model: FaceModel, one: CoarseFit, other: CoarseFit) -> float:
    """Return the RMS distance of two shapes over the reliable face, in the object frame."""
    apart = (one.shape_obj_mm - other.shape_obj_mm)[model.reliable]
    return float(np.sqrt((apart**2).sum(axis=1).mean()))


def focal_row(model: FaceModel, fitter: Fitter, face: Face, factor: float) -> Row:
    """Fit a face with a focal length that is `factor` times the true one.

    A factor of 0 stands for the length that prediction takes where it knows none.
    """
    landmarks = fitter.landmarks(face)
    camera = face.intrinsics.copy()
    true_px = float(camera[0, 0])
    px = factor * true_px if factor else focal_of(Photo(face.rgb, None), None).px
    camera[[0, 1], [0, 1]] = px
    right, found = fitter.fit(landmarks, face.intrinsics), fitter.fit(landmarks, camera)
    return {
        "face": face.name,
        "factor": factor,
        "taken": px / true_px,
        **fit_figures(model, face.truth, found),
        "apart_mm": apart_mm(model, right, found),
        "distance": float(found.pose.translation_mm[2] / right.pose.translation_mm[2]),
    }


def mean_of(rows: Sequence[Row], *keys: str) -> float:
    """Return the mean of a figure that rows hold under some keys, one in the other."""

    def figure(row: Row) -> float:
        value: Any = row
        for key in keys:
            value = value[key]
        return float(value)

    return float(np.mean([figure(row) for row in rows]))


def print_sizes(rows: Sequence[Row]) -> None:
    """Print the table over sizes, and for each how many faces were found."""
    print(
        "| face, px | found | NME: capture | view | photo | identity | | | expression | | "
        "| capture to photo, mm | view to photo | photo to itself, moved |"
    )
    print("|" + "---|" * 14)
    for width in WIDTHS_PX:
        mine = [row for row in rows if row["width"] == width]
        good = [row for row in mine if "failure" not in row]
        if not good:
            continue
        cells = [
            f"{mean_of(good, path, figure):.2f}"
            for figure in ("nme", "alpha_id", "alpha_exp")
            for path in PATHS
        ]
        cells += [
            f"{mean_of(good, *keys):.2f}"
            for keys in (("capture_photo_mm",), ("view_photo_mm",), ("photo", "again_mm"))
        ]
        print(f"| {width} | {len(good)} of {len(mine)} | " + " | ".join(cells) + " |", flush=True)


def print_focal(rows: Sequence[Row]) -> None:
    """Print the table over focal lengths."""
    print("| at, mm | focal length | NME | DACE | identity | expression | off by, mm | distance |")
    print("|" + "---|" * 8)
    keys = dict.fromkeys((row["distance_mm"], row["factor"]) for row in rows)
    for distance, factor in keys:
        mine = [r for r in rows if (r["distance_mm"], r["factor"]) == (distance, factor)]
        means = [mean_of(mine, key) for key in ("nme", "dace", "alpha_id", "alpha_exp", "apart_mm")]
        name = f"x {factor:g}" if factor else f"guessed (x {mean_of(mine, 'taken'):.2f})"
        numbers = " | ".join(f"{value:.2f}" for value in means)
        print(f"| {distance:g} | {name} | {numbers} | x {mean_of(mine, 'distance'):.2f} |")


def main() -> None:
    """Measure, print both tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("build/bench/release"))
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, help="side of training images")
    parser.add_argument("--out", type=Path, default=Path("build/bench/fit_sizes.json"))
    a = parser.parse_args()
    model = get_model(FaceModelConfig())
    fitter = Fitter(model, a.size)
    sizes, focal = [], []
    for face in faces(model, a.data, a.cache, a.subjects):
        whole_px = width_px(model, face, fitter.photo(face))
        print(f"{face.name}: {whole_px:.0f} pixels wide", flush=True)
        sizes += [size_row(model, fitter, face, width, whole_px) for width in WIDTHS_PX]
    print_sizes(sizes)
    for distance in DISTANCES_MM:
        for capture in synthetic(a.subjects, distance):
            face = face_of(capture, exact_truth(model, capture))
            whole_px = width_px(model, face, fitter.photo(face))
            shown = resampled(face, FOCAL_WIDTH_PX / whole_px)
            for factor in (*FOCAL_FACTORS, 0.0):
                row = focal_row(model, fitter, shown, factor)
                focal.append(row | {"distance_mm": distance})
    print_focal(focal)
    write_json(a.out, {"machine": machine(), "sizes": sizes, "focal": focal})


if __name__ == "__main__":
    main()

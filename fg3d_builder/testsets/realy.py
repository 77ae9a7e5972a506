"""REALY: images, 85 key points and four region scans of 100 people, as published.

::

    FOLDER/REALY_image/crop_image_frontal_512x512/1.jpg       images; several folders of them
    FOLDER/REALY_HIFI3D_keypoints/1.obj                       85 vertices, no triangles
    FOLDER/REALY_scan_region/1/nose.obj  mouth.obj  forehead.obj  cheek.obj
    FOLDER/metrical_scale.txt                                 mm per unit of each scan, a line each
    FOLDER/HIFI3D.obj  HIFI3D.txt                             a template and its key points

The first three folders come with the data, the files below them with the benchmark's repository
(``czh-98/REALY``, its folder ``data``). An image is named by the number of its person, counted
from 1, with more behind an underscore where there are several: ``12.jpg``, ``12_3.jpg``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.evaluation.regional_error import KEY_POINT_COUNT, REGIONS
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.records import Array
from fg3d_builder.testsets.layouts import wanted_subjects
from fg3d_builder.testsets.list_files import list_text
from fg3d_builder.testsets.records import ProtocolImage

IMAGES = "REALY_image"
IMAGE_SET = "crop_image_frontal_512x512"
KEY_POINTS = "REALY_HIFI3D_keypoints"
REGION_SCANS = "REALY_scan_region"
SCALES = "metrical_scale.txt"

_NAME = re.compile(r"(\d+)(_\d+)*")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_MAX_BYTES = 2**24


@dataclass(frozen=True)
class RealyTruth:
    """What the prediction of one person is compared with.

    Attributes
    ----------
    key_points : (85, 3) float64
        In the scan's frame and unit.
    region_vertices : dict of str to (n, 3) float64
        By the names of `REGIONS`.
    mm_per_unit : float
    """

    key_points: Array
    region_vertices: dict[str, Array]
    mm_per_unit: float


@dataclass(frozen=True)
class Realy:
    """REALY's images of one set.

    Attributes
    ----------
    folder : Path
    images : tuple of ProtocolImage
        Sorted by person; ids are the names of predictions.
    mm_per_unit : (s,) float64
        Of person ``i + 1``.
    """

    folder: Path
    images: tuple[ProtocolImage, ...]
    mm_per_unit: Array

    def truth(self, subject: str) -> RealyTruth:
        """Read the key points and region scans of a person.

        Raises
        ------
        CaptureError
            ``missing_file``, ``unreadable_mesh`` or ``bad_landmarks``.
        """
        number = int(subject)
        if not 1 <= number <= len(self.mm_per_unit):
            raise CaptureError(
                "missing_file",
                f"{self.folder / SCALES}: {len(self.mm_per_unit)} scales, none for person {number}",
            )
        points = read_obj_points(self.folder / KEY_POINTS / f"{number}.obj")
        if len(points) != KEY_POINT_COUNT:
            raise CaptureError(
                "bad_landmarks",
                f"{self.folder / KEY_POINTS / f'{number}.obj'}: {len(points)} vertices, wanted "
                f"{KEY_POINT_COUNT}",
            )
        scans = {}
        for region in REGIONS:
            path = self.folder / REGION_SCANS / str(number) / f"{region.name}.obj"
            mesh = read_mesh(path, colours=False)
            scans[region.name] = mesh.vertices[np.unique(mesh.triangles)]
        return RealyTruth(points, scans, float(self.mm_per_unit[number - 1]))


def open_realy(
    folder: Path, *, subjects: Sequence[str] = ("*",), image_set: str = IMAGE_SET
) -> Realy:
    """Read REALY in its published layout.

    Parameters
    ----------
    folder : Path
    subjects : sequence of str
        Patterns of the people's numbers to take.
    image_set : str
        Folder of images in ``REALY_image``.

    Raises
    ------
    ConfigError
        Nothing there, a name that is no image's, broken scales, or no subject of these names.
    """
    place = folder / IMAGES / image_set
    if not os.path.isdir(place):
        there = sorted(p.name for p in (folder / IMAGES).glob("*") if p.is_dir())
        found = f"; {IMAGES} has {', '.join(there[:5])}" if there else ""
        raise ConfigError(f"{place}: no such folder{found}")
    images: dict[str, ProtocolImage] = {}
    for path in sorted(place.iterdir()):
        if path.suffix.lower() not in _SUFFIXES:
            continue
        name = _NAME.fullmatch(path.stem)
        if name is None:
            raise ConfigError(f"{path}: an image is named by a person's number, as 12 or 12_3")
        if path.stem in images:
            raise ConfigError(f"{place}: two images are named {path.stem}")
        images[path.stem] = ProtocolImage(path.stem, str(int(name[1])), path, None, None)
    if not images:
        raise ConfigError(f"{place}: no image in it")
    wanted = wanted_subjects(folder, {image.subject for image in images.values()}, subjects)
    taken = [image for image in images.values() if image.subject in wanted]
    taken.sort(key=lambda image: (int(image.subject), image.image_id))
    return Realy(folder, tuple(taken), _scales(folder / SCALES))


def read_obj_points(path: Path) -> Array:
    """Return the (n, 3) vertices of an obj that may have no triangles.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``bad_landmarks``.
    """
    text = read_regular(path, "bad_landmarks", _MAX_BYTES).decode("utf-8", "replace")
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0] != "v":
            continue
        try:
            row = [float(word) for word in words[1:4]]
        except ValueError:
            row = []
        if len(row) != 3 or not np.isfinite(row).all():
            raise CaptureError("bad_landmarks", f"{path}: line {number}: wanted 'v x y z'")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(len(rows), 3)


def _scales(path: Path) -> Array:
    text = list_text(path, "it is in the folder 'data' of the benchmark's repository")
    scales = []
    for number, line in enumerate(text.split(), start=1):
        try:
            scale = float(line)
        except ValueError:
            scale = 0.0
        if not 0.0 < scale < np.inf:
            raise ConfigError(f"{path}: line {number}: '{line[:40]}' is no length in mm")
        scales.append(scale)
    return np.array(scales)

"""Stirling/ESRC: one neutral scan and two photos at a yaw of 45 degrees per subject.

::

    FOLDER/F_3D_N/F1001_N.obj  FOLDER/M_3D_N/m1011_N.obj     neutral scans, mm
    FOLDER/annotations/F_3D_N/F1001_N.lnd                    seven points, optional
    FOLDER/photos.csv                                        photo,subject,yaw
    FOLDER/photos/F1001_left.jpg                             anywhere that photos.csv says

Scans and annotations are named as the data base and the FG2018 competition on it name them; upper
and lower case are used there without a rule and count as equal. How the two photos of the Di3D
cameras are named is not published: ``photos.csv`` says which photo shows whom, and how far turned.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.captures.source import safe_id
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.testsets.landmark_files import read_point_list
from fg3d_builder.testsets.records import (
    GivenLandmarks,
    Missing,
    Protocol,
    ProtocolImage,
    ProtocolScan,
)

TABLE_NAME = "photos.csv"
COLUMNS = ("photo", "subject", "yaw")
UNIT_MM = 1.0
_GROUPS = ("F_3D_N", "M_3D_N")


class ListedPhoto(NamedTuple):
    """A line of the table.

    Attributes
    ----------
    path : str
        Relative to the data set's folder.
    subject : str
        Upper case, such as ``"F1001"``.
    yaw_deg : float
        Positive where the face turns to its own left, which is image right.
    """

    path: str
    subject: str
    yaw_deg: float


def listed_photos(folder: Path) -> list[ListedPhoto]:
    """Read ``photos.csv``.

    Raises
    ------
    ConfigError
        No table, or a line that is wrong; names file, line and column.
    """
    path = folder / TABLE_NAME
    if not path.is_file():
        raise ConfigError(
            f"{path}: not found; it names each photo with subject and yaw, see docs/protocols.md"
        )
    found = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if absent:
            raise ConfigError(f"{path}: no column '{absent[0]}'; wanted {', '.join(COLUMNS)}")
        for line in reader:
            where = f"{path}: line {reader.line_num}"
            empty = [name for name in COLUMNS if not (line[name] or "").strip()]
            if empty:
                raise ConfigError(f"{where}: column '{empty[0]}' is empty")
            photo = Path(line["photo"].strip())
            if photo.is_absolute() or ".." in photo.parts:
                raise ConfigError(f"{where}: photo '{photo}' lies outside the folder")
            yaw = _angle(line["yaw"], where)
            found.append(ListedPhoto(photo.as_posix(), line["subject"].strip().upper(), yaw))
    twice = {p.path for p in found if sum(q.path == p.path for q in found) > 1}
    if twice:
        raise ConfigError(f"{path}: photo '{min(twice)}' is named twice")
    return sorted(found)


def read_stirling(folder: Path, subjects: list[str], unit_mm: float | None) -> Protocol:
    """List the photos in ``photos.csv``.

    Parameters
    ----------
    folder : Path
    subjects : list of str
    unit_mm : float, optional
        Of the scans; default 1.

    Returns
    -------
    Protocol
        A photo that is not there, or whose scan is not, is `Missing`.
    """
    meshes = _by_subject(folder, "*.obj")
    points = _by_subject(folder / "annotations", "*.lnd")
    unit = UNIT_MM if unit_mm is None else unit_mm
    scans: dict[str, ProtocolScan] = {}
    images, missing = [], []
    for photo in listed_photos(folder):
        if photo.subject not in subjects:
            continue
        image_id, name = Path(photo.path).with_suffix("").as_posix(), safe_id(photo.subject)
        try:
            if not (folder / photo.path).is_file():
                raise CaptureError("missing_file", f"{folder / photo.path}: file not found")
            mesh = _only(meshes, photo.subject, folder, "_N.obj")
            if name not in scans:
                given = _given(points, photo.subject, folder)
                scans[name] = ProtocolScan(name, name, mesh, unit, given)
        except CaptureError as error:
            missing.append(Missing(image_id, name, error.code, error.message))
            continue
        image = ProtocolImage(image_id, name, name, folder / photo.path, None, photo.yaw_deg)
        images.append(image)
    return Protocol("stirling", scans, tuple(images), tuple(missing))


def _angle(text: str, where: str) -> float:
    try:
        angle = float(text)
    except ValueError:
        angle = math.nan
    if not abs(angle) <= 180.0:
        raise ConfigError(f"{where}: yaw is '{text.strip()}', wanted degrees")
    return angle


def _by_subject(folder: Path, pattern: str) -> dict[str, list[Path]]:
    """Files ``SUBJECT_N.*`` of both groups by upper-case subject."""
    found: dict[str, list[Path]] = {}
    for group in _GROUPS:
        for path in sorted((folder / group).glob(pattern)):
            stem = path.stem.upper()
            if stem.endswith("_N"):
                found.setdefault(stem.removesuffix("_N"), []).append(path)
    return found


def _only(files: dict[str, list[Path]], subject: str, folder: Path, kind: str) -> Path:
    mine = files.get(subject, [])
    if len(mine) == 1:
        return mine[0]
    places = " or ".join(_GROUPS)
    if not mine:
        raise CaptureError("missing_file", f"{folder}: no {subject}{kind} in {places}")
    names = ", ".join(str(p.relative_to(folder)) for p in mine)
    raise CaptureError("ambiguous_scan", f"{folder}: {subject} has several scans: {names}")


def _given(points: dict[str, list[Path]], subject: str, folder: Path) -> GivenLandmarks | None:
    if subject not in points:
        return None
    return read_point_list(_only(points, subject, folder / "annotations", "_N.lnd"))

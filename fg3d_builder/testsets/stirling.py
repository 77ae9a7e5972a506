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
import io
import math
from pathlib import Path

from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.testsets.list_files import list_text
from fg3d_builder.testsets.mesh_files import only_mesh, read_point_list
from fg3d_builder.testsets.records import GivenLandmarks, ProtocolImage

TABLE_NAME = "photos.csv"
COLUMNS = ("photo", "subject", "yaw")
GROUPS = ("F_3D_N", "M_3D_N")


def list_images(folder: Path) -> list[ProtocolImage]:
    """List the photos in ``photos.csv``; subjects are upper case, such as ``"F1001"``.

    Yaw is positive where the face turns to its own left, which is image right.

    Raises
    ------
    ConfigError
        No table, or a line that is wrong; names file, line and column.
    """
    path = folder / TABLE_NAME
    text = list_text(path, "it names each photo with subject and yaw, see docs/protocols.md")
    found: dict[str, ProtocolImage] = {}
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if absent:
            raise ConfigError(f"{path}: no column '{absent[0]}'; wanted {', '.join(COLUMNS)}")
        for line in reader:
            where = f"{path}: line {reader.line_num}"
            empty = [name for name in COLUMNS if not (line[name] or "").strip()]
            if empty:
                raise ConfigError(f"{where}: column '{empty[0]}' is empty")
            photo = Path(line["photo"].strip())
            if not photo.name:
                raise ConfigError(f"{where}: photo '{photo}' is no file name")
            if photo.is_absolute() or ".." in photo.parts:
                raise ConfigError(f"{where}: photo '{photo}' is outside the folder")
            name = photo.as_posix()
            if name in found:
                raise ConfigError(f"{where}: photo '{name}' is named twice")
            image_id, subject = photo.with_suffix("").as_posix(), line["subject"].strip().upper()
            yaw = _angle_deg(line["yaw"], where)
            found[name] = ProtocolImage(image_id, subject, folder / photo, None, yaw)
    except csv.Error as error:
        raise ConfigError(f"{path}: line {reader.line_num}: {error}") from None
    if not found:
        raise ConfigError(f"{path}: it names no photo")
    return list(found.values())


def find_scan(folder: Path, subject: str) -> tuple[Path, GivenLandmarks | None]:
    """Return a subject's scan, and its landmarks where there are annotations.

    Raises
    ------
    CaptureError
        ``missing_file``, ``ambiguous_scan`` or ``bad_landmarks``.
    """
    meshes = _files_of(subject, folder, ".obj")
    if not meshes:
        raise CaptureError("missing_file", f"{folder}: no {subject}_N.obj in {' or '.join(GROUPS)}")
    points = _files_of(subject, folder / "annotations", ".lnd")
    given = read_point_list(only_mesh(points, folder / "annotations")) if points else None
    return only_mesh(meshes, folder), given


def _angle_deg(text: str, where: str) -> float:
    try:
        angle = float(text)
    except ValueError:
        angle = math.nan
    if not abs(angle) <= 180.0:
        raise ConfigError(f"{where}: yaw is '{text.strip()}', wanted degrees")
    return angle


def _files_of(subject: str, folder: Path, suffix: str) -> list[Path]:
    """Return the files ``SUBJECT_N`` of a kind in both groups, in upper or lower case."""
    return [
        path
        for group in GROUPS
        for path in (folder / group).glob(f"*{suffix}")
        if path.stem.upper() == f"{subject}_N"
    ]

"""NoW, validation set, neutral images.

::

    FOLDER/imagepathsvalidation.txt                    SUBJECT/multiview_neutral/IMG_0041.jpg, ...
    FOLDER/iphone_pictures/SUBJECT/multiview_neutral/IMG_0041.jpg
    FOLDER/scans/SUBJECT/NAME.obj                      one mesh, mm, neutral
    FOLDER/scans_lmks_onlypp/SUBJECT/NAME_picked_points.pp     seven points

``iphone_pictures`` may also lie in ``NoW_Dataset/final_release_version``, as its archive
unpacks. Images of expressions, occlusions and selfies are left out, as in the paper (Sec. 7.1):
the scan is neutral. Yaw is not given; the fit estimates it.
"""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.captures.source import safe_id
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.testsets.landmark_files import read_picked_points
from fg3d_builder.testsets.records import Missing, Protocol, ProtocolImage, ProtocolScan

LIST_NAME = "imagepathsvalidation.txt"
NEUTRAL = "multiview_neutral"
UNIT_MM = 1.0
_PICTURES = ("iphone_pictures", "NoW_Dataset/final_release_version/iphone_pictures")


def listed_images(folder: Path) -> list[str]:
    """Return the relative paths of the neutral images in the list of the validation set.

    Raises
    ------
    ConfigError
        No list, or a line that is no image of a subject.
    """
    path = folder / LIST_NAME
    if not path.is_file():
        raise ConfigError(f"{path}: not found; it comes with NoW's validation set")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = Path(line.strip()).parts
        if not words:
            continue
        if len(words) != 3 or ".." in words:
            raise ConfigError(f"{path}: line {number}: '{line}', wanted SUBJECT/SET/IMAGE.jpg")
        if words[1] == NEUTRAL:
            found.append("/".join(words))
    return sorted(set(found))


def read_now(folder: Path, subjects: list[str], unit_mm: float | None) -> Protocol:
    """List the neutral images of the validation set.

    Parameters
    ----------
    folder : Path
    subjects : list of str
        First part of the images' paths.
    unit_mm : float, optional
        Of the scans; default 1.

    Returns
    -------
    Protocol
        An image that is not there, or whose scan or landmarks are not, is `Missing`.
    """
    pictures = _pictures_folder(folder)
    scans: dict[str, ProtocolScan] = {}
    problems: dict[str, CaptureError] = {}
    for subject in subjects:
        try:
            scans[safe_id(subject)] = _scan(folder, subject, unit_mm)
        except CaptureError as error:
            problems[subject] = error
    images, missing = [], []
    for listed in listed_images(folder):
        subject = listed.split("/", maxsplit=1)[0]
        if subject not in subjects:
            continue
        image_id, name = Path(listed).with_suffix("").as_posix(), safe_id(subject)
        photo = pictures / listed
        problem = problems.get(subject)
        if problem is None and not photo.is_file():
            problem = CaptureError("missing_file", f"{photo}: file not found")
        if problem is not None:
            missing.append(Missing(image_id, name, problem.code, problem.message))
            continue
        images.append(ProtocolImage(image_id, name, name, photo, None, None))
    return Protocol("now", scans, tuple(images), tuple(missing))


def _pictures_folder(folder: Path) -> Path:
    for name in _PICTURES:
        if (folder / name).is_dir():
            return folder / name
    raise ConfigError(f"{folder}: no folder {' or '.join(_PICTURES)} in it")


def _scan(folder: Path, subject: str, unit_mm: float | None) -> ProtocolScan:
    place = folder / "scans" / subject
    found = sorted(place.glob("*.obj"))
    if not found:
        raise CaptureError("missing_file", f"{place}: no *.obj in it")
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise CaptureError("ambiguous_scan", f"{place}: wanted one *.obj, got {names}")
    points = folder / "scans_lmks_onlypp" / subject / f"{found[0].stem}_picked_points.pp"
    unit = UNIT_MM if unit_mm is None else unit_mm
    name = safe_id(subject)
    return ProtocolScan(name, name, found[0], unit, read_picked_points(points))

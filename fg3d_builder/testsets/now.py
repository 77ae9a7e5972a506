"""NoW: its validation set, whose neutral images the paper measures on; its four challenges.

::

    FOLDER/imagepathsvalidation.txt                    SUBJECT/multiview_neutral/IMG_0041.jpg, ...
    FOLDER/iphone_pictures/SUBJECT/multiview_neutral/IMG_0041.jpg
    FOLDER/scans/SUBJECT/NAME.obj                      one mesh, mm, neutral
    FOLDER/scans_lmks_onlypp/SUBJECT/NAME_picked_points.pp     seven points, any *.pp

``iphone_pictures`` may also be in ``NoW_Dataset/final_release_version``, as its archive
unpacks. For the paper's DACE, images of expressions, occlusions and selfies are left out
(Sec. 7.1): the scan is neutral. Yaw is not given; the fit estimates it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fg3d_builder.errors import CaptureError, ConfigError, printable
from fg3d_builder.testsets.list_files import list_text
from fg3d_builder.testsets.mesh_files import only_mesh, only_picked_points, read_picked_points
from fg3d_builder.testsets.records import GivenLandmarks, ProtocolImage

LIST_NAME = "imagepathsvalidation.txt"
NEUTRAL = "multiview_neutral"
CHALLENGES = (NEUTRAL, "multiview_expressions", "multiview_occlusions", "selfie")
"""Folders of NoW's four challenges, in the order of its tables."""

PICTURES = ("iphone_pictures", "NoW_Dataset/final_release_version/iphone_pictures")


def list_images(folder: Path) -> list[ProtocolImage]:
    """List the neutral images of the validation set, see `listed_images`."""
    return listed_images(folder, LIST_NAME, (NEUTRAL,))


def listed_images(folder: Path, list_name: str, challenges: Sequence[str]) -> list[ProtocolImage]:
    """List the images of some challenges that one of NoW's lists names.

    Parameters
    ----------
    folder : Path
    list_name : str
        File in the folder with a line ``SUBJECT/CHALLENGE/IMAGE.jpg`` for each image.
    challenges : sequence of str
        Of `CHALLENGES`.

    Raises
    ------
    ConfigError
        No list, a line that is no image of a subject, or no folder of pictures.
    """
    path = folder / list_name
    text = list_text(path, "it comes with NoW's data")
    listed = set()
    for number, line in enumerate(text.splitlines(), start=1):
        words = Path(line.strip()).parts
        if not words:
            continue
        if len(words) != 3 or ".." in words:
            found = printable(line[:200])
            raise ConfigError(f"{path}: line {number}: '{found}', wanted SUBJECT/SET/IMAGE.jpg")
        if words[1] in challenges:
            listed.add("/".join(words))
    if not listed:
        raise ConfigError(f"{path}: it names no image of the set {' or '.join(challenges)}")
    pictures = next((folder / name for name in PICTURES if (folder / name).is_dir()), None)
    if pictures is None:
        raise ConfigError(f"{folder}: no folder {' or '.join(PICTURES)} in it")
    return [
        ProtocolImage(
            Path(name).with_suffix("").as_posix(),
            name.split("/", maxsplit=1)[0],
            pictures / name,
            None,
            None,
        )
        for name in listed
    ]


def find_scan(folder: Path, subject: str) -> tuple[Path, GivenLandmarks]:
    """Return a subject's scan and the points picked on it.

    Raises
    ------
    CaptureError
        ``missing_file``, ``ambiguous_scan`` or ``bad_landmarks``.
    """
    place = folder / "scans" / subject
    found = list(place.glob("*.obj"))
    if not found:
        raise CaptureError("missing_file", f"{place}: no *.obj in it")
    mesh = only_mesh(found, place)
    points = only_picked_points(folder / "scans_lmks_onlypp" / subject, mesh)
    return mesh, read_picked_points(points)

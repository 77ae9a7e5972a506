"""FRGC v2: range images of a laser scanner in text (.abs, .abs.gz), with the picture in .ppm."""

from __future__ import annotations

import re
from pathlib import Path

from fg3d_builder.captures.layouts.found_files import files_below, names_once
from fg3d_builder.captures.layouts.labels import UNLABELLED, labelled
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.organised_points import frame_of_points
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.abs_range_image import read_abs
from fg3d_builder.files.images import read_rgb

_RANGE = re.compile(r"(\d+)d(\d+)\.abs(\.gz)?", re.IGNORECASE)


def find(folder: Path) -> list[Item]:
    """List the range images; of one that is there packed and unpacked, the unpacked one.

    Raises
    ------
    ConfigError
        ``labels.csv`` cannot be read.
    """
    files: dict[Path, Path] = {}
    for file in files_below(folder, _RANGE.fullmatch):
        files.setdefault(file.parent / _stem(file), file)
    found = sorted(files.values())
    names = names_once(folder, found, [_stem(file) for file in found])
    items = [
        Item(
            name=name,
            subject=_stem(file).split("d")[0],
            files=(file, *_pictures(file)),
            expression=UNLABELLED,
        )
        for file, name in zip(found, names, strict=True)
    ]
    return labelled(folder, items)


def frame(item: Item) -> Frame:
    """Read points and picture.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_image``, or as `frame_of_points`.
    """
    file = item.files[0]
    pictures = [picture for picture in item.files[1:] if picture.is_file()]
    if not pictures:
        names = " nor ".join(str(picture.name) for picture in item.files[1:])
        raise CaptureError("missing_file", f"{file}: no picture of it, neither {names}")
    points = read_abs(file)
    return Frame(*frame_of_points(points, read_rgb(pictures[0]), str(file)))


def _stem(file: Path) -> str:
    """Return ``04201d302`` of ``04201d302.abs.gz``."""
    return file.name.split(".")[0].lower()


def _pictures(file: Path) -> tuple[Path, Path]:
    """Return where the picture of a range image may be: the same number, or the next.

    Range image and picture are two recordings, which are numbered one after the other.
    """
    stem = file.name.split(".")[0]
    subject, number = re.split("d", stem, maxsplit=1, flags=re.IGNORECASE)
    following = str(int(number) + 1).zfill(len(number))
    return file.with_name(f"{stem}.ppm"), file.with_name(
        f"{subject}{stem[len(subject)]}{following}.ppm"
    )


LAYOUT = Layout(
    kind="frgc",
    title="FRGC v2",
    expects="04201d302.abs or .abs.gz with 04201d303.ppm, in folders such as Fall2003range",
    find=find,
    frame=frame,
    suffixes=(".abs", ".abs.gz"),
    terms="docs/captures/frgc.md",
)

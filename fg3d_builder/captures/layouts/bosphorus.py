"""Bosphorus: range images (.bnt) with a picture, of expressions, poses and hidden faces."""

from __future__ import annotations

import re
from pathlib import Path

from fg3d_builder.captures.layouts.found_files import files_below, names_once
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.organised_points import grid_mesh
from fg3d_builder.captures.scan_parts import mended
from fg3d_builder.files.bnt_range_image import read_bnt
from fg3d_builder.files.images import read_rgb
from fg3d_builder.files.textured_mesh import TexturedMesh

_SCAN = re.compile(r"(bs\d{3})_([A-Z]+)_(\w+)_(\d+)\.bnt", re.IGNORECASE)

_EXPRESSIONS = ("N", "E", "LFAU", "UFAU", "CAU")

_SMALL_POSES = ("YR_R10", "YR_R20", "PR_SU", "PR_SD")
"""Turned by up to some 20 degrees."""

_REFUSED = {
    "YR": "the face is turned aside, and half of it is missing",
    "PR": "the face looks far up or down",
    "CR": "the face is turned aside and up or down",
    "O": "something hides a part of the face",
    "IGN": "its publishers say to ignore it",
}


def find(folder: Path) -> list[Item]:
    """List all scans; those that cannot be used with the reason, by their name."""
    found = files_below(folder, _SCAN.fullmatch)
    names = names_once(folder, found, [file.stem for file in found])
    return [_item(file, name) for file, name in zip(found, names, strict=True)]


def mesh(item: Item) -> TexturedMesh:
    """Triangulate a range image, with its picture as the texture.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_image`` or ``no_depth``.
    """
    file, picture = item.files
    image = read_bnt(file)
    return mended(grid_mesh(image.points, read_rgb(picture), str(file), image.uv))


def _item(file: Path, name: str) -> Item:
    match = _SCAN.fullmatch(file.name)
    assert match is not None
    subject, kind, what = match[1].lower(), match[2].upper(), match[3].upper()
    expression, refusal = "neutral", ""
    if kind in _EXPRESSIONS:
        if kind != "N":
            expression = what.lower() if kind == "E" else f"{kind}_{what}"
    elif f"{kind}_{what}" not in _SMALL_POSES:
        refusal = _REFUSED.get(kind, f"'{kind}' is no kind of scan that is known here")
    return Item(
        name=name,
        subject=subject,
        files=(file, file.with_suffix(".png")),
        expression=expression,
        refusal=refusal,
    )


LAYOUT = Layout(
    kind="bosphorus",
    title="Bosphorus",
    expects="bs000/bs000_N_N_0.bnt with bs000_N_N_0.png",
    find=find,
    mesh=mesh,
    suffixes=(".bnt",),
    terms="docs/captures/bosphorus.md",
)

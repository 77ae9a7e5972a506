"""BU-3DFE: 25 face scans of each person, six expressions at four levels, in VRML."""

from __future__ import annotations

import re
from pathlib import Path

from fg3d_builder.captures.layouts.found_files import files_below, names_once
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.layouts.named_texture import scan_with_picture
from fg3d_builder.captures.layouts.person_names import SEX_OF_LETTER
from fg3d_builder.files.textured_mesh import TexturedMesh

_SCAN = re.compile(r"(([FM]\d{4})_([A-Z]{2})(\d\d)([A-Z]{2}))_(F3D|RAW)\.wrl", re.IGNORECASE)

EXPRESSIONS = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
"""By the two letters in a file's name."""

PEAK_LEVEL = 4


def find(folder: Path) -> list[Item]:
    """List the cropped scans (F3D); of those that are there as a whole alone, these (RAW)."""
    files: dict[Path, Path] = {}
    for file in files_below(folder, _SCAN.fullmatch):  # F3D comes before RAW
        files.setdefault(file.parent / file.name[:12].upper(), file)
    found = sorted(files.values())
    names = names_once(folder, found, [file.name[:12].upper() for file in found])
    return [_item(file, name) for file, name in zip(found, names, strict=True)]


def mesh(item: Item) -> TexturedMesh:
    """Read a scan.

    Raises
    ------
    CaptureError
        As `read_mesh`.
    """
    picture = item.files[1]
    return scan_with_picture(item.files[0], picture if picture.is_file() else None)


def _item(file: Path, name: str) -> Item:
    match = _SCAN.fullmatch(file.name)
    assert match is not None
    stem, subject, letters, level = (match[k] for k in range(1, 5))
    expression = EXPRESSIONS.get(letters.upper(), "")
    number = int(level)
    neutral = expression == "neutral"
    return Item(
        name=name,
        subject=subject.upper(),
        files=(file, file.with_name(f"{stem}_F3D.bmp")),
        expression=expression if neutral else f"{expression}-{number}",
        sequence="" if neutral else f"{subject.upper()}-{expression}",
        frame=number,
        peak=number == PEAK_LEVEL and not neutral,
        sex=SEX_OF_LETTER[subject[0].upper()],
        refusal="" if expression else f"'{letters}' is none of {', '.join(EXPRESSIONS)}",
    )


LAYOUT = Layout(
    kind="bu3dfe",
    title="BU-3DFE",
    expects="F0001/F0001_AN01WH_F3D.wrl with F0001_AN01WH_F3D.bmp",
    find=find,
    mesh=mesh,
    suffixes=(".wrl",),
    terms="docs/captures/bu3dfe.md",
)

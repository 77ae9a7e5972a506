"""Headspace: whole heads of 1,519 people in latex caps, as textured OBJ.

::

    headspaceOnline/subjects/00001/12345678901.obj, .mtl, .bmp
    headspaceOnline/subjects/00001/person00001.txt    lines such as "expression:neutral"
    headspaceOnline/subjects/00001/ldmks12345678901.txt   not read

See docs/captures/scan-collections.md.
"""

from __future__ import annotations

import re
from pathlib import Path

from fg3d_builder.captures.layouts.found_files import files_below, names_once
from fg3d_builder.captures.layouts.labels import UNLABELLED
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.layouts.named_texture import read_pictured
from fg3d_builder.captures.layouts.person_names import SEX_OF_LETTER
from fg3d_builder.captures.source import plain_text
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular

_SUBJECT = re.compile(r"\d{5}")
_FILE = re.compile(r"[^.].*\.(obj|mtl|bmp|png|jpg|txt)", re.IGNORECASE)
_PICTURES = (".bmp", ".png", ".jpg")
_LANDMARKS = "ldmks"
MAX_BYTES = 2**16
_LONGEST = 60


def find(root: Path) -> list[Item]:
    """List the scans of all people; the expression is what the person's text file says."""
    folders: dict[Path, list[Path]] = {}
    for file in files_below(root, _FILE.fullmatch):
        if _SUBJECT.fullmatch(file.resolve().parent.name):
            folders.setdefault(file.parent, []).append(file)
    scans = [f for files in folders.values() for f in files if f.suffix.lower() == ".obj"]
    names = names_once(root, scans, [f"{s.resolve().parent.name}-{s.stem}" for s in scans])
    return [
        _item(scan, name, folders[scan.parent]) for scan, name in zip(scans, names, strict=True)
    ]


def _item(scan: Path, name: str, files: list[Path]) -> Item:
    own = [f for f in files if f.stem == scan.stem and f != scan and f.suffix.lower() != ".txt"]
    texts = [f for f in files if f.suffix.lower() == ".txt" and not f.name.startswith(_LANDMARKS)]
    expression, sex, refusal = UNLABELLED, "", ""
    for text in texts:
        try:
            expression, sex = read_expression(text), sex or read_sex(text)
        except CaptureError as error:
            refusal = f"its description cannot be read: {error.message}"
        if refusal or expression != UNLABELLED:
            break
    return Item(
        name=name,
        subject=scan.resolve().parent.name,
        files=(scan, *own, *texts),
        expression=expression,
        refusal=refusal,
        sex=sex,
    )


def read_expression(path: Path) -> str:
    """Read the expression from a person's text file, whose lines are ``name:value``.

    `UNLABELLED` where it has none.

    Raises
    ------
    CaptureError
        ``missing_file``, or ``bad_field``: not readable, or the value is no name of an expression.
    """
    value = _value(path, "expression")
    try:
        return plain_text(value, _LONGEST) if value else UNLABELLED
    except ValueError as problem:
        raise CaptureError("bad_field", f"{path}: field 'expression': {problem}") from None


def read_sex(path: Path) -> str:
    """Read the sex from a person's text file: what ``gender`` says, ``""`` for other words.

    Raises
    ------
    CaptureError
        ``missing_file``, or ``bad_field``: not readable.
    """
    return SEX_OF_LETTER.get(_value(path, "gender").upper(), "")


def _value(path: Path, wanted: str) -> str:
    """Return the first value that a text file gives a name; ``""`` for none."""
    text = read_regular(path, "bad_field", MAX_BYTES).decode("utf-8", "replace")
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == wanted and value.strip():
            return value.strip()
    return ""


LAYOUT = Layout(
    kind="headspace",
    title="Headspace",
    expects="subjects/00001/12345678901.obj with its mtl, bmp and person00001.txt",
    find=find,
    mesh=read_pictured,
    suffixes=(".obj",),
    terms="docs/captures/scan-collections.md",
)

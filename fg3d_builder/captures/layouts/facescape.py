"""FaceScape's topologically uniform models: 847 people, 20 expressions of each.

::

    facescape_trainset_001_100/1/models_reg/1_neutral.obj, 1_neutral.obj.mtl, 1_neutral.jpg
    facescape_trainset_001_100/1/models_reg/2_smile.obj, ...
    facescape_trainset_001_100/1/dpmap/1_neutral.png       not read

See docs/captures/scan-collections.md.
"""

from __future__ import annotations

import re
from pathlib import Path

from fg3d_builder.captures.layouts.found_files import files_below, names_once
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.layouts.named_texture import read_pictured

_FILE = re.compile(r"(\d{1,2})_([a-z]+(?:_[a-z]+)*)\.(obj|obj\.mtl|jpg|png)", re.IGNORECASE)
_SUBJECT = re.compile(r"\d{1,4}")
_MODELS = "models_reg"
_PICTURES = (".jpg", ".png")


def find(root: Path) -> list[Item]:
    """List the models of all people and expressions."""
    models: dict[tuple[Path, str], list[Path]] = {}
    for file in files_below(root, _FILE.fullmatch):
        if _subject(file):
            models.setdefault((file.parent, file.name.split(".")[0]), []).append(file)
    found = [
        (next(f for f in files if f.suffix.lower() == ".obj"), files)
        for files in models.values()
        if any(f.suffix.lower() == ".obj" for f in files)
    ]
    meshes = [mesh for mesh, _ in found]
    names = names_once(root, meshes, [f"{_subject(m)}-{m.stem}" for m in meshes])
    items = [
        Item(
            name=name,
            subject=_subject(mesh),
            files=(mesh, *(f for f in files if f != mesh)),
            expression=_expression(mesh),
        )
        for (mesh, files), name in zip(found, names, strict=True)
    ]
    return sorted(items, key=lambda item: (int(item.subject), _number(item.files[0]), item.name))


def _subject(file: Path) -> str:
    """Return the number of the person whose folder a file is in; ``""`` where it is in none."""
    folder = file.resolve().parent
    name = folder.parent.name if folder.name == _MODELS else folder.name
    return str(int(name)) if _SUBJECT.fullmatch(name) and name.isascii() else ""


def _expression(mesh: Path) -> str:
    return mesh.stem.partition("_")[2].lower()


def _number(mesh: Path) -> int:
    return int(mesh.stem.partition("_")[0])


LAYOUT = Layout(
    kind="facescape",
    title="FaceScape, uniform models",
    expects="1/models_reg/1_neutral.obj with 1_neutral.obj.mtl and 1_neutral.jpg",
    find=find,
    mesh=read_pictured,
    suffixes=(".obj",),
    terms="docs/captures/scan-collections.md",
)

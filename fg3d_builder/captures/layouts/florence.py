"""MICC Florence 2D/3D: textured scans of 53 people, two frontal ones of each.

::

    FOLDER/subject_01/Model/frontal1/obj/110920150452.obj   one mesh, with its mtl and image
    FOLDER/subject_01/Model/frontal2/obj/...
    FOLDER/subject_02/...

See docs/captures/scan-collections.md; `fg3d evaluate florence` reads the same files.
"""

from __future__ import annotations

import os
from pathlib import Path

from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.scan_parts import mended
from fg3d_builder.captures.source import folder_contents
from fg3d_builder.files.mesh_io import MESH_SUFFIXES, read_mesh
from fg3d_builder.files.textured_mesh import TexturedMesh

SCANS = ("frontal1", "frontal2")


def subject_folders(root: Path) -> list[Path]:
    """List the folders of people, sorted."""
    found = [f for f in folder_contents(root) if f.name.startswith("subject_") and os.path.isdir(f)]
    return sorted(found)


def scan_folder(subject: Path, scan: str) -> Path:
    """Return where the meshes of one of the `SCANS` are."""
    return subject / "Model" / scan / "obj"


def scan_meshes(subject: Path, scan: str) -> list[Path]:
    """List the meshes of a scan, sorted: those of the preferred suffix alone."""
    there = folder_contents(scan_folder(subject, scan))
    for suffix in MESH_SUFFIXES:
        found = [path for path in there if path.suffix.lower() == suffix]
        if found:
            return sorted(found)
    return []


def find(root: Path) -> list[Item]:
    """List all scans of all people."""
    items = []
    for subject in subject_folders(root):
        for scan in SCANS:
            meshes = scan_meshes(subject, scan)
            for mesh in meshes:
                name = f"{subject.name}-{scan}" + (f"-{mesh.stem}" if len(meshes) > 1 else "")
                items.append(Item(name, subject.name, _with_companions(mesh)))
    return items


def _with_companions(mesh: Path) -> tuple[Path, ...]:
    """Return a mesh and what else is in its folder: materials and images of whatever name."""
    others = sorted(f for f in folder_contents(mesh.parent) if f != mesh and os.path.isfile(f))
    return mesh, *others


def read_scan(item: Item) -> TexturedMesh:
    """Read a scan with its texture; see `read_mesh`."""
    return mended(read_mesh(item.files[0]))


LAYOUT = Layout(
    kind="florence",
    title="MICC Florence 2D/3D",
    expects="subject_01/Model/frontal1/obj/110920150452.obj",
    find=find,
    mesh=read_scan,
    suffixes=MESH_SUFFIXES,
    terms="docs/captures/scan-collections.md",
)

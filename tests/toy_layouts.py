"""Two made-up layouts of files: frames of recordings, and scans."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import trimesh

from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.records import Capture

_NAME = re.compile(r"(P\d+)_(\w+)_(\d+)\.toy")


def write_frame(root: Path, name: str, capture: Capture | None = None) -> Path:
    """Write a frame, ``P01_smile_007.toy``; without a capture it is empty and cannot be read."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / name).open("wb") as file:
        if capture is not None:
            np.savez(file, rgb=capture.rgb, depth=capture.depth_mm, camera=capture.intrinsics)
    return root / name


def _find(root: Path) -> list[Item]:
    items = []
    for file in sorted(root.glob("*.toy")):
        found = _NAME.fullmatch(file.name)
        if found:
            subject, expression, frame = found.groups()
            sequence = f"{subject}_{expression}"
            item = Item(file.stem, subject, (file,), expression, sequence, int(frame))
            items.append(item)
    return items


def _read(item: Item) -> Frame:
    try:
        with np.load(item.files[0]) as arrays:
            return Frame(arrays["rgb"], arrays["depth"], arrays["camera"])
    except (ValueError, OSError, EOFError):
        raise CaptureError("unreadable_image", f"{item.files[0]}: no toy") from None


TOY = Layout(
    "toy", "Toy set", "P01_smile_000.toy", _find, _read, suffixes=(".toy",), terms="toys.example"
)


def write_scan(path: Path) -> Path:
    """Write a box as a mesh file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box().export(path)
    return path


def _find_scans(root: Path) -> list[Item]:
    return [
        Item(file.stem, file.stem[:3], (file,)) for file in sorted(root.glob("*/S??_neutral.obj"))
    ]


TOY_SCANS = Layout(
    "toy-scans",
    "Toy scans",
    "S01/S01_neutral.obj",
    _find_scans,
    mesh=lambda item: read_mesh(item.files[0]),
    suffixes=(".obj",),
)

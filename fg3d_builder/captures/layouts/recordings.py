"""A layout of recordings: pairs of pictures in folders, and a file that describes the cameras."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fg3d_builder.captures.frame_pairs import Pair, find_pairs, named_aligned
from fg3d_builder.captures.layouts.found_files import distinct
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.layouts.person_names import folder_tag
from fg3d_builder.captures.layouts.rgbd_rig import Rig, rig_frame
from fg3d_builder.captures.source import folder_contents
from fg3d_builder.errors import CaptureError


def recordings_layout(
    kind: str,
    title: str,
    expects: str,
    camera_files: tuple[str, ...],
    read_rig: Callable[[Path, tuple[int, int], tuple[int, int]], Rig],
) -> Layout:
    """Make a layout of recordings.

    The first folder below the source's path is the person, further ones are the expression tag
    (see `folder_tag`); the cameras' file is in the recording's folder or above it.

    Parameters
    ----------
    kind, title, expects : str
        See `Layout`.
    camera_files : tuple of str
        Names of the cameras' file, the usual one first.
    read_rig : callable
        Reads it, for the sizes (height, width) of colour and depth.
    """

    def find(root: Path) -> list[Item]:
        pairs = find_pairs(root)
        whole = {pair.folder for pair in pairs if pair.colour and pair.depth}
        places = {pair.folder: len(pair.parts) + 1 for pair in pairs}
        cameras = {f: _camera_file(f, levels, camera_files) for f, levels in places.items()}
        items = [
            _item(root, pair, cameras[pair.folder])
            for pair in pairs
            # A colour picture alone, without a pair or a camera near it, is no recording.
            if pair.folder in whole or cameras[pair.folder]
        ]
        paths = [item.files[0].relative_to(root) for item in items]
        names = distinct([item.name for item in items], paths)
        return [replace(item, name=name) for item, name in zip(items, names, strict=True)]

    def frame(item: Item) -> Frame:
        colour, depth, *cameras = item.files
        for file in (colour, depth):
            if not os.path.lexists(file):
                raise CaptureError("missing_file", f"{file}: file not found")
        if not cameras:
            names = ", ".join(camera_files)
            place = colour.parent
            raise CaptureError(
                "missing_file", f"{place}: no file describes the cameras; known are {names}"
            )

        def rig_of(colour_size: tuple[int, int], depth_size: tuple[int, int]) -> Rig:
            return read_rig(cameras[0], colour_size, depth_size)

        return rig_frame(colour, depth, rig_of, named_aligned(depth))

    # Two such layouts are told apart by the names that their cameras' files usually have.
    return Layout(
        kind, title, expects, find, frame, suffixes=tuple(sorted(camera_files)), common=True
    )


def _item(root: Path, pair: Pair, cameras: Path | None) -> Item:
    person = pair.parts[0] if pair.parts else root.resolve().name
    files = [pair.colour or _partner(pair, pair.depth), pair.depth or _partner(pair, pair.colour)]
    return Item(
        name="-".join([*pair.parts, *([pair.name] if pair.name else [])]) or person,
        subject=person,
        files=tuple(files) if cameras is None else (*files, cameras),
        expression=folder_tag(pair.parts[1:]),
        sequence="/".join((person, *pair.parts[1:])) if pair.count > 1 else "",
        frame=pair.number,
    )


def _partner(pair: Pair, other: Path | None) -> Path:
    """Return where the missing picture of a pair would be, for the message."""
    assert other is not None
    stream = "depth" if pair.depth is None else "colour"
    return pair.folder / f"the {stream} picture beside {other.name}"


def _camera_file(folder: Path, levels: int, names: tuple[str, ...]) -> Path | None:
    """Find the cameras' file in a folder or in those above it, so many levels in all."""
    for _ in range(levels):
        found = [folder / name for name in names if os.path.lexists(folder / name)]
        if found:
            return found[0]
        others = [file for file in folder_contents(folder) if file.suffix.lower() == ".json"]
        if len(others) == 1:
            return others[0]
        folder = folder.parent
    return None

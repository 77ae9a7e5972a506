"""Record3D's recordings: an archive of frames from a phone's face camera or LiDAR, or folders.

::

    anna_smile.r3d                  zip archive
      metadata                      JSON: w, h, dw, dh, K, perFrameIntrinsicCoeffs
      rgbd/0.jpg                    colour
      rgbd/0.depth                  float32 metres, LZFSE
      rgbd/0.conf                   uint8, LZFSE; LiDAR alone
    ben/EXR_RGBD/metadata.json      exported as EXR and JPEG
    ben/EXR_RGBD/rgb/0.jpg
    ben/EXR_RGBD/depth/0.exr        metres

See docs/captures/phones.md.
"""

from __future__ import annotations

import re
from pathlib import Path

from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.layouts.person_names import (
    below,
    expression_of,
    person_of,
    recording_names,
    recordings_below,
)
from fg3d_builder.captures.layouts.record3d_parts import (
    MAX_MEMBER_BYTES,
    UNREADABLE,
    frame_of,
    metadata_of,
    unpacked_depth,
    without_nothing,
)
from fg3d_builder.captures.plausibility import check_upright_pixels, refuse_turned
from fg3d_builder.captures.source import folder_contents
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import MAX_JSON_BYTES, read_regular
from fg3d_builder.files.exif import exif_of
from fg3d_builder.files.exr_image import read_exr_channel
from fg3d_builder.files.images import decoded_rgb, read_rgb
from fg3d_builder.files.zip_members import member_bytes, opened_zip

_ARCHIVE = ".r3d"
_PICTURE = re.compile(r"rgbd/(0|[1-9]\d{0,8})\.(?:jpg|depth)")
_EXPORTED = re.compile(r"(\d{1,9})\.jpe?g", re.IGNORECASE)
_EXPORT_FOLDER = "exr_rgbd"


def find(root: Path) -> list[Item]:
    """List the frames of all recordings; one item for an archive whose frames cannot be listed."""
    files = recordings_below(root, lambda name: name.lower().endswith(_ARCHIVE))
    names = recording_names(root, files)
    items = [
        item for file, name in zip(files, names, strict=True) for item in _items(root, file, name)
    ]
    for file in recordings_below(root, "metadata.json".__eq__):
        if (file.parent / "rgb").is_dir():
            items += _exported_items(root, file)
    return items


def frame(item: Item) -> Frame:
    """Read a frame.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_image``, ``bad_json``, ``missing_field``, ``bad_field``,
        ``size_mismatch`` or ``orientation_tag``.
    MissingDependencyError
        An exported frame, and the package OpenEXR is not installed.
    """
    path, number = item.files[0], item.frame
    if path.suffix.lower() != _ARCHIVE:
        return _exported_frame(item)
    with opened_zip(path, UNREADABLE) as archive:

        def member(name: str, limit: int = MAX_MEMBER_BYTES, code: str = UNREADABLE) -> bytes:
            return member_bytes(archive, name, limit, path, code)

        table = metadata_of(member("metadata", MAX_JSON_BYTES, "bad_json"), path)
        shown = f"{path}: 'rgbd/{number}.jpg'"
        picture = member(f"rgbd/{number}.jpg")
        rgb = decoded_rgb(picture, shown)
        refuse_turned(exif_of(picture, shown).orientation, shown)
        packed, confidence = member(f"rgbd/{number}.depth"), f"rgbd/{number}.conf"
        levels = member(confidence) if confidence in archive.namelist() else None
    depth_m = unpacked_depth(table, packed, levels, path, number, rgb.shape[:2])
    return frame_of(table, number, rgb, depth_m, path)


def _items(root: Path, file: Path, name: str) -> list[Item]:
    try:
        with opened_zip(file, UNREADABLE) as archive:
            found = [_PICTURE.fullmatch(member) for member in archive.namelist()]
    except CaptureError:
        found = []
    numbers = sorted({int(match[1]) for match in found if match is not None}) or [0]
    person, expression = person_of(root, file), expression_of(root, file)
    return [
        Item(f"{name}-{number:05d}", person, (file,), expression, name, number)
        for number in numbers
    ]


def _exported_items(root: Path, file: Path) -> list[Item]:
    folders = [part for part in below(root, file)[:-1] if part.lower() != _EXPORT_FOLDER]
    home = file.parent.resolve()
    folders = folders or [(home.parent if home.name.lower() == _EXPORT_FOLDER else home).name]
    name = "-".join(folders)
    pictures = (file.parent / "rgb" / one.name for one in folder_contents(file.parent / "rgb"))
    numbered = [(int(match[1]), p) for p in pictures if (match := _EXPORTED.fullmatch(p.name))]
    return [
        Item(
            f"{name}-{number:05d}",
            folders[0],
            (picture, file.parent / "depth" / f"{picture.stem}.exr", file),
            expression_of(root, file),
            "/".join(folders),
            number,
        )
        for number, picture in sorted(numbered)
    ]


def _exported_frame(item: Item) -> Frame:
    picture, depth_file, about = item.files
    table = metadata_of(read_regular(about, "bad_json", MAX_JSON_BYTES), about)
    rgb = read_rgb(picture)
    check_upright_pixels(picture)
    depth_m = without_nothing(read_exr_channel(depth_file))
    return frame_of(table, item.frame, rgb, depth_m, about)


LAYOUT = Layout(
    kind="record3d",
    title="Record3D recordings",
    expects="PERSON_smile.r3d, PERSON/*.r3d, or PERSON/EXR_RGBD/metadata.json",
    find=find,
    frame=frame,
    suffixes=(".r3d", "metadata.json"),
)

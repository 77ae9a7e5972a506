"""The folder format: colour image, depth image and a JSON file; see docs/captures.md."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.depth_values import z_depth_mm
from fg3d_builder.captures.frames import chosen_frames
from fg3d_builder.captures.json_fields import (
    bad_field,
    choice_field,
    number_field,
    numbers_field,
    object_field,
    positive_field,
    text_field,
)
from fg3d_builder.captures.layouts.layout import Item
from fg3d_builder.captures.making import (
    FARTHEST_PX,
    LANDMARK_COUNTS,
    check_capture,
)
from fg3d_builder.captures.plausibility import (
    check_camera,
    check_upright_pixels,
    without_far_depth,
)
from fg3d_builder.captures.source import (
    CaptureEntry,
    matching,
    safe_id,
    source_folder,
)
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.atomic import write_bytes, write_json
from fg3d_builder.files.bounded import file_within, read_json_object, read_npy
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.images import read_rgb, read_uint16
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import SEXES, Array, Capture, Landmarks

DESCRIPTION = "capture.json"
COLOUR_FILES = ("color.png", "color.jpg", "color.jpeg")
DEPTH_FILES = ("depth.png", "depth.npy")


class FolderSource:
    """Captures on disk: one folder that holds a folder for each capture.

    A path that is itself a capture's folder is a source of that one capture.

    Raises
    ------
    ConfigError
        The path is not there, or no folder.
    OSError
        The folder cannot be read.
    """

    name = "folder"

    def __init__(self, config: SourceConfig) -> None:
        root = source_folder(config)
        if os.path.lexists(root / DESCRIPTION):
            folders = [root.resolve()]
        else:
            if not root.is_dir():
                raise ConfigError(f"sources.path: {root} is a file, expected a folder of captures")
            # Unlike the methods of `Path`, `os.path` never raises for a name that is too odd.
            names = [f.name for f in root.iterdir() if os.path.isdir(f)]
            folders = [root / n for n in matching(names, config.include)]
        items = chosen_frames(_items(folders), config.frames, config.seed)
        entries = [_entry(item) for item in items]
        self._entries = sorted(entries, key=lambda e: e.capture_id)
        self._config = config

    def entries(self) -> list[CaptureEntry]:
        """List every folder, with or without a valid capture in it."""
        return list(self._entries)

    def load(self, entry: CaptureEntry) -> Capture:
        """Read and check the capture of an entry; see `read_capture`."""
        factor, along_ray = self._config.depth_factor, self._config.depth_is_along_ray
        return read_capture(Path(entry.location), entry.capture_id, factor, along_ray)


def read_capture(
    folder: Path, capture_id: str = "", depth_factor: float = 1.0, along_ray: bool = False
) -> Capture:
    """Read one capture and check every part of it.

    Parameters
    ----------
    folder : Path
        Holds ``capture.json``, ``color.png`` or ``.jpg``, and ``depth.png`` or ``.npy``.
    capture_id : str
        The folder's name unless given.
    depth_factor : float
        Multiplies ``depth_unit_mm``, see `SourceConfig`.
    along_ray : bool
        The depth file holds distances along the ray.

    Raises
    ------
    CaptureError
        ``missing_file``, ``bad_json``, ``missing_field``, ``bad_field``,
        ``outside_folder`` (a file of landmarks), ``unreadable_image``, ``orientation_tag``,
        ``size_mismatch`` or ``no_depth``; the message names the file and the field.
    """
    folder = Path(folder)
    description = folder / DESCRIPTION
    table = read_json_object(description)
    subject = text_field(table, "subject", description)
    intrinsics = _intrinsics(table, description)
    unit_mm = depth_factor * positive_field(table, "depth_unit_mm", description)
    _frame_number(table, description)
    text_field(table, "sequence", description, default="")
    expression = text_field(table, "expression", description, default="neutral")
    licence = text_field(table, "licence", description, default="unknown")
    sex = choice_field(table, "sex", description, SEXES)
    landmarks = _landmarks(table, description)
    colour_file = _first_file(folder, COLOUR_FILES)
    rgb = read_rgb(colour_file)
    check_upright_pixels(colour_file)
    check_camera(intrinsics, rgb.shape[1], rgb.shape[0], description)
    depth_file = _first_file(folder, DEPTH_FILES)
    stored = _read_depth(depth_file)
    if stored.shape != rgb.shape[:2]:
        raise CaptureError(
            "size_mismatch",
            f"{depth_file}: depth is {_size(stored)} pixels, {colour_file.name} {_size(rgb)}",
        )
    depth_mm = without_far_depth(z_depth_mm(stored, intrinsics, unit_mm, along_ray))
    if not np.isfinite(depth_mm).any():
        raise CaptureError("no_depth", f"{depth_file}: no pixel has a depth up to a kilometre")
    return Capture(
        capture_id=capture_id or safe_id(folder.resolve().name),
        subject_id=subject,
        source=FolderSource.name,
        rgb=rgb,
        depth_mm=depth_mm,
        intrinsics=intrinsics,
        expression=expression,
        licence=licence,
        landmarks=landmarks,
        unit_mm=unit_mm,
        sex=sex,
    )


def read_landmarks(path: Path) -> Landmarks:
    """Read a JSON file that has ``landmarks`` as a ``capture.json`` has them.

    Raises
    ------
    CaptureError
        ``missing_file``, ``bad_json``, ``missing_field``, ``bad_field`` or ``outside_folder``.
    """
    found = _landmarks(read_json_object(path), path)
    if found is None:
        raise CaptureError("missing_field", f"{path}: field 'landmarks' is missing")
    return found


def write_capture(
    folder: str | os.PathLike[str],
    capture: Capture,
    depth_unit_mm: float = 0.1,
    depth_format: str = "png",
    sequence: str = "",
    frame: int | None = None,
) -> None:
    """Write a capture in the folder format, checked by the rules of `read_capture`.

    Colour is stored without loss. Depth is rounded to `depth_unit_mm` in the 16-bit PNG
    and exact in the ``npy`` format. Ground truth of synthetic captures is not part of the
    format.

    Parameters
    ----------
    folder : str or Path
        Created where needed. `read_capture` names the capture after it.
    capture : Capture
        See `make_capture`.
    depth_unit_mm : float
        Length of one grey level of ``depth.png``.
    depth_format : str
        ``"png"`` or ``"npy"``.
    sequence : str
        What frames that follow each other have in common; left out where empty.
    frame : int, optional
        Number in its sequence.

    Raises
    ------
    CaptureError
        ``bad_field``, ``size_mismatch`` or ``no_depth``: it could not be read back.
    ValueError
        Unknown format, a depth that does not fit into 16 bits, a non-positive unit, or a negative
        number of a frame.
    """
    folder = Path(folder)
    check_capture(capture, folder)
    if frame is not None and frame < 0:
        raise ValueError(f"frame: expected a number from 0, found {frame}")
    depth_mm = without_far_depth(z_depth_mm(capture.depth_mm, capture.intrinsics))
    if depth_format == "png":
        depth_file, depth_data = "depth.png", encode_png(_levels(depth_mm, depth_unit_mm))
    elif depth_format == "npy":
        depth_file, depth_data, depth_unit_mm = "depth.npy", b"", 1.0
    else:
        raise ValueError(f"depth_format: expected 'png' or 'npy', found '{depth_format}'")
    folder.mkdir(parents=True, exist_ok=True)
    # A file of the other format would win over the new one, or contradict it.
    for stale in (*COLOUR_FILES, *DEPTH_FILES):
        (folder / stale).unlink(missing_ok=True)
    (folder / "color.png").write_bytes(encode_png(capture.rgb))
    if depth_data:
        (folder / depth_file).write_bytes(depth_data)
    else:
        np.save(folder / depth_file, depth_mm)
    table = _description(capture, depth_unit_mm)
    if sequence:
        table["sequence"] = sequence
    if frame is not None:
        table["frame"] = frame
    write_json(folder / DESCRIPTION, table)


def rewrite_depth_unit(folder: Path, depth_unit_mm: float) -> Path:
    """Change the unit in a capture's description, in one step, and nothing else of its text.

    Returns
    -------
    Path
        The file that was written: where ``capture.json`` is a link, what it leads to.

    Raises
    ------
    CaptureError
        As `read_capture` has it.
    OSError
        It cannot be written.
    """
    file = Path(os.path.realpath(folder / DESCRIPTION))
    table = read_json_object(file)
    positive_field(table, "depth_unit_mm", file)
    wanted = {**table, "depth_unit_mm": depth_unit_mm}
    text = file.read_text(encoding="utf-8-sig")
    for found in re.finditer(r'("depth_unit_mm"\s*:\s*)[-+0-9.eE]+', text):
        changed = f"{text[: found.start()]}{found[1]}{depth_unit_mm!r}{text[found.end() :]}"
        if json.loads(changed) == wanted:
            write_bytes(file, changed.encode())
            return file
    raise CaptureError("bad_json", f"{file}: field 'depth_unit_mm' cannot be found in its text")


def _description(capture: Capture, depth_unit_mm: float) -> dict[str, Any]:
    K = capture.intrinsics
    table: dict[str, Any] = {
        "subject": capture.subject_id,
        "expression": capture.expression,
        "intrinsics": {
            "fx": float(K[0, 0]),
            "fy": float(K[1, 1]),
            "cx": float(K[0, 2]),
            "cy": float(K[1, 2]),
        },
        "depth_unit_mm": depth_unit_mm,
        "licence": capture.licence,
    }
    if capture.sex:
        table["sex"] = capture.sex
    if capture.landmarks is not None:
        table["landmarks"] = {
            "scheme": capture.landmarks.scheme,
            "detector": capture.landmarks.detector,
            "points_px": capture.landmarks.points_px.tolist(),
            "confidence": capture.landmarks.confidence.tolist(),
        }
    return table


def _items(folders: list[Path]) -> list[Item]:
    """Say who and what captures show, as far as their descriptions can be read.

    Several of one subject and expression are a sequence in the order of their names, unless their
    own fields say otherwise.
    """
    found = [_item(folder) for folder in sorted(folders)]
    count = Counter(item.sequence for item in found)
    seen: Counter[str] = Counter()
    items = []
    for item in found:
        if count[item.sequence] < 2:
            items.append(replace(item, sequence="", frame=max(item.frame, 0)))
            continue
        frame = item.frame if item.frame >= 0 else seen[item.sequence]
        items.append(replace(item, frame=frame))
        seen[item.sequence] += 1
    return items


def _item(folder: Path) -> Item:
    """Read a description; a frame that it does not number has the number -1."""
    description = folder / DESCRIPTION
    subject = expression = sequence = ""
    frame = 0
    with contextlib.suppress(CaptureError):
        table = read_json_object(description)
        subject = text_field(table, "subject", description)
        expression = text_field(table, "expression", description, default="neutral")
        sequence = f"{subject}/{text_field(table, 'sequence', description, default=expression)}"
        frame = _frame_number(table, description)
    return Item(folder.name, subject, (folder,), expression, sequence, frame)


def _entry(item: Item) -> CaptureEntry:
    return CaptureEntry(
        safe_id(item.name),
        item.subject,
        str(item.files[0]),
        expression=item.expression,
        sequence=item.sequence,
        frame=item.frame,
    )


def _first_file(folder: Path, names: tuple[str, ...]) -> Path:
    # Also what is no regular file: its reader says what it is.
    found = [folder / n for n in names if os.path.lexists(folder / n)]
    if not found:
        raise CaptureError("missing_file", f"{folder}: none of {', '.join(names)} found")
    if len(found) > 1:
        both = " and ".join(f.name for f in found)
        raise CaptureError("bad_field", f"{folder}: both {both} are there; keep one")
    return found[0]


def _read_depth(path: Path) -> Array:
    return read_uint16(path) if path.suffix == ".png" else _read_npy(path)


def _read_npy(path: Path) -> Array:
    raw = read_npy(path, "unreadable_image")
    if raw.ndim != 2 or not raw.size:
        problem = f"expected a 2D array of real numbers, found shape {raw.shape}"
        raise CaptureError("unreadable_image", f"{path}: {problem}")
    return raw


def _levels(depth_mm: Array, unit_mm: float) -> Array:
    if not (math.isfinite(unit_mm) and unit_mm > 0):
        raise ValueError(f"depth_unit_mm: expected a positive number, found {unit_mm}")
    levels = np.rint(np.nan_to_num(depth_mm.astype(np.float64), nan=0.0) / unit_mm)
    if levels.max(initial=0) > np.iinfo(np.uint16).max:
        deepest = float(np.nanmax(depth_mm))
        raise ValueError(
            f"depth_unit_mm: {deepest:.0f} mm needs more than 65535 steps of {unit_mm} mm; take "
            "depth_unit_mm=1, or depth_format='npy'"
        )
    return levels.astype(np.uint16)


def _intrinsics(table: dict[str, Any], path: Path) -> Array:
    inner = object_field(table, "intrinsics", path, holds="fx, fy, cx, cy")
    fx, fy = (positive_field(inner, n, path, "intrinsics.") for n in ("fx", "fy"))
    cx, cy = (number_field(inner, n, path, "intrinsics.") for n in ("cx", "cy"))
    return intrinsics_matrix(fx, fy, cx, cy)


def _landmarks(table: dict[str, Any], path: Path) -> Landmarks | None:
    inner = table.get("landmarks")
    if inner is None:
        return None
    prefix = "landmarks."
    if isinstance(inner, str):
        named_by = f"{path}: field 'landmarks'"
        path, prefix = file_within(path.parent, inner, named_by), ""
        if not os.path.lexists(path):
            text = f"{named_by} names the file '{path.name}', which is not there"
            raise CaptureError("missing_file", text)
        inner = read_json_object(path)
    if not isinstance(inner, dict):
        raise bad_field(path, "landmarks", "an object or a file name", inner)
    scheme = text_field(inner, "scheme", path, prefix=prefix)
    if scheme not in LANDMARK_COUNTS:
        raise bad_field(path, f"{prefix}scheme", f"one of {', '.join(LANDMARK_COUNTS)}", scheme)
    count = LANDMARK_COUNTS[scheme]
    points = numbers_field(inner, "points_px", path, (count, 2), prefix)
    if np.abs(points).max() > FARTHEST_PX:
        wanted = f"pixels within {FARTHEST_PX:.0e} of the image's corner"
        raise bad_field(path, f"{prefix}points_px", wanted, float(np.abs(points).max()))
    confidence = np.ones(count)
    if "confidence" in inner:
        confidence = numbers_field(inner, "confidence", path, (count,), prefix)
        if confidence.min() < 0 or confidence.max() > 1:
            wrong = float(confidence[(confidence < 0) | (confidence > 1)][0])
            raise bad_field(path, f"{prefix}confidence", "numbers in [0, 1]", wrong)
    detector = text_field(inner, "detector", path, prefix=prefix, default="annotation")
    return Landmarks(scheme, points, confidence, detector)


def _frame_number(table: dict[str, Any], path: Path) -> int:
    """Return ``frame``; -1 where it is absent."""
    if "frame" not in table:
        return -1
    value = number_field(table, "frame", path)
    if value != int(value) or value < 0:
        raise bad_field(path, "frame", "a whole number from 0", value)
    return int(value)


def _size(image: Array) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"

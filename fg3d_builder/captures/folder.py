"""The folder format: colour image, depth image and a JSON file; see docs/captures.md."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.plausibility import (
    check_camera,
    check_upright_pixels,
    without_far_depth,
)
from fg3d_builder.captures.source import (
    CaptureEntry,
    matching,
    plain_text,
    safe_id,
    source_folder,
)
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.atomic import write_json
from fg3d_builder.files.bounded import file_within, read_json_object, read_npy
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.images import read_rgb, read_uint16
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array, Capture, Landmarks

DESCRIPTION = "capture.json"
COLOUR_FILES = ("color.png", "color.jpg", "color.jpeg")
DEPTH_FILES = ("depth.png", "depth.npy")
LANDMARK_COUNTS = {"ibug68": 68, "mediapipe478": 478}
FARTHEST_PX = 1e6
"""Landmarks may lie beside the image, but not this far from it."""

_HUGE = 1e12
_LONGEST_TEXT = 300


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
        entries = [CaptureEntry(safe_id(f.name), _subject_of(f), str(f)) for f in folders]
        self._entries = sorted(entries, key=lambda e: e.capture_id)

    def entries(self) -> list[CaptureEntry]:
        """List every folder, with or without a valid capture in it."""
        return list(self._entries)

    def load(self, entry: CaptureEntry) -> Capture:
        """Read and check the capture of an entry; see `read_capture`."""
        return read_capture(Path(entry.location), entry.capture_id)


def read_capture(folder: Path, capture_id: str = "") -> Capture:
    """Read one capture and check every part of it.

    Parameters
    ----------
    folder : Path
        Holds ``capture.json``, ``color.png`` or ``.jpg``, and ``depth.png`` or ``.npy``.
    capture_id : str
        The folder's name unless given.

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
    subject = _text(table, "subject", description)
    intrinsics = _intrinsics(table, description)
    unit_mm = _positive(table, "depth_unit_mm", description)
    expression = _text(table, "expression", description, default="neutral")
    licence = _text(table, "licence", description, default="unknown")
    landmarks = _landmarks(table, description)
    colour_file = _first_file(folder, COLOUR_FILES)
    rgb = read_rgb(colour_file)
    check_upright_pixels(colour_file)
    check_camera(intrinsics, rgb.shape[1], rgb.shape[0], description)
    depth_file = _first_file(folder, DEPTH_FILES)
    depth_mm = without_far_depth(_read_depth(depth_file, unit_mm))
    if depth_mm.shape != rgb.shape[:2]:
        raise CaptureError(
            "size_mismatch",
            f"{depth_file}: depth is {_size(depth_mm)} pixels, {colour_file.name} {_size(rgb)}",
        )
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
    folder: Path, capture: Capture, depth_unit_mm: float = 0.1, depth_format: str = "png"
) -> None:
    """Write a capture in the folder format.

    Colour is stored without loss. Depth is rounded to `depth_unit_mm` in the 16-bit PNG
    and exact in the ``npy`` format. Ground truth of synthetic captures is not part of the
    format.

    Parameters
    ----------
    folder : Path
        Created where needed. `read_capture` names the capture after it.
    capture : Capture
    depth_unit_mm : float
        Length of one grey level of ``depth.png``.
    depth_format : str
        ``"png"`` or ``"npy"``.

    Raises
    ------
    ValueError
        Unknown format, a depth that does not fit into 16 bits, or a non-positive unit.
    """
    folder = Path(folder)
    if depth_format == "png":
        depth_file, depth_data = "depth.png", encode_png(_levels(capture.depth_mm, depth_unit_mm))
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
        np.save(folder / depth_file, capture.depth_mm.astype(np.float32))
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
    if capture.landmarks is not None:
        table["landmarks"] = {
            "scheme": capture.landmarks.scheme,
            "detector": capture.landmarks.detector,
            "points_px": capture.landmarks.points_px.tolist(),
            "confidence": capture.landmarks.confidence.tolist(),
        }
    write_json(folder / DESCRIPTION, table)


def _subject_of(folder: Path) -> str:
    description = folder / DESCRIPTION
    try:
        return _text(read_json_object(description), "subject", description)
    except CaptureError:
        return ""


def _first_file(folder: Path, names: tuple[str, ...]) -> Path:
    # Also what is no regular file: its reader says what it is.
    found = [folder / n for n in names if os.path.lexists(folder / n)]
    if not found:
        raise CaptureError("missing_file", f"{folder}: none of {', '.join(names)} found")
    if len(found) > 1:
        both = " and ".join(f.name for f in found)
        raise CaptureError("bad_field", f"{folder}: both {both} are there; keep one")
    return found[0]


def _read_depth(path: Path, unit_mm: float) -> Array:
    if path.suffix == ".png":
        raw = read_uint16(path)
    else:
        raw = _read_npy(path)
    depth = np.empty(raw.shape, dtype=np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        # Row by row: twelve million doubles would be 100 MB.
        for row, out in zip(raw, depth, strict=True):
            out[:] = row.astype(np.float64) * unit_mm
        depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


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
            f"depth_unit_mm: {deepest:.0f} mm needs more than 65535 steps of {unit_mm} mm"
        )
    return levels.astype(np.uint16)


def _intrinsics(table: dict[str, Any], path: Path) -> Array:
    inner = _field(table, "intrinsics", path)
    if not isinstance(inner, dict):
        raise _bad(path, "intrinsics", "an object with fx, fy, cx, cy", inner)
    fx, fy = (_positive(inner, n, path, "intrinsics.") for n in ("fx", "fy"))
    cx, cy = (_number(inner, n, path, "intrinsics.") for n in ("cx", "cy"))
    return intrinsics_matrix(fx, fy, cx, cy)


def _landmarks(table: dict[str, Any], path: Path) -> Landmarks | None:
    inner = table.get("landmarks")
    if inner is None:
        return None
    prefix = "landmarks."
    if isinstance(inner, str):
        path, prefix = file_within(path.parent, inner, f"{path}: field 'landmarks'"), ""
        inner = read_json_object(path)
    if not isinstance(inner, dict):
        raise _bad(path, "landmarks", "an object or a file name", inner)
    scheme = _text(inner, "scheme", path, prefix=prefix)
    if scheme not in LANDMARK_COUNTS:
        raise _bad(path, f"{prefix}scheme", f"one of {', '.join(LANDMARK_COUNTS)}", scheme)
    count = LANDMARK_COUNTS[scheme]
    points = _numbers(inner, "points_px", path, (count, 2), prefix)
    if np.abs(points).max() > FARTHEST_PX:
        wanted = f"pixels within {FARTHEST_PX:.0e} of the image's corner"
        raise _bad(path, f"{prefix}points_px", wanted, float(np.abs(points).max()))
    confidence = np.ones(count)
    if "confidence" in inner:
        confidence = _numbers(inner, "confidence", path, (count,), prefix)
        if confidence.min() < 0 or confidence.max() > 1:
            wrong = confidence[(confidence < 0) | (confidence > 1)][0]
            raise _bad(path, f"{prefix}confidence", "numbers in [0, 1]", float(wrong))
    detector = _text(inner, "detector", path, prefix=prefix, default="annotation")
    return Landmarks(scheme, points, confidence, detector)


def _field(table: dict[str, Any], name: str, path: Path, prefix: str = "") -> Any:
    if name not in table:
        raise CaptureError("missing_field", f"{path}: field '{prefix}{name}' is missing")
    return table[name]


def _text(
    table: dict[str, Any], name: str, path: Path, prefix: str = "", default: str | None = None
) -> str:
    if default is not None and name not in table:
        return default
    value = _field(table, name, path, prefix)
    if not isinstance(value, str):
        raise _bad(path, prefix + name, "a text", value)
    try:
        return plain_text(value, _LONGEST_TEXT)
    except ValueError as problem:
        raise _bad(path, prefix + name, f"a text, not {problem}", value) from None


def _number(table: dict[str, Any], name: str, path: Path, prefix: str = "") -> float:
    value = _field(table, name, path, prefix)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not -_HUGE < value < _HUGE:  # false for NaN as well
        raise _bad(path, prefix + name, "a finite number", value)
    return float(value)


def _positive(table: dict[str, Any], name: str, path: Path, prefix: str = "") -> float:
    value = _number(table, name, path, prefix)
    if value <= 0:
        raise _bad(path, prefix + name, "a positive number", value)
    return value


def _numbers(
    table: dict[str, Any], name: str, path: Path, shape: tuple[int, ...], prefix: str
) -> Array:
    value = _field(table, name, path, prefix)
    try:
        numbers = np.array(value, dtype=np.float64) if _all_numbers(value) else np.zeros(0)
    except (ValueError, OverflowError):  # lists of different lengths; 10 ** 400
        numbers = np.zeros(0)
    wanted = f"finite numbers of shape {shape}"
    if numbers.shape != shape:
        raise CaptureError("bad_field", f"{path}: field '{prefix}{name}': expected {wanted}")
    if not np.isfinite(numbers).all():
        raise CaptureError("bad_field", f"{path}: field '{prefix}{name}': not all are finite")
    return numbers


def _all_numbers(value: Any) -> bool:
    """Whether lists, one level in another or not, hold numbers alone: numpy reads texts as well."""
    if not isinstance(value, list):
        return False
    inner = [one for row in value for one in (row if isinstance(row, list) else [row])]
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in inner)


def _bad(path: Path, name: str, wanted: str, found: Any) -> CaptureError:
    # Of a long list or text only the beginning is made, in case that it fills the whole file.
    text = repr(found[:60] if isinstance(found, str | list) else found)
    text = text if len(text) <= 60 else text[:57] + "..."
    return CaptureError("bad_field", f"{path}: field '{name}': expected {wanted}, found {text}")


def _size(image: Array) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"

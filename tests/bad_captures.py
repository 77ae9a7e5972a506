"""Captures that cannot be used, of every kind, each with the code and the words that name why."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

SIZE = (40, 30)
"""Height and width."""

GOOD: dict[str, Any] = {
    "subject": "anna",
    "intrinsics": {"fx": 300.0, "fy": 300.0, "cx": 14.5, "cy": 19.5},
    "depth_unit_mm": 1.0,
}


class Bad(NamedTuple):
    """How a good capture's folder is spoiled, the failure's code, and words in its message."""

    spoil: Callable[[Path], Any]
    code: str
    words: tuple[str, ...]


def write_good(folder: Path) -> None:
    """Write a tiny capture that can be read."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(folder / "color.png")
    np.save(folder / "depth.npy", rng.uniform(400, 500, SIZE).astype(np.float32))
    (folder / "capture.json").write_text(json.dumps(GOOD))


def npy_header(descr: str, shape: str, version: int = 1) -> bytes:
    """Return magic and header of an npy file, without data."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


def _json(**changes: Any) -> Callable[[Path], Any]:
    table = {**GOOD, **changes}
    return lambda folder: (folder / "capture.json").write_text(json.dumps(table))


def _text(text: str | bytes) -> Callable[[Path], Any]:
    data = text if isinstance(text, bytes) else text.encode()
    return lambda folder: (folder / "capture.json").write_bytes(data)


def _depth(data: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / "depth.npy").write_bytes(data)


def _instead(name: str, make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def _listening(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket has a hundred characters at most
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _loop(path: Path) -> None:
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


def _saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _zipped(name: str, size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(size))
    return buffer.getvalue()


def png_of(width: int, height: int, mode: int = 2) -> bytes:
    """Return a PNG that declares a size and holds next to nothing of it."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, mode, 0, 0, 0])
    buffer = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    buffer.seek(8)
    for kind, data in (
        (b"IHDR", header),
        (b"IDAT", b"x\x9c\x03\x00\x00\x00\x00\x01"),
        (b"IEND", b""),
    ):
        PngImagePlugin.putchunk(buffer, kind, data)
    return buffer.getvalue()


def _landmarks(**changes: Any) -> dict[str, Any]:
    points = [[float(i % 30), float(i % 40)] for i in range(68)]
    return {"landmarks": {"scheme": "ibug68", "points_px": points, **changes}}


def _landmark_file(name: str) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        outside = folder.parent / "outside-marks.json"
        outside.write_text(json.dumps(_landmarks()["landmarks"]))
        (folder / "link.json").symlink_to(outside)
        _json(landmarks=name)(folder)

    return spoil


_F8 = "'<f8'"
BAD: dict[str, Bad] = {
    # the description
    "no-description": Bad(
        lambda f: (f / "capture.json").unlink(), "missing_file", ("capture.json",)
    ),
    "empty-json": Bad(_text(""), "bad_json", ("capture.json",)),
    "cut-json": Bad(_text('{"subject": "an'), "bad_json", ("capture.json",)),
    "list-json": Bad(_text("[1, 2]"), "bad_json", ("list",)),
    "not-utf8": Bad(_text(b'{"subject": "\xff\xfe"}'), "bad_json", ("UTF-8",)),
    "utf16": Bad(_text(json.dumps(GOOD).encode("utf-16")), "bad_json", ("UTF-8",)),
    "deep-json": Bad(_text("[" * 200_000), "bad_json", ("deep",)),
    "deep-object": Bad(_text('{"a":' * 100_000 + "1" + "}" * 100_000), "bad_json", ("deep",)),
    "huge-integer": Bad(_text('{"subject": ' + "9" * 6000 + "}"), "bad_json", ("capture.json",)),
    "twice-subject": Bad(
        _text('{"subject": "a", "subject": "b"}'), "bad_json", ("subject", "twice")
    ),
    "large-json": Bad(_text(b" " * (17 * 2**20)), "bad_json", ("17 MB", "18 MB")),
    "nul-json": Bad(_text(bytes(5000)), "bad_json", ("capture.json",)),
    "json-pipe": Bad(_instead("capture.json", os.mkfifo), "bad_json", ("named pipe",)),
    "json-folder": Bad(_instead("capture.json", os.mkdir), "bad_json", ("folder",)),
    "json-device": Bad(
        _instead("capture.json", lambda p: p.symlink_to("/dev/zero")), "bad_json", ("device",)
    ),
    "json-loop": Bad(_instead("capture.json", _loop), "bad_json", ("symbolic links",)),
    "json-socket": Bad(_instead("capture.json", _listening), "bad_json", ("socket",)),
    "json-dangling": Bad(
        _instead("capture.json", lambda p: p.symlink_to("gone")), "missing_file", ("capture.json",)
    ),
    # its fields
    "no-subject": Bad(_json(subject=None), "bad_field", ("'subject'",)),
    "blank-subject": Bad(_json(subject=" \t\u200b"), "bad_field", ("'subject'", "empty")),
    "control-subject": Bad(_json(subject="a\x07b"), "bad_field", ("'subject'", "control")),
    "two-lines-subject": Bad(_json(subject="a\nb"), "bad_field", ("'subject'", "line break")),
    "zero-subject": Bad(_json(subject="a\0b"), "bad_field", ("'subject'", "control")),
    "surrogate-subject": Bad(_json(subject="a\ud800"), "bad_field", ("'subject'", "surrogate")),
    "long-subject": Bad(_json(subject="x" * 9000), "bad_field", ("'subject'", "9000")),
    "list-subject": Bad(_json(subject=["anna"] * 90_000), "bad_field", ("'subject'",)),
    "surrogate-licence": Bad(_json(licence="\udcff"), "bad_field", ("'licence'",)),
    "nan-focal": Bad(
        _json(intrinsics={**GOOD["intrinsics"], "fx": float("nan")}), "bad_field", ("fx",)
    ),
    "huge-focal": Bad(
        _json(intrinsics={**GOOD["intrinsics"], "fy": 10**400}), "bad_field", ("fy",)
    ),
    "text-focal": Bad(_json(intrinsics={**GOOD["intrinsics"], "fx": "300"}), "bad_field", ("fx",)),
    "no-unit": Bad(_json(depth_unit_mm=0), "bad_field", ("depth_unit_mm",)),
    "infinite-unit": Bad(_json(depth_unit_mm=float("inf")), "bad_field", ("depth_unit_mm",)),
    "text-landmarks": Bad(
        _json(**_landmarks(points_px=[["1", "2"]] * 68)), "bad_field", ("points_px",)
    ),
    "ragged-landmarks": Bad(
        _json(**_landmarks(points_px=[[1, 2]] * 67 + [[1]])), "bad_field", ("points_px",)
    ),
    "huge-landmarks": Bad(
        _json(**_landmarks(points_px=[[1, 10**400]] * 68)), "bad_field", ("points_px",)
    ),
    "far-landmarks": Bad(
        _json(**_landmarks(points_px=[[1, -1e300]] * 68)), "bad_field", ("points_px", "1e+06")
    ),
    "true-landmarks": Bad(
        _json(**_landmarks(points_px=[[True, 2]] * 68)), "bad_field", ("points_px",)
    ),
    "deep-landmarks": Bad(
        _json(**_landmarks(points_px=[[[[1]]]] * 68)), "bad_field", ("points_px",)
    ),
    "landmarks-above": Bad(
        _landmark_file("../outside-marks.json"), "outside_folder", ("landmarks",)
    ),
    "landmarks-absolute": Bad(_landmark_file("/etc/passwd"), "outside_folder", ("/etc/passwd",)),
    "landmarks-drive": Bad(_landmark_file("C:\\marks.json"), "outside_folder", ("landmarks",)),
    "landmarks-link": Bad(_landmark_file("link.json"), "outside_folder", ("link.json",)),
    "landmarks-zero": Bad(_landmark_file("a\0b"), "bad_field", ("landmarks",)),
    "landmarks-surrogate": Bad(
        _landmark_file("\ud800"), "bad_field", ("capture.json", "landmarks", "no file name")
    ),
    "landmarks-long-name": Bad(
        _landmark_file("x" * 5000), "bad_field", ("capture.json", "landmarks", "no file name")
    ),
    "landmarks-gone": Bad(_landmark_file("gone.json"), "missing_file", ("gone.json",)),
    "landmarks-folder": Bad(_landmark_file("."), "bad_json", ("folder",)),
    # the depth
    "no-depth-file": Bad(lambda f: (f / "depth.npy").unlink(), "missing_file", ("depth.npy",)),
    "empty-npy": Bad(_depth(b""), "unreadable_image", ("depth.npy",)),
    "terabytes-npy": Bad(
        _depth(npy_header(_F8, "(1000000, 1000000)") + bytes(99)), "unreadable_image", ("elements",)
    ),
    "gigabyte-npy": Bad(
        _depth(npy_header(_F8, "(10000, 10000)")),
        "unreadable_image",
        ("100000000 elements", "are there"),
    ),
    "overflowing-npy": Bad(
        _depth(npy_header(_F8, "(4294967296, 4294967296)")), "unreadable_image", ("elements",)
    ),
    "true-npy": Bad(_depth(npy_header(_F8, "(True, 1)")), "unreadable_image", ("shape",)),
    "negative-npy": Bad(_depth(npy_header(_F8, "(-40, 30)")), "unreadable_image", ("shape",)),
    "object-npy": Bad(
        _depth(_saved(np.array([[{}]], dtype=object))), "unreadable_image", ("Python objects",)
    ),
    "complex-npy": Bad(_depth(_saved(np.ones(SIZE, complex))), "unreadable_image", ("complex",)),
    "flat-npy": Bad(_depth(_saved(np.ones(9))), "unreadable_image", ("2D",)),
    "no-pixel-npy": Bad(_depth(_saved(np.ones((0, 30)))), "unreadable_image", ("2D",)),
    "pickle": Bad(_depth(pickle.dumps({"a": 1})), "unreadable_image", ("npy",)),
    "code-in-header": Bad(
        _depth(npy_header("__import__('os').system('true')", "(40, 30)")),
        "unreadable_image",
        ("npy",),
    ),
    "nested-header": Bad(
        _depth(npy_header(_F8, "(" * 4000 + ")" * 4000)), "unreadable_image", ("npy",)
    ),
    "long-header": Bad(
        _depth(npy_header(_F8, "(40, 30)" + " " * 50_000, version=2)), "unreadable_image", ("npy",)
    ),
    "zip-for-npy": Bad(_depth(_zipped("depth.npy", 10**8)), "unreadable_image", ("npy",)),
    "broken-zip": Bad(_depth(_zipped("a.npy", 9000)[:40]), "unreadable_image", ("npy",)),
    "depth-pipe": Bad(_instead("depth.npy", os.mkfifo), "unreadable_image", ("named pipe",)),
    "depth-folder": Bad(_instead("depth.npy", os.mkdir), "unreadable_image", ("folder",)),
    "depth-device": Bad(
        _instead("depth.npy", lambda p: p.symlink_to("/dev/urandom")),
        "unreadable_image",
        ("device",),
    ),
    "other-size": Bad(_depth(_saved(np.ones((4, 4)))), "size_mismatch", ("4 x 4",)),
    "all-nan": Bad(_depth(_saved(np.full(SIZE, np.nan))), "no_depth", ("depth.npy",)),
    # the colours
    "no-colour": Bad(lambda f: (f / "color.png").unlink(), "missing_file", ("color.png",)),
    "empty-png": Bad(
        lambda f: (f / "color.png").write_bytes(b""), "unreadable_image", ("color.png",)
    ),
    "huge-png": Bad(
        lambda f: (f / "color.png").write_bytes(png_of(60_000, 60_000)),
        "unreadable_image",
        ("more than the 150 million pixels",),
    ),
    "hollow-png": Bad(
        lambda f: (f / "color.png").write_bytes(png_of(12_000, 12_000)),
        "unreadable_image",
        ("cannot hold",),
    ),
    "postscript": Bad(
        _instead(
            "color.png",
            lambda p: p.with_name("color.jpg").write_bytes(
                b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 40\nshowpage\n"
            ),
        ),
        "unreadable_image",
        ("color.jpg",),
    ),
    "colour-pipe": Bad(_instead("color.png", os.mkfifo), "unreadable_image", ("named pipe",)),
    "colour-loop": Bad(_instead("color.png", _loop), "unreadable_image", ("symbolic links",)),
}

ODD_NAMES = (
    "bell\x07",
    "line\nbreak",
    "anna ",
    "n" * 250,
    os.fsdecode(b"latin-\xe4\xf6"),
    "zero\u200bwidth",
    "<script>",
    "-rf",
    "caf\u0065\u0301",
)
"""Names of folders that are no good names of files."""


def write_bad_captures(root: Path) -> dict[str, Bad]:
    """Write a folder for each bad capture, and broken ones of odd names; return what is wrong."""
    for name, bad in BAD.items():
        write_good(root / name)
        bad.spoil(root / name)
    (root / "outside-marks.json").unlink()
    odd = Bad(_text("{"), "bad_json", ("capture.json",))
    for name in ODD_NAMES:
        write_good(root / name)
        odd.spoil(root / name)
    return {**BAD, **{name: odd for name in ODD_NAMES}}

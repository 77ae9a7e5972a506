"""What is done to captures, and the words that the failure of each has to have."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Change = Callable[[Path], object]


def _json(change: Callable[[dict[str, Any]], object]) -> Change:
    """Change the table in capture.json."""

    def act(folder: Path) -> None:
        file = folder / "capture.json"
        table = json.loads(file.read_text(encoding="utf-8"))
        change(table)
        file.write_text(json.dumps(table), encoding="utf-8")

    return act


def _set(*path: str, to: Any) -> Change:
    def change(table: dict[str, Any]) -> None:
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = to

    return _json(change)


def _without(*path: str) -> Change:
    def change(table: dict[str, Any]) -> None:
        for key in path[:-1]:
            table = table[key]
        del table[path[-1]]

    return _json(change)


def _bytes(name: str, change: Callable[[bytes], bytes]) -> Change:
    def act(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes() if path.is_file() else b""))

    return act


def _landmarks_file(text: bytes) -> Change:
    def act(folder: Path) -> None:
        _set("landmarks", to="points.json")(folder)
        (folder / "points.json").write_bytes(text)

    return act


def _npy(header: str, body: bytes = b"") -> Change:
    """Put a depth.npy of any header in the place of the depth."""

    def act(folder: Path) -> None:
        (folder / "depth.png").unlink()
        text = header.encode() + b"\n"
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body
        (folder / "depth.npy").write_bytes(data)

    return act


def _depth(change: Callable[[Any], Any]) -> Change:
    """Replace the depth by one in mm, as npy."""

    def act(folder: Path) -> None:
        depth = np.array(Image.open(folder / "depth.png")).astype(np.float32) * 0.1
        (folder / "depth.png").unlink()
        np.save(folder / "depth.npy", change(depth))
        _set("depth_unit_mm", to=1.0)(folder)

    return act


def _other_depth(write: Callable[[Path], object]) -> Change:
    """Write something else under the name depth.npy."""

    def act(folder: Path) -> None:
        (folder / "depth.png").unlink()
        write(folder / "depth.npy")

    return act


def _as_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros((120, 160), np.float32))


def _second_colour(folder: Path) -> None:
    shutil.copyfile(folder / "color.png", folder / "color.jpg")


def _instead(name: str, make: Callable[[Path], None]) -> Change:
    """Put something that is no file in the place of a file."""

    def act(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return act


def _png(width: int, height: int) -> bytes:
    """Return a PNG that declares a size that it does not have, with right sums."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\x00" * 100)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _renamed(name: str | bytes) -> Change:
    """Give the capture's folder another name."""

    def act(folder: Path) -> None:
        target = os.path.join(os.fsencode(folder.parent), os.fsencode(name))
        if os.path.exists(target):
            shutil.rmtree(target)
        os.rename(folder, target)

    return act


def _strip(folder: Path) -> None:
    """Make the capture an image of one row, which a picture of some height would make endless."""
    Image.fromarray(np.full((1, 4000, 3), 90, np.uint8)).save(folder / "color.png")
    (folder / "depth.png").unlink()
    np.save(folder / "depth.npy", np.full((1, 4000), 550.0, np.float32))
    _set("depth_unit_mm", to=1.0)(folder)
    _set("intrinsics", to={"fx": 4000, "fy": 4000, "cx": 2000, "cy": 0})(folder)


def _shifted_points(table: dict[str, Any]) -> None:
    table["landmarks"]["points_px"] = [[1e300, 1e300]] * 68


CASES: dict[str, tuple[Change, tuple[str, ...] | None]] = {
    "no capture.json": (lambda f: (f / "capture.json").unlink(), ("capture.json",)),
    "empty capture.json": (_bytes("capture.json", lambda _: b""), ("capture.json",)),
    "capture.json cut": (_bytes("capture.json", lambda b: b[:200]), ("capture.json",)),
    "capture.json is a list": (_bytes("capture.json", lambda _: b"[]"), ("capture.json",)),
    "capture.json is UTF-16": (
        _bytes("capture.json", lambda b: b.decode().encode("utf-16")),
        ("capture.json",),
    ),
    "capture.json of zeros": (_bytes("capture.json", lambda b: b"\0" * len(b)), ("capture.json",)),
    "capture.json nests deeply": (
        _bytes("capture.json", lambda b: b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        ("capture.json",),
    ),
    "capture.json with a number of 5,000 digits": (
        _bytes("capture.json", lambda b: b.replace(b"0.1", b"1" * 5000)),
        ("capture.json",),
    ),
    "no subject": (_without("subject"), ("capture.json", "subject")),
    "empty subject": (_set("subject", to="  "), ("capture.json", "subject")),
    "subject is a number": (_set("subject", to=7), ("capture.json", "subject")),
    "subject with a line break": (_set("subject", to="a\nb"), ("capture.json", "subject")),
    "subject with a zero": (_set("subject", to="a\x00b"), ("capture.json", "subject")),
    "subject with an escape": (_set("subject", to="\x1b[31ma"), ("capture.json", "subject")),
    "subject with a lone surrogate": (_set("subject", to="a\ud800"), ("capture.json", "subject")),
    "expression with a lone surrogate": (
        _set("expression", to="a\udc80"),
        ("capture.json", "expression"),
    ),
    "licence with a lone surrogate": (_set("licence", to="a\udc80"), ("capture.json", "licence")),
    "licence with a zero": (_set("licence", to="a\x00"), ("capture.json", "licence")),
    "detector with a lone surrogate": (
        _set("landmarks", "detector", to="a\ud800"),
        ("capture.json", "detector"),
    ),
    "subject of 100,000 letters": (_set("subject", to="x" * 100_000), ("capture.json", "subject")),
    "no intrinsics": (_without("intrinsics"), ("capture.json", "intrinsics")),
    "fx is a text": (_set("intrinsics", "fx", to="225"), ("capture.json", "fx")),
    "fx is nan": (_set("intrinsics", "fx", to=float("nan")), ("capture.json", "fx")),
    "fx is negative": (_set("intrinsics", "fx", to=-225.0), ("capture.json", "fx")),
    "fx is 1e11": (_set("intrinsics", "fx", to=1e11), ("capture.json", "fx")),
    "fx is true": (_set("intrinsics", "fx", to=True), ("capture.json", "fx")),
    "cx outside of the picture": (_set("intrinsics", "cx", to=700.0), ("capture.json", "cx")),
    "intrinsics of 4K": (
        _set("intrinsics", to={"fx": 3000, "fy": 3000, "cx": 1920, "cy": 1080}),
        ("capture.json",),
    ),
    "no depth unit": (_without("depth_unit_mm"), ("capture.json", "depth_unit_mm")),
    "depth unit 0": (_set("depth_unit_mm", to=0), ("capture.json", "depth_unit_mm")),
    "depth unit inf": (_set("depth_unit_mm", to=float("inf")), ("capture.json", "depth_unit_mm")),
    "depth unit 1e11": (_set("depth_unit_mm", to=1e11), ("depth",)),
    "depth in metres": (_set("depth_unit_mm", to=1e-4), ("depth_unit_mm",)),
    "67 landmarks": (
        _json(lambda t: t["landmarks"]["points_px"].pop()),
        ("capture.json", "points_px"),
    ),
    "a landmark is nan": (
        _json(lambda t: t["landmarks"]["points_px"].__setitem__(3, [float("nan"), 1])),
        ("capture.json", "points_px"),
    ),
    "landmarks at 1e300": (_json(_shifted_points), ("capture.json", "points_px")),
    "unknown scheme": (_set("landmarks", "scheme", to="dlib"), ("capture.json", "scheme")),
    "confidence of 2": (
        _json(lambda t: t["landmarks"]["confidence"].__setitem__(20, 2)),
        ("capture.json", "confidence"),
    ),
    "landmarks file is missing": (_set("landmarks", to="points.json"), ("points.json",)),
    "landmarks file is empty": (_landmarks_file(b""), ("points.json",)),
    "landmarks file is /etc/passwd": (_set("landmarks", to="/etc/passwd"), ("landmarks",)),
    "landmarks file is outside": (
        _set("landmarks", to="../good/capture.json"),
        ("landmarks",),
    ),
    "landmarks file is /dev/zero": (_set("landmarks", to="/dev/zero"), ("landmarks",)),
    "landmarks file has a name of 5,000 letters": (
        _set("landmarks", to="x" * 5000),
        ("capture.json", "landmarks"),
    ),
    "landmarks file has a zero in its name": (
        _set("landmarks", to="a\x00.json"),
        ("capture.json", "landmarks"),
    ),
    "no colour": (lambda f: (f / "color.png").unlink(), ("color",)),
    "colour cut": (_bytes("color.png", lambda b: b[: len(b) // 2]), ("color.png",)),
    "colour empty": (_bytes("color.png", lambda _: b""), ("color.png",)),
    "colour is a text": (_bytes("color.png", lambda _: b"hello"), ("color.png",)),
    "colour declares 60,000 x 60,000": (
        _bytes("color.png", lambda _: _png(60_000, 60_000)),
        ("color.png",),
    ),
    "colour declares 10,000 x 10,000": (
        _bytes("color.png", lambda _: _png(10_000, 10_000)),
        ("color.png",),
    ),
    "two colours": (
        _second_colour,
        ("color.png", "color.jpg"),
    ),
    "colour is a folder": (_instead("color.png", lambda p: p.mkdir()), ("color",)),
    "colour is a FIFO": (_instead("color.png", os.mkfifo), ("color",)),
    "capture.json is a FIFO": (_instead("capture.json", os.mkfifo), ("capture.json",)),
    "capture.json is /dev/zero": (
        _instead("capture.json", lambda p: p.symlink_to("/dev/zero")),
        ("capture.json",),
    ),
    "depth is /dev/zero": (
        _instead("depth.png", lambda p: p.symlink_to("/dev/zero")),
        ("depth",),
    ),
    "depth points to itself": (_instead("depth.png", lambda p: p.symlink_to(p.name)), ("depth",)),
    "no depth": (lambda f: (f / "depth.png").unlink(), ("depth",)),
    "depth of 8 bits": (
        lambda f: Image.fromarray(np.zeros((120, 160), np.uint8)).save(f / "depth.png"),
        ("depth.png",),
    ),
    "depth of another size": (_depth(lambda d: d[:50]), ("depth.npy",)),
    "depth all zero": (_depth(lambda d: 0 * d), ("depth.npy",)),
    "depth all nan": (_depth(lambda d: np.nan * d), ("depth.npy",)),
    "depth of 1e30 mm": (_depth(lambda d: np.full_like(d, 1e30)), ("depth",)),
    "background of 1e13 mm": (
        _depth(lambda d: np.where(np.isfinite(d) & (d > 0), d, 1e13)),
        None,
    ),
    "an image of one row": (_strip, ("landmarks",)),
    "landmarks on one spot": (
        _json(lambda t: t["landmarks"].update(points_px=[[80, 60]] * 68)),
        ("landmarks",),
    ),
    "depth of complex numbers": (_depth(lambda d: d.astype(complex)), ("depth.npy",)),
    "depth of three axes": (_depth(lambda d: d[None]), ("depth.npy",)),
    "npy of objects": (
        _npy("{'descr': '|O', 'fortran_order': False, 'shape': (120, 160), }"),
        ("depth.npy",),
    ),
    "npy declares 8 TB": (
        _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
        ("depth.npy",),
    ),
    "npy with a broken header": (_npy("{'descr': '<f8', 'fortran_"), ("depth.npy",)),
    "npy with a shape of text": (
        _npy("{'descr': '<f8', 'fortran_order': False, 'shape': ('a', 2), }"),
        ("depth.npy",),
    ),
    "npz under the name of npy": (_other_depth(_as_npz), ("depth.npy",)),
    "a broken zip under the name of npy": (
        _other_depth(lambda path: path.write_bytes(b"PK\x03\x04" + b"x" * 99)),
        ("depth.npy",),
    ),
    "name of 250 letters": (_renamed("n" * 250), None),
    "name that is no UTF-8": (_renamed(b"name-\xff\xfe"), None),
    "name with a line break": (_renamed("a\nb"), None),
    "name that begins with a dash": (_renamed("-rf"), None),
    "name of an emoji": (_renamed("\U0001f600"), None),
}
"""What is done to a capture, and the words that its failure must have; None where it is built."""

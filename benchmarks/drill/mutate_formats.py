"""Mutations of npy, PNG and glb files that keep their lengths and sums right."""

from __future__ import annotations

import copy
import functools
import json
import re
import struct
import zlib
from typing import Any

import numpy as np

from benchmarks.drill.mutate_bytes import Mutation, Random, cut, extreme, flipped
from benchmarks.drill.mutate_json import changed_document

_SHAPES = (
    "(12, 16)",
    "(16, 12)",
    "(1000000, 1000000)",
    "(12, 16, 1)",
    "()",
    "(0, 16)",
    "(-12, 16)",
    "(192,)",
    "(9223372036854775807, 2)",
    "(12, True)",
    "(12.0, 16)",
    "None",
    "'x'",
)
_DTYPES = (
    "'<f8'",
    "'<f4'",
    "'>f4'",
    "'<i8'",
    "'<u2'",
    "'|b1'",
    "'<c16'",
    "'|O'",
    "'<M8[ns]'",
    "'|S4'",
    "'<U4'",
    "[('a', '<f4')]",
    "'f9'",
    "'|V100000000000'",
    "''",
)


def _npy_header(data: bytes, rng: Random) -> bytes:
    """Say another shape, type or order, in a header of the right length."""
    length = struct.unpack("<H", data[8:10])[0]
    header, body = data[10 : 10 + length].decode("latin1"), data[10 + length :]
    if rng.random() < 0.6:
        shape = _SHAPES[int(rng.integers(len(_SHAPES)))]
        header = re.sub(r"'shape': .*?\)", lambda _: f"'shape': {shape}", header, count=1)
    if rng.random() < 0.5:
        kind = _DTYPES[int(rng.integers(len(_DTYPES)))]
        header = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': {kind}", header, count=1)
    if rng.random() < 0.2:
        header = header.replace("False", "True")
    text = header.encode("latin1").rstrip() + b"\n"
    return data[:8] + struct.pack("<H", len(text)) + text + body


def floats(data: bytes, rng: Random) -> bytes:
    """Put odd numbers of single precision over some of the last bytes."""
    odd = np.array([np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, -1.0, 0.0], "<f4")
    count = len(data) // 4
    place = len(data) - 4 * (1 + int(rng.integers(max(1, count // 2))))
    times = int(rng.choice([1, 4, 10_000]))
    value = odd[int(rng.integers(len(odd)))].tobytes() * min(times, (len(data) - place) // 4)
    return data[:place] + value + data[place + len(value) :]


NPY: tuple[Mutation, ...] = (_npy_header, _npy_header, _npy_header, floats, extreme)


def png_chunk(data: bytes, rng: Random) -> bytes:
    """Change a chunk of a PNG and give it the right sum."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    which = int(rng.integers(len(chunks))) if rng.random() < 0.5 else 0
    name, body = chunks[which]
    if name == b"IHDR" and rng.random() < 0.7:
        width, height, *rest = struct.unpack(">IIBBBBB", body)
        sizes = (0, 1, width, 2 * width, 20_000, 60_000, 2**31 - 1)
        width, height = (int(rng.choice([x, *sizes])) for x in (width, height))
        if rng.random() < 0.5:
            rest[int(rng.integers(5))] = int(rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 255]))
        body = struct.pack(">IIBBBBB", width, height, *rest)
    elif name == b"IDAT" and rng.random() < 0.5:
        body = zlib.compress(flipped(zlib.decompress(body), rng))
    else:
        body = flipped(body, rng) if rng.random() < 0.5 else cut(body, rng)
    chunks[which] = (name, body)
    if rng.random() < 0.2:
        chunks.insert(1, (b"zTXt", b"x\x00\x00" + _bomb()))
    made = [
        struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks
    ]
    return data[:8] + b"".join(made)


@functools.cache
def _bomb() -> bytes:
    """Fifty megabytes in a few kilobytes."""
    return zlib.compress(b"0" * 50_000_000, 9)


def glb_json(data: bytes, rng: Random) -> bytes:
    """Change a value of the JSON in a glb file and give the chunks their right lengths."""
    (length,) = struct.unpack("<I", data[12:16])
    document = json.loads(data[20 : 20 + length])
    rest = data[20 + length :]
    text = json.dumps(_changed_gltf(document, rng)).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
    return head + struct.pack("<I4s", len(text), b"JSON") + text + rest


def _changed_gltf(document: Any, rng: Random) -> Any:
    """Change counts, offsets, types and indices most of all."""
    if rng.random() < 0.3:
        return changed_document(document, rng)
    document = copy.deepcopy(document)
    rows = [
        row
        for name in ("accessors", "bufferViews", "meshes", "nodes")
        for row in document.get(name, [])
    ]
    row = rows[int(rng.integers(len(rows)))]
    key = sorted(row)[int(rng.integers(len(row)))]
    numbers = (0, -1, 1, 2, 7, 10**6, 10**9, 2**31, 2**63, 1.5, 5120, 5121, 5123, 5125, 5126, 5130)
    if key == "primitives":
        primitive = row[key][0]
        name = rng.choice(["indices", "material", "mode", "POSITION", "TEXCOORD_0", "COLOR_0"])
        inner = primitive["attributes"] if name.isupper() else primitive
        inner[str(name)] = numbers[int(rng.integers(len(numbers)))]
    elif isinstance(row[key], str):
        kinds = ("SCALAR", "VEC2", "VEC3", "VEC4", "MAT4", "VEC9", "")
        row[key] = kinds[int(rng.integers(len(kinds)))]
    elif key in ("max", "min", "matrix"):
        row[key] = [float(rng.choice([0, np.nan, np.inf, 1e300, -1]))] * len(row[key])
    else:
        row[key] = numbers[int(rng.integers(len(numbers)))]
    if rng.random() < 0.1:  # many instances of one mesh
        document["nodes"] += [{"mesh": 0}] * 20_000
        document["scenes"][0]["nodes"] = list(range(len(document["nodes"])))
    if rng.random() < 0.1:
        document["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    return document


def length(data: bytes, rng: Random) -> bytes:
    """Change one of the first words of a file."""
    place = 4 * int(rng.integers(max(1, min(len(data), 512) // 4)))
    value = int(rng.choice([0, 1, 255, 65_535, 2**31 - 1, 2**31, 2**32 - 1]))
    order = "<" if rng.random() < 0.5 else ">"
    return data[:place] + struct.pack(f"{order}I", value) + data[place + 4 :]

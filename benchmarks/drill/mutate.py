"""Seeded mutations of small valid files: of bytes, of text and its numbers, and of known headers.

`mutated` gives the same bytes for the same file, format and generator.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator
Mutation = Callable[[bytes, Random], bytes]

NUMBERS = (
    b"nan",
    b"inf",
    b"-inf",
    b"NaN",
    b"Infinity",
    b"-1",
    b"0",
    b"1e308",
    b"-1e308",
    b"1e400",
    b"1e30",
    b"1e-320",
    b"2147483648",
    b"-2147483649",
    b"9223372036854775808",
    b"99999999999999999999999",
    b"0x10",
    b"1_000",
    b"true",
    b"null",
    b"",
    b"-",
    b"1e",
    b"1,5",
    b"\xd9\xa3",
)
"""Put in the place of numbers; the last is an Arabic digit."""

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    10**30,
    2**31,
    "",
    " ",
    "x",
    "anna ",
    "a\x00b",
    "a\nb",
    "\ud800",
    "../../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "é" * 300,
    "x" * 5000,
    [],
    {},
    [[[[]]]],
    [1, 2],
    {"a": 1},
)
"""Put in the place of values of a JSON file."""

_WORDS = (b"\x00", b"\xff", b"\x80", b"\x01", b"\x7f", b"\xfe")
_NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")


def mutated(data: bytes, form: str, rng: Random) -> bytes:
    """Return a mutation of a file's bytes; `form` names what is known of its structure."""
    kinds = [*PLAIN, *FORMS.get(form, ())] if form in FORMS else list(PLAIN)
    known = FORMS.get(form, ())
    if known and rng.random() < 0.7:
        kinds = list(known)
    changed = data
    for _ in range(1 + int(rng.integers(3)) if rng.random() < 0.3 else 1):
        try:
            changed = kinds[int(rng.integers(len(kinds)))](changed, rng)
        except (ValueError, IndexError, KeyError, struct.error, RecursionError, zlib.error):
            changed = flipped(changed, rng)
    return changed if changed != data else flipped(changed, rng)


def flipped(data: bytes, rng: Random) -> bytes:
    """Turn one bit around."""
    if not data:
        return b"\x00"
    place = int(rng.integers(len(data)))
    return data[:place] + bytes([data[place] ^ (1 << int(rng.integers(8)))]) + data[place + 1 :]


def cut(data: bytes, rng: Random) -> bytes:
    """Cut the end off."""
    return data[: int(rng.integers(len(data)))] if data else b"\x00"


def _span(data: bytes, rng: Random, largest: int = 64) -> tuple[int, int]:
    begin = int(rng.integers(len(data)))
    return begin, min(len(data), begin + 1 + int(rng.integers(largest)))


def _without(data: bytes, rng: Random) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + data[end:]


def _spliced(data: bytes, rng: Random) -> bytes:
    """Copy a piece to another place, over what is there or between it."""
    begin, end = _span(data, rng, 256)
    place = int(rng.integers(len(data)))
    after = place + (end - begin) * int(rng.integers(2))
    return data[:place] + data[begin:end] + data[after:]


def _repeated(data: bytes, rng: Random) -> bytes:
    begin, end = _span(data, rng, 16)
    return data[:end] + data[begin:end] * int(rng.integers(1, 2000)) + data[end:]


def _noise(data: bytes, rng: Random) -> bytes:
    begin, end = _span(data, rng, 16)
    return data[:begin] + rng.bytes(end - begin) + data[end:]


def _extreme(data: bytes, rng: Random) -> bytes:
    """Put an extreme number over one, two, four or eight bytes, as in length fields."""
    width = int(2 ** rng.integers(4))
    place = int(rng.integers(max(1, len(data) - width)))
    word = _WORDS[int(rng.integers(len(_WORDS)))]
    filling = (b"\xff" if rng.random() < 0.5 else b"\x00") * (width - 1)
    value = word + filling if rng.random() < 0.5 else filling + word
    return data[:place] + value + data[place + width :]


PLAIN: tuple[Mutation, ...] = (
    flipped,
    flipped,
    cut,
    _without,
    _spliced,
    _repeated,
    _noise,
    _extreme,
    _extreme,
)


def _number(data: bytes, rng: Random) -> bytes:
    """Put something odd in the place of a number."""
    found = list(_NUMBER.finditer(data))
    at = found[int(rng.integers(len(found)))]
    return data[: at.start()] + NUMBERS[int(rng.integers(len(NUMBERS)))] + data[at.end() :]


def _token(data: bytes, rng: Random) -> bytes:
    """Repeat a word, or make it long."""
    found = list(re.finditer(rb"[^\s,/\"]+", data))
    at = found[int(rng.integers(len(found)))]
    times = int(rng.choice([1, 2, 100, 100_000]))
    return (
        data[: at.end()] + (b" " if rng.random() < 0.5 else b"") + at[0] * times + data[at.end() :]
    )


def _line(data: bytes, rng: Random) -> bytes:
    """Repeat, drop or exchange lines."""
    lines = data.split(b"\n")
    a, b = (int(rng.integers(len(lines))) for _ in range(2))
    way = int(rng.integers(4))
    if way == 0:
        lines[a:a] = [lines[b]] * int(rng.choice([1, 3, 500]))
    elif way == 1:
        del lines[a]
    elif way == 2:
        lines[a], lines[b] = lines[b], lines[a]
    else:
        lines[a] = lines[a][: int(rng.integers(len(lines[a]) + 1))]
    return b"\n".join(lines)


def _sign(data: bytes, rng: Random) -> bytes:
    """Put in something that text readers trip over."""
    signs = (
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xc3\x28",
        b"\r",
        b'"',
        b"\\",
        b"\xed\xa0\x80",
    )
    place = int(rng.integers(len(data) + 1))
    return data[:place] + signs[int(rng.integers(len(signs)))] + data[place:]


TEXT: tuple[Mutation, ...] = (_number, _number, _number, _token, _line, _line, _sign)


def _json_value(data: bytes, rng: Random) -> bytes:
    """Replace, drop, rename or wrap one value of a JSON document."""
    document = json.loads(data)
    return json.dumps(_changed_document(document, rng)).encode()


def _changed_document(document: Any, rng: Random) -> Any:
    document = copy.deepcopy(document)
    places: list[tuple[Any, Any]] = []

    def collect(node: Any, top: bool) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        rows = list(items)
        if not top and len(rows) > 8:  # of long lists of numbers a few are enough
            rows = [rows[int(i)] for i in rng.choice(len(rows), 8, replace=False)]
        for key, value in rows:
            places.append((node, key))
            if isinstance(value, (dict, list)) and value:
                collect(value, False)

    if not isinstance(document, (dict, list)) or not document:
        return VALUES[int(rng.integers(len(VALUES)))]
    collect(document, True)
    node, key = places[int(rng.integers(len(places)))]
    way = int(rng.integers(8))
    if way == 0:
        del node[key]
    elif way == 1 and isinstance(node, dict):
        node[key + "x"] = node.pop(key)
    elif way == 2:
        node[key] = [node[key]] if rng.random() < 0.5 else {"x": node[key]}
    elif way == 3 and isinstance(node, list):
        node.insert(key, node[key])
    elif way == 4:
        other, name = places[int(rng.integers(len(places)))]
        node[key] = copy.deepcopy(other[name])
    else:
        node[key] = VALUES[int(rng.integers(len(VALUES)))]
    return document


def _deep(data: bytes, rng: Random) -> bytes:
    """Nest what stands after the first colon, deeper than a parser may recurse."""
    depth = int(rng.choice([50, 1000, 100_000]))
    head, _, rest = data.partition(b":")
    return head + b":" + b"[" * depth + b"]" * depth + b"," + rest


JSON: tuple[Mutation, ...] = (*([_json_value] * 6), _number, _number, _sign, _line, _deep)

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


def _floats(data: bytes, rng: Random) -> bytes:
    """Put odd numbers of single precision over some of the last bytes."""
    odd = np.array([np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, -1.0, 0.0], "<f4")
    count = len(data) // 4
    place = len(data) - 4 * (1 + int(rng.integers(max(1, count // 2))))
    times = int(rng.choice([1, 4, 10_000]))
    value = odd[int(rng.integers(len(odd)))].tobytes() * min(times, (len(data) - place) // 4)
    return data[:place] + value + data[place + len(value) :]


NPY: tuple[Mutation, ...] = (_npy_header, _npy_header, _npy_header, _floats, _extreme)


def _png_chunk(data: bytes, rng: Random) -> bytes:
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


def _glb_json(data: bytes, rng: Random) -> bytes:
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
        return _changed_document(document, rng)
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


def _length(data: bytes, rng: Random) -> bytes:
    """Change one of the first words of a file."""
    place = 4 * int(rng.integers(max(1, min(len(data), 512) // 4)))
    value = int(rng.choice([0, 1, 255, 65_535, 2**31 - 1, 2**31, 2**32 - 1]))
    order = "<" if rng.random() < 0.5 else ">"
    return data[:place] + struct.pack(f"{order}I", value) + data[place + 4 :]


FORMS: dict[str, tuple[Mutation, ...]] = {
    "text": TEXT,
    "json": JSON,
    "npy": NPY,
    "png": (_png_chunk, _png_chunk, _png_chunk, _length),
    "picture": (_length, _length, _extreme),
    "glb": (_glb_json, _glb_json, _glb_json, _floats, _length),
    "mixed": (_number, _line, _sign, _floats, _length),
    "binary": (_floats, _length, _extreme),
}
"""What is known of a file's structure; any other form is just bytes."""

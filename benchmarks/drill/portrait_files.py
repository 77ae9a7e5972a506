"""Portrait photos as iPhones write them: HEIC with a depth item, JPEG with further pictures."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import Image

from fg3d_builder.records import Array

STEP_PER_M = 0.01
"""Of disparity: 255 of these reach from the least value to 2.55 more."""

LEAST_PER_M = 0.8


def disparity_levels(depth_mm: Array) -> Array:
    """8-bit disparity; where there is no depth it is that of a wall."""
    known = np.isfinite(depth_mm) & (depth_mm > 0)
    disparity = 1000.0 / np.where(known, depth_mm, 900.0)
    levels = np.rint((disparity - LEAST_PER_M) / STEP_PER_M)
    assert levels.min() >= 0
    assert levels.max() <= 255
    return levels.astype(np.uint8)


def xmp(width: int, height: int, intrinsics: Array, **changes: str | None) -> bytes:
    """A depth image's description; changes replace a member's text, None leaves it out."""
    matrix = "".join(f"<rdf:li>{float(v)!r}</rdf:li>" for v in intrinsics.T.ravel())
    members = {
        "apdi:IntMaxValue": "255",
        "apdi:StoredFormat": "1278226488",
        "apdi:NativeFormat": "1751411059",
        "apdi:IntMinValue": "0",
        "apdi:FloatMaxValue": f"{LEAST_PER_M + 255 * STEP_PER_M}",
        "apdi:FloatMinValue": f"{LEAST_PER_M}",
        "apdi:AuxiliaryImageType": "disparity",
        "depthData:IntrinsicMatrixReferenceWidth": f"{width}",
        "depthData:DepthDataVersion": "65541",
        "depthData:Quality": "high",
        "depthData:IntrinsicMatrix": f"\n<rdf:Seq>{matrix}</rdf:Seq>\n",
        "depthData:IntrinsicMatrixReferenceHeight": f"{height}",
        "depthData:Accuracy": "absolute",
        "depthData:Filtered": "True",
    }
    for name, text in changes.items():
        full = next(one for one in members if one.endswith(":" + name))
        if text is None:
            del members[full]
        else:
            members[full] = text
    inner = "\n".join(f"<{name}>{text}</{name}>" for name, text in members.items())
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '<rdf:Description rdf:about="" xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/" '
        'xmlns:depthData="http://ns.apple.com/depthData/1.0/">\n'
        f"{inner}\n</rdf:Description></rdf:RDF></x:xmpmeta>\n"
    ).encode()


def jpeg(rgb: Array, quality: int = 92, **more: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, "JPEG", quality=quality, **more)
    return data.getvalue()


def portrait_jpeg(colour: Array, levels: Array, about: bytes, orientation: int = 1) -> bytes:
    """A JPEG whose index lists a matte and the depth image, each with its description."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    first = jpeg(colour, exif=exif.tobytes())
    matte = about.replace(
        b"<apdi:IntMaxValue>",
        b"<apdi:AuxiliaryImageSubType>portraiteffectsmatte</apdi:AuxiliaryImageSubType>"
        b"<apdi:IntMaxValue>",
    )
    others = [
        _with_segment(jpeg(image, 100), 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text)
        for image, text in ((255 - levels, matte), (levels, about))
    ]
    length = 4 + 50 + 16 * (1 + len(others))  # bytes of the index's segment after its length
    start = 2 + 4 + 4  # of offsets: after the marker, its length and "MPF\0"
    ends = [len(first) + length + 4, *(len(one) for one in others)]
    entries, at = b"", ends[0]
    for k, size in enumerate(ends):
        offset = 0 if k == 0 else at - start
        entries += struct.pack(">IIIHH", 0x030000 if k == 0 else 0, size, offset, 0, 0)
        at += size if k else 0
    index = b"MM\0\x2a" + struct.pack(">I", 8) + struct.pack(">H", 3)
    index += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    index += struct.pack(">HHII", 0xB001, 4, 1, len(ends))
    index += struct.pack(">HHII", 0xB002, 7, len(entries), 50)
    index += struct.pack(">I", 0)
    index += entries
    return _with_segment(first, 0xE2, b"MPF\0" + index) + b"".join(others)


def _with_segment(picture: bytes, kind: int, content: bytes) -> bytes:
    head = bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2)
    return picture[:2] + head + content + picture[2:]


def portrait_heic(
    colour: Array, levels: Array, about: bytes, quarter_turns: int = 0, mirrored: bool = False
) -> bytes:
    """A HEIC file with picture, depth (an auxiliary item) and description, by Apple's items."""
    pictures = [_encoded(colour), _encoded(levels)]
    kind = b"auxC", b"\0\0\0\0urn:mpeg:hevc:2015:auxid:2\0"
    more = [(b"irot", bytes([quarter_turns]))] if quarter_turns else []
    more += [(b"imir", b"\0")] if mirrored else []
    own = [pictures[0][0] + more, [*pictures[1][0], kind, *more]]
    contents = [pictures[0][1], pictures[1][1], about]
    properties = b"".join(_box(name, data) for one in own for name, data in one)
    associations, first = struct.pack(">II", 0, 2), 1
    for item, one in enumerate(own, 1):
        associations += struct.pack(">HB", item, len(one))
        associations += bytes(range(first, first + len(one)))
        first += len(one)
    infe = b"".join(
        _box(b"infe", b"\2\0\0\0" + struct.pack(">HH", item, 0) + text)
        for item, text in ((1, b"hvc1\0"), (2, b"hvc1\0"), (3, b"mime\0application/rdf+xml\0"))
    )
    references = _box(b"auxl", struct.pack(">HHH", 2, 1, 1))
    references += _box(b"cdsc", struct.pack(">HHH", 3, 1, 2))

    def meta(start: int) -> bytes:
        places, at = b"", start
        for item, data in enumerate(contents, 1):
            places += struct.pack(">HHHII", item, 0, 1, at, len(data))
            at += len(data)
        inner = _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
        inner += _box(b"pitm", struct.pack(">IH", 0, 1))
        inner += _box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, 3) + places)
        inner += _box(b"iinf", struct.pack(">IH", 0, 3) + infe)
        inner += _box(b"iref", struct.pack(">I", 0) + references)
        inner += _box(b"iprp", _box(b"ipco", properties) + _box(b"ipma", associations))
        return _box(b"meta", struct.pack(">I", 0) + inner)

    head = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + _box(b"mdat", b"".join(contents))


def _encoded(image: Array) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Properties and content of a picture, as the encoder writes it into a file of its own."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(file, quality=-1, chroma=444)
    data = file.getvalue()
    meta = dict(_boxes(data))[b"meta"][4:]
    inner = dict(_boxes(meta))
    properties = list(_boxes(dict(_boxes(inner[b"iprp"]))[b"ipco"]))
    return properties, dict(_boxes(data))[b"mdat"]


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + size]))
        at += size
    return found


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content

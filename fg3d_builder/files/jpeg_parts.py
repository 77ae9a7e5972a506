"""Further pictures in a JPEG file, by the index of CIPA's multi-picture format, and their XMP."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_INDEX = b"MPF\0"
_ENTRIES = 0xB002
_MOST_PICTURES = 100


def further_pictures(data: bytes) -> list[bytes]:
    """Return the JPEG streams that the first one's index lists after itself.

    Raises
    ------
    ValueError
        The index is damaged, or names what is not in the file.
    """
    for kind, start, end in _segments(data):
        if kind == 0xE2 and data.startswith(_INDEX, start):
            try:
                return list(_listed(data, start + len(_INDEX), end))
            except (struct.error, IndexError) as error:
                raise ValueError(f"damaged index of pictures ({error})") from None
    return []


def xmp_of(data: bytes) -> bytes:
    """Return the description in a JPEG stream, ``b""`` where there is none."""
    for kind, start, end in _segments(data):
        if kind == 0xE1 and data.startswith(_XMP, start):
            return data[start + len(_XMP) : end]
    return b""


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Go through the segments before the pixels: kind, and where the content begins and ends."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind in (0xDA, 0xD9) or size < 2 or at + 2 + size > len(data):
            return
        yield kind, at + 4, at + 2 + size
        at += 2 + size


def _listed(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """Read the index, a TIFF directory whose offsets count from its own beginning."""
    order = {b"II": "<", b"MM": ">"}.get(data[start : start + 2])
    if order is None:
        raise ValueError("damaged index of pictures (byte order)")
    at = start + struct.unpack_from(order + "I", data, start + 4)[0]
    (tags,) = struct.unpack_from(order + "H", data, at)
    for k in range(tags):
        tag, _, size, value = struct.unpack_from(order + "HHII", data, at + 2 + 12 * k)
        if tag == _ENTRIES:
            if size > 16 * _MOST_PICTURES or start + value + size > end:
                raise ValueError("damaged index of pictures (its length)")
            for n in range(16, size - 15, 16):  # the first is the picture itself
                length, offset = struct.unpack_from(order + "II", data, start + value + n + 4)
                first = start + offset
                # A stated length may be wrong (Pillow's last one is); where a picture ends, the
                # decoder knows as well, and tells if it was cut off.
                if data[first : first + 2] != b"\xff\xd8":
                    raise ValueError("the index names a picture that is not in the file")
                yield data[first : first + length]

"""What lies beside the picture in a HEIF file: which item is its depth, what describes it, turns.

The pixels are decoded by pillow-heif, which hands out neither the description (XMP) of a depth
image nor by how much a picture was turned for display. Both are found here, in the boxes of
ISO 23008-12: ``pitm``, ``iinf``, ``iref``, ``iprp`` and ``iloc``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

DEPTH_TYPES = ("urn:mpeg:hevc:2015:auxid:2", "urn:mpeg:avc:2015:auxid:2")
_MOST_ITEMS = 10_000


@dataclass(frozen=True)
class HeifDepth:
    """A depth image beside the primary picture.

    Attributes
    ----------
    xmp : bytes
        What describes it.
    quarter_turns : int
        By which the picture and its depth are turned anticlockwise for display.
    mirrored : bool
        They are mirrored as well.
    """

    xmp: bytes
    quarter_turns: int
    mirrored: bool


def heif_depth(data: bytes) -> HeifDepth | None:
    """Find the depth image of a HEIF file's primary picture.

    Returns
    -------
    HeifDepth or None
        None where there is none, or nothing describes it.

    Raises
    ------
    ValueError
        The boxes are damaged, or picture and depth are turned differently.
    """
    try:
        return _Items(data).depth()
    except (struct.error, IndexError) as error:
        raise ValueError(f"damaged boxes ({error})") from None


class _Items:
    """The item tables of a file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._inside = dict(_boxes(data, *_only(data, 0, len(data), b"meta"), skip=4))
        at, _ = self._box(b"pitm")
        self.primary = _number(data, at + 4, 2 if data[at] == 0 else 4)
        self._types = dict(self._listed_items())
        self._references = list(self._listed_references())
        self._properties = self._listed_properties()

    def depth(self) -> HeifDepth | None:
        for kind, item, others in self._references:
            if kind != b"auxl" or self.primary not in others or not self._is_depth(item):
                continue
            for described, text, targets in self._references:
                if described == b"cdsc" and item in targets and self._is_xmp(text):
                    turn = self._turn(self.primary)
                    if self._turn(item) != turn:
                        raise ValueError("picture and depth are turned differently")
                    return HeifDepth(self._content(text), *turn)
        return None

    def _box(self, kind: bytes) -> tuple[int, int]:
        if kind not in self._inside:
            raise ValueError(f"no box '{kind.decode()}'")
        return self._inside[kind]

    def _listed_items(self) -> Iterator[tuple[int, bytes]]:
        at, end = self._box(b"iinf")
        start = at + (6 if self._data[at] == 0 else 8)
        for kind, (first, last) in _boxes(self._data, start, end):
            version = self._data[first]
            if kind == b"infe" and version in (2, 3):
                size = 2 if version == 2 else 4
                item = _number(self._data, first + 4, size)
                rest = self._data[first + 6 + size : last]
                yield item, rest[:4] + rest[4:].split(b"\0", 2)[1][:40] if rest else b""

    def _is_xmp(self, item: int) -> bool:
        return self._types.get(item, b"") == b"mimeapplication/rdf+xml"

    def _listed_references(self) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
        if b"iref" not in self._inside:
            return
        at, end = self._inside[b"iref"]
        size = 2 if self._data[at] == 0 else 4
        for kind, (first, last) in _boxes(self._data, at + 4, end):
            count = _number(self._data, first + size, 2)
            start = first + size + 2
            if start + count * size > last:
                raise ValueError("a list of references is longer than its box")
            yield (
                kind,
                _number(self._data, first, size),
                tuple(_number(self._data, start + k * size, size) for k in range(count)),
            )

    def _listed_properties(self) -> dict[int, list[tuple[bytes, bytes]]]:
        """Kind and content of the properties of each item, in their order."""
        inner = list(_boxes(self._data, *self._box(b"iprp")))
        content = next((place for kind, place in inner if kind == b"ipco"), None)
        if content is None:
            raise ValueError("no box 'ipco'")
        all_properties = [
            (kind, self._data[first : min(last, first + 200)])
            for kind, (first, last) in _boxes(self._data, *content)
        ]
        found: dict[int, list[tuple[bytes, bytes]]] = {}
        for kind, (first, last) in inner:
            if kind == b"ipma":
                self._associate(first, last, all_properties, found)
        return found

    def _associate(
        self,
        at: int,
        end: int,
        all_properties: list[tuple[bytes, bytes]],
        found: dict[int, list[tuple[bytes, bytes]]],
    ) -> None:
        data = self._data
        id_size = 2 if data[at] == 0 else 4
        wide = 2 if data[at + 3] & 1 else 1
        count, at = _number(data, at + 4, 4), at + 8
        for _ in range(min(count, _MOST_ITEMS)):
            item, number = _number(data, at, id_size), data[at + id_size]
            at += id_size + 1
            if at + number * wide > end:
                raise ValueError("a list of properties is longer than its box")
            for k in range(number):
                index = _number(data, at + k * wide, wide) & (0x7FFF if wide == 2 else 0x7F)
                if 0 < index <= len(all_properties):
                    found.setdefault(item, []).append(all_properties[index - 1])
            at += number * wide

    def _is_depth(self, item: int) -> bool:
        return any(
            kind == b"auxC" and content[4:].split(b"\0")[0].decode("latin1") in DEPTH_TYPES
            for kind, content in self._properties.get(item, [])
        )

    def _turn(self, item: int) -> tuple[int, bool]:
        turns, mirrored = 0, False
        for kind, content in self._properties.get(item, []):
            if kind == b"irot":
                turns = content[0] & 3
            mirrored |= kind == b"imir"
        return turns, mirrored

    def _content(self, item: int) -> bytes:
        """Return the bytes of an item, by the table of locations."""
        data = self._data
        at, _ = self._box(b"iloc")
        version = data[at]
        offset_size, length_size = data[at + 4] >> 4, data[at + 4] & 15
        base_size, index_size = data[at + 5] >> 4, data[at + 5] & 15
        id_size = 4 if version == 2 else 2
        count, at = _number(data, at + 6, id_size), at + 6 + id_size
        for _ in range(min(count, _MOST_ITEMS)):
            here, at = _number(data, at, id_size), at + id_size
            method = 0
            if version > 0:
                method, at = _number(data, at, 2) & 15, at + 2
            at += 2
            base, at = _number(data, at, base_size), at + base_size
            extents, at = _number(data, at, 2), at + 2
            parts = []
            for _ in range(extents):
                at += index_size if version > 0 else 0
                offset, at = _number(data, at, offset_size), at + offset_size
                length, at = _number(data, at, length_size), at + length_size
                parts.append((base + offset, length))
            if here == item:
                start = self._box(b"idat")[0] if method == 1 else 0
                if method > 1 or len(parts) > 64:
                    raise ValueError("an item in an unknown place")
                return b"".join(data[start + a : start + a + n] for a, n in parts)
        raise ValueError("an item without a place")


def _number(data: bytes, at: int, size: int) -> int:
    if at < 0 or at + size > len(data):
        raise IndexError("it ends early")
    return int.from_bytes(data[at : at + size], "big")


def _boxes(
    data: bytes, start: int, end: int, skip: int = 0
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Go through boxes: kind, and where the content begins and ends."""
    at = start + skip
    for _ in range(_MOST_ITEMS):
        if at + 8 > end:
            return
        size, kind, header = _number(data, at, 4), data[at + 4 : at + 8], 8
        if size == 1:
            size, header = _number(data, at + 8, 8), 16
        elif size == 0:
            size = end - at
        if size < header or at + size > end:
            raise ValueError("a box is longer than what it is in")
        yield kind, (at + header, at + size)
        at += size


def _only(data: bytes, start: int, end: int, kind: bytes) -> tuple[int, int]:
    for found, place in _boxes(data, start, end):
        if found == kind:
            return place
    raise ValueError(f"no box '{kind.decode()}'")

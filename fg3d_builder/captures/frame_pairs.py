"""Pictures of a colour and a depth camera that belong together, found by their names.

Recorders write two folders (``color/000001.jpg``, ``depth/000001.png``) or both streams into one
(``color_000001.png``, ``depth_000001.png``; ``00001-color.png``; ``x_Color.png``). What a name
holds besides the word for the stream tells which two are a pair.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fg3d_builder.captures.source import folder_contents

COLOUR_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
DEPTH_SUFFIXES = (".raw", ".png")
"""In the order of preference: of a depth picture in false colours beside the raw numbers."""

DEEPEST = 4
"""Folders within folders that are looked into."""

_COLOUR, _DEPTH = ("color", "colour", "rgb"), ("depth",)
_WITH_IMAGE = re.compile(r"(colou?r|rgb|depth)_?(image|img|frame)s?")
_RUN_TOGETHER = re.compile(r"([^\W\d_]+)(\d+)|(\d+)([^\W\d_]+)")
_ALIGNED = re.compile(r"aligned_depth_to_colou?r|aligned_depth|depth_aligned|transformed_depth")
_FOLDER_ENDS = ("", "_images", "_image", "_imgs", "_frames", "images", "_raw")
_OTHERS = frozenset({
    "mask", "masks", "seg", "segmentation", "vis", "viz", "visual", "colormap", "colorized",
    "colored", "preview", "ir", "infrared", "infra", "confidence", "conf", "normal", "normals",
    "label", "labels", "metadata",
})  # fmt: skip
"""Words in names of pictures that are derived from the streams, or are none of the two."""

_SIZE = re.compile(r"\d+x\d+")


@dataclass(frozen=True)
class Pair:
    """A colour and a depth picture, of which one may be missing.

    Attributes
    ----------
    folder : Path
        That of the recording.
    parts : tuple of str
        Folders from the source's root to the recording.
    name : str
        What the two names have in common; may be empty.
    number : int
        Of the frame: the one number that the names have, or its place among the others.
    colour, depth : Path or None
    count : int
        Pairs of the recording.
    """

    folder: Path
    parts: tuple[str, ...]
    name: str
    number: int
    colour: Path | None = None
    depth: Path | None = None
    count: int = 1


def find_pairs(root: Path) -> list[Pair]:
    """Find the pairs of all recordings below a folder, in the order of folders and numbers."""
    found = []
    for folder, parts in _folders(root, (), set()):
        pairs = _pairs_of(folder, parts)
        found += [replace(pair, count=len(pairs)) for pair in pairs]
    return found


def _folders(
    folder: Path, parts: tuple[str, ...], seen: set[str]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    real = os.path.realpath(folder)
    if real in seen:  # a link to a folder above
        return
    seen.add(real)
    yield folder, parts
    if len(parts) == DEEPEST:
        return
    for inner in sorted(folder_contents(folder)):
        hidden = inner.name.startswith(".")
        if os.path.isdir(inner) and not hidden and _stream_of_folder(inner.name) is None:
            yield from _folders(inner, (*parts, inner.name), seen)


def _pairs_of(folder: Path, parts: tuple[str, ...]) -> list[Pair]:
    pairs: dict[tuple[str | int, ...], Pair] = {}
    for file, stream in sorted(_pictures(folder), key=lambda one: _rank(*one)):
        key = _key(file.stem)
        pair = pairs.get(key) or Pair(folder, parts, "-".join(map(str, key)), 0)
        if stream == "colour" and pair.colour is None:
            pair = replace(pair, colour=file)
        elif stream != "colour" and pair.depth is None:
            pair = replace(pair, depth=file)
        pairs[key] = pair
    ordered = sorted(pairs, key=lambda key: [(isinstance(word, str), word) for word in key])
    numbers = [[word for word in key if isinstance(word, int)] for key in ordered]
    # With one number in each name that is the frame's; times and such have several.
    single = all(len(found) == 1 for found in numbers)
    return [
        replace(pairs[key], number=numbers[k][0] if single else k) for k, key in enumerate(ordered)
    ]


def _rank(file: Path, stream: str) -> tuple[bool, int, Path]:
    """Sort what is preferred to the front: aligned depth, suffixes in their order."""
    suffixes = COLOUR_SUFFIXES if stream == "colour" else DEPTH_SUFFIXES
    return stream == "depth", suffixes.index(file.suffix.lower()), file


def _pictures(folder: Path) -> Iterator[tuple[Path, str]]:
    """List the pictures of a recording with their streams: colour, depth or aligned."""
    for file in folder_contents(folder):
        stream = _stream_of_folder(file.name)
        inner: Iterator[tuple[Path, str]]
        if stream is not None and os.path.isdir(file):
            inner = ((picture, stream) for picture in folder_contents(file))
        else:
            words = _words(file.stem)
            stream = next((kind for word in words if (kind := _stream_of_word(word))), None)
            inner = iter([(file, stream)] if stream else [])
        for picture, kind in inner:
            suffixes = COLOUR_SUFFIXES if kind == "colour" else DEPTH_SUFFIXES
            usual = picture.suffix.lower() in suffixes and not picture.name.startswith(".")
            sized = picture.suffix.lower() != ".raw" or os.path.isfile(raw_sizes(picture))
            if usual and sized and not _OTHERS.intersection(_words(picture.stem)):
                yield picture, kind


def raw_sizes(picture: Path) -> Path:
    """Return the file that says how large the picture in a file of raw numbers is."""
    return picture.with_name(f"{picture.stem}_metadata.csv")


def _stream_of_folder(name: str) -> str | None:
    lower = name.lower()
    if _ALIGNED.fullmatch(lower):
        return "aligned"
    for stream, words in (("colour", _COLOUR), ("depth", _DEPTH)):
        if lower in {word + end for word in words for end in _FOLDER_ENDS}:
            return stream
    return None


def _stream_of_word(word: str) -> str | None:
    if word in _COLOUR:
        return "colour"
    return {"depth": "depth", "aligned": "aligned"}.get(word)


def _words(stem: str) -> list[str]:
    """Split a name into its words, in lower case; "aligned" stands for aligned depth.

    Letters and digits that run together are two words (``color00001``), sizes are one.
    """
    plain = _WITH_IMAGE.sub(r"\1", _ALIGNED.sub("aligned", stem.lower()))
    words = []
    for word in re.split(r"[\W_]+", plain):
        match = _RUN_TOGETHER.fullmatch(word)
        words += [part for part in (match.groups() if match else (word,)) if part]
    return words


def _key(stem: str) -> tuple[str | int, ...]:
    """Return what both names of a pair have in common, numbers as such.

    After a size (``color_1280x720_7_1690012.5``: index and time) only the index counts.
    """
    words = _words(stem)
    sizes = [k for k, word in enumerate(words) if _SIZE.fullmatch(word)]
    if sizes:
        words = words[: sizes[0]] + words[sizes[0] + 1 : sizes[0] + 2]
    kept = [word for word in words if _stream_of_word(word) is None]
    return tuple(int(word) if word.isdecimal() and len(word) <= 18 else word for word in kept)


def named_aligned(depth: Path) -> bool:
    """Whether the name of a depth picture, or of its folder, says that it is on the colour."""
    return _stream_of_folder(depth.parent.name) == "aligned" or "aligned" in _words(depth.stem)

"""Plans a dataset that is made of others: which of their rows go into which shard.

A shard of which everything stays as it was is copied; the captures of the others are collected,
part by part and split by split, in the order in which they stood.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fg3d_builder.records import Array
from fg3d_builder.shards.columns import (
    ShardContent,
    numbers_of,
)
from fg3d_builder.shards.manifest import shard_name
from fg3d_builder.shards.part import Part
from fg3d_builder.shards.schema import SPLITS

MOST_BYTES = 128 << 20
"""Of images and shapes in a shard that is written anew, which is held in memory as a whole."""


class Piece(NamedTuple):
    """What a shard gets from one of another dataset: rising rows of its three tables.

    Attributes
    ----------
    content : ShardContent
        Of the other dataset's shard.
    captures, shapes, samples : (k,) int
        Rows of its tables.
    """

    content: ShardContent
    captures: Array
    shapes: Array
    samples: Array


class PlannedShard(NamedTuple):
    """A shard to write.

    Attributes
    ----------
    name : str
        Of its file.
    split : str
    part : Part
        Where all of it comes from.
    pieces : tuple of Piece
    copied : bool
        It is one of the part's shards as it stands.
    """

    name: str
    split: str
    part: Part
    pieces: tuple[Piece, ...]
    copied: bool

    def count(self, table: str) -> int:
        """Return how many rows of ``"captures"``, ``"shapes"`` or ``"samples"`` it gets."""
        return sum(len(getattr(piece, table)) for piece in self.pieces)


@dataclass(frozen=True)
class Plan:
    """What a derived dataset consists of.

    Attributes
    ----------
    shards : tuple of PlannedShard
        Training shards first.
    dropped : dict of str to Counter
        By the part's name: how many ``captures``, ``shapes``, ``new_shapes`` (which are among
        the shapes) and ``samples`` of it are left out.
    """

    shards: tuple[PlannedShard, ...]
    dropped: dict[str, Counter[str]]

    def subjects(self, split: str) -> set[str]:
        """Return the subjects of a split under their new ids."""
        return {
            shard.part.subjects.get(subject, subject)
            for shard in self.shards
            if shard.split == split
            for piece in shard.pieces
            for subject in (piece.content.subjects[row] for row in piece.captures)
        }

    def count(self, table: str, split: str = "") -> int:
        """Return how many rows of a table there are, in all splits or in one."""
        return sum(s.count(table) for s in self.shards if split in ("", s.split))


def plan_derived(parts: Sequence[Part], split_of_subject: Mapping[str, str]) -> Plan:
    """Decide what of some datasets goes where.

    A new shape stays where its subject trains and everyone who gave it a part does as well, with
    that capture still there (Sec. 6.3): else people of the test were in what is trained on.

    Parameters
    ----------
    parts : sequence of Part
    split_of_subject : mapping of str to str
        Split of every subject, by its new id.
    """
    training = {
        part.captures.get(capture, capture)
        for part in parts
        for capture, subject, _ in part.members()
        if capture not in part.left_out
        and split_of_subject[part.subjects.get(subject, subject)] == "train"
    }
    found: dict[str, list[tuple[Part, list[Piece], bool]]] = {split: [] for split in SPLITS}
    dropped = {}
    for part in parts:
        collectors: dict[tuple[str, str], _Collector] = {}
        lost: Counter[str] = Counter()
        most = max(len(content.captures) for content in part.contents)
        for content in part.contents:
            by_split = _pieces(part, content, split_of_subject, training)
            _count_lost(lost, content, by_split)
            for split, piece in by_split.items():
                if _as_it_was(part, content, split, piece):
                    found[split].append((part, [piece], True))
                    continue
                key = split, content.head.image_format
                collector = collectors.setdefault(key, _Collector(most))
                collector.add(piece)
        for (split, _), collector in sorted(collectors.items()):
            found[split] += [(part, pieces, False) for pieces in collector.shards()]
        dropped[part.name] = lost
    shards = [
        PlannedShard(shard_name(split, number), split, part, tuple(pieces), copied)
        for split in SPLITS
        for number, (part, pieces, copied) in enumerate(found[split])
    ]
    return Plan(tuple(shards), dropped)


def _pieces(
    part: Part, content: ShardContent, split_of_subject: Mapping[str, str], training: set[str]
) -> dict[str, Piece]:
    """Return what each split gets of a shard."""
    captures: dict[str, list[int]] = defaultdict(list)
    split_of_row = {}
    for row, (capture, subject) in enumerate(zip(content.captures, content.subjects, strict=True)):
        if capture not in part.left_out:
            split = split_of_subject[part.subjects.get(subject, subject)]
            captures[split].append(row)
            split_of_row[row] = split
    shapes: dict[str, list[int]] = defaultdict(list)
    for shape, maker in enumerate(content.maker.tolist()):
        where = split_of_row.get(maker)
        if where is not None and (not content.is_new(shape) or where == "train"):
            donors = (part.captures.get(name, name) for name in content.donors[shape].values())
            # What is left out here is another part's capture of the same id.
            if all(donor in training for donor in donors):
                shapes[where].append(shape)
    return {
        split: Piece(
            content,
            numbers_of(rows),
            numbers_of(shapes[split]),
            np.flatnonzero(np.isin(content.sample_shape, shapes[split])),
        )
        for split, rows in captures.items()
    }


def _count_lost(lost: Counter[str], content: ShardContent, pieces: Mapping[str, Piece]) -> None:
    there = {
        "captures": len(content.captures),
        "shapes": len(content.sources),
        "samples": len(content.sample_shape),
    }
    for table, count in there.items():
        lost[table] += count - sum(len(getattr(piece, table)) for piece in pieces.values())
    new = (sum(map(content.is_new, piece.shapes.tolist())) for piece in pieces.values())
    lost["new_shapes"] += content.new_shapes - sum(new)


def _as_it_was(part: Part, content: ShardContent, split: str, piece: Piece) -> bool:
    """Whether a piece is a whole shard, in the same split and under the same names."""
    whole = len(piece.captures) == len(content.captures)
    whole &= len(piece.shapes) == len(content.sources)
    donors = (name for row in content.donors for name in row.values())
    renamed = any(name in part.captures for name in (*content.captures, *donors))
    renamed |= any(name in part.subjects for name in content.subjects)
    return whole and not renamed and split == content.head.split


class _Collector:
    """Fills shards with captures, up to a number of them and to `MOST_BYTES`."""

    def __init__(self, most_captures: int) -> None:
        self._most = most_captures
        self._full: list[list[Piece]] = []
        self._open: list[Piece] = []
        self._count, self._bytes = 0, 0

    def add(self, piece: Piece) -> None:
        """Take all captures of a piece, in order."""
        content = piece.content
        maker_of_sample = content.maker[content.sample_shape[piece.samples]]
        sizes = _capture_bytes(piece, maker_of_sample)
        begin = 0
        for place, size in enumerate(sizes.tolist()):
            if self._count and (self._count == self._most or self._bytes + size > MOST_BYTES):
                self._take(piece, maker_of_sample, begin, place)
                self._close()
                begin = place
            self._count += 1
            self._bytes += size
        self._take(piece, maker_of_sample, begin, len(piece.captures))

    def shards(self) -> list[list[Piece]]:
        """Return the pieces of each shard."""
        self._close()
        return self._full

    def _take(self, piece: Piece, maker_of_sample: Array, begin: int, end: int) -> None:
        """Put the captures at some places of a piece into the open shard."""
        if begin == end:
            return
        captures = piece.captures[begin:end]
        makers = piece.content.maker[piece.shapes]
        self._open.append(
            Piece(
                piece.content,
                captures,
                piece.shapes[np.isin(makers, captures)],
                piece.samples[np.isin(maker_of_sample, captures)],
            )
        )

    def _close(self) -> None:
        if self._open:
            self._full.append(self._open)
        self._open, self._count, self._bytes = [], 0, 0


def _capture_bytes(piece: Piece, maker_of_sample: Array) -> Array:
    """Bytes of images and shapes of each capture of a piece."""
    content = piece.content
    rows = len(content.captures)
    images = np.bincount(
        maker_of_sample, weights=content.image_bytes[piece.samples], minlength=rows
    )
    shapes = np.bincount(content.maker[piece.shapes], minlength=rows)
    one = content.head.vertex_count * (3 * 4 + 1)
    return (images + shapes * one)[piece.captures]

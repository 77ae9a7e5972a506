"""Samples of a finished dataset as they are stored, by their numbers; no image is decoded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array
from fg3d_builder.shards.columns import images_of, open_shard, rows_of, texts
from fg3d_builder.shards.part import Part, check_unaltered
from fg3d_builder.shards.schema import FIELDS, Field

SMALL = (
    "sample_id",
    "capture_id",
    "subject_id",
    "expression",
    "licence",
    "shape_source",
    "donors",
    "view_deg",
    "px_crop_from_px",
    "intrinsics",
    "scale",
    "rotation",
    "translation_mm",
    "initial_scale",
    "initial_rotation",
    "initial_translation_mm",
    "initial_source",
    "painted",
    "quality",
    "seed",
)
"""Texts, numbers and matrices of a sample."""

STORED_ARRAYS = (
    "alpha_id",
    "alpha_exp",
    "initial_alpha_id",
    "initial_alpha_exp",
    "visible",
    "shape_obj_mm",
    "confidence",
)
"""Arrays of a sample, as shards have them."""

COMPUTED_ARRAYS = ("coarse_obj_mm", "delta_obj_mm")
"""Arrays that the face model and `STORED_ARRAYS` give."""

ARRAYS = (*STORED_ARRAYS, *COMPUTED_ARRAYS)

FIELD_OF = {field.name: field for field in FIELDS}
"""By name; of cameras the last, which is that of a sample's own image."""


class StoredSample(NamedTuple):
    """One sample.

    Attributes
    ----------
    number : int
        ``reader[number]`` is the same sample, for a `ShardReader` of the split.
    shape : int
        Number of its shape among all of the split.
    image : bytes
        Encoded, as it is stored.
    image_format : str
        ``"jpeg"`` or ``"png"``.
    small : dict
        The members of `SMALL`: texts, Python's numbers, arrays.
    arrays : dict of str to array
        What was asked for of `ARRAYS`; types and units of `FIELDS`, so that confidence is in 255
        steps and visible packed; coarse and delta as float32 in millimetres.
    """

    number: int
    shape: int
    image: bytes
    image_format: str
    small: dict[str, Any]
    arrays: dict[str, Array]


class SampleSource:
    """One split of a dataset.

    Parameters
    ----------
    part : Part
    split : str
    model : FaceModel, optional
        Needed for `COMPUTED_ARRAYS`.

    Notes
    -----
    A shard is checked against the manifest's SHA-256 when it is opened.
    """

    def __init__(self, part: Part, split: str, model: FaceModel | None = None) -> None:
        self._part, self._model = part, model
        self._entries = [s for s in part.manifest["shards"] if s["split"] == split]
        self._first = np.cumsum([0, *(entry["samples"] for entry in self._entries)])
        self._first_shape = np.cumsum([0, *(entry["shapes"] for entry in self._entries)])
        self._files: dict[int, h5py.File] = {}
        self._texts: dict[tuple[int, str], list[str]] = {}

    def __len__(self) -> int:
        return int(self._first[-1])

    def __enter__(self) -> SampleSource:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    @property
    def shape_count(self) -> int:
        """Number of shapes."""
        return int(self._first_shape[-1])

    def mixed_order(self) -> Array:
        """Return the samples' numbers in the order of their seeds, which are hashes of names.

        Neighbours have nothing in common, and the order is the same every time.
        """
        seeds = [self._open(i)["samples/seed"][()] for i in range(len(self._entries))]
        return np.argsort(np.concatenate(seeds), kind="stable")

    def read(self, numbers: Sequence[int] | Array, arrays: Sequence[str]) -> list[StoredSample]:
        """Return samples, in the order of their numbers in `numbers`.

        Raises
        ------
        ConfigError
            A shard has other content than its manifest says.
        ValueError, OSError
            A shard cannot be read.
        """
        by_shard: dict[int, list[int]] = {}
        for number in map(int, numbers):
            by_shard.setdefault(bisect_right(self._first, number) - 1, []).append(number)
        found = {
            sample.number: sample
            for shard, own in by_shard.items()
            for sample in self._of_shard(shard, np.array(sorted(own)), arrays)
        }
        return [found[int(number)] for number in numbers]

    def captures(self) -> Iterator[tuple[str, str, Array]]:
        """Yield subject, capture and the numbers of the samples of each capture."""
        for shard in range(len(self._entries)):
            of_sample = self._open(shard)["samples/capture_index"][()]
            pairs = zip(
                self._column(shard, "captures/subject_id"),
                self._column(shard, "captures/capture_id"),
                strict=True,
            )
            for row, (subject, capture) in enumerate(pairs):
                numbers = np.flatnonzero(of_sample == row) + self._first[shard]
                if len(numbers):
                    yield subject, capture, numbers

    def shape_blocks(self, name: str, rows: int = 64) -> Iterator[Array]:
        """Yield a column of ``shapes/``, block by block, in the order of the shapes' numbers."""
        for shard in range(len(self._entries)):
            column = self._open(shard)[f"shapes/{name}"]
            for begin in range(0, len(column), rows):
                yield column[begin : begin + rows]

    def _open(self, shard: int) -> h5py.File:
        if shard not in self._files:
            entry = self._entries[shard]
            check_unaltered(self._part.folder, entry)
            self._files[shard] = open_shard(self._part.folder / entry["file"])
        return self._files[shard]

    def _column(self, shard: int, path: str) -> list[str]:
        """Texts of captures and shapes, of which there are few, are kept."""
        if (shard, path) not in self._texts:
            self._texts[shard, path] = texts(self._open(shard), path)
        return self._texts[shard, path]

    def _of_shard(
        self, shard: int, numbers: Array, arrays: Sequence[str]
    ) -> Iterator[StoredSample]:
        file, rows = self._open(shard), numbers - self._first[shard]
        at = {
            "samples": rows,
            "captures": rows_of(file["samples/capture_index"], rows),
            "shapes": rows_of(file["samples/shape_index"], rows),
        }
        small = {name: self._values(shard, FIELD_OF[name], at) for name in SMALL}
        large = {name: self._values(shard, FIELD_OF[name], at) for name in _stored(arrays)}
        if set(arrays) & set(COMPUTED_ARRAYS):
            large |= self._computed(large, at["shapes"])
        images, form = images_of(file, rows), str(file["samples/image_bytes"].attrs["format"])
        for i, number in enumerate(numbers.tolist()):
            yield StoredSample(
                number,
                int(self._first_shape[shard] + at["shapes"][i]),
                images[i],
                form,
                {name: _plain(values[i]) for name, values in small.items()},
                {name: large[name][i] for name in arrays},
            )

    def _values(self, shard: int, field: Field, at: dict[str, Array]) -> Any:
        """Return a column's values for some samples; each row of shapes is read once."""
        table = field.path.split("/")[0]
        if table == "samples":
            return rows_of(self._open(shard)[field.path], at[table])
        if field.dtype == "str":
            column = self._column(shard, field.path)
            return [column[row] for row in at[table]]
        unique, place = np.unique(at[table], return_inverse=True)
        return rows_of(self._open(shard)[field.path], unique)[place]

    def _computed(self, stored: dict[str, Any], shapes: Array) -> dict[str, Array]:
        if self._model is None:
            raise ValueError("coarse shapes need the face model")
        _, first, place = np.unique(shapes, return_index=True, return_inverse=True)
        coarse = np.array(
            [
                self._model.shape(stored["alpha_id"][i], stored["alpha_exp"][i])
                for i in first.tolist()
            ],
            np.float32,
        )[place]
        return {"coarse_obj_mm": coarse, "delta_obj_mm": stored["shape_obj_mm"] - coarse}


def _stored(arrays: Sequence[str]) -> set[str]:
    """Return what has to be read for some arrays."""
    found = set(arrays) & set(STORED_ARRAYS)
    if set(arrays) & set(COMPUTED_ARRAYS):
        found |= {"alpha_id", "alpha_exp", "shape_obj_mm"}
    return found


def _plain(value: Any) -> Any:
    """Numbers as Python's own."""
    return value.item() if isinstance(value, np.generic) else value

"""Reads a dataset by sample or by batch, from any number of worker processes."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast, overload

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.records import Array
from fg3d_builder.shards.manifest import MODEL_NAME, missing_files, read_manifest
from fg3d_builder.shards.sample import (
    IMAGE,
    STORED,
    Sample,
    Wanted,
    finished,
    fraction,
    what_is_read,
)
from fg3d_builder.shards.shard_file import ShardFile

MOST_OPEN = 256
"""Shards that a reader keeps open; before it opens another one, it closes the oldest."""


class Registered(NamedTuple):
    """What a sample is measured against, without its image; as in `Sample`.

    Attributes
    ----------
    sample_id, subject_id : str
    rotation : (3, 3) float64
    shape_obj_mm : (n, 3) float32
    confidence : (n,) float32
    """

    sample_id: str
    subject_id: str
    rotation: Array
    shape_obj_mm: Array
    confidence: Array


class StoredShape(NamedTuple):
    """One ground-truth shape and where it comes from; units and frames as in `Sample`.

    Attributes
    ----------
    capture_id, subject_id, expression, shape_source : str
    shape_obj_mm : (n, 3) float32
    confidence : (n,) float32
    """

    capture_id: str
    subject_id: str
    expression: str
    shape_source: str
    shape_obj_mm: Array
    confidence: Array


class CaptureFacts(NamedTuple):
    """What is known of the capture behind a sample; see `FIELDS`.

    Attributes
    ----------
    subject_id, expression, licence : str
    """

    subject_id: str
    expression: str
    licence: str


_REGISTERED = what_is_read(Registered._fields)
_CAPTURE_FACTS = what_is_read(CaptureFacts._fields)
_OF_CAPTURE = ("capture_id", "subject_id", "expression")


class ShardReader:
    """Map-style access to one split: ``len(reader)``, ``reader[i]``, ``reader.batch(indices)``.

    Files are opened when first used, in the process that uses them; a reader can be pickled and
    survives a fork. It is a torch map-style dataset without importing torch. A process keeps no
    numbers of what it has read, and of texts (ids, names) the columns that it was asked for, some
    40 bytes a sample each.

    Parameters
    ----------
    dataset : path
        Folder with ``manifest.json``. Its files must not be changed while they are read.
    split : str
        ``"train"`` or ``"test"``; of datasets that were split anew also ``"val"``.
    model : FaceModel, optional
        Needed for fields of `DERIVED` where the dataset's face model may not be copied and hence
        is not in it.
    fields : sequence of str, optional
        Names of `Sample`; `STORED` if left out. What is not asked for takes no time.

    Raises
    ------
    FileNotFoundError
        No manifest there.
    ValueError
        A manifest that does not fit its seal or has another schema, files that are missing or
        cut short, no such split or field, or a model that is missing or of another topology.
        Reading raises it for a shard or an image that is not sound.
    """

    def __init__(
        self,
        dataset: str | os.PathLike[str],
        split: str,
        model: FaceModel | None = None,
        fields: Sequence[str] | None = None,
    ) -> None:
        self.folder = Path(dataset)
        self.manifest = read_manifest(self.folder)
        missing = missing_files(self.folder)
        if missing:
            raise ValueError(
                f"{self.folder}: {', '.join(missing[:5])}: missing or not as long as the manifest "
                f"says; `fg3d verify {self.folder}` says how to repair the dataset"
            )
        if split not in self.manifest["splits"]:
            known = ", ".join(self.manifest["splits"])
            raise ValueError(f"{dataset}: no split '{split}'; there are {known}")
        self.split = split
        entries = [entry for entry in self.manifest["shards"] if entry["split"] == split]
        self._shards = [ShardFile(self.folder / entry["file"], entry) for entry in entries]
        self._sizes = [int(entry["samples"]) for entry in entries]
        self._first = np.cumsum([0, *self._sizes]).tolist()
        self._open: dict[ShardFile, ShardFile] = {}
        self._wanted = what_is_read(STORED if fields is None else fields)
        self._model, self._is_model_given = model, model is not None
        if model is not None:
            _check_topology(self.folder, self.manifest, model)
        elif self._wanted.is_model_wanted:
            _check_shared(self.folder, self.manifest)

    def __len__(self) -> int:
        return int(self._first[-1])

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: Sequence[int]) -> dict[str, Any]: ...

    def __getitem__(self, index: int | Sequence[int]) -> Sample | dict[str, Any]:
        """Return a sample; for a sequence of indices what `batch` returns."""
        if isinstance(index, Sequence):
            return self.batch(index)
        return cast(Sample, self._sample(index, self._wanted))

    def batch(self, indices: Sequence[int] | Array) -> dict[str, Any]:
        """Return samples as one array a field, in the order of the indices.

        Returns
        -------
        dict
            By field: an array whose first axis counts the samples, or a list of texts.

        Raises
        ------
        IndexError
        OSError, ValueError
            No index, images of different sizes, or as the class says.
        """
        given = np.asarray(indices)
        if not given.size:
            raise ValueError("a batch of no samples")
        if given.dtype.kind not in "iu" or given.ndim != 1:  # a mask would be read as 0 and 1
            raise ValueError(f"a batch by {given.dtype} {given.shape}, expected whole numbers")
        places = [self._place(index) for index in given.tolist()]
        at: dict[ShardFile, list[int]] = {}
        for number, (shard, _row) in enumerate(places):
            at.setdefault(shard, []).append(number)
        found: dict[str, Any] = {}
        for shard, numbers in at.items():
            rows = np.array([places[number][1] for number in numbers])
            _read_rows(
                self._ready(shard), rows, self._wanted, found, np.array(numbers), len(places)
            )
        return finished(found, self._wanted, shard.vertices, self._model_for(self._wanted))

    def registered(self, index: int) -> Registered:
        """Return the truth of a sample, without its image."""
        return Registered(**self._sample(index, _REGISTERED))

    def capture_facts(self, index: int) -> CaptureFacts:
        """Return what is known of the capture behind a sample."""
        return CaptureFacts(**self._sample(index, _CAPTURE_FACTS))

    def __getstate__(self) -> dict[str, Any]:
        # The dataset's own model is larger than all else, and many workers do not need it.
        own = {} if self._is_model_given else {"_model": None}
        return {**self.__dict__, "_open": {}, **own}

    @property
    def shards(self) -> tuple[str, ...]:
        """File names of the split's shards."""
        return tuple(shard.path.name for shard in self._shards)

    @property
    def shard_sizes(self) -> tuple[int, ...]:
        """Numbers of samples in the split's shards, which follow each other in the split."""
        return tuple(self._sizes)

    @property
    def fields(self) -> tuple[str, ...]:
        """What samples and batches hold."""
        return self._wanted.fields

    @property
    def model(self) -> FaceModel:
        """The face model that shapes and coefficients belong to; read when first needed.

        Raises
        ------
        ValueError
            It is not in the dataset, or of another topology.
        """
        if self._model is None:
            _check_shared(self.folder, self.manifest)
            self._model = load_model(self.folder / MODEL_NAME)
            _check_topology(self.folder, self.manifest, self._model)
        return self._model

    def names(self) -> tuple[list[str], list[str]]:
        """Return ``sample_id`` and ``shape_source`` of every sample, read as whole columns."""
        ids: list[str] = []
        sources: list[str] = []
        for shard in self._shards:
            self._ready(shard)
            of_shape = _decoded(shard.texts("shapes/shape_source"))
            ids += _decoded(shard.texts("samples/sample_id"))
            sources += [of_shape[row] for row in shard.column("samples/shape_index").tolist()]
        return ids, sources

    def subjects(self) -> list[str]:
        """Return ``subject_id`` of every sample, read as whole columns."""
        found: list[str] = []
        for shard in self._shards:
            self._ready(shard)
            names = _decoded(shard.texts("captures/subject_id"))
            found += [names[row] for row in shard.column("samples/capture_index").tolist()]
        return found

    def shapes(self) -> Iterator[StoredShape]:
        """Yield every shape of the split once, though samples in several shards may share it."""
        seen: set[tuple[str, str]] = set()
        for shard in self._shards:
            self._ready(shard)
            captures = [shard.texts(f"captures/{name}") for name in _OF_CAPTURE]
            sources = shard.texts("shapes/shape_source")
            of_capture = shard.column("samples/capture_index")
            rows, first = np.unique(shard.column("samples/shape_index"), return_index=True)
            for row, capture in zip(rows.tolist(), of_capture[first].tolist(), strict=True):
                name, subject, expression = (texts[capture].decode() for texts in captures)
                source = sources[row].decode()
                if (name, source) in seen:
                    continue
                seen.add((name, source))
                shape = shard.row("shapes/shape_obj_mm", row)
                confidence = fraction(shard.row("shapes/confidence", row))
                yield StoredShape(name, subject, expression, source, shape, confidence)

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        for shard in self._open:
            shard.close()
        self._open = {}

    def _place(self, index: int) -> tuple[ShardFile, int]:
        """Shard and row of a sample."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        index %= len(self)
        number = bisect_right(self._first, index) - 1
        return self._shards[number], index - self._first[number]

    def _ready(self, shard: ShardFile) -> ShardFile:
        """Count a shard among the open ones, which are not to be too many."""
        if shard not in self._open:
            if len(self._open) >= MOST_OPEN:
                oldest = next(iter(self._open))
                self._open.pop(oldest).close()
            self._open[shard] = shard
        return shard

    def _sample(self, index: int, wanted: Wanted) -> dict[str, Any]:
        shard, row = self._place(index)
        rows = self._ready(shard).rows_of(row)
        found = {name: shard.row(path, rows[table]) for name, path, table in wanted.columns}
        if wanted.is_image_wanted:
            found[IMAGE] = shard.image(row)
        return finished(found, wanted, shard.vertices, self._model_for(wanted))

    def _model_for(self, wanted: Wanted) -> FaceModel | None:
        return self.model if wanted.is_model_wanted else None


def _read_rows(
    shard: ShardFile, rows: Array, wanted: Wanted, found: dict[str, Any], at: Array, count: int
) -> None:
    """Put samples of one shard into the rows `at` of the columns of a batch of `count`."""
    of_table = shard.rows_of(rows)
    for name, path, table in wanted.columns:
        if shard.is_text(path):
            values = found.setdefault(name, [""] * count)
            for to, text in zip(
                at.tolist(), shard.texts(path)[of_table[table]].tolist(), strict=True
            ):
                values[to] = text.decode()
        else:
            if name not in found:
                found[name] = shard.room(path, count)
            shard.fill(path, of_table[table], found[name], at)
    if not wanted.is_image_wanted:
        return
    for to, row in zip(at.tolist(), rows.tolist(), strict=True):
        if IMAGE in found:
            shard.image(row, found[IMAGE][to])
            continue
        first = shard.image(row)
        found[IMAGE] = np.empty((count, *first.shape), first.dtype)
        found[IMAGE][to] = first


def _decoded(texts: Array) -> list[str]:
    return [text.decode() for text in texts.tolist()]


def _check_shared(folder: Path, manifest: dict[str, Any]) -> None:
    """Refuse a dataset without its face model."""
    wanted = manifest["facemodel"]
    if not wanted["file"]:
        raise ValueError(
            f"{folder}: the licence of face model '{wanted['name']}' keeps it out of the "
            "dataset; pass it as `model`"
        )


def _check_topology(folder: Path, manifest: dict[str, Any], model: FaceModel) -> None:
    wanted = manifest["facemodel"]["topology_hash"]
    if model.topology_hash != wanted:
        raise ValueError(
            f"{folder}: shapes have topology {wanted}, the face model '{model.name}' has "
            f"{model.topology_hash}"
        )

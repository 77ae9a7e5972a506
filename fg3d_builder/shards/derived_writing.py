"""Writes the shards of a dataset that is made of others.

Samples are taken as they are: images are never decoded.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.sealed import has_full_length
from fg3d_builder.records import Array
from fg3d_builder.shards.columns import open_shard, rows_of
from fg3d_builder.shards.derived_plan import Piece, Plan, PlannedShard
from fg3d_builder.shards.part import Part, check_unaltered
from fg3d_builder.shards.rows import sample_seed
from fg3d_builder.shards.schema import FIELDS, SCHEMA
from fg3d_builder.shards.writer import ShardHead, write_columns

_JOINED = ("samples/image_bytes", "samples/image_offset")
_REFERENCES = {"capture_index": "captures", "shape_index": "shapes"}


def write_shards(plan: Plan, folder: Path) -> Iterator[PlannedShard]:
    """Write the shards of a plan that are not there yet; yield each when it is.

    The shards that they are made of are checked against their manifests' SHA-256 before. No
    more memory is needed than a few times `derived_plan.MOST_BYTES`, whatever the datasets' sizes.

    Raises
    ------
    ConfigError
        A shard has other content than its manifest says.
    OSError
    """
    checked: set[Path] = set()
    for shard in plan.shards:
        path = folder / shard.name
        if not has_full_length(path, SCHEMA):
            for piece in shard.pieces:
                if piece.content.path not in checked:
                    _check_source(shard.part, piece.content.path.name)
                    checked.add(piece.content.path)
            if shard.copied:
                with replacing(path) as temporary:
                    shutil.copyfile(shard.pieces[0].content.path, temporary)
            else:
                write_columns(path, _head(shard), _columns(shard))
        yield shard


def _check_source(part: Part, name: str) -> None:
    (entry,) = (entry for entry in part.manifest["shards"] if entry["file"] == name)
    check_unaltered(part.folder, entry)


def _head(shard: PlannedShard) -> ShardHead:
    return shard.pieces[0].content.head._replace(split=shard.split)


def _columns(shard: PlannedShard) -> dict[str, Any]:
    """Return all columns of a shard that is written anew."""
    collected: dict[str, list[Any]] = defaultdict(list)
    before = Counter({"captures": 0, "shapes": 0})
    for piece in shard.pieces:
        with open_shard(piece.content.path) as file:
            for path, values in _columns_of(file, piece, before).items():
                collected[path].append(values)
        for table in before:
            before[table] += len(getattr(piece, table))
    columns = {path: _chained(collected.pop(path)) for path in list(collected)}
    columns["samples/image_offset"] = np.cumsum(
        np.concatenate([[0], columns["samples/image_offset"]])
    )
    _rename(columns, shard.part)
    return columns


def _columns_of(file: h5py.File, piece: Piece, before: Mapping[str, int]) -> dict[str, Any]:
    """Return what a piece adds to each column; of the image offsets the images' lengths."""
    found: dict[str, Any] = {
        "samples/image_bytes": _image_bytes(file, piece.samples),
        "samples/image_offset": piece.content.image_bytes[piece.samples],
    }
    for field in FIELDS:
        if field.path in _JOINED:
            continue
        values = rows_of(file[field.path], getattr(piece, field.path.split("/")[0]))
        if field.name in _REFERENCES:
            table = _REFERENCES[field.name]
            values = before[table] + np.searchsorted(getattr(piece, table), values)
        found[field.path] = values
    return found


def _image_bytes(file: h5py.File, samples: Array) -> Array:
    """Return the encoded images of some samples, one behind the other."""
    offset = file["samples/image_offset"][()]
    runs = np.split(samples, np.flatnonzero(np.diff(samples) != 1) + 1)
    data = file["samples/image_bytes"]
    blocks = [data[offset[run[0]] : offset[run[-1] + 1]] for run in runs if len(run)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.uint8)


def _chained(values: list[Any]) -> Any:
    """Join what the pieces give to a column."""
    if isinstance(values[0], list):
        return [one for some in values for one in some]
    return values[0] if len(values) == 1 else np.concatenate(values)


def _rename(columns: dict[str, Any], part: Part) -> None:
    """Give captures and subjects their new ids, wherever they are named."""
    old = columns["captures/capture_id"]
    columns["captures/capture_id"] = [part.captures.get(name, name) for name in old]
    subjects = columns["captures/subject_id"]
    columns["captures/subject_id"] = [part.subjects.get(name, name) for name in subjects]
    if not part.captures:
        return
    names, seeds = columns["samples/sample_id"], columns["samples/seed"]
    for i, capture in enumerate(columns["samples/capture_index"]):
        if old[capture] in part.captures:
            names[i] = part.captures[old[capture]] + names[i].removeprefix(old[capture])
            seeds[i] = sample_seed(names[i])
    columns["shapes/donors"] = [_renamed_donors(text, part) for text in columns["shapes/donors"]]


def _renamed_donors(text: str, part: Part) -> str:
    donors = json.loads(text)
    if not any(name in part.captures for name in donors.values()):
        return text
    new = {place: part.captures.get(name, name) for place, name in donors.items()}
    return json.dumps(new, sort_keys=True)

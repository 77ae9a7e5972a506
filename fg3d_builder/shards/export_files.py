"""What every export of samples has beside them: topology, face model, what it is, what it says."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fg3d_builder.config import digest
from fg3d_builder.files.atomic import replacing, write_bytes
from fg3d_builder.files.npz_writing import write_npz
from fg3d_builder.files.sealed_object import read_sealed_object, write_sealed_object
from fg3d_builder.records import Array
from fg3d_builder.shards.manifest import MODEL_NAME, TOPOLOGY_NAME
from fg3d_builder.shards.overview import licences
from fg3d_builder.shards.part import Part, check_unaltered
from fg3d_builder.shards.sample_source import COMPUTED_ARRAYS, FIELD_OF

CONTENTS = "contents.json"
EXPORT_SCHEMA = "fg3d-export-1"

SUFFIXES = {"jpeg": "jpg", "png": "png"}
"""How files are called after the shard's image format."""


def request_of(part: Part, kind: str, options: Mapping[str, Any]) -> str:
    """Return the identity of an export: of what, and how."""
    return digest(EXPORT_SCHEMA, kind, part.manifest["content_sha256"], dict(options))


def is_exported(out: Path, request: str) -> bool:
    """Whether a folder is the finished export that is asked for.

    Tar files have to be there in their length; of other files nothing is known.
    """
    try:
        contents = read_sealed_object(out / CONTENTS, EXPORT_SCHEMA)
        tars = [entry for entry in contents["files"] if "bytes" in entry]
        whole = all((out / entry["file"]).stat().st_size == entry["bytes"] for entry in tars)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return whole and bool(contents["request"] == request)


def write_beside(part: Part, folder: Path) -> None:
    """Write ``topology.npz``, and copy the face model where the dataset holds it."""
    for entry in part.manifest["files"]:
        check_unaltered(part.folder, entry)
    with h5py.File(part.folder / TOPOLOGY_NAME, "r") as file:
        write_npz(folder / "topology.npz", {name: file[name][()] for name in sorted(file)})
    if part.manifest["facemodel"]["file"]:
        with replacing(folder / MODEL_NAME) as temporary:
            shutil.copyfile(part.folder / MODEL_NAME, temporary)


def write_contents(
    folder: Path, part: Part, request: str, files: Sequence[Mapping[str, Any]]
) -> None:
    """Write what an export consists of and where it comes from; marks it as finished."""
    model = part.manifest["facemodel"]
    write_sealed_object(
        folder / CONTENTS,
        {
            "schema": EXPORT_SCHEMA,
            "request": request,
            "dataset": {
                name: part.manifest[name]
                for name in ("content_sha256", "config_digest", "versions")
            },
            "facemodel": {name: model[name] for name in ("name", "licence", "topology_hash")},
            "licences": licences([part]),
            "files": list(files),
        },
    )


def readme(part: Part, title: str, layout: str, fields: Iterable[str]) -> str:
    """Return a page that says what the files of an export hold, with units and frames."""
    model = part.manifest["facemodel"]
    rows = [f"| `{name}` | {_told(name)} |" for name in fields]
    counted = [
        f"* {count:,} captures: {licence or 'no licence is stated'}"
        for licence, count in licences([part]).items()
    ]
    inside = "`facemodel.h5`" if model["file"] else "not here: its licence does not allow it"
    return "\n".join(
        [
            f"# {title}",
            "",
            layout.strip(),
            "",
            "## Fields",
            "",
            "Lengths are millimetres, pixel (0, 0) is the centre of the top-left pixel, images are "
            "sRGB. The object frame is right-handed: x to the subject's left, y up, z out of the "
            "face. The camera frame is that of OpenCV: x right, y down, z forward. A vertex `S` of "
            "`shape_obj_mm` is at `scale * rotation @ S + translation_mm` in the camera frame, and "
            "`intrinsics` takes that to pixels of the image.",
            "",
            "| field | type, shape, unit: meaning |",
            "|---|---|",
            *rows,
            "",
            "Shapes: n vertices, k identity and e expression coefficients, N samples, C captures, "
            "S shapes; of one sample the first number is left out. `np.unpackbits(visible, "
            "axis=-1, count=n)` unpacks what is packed. `topology.npz` has the triangles (rows of "
            "vertices, counter-clockwise from outside), `uv` and `parts`.",
            "",
            "## Where it comes from",
            "",
            f"Dataset with content {part.manifest['content_sha256']}.",
            "",
            *counted,
            f"* face model '{model['name']}': {model['licence']}; {inside}",
            "",
        ]
    )


def _told(name: str) -> str:
    if name in COMPUTED_ARRAYS:
        what = {
            "coarse_obj_mm": "the 3DMM's part of the shape, from alpha_id and alpha_exp",
            "delta_obj_mm": "shape_obj_mm - coarse_obj_mm, the personalized part (Eq. 11)",
        }
        return f"<f4 [n, 3] mm: {what[name]}, object frame"
    field = FIELD_OF[name]
    shape = ", ".join(str(size) for size in field.shape)
    return f"{field.dtype} [{shape}] {field.unit}: {field.description}".replace("|", "\\|")


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Return an archive of arrays, not compressed; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """Return JSON of texts, numbers and arrays.

    Arrays of single precision get as few digits as give the same singles again.
    """
    return json.dumps(
        {name: _as_json(value) for name, value in values.items()},
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
    ).encode()


def image_suffixes(part: Part) -> list[str]:
    """Return what the images of a dataset are called after; more than one after a merge."""
    formats = {content.head.image_format for content in part.contents}
    return sorted(SUFFIXES[form] for form in formats)


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    write_bytes(path, text.encode())


def _as_json(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == np.float32:
        value = np.array([float(str(one)) for one in value.ravel()]).reshape(value.shape)
    return value.tolist()

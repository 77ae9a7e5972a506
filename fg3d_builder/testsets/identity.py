"""What makes a result the same result: digests of files, models and settings."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.hashes import file_sha256

_LIBRARY = re.compile(rb"^\s*mtllib\s+(.+?)\s*$", re.MULTILINE)
_IMAGE = re.compile(rb"^\s*map_Kd\s+(?:.*\s)?(\S+)\s*$", re.MULTILINE)
_MODEL_ARRAYS = ("mean", "id_basis", "id_sd", "exp_basis", "exp_sd", "exp_lower", "exp_upper")
_ALBEDO_ARRAYS = ("albedo_mean", "albedo_basis", "albedo_sd")


def mesh_digest(path: Path) -> str:
    """Hash a mesh file together with the material files and images that an obj names."""
    files = [path]
    if path.suffix.lower() == ".obj":
        for name in _LIBRARY.findall(path.read_bytes()):
            library = path.parent / name.decode("utf-8", "replace")
            if library.is_file():
                files.append(library)
                images = _IMAGE.findall(library.read_bytes())
                files += [path.parent / image.decode("utf-8", "replace") for image in images]
    digester = hashlib.sha256()
    for file in files:
        digester.update(file_sha256(file).encode() if file.is_file() else b"absent")
    return digester.hexdigest()[:16]


def model_digest(model: FaceModel) -> str:
    """Hash what a face model is, at the precision of its file: it and its file are the same."""
    digester = hashlib.sha256(model.topology_hash.encode())
    for name in (*_MODEL_ARRAYS, *_ALBEDO_ARRAYS):
        digester.update(np.ascontiguousarray(getattr(model, name), dtype="<f4").tobytes())
    digester.update(np.ascontiguousarray(model.reliable, dtype=np.uint8).tobytes())
    for scheme in sorted(model.embeddings):
        embedding = model.embeddings[scheme]
        digester.update(scheme.encode())
        digester.update(np.ascontiguousarray(embedding.point_index, dtype="<i4").tobytes())
        digester.update(np.ascontiguousarray(embedding.triangle, dtype="<i4").tobytes())
        digester.update(np.ascontiguousarray(embedding.barycentric, dtype="<f8").tobytes())
    return digester.hexdigest()[:16]

"""What all measurements of one evaluation share, and what makes a result the same result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import ALL_LOOKS
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.facemodel.surround import Surround
from fg3d_builder.files.hashes import file_sha256, sha256
from fg3d_builder.landmarks import open_view_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.testsets.records import ProtocolConfig

if TYPE_CHECKING:
    from fg3d_builder.fgnet.trained import Trained

_LIBRARY = re.compile(rb"^\s*mtllib\s+(.+?)\s*$", re.MULTILINE)
_IMAGE = re.compile(rb"^\s*map_Kd\s+(?:.*\s)?(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Setup:
    """Face model and settings of an evaluation.

    Attributes
    ----------
    model : FaceModel
    config : ProtocolConfig
    """

    model: FaceModel
    config: ProtocolConfig

    @cached_property
    def model_key(self) -> str:
        """Digest of the face model."""
        return model_digest(self.model)

    @cached_property
    def detector(self) -> LandmarkDetector:
        """Finds landmarks in rendered scans, and in images for the fit that is itself measured."""
        return self.detector_of(ALL_LOOKS)

    def detector_of(self, looks: int) -> LandmarkDetector:
        """Return the detector of images for a network that was trained with so many looks."""
        if looks not in self._detectors:
            self._detectors[looks] = open_view_detector(self.config.landmarks, looks)
        return self._detectors[looks]

    @cached_property
    def _detectors(self) -> dict[int, LandmarkDetector]:
        return {}


def check_methods(names: Sequence[str], networks: Mapping[str, Trained], setup: Setup) -> None:
    """Refuse methods that cannot take part in one evaluation, with `ConfigError`.

    Their names have to give different folders; networks must have been trained on the
    evaluation's face model.
    """
    taken: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise ConfigError("a method's name is empty")
        if safe_id(name) in taken:
            raise ConfigError(f"method '{name}': the name is taken by '{taken[safe_id(name)]}'")
        taken[safe_id(name)] = name
    for name, trained in networks.items():
        if model_digest(trained.model) != setup.model_key:
            raise ConfigError(
                f"network '{name}' was trained on the face model '{trained.model.name}', "
                f"which is not the evaluation's '{setup.model.name}'"
            )


def check_landmarks(model: FaceModel, ibug: Sequence[int]) -> None:
    """Refuse a face model that has no place for some of iBUG's points, with `ConfigError`."""
    try:
        model.embedded("ibug68", ibug)
    except ValueError as error:
        raise ConfigError(str(error)) from None


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
    parts = [file_sha256(file) if file.is_file() else "absent" for file in files]
    return sha256(" ".join(parts).encode())[:16]


def model_digest(model: FaceModel) -> str:
    """Hash all of a face model, at the precision of its file: it and its file are the same."""
    digester = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, np.ndarray):
            stored = "<f4" if value.dtype.kind == "f" else "<i8"
            digester.update(repr(value.shape).encode())
            digester.update(np.ascontiguousarray(value, dtype=stored).tobytes())
        elif isinstance(value, (FaceModel, Embedding, Surround)):
            for field in fields(value):
                add(getattr(value, field.name))
        elif isinstance(value, dict):
            for name in sorted(value):
                add(name)
                add(value[name])
        elif isinstance(value, tuple):
            for item in value:
                add(item)
        else:
            digester.update(repr(value).encode())

    add(model)
    return digester.hexdigest()[:16]


def named_paths(values: Sequence[str], option: str, otherwise: str = "") -> dict[str, Path]:
    """Split ``NAME=PATH``; a path alone takes the name `otherwise`, where there is one."""
    found: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals:
            if not otherwise:
                raise ConfigError(f"{option} {value}: wanted NAME=FOLDER")
            name, path = otherwise, value
        if not name or not path:
            raise ConfigError(f"{option} {value}: wanted NAME=PATH with both given")
        if name in found:
            raise ConfigError(f"{option}: the name '{name}' is given twice")
        found[name] = Path(path)
    return found

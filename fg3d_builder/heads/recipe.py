"""The default model's recipe, and the cache that its products live in."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fg3d_builder.errors import ConfigError
from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.locks import exclusive
from fg3d_builder.heads.makehuman import MakeHumanData

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPE_NAME = "anny-default.toml"

# The products depend on these modules; changing one makes old cache entries invisible.
HEAD_SOURCES = (
    *("control", "head", "identity", "makehuman", "refinement", "relief", "subdivision"),
    *("anatomy", "population"),
)
MODEL_SOURCES = (
    *HEAD_SOURCES,
    *("default", "skin"),
    *(f"../facemodel/{name}" for name in ("balanced", "chart", "embedding", "regions")),
    *("../landmarks/edges", "../landmarks/mediapipe_detector"),
)


def recipe_path() -> Path:
    """Path of the recipe: ``templates/`` beside the package, or where a wheel installs it."""
    beside = Path(__file__).resolve().parents[2] / "templates"
    for folder in (beside, Path(sys.prefix) / "share" / "fg3d_builder" / "templates"):
        if (folder / RECIPE_NAME).is_file():
            return folder / RECIPE_NAME
    raise ConfigError(f"The recipe templates/{RECIPE_NAME} was not found (looked in {beside})")


def load_recipe() -> dict[str, Any]:
    """Read the recipe."""
    with recipe_path().open("rb") as file:
        return tomllib.load(file)


def cache_folder(cache: Path | None = None) -> Path:
    """Folder for built models: `cache`, else FG3D_CACHE, else the user's cache folder."""
    if cache is not None:
        return cache
    if os.environ.get("FG3D_CACHE"):
        return Path(os.environ["FG3D_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "fg3d_builder"


def recipe_digest(sources: Sequence[str]) -> str:
    """12 hexadecimal digits over the recipe, the data's version and the code.

    Parameters
    ----------
    sources : sequence of str
        Modules of this package that the product depends on. Their layout and comments do not
        count.
    """
    digest = hashlib.sha256(repr(load_recipe()).encode())
    digest.update(MakeHumanData.version().encode())
    here = Path(__file__).resolve().parent
    for name in sources:
        tree = ast.parse((here / f"{name}.py").read_text(encoding="utf-8"))
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:12]


def build_once(path: Path, build: Callable[[Path], None]) -> Path:
    """Make sure that a cache file exists and return its path.

    `build` writes to the path that it is given; the file gets its name only when complete.
    Of several processes that want the same file one builds and the others wait.
    """
    if path.is_file():
        return path
    with exclusive(path.with_name(f".{path.name}.lock")):
        if not path.is_file():
            with replacing(path) as part:
                build(part)
    return path

"""The recipe of the default model: TOML files of numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fg3d_builder.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPE_NAME = "anny-default.toml"
REAL_FACES_NAME = "real-faces.toml"


def load_recipe() -> dict[str, Any]:
    """Read the recipe, with the distribution of real faces at ``population.faces``.

    Raises
    ------
    ConfigError
        The templates were not found.
    """
    folder = templates_folder()
    recipe = read_toml(folder / RECIPE_NAME)
    recipe["population"]["faces"] = read_toml(folder / REAL_FACES_NAME)
    return recipe


def templates_folder() -> Path:
    """Return ``templates/`` beside the package, or where a wheel installs it."""
    beside = Path(__file__).resolve().parents[2] / "templates"
    installed = Path(sys.prefix) / "share" / "fg3d_builder" / "templates"
    for folder in (beside, installed):
        if (folder / RECIPE_NAME).is_file():
            return folder
    raise ConfigError(f"The recipe templates/{RECIPE_NAME} was not found (looked in {beside})")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))

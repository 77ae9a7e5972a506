"""The recipe of the default model: a TOML file of numbers."""

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


def load_recipe() -> dict[str, Any]:
    """Read the recipe from ``templates/`` beside the package, or where a wheel installs it."""
    beside = Path(__file__).resolve().parents[2] / "templates"
    for folder in (beside, Path(sys.prefix) / "share" / "fg3d_builder" / "templates"):
        if (folder / RECIPE_NAME).is_file():
            return tomllib.loads((folder / RECIPE_NAME).read_text(encoding="utf-8"))
    raise ConfigError(f"The recipe templates/{RECIPE_NAME} was not found (looked in {beside})")

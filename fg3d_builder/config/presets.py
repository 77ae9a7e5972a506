"""Configurations as TOML, as plain tables and as digests."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from fg3d_builder.config.reading import Problem, as_table, from_table
from fg3d_builder.config.settings import BuildConfig
from fg3d_builder.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NO_SOURCES = Problem(
    "sources",
    ': missing; write [[sources]] and below it kind = "folder" and path = "my_captures", or let '
    "`fg3d new FOLDER` write a preset",
)


def digest(*parts: Any) -> str:
    """Return 12 hexadecimal digits that identify configs, strings and numbers together."""
    text = json.dumps([as_table(p) for p in parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def to_table(config: Any) -> dict[str, Any]:
    """Return a configuration as plain JSON values; `from_table` reads them back."""
    table: dict[str, Any] = as_table(config)
    return table


def load_preset(path: str | Path) -> BuildConfig:
    """Read a build preset; relative paths in it count from the preset's folder.

    ``tasks/NAME.toml`` is the project's own preset of this name where the current folder has none.

    Raises
    ------
    ConfigError
        Missing file, broken TOML, no sources, unknown names, wrong types, values that are not
        allowed; names the file and every field at fault.
    """
    file = preset_file(Path(path))
    table = read_toml(file)
    missing = () if "sources" in table else (_NO_SOURCES,)
    config = from_table(BuildConfig, table, f"preset {file}", missing)
    base = file.resolve().parent

    def absolute(path: str) -> str:
        # Unlike `Path.resolve` it does not raise where links point in a circle.
        return os.path.realpath(base / path) if path else ""

    def if_file(name: str) -> str:
        return absolute(name) if name.endswith((".h5", ".hdf5")) else name

    model = config.facemodel
    return replace(
        config,
        sources=tuple(
            replace(s, path=absolute(s.path), population=if_file(s.population))
            for s in config.sources
        ),
        facemodel=replace(model, model=if_file(model.model), path=absolute(model.path)),
        landmarks=replace(config.landmarks, weights=absolute(config.landmarks.weights)),
        review=replace(config.review, list=absolute(config.review.list)),
    )


def preset_file(path: Path) -> Path:
    """Return where a preset is: ``tasks/NAME.toml`` of the project is found from any folder."""
    own = not path.is_absolute() and path.parts[:-1] == ("tasks",)
    if not own or path.exists():
        return path
    beside = Path(__file__).resolve().parents[2] / path
    installed = Path(sys.prefix) / "share" / "fg3d_builder" / path
    return next((file for file in (beside, installed) if file.is_file()), path)


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    ConfigError
        Missing file or broken TOML; names the file.
    """
    try:
        if file.exists() and not file.is_file():
            kind = "a folder" if file.is_dir() else "no regular file"
            raise ConfigError(f"cannot read preset {file}: it is {kind}, expected a TOML file")
        return toml_table(file.read_bytes().decode("utf-8"), file)
    except OSError as error:
        raise ConfigError(f"cannot read preset {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"preset {file} is no TOML: it is not text in UTF-8") from None


def toml_table(text: str, file: Path) -> dict[str, Any]:
    """Return what a text in TOML says.

    Raises
    ------
    ConfigError
        Broken TOML; names the file.
    """
    try:
        # One more line: of an error on the last one tomllib does not say the number.
        return tomllib.loads(text + "\n")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"preset {file} is no valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"preset {file} is no preset: it is nested too deep") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise ConfigError(f"preset {file}: {error}") from None


def toml_text(settings: Any, about: str) -> str:
    """Return settings as TOML.

    Parameters
    ----------
    settings : dataclass or dict
        A dataclass is written with every field, so that later defaults do not change it. A build
        preset is to be as `load_preset` returns it: its paths are absolute.
    about : str
        Becomes the comment at the head.
    """
    import tomli_w  # machines that only train do not have it

    comment = "".join(f"# {line}\n" for line in about.splitlines())
    return comment + tomli_w.dumps(to_table(settings))

"""Configurations as TOML, as plain tables and as digests."""

from __future__ import annotations

import hashlib
import json
import sys
import typing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fg3d_builder.config.settings import BuildConfig
from fg3d_builder.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def digest(*parts: Any) -> str:
    """Return 12 hexadecimal digits that identify configs, strings and numbers together."""
    text = json.dumps([_plain(p) for p in parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def to_table(config: Any) -> dict[str, Any]:
    """Return a configuration as plain JSON values; `from_table` reads them back."""
    table: dict[str, Any] = _plain(config)
    return table


def load_preset(path: str | Path) -> BuildConfig:
    """Read a build preset; relative paths in it count from the preset's folder.

    Raises
    ------
    ConfigError
        Missing file, broken TOML, unknown field or wrong type; names the file and the field.
    """
    file = Path(path)
    config = from_table(BuildConfig, read_toml(file), str(file))
    base = file.resolve().parent

    def absolute(path: str) -> str:
        return str((base / path).resolve()) if path else ""

    model = config.facemodel
    is_file = model.model.endswith((".h5", ".hdf5"))
    return replace(
        config,
        sources=tuple(replace(source, path=absolute(source.path)) for source in config.sources),
        facemodel=replace(
            model,
            model=absolute(model.model) if is_file else model.model,
            path=absolute(model.path),
        ),
        review=replace(config.review, list=absolute(config.review.list)),
    )


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    ConfigError
        Missing file or broken TOML; names the file.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read preset {file}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"preset {file} is no valid TOML: {error}") from None


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


def from_table(kind: type[T], table: Any, where: str) -> T:
    """Make the dataclass `kind` from a TOML table, checking names and types on the way."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table, found {type(table).__name__}")
    hints = typing.get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            choices = ", ".join(sorted(known))
            raise ConfigError(f"{where}: unknown field '{name}'; known are {choices}")
    values = {n: _convert(hints[n], v, f"{where}: {n}") for n, v in table.items()}
    return kind(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return from_table(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: expected a list, found {value!r}")
        inner = typing.get_args(hint)
        if inner[-1] is Ellipsis:
            return tuple(_convert(inner[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if len(value) != len(inner):
            raise ConfigError(f"{where}: expected {len(inner)} values, found {len(value)}")
        return tuple(
            _convert(h, v, f"{where}[{i}]")
            for i, (h, v) in enumerate(zip(inner, value, strict=True))
        )
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, found {value!r}")
    return value


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value

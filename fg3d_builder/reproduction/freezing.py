"""A build configuration as a TOML preset that means the same wherever it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fg3d_builder.config import BuildConfig, digest, load_preset, to_table
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.atomic import write_bytes


def freeze_preset(config: BuildConfig, file: Path, about: str) -> None:
    """Write every field of a configuration, so that later defaults do not change it.

    Parameters
    ----------
    config : BuildConfig
        As `load_preset` returns it: its paths are absolute.
    file : Path
    about : str
        Becomes the comment at the file's head.

    Raises
    ------
    ConfigError
        Reading the file gives another configuration.
    """
    write_bytes(file, preset_text(config, about).encode())
    if digest(load_preset(file)) != digest(config):
        raise ConfigError(f"{file} does not give back the configuration that was written to it")


def preset_text(config: BuildConfig, about: str) -> str:
    """Return the preset as TOML: plain fields, one table per stage, one per source."""
    table = to_table(config)
    lines = [f"# {line}" for line in about.splitlines()]
    lines += _fields({k: v for k, v in table.items() if not isinstance(v, dict) and k != "sources"})
    for source in table["sources"]:
        lines += ["", "[[sources]]", *_fields(source)]
    for name, stage in table.items():
        if isinstance(stage, dict):
            lines += ["", f"[{name}]", *_fields(stage)]
    return "\n".join(lines) + "\n"


def _fields(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in table.items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(_fields(value)) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    # JSON's escapes are TOML's, as long as other scripts stay as they are.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

"""Changes one setting in the text of a preset, and leaves the rest to whoever wrote it."""

from __future__ import annotations

import copy
import re
from pathlib import Path

from fg3d_builder.config.presets import read_toml, toml_table
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.atomic import write_bytes

_SOURCE = re.compile(r"\s*\[\[\s*sources\s*\]\]\s*(#.*)?$")
_TABLE = re.compile(r"\s*\[\[?\s*[A-Za-z_\"']")


def set_in_source(preset: Path, number: int, setting: str, value: float | bool) -> bool:
    """Write a setting of one ``[[sources]]`` table into a preset's file, in one step.

    Parameters
    ----------
    preset : Path
    number : int
        Of the source, from 0.
    setting : str
    value : float or bool

    Returns
    -------
    bool
        False where the file is not written in lines that this can change; it is left as it was.
    """
    wanted = copy.deepcopy(read_toml(preset))
    wanted["sources"][number][setting] = value
    written = str(value).lower() if isinstance(value, bool) else repr(value)
    text = _changed(preset.read_text(encoding="utf-8"), number, f"{setting} = {written}")
    try:
        right = text is not None and toml_table(text, preset) == wanted
    except ConfigError:
        right = False
    if right and text is not None:
        write_bytes(preset, text.encode())
    return right


def _changed(text: str, number: int, line: str) -> str | None:
    lines = text.splitlines(keepends=True)
    heads = [k for k, one in enumerate(lines) if _SOURCE.match(one)]
    if number >= len(heads):
        return None
    setting = line.partition(" ")[0]
    for k in range(heads[number] + 1, len(lines)):
        if _TABLE.match(lines[k]):
            break
        found = re.match(rf"(\s*){setting}\s*=[^#\n]*?(\s*#.*)?$", lines[k].rstrip("\n"))
        if found:
            lines[k] = f"{found[1]}{line}{found[2] or ''}\n"
            return "".join(lines)
    if not lines[heads[number]].endswith("\n"):
        lines[heads[number]] += "\n"
    lines.insert(heads[number] + 1, f"{line}\n")
    return "".join(lines)

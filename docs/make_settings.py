"""Writes docs/settings.md from the dataclasses: ``python docs/make_settings.py``."""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.config import BuildConfig
from fg3d_builder.config.describing import SettingsTable, describe
from fg3d_builder.fgnet.training.settings import TrainConfig

PAGE = Path(__file__).with_name("settings.md")

HEAD = """\
# All settings

Made by `docs/make_settings.py` from the dataclasses that hold the settings; do not edit it. A
preset names what differs from the defaults. Everything is checked when the file is read, and all
that is wrong is told at once, each with its field, what was found and what is allowed.
[build](guides/build.md) says how a preset looks; `fg3d new FOLDER` writes a preset,
`fg3d check PRESET` says what it would build.
"""

BUILD = "## Build presets: `fg3d build PRESET`\n"

TRAINING = """\
## Training: `fg3d train DATASET --settings FILE`

`preset` names the settings that a file starts from: `"tiny"`, `"small"` or `"paper"`. The defaults
here are those of `"paper"`; see [training.md](training.md).
"""


def page() -> str:
    """Return the whole page."""
    build = [_table(table, "At the top of the file") for table in describe(BuildConfig)]
    top = "At the top of a file for training"
    training = [_table(table, top) for table in describe(TrainConfig)]
    return "\n".join([HEAD, BUILD, *build, TRAINING, *training])


def _table(table: SettingsTable, top: str) -> str:
    """Return one table; `top` is the heading of settings that are in no section."""
    title = _title(table.path, top)
    lines = [f"### {title}", "", table.about, ""]
    lines += ["| setting | default | allowed | what it is |", "|---|---|---|---|"]
    for setting in table.settings:
        default = f"`{setting.default}`" if setting.default else "none, has to be given"
        cells = (f"`{setting.name}`", default, setting.allowed, setting.meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _title(path: str, top: str) -> str:
    if not path:
        return top
    return (
        f"`[[{path.removesuffix('[]')}]]`"
        if path.endswith("[]")
        else f"`[{path.replace('[]', '')}]`"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

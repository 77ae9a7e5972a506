"""Writes a build preset for a folder of captures, scans, or files of a set or sensor."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import file_to_write, folder_to_read
from fg3d_builder.commands.source_options import add_kind_option, recognised
from fg3d_builder.config import LandmarkConfig, SourceConfig
from fg3d_builder.errors import ConfigError, WrongUnitError
from fg3d_builder.wording import counted

if TYPE_CHECKING:
    from fg3d_builder.captures.inspection import Inspected
    from fg3d_builder.captures.recognition import Found

DESCRIPTION = """\
Looks at a folder, tells what is in it - captures (capture.json, color.png, depth.png), scans (.obj,
.glb, .ply, .wrl), or the files of a research set or sensor as they come - and writes a build preset
with comments: its sources, and the settings that people change most. Folders within the folder are
looked into, three deep.

  fg3d new my_captures                        writes my_captures.toml
  fg3d new my_captures --out studio.toml      for a build in build/studio
  fg3d new scans --fix-units                  finds faces first, and the unit of the files by them
  fg3d check studio.toml                      what would be built, and how long it takes
"""

_LOOKED_AT = 24
"""Captures of a source that are looked at for their unit."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "new",
        help="write a build preset for a folder of captures, scans or sensors' files",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("folder", type=folder_to_read, help="folder with what to build from")
    command.add_argument(
        "--out",
        type=file_to_write,
        metavar="PRESET",
        help="default: the folder's name and .toml; the build has its name",
    )
    command.add_argument("--force", action="store_true", help="overwrite the preset if it is there")
    add_kind_option(command)
    command.add_argument(
        "--fix-units",
        action="store_true",
        help="look for faces, and put a unit right that all of them say is wrong",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write a preset."""
    from fg3d_builder.commands.preset_text import preset_name, preset_text
    from fg3d_builder.files.atomic import write_bytes

    folder = options.folder
    # A build is called as its preset is: studio.toml builds build/studio.
    name = preset_name(options.out.with_suffix("") if options.out else folder)
    out = options.out or Path(f"{name}.toml")
    if out.exists() and not options.force:
        raise ConfigError(f"{out} is there already; --force overwrites it")
    found = recognised(folder, options.kind or "")
    for one in found:
        print(f"{one.root}: {one.says}")
        if one.left_out:
            print(f"  left out, beside the captures: {', '.join(one.left_out)}")
        for note in one.notes:
            print(f"  {note}")
    sources = [_fixed(one) if options.fix_units else one.source() for one in found]
    write_bytes(out, preset_text(found, sources, name, out).encode())
    print(f"written: {out}; next: fg3d check {shlex.quote(str(out))}")
    return 0


def _fixed(found: Found) -> SourceConfig:
    """Return a source with the unit that its faces have, and say so.

    Captures declare their units one by one: all of them are looked at, and their own files are
    changed. Of other sources some tell for all.
    """
    from fg3d_builder.captures import open_source
    from fg3d_builder.captures.inspection import evenly
    from fg3d_builder.commands.fixing import inspected_with_progress, settled

    def inspect(config: SourceConfig) -> list[Inspected]:
        entries = open_source(config).entries()
        drawn = entries if config.kind == "folder" else evenly(entries, _LOOKED_AT)
        return inspected_with_progress(config, drawn, LandmarkConfig())

    source = found.source()
    if source.kind == "scan":
        source = replace(source, unit_mm=1.0)  # measured it would be right to some 5 %
    fixed, inspected = settled(source, inspect, told=False)
    if source.kind == "scan" and any(isinstance(one.error, WrongUnitError) for one in inspected):
        print("  no usual unit is right for all scans: unit_mm = 0.0 has each measured by itself")
        return found.source()
    if not any(one.error is None for one in inspected):
        print(f"  no face tells the unit of {found.root}; see fg3d captures check {found.root}")
        return found.source()
    widths = sorted(one.face.width_mm for one in inspected if one.face and one.error is None)
    looked = f"{len(inspected)} of {counted(len(open_source(fixed).entries()), 'capture')}"
    print(f"  looked at {looked}: faces {widths[0]:.0f} to {widths[-1]:.0f} mm wide")
    return fixed

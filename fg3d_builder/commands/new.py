"""Writes a build preset for a folder of captures or scans."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg3d_builder.commands.arguments import file_to_write, folder_to_read
from fg3d_builder.errors import ConfigError

DESCRIPTION = """\
Looks at a folder, tells captures (capture.json, color.png, depth.png) from scans (.obj, .glb,
.ply, .wrl), and writes a build preset with comments: its sources, and the settings that people
change most. Folders within the folder are looked into, three deep.

  fg3d new my_captures                        writes my_captures.toml
  fg3d new my_captures --out studio.toml
  fg3d check studio.toml                      what would be built, and how long it takes
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "new",
        help="write a build preset for a folder of captures or scans",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("folder", type=folder_to_read, help="folder of captures or scans")
    command.add_argument(
        "--out", type=file_to_write, metavar="PRESET", help="default: the folder's name and .toml"
    )
    command.add_argument("--force", action="store_true", help="overwrite the preset if it is there")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write a preset."""
    from fg3d_builder.captures.recognition import EXPECTED, contents, recognise
    from fg3d_builder.commands.preset_text import preset_name, preset_text
    from fg3d_builder.files.atomic import write_bytes

    folder = options.folder
    name = preset_name(folder)
    out = options.out or Path(f"{name}.toml")
    if out.exists() and not options.force:
        raise ConfigError(f"{out} is there already; --force overwrites it")
    found = recognise(folder)
    if not found:
        raise ConfigError(f"{folder} holds {contents(folder)}; {EXPECTED}")
    write_bytes(out, preset_text(found, name, out).encode())
    for one in found:
        print(f"{one.root}: {one.says}")
        if one.left_out:
            print(f"  left out, beside the captures: {', '.join(one.left_out)}")
    print(f"written: {out}; next: fg3d check {out}")
    return 0

"""Lists what the sources of a preset, or a folder, yield and reject."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg3d_builder.commands.arguments import number
from fg3d_builder.config import SourceConfig, load_preset

DESCRIPTION = """\
Reads every capture of a folder or of a preset's sources, a line for each: its size and the share of
its pixels that has depth, or the file and the field at fault.

  fg3d captures my_captures
  fg3d captures studio.toml
  fg3d captures scans --unit-mm 1000

Exit status 1 if one is rejected.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "captures",
        help="list what a source yields and what it rejects, and why",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("source", type=Path, help="preset (TOML), or folder of captures or scans")
    command.add_argument(
        "--unit-mm", type=number(0, 1e6), default=1.0, help="unit of scans; 0 finds it"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List what the sources of a preset, or a folder, yield and reject."""
    from fg3d_builder.captures import list_captures, open_source

    if options.source.suffix == ".toml":
        sources = load_preset(options.source).sources
    else:
        sources = (_guessed_source(options.source, options.unit_mm),)
    good = bad = 0
    print(f"{'capture':40} {'subject':20} {'size':>11} {'depth':>6}  reason")
    for config in sources:
        for line in list_captures(open_source(config)):
            size, depth, reason = "rejected", "", ""
            if line.error:
                bad += 1
                reason = f"{line.error.code}: {line.error.message}"
            else:
                good += 1
                size, depth = f"{line.width} x {line.height}", f"{line.depth_coverage:.0%}"
            subject = line.entry.subject_id
            print(f"{line.entry.capture_id:40} {subject:20} {size:>11} {depth:>6}  {reason}")
    print(f"{good} good, {bad} rejected")
    return 1 if bad else 0


def _guessed_source(path: Path, unit_mm: float) -> SourceConfig:
    """Take a folder for captures where one of its folders has a ``capture.json``."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if (path / "capture.json").is_file():
        return SourceConfig(kind="folder", path=str(path.parent), include=(path.name,))
    described = path.is_dir() and any(path.glob("*/capture.json"))
    return SourceConfig(kind="folder" if described else "scan", path=str(path), unit_mm=unit_mm)

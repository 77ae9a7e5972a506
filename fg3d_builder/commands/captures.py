"""Lists, checks and shows what the sources of a preset, or a folder, have."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import MOST_WORKERS, file_to_write, whole
from fg3d_builder.commands.saying import say_pages
from fg3d_builder.commands.source_options import (
    ChosenSources,
    add_detector_option,
    add_source_options,
    chosen_sources,
)
from fg3d_builder.config import SourceConfig
from fg3d_builder.config.reading import nearest

if TYPE_CHECKING:
    from fg3d_builder.captures.inspection import Inspected

ACTIONS = ("list", "check", "show")

DESCRIPTION = """\
Says what a folder, or a preset's sources, hold: your own captures, scans, research sets and files
of sensors as they come (docs/captures.md).

  fg3d captures list my_captures               a table, without loading anything
  fg3d captures check studio.toml --workers 4  load every capture, find its face, check its depth
  fg3d captures show recordings --out a.png    a sheet of pictures to look at

`fg3d captures SOURCE` is short for `list`; `fg3d captures check --help` tells more of one of them.
Where the captures are sound, `fg3d new my_captures` writes a preset that builds a dataset of them.
"""

_LIST = """\
Prints a line for every capture: who, which expression, of which sequence which frame. Nothing is
loaded, so also what cannot be read has its line; `fg3d captures check` says which.

  fg3d captures list my_captures
  fg3d captures list studio.toml --csv captures.csv
"""

_CHECK = """\
Loads every capture, finds its face, and checks its depth as a build does: a line for each, with the
reason of each that is rejected, and at the end who there is and how the faces were taken. Exit
status 1 if one is rejected.

  fg3d captures check my_captures
  fg3d captures check studio.toml --workers 4 --limit 200
  fg3d captures check recordings --fix-units

--fix-units puts a wrong unit right where all faces say the same, and depth along the ray: of
captures with a capture.json it changes depth_unit_mm in their files, of other sources the preset;
where there is no preset it says what to write into one. Scans in an odd unit, or in several, are
measured one by one with unit_mm = 0.
"""

_SHOW = """\
Writes a sheet with colour, depth and landmarks of every capture, and the reason where one is
rejected. Where there are many, further pages are FILE-2.png and so on.

  fg3d captures show my_captures
  fg3d captures show studio.toml --out sheet.png --limit 200
"""

_SHOWN = 48
"""Captures that are drawn unless a limit says otherwise."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command, its actions and their options."""
    command = commands.add_parser(
        "captures",
        help="list, check or show what a source has, and what is wrong with it",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(metavar="ACTION", dest="action", required=True)
    adders = {
        "list": (_LIST, "a table of all captures, without loading them", _add_list, _list),
        "check": (_CHECK, "load every capture and say what is wrong", _add_check, _check),
        "show": (_SHOW, "a sheet of pictures", _add_show, _show),
    }
    for name, (text, short, add, run) in adders.items():
        action = actions.add_parser(
            name,
            help=short,
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_source_options(action)
        add(action)
        action.set_defaults(run=run)


def with_action(arguments: Sequence[str]) -> list[str]:
    """Return a command line in which ``captures SOURCE`` says that it is to be listed."""
    found = list(arguments)
    known = (*ACTIONS, "-h", "--help")
    if found[:1] == ["captures"] and len(found) > 1 and found[1] not in known:
        misspelt = nearest(found[1], list(ACTIONS)) and not os.path.lexists(found[1])
        if not misspelt:
            found.insert(1, "list")
    return found


def _add_list(command: argparse.ArgumentParser) -> None:
    command.add_argument("--csv", type=file_to_write, metavar="FILE", help="write the table here")


def _add_check(command: argparse.ArgumentParser) -> None:
    add_detector_option(command)
    command.add_argument(
        "--workers", type=whole(1, MOST_WORKERS), default=1, help="processes; default 1"
    )
    command.add_argument(
        "--limit",
        type=whole(1, 10_000_000),
        default=0,
        metavar="N",
        help="check so many, evenly drawn from each source, the same ones every time",
    )
    command.add_argument("--csv", type=file_to_write, metavar="FILE", help="write the figures here")
    command.add_argument(
        "--fix-units", action="store_true", help="put a unit right that all faces say is wrong"
    )


def _add_show(command: argparse.ArgumentParser) -> None:
    add_detector_option(command)
    command.add_argument(
        "--out",
        type=file_to_write,
        metavar="FILE",
        default=Path("captures.png"),
        help="PNG; default captures.png",
    )
    command.add_argument(
        "--limit",
        type=whole(1, 100_000),
        default=_SHOWN,
        metavar="N",
        help=f"show so many, evenly drawn from each source; default {_SHOWN}",
    )


def _list(options: argparse.Namespace) -> int:
    from fg3d_builder.captures import open_source
    from fg3d_builder.commands.capture_tables import entry_line, entry_rows, told_entries
    from fg3d_builder.files.atomic import write_bytes
    from fg3d_builder.files.csv_text import csv_text

    pairs = [(s, open_source(s).entries()) for s in chosen_sources(options).sources]
    if options.csv:
        write_bytes(options.csv, csv_text(entry_rows(pairs)).encode("utf-8", "backslashreplace"))
    print(entry_line(None))
    for _, entries in pairs:
        for entry in entries:
            print(entry_line(entry))
    print(told_entries([entry for _, entries in pairs for entry in entries]))
    return 0


def _check(options: argparse.Namespace) -> int:
    from fg3d_builder.commands.capture_statistics import statistics
    from fg3d_builder.commands.capture_tables import figure_rows, inspected_line
    from fg3d_builder.files.atomic import write_bytes
    from fg3d_builder.files.csv_text import csv_text

    chosen = chosen_sources(options)
    looked: list[tuple[SourceConfig, list[Inspected]]] = []
    print(inspected_line(None))
    for number, source in enumerate(chosen.sources):
        looked.append(_looked_at(chosen, number, source, options))
    if options.csv:
        write_bytes(options.csv, csv_text(figure_rows(looked)).encode("utf-8", "backslashreplace"))
    inspected = [one for _, each in looked for one in each]
    for line in statistics(inspected):
        print(line)
    say_pages(one.error.code for one in inspected if one.error)
    return 1 if any(one.error for one in inspected) else 0


def _looked_at(
    chosen: ChosenSources, number: int, source: SourceConfig, options: argparse.Namespace
) -> tuple[SourceConfig, list[Inspected]]:
    """Inspect one source, put it right where that is wanted, and print a line for each capture."""
    from fg3d_builder.captures import open_source
    from fg3d_builder.captures.inspection import evenly
    from fg3d_builder.commands.capture_tables import inspected_line
    from fg3d_builder.commands.fixing import inspected_with_progress, settled

    def inspect(config: SourceConfig) -> list[Inspected]:
        entries = open_source(config).entries()
        drawn = evenly(entries, options.limit)
        if len(drawn) < len(entries):
            print(f"{source.kind}, {source.path}: {len(drawn)} of {len(entries)}, evenly drawn")
        return inspected_with_progress(config, drawn, chosen.landmarks, options.workers)

    if options.fix_units and source.kind != "synthetic":
        source, inspected = settled(source, inspect, chosen.preset, number)
    else:
        inspected = inspect(source)
    for one in inspected:
        print(inspected_line(one))
    return source, inspected


def _show(options: argparse.Namespace) -> int:
    from fg3d_builder.captures import open_source
    from fg3d_builder.captures.inspection import evenly, inspect
    from fg3d_builder.commands.fixing import progress
    from fg3d_builder.files.atomic import write_bytes
    from fg3d_builder.files.encoding import encode_png
    from fg3d_builder.landmarks import open_detector
    from fg3d_builder.report.capture_pages import capture_row, pages

    chosen = chosen_sources(options)
    detector = open_detector(chosen.landmarks)
    opened = [open_source(source) for source in chosen.sources]
    drawn = [evenly(source.entries(), options.limit) for source in opened]
    wanted = [(one, entry) for one, part in zip(opened, drawn, strict=True) for entry in part]
    rows = []
    for source, entry in progress(wanted, len(wanted), "show"):
        seen = inspect(source, entry, detector)
        error = seen.inspected.error
        rows.append(capture_row(entry, seen.capture, seen.landmarks, error))
    total = sum(len(source.entries()) for source in opened)
    if len(rows) < total:
        print(f"{len(rows)} of {total} captures, evenly drawn; --limit says how many")
    for number, page in enumerate(pages(rows), start=1):
        file = options.out
        if number > 1:
            file = file.with_name(f"{file.stem}-{number}{file.suffix}")
        write_bytes(file, encode_png(page))
        print(f"written: {file}")
    return 0

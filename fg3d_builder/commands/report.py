"""Says where the report of a build is, and what it says in short; writes that of a training."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg3d_builder.wording import counted

DESCRIPTION = """\
Says where the report of a build is, and lists the splits, what was left out and what failed.
Given the folder of a training run, writes its page again and says where it is.

  fg3d report build/studio
  fg3d report build/studio/training

A reason that several captures have is one line, with the first of them; the report names all. The
page opens in any browser, without a server. `fg3d status build/studio` says what failed and how
to go on, also before there is a report; `fg3d review build/studio` throws out what the report shows
to be wrong.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "report",
        help="say where the report of a build or training run is",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "build", type=Path, help="folder of a build or of a training run, e.g. build/demo"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Say where a report is and what it says in short."""
    from fg3d_builder.report.training_page import page_can_be_written, write_training_page

    if page_can_be_written(options.build):
        print(f"page of the run: {write_training_page(options.build).resolve()}")
        return 0
    return _say_build(options.build)


def _say_build(root: Path) -> int:
    from fg3d_builder.layout import BuildFolder
    from fg3d_builder.report.summary import reason_lines
    from fg3d_builder.shards.manifest import read_manifest

    folder = BuildFolder(root)
    page = folder.report_page
    if not page.is_file():
        raise FileNotFoundError(f"no report at {page}; run `fg3d build` to its end first")
    manifest = read_manifest(folder.dataset_link)
    for split, content in manifest["splits"].items():
        people = counted(len(content["subjects"]), "subject")
        print(f"{split}: {people}, {counted(content['samples'], 'sample')}")
    for line in reason_lines("rejected", manifest["rejected"]):
        print(line)
    for line in reason_lines("failed", manifest["failures"]):
        print(line)
    print(f"report: {page.resolve()}")
    return 0

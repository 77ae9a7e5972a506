"""Checks a dataset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fg3d_builder.commands.arguments import file_to_read

DESCRIPTION = """\
Checks a dataset: hashes and sizes of all files, counts, units, and that all of it fits together.

  fg3d verify build/studio/dataset

Exit status 1 if something is wrong, with a line for everything that is, and how to repair it.
`fg3d info` says what is in a dataset; `fg3d train` trains a network on it.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "verify",
        help="check a dataset; exit status 1 if it is bad",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument(
        "--model-file", type=file_to_read, help="face model, where the dataset may not hold it"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check a dataset."""
    from fg3d_builder.facemodel.storage import load_model
    from fg3d_builder.shards.verify import verify_dataset
    from fg3d_builder.wording import counted

    model = load_model(options.model_file) if options.model_file else None
    report = verify_dataset(options.dataset, model)
    for problem in report.problems:
        print(problem)
    for sentence in report.repair:
        print(sentence)
    if not report.ok:
        print(f"{options.dataset}: {counted(len(report.problems), 'problem')}", file=sys.stderr)
        return 1
    found = (report.shards, "shard"), (report.samples, "sample"), (report.shapes, "shape")
    counts = ", ".join(counted(count, what) for count, what in found)
    print(f"{options.dataset}: good; {counts}, content {report.content_sha256[:16]}")
    return 0

"""Measures reconstructions on a published test set."""

from __future__ import annotations

import argparse

from fg3d_builder.testsets.command import DESCRIPTION, add_arguments


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "evaluate",
        help="measure reconstructions on Florence, NoW or Stirling/ESRC",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate; exit status 1 where a method failed on an image."""
    from fg3d_builder.testsets.command import run as evaluate

    status, lines = evaluate(options)
    print("\n".join(lines))
    return status

"""Prints parameters and multiply-adds of the networks."""

from __future__ import annotations

import argparse

from fg3d_builder.fgnet.training.names import PRESETS

DESCRIPTION = """\
Prints parameters and multiply-adds of the networks of presets.

  fg3d networks --preset small paper
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "networks",
        help="print parameters and multiply-adds of the networks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--preset", nargs="+", choices=PRESETS, default=["paper"], help="default paper"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print size and cost of the networks."""
    from fg3d_builder.fgnet.networks.complexity import table, variants, with_shape_maps

    configs = [c for p in options.preset for c in (*variants(p), *with_shape_maps(p))]
    print(table(configs))
    print("\nmultiply-adds: convolutions of one forward pass of one face; a step takes about 3 x")
    return 0

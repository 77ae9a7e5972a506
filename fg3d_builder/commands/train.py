"""Trains a network on a dataset, or goes on training it."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from fg3d_builder.commands.arguments import folder_to_write
from fg3d_builder.commands.training_options import add_device, add_settings, page_writer, settings

DESCRIPTION = """\
Trains a network on a dataset, and compares it with the 3DMM fit on the dataset's test split; while
it trains, on its val split, if it has one.

  fg3d train build/demo/dataset --out build/demo/training --preset tiny
  fg3d train DATASET --out RUN --settings tasks/training/tiny-3-views.toml --seed 1
  torchrun --nproc-per-node 4 -m fg3d_builder.cli train DATASET --out RUN --preset paper

The same command goes on where a run stopped; `fg3d status RUN` says how far it is and how to go on.
RUN/report.html has the curves, from the first epoch on. When it has ended, `fg3d assess` tries it
on other datasets, and `fg3d predict PHOTO --checkpoint RUN/checkpoint.pt --out faces` makes meshes.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "train",
        help="train a network, or go on training it",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument("--out", type=folder_to_write, required=True, help="folder of the run")
    add_settings(command)
    command.add_argument(
        "--inputs",
        type=folder_to_write,
        help="folder of what runs share: simulated inputs, baselines' errors",
    )
    add_device(command)
    command.set_defaults(run=run, all_cores=True, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Train, then assess."""
    from fg3d_builder.fgnet.session import train

    config = settings(options)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    train(
        options.dataset,
        options.out,
        config,
        options.device,
        options.facemodel,
        options.inputs,
        page_writer(options.out),
    )
    return 0

"""Compares a trained network with the 3DMM fit."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from fg3d_builder.commands.arguments import folder_to_write
from fg3d_builder.commands.training_options import add_device, page_writer

DESCRIPTION = """\
Compares a trained network with the 3DMM fit, subject by subject, and writes a page with error maps.

  fg3d assess build/demo/dataset build/demo/training
  fg3d assess OTHER_DATASET RUN --split train --out DIR

`fg3d report RUN` says where the page is; `fg3d predict PHOTO --checkpoint RUN/checkpoint.pt --out
faces` tries the network on a photo.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "assess",
        help="compare a trained network with the 3DMM fit",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument("training", type=Path, help="folder of the training run")
    command.add_argument(
        "--split", choices=("train", "val", "test"), default="test", help="default test"
    )
    command.add_argument(
        "--out", type=folder_to_write, help="folder for the result; default: in the run's"
    )
    command.add_argument(
        "--inputs", type=folder_to_write, help="as for `fg3d train`: what runs share is taken there"
    )
    add_device(command)
    command.set_defaults(run=run, all_cores=True)


def run(options: argparse.Namespace) -> int:
    """Assess."""
    from fg3d_builder.fgnet.session import assess_run

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    assess_run(
        options.dataset,
        options.training,
        split=options.split,
        out=options.out,
        device=options.device,
        facemodel=options.facemodel,
        inputs=options.inputs,
    )
    page_writer(options.training)()
    return 0

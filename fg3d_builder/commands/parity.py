"""Compares a device with the CPU: whether a network answers alike on both."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg3d_builder.commands.arguments import file_to_read, file_to_write
from fg3d_builder.commands.training_options import add_device
from fg3d_builder.fgnet.training.names import PRESETS

DESCRIPTION = """\
Checks that a device simulates the same inputs and gives the same answers as the CPU, in float32 and
in the precision of training. Exit status 1 where one differs by more than it may; it is then named,
with the difference and the tolerance.

  fg3d parity build/demo/dataset --out parity.json --device cuda
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "parity",
        help="check that a network answers alike on a device and on the CPU",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument("--out", type=file_to_write, required=True, help="JSON file")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--preset", choices=PRESETS, default="paper", help="an untrained network")
    which.add_argument("--checkpoint", type=file_to_read, help="a trained network")
    add_device(command)
    command.set_defaults(run=run, all_cores=True)


def run(options: argparse.Namespace) -> int:
    """Compare, write the figures and print them.

    Returns
    -------
    int
        1 where something differs by more than it may.
    """
    from fg3d_builder.facemodel.storage import load_model
    from fg3d_builder.fgnet.data.dataset import FaceDataset
    from fg3d_builder.fgnet.parity import (
        answering_network,
        compare,
        failures,
        parity_text,
        read_network,
    )
    from fg3d_builder.fgnet.training.distributed import processes
    from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS
    from fg3d_builder.files.sealed_object import write_sealed_object

    model = load_model(options.facemodel) if options.facemodel else None
    if options.checkpoint:
        config, network = read_network(options.checkpoint)
    else:
        config = TRAIN_PRESETS[options.preset]
        network = answering_network(config)
    data = FaceDataset(options.dataset, "train", config.confidence_floor, model)
    with processes(options.device) as at:
        found = compare(data, config, network, at.device.type)
    write_sealed_object(options.out, found._asdict())
    print(parity_text(found), end="")
    return 1 if failures(found) else 0

"""Takes a training run to a machine with a GPU, and its results back."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg3d_builder.commands.arguments import (
    file_to_read,
    file_to_write,
    folder_to_read,
    folder_to_write,
    number,
    whole,
)
from fg3d_builder.fgnet.training.names import PRESETS

DESCRIPTION = """\
Writes one file with a dataset and the code that trains on it. The other machine needs torch, numpy,
scipy, h5py and OpenCV, nothing else.

  fg3d pack build/demo/dataset --out pack.tar
  there: tar -xf pack.tar && fg3d-pack/run.sh          trains, and measures the machine
  here:  fg3d unpack results.tar --out build/from-gpu
"""

UNPACK = """\
Unpacks the results of a training run on another machine, see `fg3d pack --help`.

  fg3d unpack results.tar --out build/from-gpu
"""

SUMMARY = """\
Writes one page about a packed training run; its run.sh calls this at the end.

  fg3d summary out --epochs 45 --seconds 86000 --gpus 4
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands ``pack``, ``unpack`` and ``summary``, and their options."""
    command = commands.add_parser(
        "pack",
        help="one file with a dataset and code, to train on another machine",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument("--out", type=file_to_write, required=True, help="tar file to write")
    command.add_argument(
        "--preset", choices=PRESETS, default="paper", help="of the training; default paper"
    )
    command.add_argument("--epochs", type=whole(1, 1_000_000), help="default: those of the preset")
    command.add_argument(
        "--facemodel",
        type=file_to_read,
        help="model file, where its licence keeps it out of the dataset",
    )
    command.set_defaults(run=run_pack)
    command = commands.add_parser(
        "unpack",
        help="unpack the results of a packed training run",
        description=UNPACK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("results", type=file_to_read, help="results.tar")
    command.add_argument("--out", type=folder_to_write, required=True, help="folder for them")
    command.set_defaults(run=run_unpack)
    command = commands.add_parser(
        "summary",
        help="one page about a packed training run",
        description=SUMMARY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("folder", type=folder_to_read, help="its results; gets summary.md")
    command.add_argument("--epochs", type=whole(0, 1_000_000), required=True, help="epochs trained")
    command.add_argument("--seconds", type=number(0, 1e12), required=True, help="time they took")
    command.add_argument(
        "--gpus", type=whole(1, 100_000), default=1, help="processes that trained together"
    )
    command.set_defaults(run=run_summary)


def run_pack(options: argparse.Namespace) -> int:
    """Write the file."""
    from fg3d_builder.fgnet.packing import ROOT, pack

    size = pack(options.dataset, options.out, options.preset, options.epochs, options.facemodel)
    print(f"{options.out}: {size / 1e6:.1f} MB. On the other machine:")
    print(f"  tar -xf {options.out.name} && {ROOT}/run.sh")
    return 0


def run_unpack(options: argparse.Namespace) -> int:
    """Unpack, and list the files."""
    from fg3d_builder.fgnet.packing import unpack

    for path in unpack(options.results, options.out):
        print(path)
    return 0


def run_summary(options: argparse.Namespace) -> int:
    """Write the page, and print it."""
    from fg3d_builder.fgnet.run_summary import summary
    from fg3d_builder.files.atomic import write_bytes

    text = summary(options.folder, options.epochs, options.seconds, options.gpus)
    write_bytes(options.folder / "summary.md", text.encode())
    print(f"\n{text}", end="")
    return 0

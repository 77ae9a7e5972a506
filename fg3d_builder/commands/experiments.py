"""Reruns tables and figures of the paper; `fg3d_builder.reproduction.driver` does the work."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg3d_builder.commands.arguments import MOST_WORKERS, folder_to_write, whole
from fg3d_builder.reproduction.scales import SCALES
from fg3d_builder.reproduction.tables import EXPERIMENTS, PUBLISHED_NAMES, SET_NAMES

DESCRIPTION = """\
Reruns tables and figures of the paper: builds the dataset variants that they need (or finds them),
trains every row with several seeds, tests all on the same test split, and writes for each a page
with the paper's rows beside ours, a CSV file and a picture.

  fg3d experiments table1 --scale tiny --dry-run          what would be run, command by command
  fg3d experiments table1 table2 table3 table4 --scale tiny
  fg3d experiments table3 --scale small --seeds 1
  fg3d experiments table1 --scale paper --preset my-captures.toml
  fg3d experiments table5 --scale tiny --florence FOLDER --method PRNet=prnet

  table1  network structures: CVN, MVN, VMN      fig13  ways to fuse the views
  table2  input views of VMN                     fig14  number of transformed shapes
  table3  data augmentation                      table5, fig17  published test sets
  table4  losses

  --scale tiny    200 synthetic subjects, 64 x 64; all tables in an hour or two on two cores
  --scale small   the same subjects, 128 x 128; days on two cores, hours on a GPU
  --scale paper   your captures (--preset), 256 x 256, the paper's schedule; days on GPUs

Rows that several tables share are trained once. Stop it at any time: the same command goes on where
it stopped. A training run that fails is named in its table and does not stop the others; the same
command tries it again. Exit status 1 if any failed.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "experiments",
        help="rerun tables and figures of the paper at a scale",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "names",
        nargs="+",
        choices=[*EXPERIMENTS, *PUBLISHED_NAMES],
        metavar="NAME",
        help="of the tables and figures above",
    )
    command.add_argument("--scale", choices=list(SCALES), required=True, help="see above")
    command.add_argument("--preset", type=Path, help="build preset in place of the scale's")
    command.add_argument("--build", type=Path, help="folder of the build; default build/NAME")
    command.add_argument(
        "--out",
        type=folder_to_write,
        help="folder of the results; default build/experiments/NAME-SCALE",
    )
    command.add_argument(
        "--seeds", type=whole(1, 1000), help="runs of each row; default: the scale's"
    )
    command.add_argument(
        "--epochs", type=whole(1, 1_000_000), help="of each run; default: the scale's"
    )
    command.add_argument(
        "--samples",
        type=whole(1, 1_000_000_000),
        help="train on so many samples of captured shapes; default: the scale's",
    )
    command.add_argument(
        "--test-samples",
        type=whole(1, 1_000_000_000),
        help="test on so many samples of the test split; default: the scale's, all",
    )
    command.add_argument(
        "--workers", type=whole(1, MOST_WORKERS), help="runs side by side; default: by machine"
    )
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: the scale's")
    for name in SET_NAMES:
        command.add_argument(
            f"--{name}", type=Path, metavar="FOLDER", help="table5, fig17: the set, as published"
        )
    command.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="table5, fig17: meshes of another method, see `fg3d evaluate --help`; repeatable",
    )
    command.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="table5, fig17: a trained network in place of the scale's runs; repeatable",
    )
    command.add_argument(
        "--facemodel", type=Path, help="table5, fig17: model file, where it is not beside them"
    )
    command.add_argument("--dry-run", action="store_true", help="print the commands and do nothing")
    command.add_argument(
        "--no-training",
        action="store_true",
        help="write the pages from what is finished, build and train nothing",
    )
    command.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Run the experiments; exit status 1 where a run failed."""
    from fg3d_builder.reproduction.driver import run as run_experiments

    return run_experiments(options)

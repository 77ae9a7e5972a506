"""Options that training, assessment and what belongs to them share."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fg3d_builder.commands.arguments import file_to_read
from fg3d_builder.commands.devices import add_device_option
from fg3d_builder.fgnet.training.names import PRESETS

if TYPE_CHECKING:
    from fg3d_builder.fgnet.training.settings import TrainConfig

_CHANGES = (
    ("network", "network", str, "cvn, mvn or vmn"),
    ("network", "view_set", str, "views of VMN: 1, 3, 5, 7 or source"),
    ("network", "fusion", str, "how VMN fuses its views, see docs/training.md"),
    ("loss", "mse", float, "weight of MSE in the loss"),
    ("loss", "psd", float, "weight of PSD in the loss"),
    ("loss", "vgd", float, "weight of VGD in the loss"),
    ("selection", "transforms", int, "transformed shapes a capture; -1: all"),
    ("selection", "limit", int, "train on so many samples; 0: all"),
    ("", "epochs", int, "the drops of the rate move with it"),
    ("", "batch_size", int, "samples a step and process"),
    ("", "micro_batch", int, "samples that are in memory together; 0: the batch"),
    ("", "learning_rate", float, "after the warm-up"),
    ("", "workers", int, "processes that read samples"),
    ("", "seed", int, "of weights and order"),
)
"""Table and field of the settings, type and help of the options that change them."""


def add_device(command: argparse.ArgumentParser) -> None:
    """Add ``--device`` and ``--facemodel``."""
    add_device_option(command)
    command.add_argument(
        "--facemodel",
        type=file_to_read,
        help="model file, where its licence keeps it out of the dataset",
    )


def add_settings(command: argparse.ArgumentParser) -> None:
    """Add a preset or file of settings, and the options that change single fields of it."""
    which = command.add_mutually_exclusive_group()
    which.add_argument("--preset", choices=PRESETS, default="small", help="default small")
    which.add_argument(
        "--settings", type=Path, metavar="FILE", help="TOML: a preset's name and changes to it"
    )
    for _, field, kind, text in _CHANGES:
        command.add_argument(f"--{field.replace('_', '-')}", type=kind, help=text)


def page_writer(run: Path) -> Callable[[], None]:
    """Return what writes the page of a run, see `report.training_page`, and says where it is.

    A page is no reason to lose a run: what goes wrong with it is logged. Training runs where
    little is installed; what a page needs may be missing there.
    """
    log = logging.getLogger(__name__)
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            log.info(text)
        said.add(text)

    def write() -> None:
        try:
            from fg3d_builder.report.training_page import write_training_page

            say_once(f"page of the run: {write_training_page(run).resolve()}")
        except ModuleNotFoundError as error:
            say_once(f"no page of the run ({error}); `fg3d report {run}` writes it elsewhere")
        except Exception:
            log.exception("the page of the run could not be written; `fg3d report` tries again")

    return write


def settings(options: argparse.Namespace) -> TrainConfig:
    """Return the settings that a command line asks for.

    Raises
    ------
    ConfigError
        Names the file or the option, and the field.
    """
    from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS, changed, read_settings

    file = options.settings
    config = read_settings(file) if file else TRAIN_PRESETS[options.preset]
    table: dict[str, Any] = {}
    for name, field, *_ in _CHANGES:
        value = getattr(options, field)
        if value is not None:
            inner = table.setdefault(name, {}) if name else table
            inner[field] = value
    return changed(config, table, "command line")

"""The device that a network computes on, the same in every command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fg3d_builder.errors import ConfigError

if TYPE_CHECKING:
    import torch


def add_device_option(command: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    command.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="default auto: a GPU if there is one",
    )


def torch_device(name: str) -> torch.device:
    """Return a device; ``"auto"`` is CUDA where there is one, else the processor.

    Raises
    ------
    ConfigError
        ``"cuda"`` on a machine without.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no CUDA device here")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)

"""Draws a face model: modes, colours, landmarks, masks, chart and the head around the face."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import folder_to_write
from fg3d_builder.commands.model_options import add_model_options, model_config
from fg3d_builder.config import FaceModelConfig

if TYPE_CHECKING:
    from fg3d_builder.facemodel import FaceModel

DESCRIPTION = """\
Writes pictures of a model into a folder: its first modes at three standard deviations to either
side, landmarks and masks, colours, chart, and the head around the face.

  fg3d models show --model default --out default-model
  fg3d models show --model bfm.h5 --out bfm --modes 10
"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    from fg3d_builder.commands.arguments import whole

    add_model_options(command)
    command.add_argument(
        "--out",
        type=folder_to_write,
        default=Path("model-pictures"),
        metavar="FOLDER",
        help="folder for the pictures; default: model-pictures",
    )
    command.add_argument(
        "--modes", type=whole(1, 100), default=6, help="modes of each kind; default: 6"
    )


def run(options: argparse.Namespace) -> int:
    """Write the pictures."""
    from fg3d_builder.heads.library import get_model

    model = get_model(model_config(options, FaceModelConfig()))
    for file in write_pictures(model, options.out, options.modes):
        print(file)
    return 0


def write_pictures(model: FaceModel, folder: Path, modes: int) -> list[Path]:
    """Draw a model into a folder and return the files, PNG."""
    from fg3d_builder.files.atomic import write_bytes
    from fg3d_builder.files.encoding import encode_png
    from fg3d_builder.report import model_pictures as pictures
    from fg3d_builder.report.model_overview import model_overview

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, draw in (
        ("landmarks", lambda: model_overview(model)),
        ("identity", lambda: pictures.mode_sheet(model, "identity", modes)),
        ("expression", lambda: pictures.mode_sheet(model, "expression", modes)),
        ("colours", lambda: pictures.albedo_sheet(model)),
        ("chart", lambda: pictures.chart_sheet(model)),
        ("head", lambda: pictures.surround_sheet(model)),
    ):
        files.append(folder / f"{name}.png")
        write_bytes(files[-1], encode_png(draw()))
    return files

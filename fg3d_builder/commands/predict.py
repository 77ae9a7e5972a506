"""Reconstructs the faces of photos."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import file_to_read, folder_to_write, number
from fg3d_builder.commands.devices import add_device_option, torch_device
from fg3d_builder.commands.saying import say, say_pages
from fg3d_builder.config import FaceModelConfig, FullViewConfig, LandmarkConfig

if TYPE_CHECKING:
    from fg3d_builder.facemodel.model import FaceModel
    from fg3d_builder.fgnet.trained import Trained

DESCRIPTION = """\
Reconstructs the largest face of each photo: landmarks, 3DMM fit, and a network where there is one.

  fg3d predict a.jpg b.jpg --out faces
  fg3d predict photos/*.jpg --out faces --checkpoint build/studio/training/checkpoint.pt

Without --checkpoint it is the demo's network, which `make train` makes; where there is none, the
fit of the face model is the face. "method" in pose.json and predictions.json says which it was.

For each photo OUT/NAME/ gets
  face.obj, face.ply, face.glb   the face in its own frame (x to its left, y up, z out), with
                                 the photo as texture; mm, the glb in metres as glTF wants
  depth.png, depth.npy           depth in the photo's pixels; the PNG's unit is in pose.json,
                                 0 and NaN mean that there is no face
  pncc.png                       Projected Normalized Coordinate Code in the photo's pixels
  pose.json                      camera, pose (docs/conventions.md), coefficients of the fit
  overlay.png, turntable.png     to look at
and OUT/predictions.json says what became of each. Exit status 1 if any photo failed.

The focal length decides how far away the face is put. It is taken from --focal, else from the
photo's EXIF data, else it is the length of the image's diagonal in pixels (a 43 mm lens on film).
"""

DEFAULT_CHECKPOINT = Path("build/demo/training/checkpoint.pt")

NO_NETWORK = f"""\
there is no network at {DEFAULT_CHECKPOINT}, so the faces are the face model's fit to landmarks.
  make train                       trains the demo's network, which is then found there
  fg3d train DATASET --out RUN     trains one on a dataset of your own
  --checkpoint RUN/checkpoint.pt   uses it, or one that you were given with its whole folder"""

PAGE = "docs/guides/predict.md"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "predict",
        help="reconstruct the faces of photos",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="image file")
    command.add_argument(
        "--out", type=folder_to_write, required=True, help="folder for the results"
    )
    command.add_argument(
        "--checkpoint",
        type=Path,
        help=f"network, in the folder of its run; default {DEFAULT_CHECKPOINT} if it is there",
    )
    command.add_argument(
        "--facemodel",
        type=file_to_read,
        help="model file, where its licence keeps it from that folder or there is no network",
    )
    command.add_argument(
        "--focal", type=number(0, 1e6, above=True), metavar="PX", help="focal length in pixels"
    )
    command.add_argument(
        "--landmarks",
        choices=("mediapipe", "face-alignment", "annotation"),
        help="detector; annotation reads NAME.json beside NAME.jpg; default: that of the dataset "
        "which the network was trained on, mediapipe for annotated ones",
    )
    add_device_option(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reconstruct the faces of photos."""
    from tqdm import tqdm

    from fg3d_builder.commands.prediction_files import Outcome, predict_photos
    from fg3d_builder.fgnet.trained import Trained
    from fg3d_builder.landmarks import open_view_detector
    from fg3d_builder.pipeline.photo import ANNOTATION

    by = _network_or_model(options)
    own, looks = LandmarkConfig(), FullViewConfig().looks
    if isinstance(by, Trained):
        own, looks = by.landmarks, by.looks
    unnamed = LandmarkConfig().detector if own.detector == ANNOTATION else own.detector
    detector = open_view_detector(replace(own, detector=options.landmarks or unnamed), looks)
    with tqdm(total=len(options.photos), unit="photo", desc="predict") as bar:

        def on_outcome(outcome: Outcome) -> None:
            if outcome.error is not None:
                bar.write(f"fg3d: {outcome.reason}", file=sys.stderr)
            bar.update()

        outcomes = predict_photos(
            by,
            options.photos,
            options.out,
            detector,
            focal_px=options.focal,
            on_outcome=on_outcome,
        )
    codes = [outcome.error.code for outcome in outcomes if outcome.error is not None]
    say_pages(codes)
    failed = len(codes)
    done = "reconstructed" if isinstance(by, Trained) else "fitted without a network"
    print(f"{len(outcomes) - failed} of {len(outcomes)} photos {done}: {options.out}")
    return 1 if failed else 0


def _network_or_model(options: argparse.Namespace) -> Trained | FaceModel:
    """Return the network, or where none is named and the demo has none the face model to fit."""
    from fg3d_builder.fgnet.trained import load_trained
    from fg3d_builder.heads.library import get_model

    device = torch_device(options.device)
    checkpoint = options.checkpoint
    if checkpoint is None and DEFAULT_CHECKPOINT.is_file():
        checkpoint = DEFAULT_CHECKPOINT
    if checkpoint is not None:
        return load_trained(checkpoint, device, options.facemodel)
    say(NO_NETWORK, PAGE)
    named = FaceModelConfig(str(options.facemodel)) if options.facemodel else FaceModelConfig()
    return get_model(named)

"""Reconstructs the faces of photos."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fg3d_builder.commands.arguments import file_to_read, folder_to_write, number
from fg3d_builder.commands.devices import add_device_option, torch_device
from fg3d_builder.commands.saying import say_pages
from fg3d_builder.config import LandmarkConfig

DESCRIPTION = """\
Reconstructs the largest face of each photo: landmarks, 3DMM fit, network.

  fg3d predict a.jpg b.jpg --out faces
  fg3d predict photos/*.jpg --out faces --checkpoint build/studio/training/checkpoint.pt

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


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "predict",
        help="reconstruct the faces of photos with a trained network",
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
        default=DEFAULT_CHECKPOINT,
        help=f"in the folder of its training; default {DEFAULT_CHECKPOINT}",
    )
    command.add_argument(
        "--facemodel",
        type=file_to_read,
        help="model file, where its licence keeps it from that folder",
    )
    command.add_argument(
        "--focal", type=number(0, 1e6, above=True), metavar="PX", help="focal length in pixels"
    )
    command.add_argument(
        "--landmarks",
        choices=("mediapipe", "face-alignment", "annotation"),
        default="mediapipe",
        help="detector; annotation reads NAME.json beside NAME.jpg; default mediapipe",
    )
    add_device_option(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reconstruct the faces of photos."""
    from tqdm import tqdm

    from fg3d_builder.commands.prediction_files import Outcome, predict_photos
    from fg3d_builder.fgnet.trained import load_trained
    from fg3d_builder.landmarks import open_view_detector

    device = torch_device(options.device)
    trained = load_trained(options.checkpoint, device, options.facemodel)
    detector = open_view_detector(LandmarkConfig(detector=options.landmarks), trained.looks)
    with tqdm(total=len(options.photos), unit="photo", desc="predict") as bar:

        def on_outcome(outcome: Outcome) -> None:
            if outcome.error is not None:
                bar.write(f"fg3d: {outcome.reason}", file=sys.stderr)
            bar.update()

        outcomes = predict_photos(
            trained,
            options.photos,
            options.out,
            detector,
            focal_px=options.focal,
            on_outcome=on_outcome,
        )
    codes = [outcome.error.code for outcome in outcomes if outcome.error is not None]
    say_pages(codes)
    failed = len(codes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} photos reconstructed: {options.out}")
    return 1 if failed else 0

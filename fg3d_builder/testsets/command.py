"""The command ``fg3d evaluate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.config import FaceModelConfig, LandmarkConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.testsets.records import PROTOCOL_NAMES

if TYPE_CHECKING:
    from fg3d_builder.facemodel.model import FaceModel
    from fg3d_builder.fgnet.trained import Trained
    from fg3d_builder.testsets.records import Protocol, ProtocolConfig
    from fg3d_builder.testsets.results import ProtocolResults

NETWORK = "FGNet (ours)"
"""Name of a network that is given without one."""

DESCRIPTION = """\
Measures how far faces reconstructed from single images are from 3D scans of the same people:
the Densely Aligned Chamfer Error (DACE, Eq. 20 of the paper) on the sets of its Table 5.

  florence   MICC Florence 2D/3D   FOLDER/subject_01/Model/frontal1/obj/*.obj; the scans are
                                   rendered from 21 sides
  now        NoW, validation,      FOLDER/imagepathsvalidation.txt, iphone_pictures/, scans/,
             neutral images        scans_lmks_onlypp/
  stirling   Stirling/ESRC         FOLDER/F_3D_N/, M_3D_N/, annotations/ (optional), photos.csv

docs/protocols.md says where to get them and what exactly is read. Ground truth is made by the
project's own registration, once per scan; look at the pictures in DIR/truth.

  fg3d evaluate florence FOLDER --out DIR                        the 3DMM fit alone
  fg3d evaluate florence FOLDER --out DIR --checkpoint RUN/checkpoint.pt
  fg3d evaluate florence FOLDER --out DIR --images-only          DIR/images for other methods
  fg3d evaluate florence FOLDER --out DIR --method PRNet=prnet --method Deng=deng

Another method is a folder with one mesh per image, named after it (prnet/subject_01/
pitch+00_yaw+15.obj), and landmarks.json, which names the vertices at iBUG's landmarks. A mesh
that is missing is a failure of that method.

DIR gets report.md (Table 5 with the paper's rows, comparisons, failures), results.csv,
results.json, ced.png (Fig. 17). A run that was stopped goes on where it was when started again.
Exit status 1 where a method failed on an image or an image could not be used.
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Define the command's arguments."""
    command.add_argument("protocol", choices=PROTOCOL_NAMES, help="which data set")
    command.add_argument("folder", type=Path, metavar="FOLDER", help="the data set, as published")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    command.add_argument(
        *("--checkpoint",),
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help=f"of a trained network; may be given several times; its name is else '{NETWORK}'",
    )
    command.add_argument(
        "--facemodel", type=Path, metavar="FILE", help="face model, where a checkpoint has none"
    )
    command.add_argument(
        *("--method",),
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="meshes of another method; may be given several times",
    )
    command.add_argument(
        *("--subject",),
        action="append",
        default=[],
        metavar="PATTERN",
        help="only subjects of such names, e.g. 'subject_0*'; default all",
    )
    command.add_argument(
        "--unit-mm", type=float, help="length of the scans' unit in mm, 0 finds it; default 1"
    )
    command.add_argument(
        "--landmarks",
        choices=("mediapipe", "face-alignment"),
        default="mediapipe",
        help="detector; default mediapipe",
    )
    command.add_argument(
        "--truth", type=Path, metavar="DIR", help="share registered scans; default DIR/truth"
    )
    command.add_argument(
        "--images-only", action="store_true", help="write the images to reconstruct and stop"
    )
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def run(options: argparse.Namespace) -> tuple[int, list[str]]:
    """Evaluate; return the exit status and the lines to print."""
    from fg3d_builder.testsets.layouts import open_protocol
    from fg3d_builder.testsets.records import ProtocolConfig

    config = ProtocolConfig(landmarks=LandmarkConfig(detector=options.landmarks))
    protocol = open_protocol(
        *(options.protocol, options.folder),
        subjects=options.subject or ("*",),
        unit_mm=options.unit_mm,
    )
    named = _named(options.checkpoint, "--checkpoint", NETWORK)
    methods = _named(options.method, "--method", None)
    model, networks = _model_and_networks(named, options.facemodel, options.device)
    if options.images_only:
        return _write_images(protocol, options.out / "images", model, config)
    from fg3d_builder.testsets.driver import evaluate_protocol
    from fg3d_builder.testsets.report import write_report

    results = evaluate_protocol(
        *(protocol, options.out, model, networks, methods),
        config=config,
        truth_folder=options.truth,
        progress=True,
    )
    report = write_report(results, options.out)
    return _status(results), [*_summary(results), f"report: {report}"]


def _named(values: list[str], option: str, otherwise: str | None) -> dict[str, Path]:
    """Split ``NAME=PATH``; a path alone takes the name `otherwise`, where there is one."""
    found: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals:
            if otherwise is None:
                raise ConfigError(f"{option} {value}: wanted NAME=FOLDER")
            name, path = otherwise, value
        if not name or not path:
            raise ConfigError(f"{option} {value}: a name and a path, please")
        if name in found:
            raise ConfigError(f"{option}: the name '{name}' is given twice")
        found[name] = Path(path)
    return found


def _model_and_networks(
    checkpoints: dict[str, Path], facemodel: Path | None, device: str
) -> tuple[FaceModel, dict[str, Trained]]:
    """Load the networks; the face model is theirs, else the named one, else the default."""
    if not checkpoints:
        from fg3d_builder.heads.library import get_model

        return get_model(FaceModelConfig(model=str(facemodel) if facemodel else "default")), {}
    import torch

    from fg3d_builder.fgnet.trained import load_trained

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no CUDA device here")
    place = torch.device(device)
    networks = {name: load_trained(path, place, facemodel) for name, path in checkpoints.items()}
    return next(iter(networks.values())).model, networks


def _write_images(
    protocol: Protocol, folder: Path, model: FaceModel, config: ProtocolConfig
) -> tuple[int, list[str]]:
    """Write the renderings of a protocol; of photos say where they are."""
    from tqdm import tqdm

    from fg3d_builder.captures.scan import read_scan
    from fg3d_builder.testsets.images import write_rendering
    from fg3d_builder.testsets.surfaces import pose_of_scan, upright_surface

    views = [image for image in protocol.images if image.photo is None]
    problems = [f"{m.name}: {m.code}: {m.reason}" for m in protocol.missing]
    written = 0
    last, surface = "", None
    for image in tqdm(views, unit="image", desc=protocol.name):
        scan = protocol.scans[image.scan_id]
        try:
            if image.scan_id != last:
                last, surface = image.scan_id, None
                mesh = read_scan(scan.mesh_file)
                name = str(scan.mesh_file)
                pose = pose_of_scan(mesh, scan.unit_mm, scan.landmarks, model, name)
                surface = upright_surface(mesh, pose)
            if surface is not None:
                write_rendering(image, surface, folder, config)
                written += 1
        except CaptureError as error:
            problems.append(f"{image.image_id}: {error.code}: {error.message}")
    for problem in problems:
        print(f"fg3d: {problem}", file=sys.stderr)  # noqa: T201
    photos = len(protocol.images) - len(views)
    lines = [f"{written} images written: {folder}"] if views else []
    lines += [f"{photos} photos lie in the data set"] if photos else []
    return (1 if problems else 0), lines


def _status(results: ProtocolResults) -> int:
    return 1 if results.unusable or any(row.code for row in results.rows) else 0


def _summary(results: ProtocolResults) -> list[str]:
    from fg3d_builder.testsets.report import yaw_lines

    if not results.rows:
        return ["nothing could be measured"]
    table = [line for line in yaw_lines(results) if line.startswith("|")]
    return [*table, f"{len(results.unusable)} images or subjects could not be used"]

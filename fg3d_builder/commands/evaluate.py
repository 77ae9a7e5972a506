"""Measures reconstructions on a published test set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import file_to_read, folder_to_read, folder_to_write, number
from fg3d_builder.commands.benchmarks import (
    add_benchmark_options,
    check_benchmark_options,
    run_benchmark,
)
from fg3d_builder.commands.devices import add_device_option, torch_device
from fg3d_builder.commands.saying import say, say_pages
from fg3d_builder.config import FaceModelConfig, LandmarkConfig

if TYPE_CHECKING:
    from fg3d_builder.facemodel.model import FaceModel
    from fg3d_builder.fgnet.trained import Trained
    from fg3d_builder.testsets import Protocol, ProtocolConfig, ProtocolResults

DACE_SETS = ("florence", "now", "stirling")
PROTOCOLS = (*DACE_SETS, "now-challenge", "realy")

NETWORK = "FGNet (ours)"
"""Name of a network that is given without one."""

DESCRIPTION = """\
Measures how far faces reconstructed from single images are from 3D scans of the same people:
the Densely Aligned Chamfer Error (DACE, Eq. 20 of the paper) on the sets of its Table 5, and
the metrics that NoW and REALY have of their own.

  fg3d evaluate florence FOLDER --out DIR                        the 3DMM fit alone
  fg3d evaluate florence FOLDER --out DIR --checkpoint RUN/checkpoint.pt
  fg3d evaluate florence FOLDER --out DIR --images-only          DIR/images for other methods
  fg3d evaluate florence FOLDER --out DIR --method PRNet=prnet --method Deng=deng

  florence   MICC Florence 2D/3D   FOLDER/subject_01/Model/frontal1/obj/*.obj; the scans are
                                   rendered from 21 sides
  now        NoW, validation,      FOLDER/imagepathsvalidation.txt, iphone_pictures/, scans/,
             neutral images        scans_lmks_onlypp/
  stirling   Stirling/ESRC         FOLDER/F_3D_N/, M_3D_N/, annotations/ (optional), photos.csv

  now-challenge   NoW's own metric: distances from the scan to the mesh in mm, all challenges,
                  neutral faces; FOLDER as for now
  realy           rigid region-wise error in mm; FOLDER/REALY_image/, REALY_HIFI3D_keypoints/,
                  REALY_scan_region/, metrical_scale.txt, HIFI3D.obj, HIFI3D.txt

  fg3d evaluate now-challenge FOLDER --out DIR --submission SUBMISSION --checkpoint FILE
  fg3d evaluate realy FOLDER --out DIR --submission SUBMISSION --checkpoint FILE

docs/protocols.md says where to get them and what exactly is read. For DACE, ground truth is made
by the project's own registration, once per scan; look at the pictures in DIR/truth.

Another method is a folder with one mesh per image, named after it (prnet/subject_01/
pitch+00_yaw+15.obj), and landmarks.json, which names the vertices at iBUG's landmarks; for
now-challenge a file of seven landmarks beside each mesh, for realy keypoints.txt. A mesh
that is missing is a failure of that method.

DIR gets report.md (tables, comparisons, failures), results.csv, results.json and, for DACE,
ced.png (Fig. 17). A run that was stopped continues when it is started again; realy, which is
short, starts anew.
Exit status 1 where a method failed on an image or an image could not be used.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "evaluate",
        help="measure reconstructions on Florence, NoW, Stirling/ESRC or REALY",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("protocol", choices=PROTOCOLS, help="which data set and metric")
    command.add_argument(
        "folder", type=folder_to_read, metavar="FOLDER", help="the data set, as published"
    )
    command.add_argument(
        "--out", type=folder_to_write, required=True, metavar="DIR", help="folder for the results"
    )
    command.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help=f"trained network, named '{NETWORK}' by default; may be given several times",
    )
    command.add_argument(
        "--facemodel",
        type=file_to_read,
        metavar="FILE",
        help="face model, where a checkpoint has none",
    )
    command.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="meshes of another method; may be given several times",
    )
    command.add_argument(
        "--subject",
        action="append",
        metavar="PATTERN",
        help="only subjects of such names, e.g. 'subject_0*'; default all",
    )
    command.add_argument(
        "--unit-mm",
        type=number(0, 1e6),
        default=1.0,
        help="length of the scans' unit in mm, 0 finds it; default 1",
    )
    command.add_argument(
        "--landmarks",
        choices=("mediapipe", "face-alignment"),
        default="mediapipe",
        help="detector; default mediapipe",
    )
    command.add_argument(
        "--truth",
        type=folder_to_write,
        metavar="DIR",
        help="share registered scans; default DIR/truth",
    )
    command.add_argument(
        "--images-only", action="store_true", help="write the images to reconstruct and stop"
    )
    add_benchmark_options(command)
    add_device_option(command)
    command.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Evaluate; exit status 1 where a method failed on an image."""
    from fg3d_builder.testsets import ProtocolConfig, evaluate_protocol, open_protocol, write_report
    from fg3d_builder.testsets.setup import named_paths

    check_benchmark_options(options)
    if options.protocol not in DACE_SETS:
        methods = named_paths(options.method, "--method")
        checkpoints = named_paths(options.checkpoint, "--checkpoint", NETWORK)
        return run_benchmark(
            options,
            methods,
            lambda: _model_and_networks(checkpoints, options.facemodel, options.device),
        )
    config = ProtocolConfig(landmarks=LandmarkConfig(detector=options.landmarks))
    protocol = open_protocol(
        options.protocol,
        options.folder,
        subjects=options.subject or ("*",),
        unit_mm=options.unit_mm,
    )
    checkpoints = named_paths(options.checkpoint, "--checkpoint", NETWORK)
    methods = named_paths(options.method, "--method")
    model, networks = _model_and_networks(checkpoints, options.facemodel, options.device)
    if options.images_only:
        return _write_images(protocol, options.out / "images", model, config)
    results = evaluate_protocol(
        protocol,
        options.out,
        model,
        networks,
        methods,
        config=config,
        truth_folder=options.truth,
        progress=True,
    )
    report = write_report(results, options.out)
    _print_summary(results)
    print(f"report: {report}")
    return 1 if results.unusable or any(row.code for row in results.rows) else 0


def _model_and_networks(
    checkpoints: dict[str, Path], facemodel: Path | None, device: str
) -> tuple[FaceModel, dict[str, Trained]]:
    """Load the networks; the face model is theirs, else the named one, else the default."""
    if not checkpoints:
        from fg3d_builder.heads.library import get_model

        return get_model(FaceModelConfig(model=str(facemodel) if facemodel else "default")), {}
    from fg3d_builder.fgnet.trained import load_trained

    place = torch_device(device)
    networks = {name: load_trained(path, place, facemodel) for name, path in checkpoints.items()}
    return next(iter(networks.values())).model, networks


def _write_images(
    protocol: Protocol, folder: Path, model: FaceModel, config: ProtocolConfig
) -> int:
    """Write the renderings of a protocol; count photos, which are in the data set."""
    from fg3d_builder.testsets.images import write_renderings

    written, failed = write_renderings(protocol, folder, model, config)
    for problem in (*protocol.missing, *failed):
        say(f"{problem.name}: {problem.code}: {problem.reason}")
    say_pages(problem.code for problem in (*protocol.missing, *failed))
    photos = sum(image.photo is not None for image in protocol.images)
    if photos < len(protocol.images):
        print(f"{written} images written: {folder}")
    if photos:
        print(f"{photos} photos are in the data set")
    return 1 if protocol.missing or failed else 0


def _print_summary(results: ProtocolResults) -> None:
    from fg3d_builder.testsets.report import error_table

    if not results.rows:
        print("nothing could be measured")
        return
    print("\n".join(error_table(results)))
    print(f"{len(results.unusable)} images or subjects could not be used")

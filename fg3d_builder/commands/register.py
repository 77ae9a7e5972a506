"""Registers one capture or scan, or several captures of one face together."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fg3d_builder.commands.arguments import folder_to_write, number, whole
from fg3d_builder.commands.model_options import add_model_options, model_config
from fg3d_builder.commands.saying import say, say_pages
from fg3d_builder.commands.source_options import add_kind_option
from fg3d_builder.config import DETECTORS, BuildConfig, LandmarkConfig, SourceConfig, load_preset
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.guidance import page_for

if TYPE_CHECKING:
    from fg3d_builder.facemodel.model import FaceModel
    from fg3d_builder.records import Capture

DESCRIPTION = """\
Registers a single capture or scan, to look at before a build.

  fg3d register my_captures/anna-001 --out out/anna-001
  fg3d register scan.obj --unit-mm 1000 --yaw 20 --out out/scan
  fg3d register walk.r3d --frame 12 --out out/walk
  fg3d register my_captures/anna-00[123] --fuse --out out/anna

OUT gets registered.ply and .glb (the face in its own frame, with texture), sheet.png (image, depth,
landmarks, fit, registration, error), overlay.png, depth_error.png, and result.json with all figures
and doubts. Exit status 1 where a capture cannot be used; failure.png then shows why. If they look
right, `fg3d new my_captures` writes a preset for all.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "register",
        help="register one capture or scan; meshes, pictures and figures out",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "capture",
        type=Path,
        nargs="+",
        help="capture folder; a mesh file, or a folder with one; a file of a research set or of a "
        "sensor; several with --fuse",
    )
    command.add_argument(
        "--fuse",
        action="store_true",
        help="register captures of one subject and expression to one shape; a folder for each",
    )
    command.add_argument(
        "--out", type=folder_to_write, required=True, help="folder for the results"
    )
    add_model_options(command)
    add_kind_option(command)
    command.add_argument(
        "--frame", type=whole(0, 10_000_000), metavar="N", help="of a file that holds several"
    )
    command.add_argument(
        "--fix-units",
        action="store_true",
        help="read it in the unit that its face says, where the one declared is wrong",
    )
    command.add_argument("--preset", type=Path, help="take the settings of this preset")
    command.add_argument("--detector", choices=DETECTORS, help="of the landmarks")
    command.add_argument(
        "--unit-mm",
        type=number(0, 1e6),
        default=1.0,
        help="length of a scan's unit; 0 finds it from the outer eye corners; default 1",
    )
    command.add_argument(
        "--pitch", type=number(-90, 90), default=0.0, help="view of a scan, degrees"
    )
    command.add_argument(
        "--yaw", type=number(-180, 180), default=0.0, help="view of a scan, degrees"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Register one capture or scan."""
    from fg3d_builder.commands.registration_files import register_into
    from fg3d_builder.heads.library import get_model

    config = load_preset(options.preset) if options.preset else BuildConfig()
    if options.detector:
        landmarks = LandmarkConfig(detector=options.detector)
        config = dataclasses.replace(config, landmarks=landmarks)
    view = (options.pitch, options.yaw)
    scan = SourceConfig(kind="scan", unit_mm=options.unit_mm, views=(view,))
    if len(options.capture) > 1 and not options.fuse:
        say("several captures are registered together: add --fuse")
        return 2
    for path in options.capture:
        refuse_many(path)
    if options.fuse:
        model = get_model(model_config(options, config.facemodel))
        return _fuse(options, model, scan, config)
    try:
        capture = _loaded(options.capture[0], options, scan, config)
        model = get_model(model_config(options, config.facemodel))
        result = register_into(options.out, model, capture, config)
    except CaptureError as error:
        say(f"{error.code}: {error.message}", page_for(error.code))
        return 1
    _tell(result)
    print(f"written to {options.out}: {', '.join(sorted(p.name for p in options.out.iterdir()))}")
    return 0


def refuse_many(path: Path) -> None:
    """Refuse a folder that holds captures rather than being one.

    Raises
    ------
    ConfigError
    """
    from fg3d_builder.captures.recognition import is_capture, recognise
    from fg3d_builder.wording import counted

    if not path.is_dir() or is_capture(path):
        return
    captures = [(one.root, name) for one in recognise(path, "folder") for name in one.captures]
    if captures:
        root, name = captures[0]
        raise ConfigError(
            f"{path} is a folder of {counted(len(captures), 'capture')}; name one of them, such as "
            f"{root / name}, or build a dataset of all: fg3d new {shlex.quote(str(path))}"
        )


def _loaded(
    path: Path, options: argparse.Namespace, scan: SourceConfig, config: BuildConfig
) -> Capture:
    """Load a capture, with the unit that its face says where that is wanted."""
    from fg3d_builder.captures import load_capture
    from fg3d_builder.commands.fixing import settings_of_one

    kind, frame = options.kind or "", options.frame
    if options.fix_units:
        scan = settings_of_one(path, scan, kind, frame, config.landmarks)
    return load_capture(path, scan, kind, frame)


def _fuse(
    options: argparse.Namespace, model: FaceModel, scan: SourceConfig, config: BuildConfig
) -> int:
    """Register captures together and say of each how; 1 if one of them could not be used."""
    from fg3d_builder.commands.registration_files import register_fused_into

    captures, failures = {}, {}
    out = options.out
    for path in options.capture:
        try:
            capture = _loaded(path, options, scan, config)
        except CaptureError as error:
            failures[str(path)] = error
            continue
        if capture.capture_id in captures:
            say(f"two captures are called {capture.capture_id}")
            return 2
        captures[capture.capture_id] = capture
    results, unusable = register_fused_into(out, model, list(captures.values()), config)
    failures |= unusable
    for name, result in results.items():
        shared = result["fusion"]["captures"]
        print(f"{name}: {f'one shape of {shared} captures' if shared > 1 else 'registered alone'}")
        _tell(result)
    for name, failure in failures.items():
        say(f"{name}: {failure.code}: {failure.message}")
    say_pages(failure.code for failure in failures.values())
    print(f"written to {out}")
    return 1 if failures else 0


def _tell(result: dict[str, Any]) -> None:
    """Print the figures of a registration."""
    surface = result["surface_mm"]
    if surface:
        text = "mean {mean:.2f}, median {median:.2f}, 95 % {p95:.2f} mm"
        print(f"distance to depth, reliable face: {text.format(**surface)}")
    state = "converged" if result["converged"] else "NOT converged"
    print(f"{state} after {result['iterations']} iterations, quality {result['quality']:.2f}")
    _print_judgement(result)
    print(f"edge points: {result['landmark_error_px']:.2f} px")
    print(", ".join(f"{stage} {took:.2f} s" for stage, took in result["seconds"].items()))


def _print_judgement(result: Mapping[str, Any]) -> None:
    """Print what is to be expected of a registration, and every doubt in a sentence.

    A low quality without a doubt is explained by the figures that it owes most to.
    """
    from fg3d_builder.registration.quality import AS_LIKELY_BAD

    errors = [result[name] for name in ("predicted_error_mm", "predicted_surface_mm")]
    vertex, surface = ("unknown" if e is None else f"{e:.1f} mm" for e in errors)
    print(
        f"predicted mean error: vertices {vertex}, surface {surface}; "
        f"measured: {result['coverage']:.0%} of the visible face"
    )
    for doubt in result["doubts"]:
        print(f"doubt: {doubt['sentence']}")
    if result["quality"] < AS_LIKELY_BAD and result["weightiest"]:
        print(f"no doubt by itself; of the error limit: {result['weightiest']}")

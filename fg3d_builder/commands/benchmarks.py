"""`fg3d evaluate now-challenge` and `realy`: what NoW and REALY measure themselves."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import folder_to_write, name
from fg3d_builder.config import LandmarkConfig
from fg3d_builder.errors import ConfigError

if TYPE_CHECKING:
    from fg3d_builder.facemodel.model import FaceModel
    from fg3d_builder.fgnet.trained import Trained

NOW, REALY = "now-challenge", "realy"
CHALLENGES = ("multiview_neutral", "multiview_expressions", "multiview_occlusions", "selfie")

ModelAndNetworks = Callable[[], "tuple[FaceModel, dict[str, Trained]]"]


def add_benchmark_options(command: argparse.ArgumentParser) -> None:
    """Add the options of NoW's challenge and of REALY."""
    command.add_argument(
        "--submission",
        type=folder_to_write,
        metavar="DIR",
        help="now-challenge, realy: write our reconstructions in the layout of a submission",
    )
    command.add_argument(
        "--challenge",
        action="append",
        choices=CHALLENGES,
        metavar="NAME",
        help=f"now-challenge: only NAME of {', '.join(CHALLENGES)}; may be given several times; "
        "default all four",
    )
    command.add_argument(
        "--list",
        type=name,
        metavar="NAME",
        help="now-challenge: list of images in FOLDER; default imagepathsvalidation.txt",
    )
    command.add_argument(
        "--metrical",
        action="store_true",
        help="now-challenge: keep the size of reconstructions, which are in mm",
    )
    command.add_argument(
        "--image-set",
        type=name,
        metavar="NAME",
        help="realy: folder of images in REALY_image; default crop_image_frontal_512x512",
    )


def check_benchmark_options(options: argparse.Namespace) -> None:
    """Refuse options that the protocol does not know, with `ConfigError`."""
    here = options.protocol
    for option, given, known in (
        ("--submission", options.submission is not None, (NOW, REALY)),
        ("--challenge", bool(options.challenge), (NOW,)),
        ("--list", options.list is not None, (NOW,)),
        ("--metrical", options.metrical, (NOW,)),
        ("--image-set", options.image_set is not None, (REALY,)),
        ("--images-only", options.images_only, ("florence", "now", "stirling")),
        ("--truth", options.truth is not None, ("florence", "now", "stirling")),
        ("--unit-mm", options.unit_mm != 1.0, ("florence", "now", "stirling")),
    ):
        if given and here not in known:
            raise ConfigError(f"{option}: not an option of {here}, but of {', '.join(known)}")


def run_benchmark(
    options: argparse.Namespace, methods: dict[str, Path], load: ModelAndNetworks
) -> int:
    """Evaluate on NoW's challenge or REALY; exit status 1 where a method failed on an image.

    Parameters
    ----------
    options : argparse.Namespace
    methods : dict of name to folder
        Other methods.
    load : callable
        Returns the face model and the networks, which takes long.
    """
    return (
        _run_now(options, methods, load)
        if options.protocol == NOW
        else _run_realy(options, methods, load)
    )


def _run_now(options: argparse.Namespace, methods: dict[str, Path], load: ModelAndNetworks) -> int:
    from fg3d_builder.testsets import ProtocolConfig
    from fg3d_builder.testsets.now import LIST_NAME
    from fg3d_builder.testsets.now_challenge import evaluate_now_challenge, open_now_challenge
    from fg3d_builder.testsets.now_report import challenge_table, write_challenge_report

    challenge = open_now_challenge(
        options.folder,
        subjects=options.subject or ("*",),
        challenges=options.challenge or CHALLENGES,
        list_name=options.list or LIST_NAME,
    )
    model, networks = load()
    results = evaluate_now_challenge(
        challenge,
        options.out,
        model,
        networks,
        methods,
        config=ProtocolConfig(landmarks=LandmarkConfig(detector=options.landmarks)),
        metrical=options.metrical,
        submission=options.submission,
        progress=True,
    )
    report = write_challenge_report(results, options.out)
    table = challenge_table(results) if results.rows else ["nothing was measured"]
    failed = bool(results.unusable) or any(row.code for row in results.rows)
    return _end(options, table, len(results.unusable), report, failed)


def _run_realy(
    options: argparse.Namespace, methods: dict[str, Path], load: ModelAndNetworks
) -> int:
    from fg3d_builder.testsets import ProtocolConfig
    from fg3d_builder.testsets.realy import IMAGE_SET, open_realy
    from fg3d_builder.testsets.realy_evaluation import evaluate_realy
    from fg3d_builder.testsets.realy_report import region_table, write_realy_report

    realy = open_realy(
        options.folder,
        subjects=options.subject or ("*",),
        image_set=options.image_set or IMAGE_SET,
    )
    model, networks = load()
    results = evaluate_realy(
        realy,
        options.out,
        model,
        networks,
        methods,
        config=ProtocolConfig(landmarks=LandmarkConfig(detector=options.landmarks)),
        submission=options.submission,
        progress=True,
    )
    report = write_realy_report(results, options.out)
    table = region_table(results) if results.rows else ["nothing could be measured"]
    failed = bool(results.unusable) or any(row.code for row in results.rows)
    return _end(options, table, len(results.unusable), report, failed)


def _end(
    options: argparse.Namespace, table: list[str], unusable: int, report: Path, failed: bool
) -> int:
    print("\n".join(table))
    print(f"{unusable} images or subjects could not be used")
    if options.submission is not None:
        print(f"submission: {options.submission}")
    print(f"report: {report}")
    return 1 if failed else 0

"""`fg3d models blend`: one face model, and the people behind it, of several models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fg3d_builder.commands.arguments import file_to_write, name, number, whole
from fg3d_builder.config import FaceModelConfig
from fg3d_builder.errors import ConfigError

if TYPE_CHECKING:
    from fg3d_builder.facemodel import FaceModel
    from fg3d_builder.records import Array

DESCRIPTION = """\
Mixes the identities of several face models: of the embedded one, of an ICT-FaceKit folder, of
files that `fg3d models import` and `fg3d models learn` wrote. A population that is wider than any
of them teaches a network faces that the embedded one alone never shows. All are carried into the
topology of the first model, `default`, which also gives expressions, landmarks, colours and the
head around the face; mean and modes are those of the mixture, by the weights.

  fg3d models blend default ict.h5 --out blend.h5
  fg3d models blend default ICT-FaceKit learnt.h5 --weights 2 1 1 --out blend.h5

The file is a face model, and holds the people to draw synthetic captures from. In a preset:

  [facemodel]                      [[sources]]
  model = "blend.h5"               kind = "synthetic"
                                   population = "blend.h5"

What is made with it is under the licences of all sources. docs/facemodels/blended.md shows one.
"""

_LEAST_SOURCES = 2


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    command.add_argument(
        "models",
        nargs="+",
        type=name,
        metavar="MODEL",
        help="default, model files (.h5), ICT-FaceKit folders; the first one is default",
    )
    command.add_argument(
        "--weights",
        nargs="+",
        type=number(0, 1e6, above=True),
        metavar="SHARE",
        help="how many faces come from each, in proportion; default: equally many",
    )
    command.add_argument(
        "--modes", type=whole(1, 500), help="identity modes; default: as many as the first has"
    )
    command.add_argument("--name", type=name, default="blend", help="name of the new model")
    command.add_argument(
        "--out", type=file_to_write, required=True, metavar="FILE.h5", help="file to write"
    )
    command.add_argument("--force", action="store_true", help="overwrite the file if it is there")


def run(options: argparse.Namespace) -> int:
    """Blend models and say what came of it."""
    from fg3d_builder.facemodel.blend import blended_model, carried_source
    from fg3d_builder.facemodel.blend_storage import save_blend

    if options.out.exists() and not options.force:
        raise ConfigError(f"{options.out} is there already; --force overwrites it")
    shares = shares_of(options.models, options.weights)
    base, *others = (_model(text) for text in options.models)
    sources = []
    for model, share, said in zip((base, *others), shares, options.models, strict=True):
        try:
            sources.append(carried_source(base, model, share))
        except ValueError as error:
            raise ConfigError(f"{said}: {error}") from None
        spread = _spread_mm(base, sources[-1].deviations_mm)
        apart = _spread_mm(base, (sources[-1].mean_mm - base.mean)[None])
        print(
            f"{said}: {model.name}, {share:.0%} of the faces; they differ from its mean by "
            f"{spread:.1f} mm, and that from the first one's by {apart:.1f} mm",
            flush=True,
        )
    try:
        blend = blended_model(base, sources, options.name, options.modes)
    except ValueError as error:
        raise ConfigError(f"--modes: {error}") from None
    save_blend(blend, sources, options.out)
    print(f"{options.out}: {blend.name}, {len(blend.id_sd)} identity modes")
    print(f"licence: {blend.licence}")
    print(f'next: model = "{options.out}" and population = "{options.out}" in a preset')
    return 0


def shares_of(models: Sequence[str], weights: Sequence[float] | None) -> list[float]:
    """Return the share of each model, together 1.

    Raises
    ------
    ConfigError
        Too few models, another first one, or another number of weights.
    """
    if len(models) < _LEAST_SOURCES:
        raise ConfigError("models blend: expected two models at least, as in `default ict.h5`")
    if models[0] != "default":
        raise ConfigError(
            f"models blend: the first model is '{models[0]}'; expected `default`, whose topology "
            "is that of the synthetic people"
        )
    weights = weights or [1.0] * len(models)
    if len(weights) != len(models):
        raise ConfigError(
            f"--weights: {len(weights)} of them for {len(models)} models, expected one for each"
        )
    return [weight / sum(weights) for weight in weights]


def _model(text: str) -> FaceModel:
    from fg3d_builder.heads.library import get_model

    if Path(text).is_dir():
        config = FaceModelConfig("ict", text)
    elif text == "default" or text.endswith((".h5", ".hdf5")):
        config = FaceModelConfig(text)
    else:
        raise ConfigError(
            f"{text}: no model; expected `default`, a model file (.h5) or an ICT-FaceKit folder "
            "(`fg3d models import` makes files of other models)"
        )
    try:
        return get_model(config)
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(f"{text}: {error}") from None


def _spread_mm(base: FaceModel, deviations_mm: Array) -> float:
    """Root mean square length over the reliable face of deviations (k, n, 3) together."""
    squared = (deviations_mm[:, base.reliable] ** 2).sum(axis=(0, 2))
    return float(np.sqrt(squared.mean()))

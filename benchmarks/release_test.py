"""Whether a network is good enough to ship: it against the 3DMM fit that it starts from.

`python -m benchmarks.release_test --checkpoint RUN/checkpoint.pt` reconstructs all pictures of
`benchmarks.release_pictures` and compares DACE (Eq. 20) and NME (Eq. 18) with the fit's, by set. A
network passes where its DACE is below the fit's on at least 75 % of the real pictures and of all
pictures, and 8 % lower on average over the real ones; the exit status is 1 where it does not.
Writes build/bench/release.json. Truths and fits are kept in --cache: with them, a checkpoint
takes a minute or two.

From Python, `measured` takes pictures and methods by name; `summaries` and `passes` judge its rows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.release_pictures import SETS, ReleasePicture, dace_of, nme_of, pictures
from benchmarks.timings import machine
from fg3d_builder.fgnet.calibration import features_of
from fg3d_builder.fgnet.data.fits import FitBatch
from fg3d_builder.fgnet.prediction import crop_of_fit, fit_batch, predict
from fg3d_builder.fgnet.trained import Trained, load_trained
from fg3d_builder.fgnet.training.checkpoint import load_calibration, read_checkpoint
from fg3d_builder.files.atomic import write_json
from fg3d_builder.records import Array

MIN_SHARE = 0.75
"""Of the pictures, on which a network has to be below the fit."""

MIN_GAIN = 0.08
"""By which its mean DACE over real pictures has to be lower."""

FIT, NETWORK = "fit", "network"
AT_ONCE = 16

Method = Callable[[Sequence[ReleasePicture]], list[Array]]
"""From some pictures to their shapes (n, 3), object frame, mm."""


class Row(NamedTuple):
    """Errors on one picture in per cent of the interocular distance, by method."""

    set_name: str
    picture: str
    dace: dict[str, float]
    nme: dict[str, float]


class Summary(NamedTuple):
    """A method against the fit over some pictures.

    Attributes
    ----------
    name : str
        Of the pictures: a set, ``"real"`` or ``"all"``.
    method : str
    pictures : int
    dace_fit, dace, nme_fit, nme : float
        Means, per cent.
    below : float
        Share of the pictures with a DACE below the fit's.
    """

    name: str
    method: str
    pictures: int
    dace_fit: float
    dace: float
    nme_fit: float
    nme: float
    below: float

    @property
    def gain(self) -> float:
        """By which share the mean DACE is below the fit's."""
        return 1.0 - self.dace / self.dace_fit


def methods(trained: Trained) -> dict[str, Method]:
    """Return all that a trained network's run can make of a picture, the fit first.

    Besides the network that is what it is compared with in an assessment: the fit with the mean
    displacement of the training samples, with what a regression on its coefficients answers, and
    what the network adds to.
    """
    reconstructor = trained.reconstructor
    calibration = load_calibration(read_checkpoint(trained.checkpoint)).to(reconstructor.device)

    def batch(some: Sequence[ReleasePicture]) -> FitBatch:
        photos = [one.photo for one in some]
        crops = [crop_of_fit(trained.model, photo, trained.crop) for photo in photos]
        return fit_batch(trained, photos, crops)

    def constant(some: Sequence[ReleasePicture]) -> list[Array]:
        moved = calibration.constant_mm.cpu().numpy()
        return [one.fit.shape_obj_mm + moved for one in some]

    def ridge(some: Sequence[ReleasePicture]) -> list[Array]:
        fit = batch(some)
        shapes = fit.shape_obj_mm + calibration(features_of(fit.alpha, fit.rotation))
        return list(shapes.cpu().numpy())

    def base(some: Sequence[ReleasePicture]) -> list[Array]:
        fit = batch(some)
        given = reconstructor.simulator.network_input(fit, reconstructor.network.needs)
        found = reconstructor.base(given, fit.shape_obj_mm, features_of(fit.alpha, fit.rotation))
        return list(found.shape_obj_mm.cpu().numpy())

    def network(some: Sequence[ReleasePicture]) -> list[Array]:
        return [found.shape_obj_mm for found in predict(trained, [one.photo for one in some])]

    def fit_alone(some: Sequence[ReleasePicture]) -> list[Array]:
        return [one.fit.shape_obj_mm for one in some]

    return {FIT: fit_alone, "constant": constant, "ridge": ridge, "base": base, NETWORK: network}


def measured(some: Sequence[ReleasePicture], by: Mapping[str, Method]) -> list[Row]:
    """Measure every method on every picture.

    Parameters
    ----------
    some : sequence of ReleasePicture
    by : mapping of str to Method
        Holds at least `FIT`.
    """
    rows = []
    for start in range(0, len(some), AT_ONCE):
        batch = some[start : start + AT_ONCE]
        shapes = {name: method(batch) for name, method in by.items()}
        for number, picture in enumerate(batch):
            own = {name: found[number] for name, found in shapes.items()}
            rows.append(
                Row(
                    picture.set_name,
                    picture.name,
                    {name: dace_of(picture, shape) for name, shape in own.items()},
                    {name: nme_of(picture, shape) for name, shape in own.items()},
                )
            )
    return rows


def summaries(rows: Sequence[Row], method: str) -> list[Summary]:
    """Compare a method with the fit by set, over the real pictures, and over all."""
    names = [name for name in SETS if any(row.set_name == name for row in rows)]
    groups = [(name, [row for row in rows if row.set_name == name]) for name in names]
    groups.append(("real", [row for row in rows if row.set_name != "synthetic"]))
    groups.append(("all", list(rows)))
    return [summary(name, group, method) for name, group in groups if group]


def summary(name: str, rows: Iterable[Row], method: str) -> Summary:
    """Compare a method with the fit over some rows."""
    dace = np.array([(row.dace[FIT], row.dace[method]) for row in rows])
    nme = np.array([(row.nme[FIT], row.nme[method]) for row in rows])
    below = float((dace[:, 1] < dace[:, 0]).mean())
    (dace_fit, dace_own), (nme_fit, nme_own) = dace.mean(axis=0), nme.mean(axis=0)
    return Summary(name, method, len(dace), dace_fit, dace_own, nme_fit, nme_own, below)


def passes(found: Iterable[Summary]) -> bool:
    """Say whether a method's summaries are those of one that may ship."""
    by_name = {one.name: one for one in found}
    enough = all(by_name[name].below >= MIN_SHARE for name in ("real", "all"))
    return bool(enough and by_name["real"].gain >= MIN_GAIN)


def table(found: Iterable[Summary]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [
        "| pictures | method | DACE: fit | method | lower by | lower on | NME: fit | method |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        lines.append(
            f"| {one.name} ({one.pictures}) | {one.method} | {one.dace_fit:.2f} | {one.dace:.2f} "
            f"| {100 * one.gain:.1f} % | {100 * one.below:.0f} % | {one.nme_fit:.2f} "
            f"| {one.nme:.2f} |"
        )
    return lines


def main() -> int:
    """Test the checkpoint that the arguments name; print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--facemodel", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("build/bench/release"))
    parser.add_argument("--any-code", action="store_true", help="take what other code has kept")
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--out", type=Path, default=Path("build/bench/release.json"))
    a = parser.parse_args()
    trained = load_trained(a.checkpoint, torch.device("cpu"), a.facemodel)
    some = pictures(
        a.cache,
        a.data,
        model=trained.model,
        looks=trained.looks,
        sets=tuple(a.only),
        any_code=a.any_code,
    )
    by = methods(trained)
    rows = measured(some, by)
    found = {name: summaries(rows, name) for name in by if name != FIT}
    good = {name: passes(own) for name, own in found.items()}
    for name, own in found.items():
        print("\n".join(table(own)))
        print(f"{name}: {'passes' if good[name] else 'does not pass'}\n")
    result: dict[str, Any] = {
        "checkpoint": str(a.checkpoint),
        "machine": machine(),
        "passes": good,
        "summaries": {name: [one._asdict() for one in own] for name, own in found.items()},
        "rows": [row._asdict() for row in rows],
    }
    write_json(a.out, result)
    return 0 if good[NETWORK] else 1


if __name__ == "__main__":
    sys.exit(main())

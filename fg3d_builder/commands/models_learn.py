"""`fg3d models learn`: a new face model from a finished dataset."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fg3d_builder.commands.arguments import file_to_write, name, number, whole
from fg3d_builder.errors import ConfigError
from fg3d_builder.wording import counted

if TYPE_CHECKING:
    from tqdm import tqdm

    from fg3d_builder.facemodel.learning.measures import Curves
    from fg3d_builder.pipeline.learning import Learnt
    from fg3d_builder.records import Array

LEARN_DESCRIPTION = """\
Learns a face model from the registered faces of a dataset: identities apart from expressions,
unseen vertices not counted, the dataset's own model as the prior. A build with it:
[facemodel] model = "learnt.h5".

  fg3d models learn build/studio/dataset --out learnt.h5
  fg3d models learn build/studio/dataset --out learnt.h5 --measures learnt.json --folds 10
"""

DEFAULT_FOLDS = 5


def add_learn_arguments(command: argparse.ArgumentParser) -> None:
    """Add the options of `fg3d models learn`."""
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument(
        "--out", type=file_to_write, required=True, metavar="FILE.h5", help="model file to write"
    )
    command.add_argument(
        "--modes", type=whole(1, 500), help="identity modes; default: by faces left out"
    )
    command.add_argument(
        "--prior",
        type=number(0, 1e6, above=True),
        metavar="SUBJECTS",
        help="subjects that the old model counts as; default: by faces left out",
    )
    command.add_argument(
        "--expressions", type=whole(0, 100), default=0, help="expressions to learn; default: none"
    )
    command.add_argument("--no-texture", action="store_true", help="keep the old albedo model")
    command.add_argument("--no-mirror", action="store_true", help="take no mirror images")
    command.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        default="train",
        help="captures to learn from; default: train",
    )
    command.add_argument("--facemodel", type=Path, help="the dataset's model, where not inside")
    command.add_argument("--name", type=name, help="name of the new model")
    command.add_argument(
        "--measures",
        type=file_to_write,
        metavar="FILE.json",
        help="write compactness, generalisation and specificity there, with a picture beside it",
    )
    command.add_argument(
        "--folds",
        type=whole(2, 10_000),
        help=f"parts in which subjects are left out, for --measures; default {DEFAULT_FOLDS}",
    )


def run_learn(options: argparse.Namespace) -> int:
    """Learn a model and say what it is worth."""
    from fg3d_builder.facemodel.learning.learn import LearningOptions
    from fg3d_builder.facemodel.storage import load_model, save_model
    from fg3d_builder.pipeline.learning import DatasetLearning, learn_from_dataset
    from fg3d_builder.shards.manifest import read_manifest

    if options.folds and not options.measures:
        raise ConfigError("--folds: only --measures leaves subjects out by parts")
    if options.measures and options.measures.suffix.lower() == ".png":
        raise ConfigError("--measures: expected a name for JSON; the picture beside it is the png")
    splits: tuple[str, ...] = (options.split,)
    if options.split == "all":
        splits = tuple(read_manifest(options.dataset)["splits"])
    wanted = DatasetLearning(
        LearningOptions(options.modes, options.prior, not options.no_mirror, options.expressions),
        texture=not options.no_texture,
        splits=splits,
        name=options.name or "",
    )
    facemodel = load_model(options.facemodel) if options.facemodel else None
    with _Bars() as bars:
        learnt = learn_from_dataset(options.dataset, wanted, facemodel, bars.show)
    save_model(learnt.model, options.out)
    _report(learnt, options.out)
    if options.measures:
        _measure(learnt, options)
    return 0


class _Bars:
    """A progress bar for each kind of work."""

    def __init__(self) -> None:
        self._what = ""
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, what: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None or what != self._what:
            self.__exit__()
            self._what, self._bar = what, tqdm(desc=what, total=total or None)
        self._bar.update(done - self._bar.n)


def _report(learnt: Learnt, out: Path) -> None:
    model, choice = learnt.model, learnt.choice
    subjects = len(learnt.identities.subjects)
    print(f"{out}: {model.name}")
    people = counted(subjects, "subject")
    print(f"from               {counted(learnt.captures, 'capture')} of {people}")
    print(f"identity modes     {len(model.id_sd)} ({len(learnt.old.id_sd)} before)")
    print(f"the old model      counts as {choice.prior_subjects:g} subjects")
    if learnt.albedo_choice is not None:
        print(f"albedo modes       {len(model.albedo_sd)} ({len(learnt.old.albedo_sd)} before)")
    else:
        print("albedo             as before")
    if learnt.without_texture:
        print(f"without skin       {counted(len(learnt.without_texture), 'capture')}")
    print(f"licence            {model.licence}")


def _measure(learnt: Learnt, options: argparse.Namespace) -> None:
    from fg3d_builder.facemodel.learning.choice import mode_grid
    from fg3d_builder.facemodel.learning.components import OldModel
    from fg3d_builder.facemodel.learning.measures import measure_curves
    from fg3d_builder.facemodel.learning.reconstruction import LinearShapes
    from fg3d_builder.files.atomic import write_bytes
    from fg3d_builder.files.encoding import encode_png

    model, old = learnt.model, learnt.old
    folds = min(options.folds or DEFAULT_FOLDS, len(learnt.identities.subjects))
    done = 0

    with _Bars() as bars:

        def left_out() -> None:
            nonlocal done
            done += 1
            bars.show("folds", done, folds)

        curves = measure_curves(
            OldModel.of_shapes(old, not options.no_mirror),
            learnt.identities,
            LinearShapes(model.mean, model.id_basis * model.id_sd),
            old.reliable,
            mode_grid(len(model.id_sd)),
            folds,
            learnt.choice.prior_subjects,
            left_out,
        )
    table = {
        **curves.table(),
        "prior_subjects": learnt.choice.prior_subjects,
        "hidden_error_by_prior_mm": {f"{k:g}": v for k, v in learnt.choice.by_prior.items()},
        "hidden_error_by_modes_mm": {str(k): v for k, v in learnt.choice.by_modes.items()},
    }
    write_bytes(options.measures, json.dumps(table, indent=1).encode())
    picture = options.measures.with_suffix(".png")
    write_bytes(picture, encode_png(measures_picture(curves)))
    for line in measures_text(curves):
        print(line)
    print(f"{options.measures}, {picture}")


def measures_text(curves: Curves) -> list[str]:
    """Return the measures as the lines of a table."""
    before = dict(zip(curves.old_modes, curves.old_generalisation_mm, strict=True))
    lines = [
        f"mean distances in mm; {curves.subjects} subjects, left out in {curves.folds} parts",
        "modes  compactness  generalisation  (old model)  specificity",
    ]
    for i, modes in enumerate(curves.modes):
        old = f"{before[modes]:11.3f}" if modes in before else " " * 11
        lines.append(
            f"{modes:5d}  {curves.compactness_mm[i]:11.3f}  {curves.generalisation_mm[i]:14.3f}  "
            f"{old}  {curves.specificity_mm[i]:11.3f}"
        )
    return lines


def measures_picture(curves: Curves) -> Array:
    """Draw the measures by number of modes, beside the old model's; (H, W, 3) uint8."""
    from fg3d_builder.report.curves import Curve, Panel, curves_picture

    def panel(title: str, label: str, learnt: list[float], old: list[float] | None) -> Panel:
        lines = [Curve("learnt", curves.modes, learnt)]
        if old is not None:
            lines.append(Curve("old model", curves.old_modes, old, "--", 1))
        return Panel(title, label, lines)

    return curves_picture(
        [
            panel("compactness", "RMS displacement, mm", curves.compactness_mm, None),
            panel(
                "generalisation",
                "error of faces left out, mm",
                curves.generalisation_mm,
                curves.old_generalisation_mm,
            ),
            panel(
                "specificity",
                "random faces to the nearest, mm",
                curves.specificity_mm,
                curves.old_specificity_mm,
            ),
        ]
    )

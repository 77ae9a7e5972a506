"""Makes a face model of the files of a published one."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import (
    file_to_read,
    file_to_write,
    folder_to_write,
    name,
    path_to_read,
)
from fg3d_builder.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from fg3d_builder.facemodel.importing import Imported

_MOST_NAMES = 8

DESCRIPTION = """\
Reads the files of a published face model as they come, cuts the face out of its head, and carries
landmarks, edges, contour lines, masks and, where it has none, colours over from the embedded model.
Says which unit was found, what became of each part of the mesh, and how far the landmarks that a
detector sees on the model's rendering are from those carried over. `fg3d models list` names the
kinds; docs/facemodels/ has a page for each: which files are wanted, and where they come from.

  fg3d models import 01_MorphableModel.mat --out bfm.h5
  fg3d models import FLAME2023 --kind flame --out flame.h5 --pictures flame
  fg3d models import head.npz --out ours.h5 --overrides ours.json

Look at the pictures. Where landmarks or the face's outline are wrong, say what is right in a file
for --overrides and import again; docs/facemodels.md shows one, for example
{"landmarks": {"ibug68": {"30": 8320}}}: the nose's tip is the file's vertex 8320, counted from 0.
A preset then says `model = "bfm.h5"`.
"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    command.add_argument("source", type=path_to_read, help="file or folder of the model")
    command.add_argument(
        "--out", type=file_to_write, required=True, metavar="FILE.h5", help="file to write"
    )
    command.add_argument("--kind", type=name, help="kind of the files, where they do not tell it")
    command.add_argument(
        "--overrides", type=file_to_read, metavar="FILE.json", help="corrections by hand"
    )
    command.add_argument(
        "--pictures", type=folder_to_write, metavar="FOLDER", help="also write pictures there"
    )
    command.add_argument("--force", action="store_true", help="overwrite the file if it is there")


def run(options: argparse.Namespace) -> int:
    """Import a model."""
    from fg3d_builder.commands.models_show import write_pictures
    from fg3d_builder.facemodel.importing import import_model
    from fg3d_builder.facemodel.overrides import read_overrides
    from fg3d_builder.facemodel.sources.known import layout_of, read_source
    from fg3d_builder.facemodel.storage import save_model
    from fg3d_builder.heads.library import default_model

    if options.out.exists() and not options.force:
        raise ConfigError(f"{options.out} is there already; --force overwrites it")
    overrides = read_overrides(options.overrides) if options.overrides else None
    kind = options.kind or ""
    source = read_source(options.source, kind)
    print(f"{options.source}: {source.name} ({source.layout}); {source.unit_said}", flush=True)
    # A neighbour of another name than its page says is not read: here that shows.
    files = layout_of(options.source, kind).files(options.source) or (options.source,)
    print(f"  read: {_names(files)}", flush=True)
    imported = import_model(source, default_model(), overrides)
    save_model(imported.model, options.out)
    _say(imported)
    if options.pictures:
        for file in write_pictures(imported.model, options.pictures, 6):
            print(f"  {file}")
    model = shlex.quote(str(options.out))
    print(f"written: {options.out}; next: fg3d models show --model {model}")
    return 0


def _names(files: tuple[Path, ...]) -> str:
    """Return names of files, the middle ones of many left out."""
    names = [file.name for file in files]
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 2], f"{len(names) - _MOST_NAMES + 1} more", names[-1]]
    return ", ".join(names)


def _say(imported: Imported) -> None:
    """Print what became of the mesh, and the figures of the check."""
    model, check = imported.model, imported.check
    assert model.origin is not None
    own = int((model.origin.sheet_vertex >= 0).sum())
    closing = model.vertex_count - own
    around = "no surround" if model.surround is None else f"{model.surround.vertex_count} around it"
    print(
        f"  of {len(model.origin.mean)} vertices {own} are the face, {closing} new ones close "
        f"eyes, mouth and other holes; {around}"
    )
    print(f"  chart: {'its own' if imported.own_chart else 'a new one'}")
    mean, high = check.surface_mm
    print(f"  embedded face on it: {mean:.2f} mm off, 95 % within {high:.2f} mm")
    regions = ", ".join(f"{name} {mm:.1f}" for name, mm in check.by_region_mm.items())
    print(f"  landmarks carried over, from where a detector sees them, mm: {regions}")
    for problem in check.problems:
        print(f"  doubtful: {problem}")

"""Hands out what a dataset has; shapes also in the topology of another face model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fg3d_builder.commands import export_samples
from fg3d_builder.commands.arguments import file_to_read, folder_to_read, folder_to_write
from fg3d_builder.errors import ConfigError
from fg3d_builder.wording import counted

if TYPE_CHECKING:
    from fg3d_builder.facemodel import FaceModel
    from fg3d_builder.facemodel.shape_export import ExportMesh
    from fg3d_builder.records import Array
    from fg3d_builder.shards.reader import ShardReader, StoredShape

DESCRIPTION = """\
Exports samples and shapes of a dataset for other programs.

  fg3d export webdataset build/studio/dataset --out tars --mixed    samples as tar files
  fg3d export images build/studio/dataset --out files               samples as images, npz and csv
  fg3d export shapes build/studio/dataset --out shapes              shapes as npz, obj, ply or glb
  fg3d export shapes build/studio/dataset --out shapes --topology flame.h5 --whole --format obj

`fg3d export webdataset --help` and so on tell more.
"""

_SHAPES = """\
Writes the registered shapes of a dataset (and the new ones, with --new-shapes), one file each, in
millimetres and the object frame, with index.csv, which says for each file whose it is.

  fg3d export shapes build/studio/dataset --out shapes
  fg3d export shapes build/studio/dataset --out shapes --topology flame.h5 --whole --format obj

--topology takes a model file of `fg3d models import`: where two faces are each other is found once,
then every shape is handed out with that model's vertices. --whole gives all vertices of the files
that it was imported from, with the back of the head, eyeballs and teeth as far as it has them:
what a capture does not show follows that model's own statistics. Formats: npz (vertices_mm and
confidence, and topology.npz once), obj (polygons and chart as the model's file has them), both with
--atlas to lay out what comes without a chart, as triangles, for textures; ply and glb (triangles
alone, no chart; glb in metres, as glTF is).
"""

FORMATS = ("npz", "obj", "ply", "glb")
_WITH_CHART = ("npz", "obj")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command, its actions and their options."""
    command = commands.add_parser(
        "export",
        help="export samples as tar files or images, and shapes in any topology",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(metavar="ACTION", dest="action", required=True)
    action = actions.add_parser(
        "shapes",
        help="registered shapes as npz, obj, ply or glb",
        description=_SHAPES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    action.add_argument("dataset", type=folder_to_read, help="folder with manifest.json")
    action.add_argument(
        "--out", type=folder_to_write, required=True, metavar="FOLDER", help="folder to write to"
    )
    action.add_argument("--format", choices=FORMATS, default="npz", help="default: npz")
    action.add_argument(
        "--topology", type=file_to_read, metavar="MODEL.h5", help="in that model's vertices"
    )
    action.add_argument(
        "--whole", action="store_true", help="all of the topology's head, not the face alone"
    )
    action.add_argument(
        "--atlas",
        action="store_true",
        help="obj, npz: lay out a mesh without chart (package xatlas)",
    )
    action.add_argument("--new-shapes", action="store_true", help="also those of new faces")
    action.add_argument("--force", action="store_true", help="write into a folder with files in it")
    action.add_argument(
        "--model-file",
        type=file_to_read,
        metavar="MODEL.h5",
        help="face model, where the dataset may not hold it",
    )
    action.set_defaults(run=run)
    export_samples.add_actions(actions)


class _Out(NamedTuple):
    """A shape as it is handed out."""

    vertices_mm: Array
    confidence: Array


def run(options: argparse.Namespace) -> int:
    """Write the shapes."""
    from fg3d_builder.facemodel.atlas import atlas
    from fg3d_builder.facemodel.storage import load_model
    from fg3d_builder.files.atomic import write_bytes
    from fg3d_builder.files.csv_text import csv_text
    from fg3d_builder.shards.manifest import read_manifest
    from fg3d_builder.shards.reader import ShardReader

    if options.whole and not options.topology:
        raise ConfigError("--whole: needs --topology, a dataset's own model is its face alone")
    if options.atlas and options.format not in _WITH_CHART:
        known = " and ".join(_WITH_CHART)
        raise ConfigError(f"--atlas: {options.format} files get no chart, {known} files do")
    if options.out.is_dir() and any(options.out.iterdir()) and not options.force:
        raise ConfigError(f"{options.out} holds files already; --force writes into it")
    own = load_model(options.model_file) if options.model_file else None
    manifest = read_manifest(options.dataset)
    if own is None and not manifest["facemodel"]["file"]:
        raise ConfigError(
            f"{options.dataset}: the licence of face model '{manifest['facemodel']['name']}' keeps "
            "it out of the dataset; name its file with --model-file"
        )
    splits = manifest["splits"]
    readers = {split: ShardReader(options.dataset, split, own) for split in splits}
    if not readers:
        raise ConfigError(f"{options.dataset}: holds no shapes")
    model = next(iter(readers.values())).model
    target = load_model(options.topology) if options.topology else None
    mesh, convert = _converter(model, target, options.whole)
    if options.atlas and mesh.uv is None:
        mesh = replace(mesh, polygons=mesh.triangles, uv=atlas(mesh.mean, mesh.triangles))
    options.out.mkdir(parents=True, exist_ok=True)
    write = _writer(options.format, mesh, options.out)
    rows = [("file", "capture", "subject", "expression", "split", "shape")]
    for split, shape in _wanted(readers, options.new_shapes):
        name = f"{shape.capture_id}.{shape.shape_source}"
        if Path(name).name != name:
            raise ConfigError(f"{options.dataset}: capture '{name}' is no name for a file")
        out = convert(shape)
        file = write(name, out)
        rows.append(
            (
                file.name,
                shape.capture_id,
                shape.subject_id,
                shape.expression,
                split,
                shape.shape_source,
            )
        )
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{len(rows) - 1} shapes")
    write_bytes(options.out / "index.csv", csv_text(rows).encode())
    known = f"{len(mesh.mean)} vertices each"
    written = f"{counted(len(rows) - 1, 'shape')} as {options.format}"
    print(f"{options.out}: {written}, {known}; index.csv says whose")
    for one in (model, target):
        if one is not None:
            print(f"licence of face model '{one.name}': {one.licence}")
    return 0


def _wanted(readers: dict[str, ShardReader], new_shapes: bool) -> Iterator[tuple[str, StoredShape]]:
    from fg3d_builder.shards.schema import CAPTURED

    for split, reader in readers.items():
        for shape in reader.shapes():
            if new_shapes or shape.shape_source == CAPTURED:
                yield split, shape


def _converter(
    model: FaceModel, target: FaceModel | None, whole: bool
) -> tuple[ExportMesh, Callable[[StoredShape], _Out]]:
    """Return the mesh of what is handed out, and what makes it of a shape."""
    from fg3d_builder.facemodel.shape_export import ShapeExport, sheet_mesh, whole_mesh

    if target is None:
        return sheet_mesh(model), lambda shape: _Out(shape.shape_obj_mm, shape.confidence)
    mesh = whole_mesh(target) if whole else sheet_mesh(target)
    print(
        f"finding where the faces of '{model.name}' and '{target.name}' are each other", flush=True
    )
    export = ShapeExport(model, target, mesh)

    def convert(shape: StoredShape) -> _Out:
        return _Out(export(shape.shape_obj_mm), export.carried(shape.confidence))

    return mesh, convert


def _writer(form: str, mesh: ExportMesh, folder: Path) -> Callable[[str, _Out], Path]:
    """Return what writes one shape into a folder; topology.npz is written at once."""
    from fg3d_builder.files.mesh_io import write_mesh
    from fg3d_builder.files.npz_writing import write_npz
    from fg3d_builder.files.obj_writer import write_polygon_obj
    from fg3d_builder.files.textured_mesh import mesh_with_colors

    def write(name: str, out: _Out) -> Path:
        path = folder / f"{name}.{form}"
        if form == "npz":
            shape, confidence = out.vertices_mm.astype("<f4"), out.confidence.astype("<f4")
            write_npz(path, {"vertices_mm": shape, "confidence": confidence})
        elif form == "obj":
            write_polygon_obj(path, out.vertices_mm, mesh.polygons, mesh.uv)
        else:
            write_mesh(path, mesh_with_colors(out.vertices_mm, mesh.triangles))
        return path

    if form == "npz":
        parts = {"polygons": mesh.polygons, "triangles": mesh.triangles}
        if mesh.uv is not None:
            parts["polygons_uv"] = mesh.uv
        write_npz(folder / "topology.npz", parts)
    return write

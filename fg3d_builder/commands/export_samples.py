"""Hands out the samples of a dataset: as tar files for WebDataset, or as a folder of files."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import file_to_read, folder_to_read, folder_to_write, number
from fg3d_builder.errors import ConfigError
from fg3d_builder.wording import counted

if TYPE_CHECKING:
    from fg3d_builder.facemodel import FaceModel
    from fg3d_builder.shards.part import Part

WEBDATASET = """\
Writes the samples of a dataset as tar files that the package webdataset reads, from a disk or over
a network, in whatever training code.

  fg3d export webdataset build/studio/dataset --out tars --mixed
  fg3d export webdataset build/studio/dataset --out tars --fields shape_obj_mm,confidence

A sample is NUMBER.jpg, the image as it is stored; NUMBER.json with ids, camera, pose, crop and fit;
and NUMBER.npz with the arrays of --fields: alpha_id, alpha_exp, initial_alpha_id and
initial_alpha_exp (the default), visible, shape_obj_mm, confidence, coarse_obj_mm, delta_obj_mm; or
none. Many samples show one shape: unless --fields names them, shapes and confidences stand once
beside the tars, in SPLIT-shape_obj_mm.npy and SPLIT-confidence.npy, at the row that the json calls
shape. With the default model a shape in every sample makes it 141 kB larger.

--mixed writes the samples in a shuffled order, the same every time: readers of tars can
mix only what is near. README.md says what every field means, with units and frames.

Equal datasets give equal bytes. The folder appears when all of it is there; a run that was
interrupted goes on.
"""

IMAGES = """\
Writes the samples of a dataset as files: SPLIT/SUBJECT/CAPTURE/VIEW.SHAPE.jpg, the images as they
are stored; SHAPE.npz beside them, with the shape, its confidence and coefficients, and for each of
its images camera, pose, crop, visible vertices and fit; index.csv, a line for each image;
topology.npz; README.md, which says what every field means, with units and frames.

  fg3d export images build/studio/dataset --out files
  fg3d export images build/studio/dataset --out files --split test

The folder appears when all of it is there; a run that was interrupted goes on.
"""


def add_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the two actions and their options."""
    action = _action(actions, "webdataset", "samples as tar files for WebDataset", WEBDATASET)
    action.add_argument(
        "--fields",
        type=_fields,
        metavar="NAME,...",
        help="arrays in every sample; default: coefficients",
    )
    action.add_argument(
        "--shard-mb",
        metavar="MB",
        type=number(0.1, 1_000_000),
        default=256.0,
        help="about the length of a tar, in millions of bytes; default 256",
    )
    action.add_argument(
        "--mixed", action="store_true", help="in a shuffled order, the same every time"
    )
    action.add_argument(
        "--model-file",
        type=file_to_read,
        metavar="MODEL.h5",
        help="face model for coarse_obj_mm and delta_obj_mm, where the dataset may not hold it",
    )
    action.set_defaults(run=run_webdataset, goes_on=True)
    action = _action(actions, "images", "samples as image files, npz and csv", IMAGES)
    action.set_defaults(run=run_images, goes_on=True)


def run_webdataset(options: argparse.Namespace) -> int:
    """Write tars."""
    from fg3d_builder.shards.sample_source import COMPUTED_ARRAYS
    from fg3d_builder.shards.webdataset_export import (
        DEFAULT_ARRAYS,
        WebDatasetOptions,
        export_webdataset,
        webdataset_request,
    )

    part, splits = _opened(options)
    arrays = DEFAULT_ARRAYS if options.fields is None else options.fields
    wanted = WebDatasetOptions(splits, arrays, options.shard_mb, options.mixed)
    model = _model(part, options.model_file) if set(arrays) & set(COMPUTED_ARRAYS) else None

    def write(note: Callable[[int], object]) -> None:
        export_webdataset(part, options.out, wanted, model, note)

    return _carry_out(options.out, part, splits, webdataset_request(part, wanted), write)


def run_images(options: argparse.Namespace) -> int:
    """Write files."""
    from fg3d_builder.shards.folder_export import export_folder, folder_request

    part, splits = _opened(options)

    def write(note: Callable[[int], object]) -> None:
        export_folder(part, options.out, splits, note)

    return _carry_out(options.out, part, splits, folder_request(part, splits), write)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str, text: str
) -> argparse.ArgumentParser:
    action = actions.add_parser(
        name,
        help=about,
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    action.add_argument("dataset", type=folder_to_read, help="folder with manifest.json")
    action.add_argument(
        "--out", type=folder_to_write, required=True, metavar="FOLDER", help="folder to write"
    )
    action.add_argument(
        "--split",
        action="append",
        choices=("train", "val", "test"),
        help="only this split; may be given again; default: all",
    )
    return action


def _fields(text: str) -> tuple[str, ...]:
    """Take names of arrays with commas between them, or ``none``."""
    from fg3d_builder.shards.sample_source import ARRAYS

    if text == "none":
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in ARRAYS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r}: expected none, or some of {', '.join(ARRAYS)}"
        )
    return names


def _opened(options: argparse.Namespace) -> tuple[Part, tuple[str, ...]]:
    """Open the dataset; return it with the splits that are wanted and not empty."""
    from fg3d_builder.shards.part import open_part
    from fg3d_builder.shards.schema import SPLITS

    part = open_part(options.dataset, "whole")
    there = [name for name in SPLITS if any(s["split"] == name for s in part.manifest["shards"])]
    missing = [name for name in options.split or () if name not in there]
    if missing:
        raise ConfigError(
            f"--split {missing[0]}: {options.dataset} has no samples there; it has "
            f"{' and '.join(there)}"
        )
    return part, tuple(name for name in there if name in (options.split or there))


def _model(part: Part, file: Path | None) -> FaceModel:
    from fg3d_builder.facemodel.storage import load_model
    from fg3d_builder.files.hashes import file_sha256
    from fg3d_builder.shards.manifest import MODEL_NAME

    wanted = part.manifest["facemodel"]
    if file is None and not wanted["file"]:
        raise ConfigError(
            f"{part.folder}: the licence of face model '{wanted['name']}' keeps it out of the "
            "dataset; name its file with --model-file"
        )
    # The topology would not tell models apart whose coefficients mean other shapes.
    if file is not None and file_sha256(file) != wanted["sha256"]:
        raise ConfigError(
            f"{file} is not the face model file '{wanted['name']}' that {part.folder} was built "
            "with"
        )
    return load_model(file or part.folder / MODEL_NAME)


def _carry_out(
    out: Path,
    part: Part,
    splits: tuple[str, ...],
    request: str,
    write: Callable[[Callable[[int], object]], None],
) -> int:
    from tqdm import tqdm

    from fg3d_builder.shards.export_files import is_exported
    from fg3d_builder.shards.overview import licences

    if is_exported(out, request):
        print(f"{out}: is there already, made of the same in the same way")
        return 0
    count = sum(part.manifest["splits"][split]["samples"] for split in splits)
    with tqdm(total=count, unit="sample", disable=None) as bar:
        write(bar.update)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    each = f"{size / count:,.0f} bytes a sample with all that is beside them"
    print(f"{out}: {counted(count, 'sample')} of {', '.join(splits)}; {size / 1e6:.1f} MB, {each}")
    for licence, captures in licences([part]).items():
        print(f"licence of {counted(captures, 'capture')}: {licence or 'not stated'}")
    print(f"licence of the face model: {part.manifest['facemodel']['licence']}")
    return 0

"""Says what a dataset is."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fg3d_builder.commands.arguments import folder_to_read

if TYPE_CHECKING:
    from fg3d_builder.tasks.build_sizes import BuildSizes

DESCRIPTION = """\
Says what a dataset is: subjects, captures, shapes and samples of each split, where they come from
and under which licences, views, sizes, face model, what failed and what was rejected, and whether
all files are there. Of a build's folder also how much room each stage's products take.

  fg3d info build/studio/dataset
  fg3d info build/studio
  fg3d info build/studio/dataset --json > about.json

No image is decoded; `fg3d verify` checks every byte. Exit status 1 where files of the dataset are
missing or cut short, or where a build has none yet; `fg3d status BUILD` says how it goes on.
"""

_VIEW = re.compile(r"view([+-]\d+)([+-]\d+)")
_LEFT = 16
_MOST_NAMED = 6


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "info",
        help="say what a dataset is: whose, how many, how large, made how",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "dataset", type=folder_to_read, help="folder with manifest.json, or a build's"
    )
    command.add_argument("--json", action="store_true", help="all of it, for other programs")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what a dataset is; exit status 1 where it is not whole."""
    from fg3d_builder.shards.manifest import MANIFEST_NAME
    from fg3d_builder.shards.overview import overview
    from fg3d_builder.tasks.build_sizes import build_sizes, is_build

    folder, sizes = options.dataset, None
    if not (folder / MANIFEST_NAME).is_file() and is_build(folder):
        folder, sizes = folder / "dataset", build_sizes(folder)
    about = None if sizes and not folder.exists() else overview(folder)
    if options.json:
        told: dict[str, Any] = {"dataset": about}
        if sizes:
            told["build"] = _as_json(sizes)
        print(json.dumps(told if sizes else about, indent=1, sort_keys=True))
    else:
        if about is not None:
            print("\n".join(_lines(about)))
        if sizes:
            print("\n".join(_build_lines(options.dataset, sizes, about is not None)))
    return 1 if about is None or about["missing"] else 0


def _lines(about: Mapping[str, Any]) -> Iterator[str]:
    missing = about["missing"]
    whole = f"NOT WHOLE: {', '.join(missing[:5])} missing or cut short" if missing else "whole"
    yield f"{about['dataset']}: {whole}; content {about['content_sha256'][:16]}"
    yield from _made(about)
    yield from _splits(about)
    for name in ("sources", "expressions", "licences"):
        yield _row(name, _counted(about[name], "captures"))
    yield from _views(about["views"])
    fits = about["fits"]
    yield _row(
        "initial fits",
        f"{fits.get('detected', 0):,} from landmarks detected in the image, "
        f"{fits.get('projected', 0):,} from projected ones",
    )
    for name, unit in (
        ("quality", ""),
        ("landmark_error_px", " px"),
        ("surface_error_mm", " mm"),
        ("painted", ""),
    ):
        if name in about:
            yield _row(
                name.rpartition("_error")[0] + " error" if unit else name,
                _spread(about[name], unit),
            )
    yield from _room(about)
    model = about["facemodel"]
    yield _row(
        "face model",
        f"{model['name']}, {model['vertices']:,} vertices, {model['identity']} + "
        f"{model['expression']} coefficients, {'in the dataset' if model['file'] else 'not here'}",
    )
    yield _row("", f"licence: {model['licence']}")
    yield from _left_out(about)
    yield from _settings(about)


def _row(name: str, text: str) -> str:
    return f"{name:{_LEFT}}{text}".rstrip()


def _made(about: Mapping[str, Any]) -> Iterator[str]:
    version = about["versions"].get("fg3d-builder", "")
    name = about["config"].get("name", "")
    of = f" of preset '{name}'" if about["made_by"] == "build" else ""
    yield _row("made by", f"fg3d {about['made_by']}{of}, version {version}")
    for part in about["parts"]:
        renamed = part["renamed_subjects"] + part["renamed_captures"]
        lost = part["left_out"].get("samples", 0)
        more = f", {lost:,} left out" if lost else ""
        more += f", {renamed} ids renamed" if renamed else ""
        yield _row(
            "", f"{part['name']}: {part['samples']:,} samples{more}; {part['content_sha256'][:16]}"
        )


def _splits(about: Mapping[str, Any]) -> Iterator[str]:
    columns = ("subjects", "captures", "shapes", "new_shapes", "samples")
    yield _row("", "".join(f"{name.replace('_', ' '):>12}" for name in columns))
    for name, split in (*about["splits"].items(), ("all", about)):
        yield _row(name, "".join(f"{split[column]:>12,}" for column in columns))
    rule = about["split_rule"]
    if rule is None:
        yield _row("split", "everybody stays where their dataset had them")
    else:
        val = f", {rule['val']:g} to val" if rule["val"] else ""
        yield _row("split", f"{rule['test']:g} of the subjects to test{val}, salt '{rule['salt']}'")


def _counted(counts: Mapping[str, int], what: str) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = len(ranked) if len(ranked) <= _MOST_NAMED + 1 else _MOST_NAMED
    shown = [f"{count:,} {name or '(not stated)'}" for name, count in ranked[:most]]
    rest = sum(count for _, count in ranked[most:])
    more = f", {rest:,} of {len(ranked) - most} others" if rest else ""
    return f"{', '.join(shown)}{more} ({what})"


def _views(views: Mapping[str, int]) -> Iterator[str]:
    """Yield samples by pitch (rows) and yaw (columns), the schedule's angles in degrees."""
    turned = {_VIEW.fullmatch(name): count for name, count in views.items()}
    table = {(int(m[1]), int(m[2])): count for m, count in turned.items() if m}
    other = sum(count for match, count in turned.items() if match is None)
    yaws = sorted({yaw for _, yaw in table})
    width = max(7, *(len(f"{count:,}") + 1 for count in views.values())) if views else 7
    yield _row("views", "pitch\\yaw" + "".join(f"{yaw:>+{width}}" for yaw in yaws))
    for pitch in sorted({pitch for pitch, _ in table}, reverse=True):
        cells = (table.get((pitch, yaw)) for yaw in yaws)
        text = "".join(f"{'-' if c is None else format(c, ','):>{width}}" for c in cells)
        yield _row("", f"{pitch:>+9}{text}")
    if other:
        yield _row("", f"{other:,} of other names")


def _spread(values: Mapping[str, float | None], unit: str) -> str:
    if values["median"] is None:
        return "not known"
    return ", ".join(f"{name} {value:.3g}{unit}" for name, value in values.items())


def _room(about: Mapping[str, Any]) -> Iterator[str]:
    size, image = about["bytes"], about["image"]
    yield _row("bytes", f"{_size(size['total'])} in {about['files']:,} files")
    for name in ("images", "shapes", "rest"):
        each = size[name] / about["samples"] if about["samples"] else 0
        word = "poses, fits" if name == "rest" else name
        yield _row("", f"{word:14}{_size(size[name]):>10}{each:>10,.0f} a sample")
    yield _row("", f"{'together':14}{'':10}{size['a_sample']:>10,} a sample")
    for name, count in size.items():
        if name.endswith(".h5"):
            yield _row("", f"{name:14}{_size(count):>10}")
    formats = " and ".join(image["formats"])
    yield _row("images", f"{formats}, {image['size_px']} x {image['size_px']} pixels, sRGB")


def _left_out(about: Mapping[str, Any]) -> Iterator[str]:
    for member, name, what in (
        ("failures", "failed", "captures"),
        ("rejected", "rejected", "captures"),
        ("augmentation_failures", "not turned", "captures and new shapes"),
    ):
        counts = about[member]
        yield _row(name, _counted(counts, what) if counts else "none")
    if about["accepted"]:
        yield _row("accepted", f"{about['accepted']:,} captures by a person's verdict alone")


def _settings(about: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings that differ from the defaults."""
    from fg3d_builder.config import BuildConfig, to_table

    other = dict(_differences(about["config"], to_table(BuildConfig()), ""))
    other = {path: value for path, value in other.items() if path not in ("name", "sources")}
    told = ", ".join(f"{path} {json.dumps(value)}" for path, value in other.items())
    shared = " that all parts share" if about["made_by"] == "merge" else ""
    yield _row("settings", f"{told or 'the defaults'}{shared}")


def _differences(
    table: Mapping[str, Any], default: Mapping[str, Any], path: str
) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        usual = default.get(name)
        if isinstance(value, dict) and isinstance(usual, dict):
            yield from _differences(value, usual, f"{path}{name}.")
        elif value != usual:
            yield f"{path}{name}", value


def _build_lines(root: Path, sizes: BuildSizes, complete: bool) -> Iterator[str]:
    if not complete:
        yield f"{root}: no complete dataset yet; `fg3d build` goes on where it stopped"
    yield f"room in {root}:"
    for number, (name, room) in enumerate(sizes.datasets.items()):
        now = ", the newest" if complete and number == 0 else ""
        yield f"  {name:32}{_size(room.bytes):>10}  {room.files:,} files{now}"
    yield f"  {'report':32}{_size(sizes.report.bytes):>10}  {sizes.report.files:,} files"
    for name, room in sizes.stages.items():
        yield f"  {'work: ' + name:32}{_size(room.bytes):>10}  {room.files:,} files"
    total = sum(room.bytes for room in sizes.stages.values())
    yield f"  {'stage products, together':32}{_size(total):>10}"
    yield f"`fg3d clean --root {root} --dry-run` says which of them no dataset needs any more."


def _as_json(sizes: BuildSizes) -> dict[str, Any]:
    return {
        "datasets": {name: room._asdict() for name, room in sizes.datasets.items()},
        "stages": {name: room._asdict() for name, room in sizes.stages.items()},
        "report": sizes.report._asdict(),
    }


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"

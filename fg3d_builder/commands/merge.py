"""Makes one dataset of several."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import folder_to_read
from fg3d_builder.commands.derived_datasets import add_output, add_rule, carry_out, rule_from
from fg3d_builder.errors import ConfigError

if TYPE_CHECKING:
    from fg3d_builder.shards.part import Part

DESCRIPTION = """\
Makes one dataset of several finished ones with the same face model, size and margin of images.
Samples stay as they are, images are copied and not encoded again, and the parts are only read.

  fg3d merge build/studio/dataset build/phone/dataset --out build/both
  fg3d merge studio=/data/a/dataset phone=/data/b/dataset --out build/both --same-subjects apart

Whether the subject 001 of two datasets is one person, no program can tell: where an id is in
several, nothing is merged until --same-subjects says it. `apart` renames those ids, and no others,
to NAME-001, after the dataset; its NAME is that of its folder, or of the build where the folder is
called dataset. The same holds for captures; `first` takes one that is in several from the dataset
that was named first, also where that one rejected it. Sample ids and seeds follow from capture ids.

Everybody stays in train or test. Who is in both is named, and nothing is merged; --test SHARE
splits all subjects anew, see `fg3d split --help`. The manifest holds the settings that all share,
and under `derived` each dataset's own, with its failures, rejections and new names.

The dataset appears when all of it is there and verified; a run that was interrupted goes on.
`fg3d info FOLDER` then says what is in it.
"""

_NAMED = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)=(.+)", re.DOTALL)
_GIVEN_BY_BUILDS = re.compile(r"dataset(-[0-9a-f]{12})?")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "merge",
        help="one dataset of several",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "datasets",
        nargs="+",
        type=_named_folder,
        metavar="[NAME=]DATASET",
        help="two or more folders with manifest.json",
    )
    add_output(command)
    command.add_argument(
        "--same-subjects",
        choices=("join", "apart"),
        help="an id in several datasets is one person (join), or two (apart); default: refuse",
    )
    command.add_argument(
        "--same-captures",
        choices=("first", "apart"),
        help="an id in several datasets is one capture, taken from the first that names it, or "
        "two; default: refuse, and apart where subjects are",
    )
    add_rule(command, "split anew, with this share of the subjects to test")
    command.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Merge."""
    from fg3d_builder.shards.derived_dataset import Derivation
    from fg3d_builder.shards.derived_manifest import MERGED, check_together
    from fg3d_builder.shards.derived_plan import plan_derived
    from fg3d_builder.shards.merging import common_rule, kept_splits, new_splits, with_new_names

    if len(options.datasets) < 2:
        raise ConfigError("one dataset alone: expected two or more to merge")
    opened = [_opened(name, folder) for name, folder in options.datasets]
    check_together(opened)
    rule = rule_from(options, [dict(part.manifest) for part in opened])
    parts = with_new_names(opened, options.same_subjects, options.same_captures)
    splits = kept_splits(parts) if rule is None else new_splits(parts, rule)
    plan = plan_derived(parts, splits)
    _tell_licences(parts)
    rule = rule or common_rule(parts, splits)
    return carry_out(options, Derivation(MERGED, parts, plan, rule))


def _opened(name: str, folder: Path) -> Part:
    from fg3d_builder.shards.part import open_part

    return open_part(folder, name or _name_of(folder))


def _tell_licences(parts: list[Part]) -> None:
    """Print under which licences the captures are, and the face model."""
    from fg3d_builder.shards.overview import licences
    from fg3d_builder.wording import counted

    for licence, count in licences(parts).items():
        print(f"licence of {counted(count, 'capture')}: {licence or 'not stated'}")
    print(f"licence of the face model: {parts[0].manifest['facemodel']['licence']}")


def _named_folder(text: str) -> tuple[str, Path]:
    """Take ``FOLDER`` or ``NAME=FOLDER``; a folder that is there is never cut at a sign."""
    found = _NAMED.fullmatch(text)
    try:
        return "", folder_to_read(text)
    except argparse.ArgumentTypeError:
        if found is None:
            raise
    return found.group(1), folder_to_read(found.group(2))


def _name_of(folder: Path) -> str:
    """Return what a dataset is called after its folder."""
    path = Path(folder.absolute())
    name = path.parent.name if _GIVEN_BY_BUILDS.fullmatch(path.name) else path.name
    if not _NAMED.fullmatch(f"{name}=x"):
        raise ConfigError(f"{folder}: its name is none for ids; call it with NAME=FOLDER")
    return name

"""The manifest of a dataset that was made of others: what they all say, and each one's own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fg3d_builder.config import digest
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.atomic import replacing
from fg3d_builder.shards.derived_plan import Plan
from fg3d_builder.shards.manifest import (
    MODEL_NAME,
    TOPOLOGY_NAME,
    describe_dataset,
    described_files,
    may_be_shared,
)
from fg3d_builder.shards.part import FAILED, Part, check_unaltered
from fg3d_builder.shards.problems import Problems, Remedy
from fg3d_builder.shards.split import SplitRule

MERGED, SPLIT_ANEW = "merge", "split"
KINDS = (MERGED, SPLIT_ANEW)
"""``derived.by``: the command that made a dataset."""

_OF_THE_WHOLE = {"schema", "shard_schema", "fields", "shards", "files", "splits", "seal_sha256"}
_OF_THE_WHOLE |= {"facemodel"}
"""Members that a derived manifest has for all parts together; the others it has of each part."""

_SAME_IN_ALL = ("image_size", "crop_margin")
"""Settings of shards that a network takes for granted of all its samples."""


def check_together(parts: Sequence[Part]) -> None:
    """Refuse datasets that cannot be one.

    Raises
    ------
    ConfigError
        Other topologies or face models, other sizes or margins of images, a dataset named twice;
        names both datasets and both values.
    """
    first = parts[0]
    for part in parts[1:]:
        for member, why in (
            ("topology_hash", "their shapes have other vertices"),
            ("sha256", "coefficients of one mean nothing to the other"),
        ):
            a, b = (p.manifest["facemodel"] for p in (first, part))
            if a[member] != b[member]:
                raise ConfigError(
                    f"{first.folder} and {part.folder}: facemodel.{member} is '{a[member][:16]}' "
                    f"({a['name']}) and '{b[member][:16]}' ({b['name']}): {why}"
                )
        for name in _SAME_IN_ALL:
            a, b = (p.manifest["config"]["shards"][name] for p in (first, part))
            if a != b:
                raise ConfigError(
                    f"{first.folder} and {part.folder}: shards.{name} is {a} and {b}; "
                    "one dataset has one of them"
                )
    _refuse_twice(parts)


def _refuse_twice(parts: Sequence[Part]) -> None:
    seen: dict[str, Part] = {}
    for part in parts:
        other = seen.setdefault(part.manifest["content_sha256"], part)
        if other is not part:
            raise ConfigError(f"{other.folder} and {part.folder} are the same dataset")
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            folders = " and ".join(str(part.folder) for part in parts if part.name == name)
            raise ConfigError(
                f"{folders}: both are called '{name}'; call them apart with NAME=FOLDER"
            )


def copy_files(parts: Sequence[Part], folder: Path) -> None:
    """Copy topology and, where its licence allows, face model from the first part that has it.

    Raises
    ------
    ConfigError
        The file has other content than its manifest says.
    """
    for name in (TOPOLOGY_NAME, MODEL_NAME):
        if name == MODEL_NAME and not may_be_shared(parts[0].manifest["facemodel"]["licence"]):
            continue
        for part in parts:
            entry = next((e for e in described_files(part.manifest) if e["file"] == name), None)
            if entry is not None:
                check_unaltered(part.folder, entry)
                with replacing(folder / name) as temporary:
                    shutil.copyfile(part.folder / name, temporary)
                break


def derived_manifest(
    folder: Path, parts: Sequence[Part], plan: Plan, by: str, rule: SplitRule | None, request: str
) -> dict[str, Any]:
    """Describe a folder with the shards of a plan, see `docs/dataset.md`.

    ``config`` holds the settings that all parts share, ``derived`` each one's whole
    configuration and all else that its manifest says of it alone.

    Parameters
    ----------
    folder : Path
    parts : sequence of Part
    plan : Plan
        Whose shards are in the folder.
    by : str
        `MERGED` or `SPLIT_ANEW`.
    rule : SplitRule, optional
        Split of the whole; without one everybody stays in the split of their part.
    request : str
        Identity of what was asked for.

    Raises
    ------
    DamagedFileError
        A shard does not fit its seal; it was set aside.
    """
    config = shared_settings([part.manifest["config"] for part in parts])
    one = {k: parts[0].manifest["facemodel"][k] for k in ("name", "licence", "topology_hash")}
    members = {
        "config": config,
        "config_digest": digest(config),
        "accepted": sorted(name for part in parts for name in part.accepted()),
        **{member: _sorted_rows(parts, member) for member in FAILED},
        "derived": {
            "by": by,
            "request": request,
            "split_rule": None if rule is None else rule.table(),
            "parts": [_described_part(part, plan) for part in parts],
        },
    }
    return describe_dataset(
        folder, {**one, "sha256": parts[0].manifest["facemodel"]["sha256"]}, members
    )


def shared_settings(tables: Sequence[Any]) -> Any:
    """Return the settings that are the same in all tables; a list is the same or is left out."""
    first = tables[0]
    if not isinstance(first, dict):
        return first
    found = {}
    for name, value in first.items():
        values = [table[name] for table in tables if name in table]
        if len(values) < len(tables):
            continue
        if all(isinstance(one, dict) for one in values):
            found[name] = shared_settings(values)
        elif all(one == value for one in values):
            found[name] = value
    return found


def made_by(manifest: Mapping[str, Any]) -> str:
    """Return the command that made a dataset of others, `MERGED` where that is not said.

    ``""`` for a build's.
    """
    if "derived" not in manifest:
        return ""
    derived = manifest["derived"]
    by = derived.get("by") if isinstance(derived, dict) else None
    return by if by in KINDS else MERGED


def check_derived(manifest: Mapping[str, Any], problems: Problems, file: str) -> None:
    """Check what a derived manifest says of its parts against itself."""
    derived = manifest["derived"]
    parts = derived["parts"]

    def check(condition: Any, sentence: str) -> None:
        problems.check(condition, file, f"derived: {sentence}", Remedy.REMOVE_AND_BUILD)

    check(derived["by"] in KINDS, f"by is '{derived['by']}'")
    names = [part["name"] for part in parts]
    check(names and len(set(names)) == len(names), "its parts have no names of their own")
    listed = sorted(name for part in parts for name in part["shards"])
    check(
        listed == sorted(entry["file"] for entry in manifest["shards"]),
        "the shards of its parts are not those of the dataset",
    )
    of_all = {entry["file"]: entry for entry in manifest["shards"]}
    for part in parts:
        mine = [of_all[name] for name in part["shards"] if name in of_all]
        for table in ("captures", "shapes", "samples"):
            total = sum(entry[table] for entry in mine)
            check(part[table] == total, f"'{part['name']}' says {part[table]} {table}, {total} are")
        right = digest(part["config"]) == part["config_digest"]
        check(right, f"config_digest of '{part['name']}' is another's")
    same = parts and shared_settings([part["config"] for part in parts]) == manifest["config"]
    check(same, "config is not what the settings of its parts share")


def _described_part(part: Part, plan: Plan) -> dict[str, Any]:
    mine = [shard for shard in plan.shards if shard.part.name == part.name]
    own = {name: value for name, value in part.manifest.items() if name not in _OF_THE_WHOLE}
    return {
        **own,
        "name": part.name,
        "shards": [shard.name for shard in mine],
        **{
            table: sum(shard.count(table) for shard in mine)
            for table in ("captures", "shapes", "samples")
        },
        "left_out": dict(sorted(plan.dropped[part.name].items())),
        "renamed_captures": dict(sorted(part.captures.items())),
        "renamed_subjects": dict(sorted(part.subjects.items())),
    }


def _sorted_rows(parts: Sequence[Part], member: str) -> list[dict[str, Any]]:
    rows = [row for part in parts for row in part.rows(member)]
    return sorted(rows, key=lambda row: str(row["capture_id"]))

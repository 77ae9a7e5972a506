"""Writes a dataset that is made of others, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fg3d_builder.config import digest
from fg3d_builder.files.atomic import write_json
from fg3d_builder.files.whole_folder import whole_folder
from fg3d_builder.shards.derived_manifest import copy_files, derived_manifest
from fg3d_builder.shards.derived_plan import MOST_BYTES, Plan, PlannedShard
from fg3d_builder.shards.derived_writing import write_shards
from fg3d_builder.shards.manifest import (
    MANIFEST_NAME,
    MANIFEST_SCHEMA,
    missing_files,
    read_manifest,
)
from fg3d_builder.shards.part import Part
from fg3d_builder.shards.schema import SCHEMA
from fg3d_builder.shards.split import SplitRule
from fg3d_builder.shards.verify import verify_dataset


class Derivation(NamedTuple):
    """What is made of what.

    Attributes
    ----------
    by : str
        `derived_manifest.MERGED` or `derived_manifest.SPLIT_ANEW`.
    parts : sequence of Part
    plan : Plan
    rule : SplitRule, optional
        None: everybody stays in their split.
    """

    by: str
    parts: Sequence[Part]
    plan: Plan
    rule: SplitRule | None

    def identity(self) -> str:
        """Return what the result depends on, in 12 hexadecimal digits."""
        parts: list[Any] = [
            [
                part.name,
                part.manifest["content_sha256"],
                dict(part.captures),
                dict(part.subjects),
                sorted(part.left_out),
            ]
            for part in self.parts
        ]
        rule = None if self.rule is None else self.rule.table()
        return digest(SCHEMA, MANIFEST_SCHEMA, MOST_BYTES, self.by, parts, rule)


def is_there(out: Path, wanted: Derivation) -> bool:
    """Whether a folder is the very dataset that is wanted, as far as its files' lengths tell."""
    if not (out / MANIFEST_NAME).is_file():
        return False
    try:
        derived = read_manifest(out).get("derived", {})
    except ValueError:
        return False
    return derived.get("request") == wanted.identity() and not missing_files(out)


def write_derived(
    out: Path,
    wanted: Derivation,
    note: Callable[[PlannedShard], object] = lambda _: None,
    verify: Callable[[], object] | None = None,
) -> None:
    """Write a dataset of others.

    What an interrupted run of the same derivation has finished is kept.

    Parameters
    ----------
    out : Path
        Must not be there yet, or be an empty folder.
    wanted : Derivation
    note : callable
        Is told of every shard that is there.
    verify : callable, optional
        Is called before the whole is verified; without it that is left out.

    Raises
    ------
    ConfigError
        `out` holds files; or a file of a part has other content than its manifest says.
    DamagedFileError
        A shard that an interrupted run wrote was damaged since; it was set aside.
    ValueError
        What was written is not a good dataset, such as one made of parts that are none.
    OSError
    """
    with whole_folder(out, wanted.identity()) as folder:
        copy_files(wanted.parts, folder)
        for shard in write_shards(wanted.plan, folder):
            note(shard)
        manifest = derived_manifest(
            folder, wanted.parts, wanted.plan, wanted.by, wanted.rule, wanted.identity()
        )
        write_json(folder / MANIFEST_NAME, manifest)
        if verify is not None:
            verify()
            _refuse_bad(folder, [part.folder for part in wanted.parts])


def _refuse_bad(folder: Path, sources: Sequence[Path]) -> None:
    report = verify_dataset(folder)
    if not report.ok:
        (folder / MANIFEST_NAME).unlink()
        problem, more = report.problems[0], len(report.problems) - 1
        others = f" and {more} more problems" if more else ""
        names = ", ".join(f"`fg3d verify {source}`" for source in sources)
        raise ValueError(f"nothing was made: {problem}{others}; see {names}")

"""One of the datasets that another one is made of, and what is taken of it under which names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fg3d_builder.errors import ConfigError
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.shards.columns import ShardContent, read_content
from fg3d_builder.shards.manifest import missing_files, read_manifest

FAILED = ("failures", "augmentation_failures", "rejected")
"""Members of a manifest with rows about captures that are not, or not wholly, in the shards."""


@dataclass(frozen=True)
class Part:
    """A dataset that is there, and how it goes into another one.

    Attributes
    ----------
    name : str
        What it is called in the other one's manifest.
    folder : Path
    manifest : dict
    contents : tuple of ShardContent
        What its shards hold of whom, in the manifest's order.
    captures, subjects : mapping of str to str
        New ids of those that get one.
    left_out : frozenset of str
        Captures, by the ids that they have here, about which another part decides.
    """

    name: str
    folder: Path
    manifest: Mapping[str, Any]
    contents: tuple[ShardContent, ...]
    captures: Mapping[str, str] = field(default_factory=dict)
    subjects: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    def members(self) -> Iterator[tuple[str, str, str]]:
        """Yield capture, subject and split of all captures in its shards, by their ids here."""
        for shard in self.contents:
            for capture, subject in zip(shard.captures, shard.subjects, strict=True):
                yield capture, subject, shard.head.split

    def known(self) -> dict[str, str]:
        """Return the subject of every capture that it names, whatever became of it.

        The subject is ``""`` where it is not known.
        """
        rows = (row for member in FAILED for row in self.manifest[member])
        failed = {row["capture_id"]: row["subject_id"] for row in rows if row["capture_id"]}
        return failed | {capture: subject for capture, subject, _ in self.members()}

    def rows(self, member: str) -> list[dict[str, Any]]:
        """Return the rows of a member in `FAILED` under the new ids, without what is left out."""
        return [
            {
                **row,
                "capture_id": self.captures.get(row["capture_id"], row["capture_id"]),
                "subject_id": self.subjects.get(row["subject_id"], row["subject_id"]),
            }
            for row in self.manifest[member]
            if row["capture_id"] not in self.left_out
        ]

    def accepted(self) -> list[str]:
        """Return what only a person's verdict kept, under the new ids."""
        kept = (name for name in self.manifest["accepted"] if name not in self.left_out)
        return [self.captures.get(name, name) for name in kept]


def open_part(folder: Path, name: str) -> Part:
    """Open a dataset that is whole, as far as its manifest and the files' lengths tell.

    Raises
    ------
    FileNotFoundError
        No manifest there.
    ValueError
        A manifest that does not fit its seal or has another schema; or a shard that is none.
    ConfigError
        Files are missing or cut short; or there are no shards.
    """
    manifest = read_manifest(folder)
    missing = missing_files(folder)
    if missing:
        raise ConfigError(
            f"{folder}: {', '.join(missing[:5])}: missing or not as long as the manifest says; "
            f"`fg3d verify {folder}` says how to repair the dataset"
        )
    if not manifest["shards"]:
        raise ConfigError(f"{folder}: the dataset has no shards")
    contents = (read_content(folder / shard["file"]) for shard in manifest["shards"])
    return Part(name, folder, manifest, tuple(contents))


def check_unaltered(folder: Path, entry: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where a file has another SHA-256 than its manifest's entry."""
    if file_sha256(folder / entry["file"]) != entry["sha256"]:
        raise ConfigError(
            f"{folder / entry['file']}: SHA-256 differs from the manifest's; "
            f"`fg3d verify {folder}` says how to repair the dataset"
        )

"""Verdicts and decisions of a build on disk; `review` knows what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from fg3d_builder.config import digest
from fg3d_builder.files.sealed import read_sealed_as, read_sealed_json, write_sealed_json
from fg3d_builder.layout import BuildLayout
from fg3d_builder.review.decisions import Decisions, Rejection, Verdict, verdicts_of
from fg3d_builder.review.review_list import read_review_list, update_review_list
from fg3d_builder.tasks.base import if_there, log
from fg3d_builder.tasks.read_once import ReadOnce

_NAMED = 5


def freeze_verdicts(layout: BuildLayout, capture_ids: Iterable[str]) -> str:
    """Keep the verdicts of the review list for this build; return their digest.

    So every process of a build works by the same verdicts, whenever the list is edited.
    Verdicts about other captures than `capture_ids` are left out: builds may share a list.

    Raises
    ------
    ConfigError
        The list cannot be read.
    """
    table = _verdicts(layout, capture_ids)
    key = digest(table)
    if if_there(lambda: read_sealed_json(layout.verdicts(key))) is None:
        write_sealed_json(layout.verdicts(key), table)
    return key


def verdicts_now(layout: BuildLayout, capture_ids: Iterable[str]) -> str:
    """Return the digest that `freeze_verdicts` would, and write nothing."""
    return digest(_verdicts(layout, capture_ids))


def _verdicts(layout: BuildLayout, capture_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    given, known = verdicts_of(read_review_list(layout.review_list)), set(capture_ids)
    return {name: verdict._asdict() for name, verdict in given.items() if name in known}


def complete_list(
    layout: BuildLayout, capture_ids: Iterable[str], qualities: Mapping[str, float]
) -> None:
    """Write the qualities into the review list; warn of verdicts about unknown captures."""
    content = update_review_list(layout.review_list, lambda old: old.with_qualities(qualities))
    known = set(capture_ids)
    unknown = [name for name in verdicts_of(content) if name not in known]
    if unknown:
        more = ", ..." if len(unknown) > _NAMED else ""
        log.warning(
            "%s: verdicts about captures that this build does not have: %s%s",
            layout.review_list,
            ", ".join(unknown[:_NAMED]),
            more,
        )


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """Read what `freeze_verdicts` wrote."""
    return read_sealed_as(path, lambda t: {name: Verdict(**row) for name, row in t.items()})


def write_decisions(path: Path, decisions: Decisions) -> None:
    """Write the decisions of a build."""
    write_sealed_json(path, asdict(decisions))


class Decided(NamedTuple):
    """Decisions of a build, with the identity of what they leave out.

    Attributes
    ----------
    decisions : Decisions
    identity : str
        Digest of what is left out.
    """

    decisions: Decisions
    identity: str


def _decided(table: dict[str, Any]) -> Decided:
    rejected = tuple(Rejection(**row) for row in table["rejected"])
    accepted = tuple(table["accepted"])
    return Decided(Decisions(table["qualities"], rejected, accepted), digest(rejected, accepted))


read_decisions = ReadOnce(lambda path: read_sealed_as(path, _decided))
"""Reads what `write_decisions` wrote, once per process."""

"""Verdicts and decisions of a build on disk; `review` knows what they mean."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from fg3d_builder.config import digest
from fg3d_builder.files.sealed import read_sealed_json, write_sealed_json
from fg3d_builder.layout import BuildLayout
from fg3d_builder.review.decisions import Decisions, Rejection, Verdict, verdicts_of
from fg3d_builder.review.review_list import read_review_list, update_review_list

log = logging.getLogger("fg3d")

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
    given, known = verdicts_of(read_review_list(layout.review_list)), set(capture_ids)
    table = {name: verdict._asdict() for name, verdict in given.items() if name in known}
    key = digest(table)
    if not layout.verdicts(key).is_file():
        write_sealed_json(layout.verdicts(key), table)
    return key


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
    return {name: Verdict(**row) for name, row in read_sealed_json(path).items()}


def write_decisions(path: Path, decisions: Decisions) -> None:
    """Write the decisions of a build."""
    write_sealed_json(path, asdict(decisions))


@lru_cache(maxsize=2)
def read_decisions(path: Path) -> Decisions:
    """Read what `write_decisions` wrote, once per process: the name covers the content."""
    table = read_sealed_json(path)
    return Decisions(
        table["qualities"],
        tuple(Rejection(**row) for row in table["rejected"]),
        tuple(table["accepted"]),
    )

"""Facts of a stage's product, in a small file beside it.

Who only counts, decides or reports needs no images: it reads these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fg3d_builder.files.sealed import read_sealed_as, write_sealed_json
from fg3d_builder.pipeline.dataset import Member
from fg3d_builder.records import Failure
from fg3d_builder.shards.costs import Cost


@dataclass(frozen=True)
class Facts:
    """What is known of the product of one stage and chunk.

    Attributes
    ----------
    failures : sequence of Failure
        The product's.
    members : sequence of Member
        Of the registration: the captures that are registered.
    seconds : mapping of str to float
        What each capture took; empty where that is no longer known.
    cost : Cost, optional
        What the task took to make the product; None where that is not known.
    beside_s : float
        Of new shapes: seconds by the clock in which the task made the chunk's turned views, too.
        Those have their own facts.
    """

    failures: Sequence[Failure] = ()
    members: Sequence[Member] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    cost: Cost | None = None
    beside_s: float = 0.0


def write_facts(path: Path, facts: Facts) -> None:
    """Write facts, whole or not at all."""
    write_sealed_json(path, asdict(facts), path.parent.name)


def read_facts(path: Path) -> Facts:
    """Read what `write_facts` wrote.

    Raises
    ------
    FileNotFoundError, DamagedFileError
    """
    return read_sealed_as(path, _facts, path.parent.name)


def _facts(table: dict[str, Any]) -> Facts:
    cost = table.get("cost")  # facts of earlier versions have none, nor `beside_s`
    return Facts(
        tuple(Failure(**row) for row in table["failures"]),
        tuple(Member(**row) for row in table["members"]),
        table["seconds"],
        Cost(**cost) if cost is not None else None,
        table.get("beside_s", 0.0),
    )

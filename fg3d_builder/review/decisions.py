"""From qualities and verdicts to what a dataset leaves out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from fg3d_builder.review.review_list import AUTO, REJECT, ReviewList, is_kept


class Verdict(NamedTuple):
    """A person's decision about a capture: ``"accept"`` or ``"reject"``, and why.

    Attributes
    ----------
    verdict : str
    note : str
    """

    verdict: str
    note: str


@dataclass(frozen=True)
class Rejection:
    """One registration that is kept as a product but left out of the dataset.

    Attributes
    ----------
    capture_id, subject_id : str
    quality : float
        `Registration.quality`.
    code : str
        ``"low_quality"`` (below the threshold) or ``"by_hand"`` (in the review list).
    message : str
        For a person: the two figures and the reasons, or the note in the list.
    """

    capture_id: str
    subject_id: str
    quality: float
    code: str
    message: str


@dataclass(frozen=True)
class Decisions:
    """What becomes of the registrations of a build.

    Attributes
    ----------
    qualities : dict of str to float
        Quality of every registration, by capture id.
    rejected : tuple of Rejection
        What is left out, in the order of the ids.
    accepted : tuple of str
        Ids that only a person's verdict keeps in the dataset, in order.
    """

    qualities: dict[str, float]
    rejected: tuple[Rejection, ...]
    accepted: tuple[str, ...]

    @cached_property
    def by_quality(self) -> tuple[str, ...]:
        """Ids of all registrations, the lowest quality first, and before it what has none."""

        def order(name: str) -> tuple[bool, float, str]:
            quality = self.qualities[name]
            return not math.isnan(quality), quality, name

        return tuple(sorted(self.qualities, key=order))

    @property
    def rejected_ids(self) -> frozenset[str]:
        """Ids of what is left out."""
        return frozenset(rejection.capture_id for rejection in self.rejected)


def verdicts_of(content: ReviewList) -> dict[str, Verdict]:
    """Return the verdicts that a person gave, sorted by capture id."""
    return {
        name: Verdict(entry.verdict, entry.note)
        for name, entry in sorted(content.entries.items())
        if entry.verdict != AUTO
    }


def decide(
    subjects: Mapping[str, str],
    qualities: Mapping[str, float],
    verdicts: Mapping[str, Verdict],
    min_quality: float,
    reasons: Mapping[str, str] | None = None,
) -> Decisions:
    """Decide about every registration; a person's verdict overrules the threshold.

    Parameters
    ----------
    subjects, qualities : mapping
        Of every registration, by capture id.
    verdicts : mapping
    min_quality : float
        A registration below it is left out; so is one whose quality is no number.
    reasons : mapping, optional
        Why a quality is low, by capture id, for people.
    """
    reasons = reasons or {}
    rejected, accepted = [], []
    for name, quality in sorted(qualities.items()):
        verdict = verdicts.get(name, Verdict(AUTO, ""))
        if is_kept(verdict.verdict, quality, min_quality):
            if not is_kept(AUTO, quality, min_quality):
                accepted.append(name)
            continue
        code, message = "low_quality", f"quality {quality:.3f} < {min_quality:g}"
        message += f": {reasons[name]}" if reasons.get(name) else ""
        if verdict.verdict == REJECT:
            code, message = "by_hand", verdict.note or "rejected in the review list"
        rejected.append(Rejection(name, subjects[name], quality, code, message))
    return Decisions(dict(qualities), tuple(rejected), tuple(accepted))

"""A person's verdicts: what the review list says now, and changes that overwrite nobody else's."""

from __future__ import annotations

import threading
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from fg3d_builder.browser.listing import REGISTERED, DatasetNow, ListedCapture, Listing
from fg3d_builder.errors import ConfigError
from fg3d_builder.review.decisions import Verdict
from fg3d_builder.review.review_list import (
    AUTO,
    VERDICTS,
    ReviewEntry,
    ReviewList,
    is_kept,
    read_review_list,
    update_review_list,
)
from fg3d_builder.tasks.read_once import ReadOnce

LONGEST_NOTE = 1000
"""Characters."""

_NONE = Verdict(AUTO, "")


class ChangedMeanwhileError(Exception):
    """The list no longer says what the person who gives a verdict has seen.

    Attributes
    ----------
    now : Verdict
        What it says.
    """

    def __init__(self, now: Verdict) -> None:
        super().__init__("the list was changed meanwhile, by another page or an editor")
        self.now = now


@dataclass(frozen=True)
class Judged:
    """What becomes of a capture by the list as it is.

    Attributes
    ----------
    verdict : Verdict
    kept : bool, optional
        Whether the next build takes it into the dataset; None without a registration.
    in_dataset : bool, optional
        Whether it is in the dataset that is there; None where there is none.
    """

    verdict: Verdict
    kept: bool | None
    in_dataset: bool | None

    @property
    def changes(self) -> bool:
        """Whether the next build puts it into the dataset or takes it out."""
        return None not in (self.kept, self.in_dataset) and self.kept != self.in_dataset


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of a review list at one moment.

    Attributes
    ----------
    content : ReviewList
    min_quality : float
        Below it the next build leaves out what nobody has judged.
    dataset : DatasetNow, optional
    problem : str
        Why the list cannot be read, in a sentence; ``""`` where it can.
    """

    content: ReviewList
    min_quality: float
    dataset: DatasetNow | None
    problem: str = ""

    def of(self, capture: ListedCapture) -> Judged:
        """Return what becomes of a capture."""
        verdict = _verdict(self.content.entries.get(capture.capture_id))
        if capture.state != REGISTERED:
            return Judged(verdict, None, None)
        kept = is_kept(verdict.verdict, capture.quality, self.min_quality)
        if self.dataset is None:
            return Judged(verdict, kept, None)
        return Judged(verdict, kept, capture.capture_id not in self.dataset.left_out)

    def given(self, listing: Listing) -> int:
        """Count the registrations of a build that a person judged; others may share the list."""
        return sum(
            entry.verdict != AUTO and listing.is_registered(name)
            for name, entry in self.content.entries.items()
        )


class VerdictFile:
    """The review list of a build, read again whenever it was changed.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._changing, self._reading = threading.Lock(), threading.Lock()
        self._read = ReadOnce(read_review_list, kept=1)

    def now(self, min_quality: float, dataset: DatasetNow | None) -> Verdicts:
        """Return what the list says; a list that is not there says nothing."""
        try:
            with self._reading:
                content = self._read(self.path)
        except FileNotFoundError:
            return Verdicts(ReviewList.empty(), min_quality, dataset)
        except (ConfigError, OSError) as error:
            return Verdicts(ReviewList.empty(), min_quality, dataset, str(error))
        return Verdicts(content, min_quality, dataset)

    def change(self, capture: ListedCapture, wanted: Verdict, seen: Verdict) -> Verdict:
        """Give a registered capture a verdict and a note; return what the list then says.

        Parameters
        ----------
        capture : ListedCapture
        wanted : Verdict
        seen : Verdict
            What the person has seen: a verdict that somebody else gave since is not overwritten.

        Raises
        ------
        ChangedMeanwhileError
        ConfigError
            The capture has no registration, verdict or note cannot be written down, or the list
            cannot be read.
        OSError
        """
        check_verdict(wanted)
        if capture.state != REGISTERED:
            raise ConfigError(f"{capture.capture_id} has no registration that could be judged")
        name = capture.capture_id

        def change(content: ReviewList) -> ReviewList:
            now = _verdict(content.entries.get(name))
            if now != seen:
                raise ChangedMeanwhileError(now)
            if name not in content.entries:
                content = content.with_qualities({name: capture.quality})
            return content.with_verdicts([name], wanted.verdict, wanted.note)

        with self._changing:
            return _verdict(update_review_list(self.path, change).entries[name])


def check_verdict(wanted: Verdict) -> None:
    """Refuse what does not fit into a review list.

    Raises
    ------
    ConfigError
    """
    if wanted.verdict not in VERDICTS:
        raise ConfigError(f"a verdict is one of {', '.join(VERDICTS)}")
    if len(wanted.note) > LONGEST_NOTE:
        raise ConfigError(f"the note has {len(wanted.note)} characters, {LONGEST_NOTE} at most")
    written = " ".join(wanted.note.split())
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in written):
        raise ConfigError("the note holds control characters or halves of characters")


def _verdict(entry: ReviewEntry | None) -> Verdict:
    return _NONE if entry is None else Verdict(entry.verdict, entry.note)

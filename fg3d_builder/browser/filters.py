"""Which captures are listed, in which order, and which of them are on a page.

All of it is in the address of the page, so that reloading, going back and sending the address to a
colleague work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from fg3d_builder.browser.listing import REGISTERED, STATES, ListedCapture, Listing, Reason
from fg3d_builder.browser.verdicts import Judged, Verdicts
from fg3d_builder.errors import ConfigError
from fg3d_builder.records import SEXES
from fg3d_builder.review.review_list import ACCEPT, AUTO, REJECT

PAGE_SIZES = (24, 48, 96, 192)
PICTURES = ("registration", "error", "photo")
"""What the grid may show of each capture."""

JUDGED = "judged"
"""Accepted or rejected by a person."""

IN, OUT, CHANGES = DATASET = ("in", "out", "changes")
"""What the next build does with a registration; the last are those whose place would change."""

NOT_STATED = "not stated"
"""Of a subject's sex."""

_TEXT_LIMIT = 200


@dataclass(frozen=True)
class Row:
    """A capture in the list, and what becomes of it."""

    capture: ListedCapture
    judged: Judged


_ORDERS: dict[str, Callable[[Row], float | str]] = {
    "quality": lambda row: row.capture.quality,
    "error": lambda row: row.capture.error_mm,
    "distance": lambda row: row.capture.distance_mm,
    "measured": lambda row: row.capture.coverage,
    "capture": lambda row: row.capture.capture_id,
    "subject": lambda row: row.capture.subject_id,
    "source": lambda row: row.capture.source,
    "verdict": lambda row: {REJECT: "0", ACCEPT: "1", AUTO: "2"}[row.judged.verdict.verdict],
}
"""What captures may be sorted by; of figures, those that are not known come last."""

SORTS = tuple(_ORDERS)


@dataclass(frozen=True)
class Query:
    """What a person wants to see.

    Attributes
    ----------
    text : str
        Part of the capture's or the subject's id, upper or lower case.
    state : str
        One of `STATES`, or ``""`` for all; so is every empty choice below.
    dataset : str
        One of `DATASET`.
    verdict : str
        One of the review list's, or `JUDGED`.
    subject, source : str
    sex : str
        One of `SEXES`, or `NOT_STATED`.
    failure : str
        Code of a failure, or a `Reason` as it is written; of views and new shapes as well.
    quality_min, quality_max, error_min, error_max : float
        Bounds, both included, errors in mm; NaN for none.
    sort : str
        One of `SORTS`, with ``-`` before it for the largest first.
    page, size : int
        Number of the page, from 1, and captures on one.
    look : str
        ``"grid"`` or ``"table"``.
    picture : str
        One of `PICTURES`.
    """

    text: str = ""
    state: str = ""
    dataset: str = ""
    verdict: str = ""
    subject: str = ""
    source: str = ""
    sex: str = ""
    failure: str = ""
    quality_min: float = math.nan
    quality_max: float = math.nan
    error_min: float = math.nan
    error_max: float = math.nan
    sort: str = "quality"
    page: int = 1
    size: int = 48
    look: str = "grid"
    picture: str = "registration"

    def arguments(self, **changes: object) -> dict[str, str]:
        """Return the address's arguments, with changes; what is as usual is left out.

        Where what is listed changes, the page is the first again.
        """
        if changes and not {"page", "look", "picture"} & changes.keys():
            changes["page"] = 1
        query = replace(self, **changes)  # type: ignore[arg-type]
        found = {}
        for item in fields(Query):
            value = getattr(query, item.name)
            unset = isinstance(value, float) and math.isnan(value)
            if not unset and value != item.default:
                found[item.name] = f"{value:.15g}" if isinstance(value, float) else str(value)
        return found

    @property
    def narrowed(self) -> bool:
        """Whether captures may be left out."""
        return bool(self.arguments().keys() - {"sort", "page", "size", "look", "picture"})


_CHOICES: dict[str, tuple[str, ...]] = {
    "state": ("", *STATES),
    "dataset": ("", *DATASET),
    "verdict": ("", AUTO, ACCEPT, REJECT, JUDGED),
    "sex": ("", *SEXES, NOT_STATED),
    "sort": tuple(sign + name for name in SORTS for sign in ("", "-")),
    "look": ("grid", "table"),
    "picture": PICTURES,
}


def read_query(arguments: Mapping[str, str]) -> Query:
    """Read the arguments of an address; others than those of `Query` are no concern of it.

    Raises
    ------
    ConfigError
        Names the argument and what it may be.
    """
    found: dict[str, object] = {}
    for item in fields(Query):
        text = arguments.get(item.name, "").strip()
        if not text:
            continue
        if isinstance(item.default, float):
            found[item.name] = _number(item.name, text)
        elif isinstance(item.default, int):
            found[item.name] = _count(item.name, text)
        elif text not in _CHOICES.get(item.name, (text,)) or len(text) > _TEXT_LIMIT:
            known = " or ".join(name for name in _CHOICES.get(item.name, ()) if name)
            raise ConfigError(f"{item.name}: has to be {known or 'shorter'}")
        else:
            found[item.name] = text
    return Query(**found)  # type: ignore[arg-type]


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{name}: has to be a number")
    return value


def _count(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= 10**6:
        raise ConfigError(f"{name}: has to be a whole number from 1 on")
    if name == "size" and int(text) not in PAGE_SIZES:
        raise ConfigError(f"size: has to be one of {', '.join(map(str, PAGE_SIZES))}")
    return int(text[:9])


def chosen(listing: Listing, verdicts: Verdicts, query: Query, keep: str = "") -> list[Row]:
    """Return the captures that a query is about, in its order.

    Parameters
    ----------
    listing : Listing
    verdicts : Verdicts
    query : Query
    keep : str
        Id of a capture that stays in the list whatever the query says: a verdict must not take
        the capture that a person looks at out of the sequence.
    """
    rows = [Row(capture, verdicts.of(capture)) for capture in listing.captures.values()]
    found = [row for row in rows if row.capture.capture_id == keep or _fits(row, query)]
    key = _ORDERS[query.sort.removeprefix("-")]
    last = [row for row in found if _is_unknown(key(row))]
    known = [row for row in found if not _is_unknown(key(row))]
    return [*sorted(known, key=key, reverse=query.sort.startswith("-")), *last]


def _is_unknown(value: float | str) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _fits(row: Row, query: Query) -> bool:
    capture, judged = row.capture, row.judged
    verdict = judged.verdict.verdict
    return (
        (not query.state or capture.state == query.state)
        and (not query.subject or capture.subject_id == query.subject)
        and (not query.source or capture.source == query.source)
        and (not query.sex or (capture.sex or NOT_STATED) == query.sex)
        and (not query.verdict or _has_verdict(capture, verdict, query.verdict))
        and (not query.dataset or _has_place(judged, query.dataset))
        and (not query.failure or query.failure in _failed_by(capture))
        and _within(capture.quality, query.quality_min, query.quality_max)
        and _within(capture.error_mm, query.error_min, query.error_max)
        and (
            not query.text
            or query.text.lower() in f"{capture.capture_id}\n{capture.subject_id}".lower()
        )
    )


def _has_verdict(capture: ListedCapture, verdict: str, wanted: str) -> bool:
    """Verdicts are about registrations: what failed since it was judged counts nowhere."""
    if capture.state != REGISTERED:
        return False
    return verdict != AUTO if wanted == JUDGED else verdict == wanted


def _has_place(judged: Judged, wanted: str) -> bool:
    return judged.changes if wanted == CHANGES else judged.kept is (wanted == IN)


def _failed_by(capture: ListedCapture) -> list[str]:
    failures = [*capture.augmentation_failures, *([capture.failure] if capture.failure else [])]
    return [text for failure in failures for text in (failure.code, str(Reason.of(failure)))]


def _within(value: float, low: float, high: float) -> bool:
    """Tell whether a figure is between bounds; one that is not known is, where there are none."""
    return (math.isnan(low) or value >= low) and (math.isnan(high) or value <= high)


@dataclass(frozen=True)
class Page:
    """One page of the captures that a query is about.

    Attributes
    ----------
    rows : sequence of Row
        Those on the page.
    number, last : int
        Its number, and that of the last page; from 1.
    total : int
        Captures on all pages.
    """

    rows: Sequence[Row]
    number: int
    last: int
    total: int


def page_of(rows: Sequence[Row], query: Query) -> Page:
    """Return the page that a query asks for; the last one where there are not so many."""
    last = max(1, -(-len(rows) // query.size))
    number = min(query.page, last)
    first = (number - 1) * query.size
    return Page(rows[first : first + query.size], number, last, len(rows))


def neighbours(rows: Sequence[Row], capture_id: str) -> tuple[int, str, str]:
    """Return a capture's place in a list, from 0, and the ids before and after it, or ``""``."""
    ids = [row.capture.capture_id for row in rows]
    at = ids.index(capture_id)
    return at, ids[at - 1] if at else "", ids[at + 1] if at + 1 < len(ids) else ""

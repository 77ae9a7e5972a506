"""Filters against a plain search through all captures, and addresses that say what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.made_build import write_made_build
from fg3d_builder.browser.filters import (
    SORTS,
    Query,
    Row,
    chosen,
    neighbours,
    page_of,
    read_query,
)
from fg3d_builder.browser.listing import (
    FAILED,
    REGISTERED,
    BuildListing,
    DatasetNow,
    ListedCapture,
    Listing,
)
from fg3d_builder.browser.verdicts import Verdicts
from fg3d_builder.config import BuildConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.layout import BuildLayout
from fg3d_builder.records import Failure
from fg3d_builder.review.review_list import ReviewList

LIMIT = 0.5


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    folder = tmp_path_factory.mktemp("made")
    return BuildListing(write_made_build(folder, 240).root).now()


@pytest.fixture(scope="module")
def verdicts(listing: Listing) -> Verdicts:
    """Every fifth registration accepted, every seventh rejected; the dataset has them all."""
    ids = [c.capture_id for c in listing.captures.values() if c.state == REGISTERED]
    content = ReviewList.empty().with_qualities(
        {name: listing.captures[name].quality for name in ids}
    )
    content = content.with_verdicts(ids[::5], "accept").with_verdicts(ids[::7], "reject")
    return Verdicts(content, LIMIT, DatasetNow(frozenset(ids[:3]), {}))


CHOICES: list[tuple[Query, Callable[[Row], bool]]] = [
    (Query(), lambda row: True),
    (Query(text="JECT-0003"), lambda row: "subject-0003" in row.capture.capture_id),
    (Query(state="failed"), lambda row: row.capture.state == FAILED),
    (Query(subject="subject-0004"), lambda row: row.capture.subject_id == "subject-0004"),
    (Query(source="folder phones"), lambda row: row.capture.source == "folder phones"),
    (Query(sex="female"), lambda row: row.capture.sex == "female"),
    (Query(sex="not stated"), lambda row: row.capture.sex == ""),
    (Query(verdict="accept"), lambda row: row.judged.verdict.verdict == "accept"),
    (Query(verdict="judged"), lambda row: row.judged.verdict.verdict != "auto"),
    (
        Query(verdict="auto"),
        lambda row: row.capture.state == REGISTERED and row.judged.verdict.verdict == "auto",
    ),
    (
        Query(dataset="in"),
        lambda row: (
            row.judged.verdict.verdict == "accept"
            or (row.judged.verdict.verdict == "auto" and row.capture.quality >= LIMIT)
        ),
    ),
    (Query(dataset="changes"), lambda row: row.judged.kept not in (None, row.judged.in_dataset)),
    (
        Query(failure="no_depth"),
        lambda row: row.capture.failure is not None and row.capture.failure.code == "no_depth",
    ),
    (
        Query(quality_min=0.4, quality_max=0.8),
        lambda row: 0.4 <= row.capture.quality <= 0.8,
    ),
    (Query(error_min=1.5), lambda row: row.capture.error_mm >= 1.5),
]


@pytest.mark.parametrize(("query", "fits"), CHOICES, ids=range(len(CHOICES)))
def test_a_filter_lets_through_what_it_says(
    listing: Listing, verdicts: Verdicts, query: Query, fits: Callable[[Row], bool]
) -> None:
    everything = chosen(listing, verdicts, Query())
    assert len(everything) == len(listing.captures)
    wanted = {row.capture.capture_id for row in everything if fits(row)}
    assert len(wanted) > 0
    assert {row.capture.capture_id for row in chosen(listing, verdicts, query)} == wanted


def test_the_same_code_of_another_stage_is_another_reason(verdicts: Verdicts) -> None:
    def failed(name: str, stage: str) -> ListedCapture:
        failure = Failure(name, "", stage, "internal_error", "")
        return ListedCapture(name, "", "", "", "", FAILED, failure=failure)

    turned = Failure("c.transform-1", "", "transform", "internal_error", "")
    registered = ListedCapture("c", "", "", "", "", REGISTERED, augmentation_failures=(turned,))
    captures = {
        "a": failed("a", "captures"),
        "b": failed("b", "registration"),
        "c": registered,
    }
    layout = BuildLayout(Path(), BuildConfig(), "")
    listing = Listing(layout, captures, None)
    counts = dict((*listing.failures, *listing.augmentation_failures))
    assert len(counts) == 3
    for reason, count in counts.items():
        found = chosen(listing, verdicts, Query(failure=str(reason)))
        assert len(found) == count == 1
    assert len(chosen(listing, verdicts, Query(failure="internal_error"))) == 3


@pytest.mark.parametrize("name", SORTS)
def test_orders_are_orders_and_what_is_not_known_comes_last(
    listing: Listing, verdicts: Verdicts, name: str
) -> None:
    value = {
        "quality": lambda row: row.capture.quality,
        "error": lambda row: row.capture.error_mm,
        "distance": lambda row: row.capture.distance_mm,
        "measured": lambda row: row.capture.coverage,
        "capture": lambda row: row.capture.capture_id,
        "subject": lambda row: row.capture.subject_id,
        "source": lambda row: row.capture.source,
        "verdict": lambda row: ["reject", "accept", "auto"].index(row.judged.verdict.verdict),
    }[name]
    for sign, step in (("", 1), ("-", -1)):
        found = [value(row) for row in chosen(listing, verdicts, Query(sort=sign + name))]
        known = [v for v in found if not (isinstance(v, float) and math.isnan(v))]
        assert found[: len(known)] == known
        assert known[::step] == sorted(known)


def test_pages_hold_each_capture_once(listing: Listing, verdicts: Verdicts) -> None:
    query = Query(size=24)
    rows = chosen(listing, verdicts, query)
    pages = [page_of(rows, Query(size=24, page=number)) for number in range(1, 11)]
    assert [row for page in pages for row in page.rows] == rows
    assert {(page.last, page.total) for page in pages} == {(10, 240)}
    assert page_of(rows, Query(size=24, page=999)).number == 10
    assert page_of([], query).last == 1


def test_the_capture_one_looks_at_keeps_its_place(listing: Listing, verdicts: Verdicts) -> None:
    rows = chosen(listing, verdicts, Query(verdict="auto"))
    whole = [row.capture.capture_id for row in chosen(listing, verdicts, Query(state="registered"))]
    judged = next(name for name in whole[5:] if name not in {r.capture.capture_id for r in rows})
    kept = chosen(listing, verdicts, Query(verdict="auto"), keep=judged)
    assert len(kept) == len(rows) + 1
    at, before, after = neighbours(kept, judged)
    assert whole.index(before) < whole.index(judged) < whole.index(after)
    assert kept[at].capture.capture_id == judged
    assert neighbours(kept, kept[0].capture.capture_id)[1] == ""
    assert neighbours(kept, kept[-1].capture.capture_id)[2] == ""


def test_an_address_says_what_its_query_says() -> None:
    query = Query(
        text="a b", verdict="judged", quality_max=0.25, sort="-error", page=3, size=96, look="table"
    )
    assert read_query(query.arguments()) == query
    assert read_query({}) == Query()
    exact = Query(error_max=0.123456789012)
    assert read_query(exact.arguments()) == exact
    assert Query().arguments() == {}
    assert query.arguments(verdict="") == {
        "text": "a b",
        "quality_max": "0.25",
        "sort": "-error",
        "size": "96",
        "look": "table",
    }, "other captures: from the first page again"
    assert query.arguments(picture="photo")["page"] == "3", "the same captures"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sort", "size"),
        ("verdict", "maybe"),
        ("page", "0"),
        ("page", "-1"),
        ("page", "9" * 400),
        ("size", "100000"),
        ("quality_min", "nan"),
        ("error_max", "far"),
        ("look", "<script>"),
        ("text", "x" * 201),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: has to be"):
        read_query({name: value})


def test_other_arguments_are_no_concern_of_a_query() -> None:
    assert read_query({"key": "x", "stamp": "y"}) == Query()

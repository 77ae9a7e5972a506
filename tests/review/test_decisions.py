"""Threshold and verdicts: who is left out, and why."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.review.decisions import Rejection, Verdict, decide, verdicts_of
from fg3d_builder.review.review_list import VERDICTS, ReviewList, is_kept

QUALITIES = {"a": 0.9, "b": 0.12, "c": 0.8, "d": 0.2, "e": 0.25}
SUBJECTS = {name: f"subject {name}" for name in QUALITIES}


def test_reasons() -> None:
    verdicts = {
        "c": Verdict("reject", "squint eyes"),
        "d": Verdict("accept", ""),
        "a": Verdict("accept", "fine"),
        "e": Verdict("reject", ""),
    }
    found = decide(SUBJECTS, QUALITIES, verdicts, 0.3)
    assert found.rejected == (
        Rejection("b", "subject b", 0.12, "low_quality", "quality 0.120 < 0.3"),
        Rejection("c", "subject c", 0.8, "by_hand", "squint eyes"),
        Rejection("e", "subject e", 0.25, "by_hand", "rejected in the review list"),
    )
    assert found.accepted == ("d",)  # `a` would have been in without the verdict
    assert found.qualities == QUALITIES


def test_auto_is_no_verdict() -> None:
    content = ReviewList.empty().with_qualities(QUALITIES).with_verdicts(["c"], "reject", "x")
    assert verdicts_of(content) == {"c": Verdict("reject", "x")}


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"), st.tuples(st.floats(0, 1), st.sampled_from(VERDICTS))
    ),
    st.floats(0, 1),
)
def test_every_registration_is_either_in_or_out(
    table: dict[str, tuple[float, str]], limit: float
) -> None:
    qualities = {name: quality for name, (quality, _) in table.items()}
    verdicts = {n: Verdict(v, "") for n, (_, v) in table.items() if v != "auto"}
    found = decide(dict.fromkeys(table, "s"), qualities, verdicts, limit)
    for name, (quality, verdict) in table.items():
        assert (name in found.rejected_ids) != is_kept(verdict, quality, limit)
    assert not found.rejected_ids & set(found.accepted)


def test_a_low_quality_is_explained() -> None:
    reasons = {"b": "The mesh is folded over.", "a": "unused"}
    found = decide(SUBJECTS, QUALITIES, {}, 0.15, reasons)
    assert [r.message for r in found.rejected] == ["quality 0.120 < 0.15: The mesh is folded over."]


def test_what_has_no_quality_comes_before_the_lowest() -> None:
    qualities = {"c": 0.5, "a": 0.9, "d": float("nan"), "b": 0.5}
    decisions = decide(dict.fromkeys(qualities, "s"), qualities, {}, 0.0)
    assert decisions.by_quality == ("d", "b", "c", "a")

"""The split by subject."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.shards.split import split_of


@given(st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_fraction_only_moves_to_test(name: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    if split_of(name, low, "salt") == "test":
        assert split_of(name, high, "salt") == "test"


def test_share_is_the_fraction() -> None:
    names = [f"subject-{i}" for i in range(20_000)]
    share = sum(split_of(name, 0.1, "fg3d") == "test" for name in names) / len(names)
    # Four standard deviations of a binomial share of 20,000 draws.
    assert abs(share - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5


def test_extremes_and_salt() -> None:
    names = [f"subject-{i}" for i in range(200)]
    assert {split_of(name, 0.0, "a") for name in names} == {"train"}
    assert {split_of(name, 1.0, "a") for name in names} == {"test"}
    assert [split_of(n, 0.5, "a") for n in names] != [split_of(n, 0.5, "b") for n in names]


def test_the_rule_never_changes() -> None:
    """A released dataset's subjects must keep their places for ever."""
    found = [split_of(f"subject-{i}", 0.5, "fg3d") for i in range(8)]
    assert found == ["train", "test", "test", "train", "train", "train", "test", "train"]

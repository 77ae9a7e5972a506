"""Numbers and names in sentences."""

from __future__ import annotations

import pytest

from fg3d_builder.wording import duration, some_of


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("", ""),
        ("a", "a"),
        ("abc", "a, b, c"),
        ("abcd", "a, b, c and 1 other"),
        ("abcde", "a, b, c and 2 others"),
    ],
)
def test_a_few_of_many_are_named(names: str, said: str) -> None:
    assert some_of(list(names), 3) == said


def test_durations_in_words() -> None:
    words = [duration(seconds) for seconds in (4.4, 89, 300, 5400)]
    assert words == ["4 s", "89 s", "5 min", "1.5 h"]

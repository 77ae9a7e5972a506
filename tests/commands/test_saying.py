"""Sentences on stderr, and the pages below them."""

from __future__ import annotations

import pytest

from fg3d_builder.commands.saying import say, say_pages
from fg3d_builder.guidance import page_for


def test_a_sentence_and_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[31m: wrong", "docs/a.md#b")
    say("alone")
    assert capsys.readouterr().err == "fg3d: a\\x1b[31m: wrong\nsee docs/a.md#b\nfg3d: alone\n"


def test_a_page_is_named_once_for_all_failures_that_it_is_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert page_for("no_face") == page_for("too_few_landmarks")
    say_pages(["no_face", "no_depth", "too_few_landmarks", "no_face"])
    told = capsys.readouterr().err.splitlines()
    assert sorted(told) == sorted({f"see {page_for(code)}" for code in ("no_face", "no_depth")})
    say_pages([])
    assert capsys.readouterr().err == ""

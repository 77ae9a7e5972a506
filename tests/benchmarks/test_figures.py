"""What the README and the docs state is what the benchmarks measured."""

from __future__ import annotations

import re

import pytest

from benchmarks.figures import (
    PAGES,
    PROJECT,
    fullview_figures,
    page_text,
    read_figures,
    read_tables,
    stated,
    table_text,
)


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_filled_from_the_figures_file(page: str) -> None:
    text = (PROJECT / page).read_text(encoding="utf-8")
    assert re.search(r"<!-- figures: [\w-]+ -->\n\|", text), "no table is filled"
    assert page_text(text, read_figures()) == text, "run `python -m benchmarks.figures`"


def test_every_table_has_its_place_and_every_figure_is_measured() -> None:
    pages = "".join((PROJECT / page).read_text(encoding="utf-8") for page in PAGES)
    for name in read_tables():
        assert f"<!-- figures: {name} -->" in pages
        assert "not measured" not in table_text(name, read_figures())


def test_figures_come_rounded_and_their_commit_is_named() -> None:
    measured = {"demo": {"commit": "abc1234", "figures": {"captures": 24.0}}}
    text = table_text("readme-accuracy", measured)
    assert "24 synthetic captures of the demo" in text
    assert "`benchmarks.demo`, abc1234" in text
    assert "not measured" in text  # the others


def test_turned_views_are_named_by_kind_turn_region_and_method() -> None:
    row = {
        "kind": "other heads", "turn": "-25 +0", "region": "face", "method": "full_view",
        "psnr_db": 31.5, "ssim": None, "overhang": 0.01, "drawn_overhang": 0.0, "ms": 40.0,
        "captures": 13,
    }  # fmt: skip
    median_ms = {"whole augmented sample, 8 views": 50.0, "view: render and inpaint": 35.0}
    found = fullview_figures({"total": [row], "median_ms": median_ms})
    assert found["other_heads_pitchm25_yaw0_face_full_view_psnr_db"] == 31.5
    assert "other_heads_pitchm25_yaw0_face_full_view_ssim" not in found
    assert (found["other_heads_captures"], found["ms_a_view"]) == (13.0, 50.0)


def test_only_figures_of_tables_are_kept() -> None:
    names = stated("timings")
    assert "landmarks_ms" in names
    assert "peak_memory_mb" not in names
    assert set(read_figures()["fullview"]["figures"]) <= stated("fullview")

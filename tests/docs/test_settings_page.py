"""docs/settings.md is what the code says, and leaves nothing out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fg3d_builder.config import BuildConfig
from fg3d_builder.config.describing import describe, explained
from fg3d_builder.fgnet.training.settings import TrainConfig

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import make_settings

    assert make_settings.PAGE.read_text(encoding="utf-8") == make_settings.page(), (
        "run python docs/make_settings.py"
    )
    sys.modules.pop("make_settings")


@pytest.mark.parametrize("kind", [BuildConfig, TrainConfig])
def test_every_setting_is_explained(kind: type) -> None:
    tables = list(describe(kind))
    bare = [(t.path, s.name) for t in tables for s in t.settings if not s.meaning]
    assert bare == []
    assert all(table.about for table in tables)
    assert {"", "sources[]", "sources[].sensor", "registration.levels[]"} <= {
        t.path for t in describe(BuildConfig)
    }


def test_explanations_are_read_from_docstrings() -> None:
    class Example:
        """About it,
        in short.

        a: the first, which
            goes on: here.
        b, c: both
        """

    assert explained(Example) == (
        "About it, in short.",
        {"a": "the first, which goes on: here.", "b": "both", "c": "both"},
    )

"""docs/commands.md is what the parsers say, and leaves nothing out."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

MAKER = Path(__file__).resolve().parents[2] / "docs" / "make_commands.py"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_commands", MAKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(maker: ModuleType) -> None:
    assert maker.PAGE.read_text(encoding="utf-8") == maker.page(), (
        "run python docs/make_commands.py"
    )


def test_every_option_is_on_the_page(maker: ModuleType) -> None:
    page = maker.page()

    def look(among: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        for parser in among.choices.values():
            assert f"# {parser.prog}\n" in page
            part = page.split(f"# {parser.prog}\n")[1].split("\n#")[0]
            for action in parser._actions:
                if isinstance(action, argparse._SubParsersAction):
                    look(action)
                elif action.dest != "help":
                    for name in action.option_strings:
                        assert f"`{name}" in part, f"{parser.prog} {name}"

    look(maker.parsers())


def test_a_description_becomes_paragraphs_and_blocks(maker: ModuleType) -> None:
    text = "Does it\nwell.\n\n  fg3d a\n\n  fg3d b\n\nMore:\n  x  y\nEnd <now>."
    assert maker.described(text) == (
        "Does it well.\n\n```text\nfg3d a\n\nfg3d b\n```\n\nMore:\n\n```text\nx  y\n```\n\n"
        "End &lt;now>.\n"
    )

"""The site of the documentation: navigation, what its build makes of pages, and the whole of it."""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"


def loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


pytest.importorskip("mkdocs", reason="the extra docs is not installed")
hooks = loaded("site_hooks", DOCS / "site" / "hooks.py")
check_site = loaded("check_site", DOCS / "check_site.py")


def nav_pages() -> set[str]:
    """Pages that mkdocs.yml names, patterns filled in."""
    from mkdocs.config import load_config

    config = load_config(str(PROJECT / "mkdocs.yml"), plugins=[])
    return set(hooks.named_pages(hooks.on_config(config).nav))


def test_every_page_is_in_the_navigation() -> None:
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert nav_pages() == written | set(hooks.api_pages()) | set(hooks.notebook_pages())


def test_the_api_has_every_public_module() -> None:
    named = re.findall(r"^::: (\S+)$", "\n".join(hooks.api_pages().values()), re.MULTILINE)
    assert len(named) == len(set(named))
    for path in hooks.PACKAGE.rglob("*.py"):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        if not path.stem.startswith("_"):
            assert ".".join(parts) in named


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("4. Throw out bad registrations", "4-throw-out-bad-registrations"),
        ("`scan`: textured meshes, rendered", "scan-textured-meshes-rendered"),
        ("Look - and see", "look---and-see"),
        ("A_b (c)", "a_b-c"),
    ],
)
def test_anchors_are_those_of_code_hosts(title: str, anchor: str) -> None:
    assert hooks.slug(title) == anchor


def test_links_out_of_the_docs_lead_to_copies() -> None:
    page = "[a](../../tasks/demo.toml) [b](../own.md#x) ![c](../p.png) [d](https://e.org/f)\n"
    page += "```text\n[g](../../h)\n```\n[n](look.ipynb) [#](#here)"
    expected = "[a](../repository/tasks/demo.toml) [b](../own.md#x) ![c](../p.png) "
    expected += "[d](https://e.org/f)\n```text\n[g](../../h)\n```\n[n](look.md) [#](#here)"
    assert hooks.linked_within_site(page, "guides/a.md") == expected


def test_a_notebook_becomes_a_page_with_its_outputs() -> None:
    picture = base64.b64encode(b"pixels").decode()
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "\n", "Words."]},
            {
                "cell_type": "code",
                "source": ["print(1)"],
                "outputs": [
                    {"output_type": "stream", "text": ["1\n"]},
                    {"output_type": "display_data", "data": {"image/png": picture}},
                ],
            },
        ]
    }
    text, pictures = hooks.notebook_markdown(notebook, "notebooks/look")
    assert text.startswith("# Title\n\n*[The notebook to run](look.ipynb)")
    assert "````python\nprint(1)\n````\n\n````text\n1\n\n````" in text
    assert "![what the cell shows](look/0.png)" in text
    assert pictures == {"notebooks/look/0.png": b"pixels"}
    assert hooks.linked_within_site(text, "notebooks/look.md") == text


def test_what_is_broken_in_a_site_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text(
        '<img src="a/b.png"><a href="a/c.html#here">c</a><a href="a/c.html#there">c</a>'
        '<script src="https://e.org/x.js"></script><a href="d.html">d</a><a href="#top">t</a>'
        '<link rel="canonical" href="https://e.org"><a href="https://e.org">e</a>'
    )
    (tmp_path / "a" / "c.html").write_text('<p id="here"><a href="../index.html">up</a>')
    (tmp_path / "s.css").write_text("@import 'https://e.org/s.css'")
    assert check_site.problems(tmp_path) == [
        "index.html takes a/b.png, which is not there",
        "index.html takes https://e.org/x.js from a network",
        "index.html links to #top, which has no such place",
        "index.html links to a/c.html#there, which has no such place",
        "index.html links to d.html, which is not there",
        "s.css takes something from a network",
    ]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert check_site.problems(tmp_path) == []

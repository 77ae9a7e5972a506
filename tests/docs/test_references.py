"""What the docs name exists: files, links, and definitions in files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "fg3d_builder"
PAGES = sorted([PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")])


def definitions(file: Path) -> set[str]:
    """Names that a module defines, classes with their functions as ``Class.function``."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (n.name for n in node.body if isinstance(n, ast.FunctionDef))
            found.update(f"{node.name}.{name}" for name in inner)
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(t.id for t in targets if isinstance(t, ast.Name))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|toml|json))`", text))
    missing = {n for n in named if not ((PROJECT / n).exists() or (PACKAGE / n).exists())}
    # Files of a build, of a capture or of another project are none of this one.
    others = ("build", "out", "work", "faces", "prnet", "pairs", "meshfr")
    missing = {n for n in missing if n.split("/")[0] not in others}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([\w./-]*)(#[\w-]+)?\)", text):
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
            # Of two equal headings, code hosts and the site name the second differently.
            assert slugs.count(anchor[1:]) == 1, f"{target}{anchor}"


def test_every_picture_is_shown() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = {p.name for p in (PROJECT / "docs" / "pictures").iterdir()}
    assert pictures == {name for name in pictures if f"pictures/{name}" in text}


def test_modules_named_with_dots_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"fg3d_builder((?:\.\w+)+)", page.read_text(encoding="utf-8")):
            parts = name[1:].split(".")
            path = PACKAGE.joinpath(*parts)
            inside = PACKAGE.joinpath(*parts[:-1])
            is_module = path.is_dir() or path.with_suffix(".py").is_file()
            is_name = inside.is_dir() or parts[-1] in definitions(inside.with_suffix(".py"))
            assert is_module or is_name, f"{page.name}: fg3d_builder{name}"


def test_equations_name_what_is_there() -> None:
    text = (PROJECT / "docs" / "equations.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*\w+\.py)`: ((?:`[\w.]+`(?:, )?)+)", text)
    assert len(named) > 5
    for file, names in named:
        found = [path for path in PACKAGE.rglob("*.py") if path.as_posix().endswith(f"/{file}")]
        assert found, file
        known = set().union(*(definitions(path) for path in found))
        for name in re.findall(r"`([\w.]+)`", names):
            assert name in known, f"{file}: {name}"
    # Further files of a row are named without their folder.
    modules = {path.name for path in PACKAGE.rglob("*.py")}
    assert set(re.findall(r"`(?:\w+/)*(\w+\.py)`", text)) <= modules


def test_the_map_names_every_folder() -> None:
    text = (PROJECT / "docs" / "where-is-what.md").read_text(encoding="utf-8")
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    named = set(re.findall(r"`(\w+)/?[`/]", text)) | set(re.findall(r"`(\w+)`", text))
    assert folders <= named, folders - named

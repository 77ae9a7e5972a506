"""Every failure has a page of the guide, and every page that is named is there."""

from __future__ import annotations

import ast
import errno
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from fg3d_builder.cli import main
from fg3d_builder.config import load_preset
from fg3d_builder.errors import CaptureError, ConfigError, MissingDependencyError, WrongUnitError
from fg3d_builder.guidance import (
    ERROR_PAGES,
    FAILURE_PAGES,
    MODULE_PAGES,
    page_for,
    page_for_error,
)

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "fg3d_builder"
CODE = re.compile(r"[a-z]+(_[a-z]+)*")


def trees() -> Iterator[ast.Module]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield ast.parse(file.read_text(encoding="utf-8"))


def texts(node: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    """Yield the texts that an expression may be: constants, their names, either side of an if."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id in constants:
        yield constants[node.id]
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body, constants)
        yield from texts(node.orelse, constants)


def codes_of(tree: ast.Module) -> Iterator[str]:
    """Yield every code that a module gives to an error, a failure or a parameter ``code``."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name == "CaptureError" and node.args:
                yield from texts(node.args[0], constants)
            if name == "Failure" and len(node.args) > 3:
                yield from texts(node.args[3], constants)
            for keyword in node.keywords:
                if keyword.arg == "code":
                    yield from texts(keyword.value, constants)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = node.args.args[len(node.args.args) - len(node.args.defaults) :]
            for argument, default in zip(given, node.args.defaults, strict=True):
                if argument.arg == "code":
                    yield from texts(default, constants)
    # What is handed on as a code by position: the modules' own names for it.
    yield from (v for k, v in constants.items() if k in ("UNREADABLE", "CRASHED", "KILLED"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, by GitHub's rule."""
    found: set[str] = set()
    fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        heading = re.match(r"#+ +(.*?) *#*$", line)
        if fenced or heading is None:
            continue
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
        kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN")
        anchor = "".join(kept).replace(" ", "-")
        number = 1
        name = anchor
        while name in found:
            name, number = f"{anchor}-{number}", number + 1
        found.add(name)
    return found


def test_every_code_in_the_source_has_a_page() -> None:
    raised = {code for tree in trees() for code in codes_of(tree) if code}
    assert len(raised) > 35  # the search finds what it is to find
    assert raised - set(FAILURE_PAGES) == set()


def test_no_page_is_kept_for_a_code_that_nothing_raises() -> None:
    raised = {code for tree in trees() for code in codes_of(tree)}
    whole = "".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    given = {code for code in FAILURE_PAGES if whole.count(f'"{code}"') > 1}
    assert set(FAILURE_PAGES) - raised - given == set()


def test_codes_are_words_and_their_pages_explain_them() -> None:
    for code in FAILURE_PAGES:
        assert CODE.fullmatch(code)
        name, _, anchor = FAILURE_PAGES[code].partition("#")
        if name == "troubleshooting.md":
            assert f"`{code}`" in section(PROJECT / "docs" / name, anchor), code


def section(page: Path, anchor: str) -> str:
    """Return the text below a heading of the second level."""
    parts = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for part in parts[1:]:
        heading, _, text = part.partition("\n")
        if heading.lower().replace(",", "").replace(" ", "-") == anchor:
            return text
    raise AssertionError(f"{page} has no heading for {anchor}")


def test_every_page_and_anchor_is_there() -> None:
    for address in {*FAILURE_PAGES.values(), *ERROR_PAGES.values(), *MODULE_PAGES.values()}:
        name, _, anchor = address.partition("#")
        page = PROJECT / "docs" / name
        assert page.is_file(), address
        assert not anchor or anchor in anchors(page), address


def test_modules_and_classes_that_are_named_exist() -> None:
    for module in MODULE_PAGES:
        path = PACKAGE / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), module
    classes = {n.name for tree in trees() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    assert set(ERROR_PAGES) - classes == {"MemoryError"}


def test_errors_are_told_by_what_they_are() -> None:
    assert page_for("no_face") == "docs/troubleshooting.md#no-face-or-too-few-landmarks"
    assert page_for("of_another_version") == "docs/troubleshooting.md"
    assert page_for_error(CaptureError("no_depth", "")) == page_for("no_depth")
    assert page_for_error(WrongUnitError("", 2.0)) == page_for("wrong_unit")
    assert page_for_error(MissingDependencyError("")).endswith("#a-package-is-missing")
    full = OSError(errno.ENOSPC, "no space left")
    assert page_for_error(full) == "docs/troubleshooting.md#the-disk-is-full"
    assert page_for_error(FileNotFoundError(errno.ENOENT, "none", "x")) == ""
    assert page_for_error(ConfigError("never raised")) == ""


def test_errors_of_settings_lead_to_the_module_that_refuses_them(tmp_path: Path) -> None:
    preset = tmp_path / "wrong.toml"
    preset.write_text("nothing = 1\n")
    with pytest.raises(ConfigError) as caught:
        load_preset(preset)
    assert page_for_error(caught.value) == "docs/settings.md"


def test_the_command_line_ends_with_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = tmp_path / "wrong.toml"
    preset.write_text("nothing = 1\n")
    assert main(["check", str(preset)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("fg3d: ")
    assert lines[-1] == "see docs/settings.md"

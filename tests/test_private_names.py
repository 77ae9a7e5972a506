"""Nobody uses another module's private names: not the package, the benchmarks or the tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
FOLDERS = ("fg3d_builder", "benchmarks", "tests", "docs")
STANDARD = frozenset(
    {"_replace", "_asdict", "_fields", "_make", "_exit", "_SubParsersAction", "_actions"}
)
"""Names of the standard library that begin with an underscore and are documented or typed."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in STANDARD


def own_names(tree: ast.AST) -> set[str]:
    """Private names that a module defines itself: functions, classes, variables, attributes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def foreign_private_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name wherever a module uses a private name that it does not define."""
    own = own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if is_private(alias.name):
                    yield node.lineno, alias.name
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            yield node.lineno, node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":
            names = [a.value for a in node.args if isinstance(a, ast.Constant)]
            for name in names:
                if isinstance(name, str) and is_private(name.rsplit(".", 1)[-1]):
                    yield node.lineno, name


def test_private_names_stay_in_their_modules() -> None:
    files = [file for folder in FOLDERS for file in sorted((PROJECT / folder).rglob("*.py"))]
    assert len(files) > 300
    found = [
        f"{file.relative_to(PROJECT)}:{line}: {name}"
        for file in files
        for line, name in foreign_private_names(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found, "\n".join(found)


def test_the_check_sees_each_way_to_a_private_name() -> None:
    code = (
        "from a import _b\nimport c\nc._d()\nmonkeypatch.setattr(c, '_e', 1)\n"
        "def _own(): ...\nclass F:\n    def g(self): return self._h\n    def i(self): self._h = 1\n"
        "_own()\nrow._replace(x=1)\n"
    )
    assert sorted(name for _, name in foreign_private_names(ast.parse(code))) == ["_b", "_d", "_e"]

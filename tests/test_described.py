"""Every public name of the package is described, and arrays with what they hold.

Plain are names that `docs/conventions.md` defines for all modules, and annotations that name a
class of the package, a path or a generator: these describe themselves. An array is described by its
name, or in words with its shape: "distances (H, W) along the pixels' rays".
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "fg3d_builder"

MANY = 4
"""Parameters; a function with more describes each that is not plain."""

SHAPE = re.compile(r"\((?:\d|[a-zA-Z]|[.]{3})[^()]*,[^()]*\)")

ARRAYS = frozenset({"Array", "ndarray", "Tensor"})

SELF_EVIDENT = frozenset({"Path", "Generator"})

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


class Named(NamedTuple):
    """A public function or class, where it is, and what describes it."""

    where: str
    node: ast.AST
    text: str


@cache
def trees() -> dict[str, ast.Module]:
    files = sorted(PACKAGE.rglob("*.py"))
    return {str(f.relative_to(PACKAGE)): ast.parse(f.read_text(encoding="utf-8")) for f in files}


@cache
def conventional() -> frozenset[str]:
    """Return the names of the table of arrays."""
    text = (PROJECT / "docs/conventions.md").read_text(encoding="utf-8")
    table = text.partition("## Names of arrays")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return frozenset(name for cell in cells for name in re.findall(r"`(\w+)`", cell))


@cache
def classes() -> frozenset[str]:
    nodes = (node for tree in trees().values() for node in ast.walk(tree))
    return frozenset(node.name for node in nodes if isinstance(node, ast.ClassDef))


def public(name: str) -> bool:
    return not name.startswith("_")


def named(kind: type[ast.AST] | tuple[type[ast.AST], ...]) -> Iterator[Named]:
    """Yield public classes or functions; a method's text has that of its class before it."""

    def below(body: list[ast.stmt], file: str, about: str) -> Iterator[Named]:
        for node in body:
            if not isinstance(node, (ast.ClassDef, *Function)) or not public(node.name):
                continue
            text = ast.get_docstring(node) or ""
            if isinstance(node, kind):
                yield Named(f"{file}:{node.lineno} {node.name}", node, f"{about}\n{text}")
            if isinstance(node, ast.ClassDef):
                yield from below(node.body, file, text)

    for file, tree in trees().items():
        yield from below(tree.body, file, "")


def words_of(annotation: ast.expr | None) -> set[str]:
    return set() if annotation is None else set(re.findall(r"\w+", ast.unparse(annotation)))


def says(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def is_plain(name: str, annotation: ast.expr | None, text: str) -> bool:
    return (
        name in conventional()
        or bool(words_of(annotation) & (classes() | SELF_EVIDENT))
        or says(text, name)
    )


def parameters(node: ast.FunctionDef) -> list[ast.arg]:
    every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    return [one for one in every if one.arg not in ("self", "cls") and public(one.arg)]


def missing_arrays() -> Iterator[str]:
    for where, node, text in named(Function):
        assert isinstance(node, ast.FunctionDef)
        arrays = [p for p in parameters(node) if words_of(p.annotation) & ARRAYS]
        bare = [p.arg for p in arrays if not is_plain(p.arg, None, text)]
        before = re.split("Returns\n|Raises\n", ast.get_docstring(node) or "")[0]
        if len(SHAPE.findall(before)) < len(bare):
            yield from (f"{where}: {name}" for name in bare)


def missing_of_many() -> Iterator[str]:
    for where, node, text in named(Function):
        assert isinstance(node, ast.FunctionDef)
        if len(parameters(node)) > MANY:
            for one in parameters(node):
                if not is_plain(one.arg, one.annotation, text):
                    yield f"{where}: {one.arg}"


def test_modules_classes_and_functions_have_a_description() -> None:
    bare = [file for file, tree in trees().items() if not ast.get_docstring(tree)]
    for where, node, _ in named((ast.ClassDef, *Function)):
        if not ast.get_docstring(node) and not _needs_none(node):  # type: ignore[arg-type]
            bare.append(where)
    assert bare == []


def _needs_none(node: ast.AST) -> bool:
    """Whether it is one of several signatures of a function, or sets what a property describes."""
    marks = [ast.unparse(mark) for mark in getattr(node, "decorator_list", ())]
    return any(mark.endswith(("overload", ".setter")) for mark in marks)


def test_every_field_is_described() -> None:
    """In the class's text, behind the field, or in the text of its ``Annotated`` type."""
    bare = []
    for where, node, text in named(ast.ClassDef):
        assert isinstance(node, ast.ClassDef)
        marks = " ".join(ast.unparse(one) for one in (*node.decorator_list, *node.bases))
        if not re.search(r"\b(dataclass|NamedTuple)\b", marks):
            continue
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            name, kind = field.target.id, ast.unparse(field.annotation)
            described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            described |= re.match(r"Annotated\[.*, ['\"]", kind) is not None
            described |= bool(words_of(field.annotation) & classes()) or says(text, name)
            if public(name) and "ClassVar" not in kind and not described:
                bare.append(f"{where}: {name}")
    assert bare == []


def test_parameters_that_hold_arrays_are_described() -> None:
    assert list(missing_arrays()) == []


def test_parameters_of_functions_with_many_are_described() -> None:
    assert list(missing_of_many()) == []


def test_the_table_of_names_is_read() -> None:
    assert {"vertices_cam_mm", "triangles", "intrinsics", "depth_mm"} <= conventional()

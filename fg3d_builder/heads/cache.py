"""Cached files: each is named after what it is made of, and built once, by one process."""

from __future__ import annotations

import ast
import contextlib
import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.hashes import file_sha256, sha256
from fg3d_builder.files.locks import exclusive
from fg3d_builder.files.sealed import DamagedFileError, set_aside

T = TypeVar("T")

_PACKAGE = Path(__file__).resolve().parents[1]

_MAKERS = ("facemodel/", "files/obj_reader", "heads/", "landmarks/")
"""Where the modules are whose code decides what is cached."""


def cache_folder(cache: Path | None = None) -> Path:
    """Folder for built models: `cache`, else FG3D_CACHE, else the user's cache folder."""
    if cache is not None:
        return cache
    if os.environ.get("FG3D_CACHE"):
        return Path(os.environ["FG3D_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "fg3d_builder"


def identity(
    facts: Iterable[str] = (), files: Iterable[Path] = (), modules: Iterable[str] = ()
) -> str:
    """12 hexadecimal digits over everything that a file is made of.

    Parameters
    ----------
    facts : iterable of str
        Settings and versions of packages.
    files : iterable of Path
        Their content counts, not their names or times.
    modules : iterable of str
        Modules of this package that make the file, such as ``"heads/default"``. What they
        import counts as well, see `modules_behind`; for what counts, see `code_digest`.

    Raises
    ------
    FileNotFoundError
    """
    parts = [sha256(fact.encode()) for fact in facts]
    for file in files:
        status = file.stat()
        parts.append(_content(file, status.st_size, status.st_mtime_ns))
    parts += [code_digest(_PACKAGE / f"{module}.py") for module in modules_behind(modules)]
    return sha256(" ".join(parts).encode())[:12]


def modules_behind(modules: Iterable[str]) -> list[str]:
    """Return modules and all that they import, also inside functions, sorted.

    Only the folders of face models, heads and landmarks and the OBJ reader are followed: what
    a rasteriser or a vector sum does is not part of a model's identity.
    """
    found: set[str] = set()
    front = list(modules)
    while front:
        module = front.pop()
        if module not in found:
            found.add(module)
            front += _imported(_PACKAGE / f"{module}.py")
    return sorted(found)


@functools.cache
def _imported(module: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            path = node.module.removeprefix("fg3d_builder.").replace(".", "/")
            names += [path, *(f"{path}/{alias.name}" for alias in node.names)]
    return [n for n in names if n.startswith(_MAKERS) and (_PACKAGE / f"{n}.py").is_file()]


@functools.cache
def code_digest(module: Path) -> str:
    """SHA-256 of what a module does: its layout, comments and docstrings do not count."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return sha256(ast.unparse(_WithoutTexts().visit(tree)).encode())


def read_or_build(file: Path, read: Callable[[Path], T], build: Callable[[Path], None]) -> T:
    """Read a cached file, which is built where it is missing or damaged.

    Parameters
    ----------
    file : Path
    read : callable
        Takes the file; an OSError, ValueError, KeyError or DamagedFileError means that it is
        damaged. Such a file is set aside.
    build : callable
        Takes a path to write to. The file gets its name only when complete, and what is
        returned is read from it, so that the first run gets the same bits as later ones.
    """
    if file.is_file():
        with contextlib.suppress(OSError, ValueError, KeyError, DamagedFileError):
            return read(file)
        set_aside(file)
    return read(build_once(file, build))


def build_once(file: Path, build: Callable[[Path], None]) -> Path:
    """Make sure that a cached file exists and return its path.

    If several processes want the same file, one builds it and the others wait.
    """
    if not file.is_file():
        with exclusive(file.with_name(f".{file.name}.lock")):
            if not file.is_file():
                with replacing(file) as part:
                    build(part)
    return file


class _WithoutTexts(ast.NodeTransformer):
    """Drops statements that are only a constant: docstrings."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node


@functools.cache
def _content(file: Path, size: int, changed_ns: int) -> str:
    """SHA-256 of a file, computed anew where its size or time has changed."""
    return file_sha256(file)

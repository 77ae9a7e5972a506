"""What `mkdocs build` does beyond mkdocs.yml: generated pages, notebooks, links out of docs/.

Pages are Markdown that also reads well where the repository is shown. Three things differ in the
site, and are made here: patterns in the navigation become the pages they match; links to files
outside docs/ lead to copies of these files, so that they work without a network; notebooks become
pages.
"""

from __future__ import annotations

import base64
import json
import os.path
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "fg3d_builder"
COPIES = "repository"
"""Folder of the site with copies of files outside docs/."""

_LINK = re.compile(r"(!?\[(?:[^\]\\]|\\.)*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_FENCE = re.compile(r"^(```.*?^```[^\n]*$|~~~.*?^~~~[^\n]*$)", re.MULTILINE | re.DOTALL)


def slug(title: str, separator: str = "-") -> str:
    """Return a heading's anchor, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", separator)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the anchors, and put pages in place of the patterns of the navigation."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    pages = sorted(
        [*api_pages(), *notebook_pages(), *(p.as_posix() for p in _written_pages(config))]
    )
    config.nav = _filled(config.nav, pages)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file of docs/ holds."""
    for path, text in api_pages().items():
        files.append(File.generated(config, path, content=text))
    for path, notebook in notebook_pages().items():
        folder = os.path.splitext(path)[0]
        text, pictures = notebook_markdown(json.loads(notebook.read_text(encoding="utf-8")), folder)
        files.append(File.generated(config, path, content=text))
        for name, data in pictures.items():
            files.append(File.generated(config, name, content=data))
    for path in outside_targets(config):
        copied = File.generated(config, f"{COPIES}/{path}", abs_src_path=str(PROJECT / path))
        files.append(copied)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to notebooks and to files outside docs/ lead to what the site has of them."""
    return linked_within_site(markdown, page.file.src_uri)


def linked_within_site(markdown: str, source: str) -> str:
    """Return the page's text with its links as the site needs them.

    Parameters
    ----------
    source
        The page's path within docs/.
    """

    def within(found: re.Match[str]) -> str:
        before, target, rest = found.groups()
        path = _in_repository(target, source)
        if path is None:
            return found.group()
        if not path.startswith("docs/"):
            target = os.path.relpath(f"{COPIES}/{path}", os.path.dirname(source) or ".")
        elif path.endswith(".ipynb") and "notebook to run" not in before:
            target = f"{target.removesuffix('.ipynb')}.md"
        return f"{before}{target}{rest}"

    return _outside_code(markdown, lambda text: _LINK.sub(within, text))


def outside_targets(config: MkDocsConfig) -> list[str]:
    """Return the files outside docs/ that pages link to, as paths in the repository."""
    found = set()
    for page in _written_pages(config):
        text = (Path(config.docs_dir) / page).read_text(encoding="utf-8")
        _outside_code(text, lambda part, page=page: _collect(part, page.as_posix(), found))
    return sorted(found)


def api_pages() -> dict[str, str]:
    """Return a page for each folder of the package, from its docstrings: path to Markdown."""
    pages = {"api/index.md": _api_index()}
    for folder in _packages():
        name = _dotted(folder)
        modules = sorted(path for path in folder.glob("*.py") if not path.stem.startswith("_"))
        lines = [*_FOUND_LATER, f"# {name}", "", f"::: {name}", *_OWN_HEADING, ""]
        for module in modules:
            lines += [f"## {module.stem}", "", f"::: {name}.{module.stem}", *_OWN_HEADING, ""]
        pages[f"api/{name.removeprefix('fg3d_builder.')}.md"] = "\n".join(lines)
    return pages


_FOUND_LATER = ("---", "search:", "  boost: 0.2", "---", "")
"""A search shows pages that are written for readers before those of the API."""

_OWN_HEADING = (
    "    options:",
    "      show_root_heading: false",
    "      show_root_toc_entry: false",
)
"""The page's own headings name the modules; what mkdocstrings puts there would be twice."""


def notebook_pages() -> dict[str, Path]:
    """Return the page of each notebook: path within docs/ to the notebook's file."""
    docs = PROJECT / "docs"
    found = sorted(p for p in docs.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    return {path.relative_to(docs).with_suffix(".md").as_posix(): path for path in found}


def notebook_markdown(notebook: dict[str, Any], folder: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by their paths in the site."""
    name = os.path.basename(folder)
    parts, pictures = [], {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source.strip():
            parts.append(f"````python\n{source}\n````")
        for output in cell.get("outputs", ()):
            text, files = _shown(output, f"{name}/{len(pictures)}")
            parts.append(text)
            pictures.update({f"{os.path.dirname(folder)}/{k}".lstrip("/"): files[k] for k in files})
    title, _, rest = "\n\n".join(parts).partition("\n")
    link = f"*[The notebook to run]({name}.ipynb) is stored with these outputs.*"
    return f"{title}\n\n{link}\n{rest}\n", pictures


def _shown(output: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """Return one output of a cell as Markdown, with the file that it needs."""
    if "text" in output:
        return f"````text\n{''.join(output['text'])}\n````", {}
    data = output.get("data", {})
    for kind, suffix in (("image/gif", "gif"), ("image/png", "png"), ("image/jpeg", "jpg")):
        if kind in data:
            content = base64.b64decode("".join(data[kind]))
            return f"![what the cell shows]({name}.{suffix})", {f"{name}.{suffix}": content}
    if "text/html" in data:
        return f"<div>\n{''.join(data['text/html'])}\n</div>", {}
    return f"````text\n{''.join(data.get('text/plain', ''))}\n````", {}


def _api_index() -> str:
    rows = []
    for folder in _packages():
        name = _dotted(folder)
        text = (folder / "__init__.py").read_text(encoding="utf-8")
        about = re.match(r'"""(.*?)(?:\n\n|""")', text, re.DOTALL)
        assert about, f"{folder} says in no docstring what it is"
        page = f"{name.removeprefix('fg3d_builder.')}.md"
        rows.append(f"| [`{name}`]({page}) | {' '.join(about[1].split())} |")
    head = [
        "# API",
        "",
        "Every public module, class and function, from the docstrings. What each folder is for is "
        "in [where is what](../where-is-what.md); names that begin with `_` belong to their "
        "module alone.",
        "",
        "| folder | what it is |",
        "|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def _packages() -> Iterator[Path]:
    for marker in sorted(PACKAGE.rglob("__init__.py")):
        if any(not p.stem.startswith("_") for p in marker.parent.glob("*.py")):
            yield marker.parent


def _dotted(folder: Path) -> str:
    return ".".join(folder.relative_to(PROJECT).parts)


def _written_pages(config: MkDocsConfig) -> list[Path]:
    docs = Path(config.docs_dir)
    return sorted(path.relative_to(docs) for path in docs.rglob("*.md"))


def _filled(nav: Any, pages: list[str]) -> Any:
    """Put the pages that a pattern matches in its place, but those that are named elsewhere.

    A pattern is about one folder. Where it matches nothing, its entry is left out.
    """
    named = set(named_pages(nav))

    def fill(entry: Any) -> Any:
        if isinstance(entry, list):
            filled = [fill(part) for part in entry]
            return [p for p in filled if not isinstance(p, dict) or all(p.values())]
        if isinstance(entry, dict):
            return {title: fill(part) for title, part in entry.items()}
        if "*" not in entry:
            return entry
        if entry.endswith(".ipynb"):
            return list(notebook_pages())
        depth = entry.count("/")
        alike = [p for p in pages if fnmatch(p, entry) and p.count("/") == depth]
        return sorted(
            set(alike) - named, key=lambda p: (not p.endswith("/index.md"), p.removesuffix(".md"))
        )

    return fill(nav)


def named_pages(nav: Any) -> Iterator[str]:
    """Yield the pages that a navigation names."""
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from named_pages(part)


def _in_repository(target: str, source: str) -> str | None:
    """Return where a relative link leads, as a path in the repository; None for other links."""
    if re.match(r"[a-z]+:", target) or target.startswith("/"):
        return None
    return os.path.normpath(os.path.join("docs", os.path.dirname(source), target))


def _collect(text: str, source: str, found: set[str]) -> str:
    for link in _LINK.finditer(text):
        path = _in_repository(link[2], source)
        if path is not None and not path.startswith("docs/"):
            found.add(path)
    return text


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Change what is not in a fenced block."""
    parts = _FENCE.split(markdown)
    return "".join(p if _FENCE.fullmatch(p) else change(p) for p in parts)

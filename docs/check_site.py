"""Checks a built site: `python -m docs.check_site build/site`.

Every link and picture leads to a file of the site, every anchor to a place in it, and no page takes
anything from a network. Exit status 1 where something is wrong.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

TAKEN = {"src", "srcset", "poster", "data"}
"""Attributes that make a browser fetch something."""

_IN_STYLES = re.compile(r"url\(\s*['\"]?(https?:)?//|@import\s+['\"](https?:)?//")


@dataclass
class Page(HTMLParser):
    """What a page refers to.

    Attributes
    ----------
    links : set of str
        Where a reader can go.
    taken : set of str
        What a browser fetches to show the page.
    anchors : set of str
    """

    text: str
    links: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Keep what one element refers to."""
        values = {name: value or "" for name, value in attributes}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        self.taken.update(values[name] for name in TAKEN & set(values))
        if "href" not in values:
            return
        fetched = tag == "link" and values.get("rel") not in ("canonical", "next", "prev", "edit")
        (self.taken if fetched else self.links).add(values["href"])


def problems(site: Path) -> list[str]:
    """Return a sentence for everything that is wrong in a built site."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        return [f"{site} has no pages"]
    found = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # it belongs to a server, which shows it for any address
        name = path.relative_to(site)
        for target in sorted(page.taken):
            if _is_far(target):
                found.append(f"{name} takes {target} from a network")
            elif not target.startswith("data:") and not _file(target, path).is_file():
                found.append(f"{name} takes {target}, which is not there")
        for target in sorted(page.links):
            if _is_far(target) or target.startswith("mailto:"):
                continue
            file, anchor = _file(target, path), unquote(urlsplit(target).fragment)
            if not file.is_file():
                found.append(f"{name} links to {target}, which is not there")
            elif anchor and file in pages and anchor not in pages[file].anchors:
                found.append(f"{name} links to {target}, which has no such place")
    for style in sorted(site.rglob("*.css")):
        if _IN_STYLES.search(style.read_text(encoding="utf-8")):
            found.append(f"{style.relative_to(site)} takes something from a network")
    return found


def _is_far(target: str) -> bool:
    return target.startswith(("http:", "https:", "//"))


def _file(target: str, page: Path) -> Path:
    """Return the file that a relative address means."""
    path = unquote(urlsplit(target).path)
    return Path(*_joined(page.parent / path)) if path else page


def _joined(path: Path) -> list[str]:
    """Return a path's parts with every .. applied, as a browser does."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return parts


def main() -> int:
    """Print what is wrong with the site that is named."""
    found = problems(Path(sys.argv[1]).resolve())
    print("\n".join(found) or "every link, anchor and picture of the site is there")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

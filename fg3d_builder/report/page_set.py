"""The pages of a report as files: written together, known to belong together, checked whole.

``pages.json`` beside them names each page with its hash and says of what dataset and code they are.
It is written last, when pages that another report has left over are gone: until then the report
counts as not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.hashes import file_sha256, sha256
from fg3d_builder.files.sealed import DamagedFileError, read_sealed_as, write_sealed_json

LISTING = "pages.json"
INDEX = "index.html"

_MADE_HERE = '<meta name="generator" content="fg3d">'
"""In the head of each page: what a person keeps beside them stays."""


def write_pages(folder: Path, identity: str, pages: Mapping[str, str]) -> None:
    """Write the pages of a report, and remove those of another one.

    Parameters
    ----------
    folder : Path
    identity : str
        Of what they are, see `pages_belong_to`.
    pages : mapping of str to str
        Text by file name.
    """
    # A file's name in a failure's message may be no text in UTF-8.
    data = {name: text.encode("utf-8", "backslashreplace") for name, text in pages.items()}
    for name, content in data.items():
        write_bytes(folder / name, content)
    for page in pages_in(folder):
        if page.name not in pages:
            page.unlink(missing_ok=True)
    hashes = {name: sha256(content) for name, content in data.items()}
    write_sealed_json(folder / LISTING, {"identity": identity, "pages": hashes})


def pages_belong_to(folder: Path, identity: str) -> bool:
    """Tell whether the pages in a folder have an identity, and none is missing or damaged."""
    try:
        known, pages = read_sealed_as(
            folder / LISTING, lambda value: (value["identity"], dict(value["pages"]))
        )
    except (FileNotFoundError, DamagedFileError):
        return False
    if known != identity:
        return False
    files = {folder / name: wanted for name, wanted in pages.items()}
    return all(file.is_file() and file_sha256(file) == wanted for file, wanted in files.items())


def pages_in(folder: Path) -> list[Path]:
    """List the pages in a folder, of whatever report, without `LISTING` and without scripts."""
    return [page for page in sorted(folder.glob("*.html")) if _is_made_here(page)]


def _is_made_here(page: Path) -> bool:
    if not page.is_file():  # a folder, or a link to nothing, that a person has put here
        return False
    with page.open(encoding="utf-8", errors="replace") as file:
        head = file.read(600)
    return _MADE_HERE in head

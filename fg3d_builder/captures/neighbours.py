"""Which files beside a scan's file belong to it, in folders of many scans as well."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from fg3d_builder.config import digest
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular

_IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
_MATERIALS_SUFFIX = ".mtl"
_MAX_MATERIALS_BYTES = 16 * 2**20


class Neighbours:
    """Lists each folder once, however many files in it are asked about."""

    def __init__(self) -> None:
        self._folders: dict[tuple[Path, str], _Folder] = {}

    def of(self, file: Path) -> _Folder:
        """Return the folder of a file, as files of its kind see it."""
        key = file.parent, file.suffix.lower()
        if key not in self._folders:
            self._folders[key] = _Folder(*key)
        return self._folders[key]


class _Folder:
    """A folder with one or many files of a kind.

    Attributes
    ----------
    common : frozenset of str
        Images that any of many files may name: the name of none of them begins theirs.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        try:
            names = os.listdir(folder)
        except OSError:
            names = []
        self._folder = folder
        self._by_stem: dict[str, set[str]] = defaultdict(set)
        for name in names:
            self._by_stem[Path(name).stem].add(name)
        kin = {Path(name).stem for name in names if Path(name).suffix.lower() == suffix}
        self._images = {name for name in names if Path(name).suffix.lower() in _IMAGE_SUFFIXES}
        self._many = len(kin) > 1
        self._own: dict[str, set[str]] = defaultdict(set)
        common: set[str] = set()
        for name in self._images if self._many else ():
            owner = _owner(Path(name).stem, kin)
            (common if owner is None else self._own[owner]).add(name)
        self.common = frozenset(common)
        self._common_identity = ""

    def common_identity(self) -> str:
        """Return the digest of the images in `common`, which are looked at once."""
        if not self._common_identity:
            self._common_identity = digest(
                file_stats(self._folder / name for name in sorted(self.common))
            )
        return self._common_identity

    def belonging(self, file: Path) -> tuple[set[str], bool]:
        """Return names of files that belong to one, itself included, and whether `common` may.

        They are those that differ only in their suffix, and images: all of the folder, where it
        holds one file of the kind; of many, those whose names begin with the file's, and those
        that its file of materials names.
        """
        same = self._by_stem.get(file.stem, set())
        if not self._many:
            return same | self._images, False
        own = same | self._own.get(file.stem, set())
        materials = [n for n in same if Path(n).suffix.lower() == _MATERIALS_SUFFIX]
        texts = [_text(self._folder / name) for name in materials]
        if not materials or None in texts:
            return own, bool(self.common)
        named = {end for text in texts for line in (text or "").splitlines() for end in _ends(line)}
        return own | (named & self._images), False


def file_stats(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Return name, size and time of each regular file; what cannot be looked at is absent.

    A file that may not be read has the size -1, so that its capture is loaded again once it may:
    permissions change neither size nor time.
    """
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            status = file.stat()
            if stat.S_ISREG(status.st_mode):
                size = status.st_size if os.access(file, os.R_OK) else -1
                found.append((file.name, size, status.st_mtime_ns))
    return found


def _owner(stem: str, kin: set[str]) -> str | None:
    """Return the longest of some names that a name begins with, up to its end or a separator."""
    for length in range(len(stem), 0, -1):
        if stem[:length] in kin and not stem[length : length + 1].isalnum():
            return stem[:length]
    return None


def _text(file: Path) -> str | None:
    try:
        data = read_regular(file, "", _MAX_MATERIALS_BYTES)
    except CaptureError:
        return None
    return data.decode("utf-8", "surrogateescape")


def _ends(line: str) -> set[str]:
    """Return all ends of a line that may be a file's name: names may hold blanks."""
    plain = line.strip().replace("\\", "/").replace("\t", " ")
    return {plain[i + 1 :].strip() for i, c in enumerate(plain) if c in " /"}

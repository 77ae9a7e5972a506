"""Files that a process reads once, however many of its tasks ask for them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class ReadOnce(Generic[T]):
    """Reads files, and again only where another file has taken a name's place.

    Files of a build are replaced, never changed: number, time and length of the file tell. All
    who ask get the same object and must not change it.

    Parameters
    ----------
    read : callable
        Reads a file; what it raises is passed on.
    kept : int
        Number of files whose content is kept.
    """

    def __init__(self, read: Callable[[Path], T], kept: int = 4) -> None:
        self._read, self._kept = read, kept
        self._known: OrderedDict[tuple[Path, int, int, int], T] = OrderedDict()

    def __call__(self, path: Path) -> T:
        """Return the content of a file.

        Raises
        ------
        FileNotFoundError
        """
        found = path.stat()
        key = (path, found.st_ino, found.st_mtime_ns, found.st_size)
        if key not in self._known:
            self._known[key] = self._read(path)
            while len(self._known) > self._kept:
                self._known.popitem(last=False)
        return self._known[key]

"""Files that a process reads once, however many of its tasks ask for them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ReadOnce(Generic[T]):
    """Reads files, and again only where another file has taken a name's place.

    Files of a build are replaced, never changed: number, time and length of the file tell. All
    who ask get the same object and must not change it.

    Parameters
    ----------
    read : callable
        Reads a file; what it raises is passed on.
    kept : float
        Number of files whose content is kept; with `size`, the sum of their sizes.
    size : callable
        Size of what was read. What is larger than `kept` by itself is not kept.
    """

    def __init__(
        self,
        read: Callable[..., T],
        kept: float = 4,
        size: Callable[[T], float] = lambda _: 1,
    ) -> None:
        self._read, self._kept, self._size = read, kept, size
        self._lock = threading.RLock()  # a thread beside the task's says how far a build is
        self._known: OrderedDict[tuple[Hashable, ...], tuple[T, float]] = OrderedDict()

    def __call__(self, path: Path, *about: Any) -> T:
        """Return the content of a file; `about` is for `read`, behind the path.

        Raises
        ------
        FileNotFoundError
        """
        key = self._key(path, about)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key][0]
            found = self._read(path, *about)
            size = self._size(found)
            if size <= self._kept:
                self._known[key] = found, size
            while sum(size for _, size in self._known.values()) > self._kept:
                self._known.popitem(last=False)
            return found

    def knows(self, path: Path, *about: Any) -> bool:
        """Tell whether a file's content is at hand.

        Raises
        ------
        FileNotFoundError
        """
        return self._key(path, about) in self._known

    def _key(self, path: Path, about: tuple[Any, ...]) -> tuple[Hashable, ...]:
        found = path.stat()
        return path, found.st_ino, found.st_mtime_ns, found.st_size, *about

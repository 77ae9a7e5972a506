"""Errors that a build records as data, errors of a person's making, and all in a sentence."""

from __future__ import annotations

import errno
import os

LONGEST_MESSAGE = 2000
"""Characters of a message that are kept; names and values in files may be of any length."""

_LONGEST_PATH = 200


def printable(text: str) -> str:
    """Return a text that can be printed and stored anywhere, as names in files often cannot.

    Control characters and what is no character at all (bytes of a file name in another encoding,
    halves of surrogate pairs) become escapes such as ``\\x07``; a text of any length is cut in its
    middle to `LONGEST_MESSAGE`.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    if len(text) > LONGEST_MESSAGE:
        half = LONGEST_MESSAGE // 2 - 3
        text = f"{text[:half]} ... {text[-half:]}"
    return text


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file name that is no text
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


class CaptureError(Exception):
    """One capture cannot be used; the build goes on without it.

    Parameters
    ----------
    code : str
        Short machine-readable reason, e.g. ``"no_face"`` or ``"no_depth_on_face"``;
        failures are counted by it.
    message : str
        One sentence for a person, naming the file and the field at fault where there is one.
        Kept as `printable` makes it, so that every failure can be recorded.
    """

    def __init__(self, code: str, message: str) -> None:
        message = printable(message)
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[CaptureError], tuple[str, str]]:
        return (type(self), (self.code, self.message))


class WrongUnitError(CaptureError):
    """A face has a size that no face has, by the unit that its capture declares.

    Parameters
    ----------
    message : str
    size : float
        How many times as large as it should be the face is.
    """

    def __init__(self, message: str, size: float) -> None:
        super().__init__("wrong_unit", message)
        self.size = size

    def __reduce__(self) -> tuple[type[WrongUnitError], tuple[str, float]]:  # type: ignore[override]
        return (type(self), (self.message, self.size))


class ConfigError(Exception):
    """A configuration or preset cannot be used; the message names the file and the field."""


class MissingDependencyError(ImportError):
    """An optional package or weight file is absent; the message says how to get it."""


def sentence(error: BaseException) -> str:
    """Say in a sentence, for a person, what is wrong; names the file where it is known."""
    if isinstance(error, CaptureError):
        return f"{error.code}: {error.message}"
    if isinstance(error, OSError) and error.errno is not None:
        return _of_system(error)
    if isinstance(error, MemoryError):
        return f"not enough memory{f': {error}' if str(error) else ''}"
    if isinstance(error, RecursionError):
        return "a file is nested too deep"
    return str(error) or type(error).__name__


def _of_system(error: OSError) -> str:
    """Say what the operating system refused, and with which file."""
    names = [name for name in (error.filename, error.filename2) if name is not None]
    where = at = " -> ".join(map(_cut, names))
    known = {
        errno.ENOENT: f"{at} does not exist",
        errno.EACCES: f"{at}: permission denied",
        errno.EPERM: f"{at}: the system does not permit that",
        errno.EISDIR: f"{at} is a folder, expected a file",
        errno.ENOTDIR: f"{at}: a part of this path is a file, expected a folder",
        errno.EEXIST: f"{at} is in the way: a file, where a folder is to be",
        errno.ENAMETOOLONG: f"{at}: the path is too long",
        errno.EROFS: f"{at} lies on a disk that can only be read",
        errno.ELOOP: f"{at}: symbolic links that point in a circle",
        errno.EMFILE: f"too many open files ({at}); see ulimit -n",
    }
    if where and error.errno in known:
        return known[error.errno]
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        kind = "disk is full" if error.errno == errno.ENOSPC else "quota is used up"
        more = reason.partition("; ")[2]
        wanted = f" ({more})" if more else ""
        return (
            f"the {kind}: {where or 'the output'} could not be written{wanted}; "
            "what is finished stays, make room and run the same command again"
        )
    return f"{where}: {reason}" if where else reason


def _cut(name: str | bytes | int) -> str:
    """Return a path, or the number of an open file, in no more than some letters."""
    path = f"open file {name}" if isinstance(name, int) else os.fsdecode(name)
    return path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}..."

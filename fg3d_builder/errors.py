"""Errors that a build records as data instead of dying of them."""

from __future__ import annotations

LONGEST_MESSAGE = 2000
"""Characters of a message that are kept; names and values in files may be of any length."""


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


class ConfigError(Exception):
    """A configuration or preset cannot be used; the message names the file and the field."""


class MissingDependencyError(ImportError):
    """An optional package or weight file is absent; the message says how to get it."""

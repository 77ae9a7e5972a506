"""Errors that a build records as data instead of dying of them."""

from __future__ import annotations


class CaptureError(Exception):
    """One capture cannot be used; the build goes on without it.

    Parameters
    ----------
    code : str
        Short machine-readable reason, e.g. ``"no_face"`` or ``"no_depth_on_face"``;
        failures are counted by it.
    message : str
        One sentence for a person, naming the file and the field at fault where there is one.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[CaptureError], tuple[str, str]]:
        return (type(self), (self.code, self.message))


class ConfigError(Exception):
    """A configuration or preset cannot be used; the message names the file and the field."""


class MissingDependencyError(ImportError):
    """An optional package or weight file is absent; the message says how to get it."""

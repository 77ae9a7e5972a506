"""The text of the files that list what is in a data set."""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.bounded import read_regular

_MAX_BYTES = 2**26


def list_text(path: Path, hint: str) -> str:
    """Return the text of a list, in UTF-8 with or without a byte order mark.

    Parameters
    ----------
    path : Path
    hint : str
        Where it comes from; said where it is missing.

    Raises
    ------
    ConfigError
        Missing, no regular file, too large, or no text; names file and line.
    """
    try:
        data = read_regular(path, "bad_list", _MAX_BYTES)
    except CaptureError as error:
        missing = error.code == "missing_file"
        raise ConfigError(f"{path}: not found; {hint}" if missing else error.message) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line}: no text in UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ConfigError(f"{path}: line {line}: holds a zero byte")
    return text

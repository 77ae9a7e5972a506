"""What a command says on stderr: a sentence, and the page of the guide that helps."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable

from fg3d_builder.errors import printable
from fg3d_builder.guidance import POINTER, page_for


def say(text: str, page: str = "") -> None:
    """Print a sentence on stderr, also where stdout is broken, and a page of the guide below it.

    What cannot be printed becomes escapes: names of files, and names in them, hold anything.
    """
    text = "\n".join(map(printable, text.split("\n")))
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        forget_output()
    with contextlib.suppress(OSError):
        print(f"fg3d: {text}", file=sys.stderr, flush=True)
        if page:
            print(f"{POINTER}{page}", file=sys.stderr, flush=True)


def say_pages(codes: Iterable[str]) -> None:
    """Print on stderr the pages that help with failures of some codes, each once."""
    for page in sorted(set(map(page_for, codes))):
        print(f"{POINTER}{page}", file=sys.stderr, flush=True)


def forget_output() -> None:
    """Let what is still to be printed go nowhere: the interpreter would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)

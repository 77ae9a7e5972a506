"""Whether there is a compiler for the kernels: machines for training alone have no Numba."""

from __future__ import annotations

import importlib.util


def can_compile() -> bool:
    """Say whether Numba is installed.

    It is asked anew each time, a microsecond once Numba is imported and a quarter of a millisecond
    where it is absent. Who asks more often than that allows remembers the answer.
    """
    return importlib.util.find_spec("numba") is not None

"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

# One BLAS thread per worker, set before numpy loads: the pipeline runs that way as well.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans and captures that lies beside the project; skips where absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    return folder

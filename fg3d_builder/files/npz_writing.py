"""Archives of arrays, there completely or not at all."""

from __future__ import annotations

import io
import os

import numpy as np

from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.records import Array


def write_npz(path: str | os.PathLike[str], arrays: dict[str, Array]) -> None:
    """Write arrays by their names, compressed."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())

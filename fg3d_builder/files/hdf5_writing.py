"""HDF5 files that are closed properly also where the disk is full.

The HDF5 library cannot close a file that it could not write, and the process that holds one ends
in a segmentation fault sooner or later. So after an error the library is given another file to
write the rest to, one in memory that nobody will see.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


@contextmanager
def new_hdf5(path: Path, **options: Any) -> Iterator[h5py.File]:
    """Open a new HDF5 file for writing, in place of ``h5py.File(path, "w")``; same bytes.

    Parameters
    ----------
    path : Path
        Is to be a temporary one, see `fg3d_builder.files.atomic.replacing`: what is there after
        an error is no HDF5 file.
    **options
        Of `h5py.File`.

    Raises
    ------
    OSError
        It could not be written.
    """
    file = h5py.File(path, "w", **options)
    try:
        yield file
        file.flush()  # while the file can still be let go
    except BaseException:
        _let_go(file)
        raise
    file.close()


def _let_go(file: h5py.File) -> None:
    """Close a file that cannot be written."""
    with tempfile.TemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as nowhere:
        os.dup2(nowhere.fileno(), file.id.get_vfd_handle())
        file.close()

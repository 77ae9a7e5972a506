"""HDF5 files whose disk may be full.

The HDF5 library cannot live with a file that it could not write: where the disk gets full at an
unlucky moment the process ends in a segmentation fault, at once or when it lets go of the file,
whatever is done about it. So files are made in memory, and written to the disk when they are
finished.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

_GROWTH_BYTES = 1 << 20
"""By which the file in memory grows."""


@contextmanager
def new_hdf5(path: Path, userblock_size: int = 0) -> Iterator[h5py.File]:
    """Open a new HDF5 file for writing, in place of ``h5py.File(path, "w")``; same bytes.

    The file is there after the `with` block; after an error in it nothing was written.

    Parameters
    ----------
    path : Path
        Is to be a temporary one, see `fg3d_builder.files.atomic.replacing`: a disk that gets full
        leaves a part of the file.
    userblock_size : int
        Bytes before the content, which the library leaves alone; they are written as zeros.

    Raises
    ------
    OSError
        It could not be written.
    """
    in_memory = h5py.File(
        path,
        "w",
        driver="core",
        backing_store=False,
        block_size=_GROWTH_BYTES,
        userblock_size=userblock_size,
    )
    with in_memory as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    with path.open("wb") as written:
        written.write(bytes(userblock_size))
        written.write(content)

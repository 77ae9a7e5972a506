"""Holding what an HDF5 file of unknown origin declares against what is there."""

from __future__ import annotations

import h5py

MAX_BYTES = 4 * 2**30
"""Of all data sets of a file that is read at once, unpacked."""

_DEFLATE = 1040
"""Deflate makes at most 1032 bytes of one."""


def check_declared(file: h5py.File, name: str, most_bytes: float = MAX_BYTES) -> None:
    """Refuse a file that leads elsewhere, or declares more than it can hold.

    An external link, external storage or a virtual dataset names any file of this machine, and
    libhdf5 would open it; a soft link may run in a circle. None of our writers makes one.

    Parameters
    ----------
    file : h5py.File
        On a disk or in memory.
    name : str
        Begins the message.
    most_bytes : float
        Of all data sets, unpacked.

    Raises
    ------
    ValueError
        Links to other files, data kept in other files, data sets larger than their stored bytes
        can unpack to or than `most_bytes` in all, groups in a circle. Names the object.
    """
    size = file.id.get_filesize()
    total, seen = 0, set()
    waiting: list[h5py.Group] = [file]
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            raise ValueError(f"{name}: {group.name}: groups in a circle")
        seen.add(address)
        for key in group:
            where = f"{name}: {group.name.rstrip('/')}/{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"{where}: is a link to another place, which is not followed")
            item = group[key]
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                total += _declared_bytes(item, size, where)
                if total > most_bytes:
                    raise ValueError(f"{where}: more than {most_bytes} bytes are declared up to it")


def _declared_bytes(data: h5py.Dataset, file_bytes: int, where: str) -> int:
    if data.is_virtual or data.external:
        raise ValueError(f"{where}: its data are in another file, which is not opened")
    declared = int(data.size or 0) * int(data.dtype.itemsize)
    stored = data.id.get_storage_size()
    most = stored if data.chunks is None else _DEFLATE * stored
    if stored > file_bytes or declared > most:
        raise ValueError(f"{where}: declares {declared} bytes, {min(stored, file_bytes)} are there")
    return declared

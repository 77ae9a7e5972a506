"""HDF5 files from elsewhere: what in them would make libhdf5 read other files is refused."""

from __future__ import annotations

import h5py


def refuse_links(file: h5py.File, name: str) -> None:
    """Make sure that everything in a file lies in the file itself.

    An external link, external storage or a virtual dataset names any file of this machine, and
    libhdf5 would open it; a soft link may run in a circle. None of our writers makes one.

    Parameters
    ----------
    file : h5py.File
    name : str
        Begins the message.

    Raises
    ------
    ValueError
        Names the link.
    """
    waiting: list[h5py.Group] = [file]
    seen: set[h5py.h5o.ObjInfo] = set()
    while waiting:
        group = waiting.pop()
        for key in group:
            where = f"{name}: {group.name.rstrip('/')}/{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"{where} is a link to somewhere else, which is not followed")
            item = group[key]
            if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise ValueError(f"{where} lies in another file, which is not read")
            if isinstance(item, h5py.Group):
                place = h5py.h5o.get_info(item.id).addr
                if place in seen:
                    raise ValueError(f"{where} holds itself, or stands there twice")
                seen.add(place)
                waiting.append(item)

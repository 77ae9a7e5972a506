"""Registrations kept on disk, so that each is made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.products import is_product_of, read_product, write_product
from fg3d_builder.files.sealed import DamagedFileError
from fg3d_builder.records import Failure

T = TypeVar("T")


def kept(path: Path, stage: str, key: str, kind: type[T], make: Callable[[], T]) -> T:
    """Return a record from its file, or make it and write the file.

    Parameters
    ----------
    path : Path
    stage : str
        What the record is; raise a number in it when the same input gives another record.
    key : str
        Digest of the input. A file of another key, or a damaged one, is made anew.
    kind : type
        A dataclass that `write_product` can write.
    make : callable
        Returns the record.

    Raises
    ------
    CaptureError
        What `make` raised, now or when the file was written.
    """
    if not _is_there(path, stage, key):
        try:
            record = make()
        except CaptureError as error:
            failure = Failure(path.stem, "", stage, error.code, error.message)
            write_product(path, stage, key, {}, [failure])
            raise
        write_product(path, stage, key, {path.stem: record})
        return record
    product = read_product(path, stage, key, kind)
    for failure in product.failures:
        raise CaptureError(failure.code, failure.message)
    return product.records[path.stem]


def _is_there(path: Path, stage: str, key: str) -> bool:
    try:
        return is_product_of(path, stage, key)
    except (FileNotFoundError, DamagedFileError):
        return False

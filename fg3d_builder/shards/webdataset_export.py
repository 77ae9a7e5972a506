"""A dataset as tar files in the layout of the package webdataset.

The files of a sample have a name in common, its number, and stand one behind the other:
``00000012.jpg``, ``00000012.json``, ``00000012.npz``. Every tar of a split but the last has as
many samples. Shapes, which many samples share, stand once beside the tars, as arrays that can be
mapped into memory, unless they are asked for in every sample.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.whole_folder import whole_folder
from fg3d_builder.records import Array
from fg3d_builder.shards.export_files import (
    SUFFIXES,
    image_suffixes,
    json_bytes,
    npz_bytes,
    readme,
    request_of,
    write_beside,
    write_contents,
    write_text,
)
from fg3d_builder.shards.part import Part
from fg3d_builder.shards.sample_source import SMALL, SampleSource, StoredSample

DEFAULT_ARRAYS = ("alpha_id", "alpha_exp", "initial_alpha_id", "initial_alpha_exp")

SHARED = ("shape_obj_mm", "confidence")
"""Arrays of shapes that stand once beside the tars where samples do not hold them."""

_BLOCK = 256
"""Samples that are read at a time."""

_LAYOUT = """
Tar files in the layout of WebDataset, {order}. The files of a sample
are called after its number in its split: `NUMBER.{images}` is the image as the dataset stores it,
`NUMBER.json` what fits into a few numbers{arrays}.

```python
import numpy as np
import webdataset

samples = webdataset.WebDataset("{first}", shardshuffle=False).decode("rgb8")
for sample in samples:
    image, about = sample["{image}"], sample["json"]  # (H, W, 3) uint8; dict
{shared}```

`number` is the sample's number, `shape` that of its shape among those of its split.
`contents.json` lists the tar files with their samples, length and SHA-256.
"""


@dataclass(frozen=True)
class WebDatasetOptions:
    """What goes into the tars.

    Attributes
    ----------
    splits : tuple of str
    arrays : tuple of str
        Of `sample_source.ARRAYS`, in every sample's ``npz``.
    shard_mb : float
        About the length of a tar, in millions of bytes.
    mixed : bool
        In the order of the samples' seeds instead of that of the dataset.
    """

    splits: tuple[str, ...]
    arrays: tuple[str, ...] = DEFAULT_ARRAYS
    shard_mb: float = 256.0
    mixed: bool = False

    @property
    def shared(self) -> tuple[str, ...]:
        """Arrays that stand beside the tars."""
        return tuple(name for name in SHARED if name not in self.arrays)


def webdataset_request(part: Part, options: WebDatasetOptions) -> str:
    """Return the identity of an export."""
    return request_of(part, "webdataset", vars(options))


def export_webdataset(
    part: Part,
    out: Path,
    options: WebDatasetOptions,
    model: FaceModel | None = None,
    note: Callable[[int], object] = lambda _: None,
) -> None:
    """Write tars, shapes, topology, face model, README and contents, whole or not at all.

    What an interrupted run of the same export has finished is kept; equal datasets and options
    give equal bytes.

    Parameters
    ----------
    part : Part
    out : Path
        Must not be there yet, or be an empty folder.
    options : WebDatasetOptions
    model : FaceModel, optional
        For coarse shapes.
    note : callable
        Is told how many samples have been written since.

    Raises
    ------
    ConfigError
        `out` holds files, or a shard has other content than its manifest says.
    ValueError, OSError
    """
    request = webdataset_request(part, options)
    with whole_folder(out, request) as folder:
        write_beside(part, folder)
        files = []
        for split in options.splits:
            with SampleSource(part, split, model) as source:
                for name in options.shared:
                    _write_shared(source, name, folder / f"{split}-{name}.npy")
                files += list(_write_tars(source, split, folder, options, note))
        write_text(folder / "README.md", _readme(part, options, files))
        write_contents(folder, part, request, files)


def _write_tars(
    source: SampleSource,
    split: str,
    folder: Path,
    options: WebDatasetOptions,
    note: Callable[[int], object],
) -> Iterator[dict[str, Any]]:
    """Write the tars of a split that are not there yet; yield what the contents say of each."""
    count = len(source)
    order = source.mixed_order() if options.mixed else np.arange(count)
    a_tar = _samples_in_a_tar(source, options)
    for number, begin in enumerate(range(0, count, a_tar)):
        path, chosen = folder / f"{split}-{number:06d}.tar", order[begin : begin + a_tar]
        if not path.is_file():
            with replacing(path) as temporary, temporary.open("wb") as file:
                _write_tar(file, source, chosen, options.arrays)
        note(len(chosen))
        yield {
            "file": path.name,
            "split": split,
            "samples": len(chosen),
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }


def _samples_in_a_tar(source: SampleSource, options: WebDatasetOptions) -> int:
    """Return how many samples make a tar of about the wanted length, by some that are spread."""
    count = len(source)
    if not count:
        return 1
    tried = np.unique(np.linspace(0, count - 1, 64).astype(int))
    samples = source.read(tried, options.arrays)
    lengths = [sum(_padded(len(data)) for _, data in _files(s, options.arrays)) for s in samples]
    return max(1, round(options.shard_mb * 1e6 / np.mean(lengths)))


def _padded(length: int) -> int:
    """Bytes that a file takes in a tar."""
    return tarfile.BLOCKSIZE + -(-length // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _write_tar(file: BinaryIO, source: SampleSource, numbers: Array, arrays: Sequence[str]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for begin in range(0, len(numbers), _BLOCK):
            for sample in source.read(numbers[begin : begin + _BLOCK], arrays):
                for name, data in _files(sample, arrays):
                    about = tarfile.TarInfo(name)  # its time is 0, its owner nobody
                    about.size, about.mode = len(data), 0o644
                    tar.addfile(about, io.BytesIO(data))


def _files(sample: StoredSample, arrays: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of a sample's files."""
    key = f"{sample.number:08d}"
    yield f"{key}.{SUFFIXES[sample.image_format]}", sample.image
    about = {"number": sample.number, "shape": sample.shape, **sample.small}
    yield f"{key}.json", json_bytes(about)
    if arrays:
        yield f"{key}.npz", npz_bytes(sample.arrays)


def _write_shared(source: SampleSource, name: str, path: Path) -> None:
    """Write an array of all shapes, block by block."""
    if path.is_file():
        return
    with replacing(path) as temporary, temporary.open("wb") as file:
        for number, block in enumerate(source.shape_blocks(name)):
            if number == 0:
                head = {
                    "descr": np.lib.format.dtype_to_descr(block.dtype),
                    "fortran_order": False,
                    "shape": (source.shape_count, *block.shape[1:]),
                }
                np.lib.format.write_array_header_1_0(file, head)
            file.write(block.tobytes())


def _readme(part: Part, options: WebDatasetOptions, files: Sequence[dict[str, Any]]) -> str:
    split = files[0]["split"]
    last = max(int(f["file"][-10:-4]) for f in files if f["split"] == split)
    first = f"{split}-{{000000..{last:06d}}}.tar" if last else f"{split}-000000.tar"
    images = image_suffixes(part)
    shared = "".join(
        f'    {name.split("_")[0]} = np.load("{split}-{name}.npy", mmap_mode="r")[about["shape"]]\n'
        for name in options.shared
    )
    if options.arrays:
        shared += f'    {options.arrays[0]} = sample["npz"]["{options.arrays[0]}"]\n'
    layout = _LAYOUT.format(
        order="samples mixed" if options.mixed else "samples in the order of the dataset",
        image=images[0],
        images=" or .".join(images),
        arrays=", `NUMBER.npz` the arrays" if options.arrays else "",
        first=first,
        shared=shared,
    )
    fields = (*SMALL, *options.arrays, *options.shared)
    return readme(part, "Samples for WebDataset", layout, fields)

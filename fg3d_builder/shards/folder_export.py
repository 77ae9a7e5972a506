"""A dataset as a folder of image files, an archive of arrays for each shape, and a table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.errors import ConfigError
from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.csv_text import csv_text
from fg3d_builder.files.whole_folder import whole_folder
from fg3d_builder.records import Array
from fg3d_builder.shards.export_files import (
    SUFFIXES,
    image_suffixes,
    npz_bytes,
    readme,
    request_of,
    write_beside,
    write_contents,
    write_text,
)
from fg3d_builder.shards.part import Part
from fg3d_builder.shards.sample_source import (
    SMALL,
    STORED_ARRAYS,
    SampleSource,
    StoredSample,
)

OF_SHAPES = ("shape_obj_mm", "confidence", "alpha_id", "alpha_exp")
"""Arrays that a shape's archive has once."""

OF_IMAGES = (
    "view_deg",
    "px_crop_from_px",
    "intrinsics",
    "scale",
    "rotation",
    "translation_mm",
    "visible",
    "initial_alpha_id",
    "initial_alpha_exp",
    "initial_scale",
    "initial_rotation",
    "initial_translation_mm",
    "initial_source",
    "painted",
    "seed",
)
"""What a shape's archive has for each of its images."""

INDEX = "index.csv"

_COLUMNS: tuple[str, ...]
_COLUMNS = ("image", "arrays", "row", "split", "subject", "capture", "expression", "licence")
_COLUMNS += ("shape_source", "pitch_deg", "yaw_deg", "painted", "quality", "initial_source")
_COLUMNS += ("scale", "fx", "skew", "cx", "fy", "cy")
_COLUMNS += (*(f"r{i}{j}" for i in "012" for j in "012"), "tx_mm", "ty_mm", "tz_mm")

_LAYOUT = """
`SPLIT/SUBJECT/CAPTURE/VIEW.SHAPE.{image}` are the images as the dataset stores them,
`SPLIT/SUBJECT/CAPTURE/SHAPE.npz` holds a shape and, for each of its images, camera, pose and the
3DMM fit. SHAPE is `capture` for a registered shape and `transform-0` and so on for new ones.

`index.csv` has a line for each image: its file, the archive with its arrays and its `row` there,
whose it is, the view's pitch and yaw, and its camera: `intrinsics` is ((fx, skew, cx), (0, fy, cy),
(0, 0, 1)), `rotation` is r00 to r22, row by row, `translation_mm` is tx_mm to tz_mm.

```python
import csv
import numpy as np

rows = list(csv.DictReader(open("index.csv")))
first = rows[0]
arrays = np.load(first["arrays"])
shape = arrays["shape_obj_mm"]  # (n, 3)
rotation = arrays["rotation"][int(first["row"])]  # (3, 3)
```

In the archives, what each image has for itself is stacked in the order of `images`, which names
their files; `capture_id`, `subject_id` and the like are in the table.
"""


def folder_request(part: Part, splits: Sequence[str]) -> str:
    """Return the identity of an export."""
    return request_of(part, "images", {"splits": list(splits)})


def export_folder(
    part: Part,
    out: Path,
    splits: Sequence[str],
    note: Callable[[int], object] = lambda _: None,
) -> None:
    """Write images, archives, table, topology, face model, README and contents.

    The folder is there when all of it is; of an interrupted run of the same export the captures
    that are finished are kept.

    Parameters
    ----------
    part : Part
    out : Path
        Must not be there yet, or be an empty folder.
    splits : sequence of str
    note : callable
        Is told how many samples have been written since.

    Raises
    ------
    ConfigError
        `out` holds files, a shard has other content than its manifest says, or an id is no name
        for a file.
    ValueError, OSError
    """
    request = folder_request(part, splits)
    with whole_folder(out, request) as folder:
        write_beside(part, folder)
        counts = []
        with replacing(folder / INDEX) as temporary, temporary.open("w", encoding="utf-8") as table:
            table.write(csv_text([_COLUMNS]))
            for split in splits:
                with SampleSource(part, split) as source:
                    for subject, capture, numbers in source.captures():
                        rows = _export_capture(source, folder, (split, subject, capture), numbers)
                        table.write(csv_text(rows))
                        note(len(numbers))
                    counts.append({"file": split, "samples": len(source)})
        fields = (*SMALL, *STORED_ARRAYS)
        layout = _LAYOUT.format(image=" or .".join(image_suffixes(part)))
        text = readme(part, "Samples as files", layout, fields)
        write_text(folder / "README.md", text)
        write_contents(folder, part, request, counts)


def _export_capture(
    source: SampleSource, folder: Path, place: tuple[str, str, str], numbers: Array
) -> list[list[Any]]:
    """Write the files of a capture, unless they are there; return its lines of the table."""
    for name in place:
        if Path(name).name != name or name.startswith("."):
            raise ConfigError(
                f"'{name}' is no name for a folder; `fg3d export webdataset` needs none"
            )
    own, inside = folder.joinpath(*place), "/".join(place)
    if own.is_dir():
        return [_line(inside, *item) for item in _by_shape(source.read(numbers, ()))]
    growing = own.with_name(f".{own.name}.unfinished")  # no capture's name, see above
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    samples = source.read(numbers, STORED_ARRAYS)
    items = list(_by_shape(samples))
    for source_name in dict.fromkeys(s.small["shape_source"] for s in samples):
        mine = [s for s in samples if s.small["shape_source"] == source_name]
        (growing / f"{source_name}.npz").write_bytes(npz_bytes(_archive(mine)))
    for sample, _ in items:
        (growing / _image_name(sample)).write_bytes(sample.image)
    growing.rename(own)
    return [_line(inside, *item) for item in items]


def _by_shape(samples: Sequence[StoredSample]) -> Iterator[tuple[StoredSample, int]]:
    """Yield samples with their rows in the archives of their shapes."""
    rows: dict[str, int] = {}
    for sample in samples:
        name = sample.small["shape_source"]
        rows[name] = rows.get(name, -1) + 1
        yield sample, rows[name]


def _archive(samples: Sequence[StoredSample]) -> dict[str, Array]:
    found = {name: samples[0].arrays[name] for name in OF_SHAPES}
    for name in OF_IMAGES:
        values = [s.arrays[name] if name in s.arrays else s.small[name] for s in samples]
        found[name] = np.array(values)
    found["donors"] = np.array(samples[0].small["donors"])
    found["images"] = np.array([_image_name(sample) for sample in samples])
    return found


def _image_name(sample: StoredSample) -> str:
    """Return ``VIEW.SHAPE.jpg`` from ``CAPTURE/VIEW/SHAPE``."""
    small = sample.small
    view = small["sample_id"].removeprefix(small["capture_id"] + "/")
    view = view.removesuffix("/" + small["shape_source"])
    name = f"{view}.{small['shape_source']}.{SUFFIXES[sample.image_format]}"
    if Path(name).name != name:
        raise ConfigError(f"sample '{small['sample_id']}': '{name}' is no name for a file")
    return name


def _line(inside: str, sample: StoredSample, row: int) -> list[Any]:
    small, split = sample.small, inside.split("/")[0]
    (fx, skew, cx), (_, fy, cy), _ = small["intrinsics"].tolist()
    return [
        f"{inside}/{_image_name(sample)}",
        f"{inside}/{small['shape_source']}.npz",
        row,
        split,
        *(small[name] for name in ("subject_id", "capture_id", "expression", "licence")),
        small["shape_source"],
        *small["view_deg"].tolist(),
        *(small[name] for name in ("painted", "quality", "initial_source", "scale")),
        *(fx, skew, cx, fy, cy),
        *small["rotation"].ravel().tolist(),
        *small["translation_mm"].tolist(),
    ]

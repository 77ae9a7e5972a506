"""How many samples a second one core reads and decodes, beside JPEG files and WebDataset.

`python -m benchmarks.reading DATASET` copies the rows of a dataset's training split until there are
a few thousand samples, more than a processor's caches hold, and writes the same images as files of
a folder and as tar files of WebDataset, alone and with shape and pose. All are read by this
process, in a random order and in theirs (a tar file in its own alone), some samples of each in
turn, again and again. Samples a second are those of the processor's time, the median of the rounds;
everything is in the disk's cache. Pixels come as (256, 256, 3) uint8. Writes
build/bench/reading.json.
"""

from __future__ import annotations

import argparse
import io
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import webdataset
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks.timings import machine
from fg3d_builder.config import BuildConfig, from_table
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.files.atomic import write_json
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.shards.manifest import (
    MANIFEST_NAME,
    MODEL_NAME,
    make_manifest,
    read_manifest,
    shard_name,
)
from fg3d_builder.shards.reader import ShardReader
from fg3d_builder.shards.sample import DERIVED, STORED
from fg3d_builder.shards.schema import FIELDS, CaptureRow, SampleImage, ShapeRow
from fg3d_builder.shards.shard_file import ShardFile
from fg3d_builder.shards.writer import ShardWriter, write_topology

SPLIT = "train"
POSE = ("shape_obj_mm", "scale", "rotation", "translation_mm", "intrinsics")
BATCH = 64
SHARDS = 4


class Reading(NamedTuple):
    """One way of reading.

    Attributes
    ----------
    name : str
    read : callable
        Reads and decodes the samples of these numbers; a stream goes on where it was.
    kb : float
        Kilobytes a sample on the disk.
    is_stream : bool
        Has one order alone.
    """

    name: str
    read: Callable[[Sequence[int]], None]
    kb: float
    is_stream: bool = False


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--samples", type=int, default=5000, help="at least so many are read from")
    parser.add_argument("--at-once", type=int, default=256, help="samples of each way in a round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("build/bench/reading.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(
            options.dataset, Path(folder), options.samples, options.at_once, options.rounds
        )
    write_json(options.out, {"machine": machine(), "rows": rows})
    print("| | random | in order | kB a sample |\n|---|---|---|---|")
    for row in rows:
        rates = (f"{row[order]:,.0f}" if order in row else "" for order in ("random", "in order"))
        print(f"| {row['name']} | {' | '.join(rates)} | {row['kb']:.1f} |")


def measure(
    dataset: Path, work: Path, samples: int, at_once: int, rounds: int
) -> list[dict[str, Any]]:
    """Return, for each way of reading, its name, samples a second by order, and kB a sample."""
    copies = copied(dataset, work / "dataset", samples)
    readings = [*of_files(copies, work), *of_tar_files(copies, work), *of_shards(copies)]
    count = len(ShardReader(copies, SPLIT))
    rng, orders = np.random.default_rng(7), ("in order", "random")
    seconds: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds + 1):
        start = int(rng.integers(count - at_once))
        numbers = {
            "in order": list(range(start, start + at_once)),
            "random": rng.choice(count, at_once, replace=False).tolist(),
        }
        for reading, order in itertools.product(readings, orders):
            if reading.is_stream and order == "random":
                continue
            began = time.process_time()
            reading.read(numbers[order])
            if number:  # the first round opens the files
                took = (time.process_time() - began) / at_once
                seconds.setdefault((reading.name, order), []).append(took)
    rates = {key: 1.0 / statistics.median(values) for key, values in seconds.items()}
    return [
        {"name": r.name, "kb": r.kb}
        | {order: rates[r.name, order] for order in orders if (r.name, order) in rates}
        for r in readings
    ]


def copied(dataset: Path, out: Path, samples: int) -> Path:
    """Write a dataset of at least so many samples: the same rows under other capture ids."""
    manifest, model = read_manifest(dataset), load_model(dataset / MODEL_NAME)
    entries = [entry for entry in manifest["shards"] if entry["split"] == SPLIT]
    copies = -(-samples // sum(entry["samples"] for entry in entries))
    format_ = manifest["config"]["shards"]["image_format"]
    writers = [ShardWriter(SPLIT, format_, model) for _ in range(SHARDS)]
    for copy, entry in itertools.product(range(copies), entries):
        shard = ShardFile(dataset / entry["file"], entry)
        _copy(shard, entry, writers[copy % SHARDS], f"-{copy}")
    for number, writer in enumerate(w for w in writers if w.sample_count):
        writer.write(out / shard_name(SPLIT, number))
    write_topology(out / "topology.h5", model)
    (out / MODEL_NAME).write_bytes((dataset / MODEL_NAME).read_bytes())
    config = from_table(BuildConfig, manifest["config"], MANIFEST_NAME)
    made = make_manifest(out, config, model, out / MODEL_NAME, [])
    write_json(out / "manifest.json", made)
    return out


def _copy(shard: ShardFile, entry: dict[str, Any], writer: ShardWriter, suffix: str) -> None:
    captures = {}
    for row in range(entry["captures"]):
        values = _row(shard, "captures", row)
        values["capture_id"] += suffix
        captures[row] = writer.add_capture(CaptureRow(**values))
    of_shape = shard.column("samples/shape_index")
    maker = shard.column("shapes/capture_index")
    for shape in range(entry["shapes"]):
        images = [_image(shard, row) for row in np.flatnonzero(of_shape == shape).tolist()]
        values = _row(shard, "shapes", shape)
        writer.add_shape(ShapeRow(**values), captures[int(maker[shape])], images)


def _image(shard: ShardFile, row: int) -> SampleImage:
    name = shard.row("samples/sample_id", row).split("/")[1]
    return SampleImage(
        name=name, image=shard.coded_image(row).tobytes(), **_row(shard, "samples", row)
    )


def _row(shard: ShardFile, table: str, row: int) -> dict[str, Any]:
    """Values of a row by the names of its record."""
    record = {"captures": CaptureRow, "shapes": ShapeRow, "samples": SampleImage}[table]
    wanted = record.__annotations__.keys()
    paths = [f.path for f in FIELDS if f.path.startswith(f"{table}/") and f.name in wanted]
    return {path.split("/")[1]: shard.row(path, row) for path in paths}


def of_files(dataset: Path, work: Path) -> Iterator[Reading]:
    """Write the images as files, and read them."""
    folder = work / "files"
    folder.mkdir()
    files = []
    for number, coded in enumerate(coded_images(dataset)):
        files.append(folder / f"{number:06d}.jpg")
        files[-1].write_bytes(coded)
    kb = sum(file.stat().st_blocks * 512 for file in files) / len(files) / 1e3

    def pil(numbers: Sequence[int]) -> None:
        for number in numbers:
            with Image.open(files[number]) as image:
                np.asarray(image.convert("RGB"))

    def ours(numbers: Sequence[int]) -> None:
        for number in numbers:
            decode_image(files[number].read_bytes())

    yield Reading("JPEG files, Pillow", pil, kb)
    yield Reading("JPEG files, our decoder", ours, kb)


def of_tar_files(dataset: Path, work: Path) -> Iterator[Reading]:
    """Write the images as a tar file, alone and with shape and pose; and read them."""
    images, whole = work / "images.tar", work / "whole.tar"
    reader = ShardReader(dataset, SPLIT, fields=POSE)
    with (
        webdataset.TarWriter(str(images)) as alone,
        webdataset.TarWriter(str(whole)) as together,
    ):
        for number, coded in enumerate(coded_images(dataset)):
            sample = {"__key__": f"{number:06d}", "jpg": coded}
            alone.write(sample)
            values = reader[number]
            shape = values.pop("shape_obj_mm")
            together.write({**sample, "shape.npy": _npy(shape), "pose.npz": _npz(values)})
    kb = {path: path.stat().st_size / len(reader) / 1e3 for path in (images, whole)}

    def ours(sample: dict[str, Any]) -> Any:
        return decode_image(sample["jpg"])

    def arrays(sample: dict[str, Any]) -> Any:
        pose = np.load(io.BytesIO(sample["pose.npz"]))
        return ours(sample), np.load(io.BytesIO(sample["shape.npy"])), dict(pose)

    def stream(path: Path) -> Any:
        return webdataset.WebDataset(str(path), shardshuffle=False)

    yield _stream("WebDataset, its decoder", stream(images).decode("rgb8"), kb[images])
    yield _stream("WebDataset, our decoder", stream(images).map(ours), kb[images])
    name = "WebDataset, our decoder, with shape and pose"
    yield _stream(name, stream(whole).map(arrays), kb[whole])


def _stream(name: str, samples: Any, kb: float) -> Reading:
    source = itertools.chain.from_iterable(itertools.repeat(samples))

    def read(numbers: Sequence[int]) -> None:
        for _sample in itertools.islice(source, len(numbers)):
            pass

    return Reading(name, read, kb, is_stream=True)


def of_shards(dataset: Path) -> Iterator[Reading]:
    """Read the dataset itself: one by one, in batches, and as a training takes it."""
    manifest = read_manifest(dataset)
    of_split = [entry for entry in manifest["shards"] if entry["split"] == SPLIT]
    kb = sum(e["bytes"] for e in of_split) / sum(e["samples"] for e in of_split) / 1e3
    ways = {
        "image": ("image",),
        "image, shape, pose": ("image", *POSE),
        "all that is stored": STORED,
        "all, with coarse shape and delta_S": (*STORED, *DERIVED),
    }
    for name, fields in ways.items():
        reader = ShardReader(dataset, SPLIT, fields=fields)

        def one_by_one(numbers: Sequence[int], reader: ShardReader = reader) -> None:
            for number in numbers:
                reader[number]

        def batches(numbers: Sequence[int], reader: ShardReader = reader) -> None:
            for batch in batched(numbers):
                reader.batch(batch)

        def of_torch(numbers: Sequence[int], reader: ShardReader = reader) -> None:
            sampler = list(batched(numbers))
            for _batch in DataLoader(reader, batch_sampler=sampler):  # type: ignore[arg-type]
                pass

        yield Reading(f"ShardReader, {name}", one_by_one, kb)
        yield Reading(f"ShardReader, {name}, batches of {BATCH}", batches, kb)
        yield Reading(f"ShardReader, {name}, batches of {BATCH} by torch", of_torch, kb)
    training = FaceDataset(dataset, SPLIT)

    def inputs(numbers: Sequence[int]) -> None:
        for batch in batched(numbers):
            training.batch(batch)

    yield Reading(f"FaceDataset, batches of {BATCH}", inputs, kb)


def batched(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Cut numbers into batches."""
    return (list(numbers[start : start + BATCH]) for start in range(0, len(numbers), BATCH))


def coded_images(dataset: Path) -> Iterator[bytes]:
    """Yield the encoded images of the split in order."""
    for entry in read_manifest(dataset)["shards"]:
        shard = ShardFile(dataset / entry["file"], entry)
        for row in range(entry["samples"]):
            yield shard.coded_image(row).tobytes()


def _npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _npz(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **values)
    return buffer.getvalue()


if __name__ == "__main__":
    main()

"""Training step by step: samples a second of reading, simulating, forward, loss and backward.

`python -m benchmarks.training DATASET --preset paper --device cuda` needs what training needs:
torch, numpy, scipy, h5py and OpenCV. Beside the seconds stands the floor: the multiply-adds of the
network, three times those of the forward pass for a step, at the rate that a large product of
matrices reaches on the same device in the same run. Writes build/bench/training.json or --out.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fgnet.calibration import features_of
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.kept_inputs import Fed
from fg3d_builder.fgnet.networks.complexity import complexity
from fg3d_builder.fgnet.run_summary import PAPER_EPOCHS, PAPER_SAMPLES
from fg3d_builder.fgnet.training.checkpoint import Progress
from fg3d_builder.fgnet.training.distributed import Processes
from fg3d_builder.fgnet.training.loop import Trainer
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS
from fg3d_builder.files.sealed_object import write_sealed_object


def main() -> None:
    """Measure and print."""
    options = arguments()
    device = torch.device(options.device)
    config = dataclasses.replace(
        TRAIN_PRESETS[options.preset],
        batch_size=options.batch_size,
        workers=options.workers,
        compile=options.compile,
        keep_inputs_mib=0,
    )
    model = load_model(options.facemodel) if options.facemodel else None
    data = FaceDataset(options.dataset, "train", config.confidence_floor, model)
    trainer = Trainer(config, data, options.out.with_suffix(""), Processes(0, 1, device))
    trainer.progress = Progress()
    rounds, clock = options.rounds, waiting_clock(device)
    numbers = next(iter(Endless(len(data), options.batch_size)))
    batch = data.batch(numbers)
    fit = batch.fit.to(device)
    needs = trainer.network.needs
    fed = Fed(
        batch.index,
        trainer.simulator.network_input(fit, needs),
        features_of(fit.alpha, fit.rotation),
        fit.shape_obj_mm,
        batch.target_obj_mm.to(device),
        batch.confidence.to(device),
    )
    size = len(fit.image)

    def forward() -> None:
        trainer.predict(fed)

    def step() -> None:
        trainer.step(fed)

    seconds = {
        "simulation": median(lambda: trainer.simulator.network_input(fit, needs), rounds, clock),
        "forward, no gradients": median(forward, rounds, clock),
        "step: forward, loss, backward, update": median(step, rounds, clock),
    }
    rows = {name: size / value for name, value in seconds.items()}
    read = median(lambda: data.batch(numbers), rounds, time.perf_counter)
    rows["reading, one process"] = size / read
    if options.workers:
        rows[f"reading, {options.workers} processes"] = reading_rate(data, options)
    rows["simulation and step"] = size / (seconds["simulation"] + seconds[list(seconds)[2]])
    flops = 2.0 * complexity(config.network).multiply_adds
    rate = product_rate(device, trainer, clock)
    rows["floor of forward"] = rate / flops
    rows["floor of a step"] = rate / (3.0 * flops)
    report(rows, rate, flops, config.precision, options, device)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--preset", choices=list(TRAIN_PRESETS), default="tiny")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--facemodel", type=Path, help="where the dataset may not hold it")
    parser.add_argument("--out", type=Path, default=Path("build/bench/training.json"))
    return parser.parse_args()


class Endless(torch.utils.data.Sampler[list[int]]):
    """Numbers from 0 on, again and again: batches may be larger than a small dataset."""

    def __init__(self, count: int, batch_size: int) -> None:
        self._count, self._batch_size = count, batch_size

    def __iter__(self) -> Iterator[list[int]]:
        numbers = itertools.cycle(range(self._count))
        while True:
            yield list(itertools.islice(numbers, self._batch_size))


def waiting_clock(device: torch.device) -> Callable[[], float]:
    """Seconds: of the wall after the device is done, on the CPU of this process alone."""
    if device.type != "cuda":
        return time.process_time

    def clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def median(work: Callable[[], object], rounds: int, clock: Callable[[], float]) -> float:
    """Median seconds of `work` over `rounds`, after two that warm up."""
    found = []
    for _ in range(rounds + 2):
        start = clock()
        work()
        found.append(clock() - start)
    return sorted(found[2:])[rounds // 2]


def reading_rate(data: FaceDataset, options: argparse.Namespace) -> float:
    """Samples a second by the wall of a loader with workers, without their start."""
    sampler = Endless(len(data), options.batch_size)
    loader = DataLoader(data, sampler=sampler, batch_size=None, num_workers=options.workers)
    batches = iter(loader)
    for _ in range(2 * options.workers):
        next(batches)
    start, count = time.perf_counter(), 6 * options.workers
    for _ in range(count):
        next(batches)
    return count * options.batch_size / (time.perf_counter() - start)


def product_rate(device: torch.device, trainer: Trainer, clock: Callable[[], float]) -> float:
    """Floating-point operations a second of a product of large matrices."""
    side = 8192 if device.type == "cuda" else 1024
    a = torch.randn(side, side, device=device)

    def work() -> None:
        with trainer.reconstructor.autocast():
            a @ a

    return 2.0 * side**3 / median(work, 5, clock)


def report(
    rows: dict[str, float],
    rate: float,
    flops: float,
    precision: str,
    options: argparse.Namespace,
    device: torch.device,
) -> None:
    """Print the table and write it."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU, time of the process"
    threads = torch.get_num_threads()
    print(f"preset {options.preset}, batch {options.batch_size}, {name}, {threads} threads")
    print(f"forward: {flops / 1e9:.2f} GFLOP a sample; matrix product: {rate / 1e12:.3g} TFLOP/s")
    for what, value in rows.items():
        print(f"{what:40s} {value:10.1f} samples/s {1000 / value:10.2f} ms/sample")
    hours = PAPER_SAMPLES * PAPER_EPOCHS / rows["simulation and step"] / 3600
    print(f"{PAPER_SAMPLES} samples x {PAPER_EPOCHS} epochs: {hours:.1f} h, reading beside it")
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    if memory is not None:
        print(f"largest memory: {memory:.1f} GiB")
    about: dict[str, Any] = {
        "device": name,
        "preset": options.preset,
        "batch_size": options.batch_size,
    }
    about |= {"precision": precision, "threads": threads, "torch": torch.__version__}
    about |= {"memory_gib": memory}
    result: dict[str, Any] = {
        **about,
        "flops": flops,
        "flops_per_s": rate,
        "samples_per_s": rows,
        "hours": hours,
    }
    write_sealed_object(options.out, result)


if __name__ == "__main__":
    main()

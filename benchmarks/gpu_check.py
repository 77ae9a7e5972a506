"""What a graphics card does with this package, in under ten minutes and one JSON file.

`python -m benchmarks.gpu_check DATASET` compares the device with the CPU (`fg3d parity`), counts
samples a second and the largest memory at the paper's preset (`benchmarks.training`), times the
rasteriser (`benchmarks.rasterizer_batch`) and trains a network of preset small for some epochs. It
needs what training needs: torch, numpy, scipy, h5py and OpenCV. Each part is a process of its own,
so that one that fails or takes too long leaves the others; exit status 1 where one did. Writes
build/bench/gpu_check.json or --out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from fg3d_builder.files.sealed_object import write_sealed_object

LINES = 40
"""Of what a part printed, the last so many are kept."""


def main() -> int:
    """Run all parts, write what they found, and say which failed."""
    options = arguments()
    on_gpu = options.device == "cuda"
    work = options.out.with_suffix("")
    work.mkdir(parents=True, exist_ok=True)
    limit = time.monotonic() + options.minutes * 60
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "memory_gib": torch.cuda.get_device_properties(0).total_memory / 2**30 if on_gpu else None,
        "torch": torch.__version__,
        "parts": {name: part(command, limit) for name, command in parts(options, work).items()},
    }
    for name in ("parity", "throughput", "rasterizer"):
        file = work / f"{name}.json"
        found[name] = json.loads(file.read_text()) if file.is_file() else None
    found["training"] = trained(work / "training")
    write_sealed_object(options.out, found)
    failed = [name for name, state in found["parts"].items() if state["status"] != 0]
    print(
        f"{options.out}: " + (f"failed: {', '.join(failed)}" if failed else "all parts went well")
    )
    return 1 if failed else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--preset", default="paper", help="of parity and samples a second")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--train-preset", default="small")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--facemodel", type=Path, help="where the dataset may not hold it")
    parser.add_argument("--minutes", type=float, default=9.5, help="for all parts together")
    parser.add_argument("--out", type=Path, default=Path("build/bench/gpu_check.json"))
    return parser.parse_args()


def parts(options: argparse.Namespace, work: Path) -> dict[str, list[str]]:
    """Command lines, the most important first."""
    fg3d, data = ["fg3d_builder.cli"], str(options.dataset)
    model = ["--facemodel", str(options.facemodel)] if options.facemodel else []
    device = ["--device", options.device]
    preset, train_preset = ["--preset", options.preset], ["--preset", options.train_preset]
    speed = [
        *("--batch-size", str(options.batch_size), "--workers", str(options.workers)),
        *("--rounds", str(options.rounds)),
    ]
    out = {name: ["--out", str(work / f"{name}.json")] for name in ("parity", "throughput")}
    return {
        "parity": [*fg3d, "parity", data, *out["parity"], *preset, *device, *model],
        "throughput": [
            *("benchmarks.training", data, *out["throughput"]),
            *(*preset, *device, *model, *speed),
        ],
        "training": [
            *(*fg3d, "train", data, "--out", str(work / "training"), *train_preset, *device),
            *(*model, "--epochs", str(options.epochs)),
        ],
        "rasterizer": [
            *("benchmarks.rasterizer_batch", "--out", str(work / "rasterizer.json"), *device)
        ],
    }


def part(command: list[str], limit: float) -> dict[str, Any]:
    """Run one part until `limit` of the monotonic clock; status, seconds and its last lines.

    The status of a part that was stopped, or never begun, is None.
    """
    print("==", *command, flush=True)
    began = time.monotonic()
    status: int | None = None
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=max(0.0, limit - began),
            check=False,
        )
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        output = (late.output or b"").decode(errors="replace")
    lines = output.splitlines()[-LINES:]
    print("\n".join(lines), flush=True)
    return {"status": status, "seconds": time.monotonic() - began, "lines": lines}


def trained(run: Path) -> dict[str, Any] | None:
    """Mean errors of the network and the fit on the test split; None where it did not get there."""
    for file in run.glob("assessment-*/assessment.json"):
        value = json.loads(file.read_text())
        return {name: value[name] for name in ("mean_fit", "mean_predicted", "lowered_by")}
    return None


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: every benchmark in turn, results under build/bench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run accuracy, comparisons, quality and augmentation on what data there is, then timings."""
    data = Path("../shared/data")
    accuracy = [sys.executable, "-m", "benchmarks.accuracy"]
    registration = [sys.executable, "-m", "benchmarks.registration"]
    quality = [sys.executable, "-m", "benchmarks.quality", "--subjects", "2"]
    fullview = [sys.executable, "-m", "benchmarks.fullview"]
    transform = [sys.executable, "-m", "benchmarks.transform"]
    commands = [accuracy, registration, quality, fullview, transform]
    if data.is_dir():
        commands.append([sys.executable, "-m", "benchmarks.semantic"])
    else:
        print(f"no real data at {data}: synthetic faces only")
        accuracy += ["--only", "synthetic"]
        registration += ["--only", "synthetic"]
    timed = ("rasterizer", "rasterizer_batch", "timings")
    speed = [[sys.executable, "-m", f"benchmarks.{name}"] for name in timed]
    for command in [*commands, *speed]:
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

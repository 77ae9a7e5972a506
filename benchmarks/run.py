"""`make bench`: runs the benchmarks and puts their figures where the README and docs take them.

`python -m benchmarks.run accuracy demo` runs some of them; the others' figures stay as they are.
Results are in build/bench, the figures in docs/figures.json, each with the commit measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import TAKEN, take_figures
from benchmarks.figures import main as fill_tables

DATA = Path("../shared/data")
RESULTS = Path("build/bench")
OPTIONS = {"fullview": ["--reference"], "quality": ["--subjects", "2"]}
NEED_DATA = ("semantic", "heads", "landmark_fits", "population")
SYNTHETIC_ALONE = ("accuracy", "registration")
"""Where there is no real data, these measure synthetic faces only."""

MAY_FIND = ("drill",)
"""These end with another exit status than 0 where they find something; their figures are taken."""

BENCHMARKS = (
    "accuracy",
    "relief",
    "demo",
    "registration",
    "semantic",
    "heads",
    "landmark_fits",
    "population",
    "quality",
    "fullview",
    "turned_detection",
    "transform",
    "rasterizer",
    "rasterizer_batch",
    "poisson",
    "timings",
    "drill",
)


def command(name: str) -> list[str]:
    """Return the words that run a benchmark on what data there is."""
    only = ["--only", "synthetic"] if name in SYNTHETIC_ALONE and not DATA.is_dir() else []
    return [sys.executable, "-m", f"benchmarks.{name}", *OPTIONS.get(name, []), *only]


def main() -> None:
    """Run what the arguments name, everything by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME")
    names = parser.parse_args().names or BENCHMARKS
    if not DATA.is_dir():
        print(f"no real data at {DATA}: synthetic faces only")
        names = [name for name in names if name not in NEED_DATA]
    for name in names:
        print(f"== {name}", flush=True)
        ended = subprocess.run(command(name), check=name not in MAY_FIND)
        if name in TAKEN:
            take_figures(name, RESULTS / f"{name}.json")
            fill_tables()
        ended.check_returncode()


if __name__ == "__main__":
    main()

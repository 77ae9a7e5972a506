"""`make bench`: every benchmark in turn, results under build/bench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run accuracy on what data there is, then timings of the stages."""
    data = Path("../shared/data")
    accuracy = [sys.executable, "-m", "benchmarks.accuracy"]
    if not data.is_dir():
        print(f"no real data at {data}: synthetic faces only")
        accuracy += ["--only", "synthetic"]
    subprocess.run(accuracy, check=True)
    subprocess.run([sys.executable, "-m", "benchmarks.timings"], check=True)


if __name__ == "__main__":
    main()

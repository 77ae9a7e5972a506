"""How far the demo's registrations are from the truth: what the README says of `make demo`.

`python -m benchmarks.demo` builds tasks/demo.toml (or goes on with it, or takes it as it is) and
writes build/bench/demo.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.timings import machine
from fg3d_builder.tasks import BuildFG3D
from fg3d_builder.tasks.report_tasks import report_rows

PRESET = Path("tasks/demo.toml")
FITS = ("landmark_fit", "coarse_fit", "registration")


def main() -> None:
    """Build the demo and average its report's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build/demo"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/demo.json"))
    arguments = parser.parse_args()
    command = ["-m", "fg3d_builder.cli", "build", str(PRESET), "--out", str(arguments.build)]
    subprocess.run([sys.executable, *command, "--workers", "2"], check=True)
    task = BuildFG3D(preset=str(PRESET), out=str(arguments.build))
    rows = report_rows(task.report.sheets())
    figures: dict[str, float] = {"captures": len(rows)}
    for key, name in (("truth_mm", "vertex"), ("truth_surface_mm", "surface")):
        for fit in FITS:
            figures[f"{name}_{fit}"] = float(np.mean([row[key][fit]["mean"] for row in rows]))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1))
    for name, value in figures.items():
        print(f"{name:26s} {value:8.3f}")


if __name__ == "__main__":
    main()

"""Builds the cached products of the default model in a process with one BLAS thread.

A BLAS with several threads rounds differently, and the model must not depend on the settings
of the process that needs it first. The number of threads can only be chosen before numpy
loads, hence the process of its own: ``python -m fg3d_builder.heads.building FILE [HEADS]``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.files.own_package import finds_this_package
from fg3d_builder.files.sealed import seal
from fg3d_builder.heads.default import build_model
from fg3d_builder.heads.population import HeadPopulation, build_heads

HEADS_SCHEMA = "fg3d-heads-1"
"""Of the seal on the population's heads."""

_ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}


def build_apart(file: Path, heads: Path | None = None) -> None:
    """Write to `file` the population's heads, or the model of the population in `heads`.

    Raises
    ------
    ConfigError
        Where the build fails, with the last lines that it printed.
    """
    files = [str(file)] if heads is None else [str(file), str(heads)]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *files],
        env={**finds_this_package(), **_ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        product = "heads" if heads is None else "model"
        last_lines = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise ConfigError(f"Building the default face model ({product}) failed:\n{last_lines}")


def main(file: str, heads: str = "") -> None:
    """Build one product in this process."""
    if not heads:
        build_heads(Path(file))
        seal(Path(file), HEADS_SCHEMA)
        return
    save_model(build_model(HeadPopulation.read(Path(heads))), file)


if __name__ == "__main__":
    main(*sys.argv[1:])

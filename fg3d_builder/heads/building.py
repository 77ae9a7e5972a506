"""Builds the cached products of the default model in a process with one BLAS thread.

A BLAS with several threads rounds differently, and the model must not depend on the settings
of whoever happens to ask for it first. Threads can only be chosen before numpy loads, hence
the process of its own: ``python -m fg3d_builder.heads.building PRODUCT FILE CACHE``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fg3d_builder.errors import ConfigError

_ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}


def build_apart(product: str, file: Path, cache: Path) -> None:
    """Write ``"heads"`` or ``"model"`` to `file`; the model takes its heads from `cache`.

    Raises
    ------
    ConfigError
        Where the build fails; with the end of what it said.
    """
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    done = subprocess.run(
        [sys.executable, "-m", __name__, product, str(file), str(cache)],
        env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise ConfigError(f"Building the default face model ({product}) failed:\n{said}")


def main(product: str, file: str, cache: str) -> None:
    """Build one product in this process."""
    if product == "heads":
        from fg3d_builder.heads.population import build_heads

        build_heads(Path(file))
    elif product == "model":
        from fg3d_builder.facemodel.storage import save_model
        from fg3d_builder.heads.default import build_model
        from fg3d_builder.heads.population import HeadPopulation

        save_model(build_model(HeadPopulation.load(Path(cache))), file)
    else:
        raise ConfigError(f"unknown product '{product}'; known are heads, model")


if __name__ == "__main__":
    main(*sys.argv[1:])

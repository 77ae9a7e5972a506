"""Where processes that are started by ``python -m`` find this package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def finds_this_package(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which ``python -m fg3d_builder...`` runs this very package.

    Python looks in the current folder first. In the folder that a clone named ``fg3d_builder``
    lies in, that clone's folder is taken for an empty package of this name, and an editable
    installation is not asked; a folder on ``PYTHONPATH`` with the package itself is.

    Parameters
    ----------
    environment : mapping, optional
        What it is made from; that of this process by default.
    """
    known = dict(os.environ if environment is None else environment)
    root = str(Path(__file__).resolve().parents[2])
    known["PYTHONPATH"] = os.pathsep.join(p for p in (root, known.get("PYTHONPATH", "")) if p)
    return known

"""What a Dask worker does beside running tasks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from test_build import PROJECT

FAULTS = """
import resource, sys
import numpy as np
from fg3d_builder.tasks.dask_worker import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.zeros(1 << 17) + 1.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

there = faults()
keep_freed_memory()
faults()
print(there, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_freed_memory_is_kept_where_dask_has_it_given_back() -> None:
    """Each page that is given back costs a fault when it is wanted again."""
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536", "PYTHONPATH": str(PROJECT)}
    environment.pop("MALLOC_MMAP_THRESHOLD_", None)
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    pages = (1 << 20) // os.sysconf("SC_PAGE_SIZE")  # of an array; too few for one huge page
    assert before > 50 * pages
    assert after < pages

"""A stop is noticed wherever it arrives."""

from __future__ import annotations

import subprocess
import sys

FINALISER = """
import signal, time
from fg3d_builder.stopping import stoppable

class Slow:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # Python cannot raise anything from here

try:
    with stoppable():
        Slow()
        time.sleep(15.0)
        print("went on")
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_stop_in_a_finaliser_is_raised_afterwards_and_in_silence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FINALISER], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "stopped\n"
    assert done.stderr == ""

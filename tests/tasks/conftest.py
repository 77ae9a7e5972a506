"""Fixtures of the tests of what runs tasks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import luigi
import pytest


@pytest.fixture
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A central scheduler on this machine that soon misses a lost worker; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    logs = str(tmp_path_factory.mktemp("luigid"))
    missed = Path(logs, "luigi.cfg")
    missed.write_text("[scheduler]\nworker_disconnect_delay = 4\nprune_interval = 1\n")
    configured = {**os.environ, "LUIGI_CONFIG_PATH": str(missed)}
    words = ["--address", "127.0.0.1", "--port", str(port), "--logdir", logs]
    words += ["--state-path", f"{logs}/state"]
    program = [sys.executable, "-c", "import luigi.cmdline; luigi.cmdline.luigid()", *words]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(program, env=configured, **silent)
    settings = luigi.configuration.get_config()
    before = settings.get("core", "local_scheduler", "true")
    settings.set("core", "scheduler_port", str(port))
    try:
        limit = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert server.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.1)
        yield port
    finally:
        server.kill()
        server.wait()
        settings.remove_option("core", "scheduler_port")
        settings.set("core", "local_scheduler", before)

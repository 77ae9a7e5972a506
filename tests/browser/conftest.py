"""A small real build to look at: three registrations, one failure, and markup where it fits."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import luigi
import pytest
from toy_build import write_toy_build

from fg3d_builder.tasks import BuildFG3D

MARKUP = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


class Built(NamedTuple):
    """A build and its preset."""

    preset: Path
    root: Path

    def again(self) -> None:
        """Build once more."""
        luigi.configuration.get_config().set("core", "no_configure_logging", "true")
        logging.getLogger("luigi-interface").setLevel(logging.CRITICAL)
        luigi.task_register.Register.clear_instance_cache()
        task = BuildFG3D(preset=str(self.preset), out=str(self.root))
        luigi.build([task], local_scheduler=True)


@pytest.fixture(scope="session")
def first_build(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("viewed")
    preset = write_toy_build(folder, subjects=3, captures=1)
    described = folder / "captures" / "s1-0" / "capture.json"
    capture = json.loads(described.read_text())
    described.write_text(json.dumps({**capture, "subject": MARKUP}))
    shutil.copytree(folder / "captures" / "s2-0", folder / "captures" / "torn")
    (folder / "captures" / "torn" / "capture.json").write_text("{")
    preset.write_text(preset.read_text().replace("max_failure_rate = 0.0", "max_failure_rate = 1"))
    built = Built(preset, folder / "out")
    built.again()
    return built


@pytest.fixture
def built(first_build: Built) -> Iterator[Built]:
    """The build with a review list as it was made, whatever a test writes into it."""
    listed = first_build.root / "review.csv"
    before = listed.read_bytes()
    yield first_build
    listed.write_bytes(before)

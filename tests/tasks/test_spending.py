"""What is measured of a task is what it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fg3d_builder.shards.costs import Cost
from fg3d_builder.tasks import spending
from fg3d_builder.tasks.spending import Meter, costed, read_cost

MB = 1_000_000


def work(seconds: float) -> None:
    """Keep the processor busy for so much time of it."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def hold(megabytes: int) -> None:
    """Have so much memory, every page of it written, and give it back."""
    block = bytearray(megabytes * MB)
    block[::4096] = b"x" * len(block[::4096])


def test_processor_time_is_not_time_by_the_clock() -> None:
    with Meter() as meter:
        work(0.2)
        time.sleep(0.3)
    assert 0.2 <= meter.cost.processor_s < 0.3
    assert meter.cost.wall_s >= 0.5


def test_processes_that_a_task_starts_count() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    with Meter() as meter:
        subprocess.run([sys.executable, "-c", busy], check=True)
    assert meter.cost.processor_s >= 0.3


@pytest.fixture
def restarts() -> None:
    if not spending.peak_forgotten():
        pytest.skip("this system does not set the high-water mark back")


@pytest.mark.usefixtures("restarts")
def test_memory_is_that_of_the_task_and_not_of_one_before_it() -> None:
    with Meter() as large:
        hold(300)
    with Meter() as small:
        hold(20)
    assert large.cost.peak_mb is not None
    assert small.cost.peak_mb is not None
    assert large.cost.peak_mb - small.cost.peak_mb == pytest.approx(280, abs=30)


@pytest.mark.usefixtures("restarts")
def test_a_task_inside_another_has_its_own_time_and_both_have_its_memory() -> None:
    with Meter() as outer:
        hold(200)
        with Meter() as inner:
            work(0.2)
        work(0.05)
    with Meter() as around, Meter() as within:
        hold(200)
    assert 0.05 <= outer.cost.processor_s < 0.2 <= inner.cost.processor_s
    assert outer.cost.peak_mb > inner.cost.peak_mb + 150  # type: ignore[operator]
    assert around.cost.peak_mb == within.cost.peak_mb


@pytest.mark.usefixtures("restarts")
def test_a_process_forked_from_a_large_one_has_its_own_peak() -> None:
    hold(300)  # the parent's mark, which a child would inherit
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with Meter() as meter:
            hold(50)
        os.write(writing, f"{meter.cost.peak_mb}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    with Meter() as here:
        hold(50)
    assert here.cost.peak_mb is not None
    assert float(os.read(reading, 99)) < here.cost.peak_mb + 60


def test_a_mark_that_cannot_be_set_back_tells_only_what_it_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks = iter([100.0, 100.0, 100.0, 150.0])
    monkeypatch.setattr(spending, "peak_forgotten", lambda: False)
    monkeypatch.setattr(spending, "high_water_mb", lambda: next(marks))
    with Meter() as unchanged:
        pass
    with Meter() as risen:
        pass
    assert unchanged.cost.peak_mb is None
    assert risen.cost.peak_mb == 150.0


@dataclass
class Task:
    """As much of a task as has to do with its costs."""

    root: Path
    writes: bool = True

    @property
    def layout(self) -> Any:
        return SimpleNamespace(cost=lambda made: self.root / "costs" / f"{made.stem}.json")

    def made_file(self) -> Path:
        return self.root / "made.h5"

    @costed  # type: ignore[arg-type]
    def run(self) -> None:
        if self.writes:
            work(0.02)
            replaced = self.made_file().with_suffix(".part")
            replaced.touch()
            replaced.replace(self.made_file())


def test_costs_are_noted_only_where_something_was_made(tmp_path: Path) -> None:
    task: Any = Task(tmp_path)
    assert read_cost(task) is None
    task.run()
    known = read_cost(task)
    assert isinstance(known, Cost)
    assert known.processor_s >= 0.02
    Task(tmp_path, writes=False).run()  # type: ignore[call-arg, arg-type]
    assert read_cost(task) == known
    (tmp_path / "costs/made.json").write_text("{")
    assert read_cost(task) is None

"""The scheduler of one process: what it gives out, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from luigi.scheduler import DONE, FAILED, PENDING, UNKNOWN, Scheduler

from fg3d_builder.tasks import quick_scheduler
from fg3d_builder.tasks.quick_scheduler import RETRIED_AFTER_S, QuickScheduler


def given(scheduler: Any, running: list[str]) -> str | None:
    task_id = scheduler.get_work(worker="w", host="here", current_tasks=running)["task_id"]
    return None if task_id is None else str(task_id)


def run_out(scheduler: Any, failing: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Run one task after the other until there is none; return them in order."""
    order: list[str] = []
    while (task_id := given(scheduler, [])) is not None:
        order.append(task_id)
        status = FAILED if task_id in failing else DONE
        scheduler.add_task(task_id=task_id, worker="w", status=status, runnable=None)
    return order


def test_late_stages_run_first_and_what_was_named_first() -> None:
    scheduler = QuickScheduler()
    for chunk in "ab":
        scheduler.add_task(f"{chunk}2", deps=[f"{chunk}1"], priority=2)
        scheduler.add_task(f"{chunk}1", deps=[], priority=1)
    assert scheduler.get_work()["n_pending_tasks"] == 4
    scheduler.add_task("a1", status=PENDING)  # somebody else names it while it runs
    scheduler.add_task("a1", status=DONE, runnable=None)
    assert run_out(scheduler) == ["a2", "b1", "b2"]
    assert scheduler.get_work()["n_pending_tasks"] == 0


def test_chunks_run_in_the_order_in_which_they_are_asked_for() -> None:
    chunks = [f"chunk {number}" for number in range(40)]
    scheduler = QuickScheduler()
    scheduler.add_task("whole", deps=chunks)
    for name in reversed(chunks):  # as Luigi's workers come by them
        scheduler.add_task(name, deps=[])
    assert run_out(scheduler) == [*chunks, "whole"]


@pytest.mark.parametrize("seed", range(5))
def test_the_same_tasks_run_as_with_luigis_own_scheduler(seed: int) -> None:
    """Of a graph in which some are done, some fail, and one cannot be planned."""
    rng = np.random.default_rng(seed)
    names = [f"t{number}" for number in range(60)]
    needs = {
        name: sorted(rng.choice(names[:i], min(i, int(rng.integers(4))), replace=False))
        for i, name in enumerate(names)
    }
    status = {name: DONE if rng.random() < 0.2 else PENDING for name in names} | {"t7": UNKNOWN}
    failing = set(rng.choice(names, 6, replace=False))
    ran = []
    for scheduler in (QuickScheduler(), Scheduler(prune_on_get_work=True)):
        for name in reversed(names):
            planned = status[name] == PENDING
            scheduler.add_task(
                task_id=name,
                worker="w",
                status=status[name],
                deps=needs[name] if planned else None,
                runnable=planned,
                priority=int(name[1:]) % 4,
            )
        order = run_out(scheduler, failing)
        for name in order:
            assert all(status[n] == DONE or n in order[: order.index(name)] for n in needs[name])
        ran.append(set(order))
    assert ran[0] == ran[1]
    assert 10 < len(ran[0]) < 60


def test_what_a_running_task_asks_for_runs_before_it_goes_on() -> None:
    scheduler = QuickScheduler()
    scheduler.add_task("whole", deps=[])
    assert given(scheduler, []) == "whole"
    scheduler.add_task("part", deps=[])
    scheduler.add_task("whole", status=PENDING, runnable=None, new_deps=["part"])
    assert run_out(scheduler) == ["part", "whole"]


def test_what_has_gone_is_made_again_before_what_needs_it() -> None:
    scheduler = QuickScheduler()
    scheduler.add_task("last", deps=["first"])
    scheduler.add_task("first", status=DONE, runnable=False)
    assert given(scheduler, []) == "last"
    scheduler.add_task("last", status=FAILED, runnable=None)  # it has found nothing there
    scheduler.add_task("last", deps=["first"])
    scheduler.add_task("first", deps=[])
    assert run_out(scheduler) == ["first", "last"]


def test_a_task_whose_process_has_died_is_given_again() -> None:
    scheduler = QuickScheduler()
    for name in ("one", "two"):
        scheduler.add_task(name, deps=[])
    assert given(scheduler, []) == "one"
    assert given(scheduler, ["one"]) == "two"
    scheduler.add_task("one", status=PENDING, runnable=None)
    assert given(scheduler, ["two"]) == "one"
    assert given(scheduler, ["one", "two"]) is None


def test_what_has_failed_is_tried_again_much_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(quick_scheduler.time, "monotonic", lambda: now[0])
    scheduler = QuickScheduler()
    scheduler.add_task("one", deps=[])
    assert run_out(scheduler, {"one"}) == ["one"]
    now[0] += RETRIED_AFTER_S - 1.0
    assert run_out(scheduler) == []
    now[0] += 2.0
    assert run_out(scheduler) == ["one"]

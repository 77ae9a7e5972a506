"""A person's way through the page in a real browser: Chromium, without a window."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from fg3d_builder.browser.listing import newest_layout
from fg3d_builder.browser.server import ReviewServer
from fg3d_builder.review.decisions import verdicts_of
from fg3d_builder.review.review_list import read_review_list
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.tasks.base import stage_product
from fg3d_builder.tasks.chunks import read_index

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium brings one"
)

SOFTWARE_GRAPHICS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PATIENCE_MS = 180_000
"""A busy machine without graphics takes long to draw; nothing here measures time."""


@contextmanager
def serving(root: Path) -> Iterator[ReviewServer]:
    server = ReviewServer(root, 0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.stop()
    thread.join()


@pytest.fixture
def server(built: Any) -> Iterator[ReviewServer]:
    with serving(built.root) as server:
        yield server


@pytest.fixture
def tab(server: ReviewServer) -> Iterator[Any]:
    with opened(server) as tab:
        yield tab


@contextmanager
def opened(server: ReviewServer) -> Iterator[Any]:
    """A browser's tab at the overview, with ``tab.asked`` and ``tab.faults`` beside it."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as control:
        # A container's root has no sandbox to run in; the only site visited is ours.
        browser = control.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *SOFTWARE_GRAPHICS]
        )
        tab = browser.new_page()
        tab.set_default_timeout(PATIENCE_MS)
        tab.asked, tab.faults = [], []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.on("pageerror", lambda error: tab.faults.append(str(error)))
        tab.goto(server.address)
        tab.origin = server.address.split("/?")[0]
        yield tab
        assert tab.faults == []
        assert tab.evaluate("window.hacked") is None, "no markup ran"
        hosts = {urlsplit(url).hostname for url in tab.asked if url.startswith("http")}
        assert hosts == {"127.0.0.1"}
        browser.close()


def listed(root: Path) -> dict[str, tuple[str, str]]:
    """The verdicts in the review list."""
    found = verdicts_of(read_review_list(root / "review.csv"))
    return {name: tuple(verdict) for name, verdict in found.items()}


def shown(tab: Any) -> list[str]:
    """Ids in the list, in order."""
    ids: list[str] = tab.eval_on_selector_all(
        "#rows [data-id]", "all => all.map(e => e.dataset.id)"
    )
    return ids


def at(tab: Any, name: str) -> None:
    """Wait until a capture's page is there and listens to keys."""
    tab.wait_for_selector(f'[data-ready] #capture[data-id="{name}"]')


def judged(tab: Any, name: str, verdict: str) -> None:
    """Wait until the page shows a verdict."""
    tab.wait_for_selector(f'[data-ready] [data-id="{name}"][data-verdict="{verdict}"]')


def until(tab: Any, expression: str) -> None:
    """Wait until an expression is true; the page forbids the way that Playwright has for it."""
    for _ in range(PATIENCE_MS // 200):
        if tab.evaluate(expression):
            return
        tab.wait_for_timeout(200)
    raise AssertionError(expression)


def test_load_filter_step_judge_undo_reload_and_build(tab: Any, built: Any) -> None:
    assert "key=" not in tab.url, "people send addresses to each other"

    # Filter; the address has it, so that reloading and going back work.
    tab.goto(f"{tab.origin}/captures?sort=capture")
    assert shown(tab) == ["s0-0", "s1-0", "s2-0", "torn"]
    tab.fill("#search", "S1")
    tab.press("#search", "Enter")
    tab.wait_for_url("**text=S1*")
    assert shown(tab) == ["s1-0"]
    tab.reload()
    assert shown(tab) == ["s1-0"]
    assert tab.input_value("#search") == "S1"
    tab.go_back()
    tab.wait_for_selector('[data-ready] [data-id="torn"]')
    assert len(shown(tab)) == 4

    # Step and judge by keys alone.
    tab.keyboard.press("n")
    tab.keyboard.press("Enter")
    at(tab, "s0-0")
    tab.keyboard.press("r")
    at(tab, "s1-0")
    assert listed(built.root) == {"s0-0": ("reject", "")}
    tab.keyboard.press("e")
    tab.keyboard.type("a beard, but <b>it fits</b>")
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector('#capture[data-note^="a beard"]')
    tab.keyboard.press("Escape")
    tab.keyboard.press("Shift+A")
    judged(tab, "s1-0", "accept")
    assert listed(built.root)["s1-0"] == ("accept", "a beard, but <b>it fits</b>")
    tab.keyboard.press("p")
    at(tab, "s0-0")
    judged(tab, "s0-0", "reject")

    # Undo takes back the verdict, then the note, and shows what it was about.
    tab.keyboard.press("u")
    at(tab, "s1-0")
    judged(tab, "s1-0", "auto")
    assert listed(built.root) == {"s0-0": ("reject", "")}
    assert read_review_list(built.root / "review.csv").entries["s1-0"].note.startswith("a beard")
    tab.keyboard.press("u")
    until(tab, "document.getElementById('note').value === ''")

    # A decision outlives a reload, and the next build obeys it.
    tab.goto(f"{tab.origin}/captures/s0-0")
    judged(tab, "s0-0", "reject")
    assert tab.inner_text("#badge") == "rejected"
    built.again()
    rejected = read_manifest(built.root / "dataset")["rejected"]
    assert [row["capture_id"] for row in rejected if row["code"] == "by_hand"] == ["s0-0"]


def test_a_lean_build_is_judged_by_what_its_report_shows(first_build: Any, tmp_path: Path) -> None:
    root = tmp_path / "lean"
    shutil.copytree(first_build.root, root, symlinks=True, ignore=shutil.ignore_patterns("*.lock"))
    preset = first_build.preset.with_name("lean.toml")
    preset.write_text(f"lean = true\n{first_build.preset.read_text()}")
    lean = first_build._replace(preset=preset, root=root)
    lean.again()
    assert list(root.glob("work/registration-*/*.product")) == []
    with serving(root) as server, opened(server) as tab:
        tab.goto(f"{tab.origin}/")
        assert tab.inner_text(".notice").startswith("A lean build")
        tab.goto(f"{tab.origin}/captures?sort=capture&state=registered")
        assert shown(tab) == ["s0-0", "s1-0", "s2-0"]
        there = "[...document.querySelectorAll('.tile img')].filter(i => i.naturalWidth > 0).length"
        until(tab, f"{there} === 3")
        tab.click('[data-id="s0-0"] a')
        at(tab, "s0-0")
        assert "lean build has dropped" in tab.inner_text(".notice")
        until(tab, "document.querySelector('.failure img').naturalWidth > 0")
        tab.keyboard.press("r")
        at(tab, "s1-0")
        tab.keyboard.press("a")
        at(tab, "s2-0")
        tab.keyboard.press("u")
        at(tab, "s1-0")
        judged(tab, "s1-0", "auto")
        tab.keyboard.press("p")
        at(tab, "s0-0")
        tab.reload()
        judged(tab, "s0-0", "reject")
        assert listed(root) == {"s0-0": ("reject", "")}
    lean.again()
    rejected = read_manifest(root / "dataset")["rejected"]
    assert [row["capture_id"] for row in rejected if row["code"] == "by_hand"] == ["s0-0"]


def test_somebody_else_judges_at_the_same_time(tab: Any, built: Any) -> None:
    tab.goto(f"{tab.origin}/captures/s2-0")
    path = built.root / "review.csv"
    lines = path.read_text().splitlines()
    theirs = [line.replace("auto", "reject") + "mine" if "s2-0" in line else line for line in lines]
    path.write_text("\n".join(theirs) + "\n")
    tab.keyboard.press("Shift+A")
    judged(tab, "s2-0", "reject")
    assert "changed meanwhile" in tab.inner_text("#toast")
    assert listed(built.root)["s2-0"] == ("reject", "mine")
    assert tab.input_value("#note") == "mine"


def test_keys_judge_what_a_person_looks_at_and_nothing_is_forgotten(tab: Any, built: Any) -> None:
    tab.route("**/s2-0/thumbnail/**", lambda route: route.fulfill(status=404))
    tab.goto(f"{tab.origin}/captures?sort=capture&state=registered")
    tab.wait_for_selector('[data-id="s2-0"] .blank')
    assert tab.locator(".tile img").count() == 2, "those that are there stay"
    tab.keyboard.press("n")
    tab.keyboard.down("r")
    judged(tab, "s0-0", "reject")
    tab.keyboard.down("r")  # held down: the keyboard repeats it
    tab.keyboard.up("r")
    tab.keyboard.press("a")
    judged(tab, "s1-0", "accept")
    assert listed(built.root) == {"s0-0": ("reject", ""), "s1-0": ("accept", "")}
    assert tab.inner_text("#given") == "2"

    # The focus is another way to choose.
    tab.focus('[data-id="s0-0"] a')
    tab.keyboard.press("t")
    judged(tab, "s0-0", "auto")
    assert set(listed(built.root)) == {"s1-0"}

    # What could not be undone can be later; the memory is of this list alone.
    tab.route("**/verdict", lambda route: route.abort())
    tab.keyboard.press("u")
    until(tab, "document.getElementById('toast').textContent.includes('does not answer')")
    tab.unroute("**/verdict")
    tab.keyboard.press("u")
    judged(tab, "s0-0", "reject")
    kept = tab.evaluate("Object.keys(sessionStorage)")
    assert [key for key in kept if "given" in key] == [f"fg3d-given {built.root / 'review.csv'}"]


def test_somebody_else_judges_while_a_note_is_written(tab: Any, built: Any) -> None:
    tab.goto(f"{tab.origin}/captures/s2-0")
    at(tab, "s2-0")
    tab.keyboard.press("e")
    tab.keyboard.type("mine")
    path = built.root / "review.csv"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(f"{line}theirs" if line.startswith("s2-0") else line for line in lines) + "\n"
    )
    tab.evaluate("refresh()")
    tab.focus("#fade")  # the slider leaves letters to the page
    tab.keyboard.press("Shift+A")
    until(tab, "document.getElementById('toast').textContent.includes('with the note: theirs')")
    assert read_review_list(path).entries["s2-0"].note == "theirs", "not overwritten unseen"
    assert tab.input_value("#note") == "mine"
    tab.keyboard.press("Shift+A")
    judged(tab, "s2-0", "accept")
    assert listed(built.root)["s2-0"] == ("accept", "mine")


def test_the_printed_address_may_be_followed_from_another_page(
    tab: Any, server: ReviewServer
) -> None:
    other = tab.context.browser.new_context().new_page()
    link = f'<a href="{server.address}">open</a>'
    other.route(
        "http://notebook.example/",
        lambda route: route.fulfill(body=link, content_type="text/html"),
    )
    other.goto("http://notebook.example/")
    other.click("a")
    other.wait_for_selector("#given, .alone", timeout=PATIENCE_MS)
    assert other.locator("#given").count() == 1, other.inner_text("body")


def test_the_viewer_draws_what_the_products_hold(tab: Any, built: Any) -> None:
    layout = newest_layout(built.root)
    chunk = next(c for c in read_index(layout.index).chunks if "s1-0" in c.capture_ids)
    found = stage_product(layout, "registration", chunk.name).records["s1-0"]
    tab.goto(f"{tab.origin}/captures/s1-0")
    tab.wait_for_selector("#scene[data-drawn]")
    kinds = "document.getElementById('scene').data.map(d => d.type)"
    assert tab.evaluate(kinds) == ["scatter3d", "mesh3d"]
    mesh = "document.getElementById('scene').data[1]"
    assert tab.evaluate(f"{mesh}.y.length") == len(found.shape_obj_mm)
    assert tab.evaluate(f"{mesh}.y[5]") == pytest.approx(found.shape_obj_mm[5, 1], abs=1e-3)
    tab.select_option("#colours", label="distance to depth")
    tab.wait_for_selector('#scene[data-shown="distance to depth"]')
    assert tab.inner_text("#scale").split() == ["0", "3", "mm"]
    unknown = int(np.flatnonzero(~found.visible)[0])
    assert tab.evaluate(f"{mesh}.vertexcolor[{unknown}]") == "rgb(128,128,132)", "grey: no value"
    assert "median" in tab.inner_text("#said")
    tab.keyboard.press("Escape")
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("d")
    until(tab, f"{mesh}.visible === false")
    tab.keyboard.press("m")
    until(tab, f"{mesh}.visible === true && {mesh}.opacity === 1")
    assert "<script>" in tab.inner_text("aside"), "the subject's name is shown as it is"
    tab.keyboard.press("?")
    assert "undo the last verdict" in tab.inner_text("#help")

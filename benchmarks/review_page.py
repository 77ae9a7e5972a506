"""How soon the review page shows the list of a build of ten thousand captures.

`python -m benchmarks.review_page` makes such a build (see `made_build`), once as it is after the
report and once as it is while it still runs, and measures, in seconds of the processor's time and
by the clock: the first reading of the build, a second one, and pages of the list; then in Chromium
the overview, from the start of the server to the end of loading with the build's first reading
between them, and pages of the list. Writes build/bench/review_page.json.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.made_build import write_made_build
from benchmarks.timings import machine
from fg3d_builder.browser.app import ReviewPage, make_app
from fg3d_builder.browser.guards import Guard
from fg3d_builder.browser.listing import BuildListing
from fg3d_builder.browser.server import ReviewServer
from fg3d_builder.files.atomic import write_json

CAPTURES = 10_000


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Run some work; return the seconds that it took."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return {
        "wall_s": round(time.perf_counter() - wall, 3),
        "processor_s": round(time.process_time() - processor, 3),
    }


def reading(root: Path) -> dict[str, dict[str, float]]:
    """Measure a build's first and second reading, and pages of the list."""
    listing, guard = BuildListing(root), Guard()
    found = {"first reading": timed(listing.now), "second reading": timed(listing.now)}
    client = make_app(ReviewPage(root, guard)).test_client()
    client.environ_base["HTTP_HOST"] = "127.0.0.1"
    client.get(f"/?key={guard.key}")
    found["first page"] = timed(lambda: client.get("/captures"))
    found["next page"] = timed(lambda: client.get("/captures?page=2"))
    found["filtered, sorted"] = timed(lambda: client.get("/captures?sort=-error&text=-3"))
    return found


def in_a_browser(root: Path) -> dict[str, dict[str, float]]:
    """Measure pages in Chromium, which runs before the server is started."""
    with sync_playwright() as control:
        browser = control.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page()
        server = ReviewServer(root, 0)
        serving = threading.Thread(target=server.serve)

        def first() -> None:
            serving.start()
            tab.goto(server.address, timeout=600_000)
            assert tab.locator(".number b").first.inner_text() == f"{CAPTURES:,}"

        def listed(page: int) -> None:
            tab.goto(f"{tab.url.split('/captures')[0].rstrip('/')}/captures?page={page}")
            assert tab.locator("#rows [data-id]").count() == 48

        try:
            # The process is the server's; the browser's own are others.
            found = {
                "browser, from the start to the overview": timed(first),
                "browser, first page of the list": timed(lambda: listed(1)),
                "browser, next page": timed(lambda: listed(2)),
            }
        finally:
            server.stop()
            serving.join()
        browser.close()
    return found


def main() -> None:
    """Measure and write."""
    found: dict[str, Any] = {"machine": machine(), "captures": CAPTURES}
    for name, reported in (("finished", True), ("running", False)):
        with tempfile.TemporaryDirectory() as folder:
            layout = write_made_build(Path(folder), CAPTURES, reported)
            found[name] = {**reading(layout.root), **in_a_browser(layout.root)}
        for what, seconds in found[name].items():
            print(f"{name}: {what}: {seconds['wall_s']} s, processor {seconds['processor_s']} s")
    write_json(Path("build/bench/review_page.json"), found)


if __name__ == "__main__":
    main()

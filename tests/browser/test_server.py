"""Where the page is served, and how it ends."""

from __future__ import annotations

import _thread
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.made_build import write_made_build
from fg3d_builder.browser.server import ReviewServer
from fg3d_builder.cli import main


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_made_build(tmp_path_factory.mktemp("made"), 40).root


def opened(address: str) -> str:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    return str(browser.open(address, timeout=60).read().decode())


def test_it_answers_on_this_machine_alone(root: Path) -> None:
    server = ReviewServer(root, 0)
    serving = threading.Thread(target=server.serve)
    serving.start()
    try:
        where = urlsplit(server.address)
        assert where.hostname == "127.0.0.1"
        assert "made" in opened(server.address)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            opened(f"http://127.0.0.1:{where.port}/")
        # Who listens on all addresses of a machine is reached at this one, too.
        with socket.socket() as other:
            assert other.connect_ex(("127.0.0.2", where.port)) != 0
    finally:
        server.stop()
        serving.join(timeout=60)
    assert not serving.is_alive()


def test_the_usual_port_may_be_taken_but_not_the_one_that_was_asked_for(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} is taken"):
            ReviewServer(root, port)
        assert main(["view", str(root), "--port", str(port)]) == 2
    with ReviewServer(root) as one, ReviewServer(root) as two:
        assert one.address != two.address


def test_ctrl_c_ends_it_with_status_0(root: Path) -> None:
    command = [sys.executable, "-m", "fg3d_builder.cli", "view", str(root), "--port", "0"]
    # Where the tests run in the background, the shell has it ignored, and children inherit that.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    address = process.stdout.readline().removeprefix("review page: ").strip()
    assert "made" in opened(address)
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said[1] == ""


def test_a_browser_in_the_terminal_is_served_while_it_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def in_the_terminal(address: str) -> bool:
        try:
            seen.append(opened(address))  # returns when the person leaves it
            with pytest.raises(urllib.error.HTTPError, match="403"):
                opened(address)  # everybody can read command lines
            return True
        finally:
            _thread.interrupt_main()

    monkeypatch.setattr("webbrowser.open", in_the_terminal)
    # Where the tests run in the background, the shell has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["view", str(root), "--port", "0", "--open"]) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert "made" in seen[0]


def test_nonsense_is_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(tmp_path)]) == 2
    assert "no build at" in capsys.readouterr().err
    assert main(["view", str(tmp_path), "--port", "70000"]) == 2
    assert main(["review", str(tmp_path), "--browser", "--reject", "x"]) == 2
    assert "--browser" in capsys.readouterr().err

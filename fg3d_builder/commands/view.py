"""Shows a build in a browser on this machine, to go through its registrations."""

from __future__ import annotations

import argparse
import os
import threading
import webbrowser
from pathlib import Path

from fg3d_builder.commands.arguments import whole
from fg3d_builder.errors import MissingDependencyError

DESCRIPTION = """\
Shows a build in a browser on this machine: all captures with filters and thumbnails, each in 3D
with its depth, its errors and its doubts; keys accept and reject. Verdicts go to the review list
that the next build obeys. Works while the build is running, without network access.

  fg3d view build/studio                    open the printed address
  fg3d view build/studio --open             opens it
  fg3d review build/studio --browser        the same

Only this machine is answered, and only with the key in the printed address. From another one:
ssh -L 8390:127.0.0.1:8390 MACHINE, then open the address there. Ctrl-C ends it.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "view",
        help="go through the registrations of a build in a browser",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("build", type=Path, help="folder of the build, e.g. build/demo")
    command.add_argument(
        "--port",
        type=whole(0, 65535),
        help="default: 8390, or a free one where that is taken; 0: a free one",
    )
    command.add_argument("--open", action="store_true", help="open it in this machine's browser")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve the review page until Ctrl-C."""
    return serve(options.build, options.port, options.open)


def serve(build: Path, port: int | None = None, opened: bool = False) -> int:
    """Serve the review page of a build until Ctrl-C, and print its address.

    Raises
    ------
    ConfigError
        There is no build.
    MissingDependencyError
    OSError
        The port is taken.
    """
    try:
        from fg3d_builder.browser.server import ReviewServer
    except ModuleNotFoundError as error:
        if error.name not in ("flask", "plotly", "werkzeug"):
            raise
        raise MissingDependencyError(
            f"the review page needs {error.name}: pip install flask plotly"
        ) from None
    server = ReviewServer(Path(os.path.realpath(build)), port)
    print(f"review page: {server.address}", flush=True)
    print("Ctrl-C ends it", flush=True)
    if opened:
        # Browsers that run in the terminal return when they are left: the page is served meanwhile.
        threading.Thread(target=_open, args=(server.address_for_once(),), daemon=True).start()
    server.serve()
    return 0


def _open(address: str) -> None:
    if not webbrowser.open(address):
        print("no browser was found: open the printed address in one", flush=True)

"""Serves the review page on this machine alone, until Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import socketserver
import threading
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from fg3d_builder.browser.app import ReviewPage, make_app
from fg3d_builder.browser.guards import LOOPBACK, Guard
from fg3d_builder.errors import ConfigError

USUAL_PORT = 8390
"""Taken where nobody asks for another and it is free."""


class _Quiet(WSGIRequestHandler):
    """Says nothing of requests: a page asks for fifty pictures."""

    def log_request(self, status: int | str = "-", size: int | str = "-") -> None:
        pass


class ReviewServer:
    """The review page of a build, ready to answer.

    Parameters
    ----------
    root : Path
        Folder of the build.
    port : int, optional
        Left out: `USUAL_PORT`, or any free one where that is taken.

    Raises
    ------
    ConfigError
        There is no build.
    OSError
        The port that was asked for is taken.
    """

    def __init__(self, root: Path, port: int | None = None) -> None:
        self._guard = Guard()
        self._page = ReviewPage(root, self._guard)
        self._app = make_app(self._page)
        # Werkzeug would print its own sentences about a taken port, and of each request.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = self._listening(port)

    @property
    def address(self) -> str:
        """What to open in a browser; holds the key."""
        return self._opening(self._guard.key)

    def address_for_once(self) -> str:
        """Return an address that opens the page a single time; see `Guard.key_for_once`."""
        return self._opening(self._guard.key_for_once())

    def __enter__(self) -> ReviewServer:
        return self

    def __exit__(self, *_: object) -> None:
        """Give the port back."""
        self._server.server_close()

    def serve(self) -> None:
        """Answer until Ctrl-C, or until `stop` is called elsewhere."""
        # Ten thousand captures take seconds to read, and a person some to open the address.
        threading.Thread(target=self._read_ahead, daemon=True).start()
        with self, contextlib.suppress(KeyboardInterrupt):
            self._server.serve_forever()

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._server.shutdown()

    def _opening(self, key: str) -> str:
        return f"http://{LOOPBACK}:{self._server.port}/?key={key}"

    def _read_ahead(self) -> None:
        with contextlib.suppress(ConfigError, OSError):  # the first page will say so
            self._page.listing.now()

    def _listening(self, port: int | None) -> BaseWSGIServer:
        for candidate in (USUAL_PORT, 0) if port is None else (port,):
            if candidate and _is_taken(candidate):
                continue
            server = make_server(
                LOOPBACK, candidate, self._app, threaded=True, request_handler=_Quiet
            )
            # Threads that wait for a browser's next request do not hold up the end.
            assert isinstance(server, socketserver.ThreadingMixIn)
            server.daemon_threads, server.block_on_close = True, False
            return server
        raise OSError(errno.EADDRINUSE, f"port {port} is taken; --port 0 finds a free one")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False

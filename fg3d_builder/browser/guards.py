"""Who may talk to the review page: the browser of the person who started it, and no other site.

A page that another site shows in the same browser can send requests to this machine, and can let
its own name point here (DNS rebinding); other people who are logged in on this machine reach its
ports as well. So each request has to name this machine, to bring the key that the start has
printed (kept in a cookie from then on), and, where it changes something, to come from a page of
ours: with its origin and with a token that only such a page knows.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fg3d_builder.files.hashes import sha256

LOOPBACK = "127.0.0.1"
"""The only address that is listened on."""

_OUR_NAMES = (LOOPBACK, "localhost")

_EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""Of no text at all: plotly adds an empty sheet of styles and fills it by script."""

CONTENT_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_EMPTY_STYLE}; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Nothing from elsewhere, and no script but our files: text of captures cannot run as one."""

HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every answer."""


class RefusedError(Exception):
    """A request that is not answered; the message says why, for a person."""


@dataclass(frozen=True)
class Guard:
    """The secrets of one start of the page.

    Attributes
    ----------
    key : str
        In the printed address, and then in a cookie.
    token : str
        In the pages themselves.
    """

    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _once: set[str] = field(default_factory=set)

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers keep one jar for all ports of a machine."""
        return f"fg3d-view-{sha256(self.key.encode())[:12]}"

    def check_host(self, host: str) -> None:
        """Refuse a request that reached this machine under another name.

        Any port will do: through an SSH tunnel the browser's is another than ours.
        """
        if _name_of(host) not in _OUR_NAMES:
            raise RefusedError("this page answers to http://127.0.0.1 and http://localhost only")

    def knows(self, key: str) -> bool:
        """Tell whether a key is the right one."""
        return hmac.compare_digest(key.encode(), self.key.encode())

    def key_for_once(self) -> str:
        """Return a key that opens the page a single time.

        For the command line of a browser, which everybody on this machine can read.
        """
        key = secrets.token_urlsafe(24)
        self._once.add(key)
        return key

    def opens(self, key: str) -> bool:
        """Tell whether an address with this key opens the page; one for once is then used up."""
        if self.knows(key):
            return True
        try:
            self._once.remove(key)
        except KeyError:
            return False
        return True

    def check_change(self, host: str, origin: str, site: str, token: str) -> None:
        """Refuse a change that does not come from a page of ours.

        Parameters
        ----------
        host, origin, site, token : str
            Headers ``Host``, ``Origin`` and ``Sec-Fetch-Site``, and the page's token; ``""`` where
            a browser sends none.
        """
        foreign = origin and origin != f"http://{host}"
        if foreign or site not in ("", "same-origin"):
            raise RefusedError("another site asked for this change")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise RefusedError("this page is of an earlier start of `fg3d view`: reload it")


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""

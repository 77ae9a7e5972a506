"""The pages and what they fetch, as a Flask application.

Captures are looked up by their ids among those of the build, pictures by their kinds: no request
names a path.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import flask
import plotly
from flask.typing import ResponseReturnValue, ResponseValue
from werkzeug.exceptions import HTTPException, NotFound

from fg3d_builder.browser import geometry, pictures, words
from fg3d_builder.browser.filters import (
    DATASET,
    JUDGED,
    NOT_STATED,
    PAGE_SIZES,
    PICTURES,
    SORTS,
    Query,
    chosen,
    neighbours,
    page_of,
    read_query,
)
from fg3d_builder.browser.guards import HEADERS, Guard, RefusedError
from fg3d_builder.browser.histogram import histogram
from fg3d_builder.browser.listing import (
    FAILED,
    REGISTERED,
    STATES,
    BuildListing,
    ListedCapture,
    Listing,
)
from fg3d_builder.browser.records import NotThereError, RecordReader, face_model, read_face
from fg3d_builder.browser.verdicts import ChangedMeanwhileError, VerdictFile, Verdicts
from fg3d_builder.errors import ConfigError, sentence
from fg3d_builder.records import SEXES
from fg3d_builder.review.decisions import Verdict
from fg3d_builder.review.review_list import VERDICTS

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""The viewer, where its package has it."""

LARGEST_REQUEST = 64 * 1024
"""Bytes: a verdict with its note."""

KEPT_BYTES = 64e6
"""Memory for thumbnails, 10 kB each."""

_FOREVER = "private, max-age=31536000, immutable"
"""For pictures whose address changes when their content does."""

log = logging.getLogger("fg3d")


class ReviewPage:
    """A build as its pages see it.

    Parameters
    ----------
    root : Path
        Folder of the build.
    guard : Guard

    Raises
    ------
    ConfigError
        There is no build.
    """

    def __init__(self, root: Path, guard: Guard) -> None:
        self.guard = guard
        self.listing = BuildListing(root)
        self.records = RecordReader()
        self.thumbnails = Thumbnails()
        self._lists: dict[Path, VerdictFile] = {}

    def list_of(self, listing: Listing) -> VerdictFile:
        """Return the review list of the settings that a listing is of."""
        path = listing.layout.review_list
        return self._lists.setdefault(path, VerdictFile(path))

    def verdicts(self, listing: Listing) -> Verdicts:
        """Return what the review list says now."""
        limit = listing.layout.config.review.min_quality
        return self.list_of(listing).now(limit, listing.dataset)

    def capture(self, name: str, fresh: bool = True) -> tuple[Listing, ListedCapture]:
        """Look a capture up; `fresh`: after reading what has changed.

        Raises
        ------
        NotFound
        """
        listing = self.listing.now() if fresh else self.listing.last()
        if name not in listing.captures:
            raise NotFound("the build has no capture of that name")
        return listing, listing.captures[name]


class Thumbnails:
    """Thumbnails that were drawn, as long as there is room."""

    def __init__(self) -> None:
        self._lock, self._known = Lock(), OrderedDict[tuple[str, ...], bytes]()

    def get(self, key: tuple[str, ...], draw: Callable[[], bytes]) -> bytes:
        """Return what is kept under a key, or draw it."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        drawn = draw()
        with self._lock:
            self._known[key] = drawn
            while sum(map(len, self._known.values())) > KEPT_BYTES:
                self._known.popitem(last=False)
        return drawn


def make_app(page: ReviewPage) -> flask.Flask:
    """Return the application of one build."""
    app = flask.Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
    app.jinja_env.filters.update(figure=words.figure, percent=words.percent)
    app.jinja_env.globals["place"] = words.place
    _add_guards(app, page.guard)
    _add_pages(app, page)
    _add_pictures(app, page)
    _add_verdicts(app, page)
    _add_errors(app)
    return app


def _add_guards(app: flask.Flask, guard: Guard) -> None:
    @app.before_request
    def check() -> ResponseReturnValue | None:
        request = flask.request
        guard.check_host(request.host)
        if request.endpoint == "static":  # the same for everybody
            return None
        given = request.args.get("key", "")
        if given and guard.opens(given):
            # The key leaves the address, which people copy and send.
            answer = flask.redirect(request.path)
            # Lax: the link may be followed from another page, such as a notebook's terminal.
            answer.set_cookie(guard.cookie, guard.key, httponly=True, samesite="Lax")
            return answer
        if not guard.knows(request.cookies.get(guard.cookie, "")):
            raise RefusedError("open the address that `fg3d view` has printed: it holds the key")
        if request.method not in ("GET", "HEAD"):
            headers = request.headers
            guard.check_change(
                request.host,
                headers.get("Origin", ""),
                headers.get("Sec-Fetch-Site", ""),
                headers.get("X-Token", ""),
            )
        return None

    @app.after_request
    def protect(answer: flask.Response) -> flask.Response:
        answer.headers.update(HEADERS)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer


def _add_pages(app: flask.Flask, page: ReviewPage) -> None:
    def rendered(template: str, listing: Listing, verdicts: Verdicts, **more: Any) -> str:
        return flask.render_template(
            template,
            listing=listing,
            verdicts=verdicts,
            review_list=page.list_of(listing).path,
            token=page.guard.token,
            min_quality=verdicts.min_quality,
            **more,
        )

    @app.get("/")
    def overview() -> str:
        listing = page.listing.now()
        verdicts = page.verdicts(listing)
        rows = chosen(listing, verdicts, Query())
        captures = [row.capture for row in rows]
        counts = {
            "kept": sum(row.judged.kept is True for row in rows),
            "left_out": sum(row.judged.kept is False for row in rows),
            "changes": sum(row.judged.changes for row in rows),
        }
        return rendered(
            "overview.html",
            listing,
            verdicts,
            counts=counts,
            quality=histogram([c.quality for c in captures], 0.0, 1.0),
            error=histogram([c.error_mm for c in captures], 0.0),
            verdict_counts={
                name: sum(
                    row.judged.verdict.verdict == name and row.capture.state == REGISTERED
                    for row in rows
                )
                for name in VERDICTS
            },
        )

    @app.get("/captures")
    def captures() -> str:
        query = read_query(flask.request.args)
        listing = page.listing.now()
        verdicts = page.verdicts(listing)
        rows = chosen(listing, verdicts, query)
        return rendered(
            "captures.html",
            listing,
            verdicts,
            query=query,
            page=page_of(rows, query),
            sorts=SORTS,
            sizes=PAGE_SIZES,
            looks=PICTURES,
            states=STATES,
            sexes=(*SEXES, NOT_STATED),
            places=DATASET,
            kinds_of_verdict=(*VERDICTS, JUDGED),
            reasons=sorted(
                {reason for reason, _ in (*listing.failures, *listing.augmentation_failures)}
            ),
        )

    @app.get("/captures/<name>")
    def capture(name: str) -> str:
        query = read_query(flask.request.args)
        listing, listed = page.capture(name)
        verdicts = page.verdicts(listing)
        rows = chosen(listing, verdicts, query, keep=name)
        at, before, after = neighbours(rows, name)
        about, kinds, views, shapes, problem = [], {}, [], [], ""
        doubts, weightiest = [listed.doubts] if listed.doubts else [], ""
        if listed.state == REGISTERED:
            try:
                found = page.records.read(listing.layout, listed)
            except NotThereError as error:
                problem = str(error)
            else:
                about, doubts = words.about(found), words.doubts(found)
                weightiest = words.weightiest(found)
                kinds = dict(pictures.KINDS)
                if not pictures.has_truth(found):
                    del kinds["truth"]
                views = [view.name for view in found.views]
                shapes = [[view.name for view in made.views] for made in found.shapes]
        return rendered(
            "capture.html",
            listing,
            verdicts,
            query=query,
            capture=listed,
            judged=verdicts.of(listed),
            at=at,
            total=len(rows),
            before=before,
            after=after,
            about=about,
            doubts=doubts,
            weightiest=weightiest,
            kinds=kinds,
            views=views,
            shapes=shapes,
            problem=problem,
        )

    @app.get("/plotly.js")
    def viewer() -> flask.Response:
        return flask.send_file(PLOTLY, "text/javascript", max_age=86400)


def _add_pictures(app: flask.Flask, page: ReviewPage) -> None:
    def failure_picture(listing: Listing, listed: ListedCapture) -> bytes:
        failure = listed.failure
        if failure is None or not failure.picture:
            raise NotFound("there is no picture of this capture")
        layout = listing.layout
        # The path is made of the id that was looked up, as the build has made it.
        path = layout.failure_picture(failure.stage, listed.capture_id)
        try:
            return (layout.stage_folder(failure.stage) / path).read_bytes()
        except FileNotFoundError:
            raise NotFound("the picture of this failure is gone") from None

    @app.get("/captures/<name>/thumbnail/<kind>")
    def thumbnail(name: str, kind: str) -> flask.Response:
        if kind not in PICTURES:
            raise NotFound("there is no picture of that kind")
        listing, listed = page.capture(name, fresh=False)

        def draw() -> bytes:
            if listed.state == FAILED:
                try:
                    return pictures.small(failure_picture(listing, listed))
                except ValueError:  # pictures have no seals
                    raise NotFound("the picture of this failure is damaged") from None
            try:
                return pictures.thumbnail(read_face(listing.layout, listed), kind)
            except NotThereError:
                # Of what a lean build has dropped, the report's small picture is left.
                path = listing.layout.report / listing.layout.report_thumbnail(name)
                if not (listing.layout.config.lean and path.is_file()):
                    raise
                return path.read_bytes()

        return _picture(page.thumbnails.get((name, listed.stamp, kind), draw), listed)

    @app.get("/captures/<name>/picture/<kind>")
    def picture(name: str, kind: str) -> flask.Response:
        if kind not in pictures.KINDS:
            raise NotFound("there is no picture of that kind")
        listing, listed = page.capture(name, fresh=False)
        found = page.records.read(listing.layout, listed)
        if kind == "truth" and not pictures.has_truth(found):
            raise NotFound("the truth of this capture is not known")
        return _picture(pictures.picture(found, kind), listed)

    @app.get("/captures/<name>/failure")
    def failure(name: str) -> flask.Response:
        listing, listed = page.capture(name, fresh=False)
        return _picture(failure_picture(listing, listed), listed)

    @app.get("/captures/<name>/sheet")
    def sheet(name: str) -> flask.Response:
        listing, listed = page.capture(name, fresh=False)
        path = listing.layout.report / listing.layout.report_picture(listed.capture_id)
        if not listed.sheet or not path.is_file():
            raise NotFound("the report has no contact sheet of this capture")
        return _picture(path.read_bytes(), listed)

    @app.get("/captures/<name>/view/<int:number>")
    def view(name: str, number: int) -> flask.Response:
        listing, listed = page.capture(name, fresh=False)
        views = page.records.read(listing.layout, listed).views
        if number >= len(views):
            raise NotFound("there is no such view")
        return _picture(views[number].image, listed)

    @app.get("/captures/<name>/face/<int:shape>/<int:number>")
    def face(name: str, shape: int, number: int) -> flask.Response:
        listing, listed = page.capture(name, fresh=False)
        shapes = page.records.read(listing.layout, listed).shapes
        if shape >= len(shapes) or number >= len(shapes[shape].views):
            raise NotFound("there is no such view")
        return _picture(shapes[shape].views[number].image, listed)

    @app.get("/captures/<name>/shapes")
    def shapes(name: str) -> flask.Response:
        listing, listed = page.capture(name, fresh=False)
        return flask.jsonify(geometry.shapes(page.records.read(listing.layout, listed)))

    @app.get("/topology")
    def topology() -> flask.Response:
        model = face_model(page.listing.last().layout)
        answer = flask.jsonify(geometry.topology(model))
        answer.set_etag(model.topology_hash)
        answer.headers["Cache-Control"] = "private, no-cache"
        answer.make_conditional(flask.request)
        return answer


def _picture(data: bytes, listed: ListedCapture) -> flask.Response:
    """Answer with a picture; for good, where the address holds the stamp of what it was made of."""
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    answer = flask.Response(data, mimetype=kind)
    if flask.request.args.get("stamp") == listed.stamp:
        answer.headers["Cache-Control"] = _FOREVER
    return answer


def _add_verdicts(app: flask.Flask, page: ReviewPage) -> None:
    def said(name: str, verdict: Verdict, listing: Listing) -> dict[str, Any]:
        """Return a verdict as a page shows it."""
        verdicts = page.verdicts(listing)
        listed = listing.captures[name]
        judged = verdicts.of(listed)
        return {
            **verdict._asdict(),
            "kept": judged.kept,
            "given": verdicts.given(listing),
            "place": words.place(listed, judged, verdicts.min_quality),
        }

    @app.get("/captures/<name>/verdict")
    def look(name: str) -> flask.Response:
        listing, listed = page.capture(name, fresh=False)
        verdict = page.verdicts(listing).of(listed).verdict
        return flask.jsonify(said(name, verdict, listing))

    @app.post("/captures/<name>/verdict")
    def judge(name: str) -> tuple[flask.Response, int]:
        listing, listed = page.capture(name, fresh=False)
        if listed.state != REGISTERED:
            listing, listed = page.capture(name)
        wanted, seen = _verdicts_of(flask.request.get_json(silent=True))
        try:
            now = page.list_of(listing).change(listed, wanted, seen)
        except ChangedMeanwhileError as error:
            text = f"{error}. Now: {words.verdict(error.now)}. Judge again to overwrite it"
            return flask.jsonify(error=text, now=said(name, error.now, listing)), 409
        return flask.jsonify(said(name, now, listing)), 200


def _verdicts_of(sent: Any) -> tuple[Verdict, Verdict]:
    """Return the verdict that is wanted and the one that was seen, out of a request's JSON."""
    try:
        pair = [Verdict(sent[key]["verdict"], sent[key]["note"]) for key in ("wanted", "seen")]
    except (KeyError, TypeError):
        raise ConfigError('send {"wanted": {"verdict", "note"}, "seen": the same}') from None
    if not all(isinstance(text, str) for verdict in pair for text in verdict):
        raise ConfigError("verdict and note are texts")
    return pair[0], pair[1]


def _add_errors(app: flask.Flask) -> None:
    def told(text: str, status: int) -> tuple[ResponseValue, int]:
        """Say a sentence: as JSON to a script, as a page to a person."""
        accepted = flask.request.accept_mimetypes
        if accepted.best_match(["text/html", "application/json"]) == "application/json":
            return flask.jsonify(error=text), status
        return flask.render_template("error.html", text=text), status

    @app.errorhandler(RefusedError)
    def refused(error: RefusedError) -> ResponseReturnValue:
        return told(str(error), 403)

    @app.errorhandler(NotThereError)
    def not_there(error: NotThereError) -> ResponseReturnValue:
        return told(str(error), 404)

    @app.errorhandler(ConfigError)
    def wrong(error: ConfigError) -> ResponseReturnValue:
        return told(str(error), 400)

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> ResponseReturnValue:
        return told(error.description or error.name, error.code or 500)

    @app.errorhandler(OSError)
    def system(error: OSError) -> ResponseReturnValue:
        return told(sentence(error), 500)

    @app.errorhandler(Exception)
    def fault(error: Exception) -> ResponseReturnValue:
        log.error("%s %s", flask.request.method, flask.request.path, exc_info=error)
        return told(f"{type(error).__name__}: {sentence(error)} (a fault of fg3d)", 500)

"""The pages and what they fetch: true to the products, and for nobody but who holds the key."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from jinja2 import Environment, PackageLoader
from scipy.spatial import cKDTree

from benchmarks.made_build import write_made_build
from fg3d_builder.browser.app import ReviewPage, make_app
from fg3d_builder.browser.guards import Guard
from fg3d_builder.browser.histogram import BARS
from fg3d_builder.browser.listing import REGISTERED, BuildListing, newest_layout
from fg3d_builder.captures import CaptureEntry
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.fullview.views import Turn
from fg3d_builder.layout import BuildLayout
from fg3d_builder.records import Registration
from fg3d_builder.report.pictures import NO_VALUE
from fg3d_builder.review.decisions import verdicts_of
from fg3d_builder.review.review_list import ReviewList, read_review_list
from fg3d_builder.tasks.base import stage_product
from fg3d_builder.tasks.chunks import Chunk, Index, read_index, write_index

GUARD = Guard()


def client_of(root: Path, guard: Guard = GUARD) -> FlaskClient:
    """A browser that has opened the printed address."""
    client = make_app(ReviewPage(root, guard)).test_client()
    assert client.get(f"/?key={guard.key}").status_code == 302
    return client


@pytest.fixture
def client(built: Any) -> FlaskClient:
    return client_of(built.root)


def product(layout: BuildLayout, stage: str, name: str) -> Any:
    """The record of a capture in a stage."""
    for chunk in read_index(layout.index).chunks:
        if name in chunk.capture_ids:
            return stage_product(layout, stage, chunk.name).records[name]
    raise KeyError(name)


def judge(client: FlaskClient, name: str, sent: Any = None, **headers: str) -> Any:
    wanted = {"verdict": "reject", "note": "a hand"}
    sent = sent or {"wanted": wanted, "seen": {"verdict": "auto", "note": ""}}
    given = {"Accept": "application/json", "X-Token": GUARD.token, **headers}
    kept = {name: value for name, value in given.items() if value}
    return client.post(f"/captures/{name}/verdict", json=sent, headers=kept)


def array(text: str, dtype: str) -> Any:
    return np.frombuffer(base64.b64decode(text), dtype)


def test_pages_show_every_capture_and_what_became_of_it(client: FlaskClient) -> None:
    overview = client.get("/").text
    assert "1</b><span>failed" in overview
    listed = client.get("/captures").text
    for name in ("s0-0", "s1-0", "s2-0", "torn"):
        assert f'data-id="{name}"' in listed
        assert client.get(f"/captures/{name}").status_code == 200
    assert client.get("/captures?look=table&sort=-error").status_code == 200
    failed = client.get("/captures/torn").text
    assert "capture.json" in failed, "the sentence that names the file at fault"


def test_every_number_of_the_overview_is_that_of_the_list_it_leads_to(tmp_path: Path) -> None:
    layout = write_made_build(tmp_path, 200)
    ids = [name for chunk in read_index(layout.index).chunks for name in chunk.capture_ids]
    # Some have failed since they were judged, and another build shares the list.
    content = ReviewList.empty().with_qualities({name: 0.5 for name in (*ids, "other-build-1")})
    content = content.with_verdicts([*ids[::4], "other-build-1"], "accept")
    layout.review_list.write_text("\n".join(content.lines))
    client = client_of(layout.root)
    overview = client.get("/").text
    counts = re.findall(r'href="(/captures\?[^"]+)"><b>([\d,]+)</b>', overview)
    counts += re.findall(r'href="(/captures\?[^"]+)"><title>[^<]*: (\d+)</title>', overview)
    counts += re.findall(r'href="([^"]+failure=[^"]+)">.*?<td class="n">([\d,]+)</td>', overview)
    bars = overview.count("<title>") - 1
    assert 5 < bars <= 2 * BARS
    assert len(counts) == 4 + bars + 3
    for address, count in counts:
        listed = client.get(html.unescape(address)).text
        assert f'<b id="total">{count}</b>' in listed, address
    judged = re.search(r'<b id="given">(\d+)</b>', overview)
    assert judged is not None
    assert f'<b id="total">{judged[1]}</b>' in client.get("/captures?verdict=judged").text


def test_shapes_are_those_of_the_registration(built: Any, client: FlaskClient) -> None:
    layout = newest_layout(built.root)
    found: Registration = product(layout, "registration", "s0-0")
    sent = client.get("/captures/s0-0/shapes").json
    assert sent is not None
    for mesh, shape in zip(sent["meshes"], (found.shape_obj_mm, found.coarse_obj_mm), strict=False):
        np.testing.assert_allclose(array(mesh["xyz"], "<f4").reshape(-1, 3), shape, atol=1e-4)
    error = array(sent["values"][0]["at"], "<f4")
    wanted = np.where(found.visible, found.surface_error_mm, np.nan)
    np.testing.assert_allclose(error, wanted, atol=1e-6)
    colours = array(sent["values"][0]["rgb"], "|u1").reshape(-1, 3)
    assert np.all(colours[np.isnan(wanted)] == NO_VALUE), "no value is grey, never red"
    assert not np.any(np.all(colours[np.isfinite(wanted)] == NO_VALUE, axis=1))
    points = array(sent["points"]["xyz"], "<f4").reshape(-1, 3)
    # Measured points lie on the registered face, in its own frame: depth and S* belong together.
    seen = found.shape_obj_mm[found.visible & (found.confidence > 0.5)]
    assert np.median(cKDTree(points).query(seen)[0]) < 2.0
    topology = client.get("/topology").json
    assert topology is not None
    assert array(topology["triangles"], "<i4").max() == topology["vertices"] - 1


def test_pictures_are_there_and_views_are_those_of_the_products(
    built: Any, client: FlaskClient
) -> None:
    layout = newest_layout(built.root)
    for kind in ("photo", "depth", "landmarks", "fit", "registration", "error", "sides"):
        drawn = decode_image(client.get(f"/captures/s0-0/picture/{kind}").data)
        assert drawn.shape[0] == 420
        assert drawn.std() > 5, "something is on it"
    assert client.get("/captures/s0-0/picture/truth").status_code == 404
    for kind in ("registration", "error", "photo"):
        drawn = decode_image(client.get(f"/captures/s0-0/thumbnail/{kind}").data)
        assert drawn.shape[0] == 220
    views = product(layout, "views", "s0-0").views
    for number, view in enumerate(views):
        assert client.get(f"/captures/s0-0/view/{number}").data == view.image
    assert client.get(f"/captures/s0-0/view/{len(views)}").status_code == 404
    picture = layout.stage_folder("captures") / layout.failure_picture("captures", "torn")
    assert client.get("/captures/torn/failure").data == picture.read_bytes()
    assert decode_image(client.get("/captures/torn/thumbnail/photo").data).size
    whole = picture.read_bytes()
    try:
        picture.write_bytes(whole[:50])
        assert client.get("/captures/torn/thumbnail/error").status_code == 404
    finally:
        picture.write_bytes(whole)


def test_a_picture_is_kept_as_long_as_its_address_names_what_it_was_made_of(
    client: FlaskClient,
) -> None:
    page = client.get("/captures").text
    stamped = page.split('src="/captures/s0-0')[1].split('"')[0]
    kept = client.get(f"/captures/s0-0{stamped}").headers["Cache-Control"]
    assert "immutable" in kept
    other = client.get("/captures/s0-0/thumbnail/registration?stamp=other").headers
    assert other["Cache-Control"] == "no-store"


def test_a_verdict_is_in_the_list_that_builds_obey(built: Any, client: FlaskClient) -> None:
    said = judge(client, "s0-0")
    assert said.status_code == 200
    assert (said.json["verdict"], said.json["note"], said.json["kept"]) == (
        "reject",
        "a hand",
        False,
    )
    listed = verdicts_of(read_review_list(built.root / "review.csv"))
    assert listed == {"s0-0": ("reject", "a hand")}
    assert 'data-verdict="reject"' in client.get("/captures/s0-0").text
    again = judge(client, "s0-0")
    assert again.status_code == 409
    assert again.json["now"]["verdict"] == "reject"
    assert "changed meanwhile" in again.json["error"]


@pytest.mark.parametrize(
    ("name", "sent", "sentence"),
    [
        ("torn", None, "torn has no registration"),
        ("s0-0", {"wanted": "reject"}, "send {"),
        ("s0-0", [1], "send {"),
        (
            "s0-0",
            {"wanted": {"verdict": "no", "note": ""}, "seen": {"verdict": "auto", "note": ""}},
            "auto, accept, reject",
        ),
        (
            "s0-0",
            {"wanted": {"verdict": "reject", "note": 3}, "seen": {"verdict": "auto", "note": ""}},
            "are texts",
        ),
    ],
)
def test_a_wrong_request_is_answered_in_a_sentence(
    built: Any, client: FlaskClient, name: str, sent: Any, sentence: str
) -> None:
    before = (built.root / "review.csv").read_bytes()
    answer = judge(client, name, sent)
    assert answer.status_code == 400
    assert sentence in answer.json["error"]
    assert "\n" not in answer.json["error"]
    assert (built.root / "review.csv").read_bytes() == before


def test_nobody_else_is_answered(built: Any) -> None:
    bare = make_app(ReviewPage(built.root, GUARD)).test_client()
    here = {"Host": "127.0.0.1:8390"}
    for address in ("/", "/captures", "/captures/s0-0/shapes", "/plotly.js", "/?key=guess"):
        assert bare.get(address, headers=here).status_code == 403
    client = client_of(built.root)
    assert client.get("/").status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "192.168.0.7:8390"):
        answer = client.get("/", headers={"Host": host})
        assert answer.status_code == 403
        assert "answers to http://127.0.0.1" in answer.text


def test_a_key_that_other_users_may_have_read_opens_the_page_once(built: Any) -> None:
    guard = Guard()
    app = make_app(ReviewPage(built.root, guard))
    once = guard.key_for_once()
    for wanted in (302, 403):
        assert app.test_client().get(f"/?key={once}").status_code == wanted
    first = app.test_client()
    first.get(f"/?key={guard.key_for_once()}")
    for _ in range(2):
        assert first.get("/captures").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Token": ""},
        {"X-Token": "guess"},
    ],
)
def test_no_other_site_changes_a_verdict(
    built: Any, client: FlaskClient, headers: dict[str, str]
) -> None:
    before = (built.root / "review.csv").read_bytes()
    assert judge(client, "s0-0", **headers).status_code == 403
    assert (built.root / "review.csv").read_bytes() == before


def test_a_page_of_ours_may_change_one(client: FlaskClient) -> None:
    ours = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert judge(client, "s0-0", **ours).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "/captures/..%2f..%2freview.csv/sheet",
        "/captures/../../review.csv",
        "/captures/%2e%2e/failure",
        "/captures/s0-0/picture/..%2fphoto",
        "/captures/s0-0/thumbnail/..",
        "/captures/unknown",
        "/captures/unknown/shapes",
        "/captures/s0-0/sheet/../../../review.csv",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
    ],
)
def test_no_request_names_a_path(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert b"capture_id" not in answer.data
    assert b"import" not in answer.data


def test_markup_stays_text(client: FlaskClient) -> None:
    judge(
        client,
        "s1-0",
        {
            "wanted": {"verdict": "reject", "note": "<script>window.hacked = 1</script>"},
            "seen": {"verdict": "auto", "note": ""},
        },
    )
    for address in (
        "/captures",
        "/captures?look=table",
        "/captures/s1-0",
        "/captures?text=<script>",
    ):
        page = client.get(address)
        assert "<script>window" not in page.text
        assert "&lt;script&gt;" in page.text
    assert "<x" not in client.get("/captures?sort=<x>").text
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_a_dropped_product_is_told_and_the_list_still_works(built: Any) -> None:
    layout = newest_layout(built.root)
    chunk = next(c for c in read_index(layout.index).chunks if "s0-0" in c.capture_ids)
    path = layout.product("registration", chunk.name)
    hidden = path.with_suffix(".hidden")
    path.rename(hidden)
    try:
        client = client_of(built.root)
        page = client.get("/captures/s0-0")
        assert page.status_code == 200
        assert "is not there" in page.text
        assert judge(client, "s0-0").status_code == 200
        answer = client.get("/captures/s0-0/shapes", headers={"Accept": "application/json"})
        assert (answer.status_code, list(answer.json)) == (404, ["error"])
    finally:
        hidden.rename(path)


def test_a_dataset_of_fewer_captures_says_nothing_about_new_ones(built: Any) -> None:
    layout = newest_layout(built.root)
    before = BuildListing(built.root).now().dataset
    assert before is not None
    assert "torn" in before.left_out
    content = layout.index.read_bytes()
    entries = (CaptureEntry("new-0", "new", "new-0"),)
    chunk = Chunk("chunk-new", 0, entries, ("new-0",))
    try:
        write_index(layout.index, Index((*read_index(layout.index).chunks, chunk)))
        assert BuildListing(built.root).now().dataset is None
        overview = client_of(built.root).get("/").text
        assert "no complete dataset of these settings and captures" in overview
    finally:
        layout.index.write_bytes(content)


def test_what_speaks_against_a_registration_is_told_without_its_product_too(tmp_path: Path) -> None:
    layout = write_made_build(tmp_path, 40)  # has no photos
    listed = BuildListing(layout.root).now().captures.values()
    doubted = next(c.capture_id for c in listed if c.state == REGISTERED and c.doubts)
    page = client_of(layout.root).get(f"/captures/{doubted}").text
    assert "is not there; build again" in page
    assert "<li>The mesh is stretched or crumpled.</li>" in page
    assert "No single figure speaks against it" not in page


def test_only_a_page_of_rows_and_pictures_is_sent(tmp_path: Path) -> None:
    client = client_of(write_made_build(tmp_path, 600).root)
    sizes = {}
    for size in (24, 96):
        page = client.get(f"/captures?size={size}").text
        assert page.count("data-id=") == size
        assert page.count("<img") == page.count('loading="lazy"') <= size
        sizes[size] = len(page)
    assert sizes[24] < 60_000
    whole = client_of(write_made_build(tmp_path / "small", 40).root).get("/captures?size=24").text
    assert abs(len(whole) - sizes[24]) < 6_000, "however many captures there are"
    assert "base64" not in page


def test_turned_views_are_named_in_degrees() -> None:
    environment = Environment(loader=PackageLoader("fg3d_builder.browser"))
    turn = environment.get_template("parts.html").module.turn  # type: ignore[attr-defined]
    degrees = {(0, 0): "not turned", (0, -45): "yaw -45°", (15, 0): "pitch +15°"}
    degrees[-25, 30] = "yaw +30°, pitch -25°"
    for (pitch, yaw), words in degrees.items():
        assert turn(Turn(pitch, yaw, pitch, yaw).name) == words

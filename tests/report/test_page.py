"""Figures and pages of the report."""

from __future__ import annotations

import dataclasses
import html
import itertools
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from toy_build import build_model, toy_capture

from benchmarks import report_pages
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import angles_from_rotation, rotation_from_angles
from fg3d_builder.records import CaptureTruth, Failure, Pose
from fg3d_builder.report.coverage import coverage_charts, error_charts, skin_class
from fg3d_builder.report.figures import (
    aligned_to_truth,
    overall,
    skin_ita_deg,
    spread,
    surface_error_to_truth_mm,
    vertex_error_mm,
)
from fg3d_builder.report.page import ReportContent, augmentation_figures, render_pages
from fg3d_builder.report.page_set import pages_belong_to, write_pages

MANIFEST = {
    "content_sha256": "0123456789abcdef0123",
    "facemodel": {"name": "toy", "licence": "CC0", "topology_hash": "aa"},
    "splits": {
        "train": {"subjects": ["a", "b"], "captures": 2, "samples": 2},
        "test": {"subjects": [], "captures": 0, "samples": 0},
    },
    "rejected": [
        {
            "capture_id": "b",
            "subject_id": "a",
            "quality": 0.2,
            "code": "low_quality",
            "message": "quality 0.200 < 0.3",
        }
    ],
    "accepted": ["a"],
    "config": {"review": {"min_quality": 0.3}},
}


def row(name: str, quality: float, truth: float) -> dict[str, object]:
    part = {"mean": truth, "median": truth, "p95": 2 * truth}
    return {
        "capture_id": name,
        "subject_id": "a",
        "source": "synthetic",
        "expression": "neutral",
        "sex": "",
        "quality": quality,
        "predicted_error_mm": 4.25 if quality < 0.5 else None,
        "predicted_surface_mm": 0.75,
        "coverage": 0.625,
        "doubts": [{"figure": "size", "error_mm": 3.0, "sentence": "Too large?"}]
        if quality < 0.5
        else [],
        "converged": True,
        "iterations": 9,
        "landmark_error_px": 1.5,
        "delta_rms_mm": 0.4,
        "surface_mm": {"mean": 0.3, "median": 0.2, "p95": 0.9},
        "truth_surface_mm": {},
        "truth_mm": {"coarse_fit": {**part, "mean": 3.25}, "registration": part},
        "pose_deg": [2.0, -5.0, 0.0],
        "distance_mm": 550.0,
        "skin_ita_deg": 30.0,
        "seconds": {"registration": 2.0},
        "picture": f"pictures/{name}.jpg",
        "thumbnail": f"pictures/thumbnail~{name}.jpg",
        "mesh": f"meshes/{name}.glb",
    }


def test_vertex_error_counts_the_visible_face_only() -> None:
    model = build_model()
    n = model.vertex_count
    visible = np.arange(n) % 2 == 0
    pose = Pose(1.0, np.eye(3), np.zeros(3))
    truth = CaptureTruth(model.topology_hash, model.mean, model.mean, pose, visible)
    error = vertex_error_mm(model.mean + np.array([3.0, 0.0, 4.0]), truth, model)
    counted = visible & model.reliable
    np.testing.assert_allclose(error[counted], 5.0)
    assert np.isnan(error[~counted]).all()


def test_surface_error_leaves_out_what_slides_within_the_surface() -> None:
    model = build_model()
    everything = np.ones(model.vertex_count, bool)
    pose = Pose(1.0, np.eye(3), np.zeros(3))
    truth = CaptureTruth(model.topology_hash, model.mean, model.mean, pose, everything)
    normals = vertex_normals(model.mean, model.triangles)
    along = np.cross(normals, [0.0, 1.0, 0.0])
    error = surface_error_to_truth_mm(model.mean + 2 * along - 0.5 * normals, truth, model)
    np.testing.assert_allclose(error[model.reliable], 0.5)
    assert np.isnan(error[~model.reliable]).all()


def test_alignment_takes_away_a_rigid_motion_and_nothing_else() -> None:
    model = build_model()
    everything = np.ones(model.vertex_count, bool)
    pose = Pose(1.0, np.eye(3), np.zeros(3))
    truth = CaptureTruth(model.topology_hash, model.mean, model.mean, pose, everything)
    moved = model.mean @ rotation_from_angles(10, 20, 5).T + np.array([5.0, -3.0, 40.0])
    aligned = aligned_to_truth(moved, truth, model)
    np.testing.assert_allclose(aligned, model.mean, atol=1e-6)
    larger = vertex_error_mm(aligned_to_truth(1.1 * moved, truth, model), truth, model)
    face = model.mean[model.reliable]
    expected = 0.1 * np.linalg.norm(face - face.mean(axis=0), axis=1)
    np.testing.assert_allclose(larger[model.reliable], expected, atol=1e-6)


def test_spread_ignores_what_is_not_known() -> None:
    values = np.array([1.0, 2.0, 3.0, np.nan])
    assert spread(values)["mean"] == pytest.approx(2.0)
    assert spread(values)["median"] == pytest.approx(2.0)
    assert spread(values[3:]) == {}


def test_overall_averages_captures_that_have_the_figure() -> None:
    rows = [row("a", 0.5, 1.0), row("b", 0.5, 2.0), {**row("c", 0.5, 0.0), "truth_mm": {}}]
    assert overall(rows, "truth_mm", "registration")["mean"] == pytest.approx(1.5)
    assert overall(rows, "truth_mm", "landmark_fit") == {}


def pages_of(rows: list[dict[str, object]], **more: Any) -> dict[str, str]:
    content = {"name": "demo", "manifest": MANIFEST, "failures": [], **more}
    return render_pages(ReportContent(rows=rows, **content))


def links_of(page: str) -> list[str]:
    """What the links and pictures of a page name, without quotes of characters."""
    return [unquote(html.unescape(found)) for found in re.findall(r'(?:href|src)="([^"]*)"', page)]


def made_up_report(captures: int, failed: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Many captures in no order, some failures, sheets and losses: rows and pages."""
    order = np.random.default_rng(3).permutation(captures)
    rows = [row(f"c{n:04d}", (n + 1) / captures, 1.0) for n in order]
    rows = [{**one, "subject_id": f"s{i % 450}"} for i, one in enumerate(rows)]
    failures = [
        Failure(f"f{n:03d}", "lost", "landmarks", "no_face", "none", f"pictures/f{n}.png")
        for n in range(failed)
    ]
    lost = [
        Failure("c0000.transform-0", "s", "transform", "no_target_shape", "-", "pictures/l.png")
    ]
    kinds = ("turned", "transformed")
    sheets = [
        {"capture_id": f"c{n:04d}", "kind": kind, "picture": f"pictures/{kind}-c{n:04d}.jpg"}
        for n in range(12)
        for kind in kinds
    ]
    part = {"counts": counts(40, 4, 8.0), "sheets": sheets}
    more = {"failures": failures, "augmentation": [part], "not_augmented": lost}
    return rows, pages_of(rows, **more)


def test_pages_say_what_was_found() -> None:
    failure = Failure("c", "", "captures", "bad_json", "<file>: & no JSON", "pictures/f.png")
    rows = [row("a", 0.9, 1.0), row("b", 0.2, 1.5)]
    pages = pages_of(rows, failures=[failure], warnings=["the test split is empty"])
    captures, index = pages["captures-0001.html"], pages["index.html"]
    assert captures.index('id="b"') < captures.index('id="a"')  # lowest quality first
    failed = pages["failures-captures-bad-json-0001.html"]
    assert "&lt;file&gt;: &amp; no JSON" in failed
    assert 'src="pictures/f.png"' in failed
    assert "the test split is empty" in index
    # `b` is rejected: it is shown, marked, and does not count in the figures of the dataset.
    assert '<tr id="b" class="out">' in captures
    assert "left out: quality 0.200 &lt; 0.3" in captures
    assert "Too large?" in captures
    assert "<td>4.2</td>" in captures  # predicted error of `b`; that of `a` is not known
    assert "<td>?</td>" in captures
    assert "<td>62 %</td>" in captures
    assert "accepted by hand" in captures
    assert "vertex to truth: registration</td><td>1.00</td>" in index
    assert "landmarks and depth</td><td>3.25</td>" in index
    tiles = index[index.index('id="first"') : index.index('id="failures"')]
    assert "captures-0001.html#a" in tiles
    assert "captures-0001.html#b" not in tiles  # it is not in the dataset


def test_pages_of_a_build_in_which_all_failed() -> None:
    pages = pages_of([], failures=[Failure("c", "", "captures", "bad_json", "no JSON")])
    assert "bad_json" in pages["index.html"]
    assert "1 of 1 captures failed (100.0%)" in pages["index.html"]
    assert "captures-0001.html" not in pages


def test_a_low_quality_without_a_doubt_names_what_weighs_most() -> None:
    """Reports of earlier versions did not note it."""
    weights = "tilt against the fit 16 %, stretched proportions 12 %"
    low, high, old = (
        {**row(n, q, 1.0), "doubts": []} for n, q in (("a", 0.3), ("b", 0.9), ("c", 0.2))
    )
    low["weightiest"] = high["weightiest"] = weights
    pages = pages_of([low, high, old])
    captures = pages["captures-0001.html"]
    assert captures.count(f"none by itself; of the error limit: {weights}") == 1
    index = pages["index.html"]
    assert f'<span class="what">no doubt by itself; of the error limit: {weights}</span>' in index
    assert '<span class="what">no doubt by itself</span>' in index


def test_one_subject_and_one_registration_are_counted_as_such() -> None:
    index = pages_of([row("a", 0.9, 1.0)])["index.html"]
    assert "samples to train, of 2 subjects" in index
    assert "The registration that is <b>in</b> the dataset" in index


def test_the_worst_of_the_whole_set_are_on_the_first_page_and_none_is_lost() -> None:
    rows, pages = made_up_report(250, 120)
    names = sorted(name for name in pages if name.startswith("captures-"))
    assert names == [f"captures-{n:04d}.html" for n in (1, 2, 3)]
    shown = [re.findall(r'<tr id="(c\d+)"', pages[name]) for name in names]
    assert [len(part) for part in shown] == [100, 100, 50]
    by_quality = sorted(rows, key=lambda one: one["quality"])
    assert list(itertools.chain(*shown)) == [one["capture_id"] for one in by_quality]


def dead_links(pages: dict[str, str], files: set[str]) -> list[tuple[str, str]]:
    """Return the links of pages that lead neither to a page and an anchor there nor to a file."""
    return [
        (name, link)
        for name, page in pages.items()
        if name.endswith(".html")
        for link in links_of(page)
        for target, _, anchor in [link.partition("#")]
        if (target or name) not in {*pages, *files}
        or (anchor and f'id="{anchor}"' not in pages[target or name])
    ]


def test_every_link_leads_to_a_page_an_anchor_or_a_picture_of_a_row() -> None:
    rows, pages = made_up_report(250, 120)
    files = {str(one[kind]) for one in rows for kind in ("picture", "thumbnail", "mesh")}
    files |= {f"pictures/f{n}.png" for n in range(120)} | {"pictures/l.png"}
    files |= {f"pictures/{k}-c{n:04d}.jpg" for k in ("turned", "transformed") for n in range(12)}
    assert dead_links(pages, files) == []
    links = [
        link for name, page in pages.items() if name.endswith(".html") for link in links_of(page)
    ]
    reached = {link.partition("#")[0] for link in links}
    assert reached >= set(pages) | files  # and nothing lies there that no page names


def test_no_link_is_dead_where_all_views_failed() -> None:
    lost = Failure("a", "a", "views", "no_view", "none", "pictures/l.png")
    pages = pages_of([row("a", 0.9, 1.0)], not_augmented=[lost])
    assert (
        dead_links(
            pages, {"pictures/a.jpg", "pictures/thumbnail~a.jpg", "meshes/a.glb", "pictures/l.png"}
        )
        == []
    )


def test_warnings_lead_to_what_they_are_about() -> None:
    """A good capture that was thrown out by hand is on the last page, and so is its subject."""
    rows = [
        {**row(f"c{n:03d}", 0.5 + n / 1000, 1.0), "subject_id": f"s{n:03d}"} for n in range(250)
    ]
    out = {"capture_id": "c249", "code": "by_hand", "message": "glasses"}
    unknown = Failure("f", "", "captures", "bad_json", "no JSON", "")
    pages = pages_of(rows, manifest={**MANIFEST, "rejected": [out]}, failures=[unknown])
    found = re.findall(r'<li><a href="([^"]+)">([^<]+)</a>', pages["index.html"])
    told = {text: href for href, text in found}
    assert told["1 of 250 registrations are left out of the dataset."] == "captures-0003.html#c249"
    assert told["Subjects without a capture in the dataset, 1: s249."] == "subjects-0002.html"
    assert "s249" in pages["subjects-0002.html"]


def test_a_page_of_failures_names_the_other_reasons() -> None:
    some = [Failure(f"f{n}", "s", "landmarks", "no_face", "none", "") for n in range(3)]
    alone = pages_of([], failures=some)["failures-landmarks-no-face-0001.html"]
    assert "Other reasons" not in alone
    more = [*some, Failure("g", "s", "captures", "no_depth", "none", "")]
    page = pages_of([], failures=more)["failures-landmarks-no-face-0001.html"]
    assert "Other reasons" in page
    assert [link for link in links_of(page) if link.startswith("failures-captures")] == [
        "failures-captures-no-depth-0001.html"
    ]


def test_what_the_search_knows_leads_to_where_the_captures_are() -> None:
    _, pages = made_up_report(250, 120)
    script = pages["search-index.js"]
    listed = json.loads(script.removeprefix("window.FG3D_CAPTURES=").removesuffix(";\n"))
    assert len(listed) == 370
    assert sum(line[5] == "failed" for line in listed) == 120
    for line in listed:
        assert f'id="{line[0]}"' in pages[line[7]]


def test_markup_in_names_is_harmless() -> None:
    bad = """<script>alert(1)</script>"'&</style>"""
    evil = {**row("a", 0.2, 1.0), "subject_id": bad, "expression": bad, "source": bad}
    evil["doubts"] = [{"figure": "size", "error_mm": 3.0, "sentence": bad}]
    failure = Failure("c", bad, "captures", bad, bad, "pictures/f.png")
    pages = pages_of([evil], failures=[failure], warnings=[bad], name=bad)
    for name, page in pages.items():
        assert "<script>alert" not in page or name == "search-index.js"
        assert '</style>"' not in page or name == "search-index.js"
        assert re.fullmatch(r"[\w.-]+", name)
    script = pages["search-index.js"]  # loaded as a file: no markup is read in it
    listed = json.loads(script.removeprefix("window.FG3D_CAPTURES=").removesuffix(";\n"))
    assert listed[0][1] == bad


def test_subjects_are_counted_once_each() -> None:
    rows, pages = made_up_report(250, 120)
    text = "".join(page for name, page in pages.items() if name.startswith("subjects-"))
    lines = re.findall(
        r'<tr><td class="text">([^<]+)</td><td class="text">[^<]*</td><td>(\d+)</td><td>(\d+)</td>',
        text,
    )
    assert len({subject for subject, _, _ in lines}) == len(lines) == 251  # "lost" is one
    assert sum(int(captures) for _, captures, _ in lines) == 370
    assert sum(int(registered) for _, _, registered in lines) == len(rows)


def test_ten_thousand_captures_make_no_large_page() -> None:
    content = report_pages.made_up(10_000)
    pages = render_pages(content)
    largest = max(len(page) for name, page in pages.items() if name.endswith(".html"))
    assert largest < 200_000
    assert len(pages["search-index.js"]) < 1_500_000


def counts(samples: int, projected: int, painted: float) -> dict[str, dict[str, float]]:
    views = {"sets": 2, "samples": samples, "projected": projected, "painted": painted}
    nothing = {"sets": 0, "samples": 0, "projected": 0, "painted": 0.0}
    return {"views": views, "transform": nothing}


def test_augmentation_is_averaged_over_samples_not_chunks() -> None:
    found = augmentation_figures([counts(10, 1, 1.0), counts(30, 3, 7.0)])
    assert set(found) == {"views"}
    assert found["views"]["sets"] == 4
    assert found["views"]["samples"] == 40
    assert found["views"]["projected"] == pytest.approx(0.1)
    assert found["views"]["painted"] == pytest.approx(0.2)


def test_pages_show_augmentation_and_what_could_not_be_made() -> None:
    sheet = {"capture_id": "a", "kind": "turned", "picture": "pictures/turned-a.jpg"}
    part = {"counts": counts(40, 4, 8.0), "sheets": [sheet]}
    lost = Failure("a.transform-0", "a", "transform", "no_target_shape", "none", "pictures/l.png")
    pages = pages_of([row("a", 0.9, 1.0)], augmentation=[part], not_augmented=[lost])
    index = pages["index.html"]
    assert "<td>2 captures</td><td>40</td>" in index
    assert "<td>20.0 %</td><td>10.0 %</td>" in index
    assert 'src="pictures/turned-a.jpg"' in pages["turned-0001.html"]
    reason = pages["not-augmented-transform-no-target-shape-0001.html"]
    assert "a.transform-0" in reason
    assert 'src="pictures/l.png"' in reason
    assert 'href="not-augmented-transform-no-target-shape-0001.html"' in index
    assert "new shapes, as captured" not in index
    assert not any(name.startswith("failures-") for name in pages)  # the capture itself is fine
    plain = pages_of([row("a", 0.9, 1.0)])
    assert "Turned views" not in plain["index.html"]
    assert not any(name.startswith("turned-") for name in plain)


def test_pages_on_disk_belong_to_one_report(tmp_path: Path) -> None:
    _, pages = made_up_report(250, 1)
    write_pages(tmp_path, "one", pages)
    assert pages_belong_to(tmp_path, "one")
    assert not pages_belong_to(tmp_path, "other")
    assert not pages_belong_to(tmp_path / "none", "one")
    _, fewer = made_up_report(90, 0)
    (tmp_path / "mine.html").write_text("<p>a person's own page")
    write_pages(tmp_path, "other", fewer)
    assert pages_belong_to(tmp_path, "other")
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {*fewer, "pages.json", "mine.html"}


def test_pages_that_another_report_left_over_go_away_whenever_a_build_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, pages = made_up_report(250, 1)
    write_pages(tmp_path, "one", pages)
    _, fewer = made_up_report(90, 0)
    unlink = Path.unlink

    def stop(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".html":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as stopped:
        stopped.setattr(Path, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            write_pages(tmp_path, "other", fewer)
    assert not pages_belong_to(tmp_path, "other")
    write_pages(tmp_path, "other", fewer)
    assert {path.name for path in tmp_path.iterdir()} == {*fewer, "pages.json"}


def test_folders_and_broken_links_beside_the_pages_stay(tmp_path: Path) -> None:
    (tmp_path / "saved.html").mkdir()
    (tmp_path / "lost.html").symlink_to(tmp_path / "nothing")
    _, pages = made_up_report(5, 0)
    write_pages(tmp_path, "one", pages)
    assert pages_belong_to(tmp_path, "one")
    assert (tmp_path / "saved.html").is_dir()
    assert (tmp_path / "lost.html").is_symlink()


@pytest.mark.parametrize("name", ["index.html", "captures-0002.html", "search-index.js"])
@pytest.mark.parametrize("how", ["gone", "changed", "cut"])
def test_a_missing_or_damaged_page_is_noticed(tmp_path: Path, name: str, how: str) -> None:
    _, pages = made_up_report(250, 1)
    write_pages(tmp_path, "one", pages)
    file = tmp_path / name
    if how == "gone":
        file.unlink()
    else:
        text = pages[name]
        file.write_text(text.replace("e", "f", 1) if how == "changed" else text[:-5])
    assert not pages_belong_to(tmp_path, "one")


def test_skin_tone_is_that_of_the_face_in_the_photo() -> None:
    capture = toy_capture(build_model(), 0, 0)
    grid = np.stack(np.meshgrid([-20.0, 0, 20], [-20.0, 0, 20], [550.0]), axis=-1).reshape(-1, 3)
    tones = {}
    for name, colour in (("light", (235, 205, 185)), ("dark", (80, 52, 40))):
        whole = np.broadcast_to(np.array(colour, np.uint8), capture.rgb.shape)
        tones[name] = skin_ita_deg(dataclasses.replace(capture, rgb=whole), grid)
    assert skin_class(tones["light"]) in ("light", "very light")
    assert skin_class(tones["dark"]) == "dark"
    assert skin_ita_deg(capture, grid + np.array([1e5, 0.0, 0.0])) is None


def test_the_map_of_poses_tells_left_from_right_and_up_from_down() -> None:
    """Angles measured from heads: one turned to its left and looking down, one at rest."""
    turned = angles_from_rotation(rotation_from_angles(-25.0, 35.0, 0.0))
    rows = [{**row("a", 0.9, 1.0), "pose_deg": pose} for pose in (list(turned), [4.0, 5.0, 0.0])]
    poses = next(chart for chart in coverage_charts(rows) if chart.title == "Poses")
    told = re.findall(r"<title>([^<]*)</title>", str(poses.svg))
    assert sorted(told) == ["0 to 10, 0 to 10: 1 captures", "30 to 40, -30 to -20: 1 captures"]
    yaw = next(chart for chart in coverage_charts(rows) if chart.title == "Yaw")
    assert "above 0: to the subject&#39;s left" in str(yaw.svg)


def test_histograms_count_what_is_left_out_and_what_is_not_known() -> None:
    rows = [row("a", 0.9, 1.0), row("b", 0.2, 1.5), {**row("c", 0.8, 1.0), "surface_mm": {}}]
    charts = {chart.title: chart for chart in error_charts(rows, 0.3)}
    told = re.findall(r"<title>([\d.]+) to [\d.]+: (\d)</title>", str(charts["Quality"].svg))
    assert told == [("0.2", "1"), ("0.8", "1"), ("0.9", "1")]
    depth = charts["Distance of the registration to the depth"]
    assert "Median 0.2 mm." in depth.note
    assert "Not known for 1 of 3 captures." in depth.note
    assert "Median 62.5 %." in charts["Face measured"].note


def test_only_sheets_with_masks_explain_masks() -> None:
    _, pages = made_up_report(20, 0)
    assert "Masks: the face is green" in pages["turned-0001.html"]
    assert "Masks" not in pages["transformed-0001.html"]

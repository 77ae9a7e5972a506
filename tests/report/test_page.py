"""Figures and page of the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_build import build_model

from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import CaptureTruth, Failure, Pose
from fg3d_builder.report.figures import (
    aligned_to_truth,
    overall,
    spread,
    surface_error_to_truth_mm,
    vertex_error_mm,
)
from fg3d_builder.report.page import augmentation_figures, page_belongs_to, render_page

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
        "seconds": {"registration": 2.0},
        "picture": f"pictures/{name}.jpg",
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


def test_page_says_what_was_found(tmp_path: Path) -> None:
    failure = Failure("c", "", "captures", "bad_json", "<file>: & no JSON", "pictures/f.png")
    rows = [row("a", 0.9, 1.0), row("b", 0.2, 1.5)]
    page = render_page("demo", "d1g35t", MANIFEST, rows, [failure], ["the test split is empty"])
    assert page.index('id="b"') < page.index('id="a"')  # lowest quality first
    assert "&lt;file&gt;: &amp; no JSON" in page
    assert 'src="pictures/f.png"' in page
    assert "the test split is empty" in page
    # `b` is rejected: it is shown, marked, and does not count in the figures of the dataset.
    assert '<td class="bad">rejected: quality 0.200 &lt; 0.3</td>' in page
    assert '<div id="b" class="frame"><p class="bad">b, rejected: quality' in page
    assert "<td>rejected</td><td" in page
    assert "<td>Too large?</td>" in page
    assert "<td>4.2</td>" in page  # predicted error of `b`; that of `a` is not known
    assert "<td>?</td>" in page
    assert "<td>62 %</td>" in page
    assert "<td>accepted by hand</td>" in page
    assert "vertex to truth: registration</td><td>1.00</td>" in page
    assert "landmarks and depth</td><td>3.25</td>" in page
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    assert page_belongs_to(tmp_path / "index.html", "d1g35t")
    assert not page_belongs_to(tmp_path / "index.html", "other")
    assert not page_belongs_to(tmp_path / "none.html", "d1g35t")


def test_page_of_a_build_in_which_all_failed() -> None:
    failure = Failure("c", "", "captures", "bad_json", "no JSON")
    assert "bad_json" in render_page("x", "d", MANIFEST, [], [failure], [])


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


def test_page_shows_augmentation_and_what_could_not_be_made() -> None:
    sheet = {"capture_id": "a", "kind": "turned", "picture": "pictures/turned-a.jpg"}
    part = {"counts": counts(40, 4, 8.0), "sheets": [sheet]}
    lost = Failure("a.transform-0", "a", "transform", "no_target_shape", "none", "pictures/l.png")
    page = render_page("x", "d", MANIFEST, [row("a", 0.9, 1.0)], [], [], [part], [lost])
    assert "<td>2 captures</td><td>40</td>" in page
    assert "<td>20.0 %</td><td>10.0 %</td>" in page
    assert 'src="pictures/turned-a.jpg"' in page
    assert "a.transform-0: no_target_shape" in page
    assert 'src="pictures/l.png"' in page
    assert "new shapes, as captured" not in page
    assert "<h2>Failures</h2>" not in page  # the capture itself is fine
    assert "<h2>Augmentation</h2>" not in render_page("x", "d", MANIFEST, [], [], [])

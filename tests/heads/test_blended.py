"""People of a blend: faces of their sources, with heads that go on where the faces end."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.captures.synthetic import SyntheticSource, draw_subject
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.blend import BlendSource, blended_model, carried_source
from fg3d_builder.facemodel.blend_storage import save_blend
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.heads.blended import BlendedPopulation, blended_population
from fg3d_builder.heads.library import default_model


@pytest.fixture(scope="module")
def others() -> BlendSource:
    """Larger faces that vary along the embedded model's first two modes alone."""
    model = default_model()
    deviations = np.moveaxis(model.id_basis * model.id_sd, 2, 0)[:2]
    return BlendSource("others", "ours", "elsewhere", 0.6, 1.05 * model.mean, deviations)


@pytest.fixture(scope="module")
def blend_file(others: BlendSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = default_model()
    parts = [carried_source(model, model, 0.4), others]
    file = tmp_path_factory.mktemp("blend") / "blend.h5"
    save_blend(blended_model(model, parts, "both"), parts, file)
    return file


@pytest.fixture(scope="module")
def population(blend_file: Path) -> BlendedPopulation:
    return blended_population(str(blend_file))


def test_sources_have_their_share_of_the_people(population: BlendedPopulation) -> None:
    numbers = np.array([population.source_of(seed) for seed in range(1000)])
    assert numbers.mean() == pytest.approx(0.6, abs=0.05)


def test_the_embedded_people_stay_as_they_are(population: BlendedPopulation) -> None:
    seed = next(s for s in range(50) if population.source_of(s) == 0)
    one, other = population.subject(seed), population.people.subject(seed)
    np.testing.assert_array_equal(one.neutral_obj_mm, other.neutral_obj_mm)
    np.testing.assert_array_equal(one.context_vertices_obj_mm, other.context_vertices_obj_mm)


def test_faces_are_their_sources_with_relief_that_no_mode_has(
    population: BlendedPopulation, others: BlendSource
) -> None:
    seed = next(s for s in range(50) if population.source_of(s) == 1)
    face = population.subject(seed).neutral_obj_mm
    basis = others.deviations_mm.reshape(2, -1).T
    off = (face - others.mean_mm).ravel()
    z, *_ = np.linalg.lstsq(basis, off, rcond=None)
    left = (off - basis @ z).reshape(-1, 3)
    assert np.abs(z).max() < 3.1
    size = np.linalg.norm(left, axis=1)
    own, (_, smooth, _) = population.people.subject(seed), population.people.neutral(seed)
    relief = np.linalg.norm(own.neutral_obj_mm - smooth, axis=1)
    assert np.sqrt((size**2).mean()) == pytest.approx(np.sqrt((relief**2).mean()), rel=0.15)
    # Relief stands on the skin.
    normals = vertex_normals(face, population.people.head.sheet_triangles)
    along = np.abs(np.einsum("nd,nd->n", left, normals))
    standing = size > 0.2
    assert np.median(along[standing] / size[standing]) > 0.85


def test_the_head_goes_on_where_the_face_ends(population: BlendedPopulation) -> None:
    seed = next(s for s in range(50) if population.source_of(s) == 1)
    person, before = population.subject(seed), population.people.subject(seed)
    head = population.people.head
    copies = person.context_vertices_obj_mm[-len(head.skirt) :]
    apart = np.linalg.norm(person.neutral_obj_mm[head.skirt] - copies, axis=1)
    on_border = head.skirt_depth_mm == 0
    # As close as with the embedded person: relief is calm there.
    assert apart[on_border].max() < 0.2
    moved = np.linalg.norm(person.context_vertices_obj_mm - before.context_vertices_obj_mm, axis=1)
    far = before.context_vertices_obj_mm[:, 1] < -300
    assert moved[far].max() < 0.5 < moved.max()


def test_captures_show_the_people_of_the_file(
    blend_file: Path, population: BlendedPopulation
) -> None:
    config = SourceConfig(
        subjects=3,
        captures_per_subject=1,
        image_size=(160, 120),
        focal_px=225.0,
        population=str(blend_file),
    )
    source, again = SyntheticSource(config), SyntheticSource(config)
    entries = source.entries()
    one, other = source.load(entries[2]), again.load(entries[2])
    np.testing.assert_array_equal(one.rgb, other.rgb)
    plain = SyntheticSource(replace(config, population="default"))
    assert one.truth is not None
    # Whoever it is, what a blend's people are made of is under the licences of all its sources.
    assert one.licence == population.licence
    assert "ours" in one.licence
    assert plain.load(entries[2]).licence == "CC0"
    shapes = [s.scene(e)[0].head.neutral_obj_mm for s in (source, plain) for e in entries]
    changed = [not np.array_equal(a, b) for a, b in zip(shapes[:3], shapes[3:], strict=True)]
    assert any(changed)


def test_only_embedded_people_have_a_known_sex(
    blend_file: Path, population: BlendedPopulation
) -> None:
    for number in (0, 1):
        seed = next(s for s in range(50) if population.source_of(s) == number)
        assert population.is_embedded(seed) == (number == 0)
        gender = population.people.neutral(seed)[0].gender
        known = "female" if gender < 0.5 else "male"
        assert draw_subject(seed).sex == known
        assert draw_subject(seed, str(blend_file)).sex == (known if number == 0 else "")


def test_a_changed_file_gives_other_people(
    others: BlendSource, blend_file: Path, tmp_path: Path
) -> None:
    """Workers of a cluster live longer than a build."""
    file, model = tmp_path / "people.h5", default_model()
    shutil.copy(blend_file, file)
    before = blended_population(str(file))
    assert blended_population(str(file)) is before
    parts = [replace(others, weight=1.0)]
    save_blend(model, parts, file)
    assert len(blended_population(str(file)).sources) == 1


def test_a_blend_in_another_topology_is_refused(others: BlendSource, tmp_path: Path) -> None:
    file, model = tmp_path / "turned.h5", default_model()
    other = replace(model, triangles=np.roll(model.triangles, 1, axis=1))
    save_blend(other, [replace(others, weight=1.0)], file)
    with pytest.raises(ConfigError, match=r"sources\.population: .*another topology"):
        blended_population(str(file))


def test_a_file_without_people_names_the_field(tmp_path: Path) -> None:
    file = tmp_path / "plain.h5"
    save_model(default_model(), file)
    with pytest.raises(ConfigError, match=r"sources\.population: .*plain\.h5"):
        SyntheticSource(SourceConfig(population=str(file)))
    with pytest.raises(ConfigError, match=r"sources\.population: .*missing\.h5"):
        SyntheticSource(SourceConfig(population=str(tmp_path / "missing.h5")))

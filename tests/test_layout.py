"""Paths of a build: what changes a stage's identity, and what must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fg3d_builder.config import (
    BuildConfig,
    FitConfig,
    FullViewConfig,
    LandmarkConfig,
    RegistrationConfig,
    ReviewConfig,
    ShardConfig,
    SourceConfig,
    TextureConfig,
    TransformConfig,
)
from fg3d_builder.layout import STAGES, BuildFolder, BuildLayout, default_root

CHAIN = (*STAGES, "shards")
MODEL = "0123456789ab"


def layout_of(config: BuildConfig, model: str = MODEL) -> BuildLayout:
    return BuildLayout(Path("root"), config, model)


def digests(config: BuildConfig) -> list[str]:
    layout = layout_of(config)
    return [layout.stage_digest(stage) for stage in CHAIN]


def first_change(changed: BuildConfig) -> str:
    """Name the first stage whose digest differs; all later ones must differ as well."""
    same = [a == b for a, b in zip(digests(BuildConfig()), digests(changed), strict=True)]
    first = same.index(False)
    assert not any(same[first:])
    return CHAIN[first]


def test_a_change_reaches_its_stage_and_all_later_ones() -> None:
    base = BuildConfig()
    assert first_change(replace(base, landmarks=LandmarkConfig(min_confidence=0.4))) == "landmarks"
    assert first_change(replace(base, fit=FitConfig(iterations=3))) == "fitting"
    changed = replace(base, registration=RegistrationConfig(tolerance_mm=0.1))
    assert first_change(changed) == "registration"
    assert first_change(replace(base, shards=ShardConfig(image_size=128))) == "shards"


def test_name_failure_rate_and_sources_move_no_stage() -> None:
    """A new source brings new chunks; those of the others stay what they were."""
    base = digests(BuildConfig())
    assert digests(BuildConfig(name="other", max_failure_rate=0.1)) == base
    assert digests(BuildConfig(sources=(SourceConfig(), SourceConfig(seed=1)))) == base


def test_what_is_left_out_names_the_dataset_and_moves_no_stage() -> None:
    """A verdict or another threshold costs a plan and shards, never a registration."""
    base = digests(BuildConfig())
    strict = BuildConfig(review=ReviewConfig(min_quality=0.9, list="elsewhere.csv"))
    assert digests(strict) == base
    layout, other = layout_of(BuildConfig()), layout_of(strict)
    assert layout.decisions("c", "v") != other.decisions("c", "v")
    assert layout.decisions("c", "v") != layout.decisions("c", "w")
    assert layout.dataset_digest("c", []) == other.dataset_digest("c", [])
    assert layout.dataset_digest("c", []) != layout.dataset_digest("c", ["a"])
    assert layout.review_list == Path("root/review.csv")
    assert other.review_list == Path("elsewhere.csv")


def test_another_face_model_is_another_build_from_the_fit_on() -> None:
    """Whatever the configuration calls it: what the model is made of counts."""
    one, other = layout_of(BuildConfig()), layout_of(BuildConfig(), "ba9876543210")
    assert one.facemodel != other.facemodel
    assert one.config_file != other.config_file
    same = [one.stage_digest(stage) == other.stage_digest(stage) for stage in CHAIN]
    assert same == [True, True, False, False, False]


def test_processes_of_a_build_find_its_frozen_settings(tmp_path: Path) -> None:
    config = BuildConfig(name="x", fit=FitConfig(iterations=3))
    layout = BuildLayout(tmp_path, config, MODEL)
    layout.freeze()
    assert BuildLayout.frozen(tmp_path, layout.config_digest) == layout


def test_a_folder_can_be_opened_without_a_configuration() -> None:
    layout, folder = layout_of(BuildConfig()), BuildFolder(Path("root"))
    assert (folder.dataset_link, folder.report_page) == (layout.dataset_link, layout.report_page)
    assert folder.review_list_of(ReviewConfig()) == layout.review_list


def test_every_product_lies_under_the_root() -> None:
    layout = layout_of(BuildConfig())
    paths = [layout.index, layout.facemodel, layout.config_file, layout.dataset_link, layout.lock]
    paths += [layout.product(stage, "chunk-00000-x") for stage in STAGES]
    paths += [layout.plan("d"), layout.dataset("d"), layout.report_page]
    paths += [layout.report_rows("c", "d"), layout.report_rows("c", "e")]
    assert all(path.is_relative_to("root") for path in paths)
    assert len(set(paths)) == len(paths)


def test_pictures_of_one_capture_are_never_those_of_another() -> None:
    layout = layout_of(BuildConfig())
    names = []
    for name in ("a", "thumbnail-a", "turned-a", "transformed-turned-a"):
        names += [layout.report_picture(name), layout.report_thumbnail(name)]
        names += [layout.augmentation_picture(kind, name) for kind in ("turned", "transformed")]
    assert len(set(names)) == len(names)


def test_default_root_is_named_after_the_build() -> None:
    assert default_root(BuildConfig(name="demo")) == Path("build/demo")


def test_the_report_s_augmentation_follows_what_views_and_shapes_are_made_of() -> None:
    def both(config: BuildConfig) -> tuple[str, str]:
        layout = layout_of(config)
        return layout.report_digest, layout.augmentation_report_digest

    captures, augmentation = both(BuildConfig())
    for changed in (
        BuildConfig(fullview=FullViewConfig(yaw_steps_deg=(20.0,))),
        BuildConfig(transform=TransformConfig(salt="other")),
        BuildConfig(texture=TextureConfig(vertices=900)),
        BuildConfig(shards=ShardConfig(image_size=128)),
    ):
        assert both(changed)[0] == captures  # sheets of captures are not drawn again
        assert both(changed)[1] != augmentation
    assert both(BuildConfig(shards=ShardConfig(samples_per_shard=9)))[1] == augmentation

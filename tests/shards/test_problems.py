"""What `fg3d verify` says to do about each kind of problem."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg3d_builder.shards.problems import Problem, Problems, Remedy, repair_sentences


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A link to a dataset in the folder of its build, as `fg3d build` leaves it."""
    (tmp_path / "work").mkdir()
    (tmp_path / "dataset-0123").mkdir()
    (tmp_path / "dataset").symlink_to("dataset-0123")
    return tmp_path / "dataset"


def test_nothing_to_repair(dataset: Path) -> None:
    assert repair_sentences(dataset, []) == ()


def test_a_build_makes_what_is_missing(dataset: Path) -> None:
    problems = [Problem("b.h5", "", Remedy.BUILD), Problem("a.h5", "", Remedy.BUILD)]
    (sentence,) = repair_sentences(dataset, problems)
    assert sentence.startswith("To repair a.h5, b.h5: run `fg3d build PRESET --out ")
    assert str(dataset.parent) in sentence
    assert "rm " not in sentence


def test_what_has_its_length_is_removed_first(dataset: Path) -> None:
    (sentence,) = repair_sentences(dataset, [Problem("a.h5", "", Remedy.REMOVE_AND_BUILD)])
    file = dataset.resolve() / "a.h5"
    assert f"`rm {file}`, then run `fg3d build PRESET --out {dataset.parent}`" in sentence


def test_every_kind_has_its_sentence(dataset: Path) -> None:
    problems = [Problem(f"{remedy.name}.h5", "", remedy) for remedy in Remedy]
    sentences = repair_sentences(dataset, problems)
    assert len(sentences) == len(Remedy)
    for remedy, sentence in zip(Remedy, sentences, strict=True):
        assert f"{remedy.name}.h5" in sentence


def test_a_dataset_away_from_its_build_is_copied_again(tmp_path: Path) -> None:
    (sentence,) = repair_sentences(tmp_path, [Problem("a.h5", "", Remedy.BUILD)])
    assert "copy the dataset again from where it came from" in sentence


def test_problems_are_collected() -> None:
    problems = Problems()
    assert problems.check(True, "a.h5", "is fine")
    assert not problems.check(False, "b.h5", "is missing", Remedy.BUILD)
    assert problems.found == [Problem("b.h5", "is missing", Remedy.BUILD)]
    assert problems.files() == {"b.h5"}

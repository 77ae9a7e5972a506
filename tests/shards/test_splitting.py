"""A dataset split anew: nobody in two splits, nobody moved by others, no part of the tested."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_parts import everything, same, write_toy_part

from fg3d_builder.cli import main
from fg3d_builder.errors import ConfigError
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.shards.reader import ShardReader
from fg3d_builder.shards.split import SplitRule, split_of
from fg3d_builder.shards.verify import verify_dataset

PEOPLE = tuple(f"p{i:02d}" for i in range(9))
RULE = SplitRule("again", 0.3, 0.2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_part(tmp_path_factory.mktemp("whole") / "dataset", PEOPLE)


@pytest.fixture(scope="module")
def anew(whole: Path) -> Path:
    out = whole.parent / "anew"
    assert split(whole, out) == 0
    return out


def split(dataset: Path, out: Path, *more: str) -> int:
    words = ["--test", "0.3", "--val", "0.2", "--salt", "again", "--out", str(out)]
    return main(["split", str(dataset), *words, *more])


def subjects(dataset: Path) -> dict[str, str]:
    return {
        subject: split
        for split, content in read_manifest(dataset)["splits"].items()
        for subject in content["subjects"]
    }


def test_everybody_is_where_the_rule_has_them(anew: Path) -> None:
    assert subjects(anew) == {name: RULE.of(name) for name in PEOPLE}
    assert set(subjects(anew).values()) == {"train", "val", "test"}
    assert verify_dataset(anew).problems == ()
    found = {s["captures/subject_id"].decode(): s["split"] for s in everything(anew).values()}
    assert found == subjects(anew)


def test_more_people_move_nobody(whole: Path, anew: Path, tmp_path: Path) -> None:
    more = write_toy_part(tmp_path / "more", (*PEOPLE, *(f"q{i}" for i in range(6))), captures=1)
    assert split(more, tmp_path / "out", "--no-verify") == 0
    now = subjects(tmp_path / "out")
    assert {name: now[name] for name in PEOPLE} == subjects(anew)


def test_what_stays_is_what_it_was(whole: Path, anew: Path) -> None:
    before, after = everything(whole), everything(anew)
    assert all(same(after[name], before[name], but=["split"]) for name in after)
    train = {name for name in PEOPLE if RULE.of(name) == "train"}
    # Each new shape has the nose of the next person.
    donor = dict(zip(PEOPLE, (*PEOPLE[1:], PEOPLE[0]), strict=True))
    wanted = {
        name
        for name, sample in before.items()
        if sample["shapes/shape_source"] == b"capture"
        or {who := sample["captures/subject_id"].decode(), donor[who]} <= train
    }
    assert set(after) == wanted
    assert any("transform" in name for name in wanted)
    (part,) = read_manifest(anew)["derived"]["parts"]
    assert part["left_out"]["samples"] == len(before) - len(after)
    assert part["left_out"]["captures"] == 0
    lost = {name.replace("view+00-30", "view+00+00") for name in set(before) - set(after)}
    assert part["left_out"]["shapes"] == part["left_out"]["new_shapes"] == len(lost)


def test_the_third_split_is_read_as_the_others(anew: Path) -> None:
    val = ShardReader(anew, "val")
    assert {val[i]["subject_id"] for i in range(len(val))} == {
        name for name in PEOPLE if RULE.of(name) == "val"
    }


def test_the_split_that_it_has_is_the_same_dataset(tmp_path: Path) -> None:
    """Bytes included: the shards are those of the build."""
    whole = write_toy_part(tmp_path / "whole", PEOPLE[:6], test=0.4, new_shapes=0)
    words = ["split", str(whole), "--test", "0.4", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    before, after = read_manifest(whole), read_manifest(tmp_path / "out")
    assert after["content_sha256"] == before["content_sha256"]
    assert after["derived"]["split_rule"] == {"salt": "toy", "test": 0.4, "val": 0.0}


@pytest.mark.parametrize("salt", ["", "toy"])
def test_a_salt_is_kept_where_none_is_named(tmp_path: Path, salt: str) -> None:
    """Else a larger test would be other people, not more."""
    dataset = write_toy_part(tmp_path / "dataset", PEOPLE, test=0.3, salt=salt)
    words = ["split", str(dataset), "--out", str(tmp_path / "out"), "--test", "0.6", "--no-verify"]
    assert main(words) == 0
    assert read_manifest(tmp_path / "out")["derived"]["split_rule"]["salt"] == salt


def test_again_and_back(whole: Path, anew: Path, tmp_path: Path) -> None:
    """All in one split again: everything but the new shapes that were lost, in order."""
    words = ["split", str(anew), "--test", "0", "--out", str(tmp_path / "back")]
    assert main(words) == 0
    back, before = everything(tmp_path / "back"), everything(whole)
    assert all(same(back[name], before[name]) for name in back)
    assert set(back) == set(everything(anew))
    (part,) = read_manifest(tmp_path / "back")["derived"]["parts"]
    assert part["derived"]["split_rule"] == RULE.table()


def test_what_cannot_be_is_told(
    whole: Path, anew: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert split(whole, anew) == 0
    assert "is there already" in capsys.readouterr().out
    assert split(whole, anew, "--salt", "other") == 2
    assert "holds files already" in capsys.readouterr().err
    words = ["split", str(whole), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "expected --test SHARE" in capsys.readouterr().err
    assert main([*words, "--test", "0.7", "--val", "0.7"]) == 2
    assert "no more than 1 together" in capsys.readouterr().err
    assert main([*words, "--test", "0.3", "--dry-run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", PEOPLE)
def test_a_third_split_leaves_the_test_alone(name: str) -> None:
    assert (RULE.of(name) == "test") == (split_of(name, 0.3, "again") == "test")
    with pytest.raises(ConfigError, match="no more than 1 together"):
        SplitRule("anew", 0.6, 0.6)

"""Datasets that become one: who is who, who is where, and that no sample changes on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from toy_models import toy_model
from toy_parts import everything, same, write_toy_part

from fg3d_builder.cli import main
from fg3d_builder.files.sealed import BLOCK, write_sealed
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.shards import derived_plan, derived_writing
from fg3d_builder.shards.derived_manifest import check_derived
from fg3d_builder.shards.manifest import content_sha256, describe_shard, read_manifest
from fg3d_builder.shards.problems import Problems
from fg3d_builder.shards.rows import sample_seed
from fg3d_builder.shards.schema import SCHEMA
from fg3d_builder.shards.split import rule_of
from fg3d_builder.shards.verify import verify_dataset

NAMED = ["samples/sample_id", "samples/seed", "captures/capture_id"]
NAMED += ["captures/subject_id", "shapes/donors"]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets: one of a to d, one of e to g, and one that calls others c to e."""
    folder = tmp_path_factory.mktemp("parts")
    write_toy_part(folder / "first", "abcd", failed=[("a-1", "a")], rejected=[("b-0", "b")])
    write_toy_part(folder / "second", "efg", salt="other", test=0.3, name="second")
    write_toy_part(folder / "third", "cde", seed="other people")
    return folder


def merge(there: Path, out: Path, *words: str) -> int:
    return main(["merge", *located(there, words), "--out", str(out)])


def located(there: Path, words: Sequence[str | Path]) -> list[str]:
    """The words of a command, with the folders of the datasets named before its options."""
    given = list(map(str, words))
    count = next((i for i, word in enumerate(given) if word.startswith("--")), len(given))
    names = [word if "=" in word else str(there / word) for word in given[:count]]
    return [*names, *given[count:]]


def refused(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str | Path
) -> str:
    assert main(["merge", *located(there, words), "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
    said, page = capsys.readouterr().err.splitlines()
    assert page.startswith("see docs/dataset.md")
    return said


def test_every_sample_is_what_it_was(there: Path, tmp_path: Path) -> None:
    assert merge(there, tmp_path / "out", "first", "second") == 0
    before = everything(there / "first") | everything(there / "second")
    after = everything(tmp_path / "out")
    assert set(after) == set(before)
    assert all(same(after[name], before[name]) for name in before)
    assert verify_dataset(tmp_path / "out").problems == ()


def test_the_manifest_tells_where_all_comes_from(there: Path, tmp_path: Path) -> None:
    assert merge(there, tmp_path / "out", "first", "second", "--no-verify") == 0
    merged = read_manifest(tmp_path / "out")
    own = {name: read_manifest(there / name) for name in ("first", "second")}
    for part in merged["derived"]["parts"]:
        mine = own[part["name"]]
        for member in ("config", "config_digest", "content_sha256", "versions", "failures"):
            assert part[member] == mine[member]
        assert part["samples"] == sum(shard["samples"] for shard in mine["shards"])
        assert set(part["left_out"].values()) == {0}
    assert merged["failures"] == own["first"]["failures"]
    assert merged["rejected"] == own["first"]["rejected"]
    # The split is that of no single rule, and the settings are those that both have.
    assert rule_of(merged) is None
    assert "split_salt" not in merged["config"]["shards"]
    assert merged["config"]["shards"]["image_size"] == 48
    assert "name" not in merged["config"]
    # Untouched shards are copied.
    copied = {shard["content_sha256"] for shard in merged["shards"]}
    assert copied == {s["content_sha256"] for m in own.values() for s in m["shards"]}


def test_equal_names_are_not_merged_unasked(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(there, tmp_path, capsys, "first", "third")
    assert "subjects in more than one dataset: 'c', 'd' (first, third)" in said
    assert "--same-subjects join" in said
    assert "--same-subjects apart" in said
    said = refused(there, tmp_path, capsys, "first", "third", "--same-subjects", "join")
    assert "captures in more than one dataset: 'c-0', 'c-1', 'd-0', 'd-1' (first, third)" in said
    assert "--same-captures first" in said


def test_different_people_of_one_name_are_told_apart(there: Path, tmp_path: Path) -> None:
    assert merge(there, tmp_path / "out", "first", "third", "--same-subjects", "apart") == 0
    after = everything(tmp_path / "out")
    assert verify_dataset(tmp_path / "out").problems == ()
    people = set(read_manifest(tmp_path / "out")["splits"]["train"]["subjects"])
    assert people == {"a", "b", "e", "first-c", "first-d", "third-c", "third-d"}
    for part in ("first", "third"):
        for name, sample in everything(there / part).items():
            renamed = name if name[0] in "abe" else f"{part}-{name}"
            found = after.pop(renamed)
            assert same(found, sample, but=NAMED)
            assert found["samples/seed"] == sample_seed(renamed)
            donors = json.loads(sample["shapes/donors"])
            for donor in json.loads(found["shapes/donors"]).values():
                old = donors["nose"]
                assert donor == (old if old[0] in "abe" else f"{part}-{old}")
    assert not after


def test_the_same_people_with_other_captures(there: Path, tmp_path: Path) -> None:
    options = ("--same-subjects", "join", "--same-captures", "apart")
    assert merge(there, tmp_path / "out", "first", "third", *options) == 0
    people = set(read_manifest(tmp_path / "out")["splits"]["train"]["subjects"])
    assert people == set("abcde")
    counted = len(everything(there / "first")) + len(everything(there / "third"))
    assert len(everything(tmp_path / "out")) == counted


def test_the_same_captures_are_taken_from_the_first(there: Path, tmp_path: Path) -> None:
    """Also where it rejected them: then nobody has a part of that face."""
    write_toy_part(tmp_path / "again", "abcd", name="again")
    options = ("--same-subjects", "join", "--same-captures", "first")
    parts = (f"first={there / 'first'}", f"again={tmp_path / 'again'}")
    assert merge(there, tmp_path / "out", *parts, *options) == 0
    assert verify_dataset(tmp_path / "out").problems == ()
    before, after = everything(there / "first"), everything(tmp_path / "out")
    assert after.keys() == before.keys()
    assert merge(there, tmp_path / "back", *reversed(parts), *options) == 0
    back, again = everything(tmp_path / "back"), everything(tmp_path / "again")
    assert all(same(back[name], again[name]) for name in again)
    assert read_manifest(tmp_path / "back")["rejected"] == []


def test_captures_with_other_cameras_are_not_the_same(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_toy_part(tmp_path / "other", "ab", captures=1)
    _move_cameras(other)
    options = ("--same-subjects", "join", "--same-captures", "first")
    said = refused(there, tmp_path, capsys, "first", other, *options)
    assert "capture 'a-0' has another camera in 'other' than in 'first'" in said


def _move_cameras(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    for shard in manifest["shards"]:
        path = dataset / shard["file"]
        with h5py.File(path, "r+") as file:
            file["captures/intrinsics"][:, 0, 2] += 1.0
        write_sealed(path, SCHEMA, path.read_bytes()[BLOCK:])
        shard |= describe_shard(path)
    manifest["content_sha256"] = content_sha256(manifest["shards"], manifest["files"])
    write_sealed_object(dataset / "manifest.json", manifest)


def test_nobody_is_trained_on_and_tested_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_toy_part(tmp_path / "train", "abc", captures=1)
    test = write_toy_part(tmp_path / "test", "cd", captures=2, test=1.0)
    options = ("--same-subjects", "join", "--same-captures", "first")
    said = refused(tmp_path, tmp_path, capsys, train, test, *options)
    assert "subject 'c' is in test in 'test' and in train in 'train'" in said
    assert "--test SHARE splits all subjects anew" in said
    words = ["merge", str(train), str(test), *options, "--test", "0.5", "--salt", "u"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert verify_dataset(tmp_path / "out").problems == ()
    splits = read_manifest(tmp_path / "out")["splits"]
    assert sorted(splits["train"]["subjects"] + splits["test"]["subjects"]) == list("abcd")


def test_what_does_not_go_together_is_refused(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = write_toy_part(tmp_path / "larger", "xy", size=64, captures=1)
    said = refused(there, tmp_path, capsys, "first", larger)
    assert "shards.image_size is 48 and 64" in said
    model = toy_model()
    other = replace(model, id_basis=model.id_basis * 1.1)
    strange = write_toy_part(tmp_path / "strange", "xy", captures=1, model=other)
    said = refused(there, tmp_path, capsys, "first", strange)
    assert "facemodel.sha256 is" in said
    assert "coefficients of one mean nothing to the other" in said
    said = refused(there, tmp_path, capsys, "first", "first")
    assert "are the same dataset" in said
    said = refused(there, tmp_path, capsys, "first")
    assert "expected two or more" in said
    said = refused(there, tmp_path, capsys, f"x={there / 'first'}", f"x={there / 'second'}")
    assert "both are called 'x'" in said


def test_a_face_model_that_may_not_be_copied_is_not(tmp_path: Path) -> None:
    model = replace(toy_model(), licence="research only")
    for name, people in (("one", "ab"), ("two", "cd")):
        write_toy_part(tmp_path / name, people, captures=1, model=model, model_inside=False)
    assert merge(tmp_path, tmp_path / "out", "one", "two") == 0
    assert not (tmp_path / "out/facemodel.h5").exists()
    told = read_manifest(tmp_path / "out")["facemodel"]
    assert (told["licence"], told["file"]) == ("research only", "")
    assert verify_dataset(tmp_path / "out", model).problems == ()


@pytest.mark.parametrize("name", ["train-00000.h5", "facemodel.h5", "topology.h5"])
def test_damaged_parts_are_refused(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    shutil.copytree(there / "second", tmp_path / "second")
    path = tmp_path / "second" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    said = refused(there, tmp_path, capsys, tmp_path / "second", "first")
    assert f"{path}: SHA-256 differs from the manifest's" in said
    path.write_bytes(bytes(data)[:-1])
    said = refused(there, tmp_path, capsys, tmp_path / "second", "first")
    assert "missing or not as long as the manifest says" in said


def test_a_merge_that_was_interrupted_goes_on(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is believed before all is there; what was finished is not written again."""
    written: list[str] = []
    write = derived_writing.write_columns

    def some(path: Path, *rest: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(derived_writing, "write_columns", some)
    words = ("first", "third", "--same-subjects", "apart")
    assert merge(there, tmp_path / "out", *words) == 130
    assert not (tmp_path / "out").exists()
    (unfinished,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert unfinished.name.startswith("out.unfinished-")
    assert not (unfinished / "manifest.json").exists()

    def rest(path: Path, *rest: object) -> None:
        written.append(path.name)
        write(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(derived_writing, "write_columns", rest)
    assert merge(there, tmp_path / "out", *words) == 0
    assert len(written) == len(set(written))
    monkeypatch.undo()
    assert merge(there, tmp_path / "at-once", *words) == 0
    once, twice = (read_manifest(tmp_path / name) for name in ("out", "at-once"))
    assert once == twice
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at-once", "out"]


def test_large_captures_open_another_shard(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived_plan, "MOST_BYTES", 1)
    assert merge(there, tmp_path / "out", "first", "third", "--same-subjects", "apart") == 0
    shards = read_manifest(tmp_path / "out")["shards"]
    assert {shard["captures"] for shard in shards if "first-c" in shard["subjects"]} == {1}


def test_a_manifest_that_is_wrong_about_its_parts_is_seen(there: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert merge(there, out, "first", "second", "--no-verify") == 0
    for edit, said in (
        (lambda m: m["derived"]["parts"][0].update(samples=1), "'first' says 1 samples"),
        (lambda m: m["derived"]["parts"][0]["shards"].pop(), "the shards of its parts are not"),
        (lambda m: m["derived"]["parts"][1].update(name="first"), "no names of their own"),
        (lambda m: m["derived"]["parts"][1].update(config_digest="0"), "of 'second' is another's"),
        (lambda m: m["derived"].update(by="hand"), "by is 'hand'"),
        (lambda m: m["derived"]["parts"].clear(), "no names of their own"),
        (lambda m: m["config"].pop("chunk_size"), "config is not what the settings"),
    ):
        manifest, problems = read_manifest(out), Problems()
        check_derived(manifest, problems, "manifest.json")
        assert problems.found == []
        edit(manifest)
        check_derived(manifest, problems, "manifest.json")
        assert said in "\n".join(problem.sentence for problem in problems.found)
    manifest = read_manifest(out)
    manifest["derived"].update(split_rule={"salt": "s", "test": 1.0})
    write_sealed_object(out / "manifest.json", manifest)
    report = verify_dataset(out)
    assert "belongs to the test split" in "\n".join(report.problems)
    assert "run the `fg3d merge` again" in "".join(report.repair)
    manifest["derived"].update(split_rule={"salt": "s", "test": 2.0})
    write_sealed_object(out / "manifest.json", manifest)
    assert "is no rule" in "\n".join(verify_dataset(out).problems)

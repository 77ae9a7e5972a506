"""A capture that cannot be used is a failure that says why, whatever is wrong with it."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from bad_captures import BAD, ODD_NAMES, write_bad_captures, write_good

from fg3d_builder.captures import list_captures, open_source
from fg3d_builder.captures.folder import read_capture
from fg3d_builder.captures.source import LONGEST_ID, fingerprint, plain_text, safe_id
from fg3d_builder.config import SourceConfig, digest
from fg3d_builder.errors import CaptureError, printable
from fg3d_builder.files.atomic import read_json, write_json


def test_the_capture_that_is_spoiled_was_good(tmp_path: Path) -> None:
    write_good(tmp_path / "good")
    assert read_capture(tmp_path / "good").subject_id == "anna"


@pytest.mark.parametrize("name", BAD)
def test_each_is_named(tmp_path: Path, name: str) -> None:
    bad = BAD[name]
    write_good(tmp_path / "one")
    bad.spoil(tmp_path / "one")
    start = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(CaptureError) as caught:
            read_capture(tmp_path / "one")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code == bad.code
    assert str(tmp_path) in caught.value.message
    for word in bad.words:
        assert word in caught.value.message
    assert caught.value.message.isprintable()
    assert peak < 60e6
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize("name", ["capture.json", "color.png", "depth.npy"])
def test_what_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_good(tmp_path / "one")
    real = os.open

    def refuse(path: str, *arguments: object, **options: object) -> int:
        if str(path).endswith(name):  # root may read everything, so modes do not show this
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CaptureError, match=f"{name}: Permission denied"):
        read_capture(tmp_path / "one")


def test_a_source_lists_all_of_them_by_safe_ids(tmp_path: Path) -> None:
    bad = write_bad_captures(tmp_path)
    write_good(tmp_path / "good")
    source = open_source(SourceConfig(kind="folder", path=str(tmp_path)))
    listed = list(list_captures(source))
    assert [one.entry.capture_id for one in listed if one.error is None] == ["good"]
    by_location = {Path(one.entry.location).name: one for one in listed}
    assert set(by_location) == {*bad, "good"}
    for name, what in bad.items():
        one = by_location[name]
        assert one.error is not None
        assert one.error.code == what.code
        # Ids are names of files and of HDF5 groups; locations come back from JSON as they were.
        assert set(one.entry.capture_id) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
        )
        assert len(one.entry.capture_id) <= LONGEST_ID
        write_json(tmp_path / "index.json", [one.entry.location])
        assert read_json(tmp_path / "index.json") == [one.entry.location]
        assert len(digest(one.entry.location, fingerprint(one.entry.location))) == 12
    assert len({one.entry.capture_id for one in listed}) == len(listed)


def test_one_person_has_one_name(tmp_path: Path) -> None:
    for text in ("anna", "anna ", "\tanna\n", "an\u200bna", "\ufeffanna", "anna\u00a0"):
        assert plain_text(text, 100) == "anna"
    assert plain_text("Jose\u0301  Maria", 100) == "Jos\u00e9 Maria"
    assert plain_text("Anna", 100) != plain_text("anna", 100)  # documented
    for name, text in (("a", "anna"), ("b", " anna "), ("c", "anna\u200b")):
        write_good(tmp_path / name)
        table = json.loads((tmp_path / name / "capture.json").read_text())
        (tmp_path / name / "capture.json").write_text(json.dumps({**table, "subject": text}))
    source = open_source(SourceConfig(kind="folder", path=str(tmp_path)))
    assert {entry.subject_id for entry in source.entries()} == {"anna"}
    assert {source.load(entry).subject_id for entry in source.entries()} == {"anna"}


def test_ids_of_odd_names_are_short_and_differ() -> None:
    names = [
        *ODD_NAMES,
        "n" * 251,
        "caf\u00e9",
        os.fsdecode(b"latin-\xe4\xf7"),
        "\ud800",
        ".",
        "..",
    ]
    ids = [safe_id(name) for name in names]
    assert len(set(ids)) == len(names)
    for one in ids:
        assert 0 < len(one) <= LONGEST_ID
        assert one.isascii()
        assert not one.startswith((".", "-"))


def test_messages_can_be_printed_and_stored(tmp_path: Path) -> None:
    error = CaptureError("bad_field", "a\x1b[31m\ud800\udcff\n" + "x" * 10_000)
    assert error.message.isprintable()
    assert len(error.message) <= 2000
    error.message.encode("utf-8")
    assert printable(os.fsdecode(b"\xe4.png")) == "\\xe4.png"
    assert printable("Größe 3") == "Größe 3"

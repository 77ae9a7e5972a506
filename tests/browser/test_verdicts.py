"""Verdicts that the page gives are those that builds obey, and overwrite nobody else's."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from fg3d_builder.browser.listing import FAILED, REGISTERED, DatasetNow, ListedCapture
from fg3d_builder.browser.verdicts import ChangedMeanwhileError, VerdictFile
from fg3d_builder.errors import ConfigError
from fg3d_builder.review.decisions import Verdict, decide, verdicts_of
from fg3d_builder.review.review_list import read_review_list

ANNA = ListedCapture("anna-1", "anna", "", "folder", "chunk", REGISTERED, quality=0.9)
BERT = ListedCapture("bert-1", "bert", "", "folder", "chunk", REGISTERED, quality=0.02)
NOBODY = Verdict("auto", "")


@pytest.fixture
def file(tmp_path: Path) -> VerdictFile:
    return VerdictFile(tmp_path / "review.csv")


def kept_by_a_build(path: Path) -> set[str]:
    """What a build with this list takes into its dataset."""
    captures = (ANNA, BERT)
    decisions = decide(
        {c.capture_id: c.subject_id for c in captures},
        {c.capture_id: c.quality for c in captures},
        verdicts_of(read_review_list(path)),
        min_quality=0.08,
    )
    return {c.capture_id for c in captures} - decisions.rejected_ids


def test_the_page_and_a_build_say_the_same(file: VerdictFile) -> None:
    for anna, bert in (("auto", "auto"), ("reject", "accept"), ("accept", "reject")):
        for capture, verdict in ((ANNA, anna), (BERT, bert)):
            seen = file.now(0.08, None).of(capture).verdict
            file.change(capture, Verdict(verdict, ""), seen)
        now = file.now(0.08, None)
        kept = {c.capture_id for c in (ANNA, BERT) if now.of(c).kept}
        assert kept == kept_by_a_build(file.path)


def test_undo_restores_verdict_and_note(file: VerdictFile) -> None:
    before = file.change(ANNA, Verdict("accept", "looked twice"), NOBODY)
    after = file.change(ANNA, Verdict("reject", "a hand, after\nall"), before)
    assert after == Verdict("reject", "a hand, after all"), "as the list writes it"
    assert file.change(ANNA, before, after) == before
    assert verdicts_of(read_review_list(file.path)) == {"anna-1": before}


def test_what_somebody_else_wrote_meanwhile_stays(file: VerdictFile) -> None:
    seen = file.change(ANNA, Verdict("accept", ""), NOBODY)
    text = file.path.read_text().replace("anna-1,accept,0.900,", "anna-1,reject,0.900,by Carla")
    file.path.write_text("# mine\n" + text)
    with pytest.raises(ChangedMeanwhileError) as told:
        file.change(ANNA, Verdict("auto", ""), seen)
    assert told.value.now == Verdict("reject", "by Carla")
    assert file.now(0.08, None).of(ANNA).verdict == Verdict("reject", "by Carla")
    file.change(BERT, Verdict("accept", ""), NOBODY)
    lines = file.path.read_text().splitlines()
    assert lines[0] == "# mine"
    assert "anna-1,reject,0.900,by Carla" in lines


def test_a_list_that_cannot_be_read_is_left_alone(file: VerdictFile) -> None:
    file.path.write_text("capture_id,verdict,quality,note\nanna-1,perhaps,0.9,\n")
    before = file.path.read_bytes()
    assert "perhaps" in file.now(0.08, None).problem
    with pytest.raises(ConfigError, match="perhaps"):
        file.change(ANNA, Verdict("reject", ""), NOBODY)
    assert file.path.read_bytes() == before


def test_many_look_while_the_list_is_changed(file: VerdictFile) -> None:
    """Pages are answered by threads, and all of them read the list."""
    faults: list[Exception] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                file.now(0.08, None)
            except Exception as error:
                faults.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        readers = [threading.Thread(target=look) for _ in range(6)]
        for reader in readers:
            reader.start()
        other = file.path.with_name("other")
        for number in range(200):
            other.write_text(f"capture_id,verdict,quality,note\nanna-1,auto,0.9,{number}\n")
            other.replace(file.path)
    finally:
        done.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(before)
    assert faults == []


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Verdict("maybe", ""), "auto, accept, reject"),
        (Verdict("reject", "x" * 1001), "1001 characters, 1000 at most"),
        (Verdict("reject", "bell \x07"), "control characters"),
        (Verdict("reject", "half \ud800"), "halves of characters"),
    ],
)
def test_what_no_list_can_hold_is_refused(file: VerdictFile, wanted: Verdict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        file.change(ANNA, wanted, NOBODY)
    assert not file.path.exists()


def test_notes_are_kept_as_they_are(file: VerdictFile) -> None:
    note = 'comma, "quotes", <b>, =1+1, # and ü'
    seen = file.change(ANNA, Verdict("reject", note), NOBODY)
    assert seen.note == note
    assert verdicts_of(read_review_list(file.path))["anna-1"].note == note


def test_what_has_no_registration_is_not_judged(file: VerdictFile) -> None:
    failed = ListedCapture("carl-1", "carl", "", "folder", "chunk", FAILED)
    with pytest.raises(ConfigError, match="carl-1 has no registration"):
        file.change(failed, Verdict("accept", ""), NOBODY)
    assert file.now(0.08, None).of(failed).kept is None


def test_the_next_build_is_compared_with_the_dataset_that_is_there(file: VerdictFile) -> None:
    there = DatasetNow(frozenset({"bert-1"}), {})
    assert not file.now(0.08, there).of(ANNA).changes
    assert not file.now(0.08, there).of(BERT).changes
    file.change(ANNA, Verdict("reject", ""), NOBODY)
    file.change(BERT, Verdict("accept", ""), NOBODY)
    assert file.now(0.08, there).of(ANNA).changes
    assert file.now(0.08, there).of(BERT).changes
    assert not file.now(0.08, None).of(BERT).changes, "no dataset, no change"

"""A capture that crashes a compiled library costs itself alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import luigi
import numpy as np
import pytest
from test_build import build, content
from toy_build import write_toy_build

from fg3d_builder.pipeline.each_capture import EachCapture, StageResult, watched_by
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.shards.verify import verify_dataset
from fg3d_builder.tasks import isolation
from fg3d_builder.tasks.isolation import Journal

PROGRAM = '''
"""fg3d, with a library that ends the process when it sees one capture."""
import ctypes, os, signal, sys
from pathlib import Path
from fg3d_builder import cli
from fg3d_builder.pipeline import stages
from fg3d_builder.tasks import alone, isolation

how, capture_id, once = (os.environ[name] for name in ("HOW", "CAPTURE", "ONCE"))
checked = stages.check_depth

def check_depth(capture, landmarks):
    if capture.capture_id == capture_id and not (once and Path(once).exists()):
        if once:
            Path(once).touch()
        {"read": lambda: ctypes.string_at(0), "abort": os.abort,
         "kill": lambda: os.kill(os.getpid(), signal.SIGKILL)}[how]()
    return checked(capture, landmarks)

stages.check_depth = check_depth
isolation.command = lambda order: [sys.executable, __file__, "alone", order]
if __name__ == "__main__":
    alone.main(sys.argv[2]) if sys.argv[1] == "alone" else sys.exit(cli.main(sys.argv[1:]))
'''

SIGNALS = {"read": signal.SIGSEGV, "abort": signal.SIGABRT, "kill": signal.SIGKILL}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preset, a build of it in ``undisturbed``, and the program."""
    folder = tmp_path_factory.mktemp("isolation")
    preset = write_toy_build(folder, subjects=3, captures=1)
    preset.write_text(preset.read_text().replace("failure_rate = 0.0", "failure_rate = 0.5"))
    (folder / "crashing.py").write_text(PROGRAM)
    assert build(preset, folder / "undisturbed")
    return folder


def crashing_build(
    toy: Path, out: Path, how: str, workers: int, once: str = ""
) -> subprocess.CompletedProcess[str]:
    """Build with a library that crashes at the capture s1-0."""
    words = ["build", str(toy / "toy.toml"), "--out", str(out), "--workers", str(workers)]
    return subprocess.run(
        [sys.executable, str(toy / "crashing.py"), *words],
        env={**os.environ, "HOW": how, "CAPTURE": "s1-0", "ONCE": once},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("read", "crashed", "its process crashed in a library (SIGSEGV) (landmarks), and again"),
        pytest.param(
            *("abort", "crashed", "crashed in a library (SIGABRT)"), marks=pytest.mark.slow
        ),
        pytest.param(
            *("kill", "out_of_memory", "killed by SIGKILL, as the system does when memory runs"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_capture_that_ends_the_process_is_left_out(
    toy: Path, tmp_path: Path, how: str, code: str, said: str
) -> None:
    """In the one process of the build: it ends, and the same command goes on."""
    out = tmp_path / "out"
    first = crashing_build(toy, out, how, 1)
    assert first.returncode == -SIGNALS[how]
    (note,) = out.glob(f"work/landmarks-*/*{isolation.SUFFIX}")
    assert json.loads(note.read_text())["at"] == "s1-0"
    again = crashing_build(toy, out, how, 1)
    assert again.returncode == 0, again.stderr
    assert "s1-0: work on it was broken off (landmarks); it is tried alone" in again.stderr
    manifest = read_manifest(out / "dataset")
    (failure,) = manifest["failures"]
    assert (failure["capture_id"], failure["stage"]) == ("s1-0", "landmarks")
    assert failure["code"] == code
    assert said in failure["message"]
    assert "and again when it was worked on alone" in failure["message"]
    assert (out / "report/pictures/failed-landmarks-s1-0.png").stat().st_size > 1000
    splits = manifest["splits"].values()
    assert sorted(s for split in splits for s in split["subjects"]) == ["s0", "s2"]
    assert verify_dataset(out / "dataset").problems == ()
    assert not list(out.rglob(f"*{isolation.SUFFIX}"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_comes_of_a_capture_alone_is_the_same(toy: Path, tmp_path: Path, workers: int) -> None:
    """It crashes once, as where a person or the system ended the build for another reason."""
    out, once = tmp_path / "out", str(tmp_path / "crashed")
    done = crashing_build(toy, out, "read", workers, once)
    said = done.stderr
    if done.returncode != 0:
        done = crashing_build(toy, out, "read", workers, once)
    assert done.returncode == 0, done.stderr
    assert "s1-0: work on it was broken off (landmarks); it is tried alone" in said + done.stderr
    assert content(out / "dataset") == content(toy / "undisturbed/dataset")


def test_an_end_by_an_exception_makes_nobody_suspect(tmp_path: Path) -> None:
    product = tmp_path / "chunk.h5"
    journal = Journal(luigi.Task(), product)
    journal.begin("a")
    journal.close()
    assert not product.with_suffix(isolation.SUFFIX).exists()
    journal.begin("a")  # and then the process ends
    second = Journal(luigi.Task(), product)
    second.begin("b")
    second.close()
    third = Journal(luigi.Task(), product)
    assert third.suspects == {"a"}
    third.end(StageResult())  # what ends the process behind the last capture is no capture's fault
    assert Journal(luigi.Task(), product).suspects == {"a"}
    third.remove()
    assert Journal(luigi.Task(), product).suspects == set()


STOPPED = """
import os, sys, time
from pathlib import Path
import luigi
from fg3d_builder.cli import main
from fg3d_builder.commands import build
from fg3d_builder.tasks.chunk_tasks import StageTask
from fg3d_builder.tasks.isolation import Journal
from fg3d_builder.tasks.running import run_tasks

class Sleep(StageTask):
    def complete(self):
        return False
    def requires(self):
        return []
    def preload(self):
        pass
    def path(self):
        return Path(self.root, f"{self.chunk}.product")
    def run(self):
        Journal(self, self.path()).begin(f"capture-{self.chunk}")
        Path(self.root, f"{self.chunk}.begun").touch()
        time.sleep(60)

def long_build(options):
    tasks = [Sleep(root=sys.argv[1], config="none", chunk=name) for name in "ab"]
    return int(not run_tasks(tasks, 2))

build.run = long_build
sys.exit(main(["build"]))
"""


@pytest.mark.parametrize(
    ("name", "forgiven"), [("SIGINT", True), ("SIGTERM", True), ("SIGKILL", False)]
)
def test_a_stop_by_a_person_makes_nobody_suspect(name: str, forgiven: bool, tmp_path: Path) -> None:
    """A build with two processes; one chunk has a suspect from before."""
    noted = tmp_path / f"a{isolation.SUFFIX}"
    noted.write_text(json.dumps({"at": "", "suspects": ["earlier"]}))
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 240
    while len(list(tmp_path.glob("*.begun"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(process.pid, getattr(signal, name))
    said, _ = process.communicate(timeout=60)
    products = tmp_path / "a.product", tmp_path / "b.product"
    suspects = [Journal(luigi.Task(), product).suspects for product in products]
    if forgiven:
        assert said == "fg3d: stopped; the same command goes on\n"
        assert suspects == [{"earlier"}, set()]
        assert not (tmp_path / f"b{isolation.SUFFIX}").exists()
    else:
        assert suspects == [{"earlier", "capture-a"}, {"capture-b"}]


def test_all_new_shapes_of_a_capture_are_suspect_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what they share crashes they would otherwise end one process each: too many."""
    alone: list[str] = []

    def crashed(_task: luigi.Task, name: str) -> tuple[str, str]:
        alone.append(name)
        return isolation.CRASHED, "crashed in a library (SIGSEGV)"

    monkeypatch.setattr(isolation, "work_alone", crashed)
    product = tmp_path / "chunk.product"
    Journal(luigi.Task(), product).begin("a.transform-0")  # and then the process ends
    done: list[str] = []

    def work_here(key: str) -> int:
        done.append(key)
        return 1

    result: StageResult[int] = StageResult()
    subjects = {f"{name}.transform-{i}": name for name in ("a", "a-2") for i in range(4)}
    work = EachCapture(
        "transform",
        subjects,
        work_here,
        result=result,
        picture=lambda *_: np.zeros((1, 1, 3), np.uint8),
    )
    with watched_by(Journal(luigi.Task(), product)):
        work.do_all()
    assert alone == [f"a.transform-{i}" for i in range(4)]
    assert [failure.capture_id for failure in result.failures] == alone
    assert done == [f"a-2.transform-{i}" for i in range(4)] == list(result.records)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": "a"}', "null"])
def test_a_note_that_cannot_be_read_makes_nobody_suspect(tmp_path: Path, text: str) -> None:
    (tmp_path / f"chunk{isolation.SUFFIX}").write_text(text)
    assert Journal(luigi.Task(), tmp_path / "chunk.h5").suspects == set()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('no such module')", "status 1 ['no such module']"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "was ended by SIGTERM"),
    ],
)
def test_a_process_that_did_not_come_to_the_capture_says_nothing_of_it(
    program: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "command", lambda _order: [sys.executable, "-c", program])
    with pytest.raises(RuntimeError, match="a: could not be tried alone") as raised:
        isolation.work_alone(luigi.Task(), "a")
    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1"])
def test_a_process_that_somebody_ended_says_nothing_of_its_capture(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a terminal is closed or a cluster ends a job: the capture has not failed."""
    program = (
        "import json, os, signal, sys; open(json.loads(sys.argv[1])[-1] + '/begun', 'w'); "
        f"signal.signal(signal.{name}, signal.SIG_DFL); os.kill(os.getpid(), signal.{name})"
    )
    monkeypatch.setattr(isolation, "command", lambda order: [sys.executable, "-c", program, order])
    with pytest.raises(RuntimeError, match=f"a: .* was ended by {name}"):
        isolation.work_alone(luigi.Task(), "a")


def test_errors_of_work_alone_are_the_works_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package, say, is no fault of the capture."""
    program = (
        "import json, pickle, sys; folder = json.loads(sys.argv[1])[-1]; "
        "open(folder + '/begun', 'w'); "
        "open(folder + '/outcome', 'wb').write(pickle.dumps(MemoryError('no room')))"
    )
    monkeypatch.setattr(isolation, "command", lambda order: [sys.executable, "-c", program, order])
    with pytest.raises(MemoryError, match="no room"):
        isolation.work_alone(luigi.Task(), "a")


ALONE = """
import os, sys
from fg3d_builder.pipeline.each_capture import run_each
from fg3d_builder.tasks import alone

class Work:
    def result(self):
        run_each("views", {"a": "s"}, self.one, None)

    def one(self, name):
        PLACE

alone.load_task = lambda *_: Work()
alone.main(sys.argv[1])
LAST
"""


def found_alone(
    monkeypatch: pytest.MonkeyPatch, work: str, last: str = ""
) -> StageResult[object] | tuple[str, str]:
    """Work on a capture alone, by one line of a program, and end its process by another."""
    program = ALONE.replace("PLACE", work).replace("LAST", last)
    monkeypatch.setattr(isolation, "command", lambda order: [sys.executable, "-c", program, order])
    return isolation.work_alone(luigi.Task(), "a")


def test_what_cannot_be_handed_back_is_no_fault_of_the_capture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No pickle has a function without a name; no room for what was made ends the same way."""
    with pytest.raises(RuntimeError, match=r"a: could not be tried alone: .* status 1"):
        found_alone(monkeypatch, "return lambda: 1")


def test_an_error_that_no_pickle_holds_comes_back_in_its_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RuntimeError, match=r"^MemoryError: .*lambda"):
        found_alone(monkeypatch, "raise MemoryError(lambda: 1)")


def test_a_crash_behind_the_work_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_alone(monkeypatch, "return 7", "os.abort()")
    assert isinstance(found, StageResult)
    assert found.records == {"a": 7}

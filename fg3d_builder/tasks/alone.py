"""The process in which one capture is worked on alone, see `tasks.isolation`.

``python -m fg3d_builder.tasks.alone ORDER``: started by a build, not by a person.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any, cast

from luigi.task_register import load_task

from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.pipeline.each_capture import StageResult, Watcher, watched_by


class _One(Watcher):
    """Lets one capture be worked on, and nothing after that."""

    def __init__(self, name: str, begun: Path) -> None:
        self._name, self._begun = name, begun

    def leaves_out(self, name: str) -> bool:
        return name != self._name

    def begin(self, name: str) -> None:
        self._begun.touch()

    def end(self, result: StageResult[Any]) -> None:
        raise _Done(result)


class _Done(BaseException):
    """Ends a stage after its one capture: what follows is for the whole chunk."""


def main(order: str) -> None:
    """Work on one capture of a task, and leave in a folder what became of it."""
    module, family, words, name, folder = json.loads(order)
    task: Any = load_task(module, family, words)
    try:
        with watched_by(_One(name, Path(folder, "begun"))):
            task.result()
        outcome: Any = RuntimeError(f"{family} works on no capture called {name}")
    except _Done as done:
        outcome = done.args[0]
    except Exception as error:
        outcome = _that_can_be_sent(error)
    # What goes wrong from here on, as where no room is left, is no fault of the capture.
    Path(folder, "begun").unlink(missing_ok=True)
    write_bytes(Path(folder, "outcome"), pickle.dumps(outcome))


def _that_can_be_sent(error: Exception) -> Exception:
    """Return an error, or its words where another process could not read it."""
    try:
        return cast(Exception, pickle.loads(pickle.dumps(error)))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])

"""Which page of the guide helps with which failure or error.

Addresses are those of the Markdown files in the project's folder, ``docs/PAGE.md#anchor``. The
pages of the documentation site have the same names and anchors.
"""

from __future__ import annotations

import errno
from types import MappingProxyType, TracebackType

GUIDE = "docs"
"""Folder of the guide's pages in the project."""

_HELP = "troubleshooting.md"
_DEPTH = "captures.md#depth-that-belongs-to-something-else"
_TEST_SETS = "protocols.md"

FAILURE_PAGES = MappingProxyType(
    {
        # Files of captures.
        "missing_file": f"{_HELP}#a-file-is-missing-or-cannot-be-read",
        "unreadable_image": f"{_HELP}#a-file-is-missing-or-cannot-be-read",
        "unreadable_mesh": f"{_HELP}#a-file-is-missing-or-cannot-be-read",
        "bad_json": f"{_HELP}#a-file-is-missing-or-cannot-be-read",
        "outside_folder": f"{_HELP}#a-file-is-missing-or-cannot-be-read",
        "missing_field": f"{_HELP}#a-field-is-missing-or-wrong",
        "bad_field": f"{_HELP}#a-field-is-missing-or-wrong",
        "size_mismatch": f"{_HELP}#colour-and-depth-do-not-match",
        "orientation_tag": f"{_HELP}#colour-and-depth-do-not-match",
        "no_depth": f"{_HELP}#colour-and-depth-do-not-match",
        "refused": f"{_HELP}#a-file-is-refused",
        "no_unit": f"{_HELP}#the-unit-of-a-scan-is-not-known",
        # Faces and their depth.
        "no_face": f"{_HELP}#no-face-or-too-few-landmarks",
        "no_annotation": f"{_HELP}#no-face-or-too-few-landmarks",
        "too_few_landmarks": f"{_HELP}#no-face-or-too-few-landmarks",
        "no_depth_on_face": f"{_HELP}#no-depth-on-the-face",
        "wrong_unit": _DEPTH,
        "wrong_intrinsics": _DEPTH,
        "depth_along_ray": _DEPTH,
        # Later stages.
        "fit_diverged": f"{_HELP}#the-fit-or-the-registration-failed",
        "registration_failed": f"{_HELP}#the-fit-or-the-registration-failed",
        "no_crop": f"{_HELP}#a-capture-cannot-be-turned",
        "no_outline": f"{_HELP}#a-capture-cannot-be-turned",
        "no_face_in_sight": f"{_HELP}#a-capture-cannot-be-turned",
        "no_target_shape": f"{_HELP}#a-new-shape-cannot-be-made",
        "crashed": f"{_HELP}#a-process-crashed-or-ran-out-of-memory",
        "out_of_memory": f"{_HELP}#a-process-crashed-or-ran-out-of-memory",
        "internal_error": f"{_HELP}#a-fault-of-the-program",
        # What a dataset leaves out.
        "low_quality": f"{_HELP}#left-out-of-the-dataset",
        "by_hand": f"{_HELP}#left-out-of-the-dataset",
        # Face models.
        "unreadable_model": "facemodels.md#the-one-that-your-group-has",
        # Test sets.
        "ambiguous_scan": f"{_TEST_SETS}#which-layout-is-read",
        "no_texture": f"{_TEST_SETS}#which-layout-is-read",
        "implausible_size": f"{_TEST_SETS}#ground-truth",
        "wrong_registration": f"{_TEST_SETS}#ground-truth",
        "empty_set": f"{_TEST_SETS}#how-other-methods-take-part",
        "bad_landmarks": f"{_TEST_SETS}#how-other-methods-take-part",
        "bad_mesh": f"{_TEST_SETS}#how-other-methods-take-part",
        "missing_mesh": f"{_TEST_SETS}#how-other-methods-take-part",
        "mirrored_mesh": f"{_TEST_SETS}#how-other-methods-take-part",
        "low_coverage": f"{_TEST_SETS}#how-other-methods-take-part",
        "not_finite": f"{_TEST_SETS}#how-other-methods-take-part",
    }
)
"""By the code of a `CaptureError` or of a rejection; without the folder."""

ERROR_PAGES = MappingProxyType(
    {
        "BuildRunningError": f"{_HELP}#another-build-is-running",
        "TooManyFailuresError": f"{_HELP}#too-many-captures-failed",
        "DamagedFileError": f"{_HELP}#a-file-is-damaged",
        "DamagedCheckpointError": f"{_HELP}#a-file-is-damaged",
        "EngineLostError": f"{_HELP}#a-build-stopped",
        "MissingDependencyError": f"{_HELP}#a-package-is-missing",
        "MemoryError": f"{_HELP}#a-process-crashed-or-ran-out-of-memory",
    }
)
"""By the name of an error's class; these say the same wherever they arise."""

MODULE_PAGES = MappingProxyType(
    {
        "captures": "captures.md",
        "landmarks": f"{_HELP}#no-face-or-too-few-landmarks",
        "facemodel": "facemodels.md",
        "heads": "facemodels.md#the-embedded-default",
        "review": f"{_HELP}#the-review-list-cannot-be-read",
        "config": "settings.md",
        "layout": f"{_HELP}#the-folder-of-another-version",
        "shards": "dataset.md",
        "fgnet.training.settings": "settings.md#training-fg3d-train-dataset---settings-file",
        "fgnet": "training.md",
        "evaluation": "evaluation.md",
        "testsets": "protocols.md",
        "reproduction": "experiments.md",
        "tasks.status": "status.md",
        "commands.status": "status.md",
        "commands.captures": "captures.md",
        "commands.models": "facemodels.md",
        "commands.train": "training.md",
        "commands.assess": "training.md",
        "commands.evaluate": "protocols.md",
        "commands.experiments": "experiments.md",
        "commands.export": "dataset.md#export",
        "commands.merge": "dataset.md#merge",
        "commands.split": "dataset.md#split",
    }
)
"""By the module in which an error of files or settings arises, or the package that it is in."""

POINTER = "see "
"""Begins the line below an error that names its page."""

_FULL = f"{_HELP}#the-disk-is-full"
_PACKAGE = "fg3d_builder."


def page_for(code: str) -> str:
    """Return page and anchor that say what a failure means and what to do about it.

    Parameters
    ----------
    code : str
        Of a `CaptureError`, a `Failure` or a `Rejection`.

    Returns
    -------
    str
        ``docs/PAGE.md#anchor``; the page of all failures for a code of another version.
    """
    return f"{GUIDE}/{FAILURE_PAGES.get(code, _HELP)}"


def page_for_error(error: BaseException) -> str:
    """Return page and anchor that help with an error; empty where none says more than itself.

    Where its class does not tell, the modules that it came through do, the innermost first.
    """
    code = getattr(error, "code", None)
    if isinstance(code, str) and code in FAILURE_PAGES:
        return page_for(code)
    for kind in type(error).__mro__:
        if kind.__name__ in ERROR_PAGES:
            return f"{GUIDE}/{ERROR_PAGES[kind.__name__]}"
    if isinstance(error, OSError) and error.errno is not None:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return f"{GUIDE}/{_FULL}" if full else ""
    for module in reversed(_modules(error.__traceback__)):
        page = _page_of(module)
        if page:
            return f"{GUIDE}/{page}"
    return ""


def _modules(trace: TracebackType | None) -> list[str]:
    """Return the names of the project's modules that an error came through, within the package."""
    found = []
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        if name.startswith(_PACKAGE):
            found.append(name.removeprefix(_PACKAGE))
        trace = trace.tb_next
    return found


def _page_of(module: str) -> str:
    """Return the page of a module or of the nearest package around it; empty where none is."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        page = MODULE_PAGES.get(".".join(parts[:length]))
        if page is not None:
            return page
    return ""

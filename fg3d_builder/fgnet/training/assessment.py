"""A network against what does without one: NME, DACE and PSD (Tables 1 to 4).

That is the 3DMM fit, a constant displacement of it, and a regression on its coefficients: what a
network does better than those it does by looking at pixels.

A dataset holds registered shapes and no raw scans, so that DACE (Eq. 20) is measured to the
surface of ``S*``: what an error that slides along the skin does not count in. PSD is how much the
plaster pictures of Eq. 7 differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from fg3d_builder.config import to_table
from fg3d_builder.evaluation import (
    Correspondence,
    ScanSurface,
    compare_paired,
    dace,
    interocular_mm,
    nme,
    outer_eye_corners,
    yaw_table,
)
from fg3d_builder.evaluation.comparison import PairedComparison
from fg3d_builder.evaluation.summary import YawTable
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.calibration import Calibration
from fg3d_builder.fgnet.data.dataset import FaceDataset, Provenance, provenance
from fg3d_builder.fgnet.data.feeding import Feeder
from fg3d_builder.fgnet.data.kept_inputs import Fed
from fg3d_builder.fgnet.first_look import FirstLook, inputs_of
from fg3d_builder.fgnet.training.method_errors import ErrorsTaken, MethodErrors, SharedErrors
from fg3d_builder.fgnet.training.names import (
    ASSESSMENT_NAME,
    ASSESSMENT_PAGE_NAME,
    CALIBRATED,
    CONSTANT,
    FIT,
    KEYS,
    LOOK,
    PREDICTED,
)
from fg3d_builder.fgnet.training.plaster_metric import PlasterMetric
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.markdown import table
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.geometry.closest_points import Scan
from fg3d_builder.geometry.compiled import can_compile
from fg3d_builder.records import Array
from fg3d_builder.shards.reader import Registered
from fg3d_builder.shards.sampling import in_order

MIN_CONFIDENCE = 0.5
"""The set C of Eq. 18: reliable vertices that the registration is at least so sure of."""

DACE_STEP = 5
"""Nearest points of the surface are found for every fifth member of C: 362 faces of the synthetic
test split in half a minute. The mean is that of all members within 0.1 % of itself, a single face's
within 3 %."""


Predictor = Callable[[Fed], Tensor]
"""Shapes (B, n, 3) of a batch."""


class Assessment(NamedTuple):
    """Errors of some methods on the same samples, as fractions of the interocular distance.

    Attributes
    ----------
    samples : tuple of Provenance
    nme : dict of str to (s,) float64
        NME of each sample by method, one of `METHODS`.
    maps_mm : dict of str to (n,) float64
        Mean error of each vertex in mm by method, NaN where no sample has it in C.
    dace : dict of str to (s,) float64, or None
        DACE of each sample by method, where it was asked for.
    psd : dict of str to (s,) float64, or None
        PSD of each sample by method in units of full brightness, where it was asked for.
    """

    samples: tuple[Provenance, ...]
    nme: dict[str, Array]
    maps_mm: dict[str, Array]
    dace: dict[str, Array] | None = None
    psd: dict[str, Array] | None = None

    def worst(self, count: int) -> list[int]:
        """Return which samples the network's NME is largest of, the worst first."""
        return np.argsort(-self.nme[PREDICTED], kind="stable")[:count].tolist()

    def mean(self, method: str) -> float:
        """Mean NME of a method."""
        return float(np.mean(self.nme[method]))

    def lowered_by(self, method: str = PREDICTED, below: str = FIT) -> float:
        """Which share of another method's mean NME a method removes; negative where it adds."""
        return 1.0 - self.mean(method) / self.mean(below)

    def by_yaw(self) -> dict[str, YawTable]:
        """Return the paper's table of all methods."""
        yaw = np.array([sample.yaw_deg for sample in self.samples])
        return {name: yaw_table(errors, yaw) for name, errors in self.nme.items()}

    def compared(self, below: str = FIT) -> PairedComparison | None:
        """Network less another method, paired over subjects; None for a single subject."""
        subjects = [sample.subject_id for sample in self.samples]
        if len(set(subjects)) < 2:
            return None
        return compare_paired(self.nme[PREDICTED], self.nme[below], subjects)


def methods(
    predict: Predictor, calibration: Calibration, look: FirstLook | None
) -> dict[str, Predictor]:
    """Return all methods that an assessment compares, by name.

    Parameters
    ----------
    predict : callable
        The network's.
    calibration : Calibration
        Learnt from what the network is trained on.
    look : FirstLook, optional
        What the network adds to.
    """
    found: dict[str, Predictor] = {
        FIT: lambda fed: fed.shape_mm,
        CONSTANT: lambda fed: fed.shape_mm + calibration.constant_mm,
        CALIBRATED: lambda fed: fed.shape_mm + calibration(fed.features),
    }
    if look is not None:
        found[LOOK] = lambda fed: fed.shape_mm + look(inputs_of(fed.given, fed.features))
    return {**found, PREDICTED: predict}


def assess(
    predictors: Mapping[str, Predictor],
    dataset: FaceDataset,
    feeder: Feeder,
    batch_size: int,
    with_dace: bool = False,
    numbers: Sequence[int] | None = None,
    with_psd: bool = False,
    shared: SharedErrors | None = None,
) -> Assessment:
    """Run methods over a split, or some samples of it, and compare.

    Parameters
    ----------
    predictors : mapping of str to callable
        What returns the shapes (B, n, 3) of a batch, by method.
    dataset : FaceDataset
        `feeder` gives batches of it.
    feeder : Feeder
    batch_size : int
    with_dace : bool
        Takes some milliseconds a sample and method.
    numbers : sequence of int, optional
        Of the samples; all in their order where left out.
    with_psd : bool
        Takes twice as long as that.
    shared : SharedErrors, optional
        Errors that another run has measured are taken from there, others are put there.

    Raises
    ------
    ValueError
        An empty split.
    """
    if not len(dataset):
        raise ValueError(f"split '{dataset.reader.split}' holds no samples to assess on")
    chosen = list(range(len(dataset)) if numbers is None else numbers)
    held: dict[str, MethodErrors] = {}
    if shared is not None:
        about = _measured_on(dataset, chosen, with_dace, with_psd)
        found = {name: shared.read(name, about) for name in predictors}
        held = {name: errors for name, errors in found.items() if errors is not None}
    missing = {name: predict for name, predict in predictors.items() if name not in held}
    yardstick = _Yardstick(dataset.model, with_dace, with_psd)
    taken = {name: ErrorsTaken(dataset.model.vertex_count) for name in missing}
    samples = []
    batches = [[chosen[i] for i in some] for some in in_order(len(chosen), batch_size)]
    for fed in feeder.batches(batches):
        shapes = {name: predict(fed).cpu().numpy() for name, predict in missing.items()}
        for row, index in enumerate(fed.number.tolist()):
            sample = dataset.registered(index)
            samples.append(provenance(sample))
            yardstick.measure({name: taken[name] for name in shapes}, shapes, row, sample)
    measured = {name: errors.all() for name, errors in taken.items()}
    if shared is not None:
        for name, errors in measured.items():
            shared.write(name, about, errors)
    return _assessment(samples, {name: {**held, **measured}[name] for name in predictors})


def _measured_on(
    dataset: FaceDataset, numbers: Sequence[int], with_dace: bool, with_psd: bool
) -> dict[str, Any]:
    """Return which samples errors are of, and which errors: JSON values."""
    return {
        **dataset.identity,
        "facemodel": dataset.reader.manifest["facemodel"]["sha256"],
        "split": dataset.reader.split,
        "selection": to_table(dataset.selection),
        "numbers": list(numbers),
        "dace": with_dace,
        "psd": with_psd,
    }


class _Yardstick:
    """Measures shapes of a face model against the truth of their sample."""

    def __init__(self, model: FaceModel, with_dace: bool, with_psd: bool) -> None:
        self._model, self._corners = model, outer_eye_corners(model)
        self._surface = surfaces_of(model) if with_dace else None
        self._plaster = PlasterMetric(model.mean, model.triangles) if with_psd else None

    def measure(
        self,
        taken: Mapping[str, ErrorsTaken],
        shapes: Mapping[str, Array],
        row: int,
        sample: Registered,
    ) -> None:
        """Add the errors of the rows `row` of all methods' `shapes` to what is taken of each."""
        truth = sample.shape_obj_mm.astype(np.float64)
        pairs = reliable_pairs(self._model, sample.confidence)
        between_eyes = interocular_mm(truth, self._corners)
        aligned = []
        for name, shape in shapes.items():
            error = nme(shape[row], truth, pairs, between_eyes)
            taken[name].add(error, pairs, between_eyes)
            aligned.append(error.truth_from_reconstruction.cam_from_obj(shape[row]))
        if self._surface is not None:
            some = reliable_pairs(self._model, sample.confidence, DACE_STEP)
            surface = self._surface(truth)
            for name, shape in shapes.items():
                found = dace(shape[row], truth, some, surface, between_eyes)
                taken[name].dace.append(found.value)
        if self._plaster is not None:
            members = reliable_members(self._model, sample.confidence)
            found_psd = self._plaster(aligned, truth, members)
            for name, psd in zip(shapes, found_psd, strict=True):
                taken[name].psd.append(psd)


def surfaces_of(model: FaceModel) -> Callable[[Array], Scan]:
    """Return what makes the surface of a shape (n, 3) of a model, to measure DACE to.

    Where Numba is installed its search is compiled, and ten times as fast; distances are the same
    but for rounding.
    """
    if not can_compile():
        return lambda shape: ScanSurface(shape, model.triangles)
    from fg3d_builder.geometry.surface_tree import SurfaceTree

    return SurfaceTree(model.mean, model.triangles).of


def _assessment(samples: Sequence[Provenance], errors: Mapping[str, MethodErrors]) -> Assessment:
    dace_of = {name: found.dace for name, found in errors.items() if found.dace is not None}
    psd_of = {name: found.psd for name, found in errors.items() if found.psd is not None}
    return Assessment(
        tuple(samples),
        {name: found.nme for name, found in errors.items()},
        {name: found.map_mm for name, found in errors.items()},
        dace_of or None,
        psd_of or None,
    )


def reliable_members(model: FaceModel, confidence: Array) -> Array:
    """Which vertices (n,) bool are in the set C, given confidence (n,) in [0, 1]."""
    return np.asarray(model.reliable & (confidence >= MIN_CONFIDENCE))


def reliable_pairs(model: FaceModel, confidence: Array, step: int = 1) -> Correspondence:
    """The set C of Eq. 18 for two shapes of the model, given confidence (n,) in [0, 1].

    With a `step`, every so many-th member of C alone.
    """
    members = np.flatnonzero(reliable_members(model, confidence))
    chosen = np.zeros(model.vertex_count, dtype=bool)
    chosen[members[::step]] = True
    return Correspondence.same_topology(chosen)


def assessment_table(assessment: Assessment) -> str:
    """Markdown table: NME in per cent of the interocular distance, by yaw, all methods."""
    tables = assessment.by_yaw()
    first = tables[FIT]
    shown = [r for r in (*first.intervals, first.beyond) if r.samples]
    heads = [f"{r.low_deg:g} to {r.high_deg:g} deg ({r.samples})" for r in shown]
    rows = []
    for name, found in tables.items():
        values = [r.mean for r in (*found.intervals, found.beyond) if r.samples]
        values += [found.all.mean, found.all.median]
        rows.append([name, *(f"{100 * value:.3f}" for value in values)])
    lines = table(["NME, %", *heads, f"all ({first.all.samples})", "median"], rows)
    return "\n".join(lines) + "\n"


def assessment_text(assessment: Assessment) -> str:
    """The table, and in a sentence or two how sure it is."""
    lines = [assessment_table(assessment)]
    lowered = 100 * assessment.lowered_by()
    verb = "lowers" if lowered >= 0 else "raises"
    lines.append(f"The network {verb} the mean NME by {abs(lowered):.1f} %.")
    if CALIBRATED in assessment.nme:
        by = 100 * assessment.lowered_by(CALIBRATED)
        more = 100 * assessment.lowered_by(PREDICTED, CALIBRATED)
        lines.append(
            f"The fit's own coefficients tell {by:.1f} % of it, without a look at the photo; "
            f"the network's error is {abs(more):.1f} % {'below' if more >= 0 else 'above'} what "
            "they leave."
        )
    if assessment.dace is not None:
        means = [f"{100 * d.mean():.3f} % ({name})" for name, d in assessment.dace.items()]
        lines.append(f"Mean DACE to the surface of S*: {', '.join(means)}.")
    if assessment.psd is not None:
        means = [f"{d.mean():.4f} ({name})" for name, d in assessment.psd.items()]
        lines.append(
            f"Mean PSD of the plaster pictures to those of S*, in units of full brightness: "
            f"{', '.join(means)}."
        )
    for below in (FIT, CALIBRATED):
        paired = assessment.compared(below) if below in assessment.nme else None
        if paired is not None:
            lines.append(
                f"Paired over {paired.subjects} subjects, network less {below}: "
                f"{100 * paired.difference:+.3f} points (95 % interval "
                f"{100 * paired.low:+.3f} to {100 * paired.high:+.3f}); the network is better on "
                f"{paired.a_better}, the {below} on {paired.b_better}."
            )
    return "\n".join(lines) + "\n"


def save_assessment(
    assessment: Assessment,
    folder: Path,
    about: dict[str, Any],
    worst: Mapping[int, str] = MappingProxyType({}),
) -> list[Path]:
    """Write the page and the JSON file, and return them.

    Parameters
    ----------
    assessment : Assessment
    folder : Path
    about : dict
        What was assessed.
    worst : mapping of int to str
        Pictures of samples, by their numbers in the assessment, relative to `folder`.
    """
    paired = assessment.compared()
    errors = {KEYS[name]: values for name, values in assessment.nme.items()}
    for suffix, found in (("dace", assessment.dace), ("psd", assessment.psd)):
        for name, values in (found or {}).items():
            errors[f"{KEYS[name]}_{suffix}"] = values
    value = {
        "about": about,
        **{f"mean_{KEYS[name]}": assessment.mean(name) for name in assessment.nme},
        "lowered_by": assessment.lowered_by(),
        "paired": None if paired is None else paired._asdict(),
        "by_yaw": {
            name: [_row(r) for r in (*table.intervals, table.beyond, table.all) if r.samples]
            for name, table in assessment.by_yaw().items()
        },
        "samples": [
            {**sample._asdict(), **{name: float(values[i]) for name, values in errors.items()}}
            for i, sample in enumerate(assessment.samples)
        ],
        "worst": [{"sample": number, "picture": picture} for number, picture in worst.items()],
        "mean_mm": {name: float(np.nanmean(v)) for name, v in assessment.maps_mm.items()},
    }
    page, data = folder / ASSESSMENT_PAGE_NAME, folder / ASSESSMENT_NAME
    write_sealed_object(data, value)
    write_bytes(page, assessment_text(assessment).encode())
    return [page, data]


def _row(row: Any) -> dict[str, float]:
    return {name: float(value) for name, value in row._asdict().items()}

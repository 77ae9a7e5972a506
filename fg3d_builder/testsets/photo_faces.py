"""What our own methods, the 3DMM fit and networks, make of one image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fg3d_builder.config import ALL_LOOKS
from fg3d_builder.errors import CaptureError
from fg3d_builder.fgnet.prediction import predict
from fg3d_builder.fgnet.trained import Trained
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.pipeline.photo import fitted_photo
from fg3d_builder.records import Array, Capture, CoarseFit
from fg3d_builder.testsets.results import FIT
from fg3d_builder.testsets.setup import Setup


class PhotoFaces:
    """Faces in one image; each fit is made once.

    A network improves the fit to the landmarks that it is used to; the fit that is a method itself
    is to landmarks of all looks.

    Parameters
    ----------
    capture : Capture
        The image.
    setup : Setup
    networks : mapping of name to Trained
    """

    def __init__(self, capture: Capture, setup: Setup, networks: Mapping[str, Trained]) -> None:
        self._capture, self._setup, self._networks = capture, setup, networks
        self._fits: dict[int, CoarseFit] = {}

    def fit(self, method: str = FIT) -> CoarseFit:
        """Return the fit that is a method, or that a network starts from.

        Raises
        ------
        CaptureError
            No face, or a fit that failed.
        """
        looks = ALL_LOOKS if method == FIT else self._networks[method].looks
        if looks not in self._fits:
            landmarks = self._setup.detector_of(looks).detect(self._capture)
            self._fits[looks] = fit_landmarks(
                self._setup.model, landmarks, self._capture.intrinsics, self._setup.config.fit
            )
        return self._fits[looks]

    def shape(self, method: str) -> Array:
        """Return the (n, 3) shape in the object frame, mm, as it is in the image.

        Raises
        ------
        CaptureError
            What `fit` raises, ``no_crop``, or ``not_finite``.
        """
        fit = self.fit(method)
        if method == FIT:
            found = fit.shape_obj_mm
        else:
            (answer,) = predict(self._networks[method], [fitted_photo(self._capture, fit)])
            found = answer.shape_obj_mm
        if not np.isfinite(found).all():
            raise CaptureError("not_finite", f"{method}: a vertex of the shape is not finite")
        return found

    def neutral_shape(self, method: str) -> Array:
        """Return the (n, 3) shape with a neutral expression, mm.

        ``S_mean + A_id alpha_id + delta_S``: the expression of the fit (``A_exp alpha_exp`` of
        Eq. 1) is taken out, what a network added to the fit stays. Raises as `shape` does.
        """
        fit = self.fit(method)
        neutral = self._setup.model.shape(fit.alpha_id)
        return np.asarray(self.shape(method) - fit.shape_obj_mm + neutral)

"""What a baseline sees of a query: the embedding alone, or the surface features, too.

Every baseline runs on both, so that a better feature is not sold as a better model.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.data.feature_map import FeatureMap, fit_feature_map
from bayes_irt_router.errors import InputError

Inputs = Literal["embedding", "features"]


@dataclass(frozen=True)
class InputMap:
    """`x = e`, the embedding of unit norm, or `x = [e, s / sqrt(number of surface features)]`.

    s are the surface features that the model sees: standardised and clipped by its feature map. Divided so,
    their mean squared norm on the training queries is 1 (a little less for the clipping), as the embedding's
    is: in a distance both count alike.
    """

    feature_map: FeatureMap | None

    def __call__(self, queries: xr.Dataset) -> Float[np.ndarray, "query input"]:
        """The inputs of featurized queries."""
        if "embedding" not in queries:
            raise InputError("The dataset has no embedding; call featurize(dataset, encoder) first.")
        embedding = queries["embedding"].values.astype(np.float64)
        if self.feature_map is None:
            return embedding
        features = self.feature_map.apply(queries)["features"]
        surface = features.values[:, features["feature_group"].values == "surface"]
        return np.hstack([embedding, surface / np.sqrt(max(surface.shape[1], 1))])


def fit_inputs(train: xr.Dataset, inputs: Inputs) -> InputMap:
    """Learn the scales of the surface features, if they are wanted."""
    if inputs == "embedding":
        return InputMap(None)
    # Only the surface part is used, so one landmark will do.
    return InputMap(fit_feature_map(train, landmarks=1, components=1))

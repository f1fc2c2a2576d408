"""What a baseline sees of a query: the embedding alone, or the feature map's named features, too.

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

KERNEL = "kernel"
"""The feature map's group whose columns are functions of the embedding."""


@dataclass(frozen=True)
class InputMap:
    """`x = e`, the embedding of unit norm, or `x = [e, s / sqrt(number of named features)]`.

    s are the named features that the model sees, standardised and clipped by its feature map: the columns of
    every group but the kernel's, which are functions of the embedding. Divided so, their mean squared norm
    on the training queries is 1 (a little less for the clipping), as the embedding's is: in a distance both
    count alike.
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
        named = features.values[:, features["feature_group"].values != KERNEL]
        return np.hstack([embedding, named / np.sqrt(max(named.shape[1], 1))])


def fit_inputs(train: xr.Dataset, inputs: Inputs) -> InputMap:
    """Learn the scales of the named features, if they are wanted."""
    if inputs == "embedding":
        return InputMap(None)
    # The kernel's columns are not used, so one landmark will do.
    return InputMap(fit_feature_map(train, landmarks=1, components=1))

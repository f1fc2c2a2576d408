"""What a baseline sees of a query: the embedding alone, or the feature map's named features, too.

Every baseline runs on both, so that a better feature is not sold as a better model.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.data.feature_map import TASK_SHARE, FeatureMap, fit_feature_map
from bayes_irt_router.errors import InputError

Inputs = Literal["embedding", "features"]


@dataclass(frozen=True)
class InputMap:
    """`x = e`, the embedding of unit norm, or `x = [e, s / sqrt(number of surface features), P]`.

    s are the surface features that the model sees, standardised and clipped by its feature map, and P the
    probabilities of the training tasks that it reads from the text. Divided so, the mean squared norm of s on
    the training queries is 1 (a little less for the clipping), as the embedding's is, and P's is between the
    inverse number of tasks and 1: in a distance all three count alike. The kernel's columns are left out:
    they are functions of the others.
    """

    feature_map: FeatureMap | None

    def __call__(self, queries: xr.Dataset) -> Float[np.ndarray, "query input"]:
        """The inputs of featurized queries."""
        embedding = _embedding(queries)
        if self.feature_map is None:
            return embedding
        return self._beside(embedding, self.feature_map.apply(queries)["features"])

    def in_training(self, train: xr.Dataset) -> Float[np.ndarray, "query input"]:
        """The inputs of the queries that the map was learned from: task probabilities are cross-fitted, as the model's are."""
        embedding = _embedding(train)
        if self.feature_map is None:
            return embedding
        return self._beside(embedding, self.feature_map.apply_in_training(train)["features"])

    def _beside(
        self, embedding: Float[np.ndarray, "query embedding_dim"], features: xr.DataArray
    ) -> Float[np.ndarray, "query input"]:
        group = features["feature_group"].values
        surface, tasks = features.values[:, group == "surface"], features.values[:, group == "task"]
        return np.hstack(
            [embedding, surface / np.sqrt(max(surface.shape[1], 1)), tasks / np.sqrt(TASK_SHARE)]
        )


def fit_inputs(train: xr.Dataset, inputs: Inputs) -> InputMap:
    """Learn the scales of the named features, if they are wanted."""
    if inputs == "embedding":
        return InputMap(None)
    # The kernel's columns are not used, so one landmark will do.
    return InputMap(fit_feature_map(train, landmarks=1, components=1))


def _embedding(queries: xr.Dataset) -> Float[np.ndarray, "query embedding_dim"]:
    if "embedding" not in queries:
        raise InputError("The dataset has no embedding; call featurize(dataset, encoder) first.")
    return queries["embedding"].values.astype(np.float64)

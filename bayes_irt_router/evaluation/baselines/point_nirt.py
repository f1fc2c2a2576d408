"""The published neural item response model, as a point estimate."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.evaluation.baselines.inputs import Inputs, fit_inputs
from bayes_irt_router.evaluation.baselines.networks import FittedNetworks, fit_networks, network_scale
from bayes_irt_router.evaluation.baselines.training import Schedule, Weights

DISCRIMINATION = 10.0  # largest, as in NeuralCD, whose inputs to the layers all lie between -1 and 1


@dataclass(frozen=True, eq=False)
class PointEstimateNIRT:
    """`p_qj = sigmoid(f(r_q * a_q * (theta_j - b_q)))`, `f` layers with weights that are never negative.

    `theta_j` and `b_q = sigmoid(W x_q + c)` lie in (0, 1) for each ability, `a_q = 10 sigmoid(w . x_q + d)`; `r_q` is a softmax over the
    0/1 labels of the query's cluster; `f` is `abilities -> hidden -> hidden / 2 -> 1` with tanh and dropout. Unseen queries are mixed with
    their neighbours as in `PointEstimateMIRT`.

    Source: NIRT of IRT-Router (Song et al. 2025), after NeuralCD (Wang et al. 2020), written from the equations. Departures: the clusters
    are their own labels, one ability a cluster, because the data have no labels from an LLM; `theta_j` is free for each LLM instead of
    a function of a text about it; dropout is off at prediction; this project's encoder; early stopping; sizes are ours.
    """

    inputs: Inputs = "embedding"
    abilities: int = 25
    hidden: int = 128
    dropout: float = 0.5
    neighbour_weight: float = 0.3
    neighbours: int = 20
    schedule: Schedule = field(default_factory=Schedule)
    effort: float = 8.0
    centre: Float[np.ndarray, "cluster input"] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """`irt_router_nirt_embedding` or `irt_router_nirt_features`."""
        return f"irt_router_nirt_{self.inputs}"

    def initial_weights(self, inputs: int, llm_mean: Float[np.ndarray, " llm"]) -> Weights:
        """Abilities start at the LLM means; the layers' weights are the squares of what is learned."""
        import torch

        units = (self.abilities, self.hidden, self.hidden // 2, 1)
        logit = torch.as_tensor(np.log(llm_mean) - np.log1p(-llm_mean), dtype=torch.float32)
        layers = {
            f"layer_{k}": torch.rand(fan_in, fan_out) * (2.0 / fan_in) ** 0.5
            for k, (fan_in, fan_out) in enumerate(pairwise(units))
        }
        biases = {f"layer_bias_{k}": torch.zeros(fan_out) for k, fan_out in enumerate(units[1:])}
        return {
            "ability": logit[:, None] + 0.1 * torch.randn(len(llm_mean), self.abilities),
            "difficulty": torch.randn(inputs, self.abilities) * (1 / inputs) ** 0.5,
            "difficulty_bias": torch.zeros(self.abilities),
            "discrimination": torch.randn(inputs) * (1 / inputs) ** 0.5,
            "discrimination_bias": torch.zeros(1),
            **layers,
            **biases,
        }

    def logits(self, weights: Weights, x: Any, training: bool) -> Any:
        """The item response function; dropout acts on the layers while training."""
        import torch

        difficulty = torch.sigmoid(x @ weights["difficulty"] + weights["difficulty_bias"])
        discrimination = DISCRIMINATION * torch.sigmoid(
            x @ weights["discrimination"] + weights["discrimination_bias"]
        )
        lead = torch.sigmoid(weights["ability"])[None] - difficulty[:, None]
        met = (self._relevance(x) * discrimination[:, None])[:, None] * lead
        for k in range(3):
            met = met @ weights[f"layer_{k}"] ** 2 + weights[f"layer_bias_{k}"]
            if k < 2:
                met = torch.nn.functional.dropout(torch.tanh(met), self.dropout, training)
        return met[..., 0]

    def fit(self, train: xr.Dataset, rng: np.random.Generator) -> FittedNetworks:
        """Cluster the training queries, then train the one network."""
        from sklearn.cluster import KMeans

        x = fit_inputs(train, self.inputs).in_training(train)
        means = KMeans(min(self.abilities, len(x)), n_init=1, random_state=int(rng.integers(2**31))).fit(x)
        network = replace(self, centre=network_scale(means.cluster_centers_))
        return fit_networks(
            network, train, self.inputs, 1, self.schedule, rng, self.neighbour_weight, self.neighbours
        )

    def _relevance(self, x: Any) -> Any:
        """Softmax over the 0/1 label of the nearest cluster; even before there are clusters."""
        import torch

        label = torch.zeros(len(x), self.abilities)
        if self.centre is not None:
            nearest = torch.cdist(x, torch.as_tensor(self.centre, dtype=x.dtype)).argmin(dim=1)
            label[torch.arange(len(x)), nearest] = 1.0
        return torch.softmax(label, dim=1)

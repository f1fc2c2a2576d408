"""Neural baselines: an ensemble of small networks, matrix factorisation, a point-estimate MIRT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.evaluation.baselines.contract import answers_of
from bayes_irt_router.evaluation.baselines.inputs import InputMap, Inputs, fit_inputs
from bayes_irt_router.evaluation.baselines.local_means import squared_distance
from bayes_irt_router.evaluation.baselines.training import (
    Network,
    Schedule,
    Weights,
    network_probability,
    train_network,
)


@dataclass(frozen=True)
class MLPEnsemble:
    """Mean probability of `members` networks `p_q = sigmoid(V relu(W x_q + c) + d)`, dropout while training.

    `x -> hidden -> LLM`, 384-128-J on the default encoder's embedding. Each member has its own starting
    weights and its own validation queries; `d` starts at the LLM means.

    Source: a deep ensemble (Lakshminarayanan et al. 2017) of the MLP routers in RouterBench (Hu et al.
    2024). Departures: one network for all LLMs with missing answers masked; dropout is off at prediction.
    """

    inputs: Inputs = "embedding"
    members: int = 4
    hidden: int = 128
    dropout: float = 0.3
    schedule: Schedule = field(default_factory=Schedule)
    effort: float = 15.0

    @property
    def name(self) -> str:
        """`mlp_embedding` or `mlp_features`."""
        return f"mlp_{self.inputs}"

    def initial_weights(self, inputs: int, llm_mean: Float[np.ndarray, " llm"]) -> Weights:
        """Two dense layers."""
        import torch

        bias = np.log(llm_mean) - np.log1p(-llm_mean)
        return {
            "first": torch.randn(inputs, self.hidden) * (2 / inputs) ** 0.5,
            "first_bias": torch.zeros(self.hidden),
            "second": torch.randn(self.hidden, len(llm_mean)) * (1 / self.hidden) ** 0.5,
            "second_bias": torch.as_tensor(bias, dtype=torch.float32),
        }

    def logits(self, weights: Weights, x: Any, training: bool) -> Any:
        """Dropout acts on the inputs' hidden layer."""
        import torch

        hidden = torch.relu(x @ weights["first"] + weights["first_bias"])
        hidden = torch.nn.functional.dropout(hidden, self.dropout, training)
        return hidden @ weights["second"] + weights["second_bias"]

    def fit(self, train: xr.Dataset, rng: np.random.Generator) -> "FittedNetworks":
        """Train the members."""
        return fit_networks(self, train, self.inputs, self.members, self.schedule, rng)


@dataclass(frozen=True)
class MatrixFactorisation:
    """`p_qj = sigmoid(w . (v_j * (W x_q + c)))`: an LLM's vector and the projected embedding, bilinear.

    Source: the matrix factorisation router of RouteLLM (Ong et al. 2024), whose logit this is. Departures:
    it is trained on correctness of each LLM instead of preferences between two, on this project's encoder,
    and with early stopping. No dropout; one network.
    """

    inputs: Inputs = "embedding"
    rank: int = 64
    schedule: Schedule = field(default_factory=Schedule)
    effort: float = 5.0

    @property
    def name(self) -> str:
        """`factorisation_embedding` or `factorisation_features`."""
        return f"factorisation_{self.inputs}"

    def initial_weights(self, inputs: int, llm_mean: Float[np.ndarray, " llm"]) -> Weights:
        """LLM vectors, the projection, and the weights of their product."""
        import torch

        return {
            "llm": torch.randn(len(llm_mean), self.rank),
            "projection": torch.randn(inputs, self.rank) * (1 / inputs) ** 0.5,
            "projection_bias": torch.zeros(self.rank),
            "product": torch.randn(self.rank) * (1 / self.rank) ** 0.5,
        }

    def logits(self, weights: Weights, x: Any, training: bool) -> Any:
        """The bilinear form; the same while training."""
        projected = x @ weights["projection"] + weights["projection_bias"]
        return (projected * weights["product"]) @ weights["llm"].T

    def fit(self, train: xr.Dataset, rng: np.random.Generator) -> "FittedNetworks":
        """Train the one network."""
        return fit_networks(self, train, self.inputs, 1, self.schedule, rng)


@dataclass(frozen=True)
class PointEstimateMIRT:
    """`p_qj = sigmoid(a_q . theta_j - b_q)`, `a_q = softplus(W x_q + c)`, `b_q = w . x_q + d`.

    A query that was not trained on is mixed with its neighbours before it enters the equations:
    `x_q <- (1 - lambda) x_q + lambda mean(x_i, i among the k nearest training queries)`, lambda = 0.3.

    Source: MIRT of IRT-Router (Song et al. 2025) and its warm-up of unseen queries, written from the
    equations. Departures: `theta_j` is free for each LLM instead of a function of a text embedding of the
    LLM's description (the data have no descriptions); this project's encoder; early stopping, on validation
    queries that are mixed with their neighbours, too; number of traits and k are ours.
    """

    inputs: Inputs = "embedding"
    traits: int = 25
    neighbour_weight: float = 0.3
    neighbours: int = 20
    schedule: Schedule = field(default_factory=Schedule)
    effort: float = 5.0

    @property
    def name(self) -> str:
        """`irt_router_mirt_embedding` or `irt_router_mirt_features`."""
        return f"irt_router_mirt_{self.inputs}"

    def initial_weights(self, inputs: int, llm_mean: Float[np.ndarray, " llm"]) -> Weights:
        """Abilities, and the two linear maps of the query."""
        import torch

        return {
            "ability": 0.1 * torch.randn(len(llm_mean), self.traits),
            "discrimination": torch.randn(inputs, self.traits) * (1 / inputs) ** 0.5,
            "discrimination_bias": torch.zeros(self.traits),
            "difficulty": torch.randn(inputs) * (1 / inputs) ** 0.5,
            "difficulty_bias": torch.zeros(1),
        }

    def logits(self, weights: Weights, x: Any, training: bool) -> Any:
        """The item response function; the same while training."""
        import torch

        discrimination = torch.nn.functional.softplus(
            x @ weights["discrimination"] + weights["discrimination_bias"]
        )
        difficulty = x @ weights["difficulty"] + weights["difficulty_bias"]
        return discrimination @ weights["ability"].T - difficulty[:, None]

    def fit(self, train: xr.Dataset, rng: np.random.Generator) -> "FittedNetworks":
        """Train the one network."""
        return fit_networks(
            self, train, self.inputs, 1, self.schedule, rng, self.neighbour_weight, self.neighbours
        )


@dataclass(frozen=True, eq=False)
class FittedNetworks:
    """Trained members, and the training queries that unseen ones are mixed with (weight 0: not at all)."""

    network: Network
    input_map: InputMap
    members: Sequence[Mapping[str, np.ndarray]]
    epochs: float
    train_x: Float[np.ndarray, "query input"]
    neighbour_weight: float
    neighbours: int

    @property
    def chosen(self) -> Mapping[str, float]:
        """After how many passes over the data the training stopped, on average."""
        return {"epochs": self.epochs}

    def predict(self, queries: xr.Dataset) -> Float[np.ndarray, "query llm"]:
        """The members' mean probability."""
        x = _mixed(self.input_map(queries), self.train_x, self.neighbour_weight, self.neighbours)
        x = network_scale(x)
        return np.mean([network_probability(self.network, weights, x) for weights in self.members], axis=0)


def fit_networks(
    network: Network,
    train: xr.Dataset,
    inputs: Inputs,
    members: int,
    schedule: Schedule,
    rng: np.random.Generator,
    neighbour_weight: float = 0.0,
    neighbours: int = 1,
) -> FittedNetworks:
    """Train members, each with starting weights and validation queries of its own."""
    input_map = fit_inputs(train, inputs)
    x, answers = input_map.in_training(train), answers_of(train)
    held = max(1, round(schedule.validation * len(x)))
    trained, epochs = [], []
    for _ in range(members):
        order = rng.permutation(len(x))
        outside, inside = order[:held], order[held:]
        weights, stopped = train_network(
            network,
            network_scale(x[inside]),
            answers.rows(inside),
            network_scale(_mixed(x[outside], x[inside], neighbour_weight, neighbours)),
            answers.rows(outside),
            schedule,
            int(rng.integers(2**31)),
        )
        trained.append(weights)
        epochs.append(stopped)
    return FittedNetworks(
        network, input_map, trained, float(np.mean(epochs)), x, neighbour_weight, neighbours
    )


def _mixed(
    x: Float[np.ndarray, "query input"],
    train: Float[np.ndarray, "train_query input"],
    weight: float,
    neighbours: int,
) -> Float[np.ndarray, "query input"]:
    """`(1 - weight) x + weight * (mean of the nearest training queries)`."""
    if weight == 0:
        return x
    order = np.argsort(squared_distance(x, train), axis=1, kind="stable")[:, :neighbours]
    return (1 - weight) * x + weight * np.stack([train[nearest].mean(axis=0) for nearest in order])


def network_scale(x: Float[np.ndarray, "query input"]) -> Float[np.ndarray, "query input"]:
    """Columns of mean square near 1, where layers learn best; a unit vector has 1 / its length."""
    return x * np.sqrt(x.shape[1])

"""How the neural baselines are trained: Adam on the masked cross-entropy, stopped early inside train."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bayes_irt_router.evaluation.baselines.contract import Answers

# Tensors of torch, which takes seconds to import and is therefore imported where it is used.
Weights = Mapping[str, Any]


@runtime_checkable
class Network(Protocol):
    """A function from a query's inputs to one logit per LLM."""

    def initial_weights(self, inputs: int, llm_mean: Float[np.ndarray, " llm"]) -> Weights:
        """Random starting weights, from torch's generator."""

    def logits(self, weights: Weights, x: Any, training: bool) -> Any:
        """Logits (query, llm) of the inputs (query, input); dropout only while training."""


@dataclass(frozen=True)
class Schedule:
    """Settings of the training.

    Attributes:
        learning_rate: of Adam.
        weight_decay: of AdamW, on all weights.
        batch: queries per step.
        epochs: at most this many passes over the training part.
        patience: passes without a better validation loss before the training stops.
        validation: share of the training queries that are kept apart to tell when to stop.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch: int = 128
    epochs: int = 200
    patience: int = 12
    validation: float = 0.15


def train_network(
    network: Network,
    x: Float[np.ndarray, "query input"],
    answers: Answers,
    validation_x: Float[np.ndarray, "validation_query input"],
    validation_answers: Answers,
    schedule: Schedule,
    seed: int,
) -> tuple[dict[str, Float[np.ndarray, "..."]], int]:
    """The weights with the lowest cross-entropy on the validation queries, and after how many passes.

    `loss = sum_qj n_qj BCE(y_qj, sigmoid(logit_qj)) / sum_qj n_qj`; missing answers have n = 0.
    """
    import torch

    def loss(weights: Weights, rows: Any, score: Any, count: Any, training: bool) -> Any:
        logit = network.logits(weights, rows, training)
        cells = torch.nn.functional.binary_cross_entropy_with_logits(logit, score, reduction="none")
        return (cells * count).sum() / count.sum().clamp(min=1.0)

    def tensor(array: np.ndarray) -> Any:
        return torch.as_tensor(array, dtype=torch.float32)

    rows, score, count = tensor(x), tensor(answers.score), tensor(answers.count)
    held = tensor(validation_x), tensor(validation_answers.score), tensor(validation_answers.count)
    with torch.random.fork_rng(devices=[]):  # torch's own state stays as it was
        torch.manual_seed(seed)
        weights: dict[str, Any] = {
            name: torch.nn.Parameter(value)
            for name, value in network.initial_weights(x.shape[1], answers.llm_mean()).items()
        }
        optimiser = torch.optim.AdamW(
            list(weights.values()), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        lowest, best_epoch, best = float("inf"), 0, weights
        for epoch in range(1, schedule.epochs + 1):
            for part in torch.split(torch.randperm(len(rows)), schedule.batch):
                optimiser.zero_grad()
                loss(weights, rows[part], score[part], count[part], True).backward()
                optimiser.step()
            with torch.no_grad():
                found = float(loss(weights, *held, False))
            if found < lowest:
                lowest, best_epoch = found, epoch
                best = {name: value.detach().clone() for name, value in weights.items()}
            elif epoch - best_epoch >= schedule.patience:
                break
    return {name: value.detach().numpy() for name, value in best.items()}, best_epoch


def network_probability(
    network: Network, weights: Mapping[str, np.ndarray], x: Float[np.ndarray, "query input"]
) -> Float[np.ndarray, "query llm"]:
    """`sigmoid(logits)`, without dropout."""
    import torch

    with torch.no_grad():
        tensors = {name: torch.as_tensor(value) for name, value in weights.items()}
        logit = network.logits(tensors, torch.as_tensor(x, dtype=torch.float32), False)
        return torch.sigmoid(logit.double()).numpy()

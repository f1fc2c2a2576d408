"""Fitting a NIRT: data and a model in, an ensemble with draws out, judged by its training."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.data.cost import fit_cost
from bayes_irt_router.data.feature_map import fit_feature_map
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.answer_length_sampling import sample_answer_lengths
from bayes_irt_router.inference.fitting import check_answers, fit_record, llm_table, query_table
from bayes_irt_router.inference.network_posterior import network_posterior
from bayes_irt_router.inference.neural_training import Trained, Training, train
from bayes_irt_router.inference.posterior import ABILITY_MEAN, ABILITY_SD, ANSWER_LENGTH, Posterior
from bayes_irt_router.inference.training_verdict import training_gate
from bayes_irt_router.irt.neural_items import HEAD_DIMS, ITEMS, NETWORK, RELEVANCE, TRAINING, WEIGHT_DIMS
from bayes_irt_router.irt.nirt import NIRT, query_inputs
from bayes_irt_router.irt.relevance import RelevancePrior, uninformed


def fit_nirt(
    model: NIRT,
    data: xr.Dataset,
    training: Training | None = None,
    *,
    relevance: RelevancePrior | None = None,
    seed: int = 0,
    landmarks: int = 400,
    components: int = 200,
    lengthscale: float = 1.2,
    keep_draws: int = 400,
    assume_output_tokens: int | None = None,
    keep_texts: bool = False,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> Posterior:
    """Train an ensemble, and draw from the approximate posterior of each of its networks.

    The networks stand in the place of chains. Given a network, an LLM's abilities are normal with a full covariance
    (:func:`ability_posteriors`), the output weights as the guide has them, the last weights of the difficulty head normal
    (:func:`level_precision`), and a fitted query's residuals normal (:func:`residual_posteriors`). All other weights are a point.

    Args:
        model: the model and its priors.
        data: a featurized dataset (``score``, ``trials``, ``embedding``, ``surface``); all of it is fitted, so select a split first.
        training: settings of the training.
        relevance: which abilities queries ask for, before any answer; every ability is as likely by default.
        seed: of everything random here.
        landmarks: of the feature map, see :func:`fit_feature_map`.
        components: of the feature map.
        lengthscale: of the feature map.
        keep_draws: over all networks.
        assume_output_tokens: output tokens an answer, where the data have prices but no counts; see :func:`fit_cost`.
        keep_texts: whether the posterior keeps the queries' texts.
        checkpoint: file that an interrupted training goes on from, to be removed once the posterior is saved; see :func:`train`.
        progress: whether to show progress bars (standard error).

    Raises:
        InputError: too few queries or LLMs, LLMs or queries without answers, a dataset that is not featurized, a relevance prior of other
            abilities, prices without output tokens, or what :func:`train` says of the training and its checkpoint.
    """
    training = training or Training()
    check_answers(data)
    if data.sizes["llm"] < 2:
        raise InputError("The data have one LLM; there is nothing to choose from. Add answers of another.")
    cost = fit_cost(data, assume_output_tokens=assume_output_tokens)
    feature_map = fit_feature_map(
        data, landmarks=landmarks, components=components, lengthscale=lengthscale, seed=seed
    )
    data = feature_map.apply_in_training(data, seed=seed)
    relevance = relevance or uninformed(data.sizes["embedding_dim"], model.traits)
    if relevance.assignment.shape[1] != model.traits:
        raise InputError(
            f"The relevance prior is of {relevance.assignment.shape[1]} abilities, the model has {model.traits}; "
            "make both from one table."
        )
    inputs = query_inputs(data, relevance.log_relevance(data["embedding"].values))
    trials = np.nan_to_num(data["trials"].transpose("query", "llm").values.astype(np.float64))
    score = np.nan_to_num(data["score"].transpose("query", "llm").values.astype(np.float64))
    surface = int((data["feature_group"].values == "surface").sum())
    trained = train(
        model,
        inputs,
        score,
        trials,
        surface,
        training,
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
    )
    rng = np.random.default_rng([seed, 4])
    each = max(1, keep_draws // training.networks)
    found = [
        network_posterior(
            model,
            {name: np.asarray(values[k]) for name, values in trained.weights.items()},
            inputs,
            score,
            trials,
            surface,
            each,
            rng,
        )
        for k in range(training.networks)
    ]
    lengths = sample_answer_lengths(data, np.random.default_rng([seed, 1]))
    tree = xr.DataTree.from_dict(
        ({} if lengths is None else {ANSWER_LENGTH: lengths})
        | _groups(model, data, trained, found)
        | {
            RELEVANCE: relevance.to_dataset(),
            "queries": query_table(data),
            "llms": llm_table(data),
        }
    )
    record = {
        "kind": model.kind,
        "model": model.to_dict(),
        "sampler": {**training.to_dict(), "passes": trained.passes},
        **fit_record(data, seed, feature_map),
        "device": trained.device,
        "seconds": round(trained.seconds, 1),
        "cost": cost.to_dict(),
    }
    texts = tuple(str(text) for text in data["text"].values) if keep_texts else None
    gate = training_gate(
        trained,
        data["llm"].values.astype(str).tolist(),
        model.names,
        [_in_sds(one["ability"]) for one in found],
        np.max([one["k_hat"] for one in found], axis=0),
    )
    return Posterior(tree, feature_map, gate, record, texts)


def _in_sds(ability: Float[np.ndarray, "draw llm trait"]) -> Float[np.ndarray, "draw llm trait"]:
    """Counted from the LLMs' mean general ability, in its SDs, draw by draw: networks differ in the unit that they chose."""
    general = ability.mean(axis=2)
    return (ability - general.mean(axis=1)[:, None, None]) / general.std(axis=1)[:, None, None]


def _groups(
    model: NIRT, data: xr.Dataset, trained: Trained, found: list[dict[str, np.ndarray]]
) -> dict[str, xr.Dataset]:
    def stacked(name: str, *dims: str) -> tuple[tuple[str, ...], np.ndarray]:
        return ("chain", *dims), np.stack([one[name] for one in found]).astype(np.float32)

    chain = {"chain": np.arange(len(found))}
    coords: dict[str, Any] = {
        **chain,
        "draw": np.arange(len(found[0]["ability"])),
        "llm": data["llm"].values.astype(str),
        "trait": model.names,
    }
    query = {"query": data["query"].values.astype(str)}
    general = stacked("ability", "draw", "llm", "trait")[1].mean(axis=3)
    return {
        "posterior": xr.Dataset(
            {
                "ability": stacked("ability", "draw", "llm", "trait"),
                ABILITY_MEAN: (("chain", "draw"), general.mean(axis=2)),
                ABILITY_SD: (("chain", "draw"), general.std(axis=2)),
                "output": stacked("output", "draw", "unit"),
                "level_weight": stacked("level_weight", "draw", "level_input"),
            },
            coords=coords,
        ),
        "sample_stats": xr.Dataset(coords={name: coords[name] for name in ("chain", "draw")}),
        NETWORK: xr.Dataset(
            {
                name: (("chain", *dims), trained.weights[name].astype(np.float32))
                for name, dims in WEIGHT_DIMS.items()
            },
            coords={**chain, "feature": data["feature"].values.astype(str)},
        ),
        ITEMS: xr.Dataset(
            {name: stacked(name, *dims) for name, dims in HEAD_DIMS.items()}
            | {
                "residual_mean": stacked("residual_mean", "query", "item_residual"),
                "residual_factor": stacked("residual_factor", "query", "item_residual", "earlier"),
            },
            coords={**chain, **query, "trait": model.names},
        ),
        TRAINING: xr.Dataset(
            {
                "loss": (("chain", "pass"), trained.loss.T.astype(np.float32)),
                "validation": (("chain", "pass"), trained.validation.T.astype(np.float32)),
                "k_hat": stacked("k_hat", "llm"),
            },
            coords={**chain, "llm": coords["llm"]},
        ),
    }

"""Does the NIRT's variational posterior of ability hold the truth as often as it says? Many small banks drawn from its own prior.

    .venv/bin/python benchmarks/variational_sbc.py --replications 100 [--relevance-scale 0.27]

For each replication networks' weights, abilities, output weights and residuals are drawn from the prior, answers from these, and a NIRT is
fitted to the answers. The share of posterior draws below the true value is uniform if the posterior is right; piled up at one end if it is
shifted, at both ends if it is too narrow (Yao, Vehtari, Simpson and Gelman, 2018: variational simulation-based calibration).

Looked at: every LLM's general ability (the mean of the named ones) *relative to the bank's LLMs*, as their common level is told apart from
difficulty by the prior alone; and the named abilities relative to the LLM's mean, its profile. Both also in SDs of the bank's LLMs: how far
apart ten LLMs lie is told apart from how strongly queries discriminate by the prior alone, too, and the network, a point, has to choose.
Appends a JSON line to benchmarks/results/variational-sbc.jsonl: coverage of central intervals, Kolmogorov-Smirnov p-values that treat the
LLMs of a bank as independent, which they are not quite. About five seconds a replication on two cores.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from provenance import provenance
from rich.progress import track
from scipy.stats import kstest

from bayes_irt_router.data.feature_map import fit_feature_map
from bayes_irt_router.inference.neural_fitting import fit_nirt
from bayes_irt_router.inference.neural_model import (
    OUTPUT_LOG_MEAN,
    OUTPUT_LOG_SD,
    initial_weights,
    weight_priors,
)
from bayes_irt_router.irt.ability_table import ABILITIES
from bayes_irt_router.irt.nirt import (
    NIRT,
    RESIDUALS,
    abilities,
    hidden_layer,
    interaction,
    item_heads,
    logit,
    network_input,
    query_inputs,
)
from bayes_irt_router.irt.relevance import from_descriptions

RESULT = Path(__file__).parent / "results" / "variational-sbc.jsonl"
DIMS, SURFACE, COVERED = 24, 4, (0.5, 0.89)


def empty_bank(queries: int, llms: int, rng: np.random.Generator) -> xr.Dataset:
    """Queries of four sorts, with random embeddings and surface features, that nobody has answered yet."""
    sort = np.arange(queries) % 4
    embedding = rng.standard_normal((4, DIMS))[sort] + rng.standard_normal((queries, DIMS))
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    return xr.Dataset(
        {
            "score": (("query", "llm"), np.zeros((queries, llms))),
            "trials": (("query", "llm"), np.ones((queries, llms), dtype=np.int64)),
            "text": ("query", [f"query {i}" for i in range(queries)]),
            "embedding": (("query", "embedding_dim"), embedding.astype(np.float32)),
            "surface": (("query", "surface_feature"), rng.standard_normal((queries, SURFACE))),
        },
        coords={
            "query": [f"query {i}" for i in range(queries)],
            "llm": [f"LLM {j}" for j in range(llms)],
            "task": ("query", [""] * queries),
            "surface_feature": [f"surface {k}" for k in range(SURFACE)],
        },
    )


def replication(model: NIRT, queries: int, llms: int, seed: int) -> dict[str, np.ndarray]:
    """Shares of the posterior's draws below the truth, for each LLM, of its relative ability and of its profile."""
    rng = np.random.default_rng([seed, 7])
    data = empty_bank(queries, llms, rng)
    relevance = from_descriptions(np.eye(model.traits, DIMS))
    mapped = fit_feature_map(data, seed=seed).apply_in_training(data, seed=seed)  # as the fit will
    inputs = query_inputs(mapped, relevance.log_relevance(data["embedding"].values))
    entering = network_input(inputs)

    features = inputs.features.shape[1]
    weights = {
        name: np.asarray(values, dtype=np.float64)
        for name, values in initial_weights(
            model, jax.random.PRNGKey(seed), entering.shape[1], features, 0.0, np.zeros(llms)
        ).items()
    }
    for name, (mean, sd) in weight_priors(model, entering.shape[1], features, SURFACE).items():
        weights[name] = mean + sd * rng.standard_normal(weights[name].shape)
    general, specific = rng.standard_normal(llms), rng.standard_normal((llms, model.traits))
    theta = abilities(general, specific)
    output = np.exp(OUTPUT_LOG_MEAN + OUTPUT_LOG_SD * rng.standard_normal(model.units))
    heads = item_heads(model, weights, inputs, hidden_layer(weights, entering))
    at = interaction(weights, heads, rng.standard_normal((queries, len(RESIDUALS))))
    p = 1.0 / (1.0 + np.exp(-logit(weights, output, at, theta)))
    data = data.assign(score=(("query", "llm"), (rng.random(p.shape) < p).astype(float)))

    drawn = fit_nirt(model, data, relevance=relevance, seed=seed, keep_draws=800, progress=False).draws[
        "ability"
    ]
    sample = drawn.transpose("chain", "draw", "llm", "trait").values.reshape(-1, llms, model.traits)

    def below(of: Any) -> np.ndarray:
        return (of(sample) < of(theta[None])).mean(axis=0).ravel()

    def relative(theta: np.ndarray) -> np.ndarray:
        return theta.mean(axis=2) - theta.mean(axis=(1, 2))[:, None]

    def profile(theta: np.ndarray) -> np.ndarray:
        return theta - theta.mean(axis=2, keepdims=True)

    def in_sds(found: np.ndarray, theta: np.ndarray) -> np.ndarray:
        sd = theta.mean(axis=2).std(axis=1)
        return found / sd.reshape(-1, *[1] * (found.ndim - 1))

    return {
        "relative ability": below(relative),
        "relative ability, in SDs": below(lambda one: in_sds(relative(one), one)),
        "profile": below(profile),
        "profile, in SDs": below(lambda one: in_sds(profile(one), one)),
        "mean score": np.array([data["score"].mean()]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replications", type=int, default=100)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--llms", type=int, default=10)
    parser.add_argument("--abilities", type=int, default=4)
    parser.add_argument("--relevance-scale", type=float, default=NIRT().relevance_scale)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    model = NIRT(
        abilities=ABILITIES[: arguments.abilities],
        units=4,
        hidden=16,
        factors=2,
        relevance_scale=arguments.relevance_scale,
    )
    found = [
        replication(model, arguments.queries, arguments.llms, 1000 * arguments.seed + k)
        for k in track(range(arguments.replications), "replications")
    ]
    told: dict[str, Any] = {**vars(arguments), **provenance()}
    told["mean_score"] = np.quantile([one["mean score"] for one in found], [0.1, 0.5, 0.9]).round(3).tolist()
    rng = np.random.default_rng(arguments.seed)
    for name in (name for name in found[0] if name != "mean score"):
        share = np.stack([one[name] for one in found])
        told[name] = {"quantities": share.size, "mean_share_below": round(float(share.mean()), 3)}
        told[name]["uniform_p"] = float(kstest(share.ravel(), "uniform").pvalue)
        for level in COVERED:
            inside = (np.abs(share - 0.5) < level / 2).mean(axis=1)
            again = inside[rng.integers(len(inside), size=(2000, len(inside)))].mean(axis=1)
            told[name][f"covered at {level}"] = [
                round(float(value), 3) for value in (inside.mean(), *np.quantile(again, [0.025, 0.975]))
            ]
    print(json.dumps(told, indent=1))
    with RESULT.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

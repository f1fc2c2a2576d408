"""How exact a NIRT's closed-form posteriors are, given its networks: placing simulated LLMs, and NUTS through the network.

    .venv/bin/python benchmarks/nirt_posteriors.py placing --model runs/nirt/zeroeval/queries-0
    .venv/bin/python benchmarks/nirt_posteriors.py nuts --model runs/nirt/zeroeval/queries-0

Both append JSON lines to benchmarks/results/nirt-posteriors.jsonl. ``placing``: LLMs of known ability answer fitted queries; time, error,
coverage and k-hat. ``nuts`` simulates LLMs that answer some of the fitted queries, and samples their abilities and the queries' residuals
exactly, through the first network with its weights fixed; it compares the products of experts, which find the same in closed form: SDs, and
mean probabilities of the very cells.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from provenance import record
from scipy.special import expit

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.network_posterior import residual_posteriors
from bayes_irt_router.inference.storage import load
from bayes_irt_router.irt.ability_posterior import (
    Answered,
    ability_posterior,
    ability_posteriors,
    importance_points,
    prior_covariance,
    standard_prior,
)
from bayes_irt_router.irt.neural_items import ITEMS, Network, fitted_heads, rows, settled_items
from bayes_irt_router.irt.nirt import Interaction, ItemHeads, interaction, logit
from bayes_irt_router.routing.neural_prediction import ensemble

RESULTS = Path(__file__).parent / "results" / "nirt-posteriors.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("placing", "nuts"):
        command = commands.add_parser(name)
        command.add_argument("--model", type=Path, required=True)
        command.add_argument("--answers", default="20,100,500" if name == "placing" else "100,300")
        if name == "nuts":
            command.add_argument("--llms", type=int, default=10)
    arguments = parser.parse_args()
    {"placing": place, "nuts": compare_nuts}[arguments.command](arguments)


def place(arguments: argparse.Namespace) -> None:
    """Simulated LLMs of known ability answer fitted queries: time of placing, error, coverage, k-hat."""
    from bayes_irt_router.inference.pareto_smoothing import smoothed_weights

    network, at, output = bank(arguments.model)
    rng = np.random.default_rng(0)
    traits = at.slope.shape[-1]
    factor = np.linalg.cholesky(prior_covariance(traits))
    for answers in (int(one) for one in arguments.answers.split(",")):
        seconds: list[float] = []
        k_hats: list[float] = []
        z: list[Any] = []
        for _ in range(200):
            theta = factor @ rng.standard_normal(traits)
            some, score = answered(network, at, output, theta, answers, rng)
            start = time.perf_counter()
            found = ability_posterior(network.weights, output, some, score, np.ones(answers))
            seconds.append(time.perf_counter() - start)
            general = np.full(traits, 1.0 / traits)
            sd = np.linalg.norm(found.factor.T @ general)
            z.append(general @ (theta - found.mean) / sd)
            if len(k_hats) < 40:
                _, log_weight = importance_points(
                    found, network.weights, output, some, score, np.ones(answers), 1000, rng
                )
                k_hats.append(float(smoothed_weights(log_weight[None])[1][0]))
        record(
            RESULTS,
            {
                "measured": "placing",
                "answers": answers,
                "milliseconds": {
                    "median": round(1e3 * float(np.median(seconds)), 2),
                    "95%": round(1e3 * float(np.quantile(seconds, 0.95)), 2),
                },
                "k_hat": {"median": round(float(np.median(k_hats)), 2), "largest": round(max(k_hats), 2)},
                "z_of_mean_ability": {
                    "mean": round(float(np.mean(z)), 2),
                    "sd": round(float(np.std(z)), 2),
                },
                "inside_89": round(float(np.mean(np.abs(z) < 1.598)), 3),
            },
        )


def compare_nuts(arguments: argparse.Namespace) -> None:
    """SDs and mean probabilities by NUTS and by products of experts, abilities and residuals both unknown."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    posterior = load(arguments.model)
    network, items = ensemble(posterior)[0], posterior.tree[ITEMS].to_dataset()
    output, traits = network.output.mean(axis=0), items.sizes["trait"]
    factor = np.linalg.cholesky(prior_covariance(traits))
    weights = jax.tree.map(jnp.asarray, network.weights)

    def model(heads: ItemHeads, score: Any) -> None:
        z = numpyro.sample("z", dist.Normal(jnp.zeros((score.shape[1], traits)), 1.0).to_event(2))
        zeta = numpyro.sample("zeta", dist.Normal(jnp.zeros((len(score), 3)), 1.0).to_event(2))
        theta = numpyro.deterministic("theta", z @ jnp.asarray(factor, z.dtype).T)
        found = logit(weights, jnp.asarray(output), interaction(weights, heads, zeta), theta)
        numpyro.deterministic("p", jax.nn.sigmoid(found))
        numpyro.factor("answers", (score * found - jax.nn.softplus(found)).sum())

    for queries in (int(one) for one in arguments.answers.split(",")):
        rng = np.random.default_rng(queries)
        heads = rows(fitted_heads(items, 0), rng.choice(items.sizes["query"], queries, replace=False))
        theta = rng.standard_normal((arguments.llms, traits)) @ factor.T
        at = interaction(network.weights, heads, rng.standard_normal((queries, 3), dtype=np.float32))
        p = expit(logit(network.weights, output, at, theta))
        score = (rng.random(p.shape) < p).astype(np.float32)
        start = time.perf_counter()
        sampler = MCMC(NUTS(model), num_warmup=500, num_samples=1000, progress_bar=False)
        sampler.run(jax.random.PRNGKey(0), ItemHeads(*map(jnp.asarray, heads)), jnp.asarray(score))
        exact = {name: np.asarray(values) for name, values in sampler.get_samples().items()}
        between = time.perf_counter()
        ability, zeta, p = experts(network, output, heads, score, rng)
        seconds = {"nuts": between - start, "experts": time.perf_counter() - between}
        shift = np.abs(p.mean(axis=0) - exact["p"].mean(axis=0))
        told = {
            "measured": "nuts",
            "queries": queries,
            "llms": arguments.llms,
            "sd_ratio_of_abilities": spread(ability, exact["theta"]),
            "sd_ratio_of_profiles": spread(
                *(one - one.mean(axis=2)[..., None] for one in (ability, exact["theta"]))
            ),
            "sd_ratio_of_general": spread(ability.mean(axis=2), exact["theta"].mean(axis=2)),
            "sd_ratio_of_difficulties": spread(zeta[:, :, 0], exact["zeta"][:, :, 0]),
            "sd_ratio_of_p": spread(p, exact["p"]),
            "difference_of_mean_p": {
                "mean": round(float(shift.mean()), 4),
                "largest": round(float(shift.max()), 4),
            },
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
        }
        record(RESULTS, told)


def experts(
    network: Network, output: np.ndarray, heads: ItemHeads, score: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws of abilities, residuals and probabilities: each by its product of experts at the mean of the other, six times in turn."""
    trials, traits = np.ones_like(score), heads.log_relevance.shape[1]
    ability = np.zeros((score.shape[1], traits))
    for _ in range(6):
        mean, factor = residual_posteriors(network.weights, output, heads, ability, score, trials)
        some = Answered(interaction(network.weights, heads, mean), score, trials)
        found = ability_posteriors(
            network.weights, output, partial(list, [some]), standard_prior(traits), ability
        )
        ability = np.stack([one.mean for one in found])
    drawn = np.stack([one.draw(1000, rng) for one in found], axis=1)
    noise = rng.standard_normal((1000, *mean.shape))
    zeta = mean + np.linalg.solve(np.swapaxes(factor, 1, 2), noise[..., None])[..., 0]
    p = np.stack(
        [
            expit(logit(network.weights, output, interaction(network.weights, heads, z), theta))
            for z, theta in zip(zeta, drawn, strict=True)
        ]
    )
    return drawn, zeta, p


def spread(draws: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """SD of draws relative to that of exact ones: mean, and quantiles over the quantities."""
    ratio = draws.std(axis=0) / exact.std(axis=0)
    found = {"mean": ratio.mean(), "5%": np.quantile(ratio, 0.05), "95%": np.quantile(ratio, 0.95)}
    return {name: round(float(value), 3) for name, value in found.items()}


def bank(model: Path) -> tuple[Network, Interaction, np.ndarray]:
    """The first network of a model, its fitted queries with settled residuals, its mean output weights."""
    posterior = load(model)
    network = ensemble(posterior)[0]
    return network, settled_items(network, posterior.tree[ITEMS].to_dataset(), 0), network.output.mean(axis=0)


def answered(
    network: Network,
    at: Interaction,
    output: np.ndarray,
    theta: np.ndarray,
    answers: int,
    rng: np.random.Generator,
) -> tuple[Interaction, np.ndarray]:
    """Random fitted queries, and what an LLM of this ability answers."""
    asked = rng.choice(len(at.slope), min(answers, len(at.slope)), replace=False)
    some = Interaction(at.slope[asked], at.offset[asked])
    p = 1 / (1 + np.exp(-logit(network.weights, output, some, theta[None])[:, 0]))
    return some, (rng.random(len(asked)) < p).astype(np.float64)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))

"""Everything that is drawn given one trained network: abilities, last weights, the fitted queries' residuals. In blocks of queries."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from bayes_irt_router.inference.last_layer import centred_draws, level_precision
from bayes_irt_router.inference.pareto_smoothing import smoothed_weights
from bayes_irt_router.irt.ability_posterior import (
    Answered,
    NormalAbility,
    ability_posteriors,
    log_likelihood,
    proposed_points,
    standard_prior,
)
from bayes_irt_router.irt.neural_items import rows
from bayes_irt_router.irt.nirt import (
    NIRT,
    RESIDUALS,
    ItemHeads,
    QueryInputs,
    abilities,
    hidden_layer,
    interaction,
    item_heads,
    network_input,
)

BLOCK = 512  # queries at once, when all of them are gone through
FITTED_STEPS = 4  # of placing fitted LLMs, which starts where training left them
POINTS = 200  # by which the posterior of each fitted LLM's abilities is judged


def network_posterior(
    model: NIRT,
    weights: dict[str, np.ndarray],
    inputs: QueryInputs,
    score: Float[np.ndarray, "query llm"],
    trials: Float[np.ndarray, "query llm"],
    surface: int,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Everything that is drawn given one network, and the fitted queries' heads and residuals.

    The network's own weights are known, as training left them; a posterior have the abilities, the output weights ``v`` (the guide's), the
    last weights of the difficulty head, and the residuals. Beside what is returned, memory does not grow with the queries.

    Args:
        model: its sizes and scales.
        weights: of the network, those of the guide included.
        inputs: of the queries.
        score: mean scores; 0 where there is none.
        trials: numbers of answers.
        surface: how many of the features are of the surface.
        draws: how many.
        rng: of the draws.

    Returns:
        ``ability`` (draw, llm, trait), ``output`` (draw, unit), ``level_weight`` (draw, input), the heads by name, ``residual_mean`` and
        ``residual_factor`` (of the precision), and ``k_hat`` (llm) of the normal posteriors of ability against the network's likelihood.
    """
    output = np.exp(weights["output_loc"])
    ability = abilities(weights["general_loc"], weights["specific_loc"])
    parts = []
    for block in _blocks(len(score)):
        some = QueryInputs(*(values[block] for values in inputs))
        parts.append(item_heads(model, weights, some, hidden_layer(weights, network_input(some))))
    heads = ItemHeads(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    mean, factor = residual_posteriors(weights, output, heads, ability, score, trials)

    def answered() -> Iterator[Answered]:
        for block in _blocks(len(score)):
            yield Answered(interaction(weights, rows(heads, block), mean[block]), score[block], trials[block])

    prior = standard_prior(model.traits)
    placed = ability_posteriors(weights, output, answered, prior, ability, FITTED_STEPS)
    drawn = np.stack([one.draw(draws, rng) for one in placed], axis=1)
    log_output = weights["output_loc"] + np.exp(weights["output_log_scale"]) * rng.standard_normal(
        (draws, model.units)
    )
    return {
        "ability": drawn,
        "output": np.exp(log_output),
        "level_weight": centred_draws(
            _level_precision(model, weights, inputs, heads.difficulty_sd, factor, surface), draws, rng
        ),
        **heads._asdict(),
        "residual_mean": mean,
        "residual_factor": factor,
        "k_hat": _k_hats(weights, output, answered, placed, prior, rng),
    }


def residual_posteriors(
    weights: dict[str, np.ndarray],
    output: Float[np.ndarray, " unit"],
    heads: ItemHeads,
    ability: Float[np.ndarray, "llm trait"],
    score: Float[np.ndarray, "query llm"],
    trials: Float[np.ndarray, "query llm"],
) -> tuple[Float[np.ndarray, "query residual"], Float[np.ndarray, "query residual residual"]]:
    """Means, and Cholesky factors of the precisions, of the fitted queries' residuals, at the mean of everything else.

    The mean is that of the product of experts; the precision is the curvature of the likelihood there (Laplace). The experts' own, of a
    bound, is too large: with it SDs were 0.8 of the exact ones.

    Args:
        weights: of the network.
        output: ``v``.
        heads: of the queries.
        ability: of the LLMs.
        score: mean scores; 0 where there is none.
        trials: numbers of answers.
    """
    import jax
    import jax.numpy as jnp

    from bayes_irt_router.inference.neural_model import Batch, residual_laplace

    # All arrays are arguments: those that a compiled function closes over may be gone when it runs.
    @jax.jit
    def some(weights: Any, output: Any, ability: Any, heads: Any, score: Any, trials: Any) -> Any:
        batch = Batch(cast(QueryInputs, None), score, trials)  # heads are given; no one looks at the inputs
        mean, factor = residual_laplace(weights, output, heads, ability, batch)
        zero, size = jnp.zeros_like(mean[:, 0]), len(RESIDUALS)
        filled = [[factor[i][k] if k <= i else zero for k in range(size)] for i in range(size)]
        return mean, jnp.stack([jnp.stack(row, axis=-1) for row in filled], axis=-2)

    count = len(score)
    padded = min(BLOCK, count)
    means = np.empty((count, len(RESIDUALS)), dtype=np.float32)
    factors = np.empty((count, len(RESIDUALS), len(RESIDUALS)), dtype=np.float32)
    with jax.enable_x64(False):
        known = jax.tree.map(lambda values: np.asarray(values, np.float32), (weights, output, ability))
        for block in _blocks(count, padded):
            at = np.minimum(
                np.arange(block.start, block.start + padded), count - 1
            )  # one shape, compiled once
            given = [np.asarray(values[at], np.float32) for values in (*heads, score, trials)]
            mean, factor = some(*known, ItemHeads(*given[:-2]), *given[-2:])
            kept = min(padded, count - block.start)
            means[block], factors[block] = np.asarray(mean)[:kept], np.asarray(factor)[:kept]
    return means, factors


def _level_precision(
    model: NIRT,
    weights: dict[str, np.ndarray],
    inputs: QueryInputs,
    difficulty_sd: Float[np.ndarray, " query"],
    factor: Float[np.ndarray, "query residual residual"],
    surface: int,
) -> Float[np.ndarray, "input input"]:
    """Of the difficulty head's last weights."""
    from bayes_irt_router.inference.neural_model import prior_sds

    def told() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for block in _blocks(len(difficulty_sd)):
            some = QueryInputs(*(values[block] for values in inputs))
            hidden = hidden_layer(weights, network_input(some))
            own = factor[block].astype(np.float64)
            columns = np.concatenate([hidden, some.features], axis=1).astype(np.float64)
            yield columns, difficulty_sd[block].astype(np.float64), own @ np.swapaxes(own, 1, 2)

    hidden_sd, feature_sd = prior_sds(model, inputs.features.shape[1], surface)
    return level_precision(told(), np.concatenate([np.full(model.hidden, hidden_sd), feature_sd]))


def _k_hats(
    weights: dict[str, np.ndarray],
    output: Float[np.ndarray, " unit"],
    answered: Any,
    placed: list[NormalAbility],
    prior: NormalAbility,
    rng: np.random.Generator,
) -> Float[np.ndarray, " llm"]:
    """Pareto shapes of the weights that would correct each LLM's normal posterior, given the network and its settled queries."""
    proposed = [proposed_points(one, prior, POINTS, rng) for one in placed]
    log_weight = np.stack([log_ratio for _, log_ratio in proposed])
    for at, score, trials in answered():
        for j, (points, _) in enumerate(proposed):
            log_weight[j] += log_likelihood(weights, output, at, score[:, j], trials[:, j], points)
    return smoothed_weights(log_weight)[1]


def _blocks(count: int, size: int = BLOCK) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]

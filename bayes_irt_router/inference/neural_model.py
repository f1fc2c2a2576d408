"""The NIRT as a NumPyro program, and its amortised guide: the only place where its priors are written."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_irt_router.inference.product_of_experts import (
    STEPS,
    Factor,
    apply_transposed,
    gaussian_posterior,
    laplace_factor,
    solve_transposed,
)
from bayes_irt_router.irt.nirt import (
    NIRT,
    RESIDUALS,
    ItemHeads,
    QueryInputs,
    abilities,
    hidden_layer,
    interaction,
    item_heads,
    logit,
    logit_and_slope,
    network_input,
)

Arrays = dict[str, Any]

KEPT_STEPS = 12  # of finding the residuals that are kept; steep logits take more than the guide's three
INPUT_DROPOUT = 1 / 3  # of the hidden layer's dropout
OUTPUT_LOG_MEAN, OUTPUT_LOG_SD = -1.0, 1.0  # prior of log v
GLOBAL_SITES = ("general", "specific", "output")


class Batch(NamedTuple):
    """Queries with their answers; 0 trials where there is none. Shapes (query, ...), (query, llm), (query, llm).

    ``key`` is of the dropout, the same for model and guide; without one nothing is dropped.
    """

    inputs: QueryInputs
    score: Any
    trials: Any
    key: Any = None


class Shape(NamedTuple):
    """Sizes that the program needs: queries fitted, surface features, dropout of the hidden layer."""

    queries: int
    surface: int
    dropout: float


class SmallGaussian(dist.Distribution):
    """A Gaussian of few dimensions, known by the Cholesky factor of its precision, for many rows at once."""

    support = constraints.real_vector
    reparametrized_params = ["loc"]  # noqa: RUF012  (NumPyro's own interface)

    def __init__(self, loc: Any, factor: Factor) -> None:
        self.loc, self.factor = loc, factor
        super().__init__(loc.shape[:-1], loc.shape[-1:])

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Reparametrised draws."""
        noise = jax.random.normal(key, sample_shape + self.loc.shape)
        return self.loc + solve_transposed(self.factor, noise)

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        """Log density."""
        white = apply_transposed(self.factor, value - self.loc)
        log_volume = sum(jnp.log(self.factor[i][i]) for i in range(len(self.factor)))
        return log_volume - 0.5 * (white**2 + np.log(2 * np.pi)).sum(-1)


def initial_weights(
    model: NIRT, key: Any, inputs: int, features: int, mean_logit: float, ability: Any
) -> Arrays:
    """Starting values of every parameter, those of the guide included.

    Args:
        model: its sizes.
        key: of the random ones.
        inputs: columns of the network's input.
        features: columns of phi.
        mean_logit: of the scores; difficulty starts at its negative.
        ability: crude general abilities, standardised, shape (llm,).
    """
    keys = jax.random.split(key, 7)
    normal = jax.random.normal
    bias = jnp.zeros(model.heads).at[0].set(-0.5 * mean_logit).at[1 + model.factors].set(0.5)
    llms = len(ability)
    return {
        "network_in": normal(keys[0], (inputs, model.hidden)) / inputs**0.5,
        "network_bias": jnp.zeros(model.hidden),
        "network_out": 0.1 * normal(keys[1], (model.hidden, model.heads)) / model.hidden**0.5,
        "skip": 0.01 * normal(keys[2], (features, model.heads)),
        "head_bias": bias,
        "difficulty_loading": 0.3 * normal(keys[3], (model.traits, model.factors)),
        "residual_log_sd": jnp.array([-0.5, -1.5]),
        "relevance_residual": 0.3 * normal(keys[4], (model.traits,)),
        "interaction_log_weight": 0.5 * normal(keys[5], (model.units, model.traits)) - 1.0,
        "interaction_bias": normal(keys[6], (model.units,)),
        "interaction_log_skip": jnp.array(0.0),
        "general_loc": jnp.asarray(ability, dtype=jnp.float32),
        "general_log_scale": jnp.full((llms,), -2.0),
        "specific_loc": jnp.zeros((llms, model.traits)),
        "specific_log_scale": jnp.full((llms, model.traits), -0.7),
        "output_loc": jnp.full((model.units,), -2.0),
        "output_log_scale": jnp.full((model.units,), -2.0),
    }


def log_prior(model: NIRT, weights: Arrays, surface: int) -> Any:
    """Log density of the networks' weights, up to a constant: their point estimate is the posterior mode."""
    inputs, features = weights["network_in"].shape[0], weights["skip"].shape[0]
    priors = weight_priors(model, inputs, features, surface)
    return -0.5 * sum((((weights[name] - mean) / sd) ** 2).sum() for name, (mean, sd) in priors.items())


def weight_priors(model: NIRT, inputs: int, features: int, surface: int) -> dict[str, tuple[Any, Any]]:
    """Mean and SD of the normal prior of each of the networks' weights that has one, to be broadcast to its shape.

    Of the linear heads the prior is the MIRT's, in SDs of ability: one scale for the surface features, one for the kernel. The hidden
    layer's is the one under which a wide network is a Gaussian process of SD ``network_scale`` (Neal, 1996).

    Args:
        model: its sizes and scales.
        inputs: columns of the network's input.
        features: columns of phi.
        surface: how many of them, the first, are surface features.
    """
    relative = np.concatenate(
        [
            [1.0],
            np.full(model.factors, 0.5),
            [model.discrimination_scale],
            np.full(model.traits, model.relevance_scale),
        ]
    )
    hidden_sd, feature_sd = prior_sds(model, features, surface)
    return {
        "skip": (0.0, feature_sd[:, None] * relative),
        "network_out": (0.0, hidden_sd * relative),
        "network_in": (0.0, inputs**-0.5),
        "difficulty_loading": (0.0, 1.0),
        "relevance_residual": (0.0, 0.5),
        "interaction_log_weight": (-1.0, 1.0),
        "interaction_bias": (0.0, 2.0),
        "interaction_log_skip": (0.0, 1.0),
        "head_bias": (0.0, 2.0),
        "residual_log_sd": (np.array([0.0, -1.2]), 0.8),
    }


def prior_sds(model: NIRT, features: int, surface: int) -> tuple[float, np.ndarray]:
    """Prior SDs of the difficulty head's weights: of the hidden units, and of each feature."""
    column = np.where(np.arange(features) < surface, model.surface_scale, model.kernel_scale)
    return model.network_scale / model.hidden**0.5, column


def generative(model: NIRT, shape: Shape, weights: Arrays, batch: Batch) -> None:
    """p(answers, abilities, residuals): as :class:`NIRT` has it, for a minibatch that stands for all queries."""
    llms = batch.score.shape[1]
    numpyro.factor("network_prior", log_prior(model, weights, shape.surface))
    general = numpyro.sample("general", dist.Normal(jnp.zeros(llms), 1.0).to_event(1))
    specific = numpyro.sample("specific", dist.Normal(jnp.zeros((llms, model.traits)), 1.0).to_event(2))
    log_output = dist.Normal(jnp.full(model.units, OUTPUT_LOG_MEAN), OUTPUT_LOG_SD).to_event(1)
    output = jnp.exp(numpyro.sample("output", log_output))
    heads = dropped_heads(model, weights, batch.inputs, shape.dropout, batch.key)
    size = len(batch.score)
    with numpyro.plate("query", size), numpyro.handlers.scale(scale=shape.queries / size):
        residual = numpyro.sample("residual", dist.Normal(jnp.zeros(len(RESIDUALS)), 1.0).to_event(1))
        found = logit(weights, output, interaction(weights, heads, residual), abilities(general, specific))
        numpyro.factor("answers", log_likelihood(found, batch).sum(-1))


def guide(model: NIRT, shape: Shape, weights: Arrays, batch: Batch) -> None:
    """q: normal abilities and log output weights; residuals by the product of experts, given what was drawn of the rest."""
    loc, scale = (
        {name: weights[f"{name}_loc"] for name in GLOBAL_SITES},
        {name: jnp.exp(weights[f"{name}_log_scale"]) for name in GLOBAL_SITES},
    )
    general = numpyro.sample("general", dist.Normal(loc["general"], scale["general"]).to_event(1))
    specific = numpyro.sample("specific", dist.Normal(loc["specific"], scale["specific"]).to_event(2))
    output = jnp.exp(numpyro.sample("output", dist.Normal(loc["output"], scale["output"]).to_event(1)))
    heads = dropped_heads(model, weights, batch.inputs, shape.dropout, batch.key)
    mean, factor = residual_posterior(weights, output, heads, abilities(general, specific), batch)
    size = len(batch.score)
    with numpyro.plate("query", size), numpyro.handlers.scale(scale=shape.queries / size):
        numpyro.sample("residual", SmallGaussian(mean, factor))


def residual_posterior(
    weights: Arrays, output: Any, heads: ItemHeads, ability: Any, batch: Batch, steps: int = STEPS
) -> tuple[Any, Factor]:
    """q(residuals | query, its answers): means (query, residual), and Cholesky factors of the precisions."""
    return gaussian_posterior(
        lambda z: logit_and_slope(weights, output, heads, z, ability),
        len(RESIDUALS),
        batch.score,
        batch.trials,
        steps,
    )


def residual_laplace(
    weights: Arrays, output: Any, heads: ItemHeads, ability: Any, batch: Batch
) -> tuple[Any, Factor]:
    """The mode, and the likelihood's own curvature there, for the posterior that is kept.

    The guide does without: every look at all answers more is one in every step of the training.
    """
    mean, _ = residual_posterior(weights, output, heads, ability, batch, KEPT_STEPS)
    found, slope = logit_and_slope(weights, output, heads, mean, ability)
    return mean, laplace_factor(found, slope, batch.trials)


def log_likelihood(found: Any, batch: Batch) -> Any:
    """``n (y log p + (1 - y) log(1 - p))`` of each cell; 0 where there is no answer."""
    return batch.trials * (batch.score * found - jax.nn.softplus(found))


def dropped_heads(model: NIRT, weights: Arrays, inputs: QueryInputs, dropout: float, key: Any) -> ItemHeads:
    """Heads with dropout on the network's input and hidden layer; none without a key."""
    entering = network_input(inputs)
    if key is None or dropout == 0:
        return item_heads(model, weights, inputs, hidden_layer(weights, entering))
    first, second = jax.random.split(key)
    hidden = hidden_layer(weights, _dropped(entering, INPUT_DROPOUT * dropout, first))
    return item_heads(model, weights, inputs, _dropped(hidden, dropout, second))


def _dropped(values: Any, share: float, key: Any) -> Any:
    return values * jax.random.bernoulli(key, 1.0 - share, values.shape) / (1.0 - share)

"""The compiled functions of a NIRT's training: a pass of optimiser steps, and the log loss of unseen queries (JAX, NumPyro)."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_irt_router.irt.nirt import NIRT, QueryInputs

if TYPE_CHECKING:
    from bayes_irt_router.inference.neural_model import Shape

Arrays = dict[str, Any]

AVERAGE = 0.98  # of the weights' moving average, which is what is kept
SMALLEST_P = 1e-6


@lru_cache(maxsize=4)
def training_steps(
    model: NIRT, surface: int, queries: int, steps: int, step_size: float, dropout: float
) -> "TrainingSteps":
    """Kept, so that training again on data of the same shape compiles nothing.

    Args:
        model: its sizes and priors.
        surface: how many of the features are of the surface.
        queries: that are fitted, which a minibatch stands for.
        steps: of the whole training, at most.
        step_size: at its largest.
        dropout: of the hidden layer.
    """
    from bayes_irt_router.inference.neural_model import Shape

    return TrainingSteps(model, Shape(queries, surface, dropout), _schedule(step_size, steps))


class TrainingSteps:
    """The compiled functions of one training."""

    def __init__(self, model: NIRT, shape: "Shape", schedule: Callable[[Any], Any]) -> None:
        import jax
        import numpyro

        self.model, self.shape = model, shape
        self.optimiser = numpyro.optim.Adam(schedule, b1=0.9, b2=0.99)
        self.one_pass = jax.jit(self._one_pass)
        self.judge = jax.jit(self._judge)

    def initial(
        self,
        key: Any,
        inputs: QueryInputs,
        score: Float[np.ndarray, "query llm"],
        trials: Float[np.ndarray, "query llm"],
    ) -> Arrays:
        """Starting weights of one network; the general abilities start at the LLMs' logits."""
        from bayes_irt_router.inference.neural_model import initial_weights

        right, count = np.where(trials > 0, score * trials, 0.0).sum(axis=0), trials.sum(axis=0)
        rate = (right + 1.0) / (count + 2.0)
        logit = np.log(rate) - np.log1p(-rate)
        ability = (logit - logit.mean()) / max(float(logit.std()), 0.1)
        features = inputs.features.shape[1]
        return initial_weights(
            self.model, key, inputs.embedding.shape[1] + features, features, float(logit.mean()), ability
        )

    def _one_pass(self, state: Any, average: Arrays, index: Any, key: Any, data: Any) -> tuple[Any, ...]:
        import jax

        from bayes_irt_router.inference.neural_model import Batch, generative, guide

        elbo = _elbo()

        def loss(weights: Arrays, rows: Any, key: Any) -> Any:
            draws, drop = jax.random.split(key)
            inputs, score, trials = _rows(data, rows)
            batch = Batch(inputs, score, trials, drop)
            programs = [partial(program, self.model, self.shape, weights) for program in (generative, guide)]
            return elbo.loss(draws, {}, *programs, batch) / data[-1].sum()

        def step(carry: Any, given: Any) -> tuple[Any, Any]:
            state, average = carry
            found, gradient = jax.value_and_grad(loss)(self.optimiser.get_params(state), *given)
            state = self.optimiser.update(gradient, state)
            moved = jax.tree.map(
                lambda old, new: AVERAGE * old + (1.0 - AVERAGE) * new,
                average,
                self.optimiser.get_params(state),
            )
            return (state, moved), found

        given = (index, jax.random.split(key, len(index)))
        (state, average), losses = jax.lax.scan(step, (state, average), given)
        return state, average, losses.mean()

    def _judge(self, weights: Arrays, index: Any, data: Any) -> Any:
        """Log loss of unseen queries at the mean abilities, residuals integrated out coarsely."""
        import jax.numpy as jnp

        from bayes_irt_router.inference.neural_model import dropped_heads
        from bayes_irt_router.irt.neural_response import expected_p_correct
        from bayes_irt_router.irt.nirt import abilities

        inputs, score, trials = _rows(data, index)
        heads = dropped_heads(self.model, weights, inputs, 0.0, None)
        ability = abilities(weights["general_loc"], weights["specific_loc"])[None]
        level = jnp.zeros((1, len(score)))
        p = expected_p_correct(weights, jnp.exp(weights["output_loc"])[None], heads, ability, level, 3)[0]
        p = jnp.clip(p, SMALLEST_P, 1.0 - SMALLEST_P)
        found = trials * (score * jnp.log(p) + (1.0 - score) * jnp.log1p(-p))
        return -found.sum() / jnp.maximum(trials.sum(), 1.0)


def _rows(data: Any, index: Any) -> tuple[QueryInputs, Any, Any]:
    *inputs, score, trials = (values[index] for values in data)
    return QueryInputs(*inputs), score, trials


def _elbo() -> Any:
    from numpyro.infer import Trace_ELBO

    return Trace_ELBO()


def _schedule(step_size: float, steps: int) -> Callable[[Any], Any]:
    import jax.numpy as jnp

    def at(step: Any) -> Any:
        falling = 0.05 + 0.475 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(step / steps, 1.0)))
        return step_size * jnp.minimum(1.0, (step + 1) / min(50, steps)) * falling

    return at

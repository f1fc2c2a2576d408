"""Training a NIRT: stochastic variational inference over minibatches of queries, several networks side by side (JAX, NumPyro)."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.checkpoint import Checkpoint, fingerprint
from bayes_irt_router.irt.nirt import NIRT, QueryInputs

Arrays = dict[str, Any]

AVERAGE = 0.98  # of the weights' moving average, which is what is kept
MOST_VALIDATION = 1000  # queries a network is judged on
SMALLEST_P = 1e-6


@dataclass(frozen=True)
class Training:
    """Settings of the training.

    Attributes:
        networks: of the ensemble; each has starting weights and validation queries of its own.
        passes: over the queries, at most; in small banks as many as ``steps`` need.
        steps: of the optimiser, at least, while nothing stops it.
        batch: queries a step.
        step_size: of Adam at its largest; it rises over 50 steps and falls along a cosine.
        dropout: of the item network's hidden layer; a third of it of its input.
        validation: share of the queries that a network does not learn from.
        patience: passes without a better validation log loss of any network before training stops.
    """

    networks: int = 4
    passes: int = 40
    steps: int = 240
    batch: int = 256
    step_size: float = 0.02
    dropout: float = 0.3
    validation: float = 0.05
    patience: int = 8

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)}; give at least {least}."
            for name, least in (("networks", 1), ("passes", 1), ("steps", 1), ("batch", 8), ("patience", 1))
            if getattr(self, name) < least
        ]
        if not self.step_size > 0:
            problems.append(f"step_size is {self.step_size}; it must be positive.")
        problems += [
            f"{name} is {getattr(self, name)}; give a share of at least 0 and less than {most}."
            for name, most in (("dropout", 1.0), ("validation", 0.5))
            if not 0 <= getattr(self, name) < most
        ]
        if problems:
            raise InputError(problems)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, for the model folder's JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Trained:
    """What training left.

    Attributes:
        weights: of all networks, those of the guide included; the first dimension is the network.
        loss: negative ELBO for each answer after each pass, shape (pass, network).
        validation: log loss of each network on its validation queries after each pass; NaN without any.
        stopped: whether training ended because nothing got better, or had to (False: it came to its last pass).
        device: what it ran on, in words.
        seconds: wall time, of all runs if it was interrupted.
    """

    weights: dict[str, np.ndarray]
    loss: Float[np.ndarray, "pass network"]
    validation: Float[np.ndarray, "pass network"]
    stopped: bool
    device: str
    seconds: float


def train(
    model: NIRT,
    inputs: QueryInputs,
    score: Float[np.ndarray, "query llm"],
    trials: Float[np.ndarray, "query llm"],
    surface: int,
    settings: Training,
    *,
    seed: int,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> Trained:
    """Maximise the evidence lower bound of answers, for every network of an ensemble.

    A step draws abilities, output weights and residuals from the guide (:mod:`neural_model`), for a minibatch that stands for all
    queries; memory beside the data does not grow with them. What is kept of a network is the moving average of its weights at its best
    validation log loss. Every network leaves other queries out, so that the ensemble learns from all.

    Args:
        model: its sizes and priors.
        inputs: of the queries.
        score: mean scores; anything where there is none.
        trials: numbers of answers; 0 where there is none.
        surface: how many of the features are of the surface.
        settings: of the training.
        seed: of starting values, minibatches, dropout and draws.
        checkpoint: file to write every 20 seconds, and to go on from if it is of the same data and settings; removed at the end.
        progress: whether to show a bar with loss and time left (standard error).
    """
    import jax
    import jax.numpy as jnp

    began = time.perf_counter()
    with jax.enable_x64(False):
        rng = np.random.default_rng([seed, 2])
        inside, outside = _parts(len(score), settings, rng)
        steps = max(1, inside.shape[1] // settings.batch)
        batch = min(settings.batch, inside.shape[1])
        passes = max(settings.passes, -(-settings.steps // steps))
        data = tuple(
            jnp.asarray(values, jnp.float32) for values in (*inputs, np.where(trials > 0, score, 0.0), trials)
        )
        run = _compiled(model, settings, surface, len(score), passes * steps)
        keys = jax.random.split(jax.random.PRNGKey(seed), settings.networks)
        states = []
        for key in keys:
            weights = run.initial(key, inputs, score, trials)
            states.append((run.optimiser.init(weights), weights, weights))
        best_loss = np.full(settings.networks, np.inf)
        history: list[np.ndarray] = []
        done, waited, earlier = 0, 0, 0.0

        saved = Checkpoint(
            checkpoint,
            fingerprint(
                {"model": model.to_dict(), **settings.to_dict()},
                seed,
                [np.where(trials > 0, score, 0.0), trials, *inputs],
            ),
        )
        if (found := saved.read(states)) is not None:
            states, known = found
            best_loss, history = known["best_loss"], list(known["history"])
            done, waited, earlier = int(known["done"]), int(known["waited"]), float(known["seconds"])

        judged = bool(outside.shape[1])
        stopped = False

        def passed(network: int, done: int) -> tuple[Any, float, float]:
            """One network after one more pass. A resumed run goes on as it would have."""
            order = np.random.default_rng([seed, 3, done, network]).permutation(inside[network])
            index = order[: steps * batch].reshape(steps, batch)
            key = jax.random.fold_in(keys[network], done + 1)
            state, average, best = states[network]
            with jax.enable_x64(False):  # a thread does not inherit it
                state, average, loss = run.one_pass(state, average, index, key, data)
                found = float(run.judge(average, outside[network], data)) if judged else np.nan
            if not judged or found < best_loss[network]:
                best = average
            return (state, average, best), float(loss), found

        # Each network is a program of its own: side by side on the cores they are several times faster than as one batched program.
        with (
            _bar(progress, passes, done) as show,
            ThreadPoolExecutor(min(settings.networks, os.cpu_count() or 1)) as pool,
        ):
            while done < passes and not stopped:
                side_by_side = pool.map if history else map  # the first pass compiles, which needs doing once
                found_all = list(side_by_side(partial(passed, done=done), range(settings.networks)))
                states = [one[0] for one in found_all]
                loss, validation = (np.array([one[k] for one in found_all]) for k in (1, 2))
                if not np.isfinite(loss).all():
                    raise InputError(
                        "Training diverged (the loss is not a number); choose a smaller step size."
                    )
                done += 1
                better = validation < best_loss
                waited = 0 if better.any() or not judged else waited + 1
                best_loss = np.where(better, validation, best_loss)
                history.append(np.stack([loss, validation]))
                stopped = judged and waited >= settings.patience
                show(float(loss.mean()), float(validation.mean()))
                saved.write(
                    states,
                    {
                        "best_loss": best_loss,
                        "history": np.stack(history),
                        "done": np.array(done),
                        "waited": np.array(waited),
                        "seconds": np.array(earlier + time.perf_counter() - began),
                    },
                )
        kept = {name: np.stack([np.asarray(one[2][name]) for one in states]) for name in states[0][2]}
        device = jax.devices()[0]
        saved.remove()
    table = np.stack(history)
    named = "CPU" if device.platform == "cpu" else str(device.device_kind)
    return Trained(kept, table[:, 0], table[:, 1], stopped, named, earlier + time.perf_counter() - began)


@lru_cache(maxsize=4)
def _compiled(model: NIRT, settings: Training, surface: int, queries: int, steps: int) -> "_Run":
    """Kept, so that training again on data of the same shape compiles nothing."""
    return _Run(model, settings, surface, queries, steps)


class _Run:
    """The compiled functions of one training."""

    def __init__(self, model: NIRT, settings: Training, surface: int, queries: int, steps: int) -> None:
        import jax
        import numpyro

        from bayes_irt_router.inference.neural_model import Shape

        self.model, self.settings = model, settings
        self.shape = Shape(queries, surface, settings.dropout)
        self.optimiser = numpyro.optim.Adam(_schedule(settings.step_size, steps), b1=0.9, b2=0.99)
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


def _parts(
    queries: int, settings: Training, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "network inside"], Int[np.ndarray, "network outside"]]:
    """Queries that each network learns from, and those it is judged on: different ones while there are enough."""
    held = min(round(settings.validation * queries), MOST_VALIDATION)
    order = rng.permutation(queries)
    rolled = [np.roll(order, -network * held) for network in range(settings.networks)]
    return np.stack([row[held:] for row in rolled]), np.stack([row[:held] for row in rolled])


@contextmanager
def _bar(progress: bool, passes: int, done: int) -> Iterator[Callable[[float, float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("Training", total=passes, completed=done)

        def show(loss: float, validation: float) -> None:
            told = f"Training: loss {loss:.3f}"
            if np.isfinite(validation):
                told += f", validation log loss {validation:.4f}"
            bar.update(task, advance=1, description=told)

        yield show

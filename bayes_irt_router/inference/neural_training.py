"""Training a NIRT: stochastic variational inference over minibatches of queries, several networks side by side (JAX, NumPyro)."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.checkpoint import Checkpoint, fingerprint
from bayes_irt_router.inference.training_steps import training_steps
from bayes_irt_router.irt.nirt import NIRT, QueryInputs

MOST_VALIDATION = 1000  # queries a network is judged on
PASSES = 40  # at most, unless a bank is so small that its steps need more


@dataclass(frozen=True)
class Training:
    """Settings of the training.

    Attributes:
        networks: of the ensemble; each has starting weights and validation queries of its own.
        passes: over the queries, at most; None: 40, or in small banks as many as ``steps`` need.
        steps: of the optimiser, at least, where ``passes`` is None and nothing stops it.
        batch: queries a step.
        step_size: of Adam at its largest; it rises over 50 steps and falls along a cosine.
        dropout: of the item network's hidden layer; a third of it of its input.
        validation: share of the queries that a network does not learn from.
        patience: passes without a better validation log loss of any network before training stops.
    """

    networks: int = 4
    passes: int | None = None
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
            if getattr(self, name) is not None and getattr(self, name) < least
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

    def most_passes(self, steps: int) -> int:
        """How many passes there are at most, where a pass has so many steps.

        >>> Training().most_passes(3), Training(passes=10).most_passes(3)
        (80, 10)
        """
        return max(PASSES, -(-self.steps // steps)) if self.passes is None else self.passes

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
        stopped: whether training ended because nothing got better (False: it came to its last pass).
        passes: that there could have been, at most.
        judged: queries that each network was judged on.
        device: what it ran on, in words.
        seconds: wall time, of all runs if it was interrupted.
    """

    weights: dict[str, np.ndarray]
    loss: Float[np.ndarray, "pass network"]
    validation: Float[np.ndarray, "pass network"]
    stopped: bool
    passes: int
    judged: int
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
        checkpoint: file to write every 20 seconds and at the end, and to go on from; it stays, to be removed when the result is kept.
        progress: whether to show a bar with loss and time left (standard error).

    Raises:
        InputError: training diverged, or at the checkpoint's place is something else, or a checkpoint of other data or settings.
    """
    import jax
    import jax.numpy as jnp

    began = time.perf_counter()
    with jax.enable_x64(False):
        rng = np.random.default_rng([seed, 2])
        inside, outside = _parts(len(score), settings, rng)
        steps = max(1, inside.shape[1] // settings.batch)
        batch = min(settings.batch, inside.shape[1])
        passes = settings.most_passes(steps)
        data = tuple(
            jnp.asarray(values, jnp.float32) for values in (*inputs, np.where(trials > 0, score, 0.0), trials)
        )
        run = training_steps(model, surface, len(score), passes * steps, settings.step_size, settings.dropout)
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
        stopped = judged and waited >= settings.patience

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
                        f"Training diverged (in pass {done + 1} the loss is not a number); choose a smaller step size than "
                        f"{settings.step_size:g}, such as --step-size {settings.step_size / 4:g}."
                    )
                done += 1
                better = validation < best_loss
                waited = 0 if better.any() or not judged else waited + 1
                best_loss = np.where(better, validation, best_loss)
                history.append(np.stack([loss, validation]))
                stopped = judged and waited >= settings.patience
                show(float(loss.mean()), float(validation.mean()))
                known = {
                    "best_loss": best_loss,
                    "history": np.stack(history),
                    "done": np.array(done),
                    "waited": np.array(waited),
                    "seconds": np.array(earlier + time.perf_counter() - began),
                }
                saved.write(states, known, now=stopped or done == passes)
        kept = {name: np.stack([np.asarray(one[2][name]) for one in states]) for name in states[0][2]}
        device = jax.devices()[0]
    table = np.stack(history)
    named = "CPU" if device.platform == "cpu" else str(device.device_kind)
    seconds = earlier + time.perf_counter() - began
    return Trained(kept, table[:, 0], table[:, 1], stopped, passes, outside.shape[1], named, seconds)


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

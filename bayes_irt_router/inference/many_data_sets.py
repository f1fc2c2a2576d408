"""One model, many data sets: all of them through NumPyro's NUTS in one compiled program."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from bayes_irt_router.inference.nuts import NUTS

CHUNK = 4  # chains that a CPU core takes before the progress bar moves
LANES = 256  # chains that run side by side in one program on an accelerator

type Arrays = dict[str, Any]
"""Arrays (NumPy or JAX) by the name of a variable."""


def sample_many(
    log_density: Callable[[Arrays, Arrays], Any],
    starts: Arrays,
    inputs: Arrays,
    sampler: NUTS,
    keep_draws: int,
    rng: np.random.Generator,
    progress: bool,
) -> tuple[Arrays, Arrays]:
    """Draw from the posteriors of many data sets that share a model, in JAX's current precision.

    On CPUs every core takes one chain after the other; on an accelerator many run side by side.

    Args:
        log_density: (point, inputs) to the log density, up to a constant.
        starts: where the chains start, shape (replication, chain, ...), in the sampler's space.
        inputs: what differs between the data sets, shape (replication, ...).
        sampler: settings; the chains' number is that of ``starts``.
        keep_draws: draws kept of each replication, evenly spaced over those of its chains.
        rng: seeds the chains.
        progress: whether to show a progress bar (standard error).

    Returns:
        Points, shape (replication, draw, ...), chain after chain; and the means over each replication's draws
        after the warm-up of ``divergent`` and ``leapfrog_steps``, shape (replication,).
    """
    import jax
    from numpyro.infer.hmc import hmc
    from rich.console import Console
    from rich.progress import track

    init, step = hmc(potential_fn_gen=lambda given: lambda point: -log_density(point, given), algo="NUTS")
    replications, chains = next(iter(starts.values())).shape[:2]
    kept = keep_draws // chains
    thin = sampler.draws // kept
    warm = -(-sampler.tune // thin)  # blocks of `thin` transitions

    def run(start: Arrays, given: Arrays, key: Any) -> tuple[Arrays, Any, Any]:
        state = init(
            start,
            warm * thin,
            target_accept_prob=sampler.target_accept,
            trajectory_length=None,
            max_tree_depth=sampler.max_tree_depth,
            model_args=(given,),
            rng_key=key,
        )

        def once(_: Any, carry: Any) -> Any:
            state, divergent, steps = carry
            state = step(state, (given,))
            return state, divergent + state.diverging, steps + state.num_steps

        def thinned(state: Any, _: Any) -> Any:
            state, divergent, steps = jax.lax.fori_loop(0, thin, once, (state, 0, 0))
            return state, (state.z, divergent, steps)

        # One loop for the warm-up and the draws, so that the transition is compiled once.
        _, traced = jax.lax.scan(thinned, state, length=warm + kept)
        points, divergent, steps = jax.tree.map(lambda values: values[warm:], traced)
        return points, divergent.sum() / sampler.draws, steps.sum() / sampler.draws

    devices = jax.devices()
    if devices[0].platform == "cpu":
        devices = devices[: os.cpu_count()]  # PyMC asks XLA for a hundred
    # A CPU core takes one chain after the other: side by side in one program, each would wait for the longest
    # trajectory.
    together = None if devices[0].platform == "cpu" else LANES
    mesh = jax.sharding.Mesh(np.array(devices), ("chain",))
    spec = jax.sharding.PartitionSpec("chain")  # type: ignore[no-untyped-call]
    run_all = jax.jit(
        jax.shard_map(
            lambda *chains: jax.lax.map(lambda chain: run(*chain), chains, batch_size=together),
            mesh=mesh,
            in_specs=spec,
            out_specs=spec,
            check_vma=False,
        )
    )

    total = replications * chains
    width = len(devices) * (
        CHUNK if together is None else together
    )  # chains between two ticks of the progress bar
    keys = jax.random.split(jax.random.key(int(rng.integers(2**31))), total)
    flat = {name: value.reshape(total, *value.shape[2:]) for name, value in starts.items()}
    results = []
    bar = track(
        range(0, total, width),
        "Calibrating",
        console=Console(stderr=True),
        disable=not progress,
        transient=True,
    )
    for first in bar:
        chosen = np.minimum(np.arange(first, first + width), total - 1)  # the last call is filled up
        given = {name: value[chosen // chains] for name, value in inputs.items()}
        out = run_all({name: value[chosen] for name, value in flat.items()}, given, keys[chosen])
        results.append(jax.tree.map(np.asarray, out))
    points, divergent, steps = jax.tree.map(lambda *parts: np.concatenate(parts)[:total], *results)
    shape = (replications, keep_draws)
    return (
        {name: value.reshape(*shape, *value.shape[2:]) for name, value in points.items()},
        {
            "divergent": divergent.reshape(replications, chains).mean(axis=1),
            "leapfrog_steps": steps.reshape(replications, chains).mean(axis=1),
        },
    )

"""Sampling a PyMC model with NUTS on whatever JAX finds."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    import pymc as pm

LARGE_BANK = 20_000  # answers


@dataclass(frozen=True)
class NUTS:
    """Settings of the No-U-Turn sampler (Hoffman and Gelman, 2014).

    Attributes:
        draws: kept draws of each chain.
        tune: warm-up draws of each chain, thrown away.
        chains: independent chains; the convergence gate asks for at least 4.
        target_accept: the acceptance rate that the step size is tuned to; by default :meth:`for_answers` chooses it. Raise it when the
            convergence gate finds divergent draws.
        max_tree_depth: a trajectory has at most ``2**max_tree_depth - 1`` leapfrog steps. Trajectories of the MIRT reach the cap:
            its thousands of prior-dominated residuals turn around late. A higher cap costs more than it brings in effective draws.
        backend: ``numpyro`` (JAX, CPU or GPU) or ``nutpie`` (needs the extra of that name; CPU, double precision).
    """

    draws: int = 2000
    tune: int = 500
    chains: int = 4
    target_accept: float | None = None
    max_tree_depth: int = 7
    backend: Literal["numpyro", "nutpie"] = "numpyro"

    def __post_init__(self) -> None:
        problems = []
        for name in ("draws", "tune", "chains"):
            if getattr(self, name) < 1:
                problems.append(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.target_accept is not None and not 0.0 < self.target_accept < 1.0:
            problems.append(f"target_accept is {self.target_accept}; it must lie between 0 and 1.")
        if not 1 <= self.max_tree_depth <= 10:
            problems.append(f"max_tree_depth is {self.max_tree_depth}; it must lie between 1 and 10.")
        if self.backend not in ("numpyro", "nutpie"):
            problems.append(f"There is no backend {self.backend}; choose numpyro or nutpie.")
        if problems:
            raise InputError(problems)

    def for_answers(self, answers: int) -> "NUTS":
        """The same settings with an acceptance rate, 0.5 from 20,000 answers on and 0.9 below, unless one is set.

        In large banks trajectories are cut off by their number of steps, so longer steps are longer trajectories, and the slowest
        quantities gain the most. The rate that is attained is higher than the one asked for, because the step size is an average
        over a short end of the warm-up: 0.87 where 0.7 is asked for, and with 0.5 about 0.66, near the optimum of many dimensions
        (0.65; Beskos et al., 2013). In small ones little tells a residual's SD from zero, and long steps diverge there: of the draws
        from a bank of 300 queries x 15 LLMs 1.1 % did at 0.7, and 0.1 % at 0.9.

        >>> NUTS().for_answers(4_500).target_accept
        0.9
        """
        if self.target_accept is not None:
            return self
        return replace(self, target_accept=0.5 if answers >= LARGE_BANK else 0.9)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, for the model folder's JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Sampled:
    """Draws, sampler statistics, and how they came about.

    Attributes:
        posterior: draws, dims (chain, draw, ...).
        sample_stats: ``diverging``, ``n_steps``, ``lp`` and others, dims (chain, draw).
        device: what it ran on, in words.
        seconds: wall time of compiling and sampling.
    """

    posterior: xr.Dataset
    sample_stats: xr.Dataset
    device: str
    seconds: float


def sample_nuts(
    build: Callable[[], "pm.Model"],
    starts: list[dict[str, np.ndarray]],
    keep: list[str],
    sampler: NUTS,
    *,
    seed: int,
    progress: bool = True,
) -> Sampled:
    """Build a model and draw from its posterior.

    With NumPyro everything is in single precision: the same model in double precision costs more than twice the time, and the
    energy error of a trajectory stays far below one. On a CPU the chains run side by side, a thread each; on a GPU they run as
    one vectorised program.

    Args:
        build: makes the PyMC model; called once, in the precision that the backend wants.
        starts: a starting point for each chain, values by the name of the free variable.
        keep: names of the variables to return.
        sampler: settings; without an acceptance rate, that of a small bank.
        seed: of the sampler.
        progress: whether to show a progress bar (standard error).

    Raises:
        InputError: the backend nutpie is not installed.
    """
    import pymc as pm
    import pytensor

    sampler = sampler.for_answers(0)
    single = sampler.backend == "numpyro"
    started = time.perf_counter()
    with precision("float32" if single else "float64"), warnings.catch_warnings():
        if single:
            # PyMC asks JAX for integer seeds in double precision, gets single, and JAX says so on every call.
            warnings.filterwarnings("ignore", message="Explicitly requested dtype", category=UserWarning)
            chain_method, device = _layout(sampler.chains)
            options = {
                "target_accept": sampler.target_accept,
                "max_tree_depth": sampler.max_tree_depth,
                "chain_method": chain_method,
                "jitter": False,  # the starting points are dispersed already
            }
            initvals: Any = starts
        else:
            _require_nutpie()
            options = {"target_accept": sampler.target_accept, "maxdepth": sampler.max_tree_depth}
            initvals, device = starts[0], "CPU (nutpie)"  # nutpie takes one point and jitters it itself
        model = build()
        floatX = pytensor.config.floatX
        cast = [{k: np.asarray(v, floatX) for k, v in start.items()} for start in starts]
        tree = pm.sample(
            draws=sampler.draws,
            tune=sampler.tune,
            chains=sampler.chains,
            random_seed=seed,
            model=model,
            nuts_sampler=sampler.backend,
            initvals=cast if single else initvals,
            var_names=keep,
            progressbar=progress,
            quiet=not progress,  # it silences the progress bars too
            compute_convergence_checks=False,
            nuts=options,
        )
    stats = tree["sample_stats"].to_dataset()
    return Sampled(tree["posterior"].to_dataset(), stats, device, time.perf_counter() - started)


@contextmanager
def precision(floatX: str) -> Iterator[None]:
    """PyTensor and JAX in one precision, for the time of a fit."""
    import jax
    import pytensor

    with pytensor.config.change_flags(floatX=floatX):
        import pymc.sampling.jax  # noqa: F401  (sets JAX's global precision when first imported, so before our own setting)

        with jax.enable_x64(floatX == "float64"):
            yield


def _layout(chains: int) -> tuple[Literal["parallel", "vectorized"], str]:
    """How to lay the chains out on JAX's devices, and the device in words."""
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        # PyMC asks XLA for many host devices, unless JAX was in use before; with one only, chains side by side must share it.
        side_by_side = jax.local_device_count() >= chains
        return ("parallel", "CPU, a thread a chain") if side_by_side else ("vectorized", "CPU, one program")
    return "vectorized", f"{device.device_kind}, chains vectorised"


def _require_nutpie() -> None:
    try:
        import nutpie  # noqa: F401
    except ImportError:
        raise InputError(
            'The backend nutpie is not installed; pip install "bayes_irt_router[nutpie]" or choose numpyro.'
        ) from None

"""The verdict on a NIRT's training: whether it came to rest, and how far its networks agree."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayes_irt_router.inference.diagnostics import NETWORK_SPREAD, ConvergenceGate
from bayes_irt_router.inference.neural_training import Trained
from bayes_irt_router.inference.pareto_smoothing import LARGEST_K_HAT

STILL_FALLING = 0.001  # of the validation log loss, over the last tenth of the passes
GENERAL, NAMED = "general ability", "named ability"


def training_gate(
    trained: Trained,
    llms: Sequence[str],
    traits: Sequence[str],
    ability: Sequence[Float[np.ndarray, "draw llm trait"]],
    k_hat: Float[np.ndarray, " llm"],
) -> ConvergenceGate:
    """The verdict on a training: it must have come to rest, and the normal posteriors of ability must be near the networks' own.

    It has not if there were no queries to judge it on; if a network's validation log loss was never lower than after its first pass; or
    if passes ran out while the validation log loss, the mean over networks, still fell by more than 0.001 over the last tenth of them.
    The normal posterior of each LLM's abilities is held against the network's likelihood: k-hat of the importance weights that would
    correct it must not be above 0.7.

    The table has :func:`network_spread` of each LLM's general ability (the mean of its abilities) and of each named ability beside the
    general one. How far networks disagree is told and no criterion: the draws of the ensemble hold it. Of variational draws r-hat says
    nothing, so there is none; ``ess_bulk`` and ``ess_tail`` are the number of independent draws.

    Args:
        trained: what training left.
        llms: names.
        traits: names of the abilities.
        ability: draws of each network, in a unit that all have in common.
        k_hat: of each LLM's abilities, the largest over networks.
    """
    general = [one.mean(axis=2) for one in ability]
    lead = [one - one.mean(axis=2, keepdims=True) for one in ability]
    draws = float(sum(len(one) for one in ability))
    table = pd.DataFrame(
        {
            "quantity": [GENERAL] * len(llms) + [NAMED] * len(traits),
            "name": [*map(str, llms), *map(str, traits)],
            "r_hat": np.nan,
            "ess_bulk": draws,
            "ess_tail": draws,
            NETWORK_SPREAD: np.concatenate(
                [network_spread([one[:, :, None] for one in general]), network_spread(lead, over_llms=True)]
            ),
        }
    )
    told = [f"{len(ability)} networks, {_passes(trained)}", _course(trained)]
    if len(ability) > 1:
        spread = table.groupby("quantity")[NETWORK_SPREAD].median()
        told.append(
            f"between networks an LLM's general ability varies by {spread[GENERAL]:.2f} of its posterior SD within one, "
            f"a named ability beside it by {spread[NAMED]:.2f} (medians)"
        )
    worst = int(k_hat.argmax())
    told.append(f"largest k-hat of an LLM's abilities {k_hat[worst]:.2f}, that of {llms[worst]}")
    complaints = _complaints(trained)
    if far := [f"{name} ({k:.2f})" for name, k in zip(llms, k_hat, strict=True) if k > LARGEST_K_HAT]:
        complaints += (f"k-hat of abilities is above {LARGEST_K_HAT} for {', '.join(far)}",)
    return ConvergenceGate(table, len(ability), 0.0, complaints, "; ".join(told))


def network_spread(
    draws: Sequence[Float[np.ndarray, "draw llm trait"]], *, over_llms: bool = False
) -> Float[np.ndarray, " quantity"]:
    """SD between the networks' posterior means, in units of the posterior SD within a network; NaN of a single network.

    The variance between means that comes from the finite number of draws is taken off. 0: networks agree, and one would do; 1: half of the
    variance of the ensemble's draws is a matter of which network one asks.

    Args:
        draws: of each network.
        over_llms: one number for each trait, of variances averaged over LLMs, instead of one for each LLM and trait.
    """
    if len(draws) < 2:
        _, llms, traits = draws[0].shape
        return np.full(traits if over_llms else llms * traits, np.nan)
    within = np.mean([one.var(axis=0, ddof=1) for one in draws], axis=0, dtype=np.float64)
    noise = np.mean([one.var(axis=0, ddof=1) / len(one) for one in draws], axis=0, dtype=np.float64)
    between = np.var([one.mean(axis=0) for one in draws], axis=0, ddof=1, dtype=np.float64) - noise
    if over_llms:
        within, between = within.mean(axis=0), between.mean(axis=0)
    return np.asarray(np.sqrt(np.maximum(between, 0.0) / within)).ravel()


def _passes(trained: Trained) -> str:
    done = len(trained.loss)
    if trained.stopped:
        return f"stopped after {done} of at most {trained.passes} passes because nothing got better"
    return f"all {done} passes"


def _course(trained: Trained) -> str:
    """The validation log loss in words."""
    if not trained.judged:
        return "no validation queries"
    course = trained.validation.mean(axis=1)
    best = trained.validation.min(axis=0).mean()
    queries = f"{trained.judged} queries" if trained.judged > 1 else "one query"
    told = f"validation log loss {course[0]:.4f} after the first pass, {best:.4f} at each network's best"
    if len(course) > 1:
        last = _last(trained)
        change = course[-1] - course[-1 - last]
        told += f", {change:+.4f} over the last {f'{last} passes' if last > 1 else 'pass'}"
    return f"{told}, on {queries}"


def _complaints(trained: Trained) -> tuple[str, ...]:
    if not trained.judged:
        return ("there were no validation queries, so nothing tells whether it did",)
    passes, networks = trained.validation.shape
    if passes == 1:
        return ("there was one pass, so nothing tells whether it did",)
    found = []
    if never := int((trained.validation.argmin(axis=0) == 0).sum()):
        found.append(
            f"the validation log loss of {never} of {networks} networks was never lower than after the first pass"
        )
    course = trained.validation.mean(axis=1)
    if not trained.stopped and course[-1 - _last(trained)] - course[-1] > STILL_FALLING:
        found.append(f"the validation log loss still fell after {passes} passes")
    return tuple(found)


def _last(trained: Trained) -> int:
    """The last tenth of the passes, at least one."""
    return max(1, len(trained.loss) // 10)

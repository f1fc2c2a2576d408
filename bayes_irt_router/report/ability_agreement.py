"""Whether two fitted models say the same of the LLMs, though their traits are not the same."""

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.posterior import Posterior

ALL = "mean of all"


def ability_agreement(
    first: Posterior, second: Posterior, rng: np.random.Generator, *, pairs: int = 400, level: float = 0.89
) -> pd.DataFrame:
    """How far the abilities of one model are those of another, over the LLMs that both know.

    Parameters of two fits have no common coordinates, so nothing is subtracted. For each pair of a draw of the first and a draw of the
    second model, and for each trait ``k`` of the second::

        correlation_k = Corr_j(theta1_j,general, theta2_jk)
        explained_k   = 1 - (1 - R^2) (J - 1) / (J - D - 1),   R^2 of theta2_jk regressed on all D traits of the first

    Both are the same whichever way the specific traits are turned. The draws of the two fits are independent, so the intervals hold
    the uncertainty of both; where two models agree but know little of an LLM, the correlation is lowered by that.

    Args:
        first: usually a MIRT, its general trait first.
        second: usually a NIRT, with named abilities.
        rng: pairs the draws.
        pairs: number of pairs.
        level: of the equal-tailed intervals.

    Returns:
        One row for each trait of the second model, and before them one for the mean over them (``mean of all``): ``ability``,
        ``correlation``, ``correlation_lower``, ``correlation_upper``, ``explained``, ``explained_lower``, ``explained_upper``.

    Raises:
        InputError: too few LLMs in common, fewer than the first's traits + 3.
    """
    common = [name for name in first.llm if name in set(second.llm)]
    traits = first.draws.sizes["trait"]
    if len(common) < traits + 3:
        raise InputError(
            f"The two models have {len(common)} LLMs in common; to compare abilities with {traits} traits needs {traits + 3}."
        )
    theirs = _paired(second, common, pairs, rng)
    theirs = np.concatenate([theirs.mean(axis=2, keepdims=True), theirs], axis=2)
    own = _paired(first, common, pairs, rng)
    own = own / np.linalg.norm(own, axis=1, keepdims=True)
    theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)

    correlation = np.einsum("sj,sjk->sk", own[:, :, 0], theirs)
    basis = np.linalg.qr(own)[0]
    share = (np.einsum("sjd,sjk->sdk", basis, theirs) ** 2).sum(axis=1)
    explained = 1.0 - (1.0 - share) * (len(common) - 1) / (len(common) - traits - 1)
    tails = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    columns: dict[str, np.ndarray] = {}
    for name, values in (("correlation", correlation), ("explained", explained)):
        columns[name] = values.mean(axis=0)
        columns[f"{name}_lower"], columns[f"{name}_upper"] = np.quantile(values, tails, axis=0)
    names = [ALL, *(str(name) for name in second.draws["trait"].values)]
    return pd.DataFrame({"ability": names, **columns})


def _paired(
    posterior: Posterior, llms: list[str], pairs: int, rng: np.random.Generator
) -> Float[np.ndarray, "pair llm trait"]:
    """Abilities in randomly chosen draws, centred over the LLMs."""
    ability = posterior.draws["ability"].transpose("chain", "draw", "llm", "trait").sel(llm=llms).values
    flat = ability.reshape(-1, *ability.shape[2:]).astype(np.float64)
    chosen = flat[rng.integers(len(flat), size=pairs)]
    return chosen - chosen.mean(axis=1, keepdims=True)

"""Have the chains of the answer-length model met? What is shown of it beside the convergence gate."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayes_irt_router.inference.posterior import Posterior

R_HAT = 1.05  # above it costs are not to be trusted; cost is a mean over draws, and needs less than the gate asks of correctness
JUDGED = ("intercept", "noise_sd", "residual_sd")


@dataclass(frozen=True)
class AnswerLengthConvergence:
    """What was found, over all LLMs' intercepts and noise SDs and the residual SD.

    Attributes:
        r_hat: the largest, rank-normalised and split; NaN in folders that do not hold it.
        ess: the smallest effective sample size, of bulk and tail; NaN likewise.
        draws: how many were kept.
    """

    r_hat: float
    ess: float
    draws: int

    @property
    def passed(self) -> bool:
        """Whether the largest r-hat is known and at most 1.05."""
        return self.r_hat <= R_HAT

    @property
    def verdict(self) -> str:
        """One sentence."""
        if np.isnan(self.r_hat):
            return f"Answer lengths: {self.draws} draws, whose convergence is unknown; fit again."
        ess = "" if np.isnan(self.ess) else f", smallest ESS {self.ess:.0f}"
        facts = f"largest r-hat {self.r_hat:.3f}{ess}, {self.draws} draws"
        if self.passed:
            return f"Answer lengths have converged ({facts})."
        return f"Answer lengths have NOT converged ({facts}): r-hat is above {R_HAT:g}, and costs that rest on them are unsure."


def answer_length_convergence(posterior: Posterior) -> AnswerLengthConvergence | None:
    """Of a fitted model; None where it has no model of answer lengths."""
    lengths = posterior.answer_length
    if lengths is None:
        return None
    r_hat, ess = (float(lengths[name]) if name in lengths else float("nan") for name in ("r_hat", "ess"))
    return AnswerLengthConvergence(r_hat, ess, lengths.sizes["draw"])


def largest_r_hat_and_smallest_ess(drawn: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Of the judged parameters; rank-normalised split r-hat, ESS of bulk and tail, as in the convergence gate.

    Args:
        drawn: by name, shape (chain, draw, ...).
    """
    import arviz as az  # seconds to import, and only fitting needs it

    tree = az.from_dict({"posterior": {name: drawn[name] for name in JUDGED}})
    r_hat, found = az.rhat(tree), [az.ess(tree, method=method) for method in ("bulk", "tail")]
    return (
        float(max(r_hat[name].max() for name in JUDGED)),
        float(min(ess[name].min() for ess in found for name in JUDGED)),
    )

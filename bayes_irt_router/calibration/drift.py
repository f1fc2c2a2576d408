"""Drift: do a known LLM's recent answers still agree with what the model believes of it?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logsumexp

from bayes_irt_router.calibration.ability_prior import aligned_prior, predecessor_prior
from bayes_irt_router.calibration.answers import Answer, merged
from bayes_irt_router.calibration.importance import importance_points
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.likelihood import Evidence, log_likelihood
from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.score_distributions import GRADED_STEPS

SCHEMA_VERSION = 1
FALSE_ALARMS = 0.01
SHIFT = 0.5  # of the alternative, in SDs between LLMs
REPLICATIONS = 4  # of the answers for each draw


@dataclass(frozen=True)
class DriftCheck:
    """What recent answers say about whether an LLM has changed.

    Attributes:
        llm: the LLM.
        answers: number of queries answered.
        expected: posterior predictive mean of the mean score.
        observed: the mean score.
        p_value: two-sided posterior predictive p-value of the mean score: for one look at a fixed number of answers.
        log_bayes_factor: natural log of ``p(answers | changed) / p(answers | as before)``.
        false_alarms: the share of unchanged LLMs that is ever flagged, at most, however often one looks.
        drifted: whether the Bayes factor is above ``1 / false_alarms``.
    """

    llm: str
    answers: int
    expected: float
    observed: float
    p_value: float
    log_bayes_factor: float
    false_alarms: float
    drifted: bool

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        facts = (
            f"mean score {self.observed:.3f} where {self.expected:.3f} was expected over {self.answers} queries, "
            f"predictive p {self.p_value:.2g}, Bayes factor for a change {np.exp(min(self.log_bayes_factor, 700.0)):.3g}"
        )
        verdict = "has changed" if self.drifted else "shows no change"
        return f"{self.llm} {verdict} ({facts}; at most {self.false_alarms:.1%} false alarms, however often one looks)."

    def to_dict(self) -> dict[str, Any]:
        """What ``birt drift --json`` prints."""
        names = (
            "llm",
            "answers",
            "expected",
            "observed",
            "p_value",
            "log_bayes_factor",
            "false_alarms",
            "drifted",
        )
        return {"schema_version": SCHEMA_VERSION, **{name: getattr(self, name) for name in names}}


def check_drift(
    bank: ItemBank,
    llm: str,
    answers: Sequence[Answer],
    rng: np.random.Generator,
    *,
    false_alarms: float = FALSE_ALARMS,
    shift: float = SHIFT,
) -> DriftCheck:
    """Compare a known LLM's recent answers with its posterior predictive distribution.

    The Bayes factor weighs "its ability is normal around what it was, ``shift`` SDs between LLMs wide" against "its ability is what it
    was", both averaged over the parameter draws, each item's own part integrated. If the model holds and nothing has changed,
    the Bayes factor of growing evidence is a non-negative martingale that starts at 1, and so ever exceeds ``1 / false_alarms``
    with a probability of at most ``false_alarms`` (Ville, 1939): check as often as you like, with all the answers since the
    model was fitted.

    Answers must be new: the very answers that were fitted agree with the fit too well.

    Args:
        bank: the queries.
        llm: an LLM that the model knows.
        answers: recent ones, in any order.
        rng: of the importance points and the replicated answers.
        false_alarms: largest share of unchanged LLMs that may ever be flagged.
        shift: how far a changed LLM's ability is expected to move.

    Raises:
        InputError: the model does not know the LLM, there are no answers, or the rate is not between 0 and 1.
    """
    if not 0.0 < false_alarms < 1.0:
        raise InputError(f"The rate of false alarms is {false_alarms}; give a number between 0 and 1.")
    if not answers:
        raise InputError(f"There are no recent answers of {llm}; give at least one.")
    prior = predecessor_prior(bank.posterior, llm, shift)
    answers = merged(answers)
    positions = bank.positions([answer.query for answer in answers])
    evidence = Evidence.of(bank.integrated(positions), answers)
    moved = aligned_prior(prior, bank.rotations)
    _, log_weight = importance_points(evidence, moved, rng)
    changed = logsumexp(log_weight) - np.log(log_weight.size)
    same = logsumexp(log_likelihood(evidence, moved.mean[:, None, :])) - np.log(bank.draws)
    log_factor = float(changed - same)

    replicated = _replicated_means(evidence, moved.mean, rng)
    observed = float(evidence.score @ evidence.trials / evidence.trials.sum())
    below = float((replicated < observed).mean() + 0.5 * (replicated == observed).mean())
    return DriftCheck(
        llm,
        len(answers),
        float(replicated.mean()),
        observed,
        min(1.0, 2.0 * min(below, 1.0 - below)),
        log_factor,
        false_alarms,
        bool(log_factor > -np.log(false_alarms)),
    )


def _replicated_means(
    evidence: Evidence, ability: Float[np.ndarray, "draw trait"], rng: np.random.Generator
) -> Float[np.ndarray, " replication"]:
    """Mean scores of replicated answers, the items' own parts drawn anew."""
    items, trials = evidence.items, evidence.trials.astype(int)
    mean, variance = items.logit_moments(ability[:, None, :])
    found = []
    for _ in range(REPLICATIONS):
        p = expit(mean[:, 0] + np.sqrt(variance[:, 0]) * rng.standard_normal(mean[:, 0].shape))
        scores = rng.binomial(trials, p) / trials
        if items.graded.any():
            q = np.clip(p[:, items.graded], 1e-4, 1.0 - 1e-4)
            k = trials[items.graded] * (items.score_precision[:, None] + 1.0) - 1.0
            scores[:, items.graded] = (
                rng.binomial(GRADED_STEPS, rng.beta(q * k, (1.0 - q) * k)) / GRADED_STEPS
            )
        found.append(scores @ trials / trials.sum())
    return np.concatenate(found)

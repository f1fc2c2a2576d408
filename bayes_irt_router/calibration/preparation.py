"""From what a user wishes to the setup of a calibration: the prior, what may be asked, what it costs, what is to be learned."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_irt_router.calibration.ability_prior import (
    WIDENING,
    AbilityPrior,
    new_llm_prior,
    predecessor_prior,
)
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.selection import Choosable, task_shares, unknown_selector
from bayes_irt_router.calibration.session import Setup, Stopping, question_costs
from bayes_irt_router.calibration.targets import Target, routing_stakes
from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.posterior import Posterior

REGRET_HAS_NO_SD = (
    "--target-sd is no limit for the target regret, which is no one number; use --target-regret X."
)


def choose_prior(
    posterior: Posterior,
    llm: str,
    info: Mapping[str, Any],
    predecessor: str | None = None,
    widening: float | None = None,
) -> AbilityPrior:
    """The prior of a new LLM, or, for a known one and for a new version of one, the predecessor's posterior, widened.

    Raises:
        InputError: the predecessor is unknown, or a widening is given without one.
    """
    former = predecessor or (llm if llm in posterior.llm else None)
    if former is not None:
        return predecessor_prior(posterior, former, WIDENING if widening is None else widening)
    if widening is not None:
        raise InputError("--widening needs a predecessor: add --predecessor LLM, or leave it out.")
    return new_llm_prior(posterior, info)


def prepare(
    bank: ItemBank,
    prior: AbilityPrior,
    llm: str,
    cost: CostModel,
    texts: Mapping[str, str],
    stopping: Stopping,
    *,
    asks: bool,
    target: str = "accuracy",
    selector: str = "variance",
    alpha: float = 0.8,
    seed: int = 0,
) -> Setup:
    """The setup of a calibration.

    Args:
        bank: the queries.
        prior: of the LLM's ability.
        llm: its name.
        cost: the cost model, this LLM included.
        texts: of the queries, by id, as far as known.
        stopping: the limits.
        asks: whether queries will be asked, so that those without a text are left out.
        target: what is to be learned.
        selector: how queries are chosen.
        alpha: weight of correctness, for regret.
        seed: of everything random.

    Raises:
        InputError: there is nothing to ask, no such selector or target, prices are needed and unknown, or a limit on the SD is set for
            regret, whose stakes have none in common; every problem is listed.
    """
    problems = [unknown] if (unknown := unknown_selector(selector)) else []
    known = np.array([query in texts for query in bank.query])
    if asks and not known.any():
        problems.append(
            "The model folder holds no texts to ask: add --queries FILE with query_id and text, or fit with --keep-texts."
        )
    usd = cost.known_cost([texts.get(query, "") for query in bank.query])
    usd = np.where(known[:, None], usd, np.nan)
    own = usd[:, cost.llm.index(llm)]
    chosen = Target(target)
    try:
        if target == "regret" or stopping.regret is not None:
            chosen = Target(target, routing_stakes(bank, llm, cost.llm, usd / cost.scale_usd, alpha))
        chosen.check(bank)
    except InputError as error:
        problems += error.problems
    if target == "regret" and stopping.target_sd is not None:
        problems.append(REGRET_HAS_NO_SD)
    typical = float(np.nanmean(own)) if np.isfinite(own).any() else np.nan
    costs, priced = question_costs(np.where(known, own, typical))
    if stopping.usd is not None and not priced:
        problems.append(
            "--budget-usd needs the LLM's prices: add --llm-info FILE with both, or use --budget."
        )
    if problems:
        raise InputError(problems)
    open_ = known if asks else np.ones_like(known)
    # What is to be learned of one task says where to ask: balancing all tasks would keep it from asking there.
    share = {} if target.startswith("task:") else task_shares(bank, open_)
    return Setup(bank, prior, chosen, Choosable(open_, costs, share), priced, selector, seed)

"""The other models of a stack: what one of them decided to ask, all learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_irt_router.calibration.ability_prior import AbilityPrior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.membership import with_llm
from bayes_irt_router.calibration.placing import place
from bayes_irt_router.inference.posterior import Posterior


@dataclass(frozen=True, eq=False)
class StackMember:
    """A model of a stack that places an LLM by answers to questions that another model chose.

    Attributes:
        posterior: the model.
        bank: its queries, all that may be asked among them.
        prior: of the LLM's ability in this model.
    """

    posterior: Posterior
    bank: ItemBank
    prior: AbilityPrior

    def with_llm(
        self,
        llm: str,
        answers: Sequence[Answer],
        info: Mapping[str, Any],
        characters: Mapping[str, int],
        rng: np.random.Generator,
        weight: float = 1.0,
    ) -> Posterior:
        """The model with the LLM, placed by these answers; arguments as of :func:`~bayes_irt_router.calibration.membership.with_llm`,
        and of :func:`~bayes_irt_router.calibration.placing.place`.
        """
        placement = place(self.bank, self.prior, answers, rng, weight=weight)
        return with_llm(self.posterior, llm, placement, answers, info, characters)

"""The named abilities of each LLM, with intervals: what a NIRT says that a MIRT cannot."""

import numpy as np
import pandas as pd

from bayes_irt_router.inference.posterior import Posterior

SHOWN = 3  # strengths and weaknesses of an LLM in the table


def profile_frame(posterior: Posterior, level: float = 0.89) -> pd.DataFrame:
    """One row for each LLM and ability: ``llm``, ``ability``, ``mean``, ``lower``, ``upper``, ``lead``, ``lead_lower``, ``lead_upper``.

    ``mean`` and its equal-tailed interval are in SDs of the fitted LLMs' general ability; ``lead`` is the ability less the LLM's mean over
    all of its abilities, its profile.
    """
    ability = posterior.standardised_ability
    theta = ability.values.reshape(-1, *ability.shape[2:]).astype(np.float64)
    lead = theta - theta.mean(axis=2, keepdims=True)
    tails = [(1 - level) / 2, (1 + level) / 2]
    names = [str(name) for name in posterior.draws["trait"].values]
    columns = {"mean": theta.mean(axis=0), "lead": lead.mean(axis=0)}
    columns["lower"], columns["upper"] = np.quantile(theta, tails, axis=0)
    columns["lead_lower"], columns["lead_upper"] = np.quantile(lead, tails, axis=0)
    order = ("mean", "lower", "upper", "lead", "lead_lower", "lead_upper")
    return pd.DataFrame(
        {
            "llm": np.repeat(posterior.llm, len(names)),
            "ability": np.tile(names, len(posterior.llm)),
            **{name: columns[name].ravel() for name in order},
        }
    )


def profile_table(posterior: Posterior, level: float = 0.89) -> pd.DataFrame:
    """One row for each LLM: the abilities that lead and trail the others, as far as the intervals tell them from the LLM's mean."""
    rows = []
    for llm, own in profile_frame(posterior, level).groupby("llm", sort=False):
        strong = own[own["lead_lower"] > 0].nlargest(SHOWN, "lead")
        weak = own[own["lead_upper"] < 0].nsmallest(SHOWN, "lead")
        rows.append({"llm": llm, "strong in": _told(strong), "weak in": _told(weak)})
    return pd.DataFrame(rows)


def _told(own: pd.DataFrame) -> str | None:
    return (
        ", ".join(f"{name} ({lead:+.1f})" for name, lead in zip(own["ability"], own["lead"], strict=True))
        or None
    )

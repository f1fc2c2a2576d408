"""The explanation of a decision as a table."""

import pandas as pd
from rich.console import Group

from bayes_irt_router.report.tables import frame_table
from bayes_irt_router.routing.explanation import Explanation, TraitLean

MOST_FEATURES = 6  # the largest; the JSON holds all
MOST_TRAITS = 8  # a model with more of them shows those that separate LLMs most on the query


def explanation_table(explanation: Explanation) -> Group:
    """What the query leans on (logits of difficulty from the mean fitted query, logits for each SD of a trait), what it resembles, and
    two sentences.
    """
    rows = [
        ("difficulty", one.feature.replace("_", " "), f"{one.mean:+.2f} logits, SD {one.sd:.2f}")
        for one in explanation.contributions[:MOST_FEATURES]
    ]
    percentile = explanation.difficulty_percentile
    rows.append(
        (
            "difficulty",
            "in all",
            f"{explanation.difficulty - explanation.mean_difficulty:+.2f} logits from the mean fitted query"
            + ("" if percentile is None else f", harder than {percentile:.0f}% of them"),
        )
    )
    rows += [
        ("trait", one.trait.replace("_", " "), f"{one.mean:+.2f} logits, SD {one.sd:.2f}")
        for one in _leading(explanation)
    ]
    rows += [
        (
            "similar query",
            f"{one.query} ({one.task})" if one.task else one.query,
            f"cosine {one.similarity:.2f}",
        )
        for one in explanation.neighbours
    ]
    if explanation.epistemic_sd is not None and explanation.residual_sd is not None:
        rows.append(("unknown", "about the LLM on such queries", f"SD {explanation.epistemic_sd:.3f}"))
        rows.append(("unknown", "about this query itself", f"SD {explanation.residual_sd:.3f}"))
    frame = pd.DataFrame(rows, columns=["", "what", "how much"])
    return frame_table("Why", frame, explanation.sentences[0] + " " + explanation.sentences[1])


def _leading(explanation: Explanation) -> tuple[TraitLean, ...]:
    if len(explanation.traits) <= MOST_TRAITS:
        return explanation.traits
    return tuple(sorted(explanation.traits, key=lambda one: -one.mean)[:MOST_TRAITS])

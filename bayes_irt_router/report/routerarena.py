"""Decisions as a RouterArena prediction file: which LLM a router picks for each prompt of its benchmark."""

from collections.abc import Sequence
from typing import Any

from bayes_irt_router.routing.decision import Decision


def prediction_records(
    names: Sequence[str], prompts: Sequence[str], decisions: Sequence[Decision]
) -> list[dict[str, Any]]:
    """The content of a prediction file, one record for each prompt.

    What RouterArena itself fills in (the answer, its cost and its score) is None.

    Args:
        names: the benchmark's `global index` of each prompt.
        prompts: their texts.
        decisions: one for each, in the same order.
    """
    return [
        {
            "global index": name,
            "prompt": prompt,
            "prediction": decision.llm,
            "generated_result": None,
            "cost": None,
            "accuracy": None,
            "for_optimality": False,
        }
        for name, prompt, decision in zip(names, prompts, decisions, strict=True)
    ]

"""Which LLMs a user means."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from bayes_irt_router.errors import InputError


def allowed_llms(llm: Sequence[str], allow: Sequence[str] | None) -> Bool[np.ndarray, " llm"]:
    """Which LLMs may be chosen: those named in `allow`, or all of them when it is None.

    Raises:
        InputError: a name that the model does not know (each is named), or no candidate left.

    >>> allowed_llms(["a", "b", "c"], ["c", "a"]).tolist()
    [True, False, True]
    """
    if allow is None:
        allow = llm
    unknown = sorted(set(allow) - set(llm))
    if unknown:
        raise InputError(
            [
                f"LLM {name!r} is not among the fitted ones: allow some of {', '.join(sorted(llm))}."
                for name in unknown
            ]
        )
    if len(allow) == 0:
        raise InputError("No candidate LLM is left: allow at least one.")
    return np.isin(np.asarray(llm), np.asarray(list(allow)))

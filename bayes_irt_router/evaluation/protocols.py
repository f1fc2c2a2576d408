"""What each protocol holds out: the training and the test data of every fold.

========== ======================================================== =============================================
protocol   train                                                    test
========== ======================================================== =============================================
queries    the other folds' queries                                 one fold's queries, of tasks that were seen
tasks      the other tasks                                          one task that was never seen
llms       the other LLMs' answers outside the first query fold     their answers in it
shuffled   as ``queries``, each LLM's answers permuted              as ``queries``, permuted too
========== ======================================================== =============================================

The fits of ``llms`` are where a held-out LLM is to be placed; here they are judged on the LLMs that they know.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import xarray as xr
from jaxtyping import Bool

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.shuffled_control import permute_answers
from bayes_irt_router.evaluation.splits import Splits, same_text

Protocol = Literal["queries", "tasks", "llms", "shuffled"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold's data.

    Attributes:
        protocol, index: which fold of which protocol.
        held: the task or the LLMs held out; empty where queries are.
        train, test: canonical data with the same LLMs, all of which have answers in train.
        notes: what was left out beyond the protocol.
    """

    protocol: Protocol
    index: int
    held: tuple[str, ...]
    train: xr.Dataset
    test: xr.Dataset
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Such as `queries-0`."""
        return f"{self.protocol}-{self.index}"


def fold_count(splits: Splits, protocol: Protocol) -> int:
    """How many folds a protocol has."""
    return len({"tasks": splits.tasks, "llms": splits.llms}.get(protocol, splits.queries))


def make_fold(data: xr.Dataset, splits: Splits, protocol: Protocol, index: int, *, seed: int = 0) -> Fold:
    """Divide data as the protocol says.

    Training queries whose text is that of a test query (up to white space and case) are left out, and so are
    LLMs without a training answer.

    Args:
        data: canonical data that the splits were made for.
        splits: the folds.
        protocol: one of `PROTOCOLS`.
        index: of the fold, from 0.
        seed: of the permutation of the shuffled control; each fold has its own.

    Raises:
        InputError: the splits belong to other data, or there is no such fold.
    """
    splits.check(data)
    if not 0 <= index < fold_count(splits, protocol):
        raise InputError(
            f"There is no fold {index} of {protocol}; choose from 0 to {fold_count(splits, protocol) - 1}."
        )
    held: tuple[str, ...] = ()
    if protocol == "llms":
        held = splits.llms[index]
        data = data.isel(llm=np.flatnonzero(~np.isin(data["llm"].values.astype(str), held)))
    if protocol == "tasks":
        held = (splits.tasks[index],)
        testing = data["task"].values.astype(str) == held[0]
    else:
        ids = splits.queries[0 if protocol == "llms" else index]
        testing = np.isin(data["query"].values.astype(str), ids)
    train, test, notes = _parts(data, testing)
    if protocol == "shuffled":
        rng = np.random.default_rng([seed, index])
        train, test = permute_answers(train, rng), permute_answers(test, rng)
    return Fold(protocol, index, held, train, test, tuple(notes))


def _parts(data: xr.Dataset, testing: Bool[np.ndarray, " query"]) -> tuple[xr.Dataset, xr.Dataset, list[str]]:
    texts = np.array(same_text([str(text) for text in data["text"].values]), dtype=object)
    double = ~testing & np.isin(texts.astype(str), texts[testing].astype(str))
    notes = []
    if double.any():
        notes.append(f"{double.sum()} training queries have the text of a test query and are left out.")
    answered = data["trials"].values > 0
    known = answered[~testing & ~double].any(axis=0)
    if not known.all():
        names = ", ".join(str(name) for name in data["llm"].values[~known])
        notes.append(f"No training answers of {names}: left out.")
    data, answered = data.isel(llm=np.flatnonzero(known)), answered[:, known]
    some = answered.any(axis=1)
    train = data.isel(query=np.flatnonzero(~testing & ~double & some))
    return train, data.isel(query=np.flatnonzero(testing & some)), notes

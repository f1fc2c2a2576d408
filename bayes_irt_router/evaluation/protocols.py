"""What each protocol holds out: the training and the test data of every fold.

========== ======================================================== =============================================
protocol   train                                                    test
========== ======================================================== =============================================
queries    the other folds' queries                                 one fold's queries, of tasks that were seen
tasks      the other tasks                                          one task that was never seen
blocks     the other folds' queries, without a fifth of the blocks  in one fold's queries the answers of those blocks
           LLM x task
llms       the other LLMs' answers outside the first query fold     their answers in it
shuffled   as ``queries``, each LLM's answers permuted              as ``queries``, permuted too
========== ======================================================== =============================================

In ``blocks`` the LLM has not answered any query of the task, but others have: it is predicted from the prior and its other tasks. Each
block is hidden in one fold. The fits of ``llms`` are where a held-out LLM is to be placed; here they are judged on the LLMs that they know.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import xarray as xr
from jaxtyping import Bool

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.shuffled_control import permute_answers
from bayes_irt_router.evaluation.splits import Splits, same_text

Protocol = Literal["queries", "tasks", "blocks", "llms", "shuffled"]
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
    hidden = _hidden_blocks(data, len(splits.queries), index) if protocol == "blocks" else None
    train, test, notes = _parts(data, testing, hidden)
    if protocol == "shuffled":
        rng = np.random.default_rng([seed, index])
        train, test = permute_answers(train, rng), permute_answers(test, rng)
    return Fold(protocol, index, held, train, test, tuple(notes))


def _hidden_blocks(data: xr.Dataset, folds: int, index: int) -> Bool[np.ndarray, "query llm"]:
    """The cells of the blocks LLM x task that fold `index` hides.

    LLMs and tasks are numbered in the order of their names, and block (j, t) is hidden in fold (j + t) mod `folds`; not, though, where
    it is all that the LLM has answered.
    """
    answered = data["trials"].values > 0
    task, number = np.unique(data["task"].values.astype(str), return_inverse=True)
    answers = np.stack([answered[number == t].any(axis=0) for t in range(len(task))])
    order = np.argsort(np.argsort(data["llm"].values.astype(str)))
    hidden = (order + np.arange(len(task))[:, None]) % folds == index
    hidden &= (task != "")[:, None] & (answers & ~hidden).any(axis=0)
    return np.asarray(hidden[number])


def _without(data: xr.Dataset, cells: Bool[np.ndarray, "query llm"]) -> xr.Dataset:
    """As if these answers had not been given."""
    kept = xr.DataArray(~cells, dims=("query", "llm"))
    observed = [name for name, values in data.data_vars.items() if {"query", "llm"} <= set(values.dims)]
    return data.assign({name: data[name].where(kept, 0 if name == "trials" else np.nan) for name in observed})


def _parts(
    data: xr.Dataset, testing: Bool[np.ndarray, " query"], hidden: Bool[np.ndarray, "query llm"] | None
) -> tuple[xr.Dataset, xr.Dataset, list[str]]:
    """Train, test and notes; where cells are hidden, the test is about these alone."""
    texts = np.array(same_text([str(text) for text in data["text"].values]), dtype=object)
    double = ~testing & np.isin(texts.astype(str), texts[testing].astype(str))
    notes = []
    if double.any():
        notes.append(f"{double.sum()} training queries have the text of a test query and are left out.")
    if hidden is not None:
        data = _without(data, np.where(testing[:, None], ~hidden, hidden))
    answered = data["trials"].values > 0
    known = answered[~testing & ~double].any(axis=0)
    if not known.all():
        names = ", ".join(str(name) for name in data["llm"].values[~known])
        notes.append(f"No training answers of {names}: left out.")
    data, answered = data.isel(llm=np.flatnonzero(known)), answered[:, known]
    some = answered.any(axis=1)
    train = data.isel(query=np.flatnonzero(~testing & ~double & some))
    return train, data.isel(query=np.flatnonzero(testing & some)), notes

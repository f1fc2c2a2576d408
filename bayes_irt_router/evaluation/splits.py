"""Which queries, tasks and LLMs are held out: fixed once, so that every benchmark judges on the same folds.

- queries: disjoint folds, stratified by task, so that each query is tested exactly once. The queries of the
  split `test`, where the data have one, are the first fold.
- tasks: each task is left out in turn.
- llms: disjoint folds of LLMs, alike in mean score and number of answers.

Queries whose texts are the same up to white space and case are never in different folds.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.errors import InputError

SCHEMA_VERSION = 1
FOLDS = 5
LLM_FOLDS = 6
FEW_LLMS = 12  # up to this many, each LLM is left out on its own


@dataclass(frozen=True)
class Splits:
    """The folds of one data set; ids and names only.

    Attributes:
        fingerprint: SHA-256 of the ids of all queries and LLMs, see `names_fingerprint`.
        queries: ids by fold.
        tasks: names.
        llms: names by fold.
    """

    fingerprint: str
    queries: tuple[tuple[str, ...], ...]
    tasks: tuple[str, ...]
    llms: tuple[tuple[str, ...], ...]

    def check(self, data: xr.Dataset) -> None:
        """Raise InputError unless these folds were made for the queries and LLMs of `data`."""
        if names_fingerprint(data) != self.fingerprint:
            raise InputError(
                "The folds were made for other queries or LLMs than these data have; make folds for them "
                "(benchmarks/make_splits.py)."
            )


def names_fingerprint(data: xr.Dataset) -> str:
    """SHA-256 of the sorted ids of queries and LLMs; 64 hexadecimal digits."""
    names = [sorted(str(name) for name in data[dim].values) for dim in ("query", "llm")]
    return hashlib.sha256(json.dumps(names).encode("ascii")).hexdigest()


def same_text(texts: Sequence[str]) -> list[str]:
    """Each text in the form in which two are compared: lower case, white space as single blanks.

    >>> same_text(["What is\\n 2 + 2?", "what is 2 + 2? "])
    ['what is 2 + 2?', 'what is 2 + 2?']
    """
    return [" ".join(text.split()).casefold() for text in texts]


def make_splits(data: xr.Dataset, *, seed: int, folds: int = FOLDS, llm_folds: int | None = None) -> Splits:
    """Folds of a data set from a seed; the order of its queries and LLMs plays no part.

    Args:
        data: canonical data. If queries are in the split `test`, these are the first fold of queries, with
            every query whose text is one of theirs.
        seed: of all choices.
        folds: number of query folds, 2 or more.
        llm_folds: number of LLM folds; by default 6, or one for each LLM where there are at most 12.

    Raises:
        InputError: too few folds, or fewer queries or LLMs than folds.
    """
    llms = data.sizes["llm"]
    wanted = (llms if llms <= FEW_LLMS else LLM_FOLDS) if llm_folds is None else llm_folds
    problems = []
    for count, of, noun in ((folds, data.sizes["query"], "queries"), (wanted, llms, "LLMs")):
        if not 2 <= count <= of:
            problems.append(f"{of} {noun} cannot make {count} folds; ask for 2 to {of}.")
    if problems:
        raise InputError(problems)
    rng = np.random.default_rng(seed)
    return Splits(
        names_fingerprint(data),
        _query_folds(data, folds, rng),
        tuple(sorted({str(task) for task in data["task"].values} - {""})),
        _llm_folds(data, wanted, rng),
    )


def _query_folds(data: xr.Dataset, count: int, rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
    """Groups of same texts, in random order, each to the fold that has the fewest queries of its task."""
    ids, tasks = [str(name) for name in data["query"].values], [str(task) for task in data["task"].values]
    groups: dict[str, list[int]] = {}
    for position, text in enumerate(same_text([str(text) for text in data["text"].values])):
        groups.setdefault(text, []).append(position)
    testing = {i for i, split in enumerate(data["split"].values) if split == "test"}
    first = 1 if testing else 0
    folds: list[list[str]] = [[] for _ in range(count)]
    by_task: dict[str, list[list[int]]] = {}
    for members in groups.values():
        if testing.intersection(members):
            folds[0] += [ids[i] for i in members]
        else:
            by_task.setdefault(tasks[members[0]], []).append(members)
    for task in sorted(by_task):
        sizes = np.zeros(count - first, dtype=int)
        ordered = sorted(by_task[task], key=lambda members: ids[members[0]])
        for index in rng.permutation(len(ordered)):
            totals = [len(fold) for fold in folds[first:]]
            chosen = int(np.lexsort((np.array(totals), sizes))[0])
            sizes[chosen] += len(ordered[index])
            folds[first + chosen] += [ids[i] for i in ordered[index]]
    return tuple(tuple(sorted(fold)) for fold in folds)


def _llm_folds(data: xr.Dataset, count: int, rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
    """LLMs in order of answers (to 5 % of the queries), then of mean score; every `count` neighbours are dealt
    out at random.
    """
    names = np.array([str(name) for name in data["llm"].values])
    answers = np.round((data["trials"] > 0).mean("query").values / 0.05)
    mean = data["score"].mean("query").values
    order = np.lexsort((names, mean, answers))
    if count == len(order):
        return tuple((str(names[j]),) for j in np.argsort(names))
    folds: list[list[str]] = [[] for _ in range(count)]
    for start in range(0, len(order), count):
        block = order[start : start + count]
        # A last block that is not full goes to the folds at random as well.
        for fold, llm in zip(rng.permutation(count)[: len(block)], block, strict=True):
            folds[fold].append(str(names[llm]))
    return tuple(tuple(sorted(fold)) for fold in folds)


def write_splits(path: Path, splits: Mapping[str, Splits], *, seed: int) -> None:
    """Write the folds of some data sets as JSON, one line a fold, atomically."""
    lines = ["{", f' "schema_version": {SCHEMA_VERSION},', f' "seed": {seed},', ' "data": {']
    for number, (name, one) in enumerate(sorted(splits.items()), start=1):
        lines += [
            f"  {json.dumps(name)}: {{",
            f'   "fingerprint": {json.dumps(one.fingerprint)},',
            f'   "tasks": {json.dumps(one.tasks)},',
            '   "llms": [',
            ",\n".join(f"    {json.dumps(fold)}" for fold in one.llms),
            '   ], "queries": [',
            ",\n".join(f"    {json.dumps(fold, separators=(',', ':'))}" for fold in one.queries),
            "   ]",
            "  }," if number < len(splits) else "  }",
        ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([*lines, " }", "}"]) + "\n", encoding="utf-8", newline="\n")


def read_splits(path: Path, name: str) -> Splits:
    """The folds of the data set `name`.

    Raises:
        InputError: the file is missing, damaged or newer than this program, or has no such data set.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, data = int(content["schema_version"]), dict(content["data"])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not hold folds ({error!r}); make them again.") from None
    if version > SCHEMA_VERSION:
        raise InputError(f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}.")
    if name not in data:
        raise InputError(f"{path} has no folds of {name}; choose from: {', '.join(sorted(data))}.")
    return _splits(data[name], path)


def _splits(content: Any, path: Path) -> Splits:
    try:
        return Splits(
            str(content["fingerprint"]),
            tuple(tuple(str(name) for name in fold) for fold in content["queries"]),
            tuple(str(task) for task in content["tasks"]),
            tuple(tuple(str(name) for name in fold) for fold in content["llms"]),
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} does not hold folds ({error!r}); make them again.") from None

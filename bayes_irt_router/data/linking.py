"""Several data sets as one: LLMs that occur in more than one link their scales, queries that occur in more than one are found.

A source's queries stay its own (`SOURCE/query_id`, task `SOURCE/task`): prompts of the same question differ between sources, and each
has a difficulty of its own. What ties the sources together are the LLMs that answered in several of them; which these are
is not guessed from names but told by a table.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.data.canonical import ANSWER_MEANS, LLM_COORDS, QUERY_COORDS
from bayes_irt_router.data.schema import PRICES
from bayes_irt_router.errors import InputError

SCHEMA_VERSION = 1
SIMILARITY = (
    0.85  # cosine of embeddings; two wordings of one question are above, two questions of one benchmark below
)
_PAIRS = ["first", "second", "similarity", "reason"]
SAME_TEXT, CLOSE = "the same text", "close in meaning"


@dataclass(frozen=True)
class LinkedLLM:
    """One LLM that several sources asked.

    Attributes:
        name: what it is called from now on.
        names: its name in each source.
        input_price_per_million: USD; its one price, whatever the sources say.
        output_price_per_million: USD.
    """

    name: str
    names: Mapping[str, str]
    input_price_per_million: float
    output_price_per_million: float


def read_linked_llms(path: Path) -> tuple[LinkedLLM, ...]:
    """Read a table of linked LLMs: JSON, ``{"schema_version": 1, "llms": [{"name", "names": {SOURCE: NAME}, two prices}]}``.

    Raises:
        InputError: the file is missing or damaged, or an LLM is named twice.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if int(content["schema_version"]) > SCHEMA_VERSION:
            raise InputError(f"{path} is newer than this program; install a newer version.")
        linked = tuple(
            LinkedLLM(
                str(one["name"]),
                {str(source): str(name) for source, name in one["names"].items()},
                float(one[PRICES[0]]),
                float(one[PRICES[1]]),
            )
            for one in content["llms"]
        )
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no table of linked LLMs ({error!r}); mend it.") from None
    named = [one.name for one in linked]
    named_in = [(source, name) for one in linked for source, name in one.names.items()]
    repeated = {name for name in named if named.count(name) > 1}
    repeated |= {name for source, name in named_in if named_in.count((source, name)) > 1}
    if repeated:
        raise InputError(f"{path} names {', '.join(sorted(repeated))} more than once; keep one entry.")
    return linked


def joined(sources: Mapping[str, xr.Dataset], linked: Sequence[LinkedLLM]) -> xr.Dataset:
    """One canonical dataset of several, with the coordinate ``source`` (query).

    Args:
        sources: canonical datasets by name.
        linked: the LLMs that occur in several of them. All other LLMs keep their names.

    Raises:
        InputError: the table names an LLM that a source does not have, or sources share a name that the table does not have.

    >>> def answers(llm, text):
    ...     cells = {"score": (("query", "llm"), [[1.0]]), "trials": (("query", "llm"), [[1]])}
    ...     coords = {"query": ["1"], "llm": [llm], "task": ("query", ["t"]), "split": ("query", [""])}
    ...     return xr.Dataset(cells, coords | {"text": ("query", [text])})
    >>> link = LinkedLLM("m", {"a": "m", "b": "M-it"}, 0.1, 0.2)
    >>> both = joined({"a": answers("m", "x"), "b": answers("M-it", "y")}, [link])
    >>> both["query"].values.tolist(), both["llm"].values.tolist()
    (['a/1', 'b/1'], ['m'])
    """
    renamed = {source: _renamed(source, data, linked) for source, data in sources.items()}
    _check_names(sources, renamed, linked)
    llms = list(dict.fromkeys(name for names in renamed.values() for name in names))
    measured = [name for name in ANSWER_MEANS if any(name in data for data in sources.values())]
    parts = []
    for source, data in sources.items():
        plain = data.reset_coords(drop=True).assign_coords(llm=np.array(renamed[source], dtype=object))
        cells = {name: plain[name].transpose("query", "llm") for name in measured if name in plain}
        own = xr.Dataset(cells | {"trials": plain["trials"].transpose("query", "llm")})
        own = own.reindex(llm=llms, fill_value={"trials": 0})
        absent = {
            name: (("query", "llm"), np.full(own["trials"].shape, np.nan))
            for name in measured
            if name not in own
        }
        prefixed = {
            name: ("query", np.array([f"{source}/{value}" for value in data[name].values], dtype=object))
            for name in ("query", "task")
        }
        kept = {name: ("query", data[name].values.astype(object)) for name in QUERY_COORDS if name != "task"}
        told = {"source": ("query", np.full(data.sizes["query"], source, dtype=object))}
        parts.append(own.assign(absent).assign_coords(prefixed | kept | told))
    together = xr.concat(parts, "query")
    return together.assign(trials=together["trials"].astype(np.int64)).assign_coords(
        _llm_coords(sources, renamed, linked, llms) | {"llm": ("llm", np.array(llms, dtype=object))}
    )


def of_source(data: xr.Dataset, source: str) -> xr.Dataset:
    """The queries of one source, and the LLMs that answered any of them.

    Raises:
        InputError: there is no such source.
    """
    part = data.isel(query=np.flatnonzero(data["source"].values == source))
    if not part.sizes["query"]:
        raise InputError(f"There is no source {source!r}; choose from {', '.join(source_names(data))}.")
    return part.isel(llm=np.flatnonzero((part["trials"].values > 0).any(axis=0)))


def source_names(data: xr.Dataset) -> list[str]:
    """Names of the sources, in the order of their queries."""
    return list(dict.fromkeys(str(name) for name in data["source"].values))


def shared_queries(data: xr.Dataset, similarity: float = SIMILARITY) -> pd.DataFrame:
    """Pairs of queries of two sources that ask the same: alike up to white space and case, or close in meaning.

    Args:
        data: from `joined`, with ``embedding``, unit norm.
        similarity: cosine from which on two queries count as one.

    Returns:
        Columns ``first``, ``second`` (positions of queries, the first from the earlier source), ``similarity``, and ``reason``
        (SAME_TEXT or CLOSE).
    """
    source, embedding = data["source"].values, data["embedding"].values
    text = np.array([" ".join(str(one).split()).casefold() for one in data["text"].values], dtype=object)
    names, found = source_names(data), []
    for position, name in enumerate(names):
        for other in names[position + 1 :]:
            rows, columns = np.flatnonzero(source == name), np.flatnonzero(source == other)
            cosine = embedding[rows] @ embedding[columns].T
            alike = text[rows][:, None] == text[columns][None, :]
            i, j = np.nonzero((cosine >= similarity) | alike)
            reason = np.where(alike[i, j], SAME_TEXT, CLOSE).astype(object)
            pair = {"first": rows[i], "second": columns[j], "similarity": cosine[i, j], "reason": reason}
            found.append(pd.DataFrame(pair))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=_PAIRS)


def on_one_side(data: xr.Dataset, pairs: pd.DataFrame, held_out: str = "test") -> xr.Dataset:
    """The same data with the split changed so that no query of a pair is trained on while the other is held out: both are held out.

    Queries of one source with the same text go together, too.
    """
    queries = data.sizes["query"]
    texts = pd.factorize(pd.Series([" ".join(str(one).split()).casefold() for one in data["text"].values]))[0]
    first = np.concatenate([pairs["first"].to_numpy(dtype=int), np.arange(queries)])
    second = np.concatenate([pairs["second"].to_numpy(dtype=int), queries + texts])
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = queries + int(texts.max(initial=-1)) + 1  # a node for each text beside one for each query
    edges = coo_array((np.ones(len(first)), (first, second)), shape=(size, size))
    group = connected_components(edges, directed=False)[1][:queries]
    split = data["split"].values.astype(object)
    touched = np.unique(group[split == held_out])
    return data.assign_coords(split=("query", np.where(np.isin(group, touched), held_out, split)))


def declined(data: xr.Dataset, pairs: pd.DataFrame, held_out: str = "test") -> dict[str, int]:
    """How many queries `on_one_side` takes from training, by the first reason that holds.

    Returns:
        Number of queries by reason: of a pair of the same text, of a pair that is close in meaning, or tied to a held-out query by a
        chain of such pairs or by another query of its own source with its text.
    """
    before, after = data["split"].values, on_one_side(data, pairs, held_out)["split"].values
    taken = np.flatnonzero(before != after)
    reasons = {}
    for reason in (SAME_TEXT, CLOSE):
        kind = pairs[pairs["reason"] == reason]
        first, second = kind["first"].to_numpy(dtype=int), kind["second"].to_numpy(dtype=int)
        direct = np.concatenate([first[before[second] == held_out], second[before[first] == held_out]])
        reasons[f"{reason} as a held-out query of another source"] = np.intersect1d(taken, direct)
        taken = np.setdiff1d(taken, direct)
    reasons["tied to a held-out query through other queries"] = taken
    return {reason: len(queries) for reason, queries in reasons.items()}


def llm_sources(data: xr.Dataset) -> dict[str, list[str]]:
    """In which sources each LLM answered, in the order of the sources."""
    answered = {
        name: data["trials"].values[data["source"].values == name].sum(axis=0) > 0
        for name in source_names(data)
    }
    return {
        str(llm): [name for name, there in answered.items() if there[column]]
        for column, llm in enumerate(data["llm"].values)
    }


def aliases(linked: Sequence[LinkedLLM], llms: Sequence[str]) -> dict[str, str]:
    """Other names of the LLMs of a model, to the names they have there.

    >>> aliases([LinkedLLM("m", {"a": "m", "b": "M-it"}, 0.1, 0.2)], ["m", "n"])
    {'M-it': 'm'}
    """
    return {
        other: one.name
        for one in linked
        if one.name in llms
        for other in one.names.values()
        if other not in llms
    }


def unlinked(data: xr.Dataset, llm: str) -> xr.Dataset:
    """The same data with one linked LLM taken apart: its answers in each source are those of an LLM `NAME (SOURCE)`.

    It tells what the remaining links are worth: each half can be predicted on the other's queries, where the answers are known.
    """
    index = [str(name) for name in data["llm"].values].index(llm)
    sources = source_names(data)
    rest = np.delete(np.arange(data.sizes["llm"]), index)
    parts = [data.isel(llm=rest)]
    for source in sources:
        own = data.isel(llm=[index]).assign_coords(llm=np.array([f"{llm} ({source})"], dtype=object))
        there = (own["source"] == source) & (own["trials"] > 0)
        if not bool(there.any()):
            continue
        cells = {name: own[name].where(there) for name in ANSWER_MEANS if name in own}
        parts.append(own.assign(cells).assign(trials=own["trials"].where(there, 0)))
    return xr.concat(parts, "llm", data_vars="minimal", coords="minimal", compat="override")


def _renamed(source: str, data: xr.Dataset, linked: Sequence[LinkedLLM]) -> list[str]:
    table = {one.names[source]: one.name for one in linked if source in one.names}
    return [table.get(str(name), str(name)) for name in data["llm"].values]


def _check_names(
    sources: Mapping[str, xr.Dataset], renamed: Mapping[str, list[str]], linked: Sequence[LinkedLLM]
) -> None:
    problems = []
    for one in linked:
        for source, name in one.names.items():
            if source in sources and name not in sources[source]["llm"].values.tolist():
                problems.append(
                    f"The source {source} has no LLM {name}, which the table links as {one.name}."
                )
    told = {one.name for one in linked}
    names = list(sources)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            both = sorted(set(renamed[first]) & set(renamed[second]) - told)
            problems += [
                f"{name} occurs in {first} and in {second}; say in the table of linked LLMs whether it is the same."
                for name in both
            ]
    for source, found in renamed.items():
        twice = sorted({name for name in found if found.count(name) > 1})
        problems += [f"Two LLMs of {source} would be called {name}; mend the table." for name in twice]
    if problems:
        raise InputError(problems)


def _llm_coords(
    sources: Mapping[str, xr.Dataset],
    renamed: Mapping[str, list[str]],
    linked: Sequence[LinkedLLM],
    llms: list[str],
) -> dict[str, tuple[str, np.ndarray]]:
    """What is known of the LLMs: the first source that tells something counts; linked LLMs have the price of the table."""
    table = pd.DataFrame(index=pd.Index(llms))
    for source, data in sources.items():
        columns = [name for name in LLM_COORDS if name in data.coords]
        frame = pd.DataFrame({name: data[name].values for name in columns}, index=renamed[source])
        table = table.combine_first(frame.mask(frame == ""))
    table = table.reindex(llms)
    for one in linked:
        if one.name in llms:
            table.loc[one.name, list(PRICES)] = [one.input_price_per_million, one.output_price_per_million]
    numeric = {name for name in table if pd.api.types.is_numeric_dtype(table[name].dtype)}
    return {
        str(name): (
            "llm",
            table[name].to_numpy(dtype=np.float64)
            if name in numeric
            else table[name].astype(object).where(table[name].notna(), "").to_numpy(dtype=object),
        )
        for name in LLM_COORDS
        if name in table
    }

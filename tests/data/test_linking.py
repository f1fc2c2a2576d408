"""Several data sets as one: names, prices, shared queries, and an LLM taken apart."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.data.linking import (
    LinkedLLM,
    joined,
    of_source,
    on_one_side,
    read_linked_llms,
    shared_queries,
    source_names,
    unlinked,
)
from bayes_irt_router.errors import InputError

TABLE = Path(__file__).parents[2] / "benchmarks" / "linked_llms.json"


@pytest.fixture(scope="module")
def sources(bank: Callable[..., xr.Dataset]) -> dict[str, xr.Dataset]:
    """Two banks: 5 and 4 LLMs, of which the first of each is one LLM under two names; no tokens in the second."""
    first, second = bank(40, 5, seed=1), bank(36, 5, seed=2)
    second = second.isel(llm=slice(4)).drop_vars(["output_tokens"])
    second = second.assign_coords(llm=np.array(["one", "two", "three", "four"], dtype=object))
    return {"a": first, "b": second}


@pytest.fixture(scope="module")
def link(sources: dict[str, xr.Dataset]) -> LinkedLLM:
    return LinkedLLM("same", {"a": str(sources["a"]["llm"].values[0]), "b": "one"}, 1.5, 2.5)


def test_nothing_is_lost_and_nothing_added(sources: dict[str, xr.Dataset], link: LinkedLLM):
    data = joined(sources, [link])
    assert data.sizes == {"query": 76, "llm": 8}
    assert int(data["trials"].sum()) == sum(int(one["trials"].sum()) for one in sources.values())
    for name, one in sources.items():
        part = of_source(data, name)
        assert part.sizes == {"query": one.sizes["query"], "llm": one.sizes["llm"]}
        order = ["same" if n == link.names[name] else n for n in one["llm"].values]
        np.testing.assert_array_equal(part["score"].sel(llm=order).values, one["score"].values)
        assert set(part["task"].values) == {f"{name}/{task}" for task in one["task"].values}
    assert np.isnan(of_source(data, "b")["output_tokens"].values).all()


def test_a_linked_llm_has_the_price_of_the_table(sources: dict[str, xr.Dataset], link: LinkedLLM):
    data = joined(sources, [link])
    assert float(data["input_price_per_million"].sel(llm="same")) == 1.5
    assert float(data["output_price_per_million"].sel(llm="same")) == 2.5
    others = [name for name in sources["b"]["llm"].values if name != "one"]
    np.testing.assert_array_equal(
        data["input_price_per_million"].sel(llm=others).values,
        sources["b"]["input_price_per_million"].sel(llm=others).values,
    )


def test_names_are_not_taken_for_the_same_without_being_told(sources: dict[str, xr.Dataset], link: LinkedLLM):
    with pytest.raises(InputError, match="occurs in a and in b"):
        joined({"a": sources["a"], "b": sources["a"]}, [])
    with pytest.raises(InputError, match="has no LLM nobody"):
        joined(sources, [LinkedLLM("same", {"a": "nobody"}, 1.0, 1.0)])
    clash = LinkedLLM("two", {"a": link.names["a"], "b": "one"}, 1.0, 1.0)
    with pytest.raises(InputError, match="would be called two"):
        joined(sources, [clash])


def test_the_committed_table_has_one_price_each():
    linked = read_linked_llms(TABLE)
    assert len(linked) == 3
    assert all({"zeroeval", "llmrouter"} == set(one.names) for one in linked)
    assert all(one.input_price_per_million > 0 < one.output_price_per_million for one in linked)


@pytest.mark.parametrize("content", ["", "[]", '{"schema_version": 1}', '{"schema_version": 9, "llms": []}'])
def test_a_damaged_table_is_one_sentence(tmp_path: Path, content: str):
    (tmp_path / "table.json").write_text(content)
    with pytest.raises(InputError) as caught:
        read_linked_llms(tmp_path / "table.json")
    assert len(caught.value.problems) == 1


def test_an_llm_linked_twice_is_refused(tmp_path: Path):
    entry = {"name": "m", "names": {"a": "m"}, "input_price_per_million": 1, "output_price_per_million": 1}
    (tmp_path / "table.json").write_text(
        json.dumps({"schema_version": 1, "llms": [entry, entry | {"name": "n"}]})
    )
    with pytest.raises(InputError, match="more than once"):
        read_linked_llms(tmp_path / "table.json")


def with_vectors(texts: dict[str, list[str]], vectors: np.ndarray, splits: list[str]) -> xr.Dataset:
    source = [name for name, own in texts.items() for _ in own]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return xr.Dataset(
        {"embedding": (("query", "embedding_dim"), unit)},
        coords={
            "query": [str(i) for i in range(len(source))],
            "source": ("query", source),
            "text": ("query", [text for own in texts.values() for text in own]),
            "split": ("query", np.array(splits, dtype=object)),
        },
    )


def test_shared_queries_are_those_of_the_same_words_or_meaning_in_two_sources():
    vectors = np.array([[1.0, 0], [0.9, 0.1], [0, 1.0], [1.0, 0.05], [-1.0, 0]])
    data = with_vectors({"a": ["How?", "how so", "Why?"], "b": ["How  much", "why?"]}, vectors, ["train"] * 5)
    pairs = {(row.first, row.second) for row in shared_queries(data).itertuples()}
    # The first two of one source are alike, but of one source; the last two differ in meaning, not in words.
    assert pairs == {(0, 3), (1, 3), (2, 4)}


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(10, 19)), max_size=15),
    st.lists(st.sampled_from(["train", "test"]), min_size=20, max_size=20),
)
def test_no_pair_is_on_both_sides_and_no_held_out_query_is_lost(
    pairs: list[tuple[int, int]], splits: list[str]
):
    import pandas as pd

    data = with_vectors(
        {"a": [f"a{i}" for i in range(10)], "b": [f"b{i}" for i in range(10)]}, np.ones((20, 1)), splits
    )
    found = on_one_side(data, pd.DataFrame(pairs, columns=["first", "second"], dtype=int))["split"].values
    assert all(found[i] == found[j] for i, j in pairs)
    assert all(new == "test" for old, new in zip(splits, found, strict=True) if old == "test")
    assert ("test" in found) == ("test" in splits)


def test_an_llm_taken_apart_keeps_its_answers_by_source(sources: dict[str, xr.Dataset], link: LinkedLLM):
    data = joined(sources, [link])
    apart = unlinked(data, "same")
    assert set(apart["llm"].values) == set(data["llm"].values) - {"same"} | {"same (a)", "same (b)"}
    for source in source_names(data):
        own, other = of_source(data, source), of_source(apart, source)
        np.testing.assert_array_equal(
            own["score"].sel(llm="same").values, other["score"].sel(llm=f"same ({source})").values
        )
        assert [name for name in other["llm"].values if name.startswith("same")] == [f"same ({source})"]
    assert int(apart["trials"].sum()) == int(data["trials"].sum())

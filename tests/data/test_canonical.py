import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_irt_router.data.canonical import (
    data_fingerprint,
    read_dataset,
    select_llms,
    select_split,
    write_dataset,
)
from bayes_irt_router.data.files import write_table
from bayes_irt_router.errors import InputError

SUFFIXES = ["parquet", "csv", "jsonl"]
REAL_DATA = Path(__file__).parents[2] / ".." / "shared" / "data"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = texts.map(lambda text: f"n{text}")  # never blank
amounts = st.floats(0.0, 1e12)


@st.composite
def datasets(draw: st.DrawFn) -> xr.Dataset:
    """Any dataset of the layout in which every query and every LLM has an answer."""
    queries = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    llms = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    shape = (len(queries), len(llms))

    def column(values: st.SearchStrategy, length: int) -> list:
        return draw(st.lists(values, min_size=length, max_size=length))

    def grid(values: st.SearchStrategy) -> np.ndarray:
        return np.array(column(values, shape[0] * shape[1]), dtype=np.float64).reshape(shape)

    trials = grid(st.integers(0, 3)).astype(np.int64)
    for row in range(shape[0]):
        trials[row, row % shape[1]] = max(trials[row, row % shape[1]], 1)
    for column_index in range(shape[1]):
        trials[column_index % shape[0], column_index] = max(trials[column_index % shape[0], column_index], 1)
    score = np.where(trials > 0, grid(st.floats(0.0, 1.0)), np.nan)
    dims = ("query", "llm")
    data = {"score": (dims, score)}
    for name in draw(st.sets(st.sampled_from(["input_tokens", "output_tokens", "cost_usd"]))):
        values = np.where(trials > 0, grid(amounts | st.just(np.nan)), np.nan)
        values[0, 0] = 1.0  # a column without a value would be none; cell (0, 0) always has an answer
        data[name] = (dims, values)
    data["trials"] = (dims, trials)
    coords: dict[str, tuple[str, np.ndarray]] = {
        "query": ("query", np.array(queries, dtype=object)),
        "task": ("query", np.array(column(st.just("") | names, shape[0]), dtype=object)),
        "split": ("query", np.array(column(st.just("") | names, shape[0]), dtype=object)),
        "text": ("query", np.array(column(names, shape[0]), dtype=object)),
        "llm": ("llm", np.array(llms, dtype=object)),
    }
    kinds: dict[str, tuple[st.SearchStrategy, object]] = {
        "developer": (st.just("") | names, "someone"),
        "release_date": (st.sampled_from(["", "2024-07", "1999-12"]), "2023-01"),
        "parameters_billion": (st.just(np.nan) | st.floats(1e-3, 1e5), 7.0),
        "open_weights": (st.sampled_from([0.0, 1.0, np.nan]), 1.0),
        "input_price_per_million": (st.just(np.nan) | amounts, 0.0),
    }
    for name in draw(st.sets(st.sampled_from(sorted(kinds)))):
        values, first = kinds[name]
        filled = [first, *column(values, shape[1])[1:]]
        coords[name] = ("llm", np.array(filled, dtype=object if isinstance(first, str) else np.float64))
    return xr.Dataset(data, coords=coords)


def example() -> xr.Dataset:
    score = np.array([[0.0, 1.0], [0.5, np.nan], [1.0, 0.25]])
    return xr.Dataset(
        {
            "score": (("query", "llm"), score),
            "trials": (("query", "llm"), (~np.isnan(score)).astype(np.int64)),
        },
        coords={
            "query": ("query", np.array(["q1", "q2", "q3"], dtype=object)),
            "task": ("query", np.array(["sum", "sum", ""], dtype=object)),
            "split": ("query", np.array(["train", "test", "train"], dtype=object)),
            "text": ("query", np.array(["1 + 1?", "1 + 2?", "Why?"], dtype=object)),
            "llm": ("llm", np.array(["a", "b"], dtype=object)),
            "input_price_per_million": ("llm", np.array([0.5, np.nan])),
        },
    )


def write_tables(
    directory: Path, responses: dict, queries: dict | None = None, llms: dict | None = None
) -> None:
    unique = list(dict.fromkeys(responses["query_id"]))
    write_table(directory / "responses.csv", pd.DataFrame(responses))
    write_table(
        directory / "queries.csv",
        pd.DataFrame(queries or {"query_id": unique, "text": [f"{name}?" for name in unique]}),
    )
    if llms is not None:
        write_table(directory / "llms.csv", pd.DataFrame(llms))


@settings(deadline=None, max_examples=25)
@given(dataset=datasets(), suffix=st.sampled_from(SUFFIXES))
def test_what_is_written_is_read_back_exactly(dataset: xr.Dataset, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(dataset, Path(folder) / "data", suffix)
        back = read_dataset(Path(folder) / "data")
    xr.testing.assert_identical(back, dataset)
    assert {name: back[name].dtype for name in back.variables} == {
        name: dataset[name].dtype for name in dataset.variables
    }
    assert data_fingerprint(back) == data_fingerprint(dataset)


@settings(deadline=None, max_examples=40)
@given(dataset=datasets(), data=st.data())
def test_the_fingerprint_ignores_order_and_extras_but_no_observation(
    dataset: xr.Dataset, data: st.DataObject
) -> None:
    order = {dim: data.draw(st.permutations(range(dataset.sizes[dim]))) for dim in ("query", "llm")}
    shuffled = dataset.isel(order).transpose("llm", "query")
    assert data_fingerprint(shuffled) == data_fingerprint(dataset)
    assert data_fingerprint(shuffled[["score", "trials"]].drop_vars("text")) == data_fingerprint(dataset)

    changed = dataset.copy(deep=True)
    changed["score"][0, 0] = 0.75 if float(dataset["score"][0, 0]) != 0.75 else 0.5
    assert data_fingerprint(changed) != data_fingerprint(dataset)
    changed = dataset.copy(deep=True)
    changed["trials"][0, 0] += 1
    assert data_fingerprint(changed) != data_fingerprint(dataset)
    for dim in ("query", "llm"):
        renamed = dataset.assign_coords({dim: [f"x{name}" for name in dataset[dim].values]})
        assert data_fingerprint(renamed) != data_fingerprint(dataset)


@settings(deadline=None, max_examples=15)
@given(
    scores=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8),
    counts=st.lists(st.integers(1, 5), min_size=8, max_size=8),
    data=st.data(),
)
def test_trials_become_their_mean_whatever_the_order_of_rows(
    scores: list[float], counts: list[int], data: st.DataObject
) -> None:
    counts = counts[: len(scores)]
    responses = pd.DataFrame(
        {"query_id": "q", "llm": "a", "score": scores, "trials": counts, "trial": range(len(scores))}
    )
    order = data.draw(st.permutations(range(len(scores))))
    with tempfile.TemporaryDirectory() as folder:
        read = []
        for name, rows in [("straight", responses), ("shuffled", responses.iloc[order])]:
            write_tables(Path(folder) / name, rows.to_dict("list"))
            read.append(read_dataset(Path(folder) / name))
    assert read[0]["score"].item() == pytest.approx(np.average(scores, weights=counts), abs=1e-12)
    assert 0.0 <= read[0]["score"].item() <= 1.0
    assert read[0]["trials"].item() == sum(counts)
    xr.testing.assert_identical(read[0], read[1])
    assert data_fingerprint(read[0]) == data_fingerprint(read[1])


def test_the_three_formats_read_the_same(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        write_dataset(example(), tmp_path / suffix, suffix)
        xr.testing.assert_identical(read_dataset(tmp_path / suffix), example())


def test_formats_may_be_mixed_and_single_files_go_first(tmp_path: Path) -> None:
    write_dataset(example(), tmp_path / "a", "csv")
    write_dataset(example(), tmp_path / "b", "parquet")
    single = read_dataset(
        responses=tmp_path / "a" / "responses.csv",
        queries=tmp_path / "b" / "queries.parquet",
        llms=tmp_path / "a" / "llms.csv",
    )
    xr.testing.assert_identical(single, example())
    (tmp_path / "b" / "responses.parquet").write_bytes(b"damaged")
    overridden = read_dataset(tmp_path / "b", responses=tmp_path / "a" / "responses.csv")
    xr.testing.assert_identical(overridden, example())


def test_tokens_are_means_over_the_trials_that_report_them(tmp_path: Path) -> None:
    write_tables(
        tmp_path,
        {
            "query_id": ["q", "q", "q", "r"],
            "llm": ["a"] * 4,
            "score": [1, 0, 0, 1],
            "trial": [1, 2, 3, 1],
            "input_tokens": [10, 20, None, None],
            "output_tokens": [None] * 4,
        },
    )
    dataset = read_dataset(tmp_path)
    np.testing.assert_array_equal(dataset["input_tokens"].values, [[15.0], [np.nan]])
    assert "output_tokens" not in dataset  # a column without a value is none
    np.testing.assert_array_equal(dataset["trials"].values, [[3], [1]])


def test_orders_are_those_of_the_files(tmp_path: Path) -> None:
    responses = {"query_id": ["b", "a", "b"], "llm": ["y", "x", "x"], "score": [1, 0, 1]}
    write_tables(tmp_path, responses, {"query_id": ["a", "b"], "text": ["A", "B"]})
    assert read_dataset(tmp_path)["llm"].values.tolist() == ["y", "x"]  # no llms: as they appear
    write_tables(tmp_path, responses, {"query_id": ["a", "b"], "text": ["A", "B"]}, {"llm": ["x", "y"]})
    dataset = read_dataset(tmp_path)
    assert dataset["query"].values.tolist() == ["a", "b"]
    assert dataset["llm"].values.tolist() == ["x", "y"]
    np.testing.assert_array_equal(dataset["score"].values, [[0.0, np.nan], [1.0, 1.0]])


def test_names_that_look_like_numbers_or_missing_values_stay(tmp_path: Path) -> None:
    write_tables(
        tmp_path,
        {"query_id": ["007", "7"], "llm": ["NA", "null"], "score": [1, 0]},
        llms={"llm": ["NA", "null"], "developer": ["None", "nan"]},
    )
    dataset = read_dataset(tmp_path)
    assert dataset["query"].values.tolist() == ["007", "7"]
    assert dataset["llm"].values.tolist() == ["NA", "null"]
    assert dataset["developer"].values.tolist() == ["None", "nan"]


def test_what_nobody_answered_is_dropped_with_a_count(tmp_path: Path) -> None:
    write_tables(
        tmp_path,
        {"query_id": ["a"], "llm": ["x"], "score": [1]},
        {"query_id": ["a", "b", "c"], "text": ["A", "B", "C"]},
        {"llm": ["w", "x"], "developer": ["one", None]},
    )
    with pytest.warns(UserWarning, match="^Dropped") as caught:
        dataset = read_dataset(tmp_path)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    assert "Dropped 2 of 3 queries" in messages[0]
    assert "Dropped 1 of 2 LLMs" in messages[1]
    assert dict(dataset.sizes) == {"query": 1, "llm": 1}
    assert "developer" not in dataset.coords


def test_problems_in_the_tables_come_together_and_name_their_files(tmp_path: Path) -> None:
    write_tables(
        tmp_path,
        {"query_id": ["a", "a"], "llm": ["x", "z"], "score": [2, 1]},
        {"query_id": ["a", "b"], "text": ["A", ""]},
        {"llm": ["x", "x"], "input_price_per_million": [1, 2]},
    )
    with pytest.raises(InputError) as caught:
        read_dataset(tmp_path)
    starts = [problem.split(": ")[0] for problem in caught.value.problems]
    assert starts == [
        f"{tmp_path / 'responses.csv'}, data row 1, column score",
        f"{tmp_path / 'queries.csv'}, data row 2, column text",
        f"{tmp_path / 'llms.csv'}, data row 2, column input_price_per_million",
        f"{tmp_path / 'responses.csv'}, data row 2, column llm",
    ]


def test_missing_and_damaged_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "llms.parquet").write_bytes(b"damaged")
    with pytest.raises(InputError) as caught:
        read_dataset(tmp_path)
    problems = caught.value.problems
    assert len(problems) == 3
    assert "holds none of responses.parquet" in problems[0]
    assert "holds none of queries.parquet" in problems[1]
    assert "llms.parquet cannot be read" in problems[2]
    with pytest.raises(InputError, match="is not a folder"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError) as caught:
        read_dataset()
    assert len(caught.value.problems) == 2


def test_trials_are_written_only_where_there_are_several(tmp_path: Path) -> None:
    write_dataset(example(), tmp_path / "single", "jsonl")
    row = json.loads((tmp_path / "single" / "responses.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert row == {"query_id": "q1", "llm": "a", "score": 0.0}
    several = example()
    several["trials"][0, 0] = 4
    write_dataset(several, tmp_path / "several", "jsonl")
    row = json.loads((tmp_path / "several" / "responses.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert row == {"query_id": "q1", "llm": "a", "score": 0.0, "trials": 4}


def test_writing_replaces_its_own_tables_and_leaves_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    write_dataset(example(), tmp_path, "csv")
    write_dataset(example().isel(query=[0]), tmp_path, "csv")
    assert read_dataset(tmp_path).sizes["query"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "llms.csv",
        "notes.txt",
        "queries.csv",
        "responses.csv",
    ]


def test_writing_refuses_what_would_be_ambiguous(tmp_path: Path) -> None:
    write_dataset(example(), tmp_path, "csv")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"already holds responses\.csv"):
        write_dataset(example(), tmp_path, "parquet")
    with pytest.raises(InputError, match="Unknown table format 'xlsx'"):
        write_dataset(example(), tmp_path, "xlsx")
    assert sorted(tmp_path.iterdir()) == before


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    broken = example()
    broken["input_price_per_million"][1] = np.inf  # JSON has no infinity, which shows after the responses
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_dataset(broken, tmp_path / "new" / "data", "jsonl")
    assert list(tmp_path.iterdir()) == []
    write_dataset(example(), tmp_path, "jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_dataset(broken.isel(query=[0]), tmp_path, "jsonl")
    xr.testing.assert_identical(read_dataset(tmp_path), example())


def test_select_split_keeps_all_llms_and_names_the_splits() -> None:
    dataset = example()
    test = select_split(dataset, "test")
    assert test["query"].values.tolist() == ["q2"]
    assert test["llm"].values.tolist() == ["a", "b"]  # b answered nothing there
    xr.testing.assert_identical(select_split(dataset, "train"), dataset.isel(query=[0, 2]))
    with pytest.raises(InputError, match="No query is in split 'dev'; choose one of: test, train"):
        select_split(dataset, "dev")
    dataset["split"] = ("query", np.array(["", "", ""], dtype=object))
    for split in ["train", ""]:
        with pytest.raises(InputError, match="the queries have no splits"):
            select_split(dataset, split)


def test_select_llms_follows_the_names() -> None:
    dataset = example()
    xr.testing.assert_identical(select_llms(dataset, ["b", "a", "b"]), dataset.isel(llm=[1, 0]))
    with pytest.raises(InputError, match="Unknown LLMs: c, d; choose from: a, b"):
        select_llms(dataset, ["a", "c", "d"])
    with pytest.raises(InputError, match="No LLM is named"):
        select_llms(dataset, [])


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real response data is not beside the repository")
@pytest.mark.parametrize(
    ("name", "queries", "llms", "responses"),
    [("zeroeval", 2840, 53, 123521), ("llmrouter", 5989, 9, 53901)],
)
def test_real_data_is_read_whole(name: str, queries: int, llms: int, responses: int) -> None:
    dataset = read_dataset(REAL_DATA / name)
    assert dict(dataset.sizes) == {"query": queries, "llm": llms}
    assert int(dataset["trials"].sum()) == responses
    assert int(dataset["score"].notnull().sum()) == responses
    assert int(dataset["trials"].max()) == 1
    sizes = [select_split(dataset, split).sizes["query"] for split in ("train", "test")]
    assert sum(sizes) == queries
    assert bool(dataset["input_price_per_million"].notnull().all())

"""What holds for every format: the canonical dataset, detection, and one sentence for whatever is broken."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayes_irt_router.data.canonical import read_dataset, write_dataset
from bayes_irt_router.data.readers.catalogue import FORMATS, detected_format, format_named, read_source
from bayes_irt_router.errors import InputError


def format_of(example: str):
    return format_named(example.removesuffix("-archive"))


def read(example: str, source: Path, folder: Path, examples) -> xr.Dataset:
    queries = examples.queries(folder / "texts") if example == "py-irt" else None
    return read_source(source, format_of(example), queries=queries)


def test_every_format_has_an_example(examples):
    assert {format_of(name).name for name in examples.names} == {one.name for one in FORMATS}


def test_the_answers_are_those_of_the_source(example, examples, tmp_path):
    data = read(example, examples.make(example, tmp_path / "a"), tmp_path, examples)
    texts = [str(text) for text in data["text"].values]
    assert sorted(texts) == sorted(examples.questions.values())
    for (query, llm), score in examples.scores.items():
        row = texts.index(examples.questions[query])
        assert data["score"].sel(llm=llm).values[row] == score
    assert (data["trials"] == 1).all()


def test_round_trip_through_the_canonical_layout(example, examples, tmp_path):
    data = read(example, examples.make(example, tmp_path / "a"), tmp_path, examples)
    write_dataset(data, tmp_path / "canonical")
    again = read_dataset(tmp_path / "canonical")
    xr.testing.assert_identical(again.drop_attrs(), data.drop_attrs())


def test_tokens_costs_and_tasks_come_along(examples, tmp_path):
    carried = {
        "irt-router": {"input_tokens"},
        "routerbench": {"cost_usd", "task"},
        "llmrouter": {"input_tokens", "output_tokens", "task"},
        "llmrouterbench": {"input_tokens", "cost_usd", "task", "split"},
        "embedllm": {"task"},
        "inspect": {"input_tokens", "output_tokens", "task"},
        "zeroeval": {"task"},
        "routerarena": {"input_tokens", "output_tokens", "cost_usd", "task"},
        "long": {"cost_usd"},
    }
    values = {"input_tokens": 10, "output_tokens": 20, "cost_usd": 0.001}
    for example, fields in carried.items():
        data = read(example, examples.make(example, tmp_path / example), tmp_path, examples)
        for field in fields:
            if field in values:
                np.testing.assert_array_equal(data[field].values, values[field])
            else:
                assert set(data[field].values) <= {"gsm", "test"}
                assert len(set(data[field].values)) == 1


def test_the_format_is_recognised(example, examples, tmp_path):
    assert detected_format(examples.make(example, tmp_path)) is format_of(example)


def test_a_source_of_no_format_and_one_of_two_are_told(examples, tmp_path):
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="none of the formats known"):
        detected_format(tmp_path / "notes.csv")
    both = [
        {
            "task_name": "t",
            "query": "Why?",
            "model_name": "m",
            "performance": 1,
            "subject_id": "m",
            "responses": {},
        }
    ]
    path = examples.lines(tmp_path / "both.jsonl", both)
    with pytest.raises(InputError, match=r"llmrouter \(.*py-irt \(.*--format") as caught:
        detected_format(path)
    assert len(caught.value.problems) == 1
    with pytest.raises(InputError, match="does not exist"):
        detected_format(tmp_path / "nowhere")
    with pytest.raises(InputError, match="choose from irt-router"):
        format_named("excel")


def test_pickles_are_refused_with_the_safe_way(example, examples, tmp_path):
    path = tmp_path / "routerbench_0shot.pkl"
    path.write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match="Parquet"):
        detected_format(path)
    with pytest.raises(InputError, match="Parquet"):
        read_source(path, format_of(example))


def test_texts_and_metrics_where_they_belong(examples, tmp_path):
    source = examples.make("py-irt", tmp_path)
    with pytest.raises(InputError, match="--queries"):
        read_source(source, format_named("py-irt"))
    with pytest.raises(InputError, match="leave --queries out"):
        read_source(examples.make("long", tmp_path), format_named("long"), queries=examples.queries(tmp_path))
    with pytest.raises(InputError, match="leave --metric out"):
        read_source(source, format_named("py-irt"), metrics=["acc"])


def test_a_table_of_llms_adds_prices(examples, tmp_path):
    (tmp_path / "llms.csv").write_text("model,input_price,output_price,size\nacme/big,1,2,70B\n")
    data = read_source(examples.make("long", tmp_path), format_named("long"), llms=tmp_path / "llms.csv")
    assert data["input_price_per_million"].sel(llm="acme/big") == 1
    assert data["parameters_billion"].sel(llm="acme/big") == 70
    assert np.isnan(data["output_price_per_million"].sel(llm="small-7b"))


# Broken sources. Whatever bytes stand in a file, and whatever a JSON value is replaced with, the reader returns data
# or says what is wrong; nothing else escapes.

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(1e300) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
SLOW_SETUP = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


def reads_or_says_why(example: str, source: Path, folder: Path, examples) -> None:
    problems: tuple[str, ...] = ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # dropped queries are news to a user, not an error
        try:
            score = read(example, source, folder, examples)["score"].values
        except InputError as error:
            problems, score = error.problems, np.zeros(0)
    assert problems or score.size
    assert [problem for problem in problems if not problem.endswith(".") or "\n" in problem] == []
    assert ((score >= 0) & (score <= 1) | np.isnan(score)).all()


@settings(max_examples=12, suppress_health_check=SLOW_SETUP)
@given(data=st.data())
def test_damaged_bytes_give_input_errors_only(example, examples, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    source = examples.make(example, folder / "a")
    files = sorted(path for path in (folder / "a").rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.sampled_from([len(content), start, min(start + 5, len(content))]))
    path.write_bytes(content[:start] + data.draw(st.binary(max_size=6)) + content[end:])
    reads_or_says_why(example, source, folder, examples)
    shutil.rmtree(folder)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inside for place in places(one, (*path, key)))]


def changed(value, path: tuple, new: object, drop: bool):
    if not path:
        return new
    key, rest = path[0], path[1:]
    copy = dict(value) if isinstance(value, dict) else list(value)
    if not rest and drop:
        del copy[key]
    else:
        copy[key] = changed(copy[key], rest, new, drop)
    return copy


JSON_EXAMPLES = ("llmrouter", "llmrouterbench", "py-irt", "lm-eval", "inspect", "zeroeval", "long")


@pytest.mark.parametrize("name", JSON_EXAMPLES)
@settings(max_examples=20, suppress_health_check=SLOW_SETUP)
@given(data=st.data())
def test_wrong_types_and_missing_keys_give_input_errors_only(name, examples, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("wrong")
    source = examples.make(name, folder / "a")
    files = sorted(path for path in (folder / "a").rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    text = path.read_text(encoding="utf-8")
    by_line = path.suffix == ".jsonl"
    content = [json.loads(line) for line in text.splitlines()] if by_line else json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(content)[1:] or [()]))
        content = changed(content, place, data.draw(JSON_VALUES), data.draw(st.booleans()))
    if by_line:
        content = content if isinstance(content, list) else [content]
        path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    reads_or_says_why(name, source, folder, examples)
    shutil.rmtree(folder)


TABLES = ("irt-router", "routerbench", "routellm", "embedllm")


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=15, suppress_health_check=SLOW_SETUP)
@given(data=st.data())
def test_wrong_cells_and_missing_columns_give_input_errors_only(name, examples, tmp_path_factory, data):
    import pandas as pd

    folder = tmp_path_factory.mktemp("cells")
    source = examples.make(name, folder / "a")
    frame = pd.read_parquet(source) if source.suffix == ".parquet" else pd.read_csv(source)
    frame = frame.astype(object)
    for _ in range(data.draw(st.integers(1, 3))):
        if len(frame.columns) and data.draw(st.booleans()):
            frame = frame.drop(columns=[data.draw(st.sampled_from(list(frame.columns)))])
        elif len(frame.columns):
            row, column = (
                data.draw(st.integers(0, len(frame) - 1)),
                data.draw(st.sampled_from(list(frame.columns))),
            )
            frame.loc[row, column] = data.draw(
                st.none() | st.text(st.characters(codec="utf-8"), max_size=5) | st.floats().map(str)
            )
    path = source.with_suffix(".csv")
    if path != source:
        source.unlink()
    frame.to_csv(path, index=False)
    reads_or_says_why(name, path, folder, examples)
    shutil.rmtree(folder)

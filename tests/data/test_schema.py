import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayes_irt_router.data.schema import TABLES, TableName, typed_table, validate

SOURCES: dict[TableName, str] = {"responses": "responses.csv", "queries": "queries.csv", "llms": "llms.csv"}


def sound_tables() -> dict[TableName, pd.DataFrame]:
    return {
        "responses": pd.DataFrame(
            {
                "query_id": ["q1", "q1", "q2", "q2"],
                "llm": ["a", "b", "a", "b"],
                "score": [0.0, 1.0, 0.5, 1.0],
                "input_tokens": [10.0, 11.0, 12.0, np.nan],
                "output_tokens": [1.0, 2.0, 0.0, 4.0],
                "cost_usd": [0.0, 0.1, 0.2, 0.3],
                "trials": [1.0, 2.0, np.nan, 1.0],
            }
        ).astype({"query_id": object, "llm": object}),
        "queries": pd.DataFrame(
            {
                "query_id": ["q1", "q2"],
                "task": ["t", None],
                "split": [None, "test"],
                "text": ["One?", "Two?"],
            },
            dtype=object,
        ),
        "llms": pd.DataFrame(
            {
                "llm": ["a", "b"],
                "developer": ["x", None],
                "release_date": ["2024-07", None],
                "parameters_billion": [7.0, np.nan],
                "context_tokens": [8192.0, np.nan],
                "open_weights": [True, None],
                "input_price_per_million": [0.0, 3.0],
                "output_price_per_million": [0.1, np.nan],
            }
        ).astype({"llm": object, "developer": object, "release_date": object, "open_weights": object}),
    }


def as_csv(tables: dict[TableName, pd.DataFrame]) -> dict[TableName, pd.DataFrame]:
    """The same tables with every cell a text, as they come out of a CSV file."""
    return {name: table.astype("str") for name, table in tables.items()}


def problems_of(tables: dict[TableName, pd.DataFrame]) -> list[str]:
    return validate(tables["responses"], tables["queries"], tables.get("llms"), SOURCES)


def with_cell(table: TableName, row: int, column: str, value: Any) -> dict[TableName, pd.DataFrame]:
    tables = sound_tables()
    tables[table] = tables[table].astype({column: object})
    tables[table].at[row, column] = value
    return tables


@pytest.mark.parametrize("text_only", [False, True])
def test_sound_tables_have_no_problems(text_only: bool) -> None:
    tables = sound_tables()
    assert problems_of(as_csv(tables) if text_only else tables) == []


def test_optional_columns_and_the_table_of_llms_may_be_missing() -> None:
    tables = sound_tables()
    least: dict[TableName, pd.DataFrame] = {
        "responses": tables["responses"][["query_id", "llm", "score"]],
        "queries": tables["queries"][["query_id", "text"]],
    }
    assert problems_of(least) == []


BAD_CELLS: list[tuple[TableName, int, str, Any, str]] = [
    ("responses", 2, "score", 1.5, "1.5 is outside [0, 1]"),
    ("responses", 2, "score", -0.1, "-0.1 is outside [0, 1]"),
    ("responses", 2, "score", np.inf, "inf is outside [0, 1]"),
    ("responses", 2, "score", "good", "'good' is not a number"),
    ("responses", 2, "score", True, "True' is not a number"),
    ("responses", 2, "score", [1], "is not a number"),
    ("responses", 2, "score", None, "the cell is empty"),
    ("responses", 0, "query_id", None, "the cell is empty"),
    ("responses", 0, "query_id", " ", "the cell is empty"),
    ("responses", 0, "llm", None, "the cell is empty"),
    ("responses", 0, "query_id", "q9", "'q9' is not in queries.csv"),
    ("responses", 0, "llm", "c", "'c' is not in llms.csv"),
    ("responses", 1, "input_tokens", -1, "-1 is negative"),
    ("responses", 1, "output_tokens", np.inf, "inf is infinite"),
    ("responses", 1, "output_tokens", "many", "'many' is not a number"),
    ("responses", 1, "cost_usd", -0.5, "-0.5 is negative"),
    ("responses", 1, "cost_usd", 10**400, "is infinite"),
    ("responses", 1, "trials", 0, "0 is outside [1, 1e+09]"),
    ("responses", 1, "trials", 1.5, "1.5 is not a whole number"),
    ("queries", 1, "text", None, "the cell is empty"),
    ("queries", 1, "text", " \n ", "the cell is empty"),
    ("llms", 1, "release_date", "2024", "'2024' is not a month"),
    ("llms", 1, "release_date", "2024-13", "'2024-13' is not a month"),
    ("llms", 1, "release_date", "2024-07-01", "'2024-07-01' is not a month"),
    ("llms", 1, "open_weights", "perhaps", "'perhaps' is neither true nor false"),
    ("llms", 1, "open_weights", 2, "2 is neither true nor false"),
    ("llms", 1, "parameters_billion", 0, "0 is not positive"),
    ("llms", 1, "context_tokens", -5, "-5 is not positive"),
    ("llms", 1, "context_tokens", -np.inf, "-inf is infinite"),
    ("llms", 1, "input_price_per_million", -3, "-3 is negative"),
    ("llms", 1, "output_price_per_million", np.inf, "inf is infinite"),
]


@pytest.mark.parametrize("text_only", [False, True])
@pytest.mark.parametrize(("table", "row", "column", "value", "what"), BAD_CELLS)
def test_a_bad_cell_is_the_only_problem_and_is_located(
    table: TableName, row: int, column: str, value: Any, what: str, text_only: bool
) -> None:
    tables = with_cell(table, row, column, value)
    problems = problems_of(as_csv(tables) if text_only else tables)
    assert len(problems) == 1
    assert problems[0].startswith(f"{SOURCES[table]}, data row {row + 1}, column {column}: ")
    # A text is shown in quotes and a number is not.
    assert what.replace("'", "") in problems[0].replace("'", "")
    assert ";" in problems[0]  # what follows is the mend


def test_true_and_false_are_no_scores_in_any_type() -> None:
    tables = sound_tables()
    tables["responses"]["score"] = [True, False, True, False]
    assert [line.split(": ")[1].split(";")[0] for line in problems_of(tables)] == [
        "True is not a number",
        "False is not a number",
        "True is not a number",
        "False is not a number",
    ]


@pytest.mark.parametrize(
    ("table", "column"),
    [(name, column.name) for name, columns in TABLES.items() for column in columns if column.required],
)
def test_a_missing_required_column_is_named(table: TableName, column: str) -> None:
    tables = sound_tables()
    tables[table] = tables[table].drop(columns=column)
    problems = problems_of(tables)
    assert len(problems) == 1
    assert problems[0].startswith(f"{SOURCES[table]}, column {column}: missing")


@pytest.mark.parametrize("table", list(TABLES))
def test_an_empty_table_is_a_problem(table: TableName) -> None:
    tables = sound_tables()
    tables[table] = tables[table].iloc[:0]
    assert f"{SOURCES[table]} holds no rows; add at least one." in problems_of(tables)


def test_an_exact_duplicate_is_an_error_that_mentions_trials() -> None:
    tables = sound_tables()
    tables["responses"] = tables["responses"].iloc[[0, 1, 2, 3, 1]]
    problems = problems_of(tables)
    assert len(problems) == 1
    assert problems[0].startswith("responses.csv, data row 5, all columns: exact duplicate of data row 2;")
    assert "such as trial" in problems[0]


def test_duplicates_are_compared_by_value_in_known_columns() -> None:
    tables = sound_tables()
    tables["responses"] = as_csv(sound_tables())["responses"].iloc[[0, 1, 2, 3, 1]].reset_index(drop=True)
    tables["responses"].loc[4, "score"] = "1.000"
    assert len(problems_of(tables)) == 1


def test_repeated_answers_are_trials_when_any_column_differs() -> None:
    tables = sound_tables()
    repeated = tables["responses"].iloc[[0, 1, 2, 3, 1]].reset_index(drop=True)
    tables["responses"] = repeated.assign(score=[0.0, 1.0, 0.5, 1.0, 0.0])
    assert problems_of(tables) == []
    tables["responses"] = repeated.assign(trial=[1, 1, 1, 1, 2])
    assert problems_of(tables) == []
    tables["responses"] = repeated.assign(trial=[[1], [1], [1], [1], [1]])  # lists, as JSON Lines may hold
    assert len(problems_of(tables)) == 1


def test_duplicate_queries_and_llms() -> None:
    tables = sound_tables()
    tables["queries"] = tables["queries"].iloc[[0, 1, 0]]
    tables["llms"] = tables["llms"].iloc[[0, 1, 1]]
    assert [line.split(";")[0] for line in problems_of(tables)] == [
        "queries.csv, data row 3, column query_id: duplicate, 'q1' is in data row 1",
        "llms.csv, data row 3, column llm: duplicate, 'b' is in data row 2",
    ]


def test_contradictory_prices_name_both_prices_and_rows() -> None:
    tables = sound_tables()
    llms = tables["llms"].iloc[[0, 1, 1, 1]].reset_index(drop=True)
    llms["input_price_per_million"] = [0.0, np.nan, 3.0, 4.0]  # the second row has no price to contradict
    tables["llms"] = llms
    assert [line.split(";")[0] for line in problems_of(tables)] == [
        "llms.csv, data row 4, column input_price_per_million: contradictory prices of 'b', "
        "4 here and 3 in data row 3",
        "llms.csv, data row 3, column llm: duplicate, 'b' is in data row 2",
    ]


def test_an_unknown_name_is_told_once_with_its_count() -> None:
    tables = sound_tables()
    tables["llms"] = tables["llms"].iloc[:1]
    problems = problems_of(tables)
    assert len(problems) == 1
    assert "data row 2, column llm: 'b' (and 1 more rows) is not in llms.csv" in problems[0]


def test_all_problems_come_at_once() -> None:
    tables = sound_tables()
    tables["responses"]["score"] = [2.0, 1.0, -1.0, 1.0]
    tables["responses"]["llm"] = ["a", "b", "zzz", "b"]
    tables["queries"]["text"] = ["", "Two?"]
    tables["llms"]["release_date"] = ["July", None]
    tables["llms"] = tables["llms"].drop(columns="llm")
    problems = problems_of(tables)
    kinds = {re.sub(r"data row \d+, ", "", line).split(": ")[0] for line in problems}
    assert kinds == {
        "responses.csv, column score",
        "queries.csv, column text",
        "llms.csv, column release_date",
        "llms.csv, column llm",
    }
    assert len(problems) == 5


def test_many_problems_of_a_kind_are_counted() -> None:
    tables = sound_tables()
    tables["responses"] = pd.DataFrame(
        {"query_id": "q1", "llm": "a", "score": np.arange(2.0, 102.0), "cost_usd": -1.0}
    )
    problems = problems_of(tables)
    assert len(problems) == 2 * 21
    assert problems[20] == "responses.csv, column score: 80 more rows with the same problem."


def test_row_numbers_do_not_depend_on_the_index() -> None:
    tables = sound_tables()
    tables["responses"]["score"] = [0.0, 1.0, 7.0, 1.0]
    expected = problems_of(tables)
    tables["responses"].index = pd.Index([40, 30, 20, 20])
    assert problems_of(tables) == expected


@pytest.mark.parametrize("name", list(TABLES))
def test_typed_tables_do_not_depend_on_the_format(name: TableName) -> None:
    typed = typed_table(sound_tables()[name], name)
    pd.testing.assert_frame_equal(typed, typed_table(as_csv(sound_tables())[name], name))
    for column in TABLES[name]:
        if column.name in typed:
            numeric = column.kind in ("number", "boolean")
            assert (typed[column.name].dtype == np.float64) == numeric
            assert numeric or not typed[column.name].isna().any()


def test_whole_numbers_as_names_are_texts() -> None:
    frame = pd.DataFrame({"query_id": [7, 8], "text": ["One?", "Two?"]})
    assert typed_table(frame, "queries")["query_id"].tolist() == ["7", "8"]

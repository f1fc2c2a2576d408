import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bayes_irt_router.data.feature_map import TASK_PREFIX, TASK_SHARE
from bayes_irt_router.inference.diagnostics import ConvergenceGate
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.response import item_distribution
from bayes_irt_router.report.difficulty_table import difficulty_frame
from bayes_irt_router.report.json_text import json_text
from bayes_irt_router.report.model_summary import model_json, print_model
from bayes_irt_router.report.tables import (
    PROMPT_CHARACTERS,
    column_texts,
    decision_table,
    decisions_frame,
    gate_table,
    llm_frame,
    print_table,
    shortened,
)
from bayes_irt_router.routing.decision import Candidate, Decision, Interval


def console() -> Console:
    return Console(file=io.StringIO(), width=120)


def printed(*parts: object) -> str:
    target = console()
    target.print(*parts)
    return target.file.getvalue()


def decision(llms: int) -> Decision:
    candidates = tuple(
        Candidate(
            f"llm-{j}", Interval(0.9 - j / 100, 0.5, 0.95, 0.89), 1e-6 * 10**j if j else None, 0.5, 1 / llms
        )
        for j in range(llms)
    )
    return Decision(3, "llm-0", "llm-0 has the highest utility.", candidates)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_numbers_of_a_column_share_decimals_and_stay_near(values: list[float]):
    texts = column_texts(pd.Series(values))
    assert len({len(text.partition(".")[2]) for text in texts}) == 1
    largest = max(map(abs, values))
    for text, value in zip(texts, values, strict=True):
        assert float(text.replace(",", "")) == pytest.approx(value, abs=max(0.005 * largest, 1e-300))


@given(st.lists(st.floats(1e-9, 1e6), min_size=1, max_size=8))
def test_money_keeps_three_digits_whatever_stands_beside_it(values: list[float]):
    texts = column_texts(pd.Series(values, name="cost USD"))
    assert "e" not in "".join(texts)
    for text, value in zip(texts, values, strict=True):
        assert float(text.replace(",", "")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([np.nan, None], ["-", "-"]),
        ([1.0, np.nan], ["1.000", "-"]),
        ([0.0, 0.0], ["0.000", "0.000"]),
        ([np.inf, 1.0], ["inf", "1.000"]),
        ([1234567, 1], ["1,234,567", "1"]),
        ([True, False], ["yes", "no"]),
        (["[red]", None], ["[red]", "-"]),
    ],
)
def test_special_cells(values: list[object], expected: list[str]):
    assert column_texts(pd.Series(values, dtype=object)) == expected


def test_a_table_shows_title_words_cells_and_caption():
    target = console()
    frame = pd.DataFrame({"log_loss": [0.5], "name": ["[b]x[/b]"]}, index=["model"])
    print_table("Title", frame, target, "A caption.")
    shown = target.file.getvalue()
    for expected in ("Title", "log loss", "0.500", "[b]x[/b]", "model", "A caption."):
        assert expected in shown


def test_one_long_row_stands_upright():
    target = console()
    frame = pd.DataFrame({f"metric_{k}": [k / 10] for k in range(8)}, index=["model"])
    print_table("Title", frame, target)
    lines = target.file.getvalue().splitlines()
    assert any("metric 7" in line and "0.700" in line and "metric 6" not in line for line in lines)


def test_a_decision_shows_its_best_candidates_and_counts_the_rest():
    shown = printed(decision_table(decision(12), most=3))
    assert "llm-2" in shown
    assert "llm-3" not in shown
    assert "9 more candidates follow" in shown
    assert "llm-0 has the highest utility." in shown
    assert "more candidates" not in printed(decision_table(decision(3)))


def test_decisions_are_one_row_each():
    frame = decisions_frame(["a\nb", "c" * 100], [decision(2), decision(2)])
    assert frame["prompt"].tolist() == ["a b", "c" * (PROMPT_CHARACTERS - 3) + "..."]
    assert frame["LLM"].tolist() == ["llm-0", "llm-0"]


def test_an_abstention_is_shown_as_one():
    nobody = Decision(0, None, "No LLM is chosen: it is unfamiliar.", ())
    assert "nobody" in printed(decision_table(nobody))
    frame = decisions_frame(["a", "b"], [nobody, decision(2)])
    assert frame["LLM"].isna().tolist() == [True, False]
    print_table("Decisions", frame, console())


@given(st.text(), st.integers(4, 60))
def test_a_shortened_text_is_one_line_and_fits(text: str, characters: int):
    short = shortened(text, characters)
    assert len(short) <= characters
    assert len(short.splitlines()) <= 1


def test_the_gate_shows_each_sort_and_the_verdict():
    table = pd.DataFrame(
        {"quantity": ["LLM mean"], "name": ["a"], "r_hat": [1.5], "ess_bulk": [10.0], "ess_tail": [20.0]}
    )
    shown = printed(gate_table(ConvergenceGate(table, 4, 0.0, ("r-hat above 1.01 for a",))))
    for expected in ("LLM mean", "1.500", "FAIL", "r-hat above 1.01 for a"):
        assert expected in shown


def test_llms_are_listed_by_ability_with_an_interval_that_grows_with_its_level(small_fit: Posterior):
    wide, narrow = llm_frame(small_fit, 0.89).set_index("llm"), llm_frame(small_fit, 0.5).set_index("llm")
    assert set(wide.index) == set(small_fit.llm)
    assert wide["ability"].is_monotonic_decreasing
    assert (wide["lower"] <= narrow["lower"]).all()
    assert (narrow["upper"] <= wide["upper"]).all()
    scores = small_fit.tree["llms"]["mean_score"].to_series()
    pd.testing.assert_series_equal(
        wide["mean_score"].sort_index(), scores.sort_index(), check_index_type=False
    )


def test_a_model_is_told_in_tables_and_in_json(small_fit: Posterior):
    target = console()
    print_model(small_fit, target)
    shown = target.file.getvalue()
    told = model_json(small_fit)
    assert all(name in shown for name in small_fit.llm)
    assert told["gate"]["verdict"].split(":")[0] in " ".join(shown.split())
    assert told["texts_kept"] is True
    assert {llm["llm"] for llm in told["llms"]} == set(small_fit.llm)
    assert {one["feature"] for one in told["difficulty"]} >= set(small_fit.feature_map.surface_names)
    assert "What difficulty leans on" in shown


def test_what_difficulty_leans_on_is_what_the_predictions_do(testlet_fit: Posterior):
    """A row's weight is what one SD of the feature, or being of the task, adds to a query's expected difficulty."""
    frame = difficulty_frame(testlet_fit).set_index("feature")
    assert frame["weight"].abs().is_monotonic_decreasing
    assert ((frame["lower"] <= frame["weight"]) & (frame["weight"] <= frame["upper"])).all()
    tasks = frame.index[frame["kind"] == "task"]
    assert len(tasks) == 3
    names = [str(name) for name in testlet_fit.draws["feature"].values]
    features = np.zeros((2, len(names)))
    features[1, names.index(frame.index[frame["kind"] == "surface"][0])] = 1.0
    none, one = item_distribution(testlet_fit.draws, features, np.ones(2), np.zeros(2)).difficulty_mean.mean(
        axis=0
    )
    first = frame[frame["kind"] == "surface"].iloc[0]
    assert one - none == pytest.approx(first["weight"], abs=1e-4)
    features = np.zeros((1, len(names)))
    features[0, names.index(f"{TASK_PREFIX}{tasks[0]}")] = np.sqrt(TASK_SHARE)
    of_task = item_distribution(testlet_fit.draws, features, np.ones(1), np.zeros(1)).difficulty_mean.mean()
    base = testlet_fit.draws["difficulty_mean"].values.mean()
    assert of_task - base == pytest.approx(frame.loc[tasks[0], "weight"], abs=1e-3)


def test_json_has_null_for_what_is_no_number():
    assert json.loads(json_text({"a": [float("nan"), 1.5], "b": (True, "ä")})) == {
        "a": [None, 1.5],
        "b": [True, "ä"],
    }

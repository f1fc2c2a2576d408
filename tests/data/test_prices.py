from pathlib import Path

import numpy as np
import pytest

from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.data.prices import Price, installed_litellm_prices, litellm_prices, read_prices
from bayes_irt_router.errors import InputError

HEADER = "llm,input_price_per_million,output_price_per_million,date\n"


def table(tmp_path: Path, text: str) -> Path:
    (tmp_path / "prices.csv").write_text(text)
    return tmp_path / "prices.csv"


def test_the_latest_date_counts_whatever_the_order(tmp_path):
    path = table(tmp_path, HEADER + "a,3,6,2025-03-01\na,1,2,2024-12-31\nb,0,0,\n")
    assert read_prices(path) == {"a": Price(3, 6, "2025-03-01"), "b": Price(0, 0, "")}


def test_short_names_and_no_dates_will_do(tmp_path):
    assert read_prices(table(tmp_path, "model,input_price,output_price\na,1,2\n")) == {"a": Price(1, 2, "")}


def test_every_problem_is_told(tmp_path):
    path = table(tmp_path, HEADER + "a,-1,2,\n,1,2,\nb,1,much,\nc,1,2,May\nd,1,2,2025-01\nd,2,2,2025-01\n")
    with pytest.raises(InputError) as caught:
        read_prices(path)
    rows = sorted(problem.split("data row ")[1][0] for problem in caught.value.problems)
    assert rows == ["1", "2", "3", "4", "6"]
    with pytest.raises(InputError, match="no column llm, output_price_per_million"):
        read_prices(table(tmp_path, "input_price,date\n1,2025-01\n"))
    with pytest.raises(InputError, match="holds no prices"):
        read_prices(table(tmp_path, HEADER))


def test_litellm_names_count_without_the_provider_where_all_agree():
    def entry(first: float, second: float) -> dict[str, float | str]:
        return {"input_cost_per_token": first, "output_cost_per_token": second, "mode": "chat"}

    costs = {
        "gpt": entry(1.5e-7, 6e-7),
        "x/llama": entry(1e-6, 1e-6),
        "y/llama": entry(1e-6, 1e-6),
        "x/qwen": entry(1e-6, 1e-6),
        "y/qwen": entry(2e-6, 1e-6),
        "image": {"output_cost_per_image": 1},
    }
    found = litellm_prices(costs, "today")
    assert found["gpt"] == Price(0.15, 0.6, "today")
    assert found["llama"] == found["x/llama"] == Price(1, 1, "today")
    assert "qwen" not in found
    assert found["y/qwen"].input_per_million == 2
    assert "image" not in found


def test_without_litellm_the_way_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "litellm", None)
    with pytest.raises(InputError, match=r"bayes_irt_router\[collect\]"):
        installed_litellm_prices()


def model(**changes) -> CostModel:
    arrays = {
        "input_price_per_million": [1.0, np.nan, 4.0],
        "output_price_per_million": [2.0, np.nan, 8.0],
        "mean_output_tokens": [100.0, np.nan, 300.0],
        "mean_observed_cost_usd": [np.nan, np.nan, 0.5],
        "characters_per_token": [4.0, 4.0, 4.0],
    } | changes
    return CostModel(
        ("a", "b", "c"),
        **{k: np.array(v) for k, v in arrays.items()},
        scale_usd=0.5,
        assumed_output_tokens=None,
        notes=(),
    )


def test_new_prices_replace_old_ones_and_observed_costs_and_leave_the_rest():
    new = model().with_prices({"b": Price(1, 1, ""), "c": Price(2, 4, ""), "unknown": Price(9, 9, "")})
    cost = new.predict_cost(["x" * 40])[0]
    np.testing.assert_allclose(cost, np.array([10 + 200, 10 + 200, 20 + 1200]) / 1e6)
    assert new.scale_usd == 0.5
    assert new.notes == ("Output tokens of b set to the other LLMs' median, 200.",)


def test_the_prices_of_the_fit_change_nothing():
    old = model(mean_observed_cost_usd=[np.nan] * 3)
    same = old.with_prices({"a": Price(1, 2, ""), "c": Price(4, 8, "")})
    np.testing.assert_array_equal(same.known_cost(["x" * 40]), old.known_cost(["x" * 40]))
    np.testing.assert_array_equal(old.with_prices({}).known_cost(["x"]), old.known_cost(["x"]))


def test_prices_without_any_output_tokens_are_an_error():
    with pytest.raises(InputError, match="no output tokens are known"):
        model(mean_output_tokens=[np.nan] * 3).with_prices({"a": Price(1, 1, "")})
    free = model(mean_output_tokens=[np.nan] * 3).with_prices({"a": Price(1, 0, "")})
    assert free.predict_cost(["x" * 40], ["a"])[0, 0] == pytest.approx(1e-5)

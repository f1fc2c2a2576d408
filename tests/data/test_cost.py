import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.data.cost import CostModel, fit_cost, observed_cost
from bayes_irt_router.data.prices import Price
from bayes_irt_router.errors import InputError

NAN = float("nan")


def bank(
    input_price=(1.0, 2.0),
    output_price=(3.0, 4.0),
    input_tokens=((10, 20), (10, 20)),
    output_tokens=((100, 50), (300, 150)),
    cost_usd=None,
    score=((1.0, 0.0), (1.0, 1.0)),
    lengths=(40, 40),
):
    """Two queries of 40 characters, two LLMs `a` and `b`; None leaves a column out."""
    cells = {
        "score": score,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_usd": cost_usd,
    }
    prices = {"input_price_per_million": input_price, "output_price_per_million": output_price}
    return xr.Dataset(
        {n: (("query", "llm"), np.array(v, dtype=np.float64)) for n, v in cells.items() if v is not None},
        coords={
            "query": ["q1", "q2"],
            "llm": ["a", "b"],
            "text": ("query", ["x" * n for n in lengths]),
            **{n: ("llm", np.array(v, dtype=np.float64)) for n, v in prices.items() if v is not None},
        },
    )


def test_cost_by_hand():
    model = fit_cost(bank())
    # a: 4 characters per token, 200 output tokens; b: 2 characters per token, 100 output tokens.
    expected = np.array([[10 * 1 + 200 * 3, 20 * 2 + 100 * 4], [0 + 200 * 3, 0 + 100 * 4]]) / 1e6
    assert model.predict_cost(["y" * 40, ""]) == pytest.approx(expected)
    assert model.scale_usd == pytest.approx(610e-6)
    assert model.notes == ()


def test_prediction_and_observation_agree_on_average_over_the_training_data():
    data = bank(lengths=(20, 60), input_tokens=((7, 12), (13, 28)))
    predicted = fit_cost(data).predict_cost(data["text"].values.tolist())
    assert predicted.mean(axis=0) == pytest.approx(observed_cost(data).mean(axis=0))


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_cost_is_linear_in_prices(factor, price):
    base = fit_cost(bank(input_price=(price, 1), output_price=(2 * price, 1)))
    dearer = fit_cost(bank(input_price=(factor * price, 1), output_price=(2 * factor * price, 1)))
    cost, more = base.predict_cost(["abc"]), dearer.predict_cost(["abc"])
    assert more[0, 0] == pytest.approx(factor * cost[0, 0])
    assert more[0, 1] == cost[0, 1]


def test_restricting_the_candidates_changes_neither_costs_nor_scale():
    model = fit_cost(bank())
    assert (model.predict_cost(["abc"], allow=["b"]) == model.predict_cost(["abc"])).all()
    with pytest.raises(InputError, match="'c'"):
        model.predict_cost(["abc"], allow=["c"])


def test_cost_comes_from_answered_queries_only():
    data = bank(
        output_tokens=((100, NAN), (300, 150)), input_tokens=((10, NAN), (10, 20)), score=((1, NAN), (1, 1))
    )
    assert fit_cost(data).mean_output_tokens.tolist() == [200, 150]
    assert np.isnan(observed_cost(data)).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize(
    ("input_price", "output_price"), [((1, NAN), (3, 4)), ((1, 2), (3, NAN)), ((1, NAN), (3, NAN))]
)
def test_missing_price_is_an_error_only_where_that_cost_is_needed(input_price, output_price):
    model = fit_cost(bank(input_price=input_price, output_price=output_price))
    assert model.predict_cost(["abc"], allow=["a"])[0, 0] > 0
    with pytest.raises(InputError, match="The cost of b is unknown"):
        model.predict_cost(["abc"])
    assert np.isnan(observed_cost(bank(input_price=input_price, output_price=output_price))[:, 1]).all()


def test_without_any_prices_the_fit_is_valid_and_the_use_is_not():
    model = fit_cost(bank(input_price=None, output_price=None, output_tokens=None, input_tokens=None))
    assert np.isnan(model.scale_usd)
    with pytest.raises(InputError, match="all LLMs"):
        model.predict_cost(["abc"])


def test_prices_that_come_after_the_fit_settle_the_scale():
    prices = {"a": Price(1.0, 3.0, ""), "b": Price(2.0, 4.0, "")}
    fitted = fit_cost(bank(input_price=(1.0, 2.0), output_price=(3.0, 4.0)))
    later = fit_cost(bank(input_price=None, output_price=None)).with_prices(prices)
    assert later.scale_usd == pytest.approx(fitted.scale_usd)
    assert (
        CostModel.from_dict(later.to_dict()).with_prices({"b": Price(9.0, 9.0, "")}).scale_usd
        == later.scale_usd
    )


def test_without_the_texts_lengths_the_scale_counts_output_tokens_and_says_so():
    saved = fit_cost(bank(input_price=None, output_price=None)).to_dict()
    del saved["mean_characters"]  # as older versions wrote it
    older = CostModel.from_dict(saved).with_prices({"a": Price(1.0, 3.0, ""), "b": Price(2.0, 4.0, "")})
    assert older.scale_usd == pytest.approx(np.max(older.mean_output_tokens * [3.0, 4.0]) / 1e6)
    assert "output tokens alone" in older.notes[-1]


def test_zero_is_a_price():
    free = fit_cost(bank(input_price=(0, 0), output_price=(0, 0), output_tokens=None))  # tokens do not matter
    assert free.predict_cost(["abc"]).tolist() == [[0.0, 0.0]]
    assert free.scale_usd > 0
    assert fit_cost(bank(input_price=(0, 2), output_price=(0, 4))).predict_cost(["abc"])[0, 0] == 0


def test_without_output_tokens_an_assumption_is_needed_and_recorded():
    data = bank(output_tokens=None)
    for function in (fit_cost, observed_cost):
        with pytest.raises(InputError, match="--assume-output-tokens"):
            function(data)
    model = fit_cost(data, assume_output_tokens=200)
    assert model.assumed_output_tokens == 200
    assert "200 output tokens" in model.notes[0]
    assert model.predict_cost(["y" * 40])[0] == pytest.approx([610e-6, 840e-6])
    assert observed_cost(data, 200)[0] == pytest.approx([610e-6, 840e-6])
    with pytest.raises(InputError, match="0 or more"):
        fit_cost(data, assume_output_tokens=-1)


def test_llm_without_counts_gets_the_others_median_or_the_assumption():
    data = bank(output_tokens=((100, NAN), (300, NAN)), input_tokens=((10, NAN), (10, NAN)))
    model = fit_cost(data)
    assert model.mean_output_tokens.tolist() == [200, 200]
    assert model.characters_per_token.tolist() == [4, 4]
    assert "b" in model.notes[0]
    assert fit_cost(data, assume_output_tokens=7).mean_output_tokens.tolist() == [200, 7]


def test_without_input_tokens_four_characters_are_a_token():
    data = bank(input_tokens=None)
    model = fit_cost(data)
    assert model.characters_per_token.tolist() == [4, 4]
    assert model.notes
    assert model.predict_cost(data["text"].values.tolist()).mean(axis=0) == pytest.approx(
        observed_cost(data).mean(axis=0)
    )


def test_observed_cost_replaces_prices():
    data = bank(cost_usd=((0.5, NAN), (1.5, NAN)), input_price=(NAN, 2.0))
    model = fit_cost(data)
    assert model.predict_cost(["short", "y" * 4000])[:, 0].tolist() == [1.0, 1.0]
    assert model.predict_cost(["short", "y" * 4000])[1, 1] > model.predict_cost(["short"])[0, 1]
    assert model.scale_usd == 1.0
    assert observed_cost(data)[:, 0].tolist() == [0.5, 1.5]
    assert observed_cost(data)[:, 1] == pytest.approx([240e-6, 640e-6])


def test_observed_cost_needs_neither_prices_nor_tokens():
    data = bank(None, None, None, None, cost_usd=((0.5, 1.0), (1.5, 3.0)))
    assert fit_cost(data).predict_cost(["x"]).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    "data",
    [bank(), bank(None, None), bank((NAN, 1.0)), bank(cost_usd=((0.5, NAN), (1.5, NAN)))],
    ids=["full", "no prices", "one missing", "observed"],
)
def test_survives_json(data):
    model = fit_cost(data, assume_output_tokens=5)
    text = json.dumps(model.to_dict(), allow_nan=False)
    back = CostModel.from_dict(json.loads(text))
    assert back.to_dict() == model.to_dict()
    np.testing.assert_array_equal(back._cost(np.array([9.0])), model._cost(np.array([9.0])))


@pytest.mark.parametrize(
    "damage",
    [{"llm": None}, {"characters_per_token": [1.0]}, {"scale_usd": "dear"}, {"mean_output_tokens": ["x", 1]}],
)
def test_damaged_file_is_an_input_error(damage):
    content = fit_cost(bank()).to_dict() | damage
    with pytest.raises(InputError, match="damaged"):
        CostModel.from_dict(content)
    del content["notes"]
    with pytest.raises(InputError, match="damaged"):
        CostModel.from_dict(content)

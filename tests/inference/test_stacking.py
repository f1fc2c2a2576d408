"""Which models can be stacked, and what a stack is beside its predictions."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.membership import renamed, retired, with_llm, with_price
from bayes_irt_router.calibration.placing import place
from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.population import keeps_queries, without_queries
from bayes_irt_router.inference.stacking import members, stack
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.routing.prediction import predict


def test_its_models_come_back(small_fit, small_nirt, small_stack):
    first, second = members(small_stack)
    assert first.tree is small_fit.tree
    assert second.tree is small_nirt.tree
    assert [one.tree is small_fit.tree for one in members(small_fit)] == [True]


def test_a_stack_in_a_stack_counts_as_its_models(small_fit, small_nirt, small_stack):
    kinds = [one.record["kind"] for one in members(stack([small_nirt, small_stack]))]
    assert kinds == ["nirt", "mirt", "nirt"]


def test_one_model_is_no_stack(small_fit):
    with pytest.raises(InputError, match="at least two"):
        stack([small_fit])


def test_models_that_do_not_belong_together_are_refused_with_every_reason(small_fit, small_nirt):
    record = small_nirt.record | {
        "data": small_nirt.record["data"] | {"fingerprint": "other"},
        "encoder": small_nirt.record["encoder"] | {"revision": "other"},
    }
    other = retired(replace(small_nirt, record=record), [small_nirt.llm[2]])
    with pytest.raises(InputError) as refused:
        stack([small_fit, other])
    problems = refused.value.problems
    assert len(problems) == 3
    assert small_nirt.llm[2] in problems[2]


def test_the_gate_is_passed_if_all_pass(small_fit, small_nirt):
    def judged(one, *complaints):
        return replace(one, gate=replace(one.gate, complaints=complaints))

    good, bad = judged(small_fit), judged(small_nirt, "the loss still falls")
    assert stack([good, judged(small_nirt)]).gate.passed
    gate = stack([good, bad]).gate
    assert not gate.passed
    assert "the loss still falls (model 2 of the stack)" in gate.verdict


def test_it_is_stored_whole(small_stack, bank, tmp_path):
    save(small_stack, tmp_path / "model")
    again = load(tmp_path / "model")
    assert [one.record for one in members(again)] == [one.record for one in members(small_stack)]
    queries = bank(10, seed=3)
    xr.testing.assert_equal(
        *(predict(one, queries, np.random.default_rng(0)) for one in (again, small_stack))
    )


def test_a_stack_that_lost_a_model_is_refused(small_stack, tmp_path):
    save(small_stack, tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "stacked")
    with pytest.raises(InputError, match="model 2 of the stack"):
        load(tmp_path / "model")


@pytest.mark.parametrize("change", ["retired", "renamed", "repriced", "without queries"])
def test_a_change_reaches_every_model(small_stack, change):
    name = small_stack.llm[1]
    changed = {
        "retired": lambda: retired(small_stack, [name]),
        "renamed": lambda: renamed(small_stack, name, "other"),
        "repriced": lambda: with_price(small_stack, name, 7.0, 9.0),
        "without queries": lambda: without_queries(small_stack, 40),
    }[change]()
    assert len(members(changed)) == 2
    for old, new in zip(members(small_stack), members(changed), strict=True):
        if change == "retired":
            assert new.llm == [one for one in old.llm if one != name]
        elif change == "renamed":
            assert new.llm == ["other" if one == name else one for one in old.llm]
        elif change == "repriced":
            costs = [
                CostModel.from_dict(one.record["cost"]).predict_cost(["?"], [name]) for one in (old, new)
            ]
            assert costs[0] != pytest.approx(costs[1])
        else:
            assert keeps_queries(old)
            assert not keeps_queries(new)


def test_a_new_llm_is_placed_in_one_model_at_a_time(small_stack):
    bank = ItemBank.of(small_stack)
    answers = [Answer(bank.query[0], 1.0)]
    placement = place(bank, new_llm_prior(small_stack, {}), answers, np.random.default_rng(0))
    with pytest.raises(InputError, match="one at a time"):
        with_llm(small_stack, "new", placement, answers)

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.calibration.ability_prior import Population, new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.membership import renamed, retired, with_llm, with_price
from bayes_irt_router.calibration.placing import place
from bayes_irt_router.calibration.pricing import with_llm_cost
from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.routing.cost_prediction import predict_cost
from bayes_irt_router.routing.prediction import predict

INFO = {"family": "fresh", "input_price_per_million": 2.0, "output_price_per_million": 6.0}


@pytest.fixture(scope="module")
def placement(fitted_bank):
    given = [Answer(fitted_bank.query[i], float(i % 3 > 0)) for i in range(12)]
    return place(fitted_bank, new_llm_prior(fitted_bank.posterior), given, np.random.default_rng(0))


@pytest.fixture(scope="module")
def answers(fitted_bank):
    return [Answer(fitted_bank.query[i], float(i % 3 > 0), output_tokens=50.0 + i) for i in range(12)]


@pytest.fixture(scope="module")
def grown(small_fit, placement, answers):
    return with_llm(small_fit, "fresh-1", placement, answers, INFO)


def costs(posterior):
    return CostModel.from_dict(posterior.record["cost"])


def test_one_more_llm_is_saved_loaded_and_predicted(grown, small_fit, placement, bank, tmp_path):
    save(grown, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.llm == [*small_fit.llm, "fresh-1"]
    prediction = predict(again, bank(8, seed=5), np.random.default_rng(0))
    assert prediction["p_correct"].sizes["llm"] == 7
    assert np.isfinite(prediction["p_correct"]).all()
    entry = again.record["calibrations"][0]
    assert (entry["llm"], entry["mode"], entry["answers"]) == ("fresh-1", "joint", 12)
    assert entry["distinct_draws"] == len(set(placement.index)) < small_fit.size
    assert "fresh-1" in again.gate.table["name"].tolist()
    row = again.tree["llms"].to_dataset().sel(llm="fresh-1")
    assert (row["family"].item(), row["answers"].item()) == ("fresh", 12)


def test_draws_stay_together(grown, small_fit, placement):
    """Every array of a draw comes from the same parameter draw, as the placement says."""
    for name in ("difficulty", "discrimination", "difficulty_mean", "ability_frame"):
        old = small_fit.draws[name].values
        taken = old.reshape(-1, *old.shape[2:])[placement.index].reshape(old.shape)
        np.testing.assert_array_equal(grown.draws[name].values, taken)
    old = small_fit.draws["ability"].values.reshape(-1, 6, 2)[placement.index]
    np.testing.assert_array_equal(grown.draws["ability"].values.reshape(-1, 7, 2)[:, :6], old)
    new = grown.draws["ability"].values.reshape(-1, 7, 2)[:, 6]
    np.testing.assert_allclose(new, placement.ability, rtol=1e-6)


def test_a_cut_placement_changes_no_other_llm(small_fit, fitted_bank, answers):
    cut = place(fitted_bank, new_llm_prior(small_fit), answers, np.random.default_rng(0), mode="cut")
    grown = with_llm(small_fit, "fresh-1", cut, answers)
    xr.testing.assert_equal(grown.draws["ability"].isel(llm=slice(6)), small_fit.draws["ability"])
    xr.testing.assert_equal(
        grown.draws.drop_vars(["ability", "llm"]), small_fit.draws.drop_vars(["ability", "llm"])
    )


def test_prices_and_tokens_of_the_new_llm_are_learned(grown, small_fit, answers):
    old, new = costs(small_fit), costs(grown)
    assert new.llm == (*old.llm, "fresh-1")
    assert new.scale_usd == old.scale_usd
    assert new.mean_output_tokens[-1] == pytest.approx(np.mean([a.output_tokens for a in answers]))
    expected = (40 / new.characters_per_token[-1] * 2.0 + new.mean_output_tokens[-1] * 6.0) / 1e6
    assert new.predict_cost(["x" * 40])[0, -1] == pytest.approx(expected)
    np.testing.assert_array_equal(new.predict_cost(["x" * 40])[:, :-1], old.predict_cost(["x" * 40]))


def test_a_known_llm_is_placed_anew_and_keeps_its_place(small_fit, placement, answers):
    llm = small_fit.llm[2]
    updated = with_llm(small_fit, llm, placement, answers)
    assert updated.llm == small_fit.llm
    assert updated.record["calibrations"][0]["update"] is True
    values = updated.draws["ability"].values.reshape(-1, 6, 2)
    np.testing.assert_allclose(values[:, 2], placement.ability, rtol=1e-6)
    assert (
        costs(updated).input_price_per_million.tolist() == costs(small_fit).input_price_per_million.tolist()
    )
    assert (
        updated.tree["llms"].to_dataset()["family"].values.tolist()
        == small_fit.tree["llms"].to_dataset()["family"].values.tolist()
    )


def test_the_new_llm_costs_about_its_mean_and_the_others_what_they_did(grown, small_fit, bank, tmp_path):
    queries = bank(8, seed=5)
    save(grown, tmp_path / "model")
    before, after = (
        predict_cost(model, queries, np.random.default_rng(0), 50)["cost_usd"]
        for model in (small_fit, load(tmp_path / "model"))
    )
    xr.testing.assert_allclose(after.sel(llm=small_fit.llm), before)
    texts = [str(text) for text in queries["text"].values]
    new = after.sel(llm="fresh-1")
    # It varies with the query as the others' do, by tens of percent; its mean over queries is its own.
    assert new.mean().item() == pytest.approx(costs(grown).predict_cost(texts)[:, -1].mean(), rel=0.5)
    assert (new.std("cost_draw") > 0).all()


def test_the_next_llm_has_the_same_prior_whoever_has_come_or_gone(grown, small_fit):
    before = new_llm_prior(small_fit)
    changed = retired(renamed(grown, small_fit.llm[0], "other"), [small_fit.llm[1]])
    assert Population.of(changed) == Population.of(small_fit)
    after = new_llm_prior(changed)
    assert set(np.round(after.factor[:, 0, 0], 5)) <= set(np.round(before.factor[:, 0, 0], 5))


def test_a_placement_over_some_of_the_draws_is_refused(small_fit, fitted_bank, answers):
    some = np.arange(0, fitted_bank.draws, 2)
    half = place(fitted_bank, new_llm_prior(small_fit), answers, np.random.default_rng(0), draws=some)
    with pytest.raises(InputError, match="place it over all"):
        with_llm(small_fit, "fresh-1", half, answers)


def test_few_effective_draws_fail_the_gate(small_fit, placement):
    weak = replace(placement, effective_draws=20.0)
    assert any("20 effective draws" in c for c in with_llm(small_fit, "x", weak).gate.complaints)
    strange = replace(placement, k_hat=0.9)
    assert any("k-hat 0.90" in c for c in with_llm(small_fit, "x", strange).gate.complaints)


def test_a_known_llm_that_gets_another_price_costs_what_the_price_says(small_fit, answers):
    cost = costs(small_fit)
    observed = replace(cost, mean_observed_cost_usd=np.full(len(cost.llm), 0.01))
    llm, prices = cost.llm[0], {"input_price_per_million": 1000.0, "output_price_per_million": 2000.0}
    paid = [replace(answer, cost_usd=0.5) for answer in answers]
    same = {name: float(getattr(cost, name)[0]) for name in prices}
    for info, given, expected in (
        (prices, [], None),
        (prices, paid, 0.5),
        ({}, [], 0.01),
        (same, [], 0.01),
    ):
        changed = with_llm_cost(observed, llm, info, given, {})
        listed = (40 / cost.characters_per_token[0] * 1000.0 + cost.mean_output_tokens[0] * 2000.0) / 1e6
        assert changed.predict_cost(["x" * 40])[0, 0] == pytest.approx(expected or listed)
        np.testing.assert_array_equal(changed.mean_observed_cost_usd[1:], 0.01)


def test_what_was_noted_of_a_calibration_goes_by_the_llms_name(grown, tmp_path):
    def names(posterior):
        table = posterior.gate.table
        of_llm = table.loc[table["quantity"].isin(["calibrated LLM", "LLM mean"]), "name"]
        return [one["llm"] for one in posterior.record["calibrations"]], of_llm.tolist()

    known = grown.llm[0]
    other = renamed(renamed(grown, "fresh-1", "fresh-2"), known, "renamed")
    save(other, tmp_path / "other")
    calibrated, judged = names(load(tmp_path / "other"))
    assert calibrated == ["fresh-2"]
    assert {"fresh-2", "renamed"} <= set(judged)
    assert not {"fresh-1", known} & set(judged)
    calibrated, judged = names(retired(other, ["fresh-2"]))
    assert calibrated == []
    assert set(judged) == set(names(other)[1]) - {"fresh-2"}
    assert len(grown.gate.table) == len(other.gate.table)


def test_retiring_leaves_the_others_as_they_were(small_fit, tmp_path):
    gone, kept = small_fit.llm[1], [name for name in small_fit.llm if name != small_fit.llm[1]]
    smaller = retired(small_fit, [gone])
    save(smaller, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.llm == kept
    assert costs(again).llm == tuple(kept)
    np.testing.assert_array_equal(again.draws["ability"], small_fit.draws["ability"].sel(llm=kept))
    np.testing.assert_array_equal(
        costs(again).predict_cost(["abc"]), costs(small_fit).predict_cost(["abc"])[:, [0, 2, 3, 4, 5]]
    )
    assert again.tree["llms"].to_dataset()["llm"].values.tolist() == kept
    with pytest.raises(InputError, match="No LLM would be left"):
        retired(small_fit, small_fit.llm)
    with pytest.raises(InputError, match="does not know"):
        retired(small_fit, ["nobody"])


def test_renaming_changes_the_name_everywhere_and_nothing_else(small_fit):
    old = small_fit.llm[3]
    other = renamed(small_fit, old, "another")
    assert (
        other.llm[3]
        == costs(other).llm[3]
        == str(other.tree["llms"].to_dataset()["llm"].values[3])
        == "another"
    )
    np.testing.assert_array_equal(other.draws["ability"], small_fit.draws["ability"])
    assert renamed(other, "another", old).llm == small_fit.llm
    for wrong in (small_fit.llm[0], " "):
        with pytest.raises(InputError, match="taken or empty"):
            renamed(small_fit, old, wrong)


def test_a_new_price_changes_cost_and_table_alone(small_fit):
    llm = small_fit.llm[3]
    dearer = with_price(small_fit, llm, 100.0, 200.0)
    old, new = costs(small_fit).predict_cost(["abc"])[0], costs(dearer).predict_cost(["abc"])[0]
    assert new[3] > old[3]
    np.testing.assert_array_equal(np.delete(new, 3), np.delete(old, 3))
    assert dearer.tree["llms"].to_dataset()["output_price_per_million"].values[3] == 200.0
    xr.testing.assert_equal(dearer.draws, small_fit.draws)
    with pytest.raises(InputError, match="input price"):
        with_price(small_fit, llm, -1.0, 2.0)
    assert ItemBank.of(dearer).query == ItemBank.of(small_fit).query


def test_copies_of_a_draw_count_as_one_however_many_calibrations_made_them(small_fit):
    """What a placement says of its draws is what is left of the fit's, not of the last model's."""
    grown, rng = small_fit, np.random.default_rng(7)
    for number in range(4):
        bank = ItemBank.of(grown)
        given = [Answer(bank.query[i], float(rng.random() < 0.5)) for i in rng.permutation(30)[:15]]
        placement = place(bank, new_llm_prior(grown), given, rng, mode="joint")
        grown = with_llm(grown, f"new-{number}", placement, given)
        ancestor = ItemBank.of(grown).ancestor
        # The very items say which draw of the fit it was.
        first = grown.draws["difficulty"].values.reshape(grown.size, -1)
        original = small_fit.draws["difficulty"].values.reshape(small_fit.size, -1)
        np.testing.assert_array_equal(first, original[ancestor])
        assert placement.distinct_draws == len(np.unique(ancestor))
    left = np.unique(ancestor, return_counts=True)[1]
    assert placement.effective_draws <= 1.2 * left.sum() ** 2 / (left**2).sum()
    nothing = place(ItemBank.of(grown), new_llm_prior(grown), [], rng)
    assert nothing.effective_draws == pytest.approx(left.sum() ** 2 / (left**2).sum())


def test_a_joint_placement_gives_way_before_the_draws_run_out(small_fit, monkeypatch):
    bank = ItemBank.of(small_fit)
    given = [Answer(bank.query[i], float(i % 2)) for i in range(12)]
    monkeypatch.setattr("bayes_irt_router.calibration.placing.FEWEST_EFFECTIVE", 2.0 * small_fit.size)
    together = place(bank, new_llm_prior(small_fit), given, np.random.default_rng(0), mode="joint")
    monkeypatch.setattr("bayes_irt_router.calibration.placing.LARGEST_K_HAT", 10.0)
    chosen = place(bank, new_llm_prior(small_fit), given, np.random.default_rng(0))
    assert chosen.mode == ("cut" if together.effective_draws < small_fit.size / 2 else "joint")
    strange = [Answer(bank.query[i], float(i % 2), 50) for i in range(12)]
    assert place(bank, new_llm_prior(small_fit), strange, np.random.default_rng(0)).mode == "cut"

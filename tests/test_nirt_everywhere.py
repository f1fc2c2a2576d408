"""What works on a MIRT works on a NIRT: routing with reasons, evaluation, placing, telling, the report."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console
from scipy.special import expit

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.membership import with_llm
from bayes_irt_router.calibration.placing import place
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.evaluate import evaluate
from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.irt.ability_posterior import prior_covariance
from bayes_irt_router.irt.nirt import logit
from bayes_irt_router.report.ability_profile import profile_frame
from bayes_irt_router.report.model_summary import model_json, print_model
from bayes_irt_router.report.page.pictures import picture_count, pictures
from bayes_irt_router.report.page.report_page import report_page
from bayes_irt_router.report.page.routed_queries import fitted_queries
from bayes_irt_router.report.task_accuracy import task_accuracy
from bayes_irt_router.routing.item_insight import item_insight
from bayes_irt_router.routing.prediction import predict
from bayes_irt_router.routing.router import Router


class FixedVectors:
    """An encoder without weights: a vector that depends on the text's length, of unit norm."""

    name, fingerprint, revision = "clustered vectors", "1", "1"

    def embed(self, texts: list[str], *, progress: bool = False) -> np.ndarray:
        vectors = np.array([np.cos(np.arange(16) * len(text)) + 0.01 for text in texts])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def router(small_nirt: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Router:
    return Router(small_nirt, FixedVectors(), tmp_path_factory.mktemp("cache"))


def test_a_decision_comes_with_reasons_that_add_up(router: Router):
    (decision,) = router.route(["Why is the sky blue?"], explain=True)
    told = decision.explanation
    assert told is not None
    assert [one.trait for one in told.traits] == [
        one["name"] for one in router.posterior.record["model"]["abilities"]
    ]
    assert all(one.mean >= 0 for one in told.traits)
    total = told.mean_difficulty + sum(one.mean for one in told.contributions)
    assert total == pytest.approx(told.difficulty, abs=1e-4)
    assert "it asks for" in told.sentences[1]


def test_the_parts_of_a_difficulty_sum_to_it(router: Router, bank: Callable[..., xr.Dataset]):
    queries = router.posterior.feature_map.apply(bank(seed=5))
    insight = item_insight(router.posterior, queries)
    (decision,) = router.route(["Why is the sky blue?"], explain=True)
    told = decision.explanation
    assert told is not None
    whole = sum(one.mean for one in told.contributions) + told.mean_difficulty
    assert whole == pytest.approx(told.difficulty, abs=1e-6)
    # They are counted from the mean over the fitted queries, and say by how much this one is harder than they are.
    assert told.mean_difficulty == pytest.approx(insight.fitted.mean())


def test_it_is_evaluated(router: Router, bank: Callable[..., xr.Dataset]):
    result = evaluate(router, bank(seed=5), allow_seen=True, progress=False)
    assert 0 < result.prediction["model"]["log_loss"] < 3


def test_a_new_llm_is_placed_and_kept(small_nirt: Posterior, tmp_path: Path, bank: Callable[..., xr.Dataset]):
    items = ItemBank.of(small_nirt)
    prior = new_llm_prior(small_nirt)
    # Its abilities are independent draws of this very prior, and not centred: nothing is added for a mean that is gone.
    np.testing.assert_allclose(
        prior.factor[0] @ prior.factor[0].T, prior_covariance(prior.mean.shape[1]), atol=1e-6
    )
    rng = np.random.default_rng(0)
    good, bad = (
        place(items, prior, [Answer(query, score) for query in items.query[:20]], rng) for score in (1.0, 0.0)
    )
    assert good.mode == "cut"
    assert "network" in good.method
    assert np.isfinite(good.k_hat)
    assert good.to_dict()["k_hat"] == good.k_hat
    with pytest.raises(InputError, match="no joint posterior"):
        place(items, prior, [Answer(items.query[0], 1.0)], rng, mode="joint")
    assert good.ability.mean() > bad.ability.mean()
    save(with_llm(small_nirt, "newcomer", good), tmp_path / "model")
    back = load(tmp_path / "model")
    assert back.llm[-1] == "newcomer"
    queries = bank(seed=5)
    before, after = (predict(one, queries, np.random.default_rng(0)) for one in (small_nirt, back))
    np.testing.assert_allclose(after["p_correct"][..., :-1], before["p_correct"], atol=1e-6)
    # What is told of the others is in SDs of those that were fitted, and stays as it was.
    np.testing.assert_allclose(
        back.general_ability[..., :-1].values, small_nirt.general_ability.values, atol=1e-5
    )


def test_a_placed_llm_is_predicted_by_the_networks(small_nirt: Posterior):
    items = ItemBank.of(small_nirt)
    prior = new_llm_prior(small_nirt)
    placement = place(
        items, prior, [Answer(query, 1.0) for query in items.query[:30]], np.random.default_rng(0)
    )
    drawn = items.p_correct(placement.index, placement.ability)
    expected = items.expected_p_correct(placement.index, placement.ability)
    np.testing.assert_array_equal(drawn, items.p_correct(placement.index, placement.ability))
    assert abs(drawn.mean() - expected.mean()) < 0.03
    # Far below every fitted LLM the linear view and the network part; a draw's own prediction is the network's.
    networks = items.networks
    assert networks is not None
    low = np.full((items.draws, len(networks.items["trait"])), -8.0)
    at = networks.settled[0]
    network = networks.networks[0]
    by_hand = expit(logit(network.weights, network.output.mean(axis=0), at, low[:1]))[:, 0]
    found = items.p_correct(np.arange(items.draws), low)[: networks.each].mean(axis=0)
    assert abs(found.mean() - by_hand.mean()) < 0.03
    some = np.arange(0, items.draws, 3)
    fewer = place(items, prior, [Answer(items.query[0], 1.0)], np.random.default_rng(0), draws=some)
    np.testing.assert_array_equal(fewer.index, some)


def test_weights_that_cannot_be_trusted_are_told(small_nirt: Posterior):
    placement = place(ItemBank.of(small_nirt), new_llm_prior(small_nirt), [], np.random.default_rng(0))
    strange = with_llm(small_nirt, "newcomer", replace(placement, mode="cut", k_hat=0.9))
    assert any("k-hat 0.90" in complaint for complaint in strange.gate.complaints)
    assert "largest k-hat" in small_nirt.gate.verdict
    assert np.isfinite(small_nirt.tree["training"]["k_hat"]).all()


def test_the_linear_view_comes_close_to_the_network(small_nirt: Posterior):
    view = linear_view(small_nirt)
    assert (view.draws["discrimination"] >= 0).all()
    assert linear_view(view) is view
    accuracy = task_accuracy(small_nirt).mean(("chain", "draw", "task"))
    observed = small_nirt.tree["llms"].to_dataset()["mean_score"]
    assert float(np.corrcoef(accuracy, observed)[0, 1]) > 0.5


def test_it_tells_its_abilities(small_nirt: Posterior):
    frame = profile_frame(small_nirt)
    assert len(frame) == len(small_nirt.llm) * 4
    np.testing.assert_allclose(frame.groupby("llm")["lead"].sum(), 0.0, atol=1e-9)
    assert (frame["lower"] <= frame["mean"]).all()
    assert len(model_json(small_nirt)["abilities"]) == len(frame)
    console = Console(record=True, width=200)
    print_model(small_nirt, console)
    told = console.export_text()
    assert "variational inference, 2 networks, at most 6 passes" in told
    assert "between networks an LLM's general ability varies by" in " ".join(told.split())


def test_abilities_are_told_in_sds_of_the_fitted_llms(small_nirt: Posterior):
    """Draw by draw: the unit that a network chose for its abilities says nothing of the LLMs."""
    general = small_nirt.general_ability
    np.testing.assert_allclose(general.mean("llm"), 0.0, atol=1e-5)
    np.testing.assert_allclose(general.std("llm"), 1.0, atol=1e-5)
    own = small_nirt.draws["ability"].transpose("chain", "draw", "llm", "trait")
    told = small_nirt.standardised_ability
    lead, own_lead = (one - one.mean("trait") for one in (told, own))
    ratio = (own_lead / lead).values.reshape(small_nirt.size, -1)
    np.testing.assert_allclose(
        ratio, own.mean("trait").std("llm").values.reshape(-1, 1) * np.ones_like(ratio), rtol=1e-2
    )


def test_it_tells_its_training_pass_by_pass(small_nirt: Posterior):
    rows = model_json(small_nirt)["training"]
    assert [row["pass"] for row in rows] == [1, 2, 3, 4, 5, 6]
    validation = small_nirt.tree["training"]["validation"].mean("chain").values
    np.testing.assert_allclose([row["validation"] for row in rows], validation, rtol=1e-6)
    assert all(row["validation_lowest"] <= row["validation"] <= row["validation_highest"] for row in rows)


def test_its_report_has_every_picture(small_nirt: Posterior):
    view = linear_view(small_nirt)
    drawn = list(pictures(view, None, level=0.89, seed=0))
    assert len(drawn) == picture_count(view, None)
    page = report_page(view, "model", fitted_queries(view, level=0.89, seed=0), drawn)
    assert "Did the training come to rest?" in page

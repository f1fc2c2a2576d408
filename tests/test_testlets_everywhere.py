"""What works on traits works on the LLMs' effects on tasks: predicting, placing, drift, membership, pictures, files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.calibration.ability_prior import new_llm_prior, predecessor_prior
from bayes_irt_router.calibration.accuracy import accuracies, replicated_scores
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.drift import check_drift
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.membership import renamed, retired, with_llm
from bayes_irt_router.calibration.placing import Placement, place
from bayes_irt_router.calibration.targets import Target
from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.population import without_queries
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.irt.identification import align_traits, is_testlet
from bayes_irt_router.irt.response import abilities, p_correct
from bayes_irt_router.irt.testlets import with_testlets
from bayes_irt_router.report.model_difference import model_difference
from bayes_irt_router.report.page.pictures import picture_count, pictures
from bayes_irt_router.report.page.report_page import report_page
from bayes_irt_router.report.page.routed_queries import fitted_queries
from bayes_irt_router.report.task_accuracy import task_accuracy
from bayes_irt_router.routing.prediction import predict

TRAITS, TESTLETS = 2, 4


@pytest.fixture(scope="module")
def of_task(testlet_fit: Posterior) -> dict[str, list[str]]:
    """The fitted queries of each task."""
    queries = testlet_fit.tree["queries"].to_dataset()
    return {
        str(task): [str(name) for name in queries["query"].values[queries["task"].values == task]]
        for task in np.unique(queries["task"].values)
    }


def placed(posterior: Posterior, answers: list[Answer], seed: int = 0) -> Placement:
    return place(ItemBank.of(posterior), new_llm_prior(posterior), answers, np.random.default_rng(seed))


def test_the_model_has_them(testlet_fit: Posterior):
    assert testlet_fit.draws.sizes["trait"] == TRAITS
    assert testlet_fit.draws.sizes["testlet"] == TESTLETS  # three tasks and one that nobody has seen
    assert testlet_fit.record["model"]["testlets"]


def test_models_that_ship_without_their_queries_can_be_compared(testlet_fit: Posterior):
    found = model_difference(without_queries(testlet_fit, 40), testlet_fit)
    assert found.queries == ()
    assert found.llms["llm"].tolist() == testlet_fit.llm


def test_the_view_has_the_response_of_the_model(testlet_fit: Posterior):
    view = linear_view(testlet_fit)
    assert linear_view(view) is view
    draws, model = view.draws, testlet_fit.draws
    assert [is_testlet(name) for name in draws["trait"].values] == [False] * TRAITS + [True] * TESTLETS
    probability = testlet_fit.tree["queries"].to_dataset()["testlet_loading"].values
    flat = {
        name: model[name].values.reshape(testlet_fit.size, *model[name].shape[2:])
        for name in ("discrimination", "difficulty")
    }
    expected = p_correct(
        abilities(model), with_testlets(flat["discrimination"], probability), flat["difficulty"]
    )
    own = p_correct(draws["ability"].values, draws["discrimination"].values, draws["difficulty"].values)
    np.testing.assert_allclose(own.reshape(expected.shape), expected, atol=1e-5)


def test_an_unseen_task_makes_predictions_less_certain_for_all_its_queries_together(
    testlet_fit: Posterior, bank: Callable[..., xr.Dataset]
):
    familiar = bank(tasks=3)
    far = familiar.assign(embedding=-familiar["embedding"])
    spread = []
    for queries in (familiar, far):
        mean = predict(testlet_fit, queries, np.random.default_rng(0))["p_correct_conditional"].mean("query")
        spread.append(float(mean.std(("chain", "draw")).mean()))
    assert spread[1] > 1.5 * spread[0]


def test_the_prior_of_a_new_llm_has_their_scale(testlet_fit: Posterior):
    prior = new_llm_prior(testlet_fit)
    assert prior.mean.shape[1] == TRAITS + TESTLETS
    sd = testlet_fit.draws["testlet_sd"].values.ravel()
    covariance = prior.factor @ np.swapaxes(prior.factor, 1, 2)
    np.testing.assert_allclose(covariance[:, -1, -1], (1 + 1 / 6) * sd**2, rtol=1e-3)
    np.testing.assert_allclose(covariance[:, :TRAITS, TRAITS:], 0.0, atol=1e-6)
    before = predecessor_prior(testlet_fit, testlet_fit.llm[2]).mean
    np.testing.assert_allclose(before, abilities(testlet_fit.draws)[:, 2], atol=1e-6)


def test_answers_to_one_task_say_more_of_it_than_of_the_others(
    testlet_fit: Posterior, of_task: dict[str, list[str]]
):
    task, others = next(iter(of_task)), list(of_task)[1:]
    bank = ItemBank.of(testlet_fit)
    moved = {}
    for score in (0.0, 1.0):
        answers = [Answer(query, score) for query in of_task[task]]
        placement = placed(testlet_fit, answers)
        p = bank.p_correct(placement.index, placement.ability)
        moved[score] = {name: p[:, bank.positions(queries)].mean() for name, queries in of_task.items()}
    gain = {name: moved[1.0][name] - moved[0.0][name] for name in of_task}
    assert gain[task] > max(gain[name] for name in others) > 0


def test_a_new_llm_is_kept_with_its_effects(
    testlet_fit: Posterior, of_task: dict[str, list[str]], tmp_path: Path, bank: Callable[..., xr.Dataset]
):
    answers = [Answer(query, 1.0) for query in of_task[next(iter(of_task))]]
    placement = placed(testlet_fit, answers)
    grown = with_llm(testlet_fit, "newcomer", placement, answers)
    np.testing.assert_allclose(abilities(grown.draws)[:, -1], placement.ability, atol=1e-5)
    assert grown.draws["testlet_effect"].sizes["llm"] == 7
    save(grown, tmp_path / "model")
    back = load(tmp_path / "model")
    queries = bank(tasks=3, seed=5)
    first, second = (predict(one, queries, np.random.default_rng(0))["p_correct"] for one in (grown, back))
    np.testing.assert_allclose(first, second, atol=1e-6)
    again = with_llm(grown, "newcomer", placed(grown, answers), answers)
    assert again.llm == grown.llm
    fewer = retired(renamed(grown, "newcomer", "elder"), [testlet_fit.llm[0]])
    assert fewer.llm == [*testlet_fit.llm[1:], "elder"]
    assert predict(fewer, queries, np.random.default_rng(0)).sizes["llm"] == 6


def test_estimates_and_targets_are_of_traits_and_tasks_not_of_testlets(
    testlet_fit: Posterior, of_task: dict[str, list[str]]
):
    bank = ItemBank.of(testlet_fit)
    placement = placed(testlet_fit, [])
    found = accuracies(bank, replicated_scores(bank, placement, [], np.random.default_rng(0)), 0.89)
    assert set(found) == {"", *of_task}
    traits = [is_testlet(name) for name in bank.posterior.draws["trait"].values]
    target = Target("ability")
    target.check(bank)
    assert sum(traits) == TESTLETS


def test_a_change_on_one_task_is_drift(testlet_fit: Posterior, of_task: dict[str, list[str]]):
    bank = ItemBank.of(testlet_fit)
    best = int(np.argmax(testlet_fit.tree["llms"].to_dataset()["mean_score"].values))
    failed = [Answer(query, 0.0) for queries in of_task.values() for query in queries]
    check = check_drift(bank, testlet_fit.llm[best], failed, np.random.default_rng(0))
    assert check.drifted
    assert check.observed < check.expected


def test_aligning_leaves_them_alone_and_the_product_as_it_was(testlet_fit: Posterior):
    draws = linear_view(testlet_fit).draws
    aligned = align_traits(draws[["ability", "discrimination"]])
    np.testing.assert_array_equal(
        aligned["ability"].values[..., TRAITS:], draws["ability"].values[..., TRAITS:]
    )
    products = (
        np.einsum("cdqt,cdlt->cdql", one["discrimination"].values[:, :, :5], one["ability"].values)
        for one in (aligned, draws)
    )
    first, second = products
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_pictures_and_page_show_the_traits(testlet_fit: Posterior):
    drawn = list(pictures(testlet_fit, None, level=0.89, seed=0))
    assert len(drawn) == picture_count(testlet_fit, None)
    page = report_page(testlet_fit, "model", fitted_queries(testlet_fit, level=0.89, seed=0), drawn)
    assert "Which LLM can do what" in page
    assert task_accuracy(testlet_fit).sizes["task"] == 3


def test_a_model_that_ships_predicts_as_the_whole_one(
    testlet_fit: Posterior, tmp_path: Path, bank: Callable[..., xr.Dataset]
):
    save(without_queries(testlet_fit, testlet_fit.size), tmp_path / "model")
    queries = bank(tasks=3, seed=5)
    small, whole = (
        predict(one, queries, np.random.default_rng(0))["p_correct"]
        for one in (load(tmp_path / "model"), testlet_fit)
    )
    np.testing.assert_allclose(small, whole, atol=1e-4)

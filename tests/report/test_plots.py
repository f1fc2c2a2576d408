"""Every plot returns a figure that says what its axes are, whatever the names; and shows what it claims to show."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot
from matplotlib.figure import Figure

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.preparation import prepare
from bayes_irt_router.calibration.session import Stopping, state
from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.predictions import predict_model
from bayes_irt_router.inference.diagnostics import SCALARS, SLOPE, SLOPE_LENGTH
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.priors import MIRTPriors
from bayes_irt_router.irt.response import p_correct
from bayes_irt_router.report.figure_files import data_url
from bayes_irt_router.report.plots.ability_forest import ability_forest
from bayes_irt_router.report.plots.accuracy_check import accuracy_check
from bayes_irt_router.report.plots.best_llm_map import best_llm_map
from bayes_irt_router.report.plots.decision_explanation import decision_explanation
from bayes_irt_router.report.plots.difficulty_by_task import difficulty_by_task
from bayes_irt_router.report.plots.difficulty_weights import difficulty_weights
from bayes_irt_router.report.plots.discrimination_map import discrimination_map
from bayes_irt_router.report.plots.information_functions import information_functions
from bayes_irt_router.report.plots.intervals import interval_rows, new_figure
from bayes_irt_router.report.plots.item_characteristic_curves import item_characteristic_curves
from bayes_irt_router.report.plots.placement_progress import placement_progress
from bayes_irt_router.report.plots.prior_and_posterior import prior_and_posterior, prior_distribution
from bayes_irt_router.report.plots.rank_plots import rank_plots
from bayes_irt_router.report.plots.reliability_diagram import reliability_diagram
from bayes_irt_router.report.task_accuracy import probability_best_by_task, task_accuracy, task_names
from bayes_irt_router.routing.decision import Candidate, Decision, Interval
from bayes_irt_router.routing.explanation import Contribution, Explanation

OF_A_POSTERIOR = (
    ability_forest,
    best_llm_map,
    difficulty_by_task,
    difficulty_weights,
    discrimination_map,
    information_functions,
    item_characteristic_curves,
    prior_and_posterior,
    rank_plots,
)


@pytest.fixture(scope="module")
def posterior(small_fit: Posterior) -> Posterior:
    """With names that matplotlib would read as formulas or leave out of legends."""
    names = [f"_pay$per${name}" for name in small_fit.llm]
    groups = {name: node.to_dataset() for name, node in small_fit.tree.children.items()}
    for name, group in groups.items():
        if "llm" in group.dims:
            groups[name] = group.assign_coords(llm=names)
    return replace(small_fit, tree=xr.DataTree.from_dict(groups))


def unlabelled(figure: Figure) -> list[str]:
    """Labels of the visible axes of which neither label nor title says what they show."""
    said_for_all = figure.get_supxlabel()
    return [
        axes.get_label()
        for axes in figure.axes
        if axes.get_visible() and axes.get_label() != "<colorbar>" and axes.xaxis.get_visible()
        if not (said_for_all or axes.get_xlabel() or axes.get_title() or axes.get_title(loc="left"))
    ]


@pytest.mark.parametrize("plot", OF_A_POSTERIOR, ids=lambda plot: plot.__name__)
def test_a_posterior_becomes_a_figure_that_pyplot_does_not_hold(plot, posterior):
    figure = plot(posterior)
    assert isinstance(figure, Figure)
    assert unlabelled(figure) == []
    assert data_url(figure).startswith("data:image/")
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    "plot",
    [ability_forest, difficulty_by_task, difficulty_weights, information_functions, discrimination_map],
    ids=lambda plot: plot.__name__,
)
def test_a_level_that_is_none_is_refused(plot, small_fit):
    with pytest.raises(InputError, match="level is 1"):
        plot(small_fit, level=1.0)


def test_names_stand_beside_the_rows_best_first(small_fit):
    axes = ability_forest(small_fit).axes[0]
    general = small_fit.draws["ability"].isel(trait=0).mean(("chain", "draw"))
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == general.sortby(general, ascending=False)["llm"].values.tolist()
    top, bottom = axes.get_ylim()
    assert bottom < top  # row 0 is on top


def test_llms_of_several_sources_stand_by_source(small_fit):
    names = list(small_fit.llm)
    told = {
        "sources": ["$a", "b"],
        "llm_sources": {name: ["$a"] if j % 2 else ["b"] for j, name in enumerate(names)},
    }
    told["llm_sources"][names[0]] = ["$a", "b"]
    axes = ability_forest(replace(small_fit, record=small_fit.record | told)).axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert [told["llm_sources"][name] for name in shown] == [["$a", "b"], *[["$a"]] * 3, *[["b"]] * 2]
    assert sorted(text.get_text() for text in axes.texts) == [r"\$a", r"\$a, b", "b"]


def test_a_row_is_its_interval():
    axes = new_figure(3, 3).subplots()
    interval_rows(axes, np.linspace(0, 1, 1001)[:, None] * [1.0, 10.0], 0.8)
    outer = axes.collections[0].get_segments()
    np.testing.assert_allclose([[end[0] for end in row] for row in outer], [[0.1, 0.9], [1.0, 9.0]])


def test_the_points_fill_the_map_however_long_the_intervals_are(small_fit):
    for axes in discrimination_map(small_fit).axes:
        points = np.concatenate([one.get_offsets() for one in axes.collections if len(one.get_offsets())])
        for values, limits in zip(points.T, (axes.get_xlim(), axes.get_ylim()), strict=True):
            assert np.ptp(values) > 0.9 * (limits[1] - limits[0])
        assert len([text for text in axes.texts if "median interval" in text.get_text()]) == 2


def test_task_accuracy_is_the_mean_over_the_tasks_queries(small_fit):
    accuracy = task_accuracy(small_fit)
    draws, task = small_fit.draws.isel(chain=1, draw=3), str(accuracy["task"].values[1])
    inside = task_names(small_fit) == task
    p = p_correct(
        draws["ability"].values, draws["discrimination"].values[inside], draws["difficulty"].values[inside]
    )
    np.testing.assert_allclose(accuracy.sel(task=task)[1, 3], p.mean(axis=0), rtol=1e-5)
    best = probability_best_by_task(accuracy)
    np.testing.assert_allclose(best.sum("llm"), 1.0)


def test_an_unknown_query_is_refused(small_fit):
    with pytest.raises(InputError, match="nowhere were not fitted"):
        item_characteristic_curves(small_fit, ["nowhere"])
    name = str(small_fit.draws["query"].values[0])
    assert name in item_characteristic_curves(small_fit, [name]).axes[0].get_title()


def test_priors_are_those_of_the_model(bank):
    """The densities that are drawn are those that PyMC samples from, for everything that is drawn."""
    import pymc as pm

    from bayes_irt_router.data.feature_map import fit_feature_map

    data = bank()
    model = MIRT(traits=2, families=True).build(fit_feature_map(data).apply(data))
    for name in [name for name in SCALARS if name in model.named_vars]:
        value = np.full(model[name].shape.eval(), 0.7)
        written = pm.logp(model[name], value).eval()
        drawn = prior_distribution(name, MIRTPriors(), specific=1)
        np.testing.assert_allclose(drawn.logpdf(value), written, atol=1e-4)
    slope = pm.logp(model[SLOPE], np.array([0.7])).eval() + pm.logp(model[SLOPE], np.array([-0.7])).eval()
    length = prior_distribution(SLOPE_LENGTH, MIRTPriors(), specific=1)  # of one entry: its absolute value
    assert 2 * np.exp(slope[0] / 2) == pytest.approx(length.pdf(0.7), rel=1e-3)


def test_the_slopes_are_among_the_hyperparameters_that_are_shown(small_fit):
    for plot in (prior_and_posterior, rank_plots):
        titles = [axes.get_title() for axes in plot(small_fit).axes]
        assert any("residual slope" in title for title in titles)


def test_chains_of_correlated_draws_that_agree_are_not_accused(small_fit):
    """Draws of autocorrelation 0.9, all from one law. The test's level is 0.01, so 3 of 12 quantities are below it once in 5,000 times."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4, 100, 12))
    for i in range(1, 100):
        z[:, i] = 0.9 * z[:, i - 1] + np.sqrt(1 - 0.9**2) * z[:, i]
    draws = small_fit.draws
    names = [name for name in SCALARS if name in draws and draws[name].ndim == 2]
    changed = draws.assign({name: (("chain", "draw"), z[:, :, k]) for k, name in enumerate(names)})
    groups = {str(name): node.to_dataset() for name, node in small_fit.tree.children.items()}
    tree = xr.DataTree.from_dict({**groups, "posterior": changed})
    figure = rank_plots(replace(small_fit, tree=tree))
    accused = [text.get_text() for axes in figure.axes for text in axes.texts if "0.00" in text.get_text()]
    assert len(accused) < 3


@pytest.fixture(scope="module")
def judged(small_fit, bank):
    data = bank(seed=5)
    predicted = predict_model(small_fit, data, np.random.default_rng(0))
    facts = training_facts(small_fit, data)
    return data, predicted, judge(data, facts, {"model": predicted}, (0.8,), 0)[0]


def test_accuracies_inside_and_outside_are_counted(judged):
    data, predicted, _ = judged
    figure = accuracy_check(predicted, data, np.random.default_rng(0), level=0.99)
    tasks = sorted(set(data["task"].values.tolist()))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title().split(" (")[0] for axes in shown] == tasks
    sure = replace(predicted, conditional=np.zeros_like(predicted.conditional))
    wrong = accuracy_check(sure, data, np.random.default_rng(0)).axes[0]
    right = np.nan_to_num(data["score"].values[data["task"].values == tasks[0]]).sum(axis=0)
    assert f"{(right == 0).sum()} of {data.sizes['llm']} inside" in wrong.get_title()


def test_reliability_shows_every_bin_with_answers(judged):
    _, _, one = judged
    figure = reliability_diagram(one)
    shown = sum(len(line.get_xdata()) for line in figure.axes[0].lines[1:])
    p = one["p"].values[0][one["score"].notnull().values]
    assert shown == len(np.unique(np.minimum((p * 15).astype(int), 14)))
    with pytest.raises(InputError, match="no predictor 'x'"):
        reliability_diagram(one, "x")


def test_a_decision_needs_an_explanation():
    candidate = Candidate("a$b", Interval(0.5, 0.4, 0.6, 0.89), 0.00001, 0.4, None)
    bare = Decision(0, "a$b", "why", (candidate,))
    with pytest.raises(InputError, match="explain=True"):
        decision_explanation(bare)
    told = Explanation(
        0.5, 0.2, 40.0, (Contribution("digits", 0.3, 0.1),), (), (), None, None, 0.1, 0.1, ("", "")
    )
    figure = decision_explanation(replace(bare, explanation=told))
    assert "0.00001 USD" in [text.get_text() for text in figure.axes[0].texts]


def test_a_new_llms_interval_is_drawn_after_each_answer(small_fit):
    bank = ItemBank.of(small_fit)
    cost = CostModel.from_dict(small_fit.record["cost"])
    setup = prepare(
        bank, new_llm_prior(small_fit, {}), small_fit.llm[0], cost, {}, Stopping(), asks=False, seed=0
    )
    answers = [Answer(query, 1.0) for query in bank.query[:12]]
    states = [state(setup, answers[:n]) for n in (12, 0, 4)]
    figure = placement_progress(states, "new", truth=0.7)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [0, 4, 12])
    few = placement_progress(states[1:], "new").axes[0]  # 0 to 4 answers: a tick at 2.5 would mean nothing
    assert all(float(tick).is_integer() for tick in few.get_xticks())
    assert states[0].interval(0.89)[1] > states[1].interval(0.89)[1]
    with pytest.raises(InputError, match="no state"):
        placement_progress([], "new")

"""Every plot names its axes with their units, states the level of its intervals, and can be read in grey."""

import inspect
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

from bayes_irt_router.calibration.ability_prior import new_llm_prior
from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.preparation import prepare
from bayes_irt_router.calibration.session import State, Stopping, state
from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.evaluation.frontier import Band, Frontier, Point
from bayes_irt_router.evaluation.judged import judge, training_facts
from bayes_irt_router.evaluation.predictions import predict_model
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report import plots
from bayes_irt_router.routing.decision import Candidate, Decision, Interval
from bayes_irt_router.routing.explanation import Contribution, Explanation

LEVEL = 0.73  # no plot's default, so that it is found only where it is stated
SHARED = {"intervals"}  # a module of the folder that is no plot
WITHOUT_INTERVALS = {"best_llm_map", "prior_and_posterior", "rank_plots", "training_curves"}
UNIT = re.compile(r"logits|\bSDs?\b|%|USD|P\(|nats|\bz\b|/ SD²|no unit|density|\brank\b|answers|queries")

PLOTS = sorted({module.name for module in pkgutil.iter_modules(plots.__path__)} - SHARED)


def plot(name: str) -> Callable[..., Figure]:
    return getattr(import_module(f"bayes_irt_router.report.plots.{name}"), name)


def decision() -> Decision:
    candidate = Candidate("a", Interval(0.5, 0.4, 0.6, LEVEL), 0.00001, 0.4, 0.3)
    told = Explanation(
        0.5, 0.2, 40.0, (Contribution("digits", 0.3, 0.1),), (), (), None, None, 0.1, 0.1, ("", "")
    )
    return Decision(0, "a", "why", (candidate,), explanation=told)


def accuracy_cost() -> Frontier:
    points = tuple(
        Point(
            policy,
            {},
            0.5,
            1.0,
            Band(p, p - 0.1, p + 0.1),
            Band(p, p - 0.15, p + 0.15),
            Band(c, c, c),
            Band(c, c, c),
            p,
            c,
        )
        for policy in ("expected_utility", "min_success", "chance_constrained", "single")
        for p, c in ((0.6, 0.001), (0.7, 0.01))
    )
    return Frontier(points, LEVEL, ("a", "b"), 30, ())


def states(posterior: Posterior) -> list[State]:
    bank = ItemBank.of(posterior)
    cost = CostModel.from_dict(posterior.record["cost"])
    setup = prepare(
        bank, new_llm_prior(posterior, {}), posterior.llm[0], cost, {}, Stopping(), asks=False, seed=0
    )
    answers = [Answer(query, 1.0) for query in bank.query[:3]]
    return [state(setup, answers[:n]) for n in range(4)]


@pytest.fixture(scope="module")
def figures(small_fit, small_nirt, bank, constant_prediction) -> dict[str, Figure]:
    """One figure of each plot, and of `accuracy_check` also the one for many tasks."""
    data = bank(seed=5)
    predicted = predict_model(small_fit, data, np.random.default_rng(0))
    judged, _ = judge(data, training_facts(small_fit, data), {"model": predicted}, (0.8,), 0)
    given = {
        "ability_profiles": (small_nirt,),
        "training_curves": (small_nirt,),
        "accuracy_check": (*constant_prediction(3, 4, 20), np.random.default_rng(0)),
        "accuracy_cost_frontier": (accuracy_cost(),),
        "decision_explanation": (decision(),),
        "placement_progress": (states(small_fit), "new"),
        "reliability_diagram": (judged,),
    }
    found = {}
    for name in PLOTS:
        draw = plot(name)
        options = {"level": LEVEL} if "level" in inspect.signature(draw).parameters else {}
        found[name] = draw(*given.get(name, (small_fit,)), **options)
    many = constant_prediction(40, 9, 10)
    found["accuracy_check of 40 tasks"] = plot("accuracy_check")(*many, np.random.default_rng(0), level=LEVEL)
    for figure in found.values():
        figure.draw_without_rendering()  # which places the ticks
    return found


every_plot = pytest.mark.parametrize("name", [*PLOTS, "accuracy_check of 40 tasks"])


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def measures(axis: Axis) -> bool:
    """Whether numbers stand at its ticks."""
    shown = [
        tick for tick in axis.get_major_ticks() if tick.label1.get_visible() or tick.label2.get_visible()
    ]
    labels = [tick.label1.get_text() or tick.label2.get_text() for tick in shown]
    plain = [re.sub(r"\\math\w+|[${}^]", "", label).replace("−", "-") for label in labels if label]
    return bool(plain) and all(re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?|10-?\d+", label) for label in plain)


def visible(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible() and axes.axison]


@every_plot
def test_an_axis_with_numbers_says_what_they_are_and_in_which_unit(name, figures):
    figure = figures[name]
    for axes in visible(figure):
        for axis, shared in ((axes.xaxis, figure.get_supxlabel()), (axes.yaxis, figure.get_supylabel())):
            if measures(axis):
                label = axis.get_label_text() or shared
                assert UNIT.search(label), f"{axes.get_title()!r}, {axis.axis_name}: {label!r}"


@every_plot
def test_intervals_state_their_level(name, figures):
    if name in WITHOUT_INTERVALS:
        assert "level" not in inspect.signature(plot(name)).parameters
    else:
        assert f"{100 * LEVEL:g} %" in texts(figures[name])


@every_plot
def test_lines_that_differ_in_colour_differ_in_grey(name, figures):
    """In dashes or markers: curves only, for rows and dots have names or places of their own."""
    for axes in visible(figures[name]):
        curves = [line for line in axes.lines if len(np.atleast_1d(line.get_xdata())) > 2]
        for one, other in combinations(curves, 2):
            if to_rgba(one.get_color()) != to_rgba(other.get_color()):
                look = [
                    (str(line._dash_pattern), line.get_marker(), line.get_linewidth())
                    for line in (one, other)
                ]
                assert look[0] != look[1], axes.get_title()

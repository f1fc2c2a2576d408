"""The report's pictures, each with the question that it answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.figure_files import data_url
from bayes_irt_router.report.page.held_out import HeldOut
from bayes_irt_router.report.plots.ability_forest import ability_forest
from bayes_irt_router.report.plots.ability_profiles import ability_profiles
from bayes_irt_router.report.plots.accuracy_check import accuracy_check
from bayes_irt_router.report.plots.best_llm_map import best_llm_map
from bayes_irt_router.report.plots.difficulty_by_task import difficulty_by_task
from bayes_irt_router.report.plots.difficulty_weights import difficulty_weights
from bayes_irt_router.report.plots.discrimination_map import discrimination_map
from bayes_irt_router.report.plots.information_functions import information_functions
from bayes_irt_router.report.plots.item_characteristic_curves import item_characteristic_curves
from bayes_irt_router.report.plots.prior_and_posterior import prior_and_posterior
from bayes_irt_router.report.plots.rank_plots import rank_plots
from bayes_irt_router.report.plots.reliability_diagram import reliability_diagram
from bayes_irt_router.report.plots.training_curves import training_curves

# Section, question, what is shown, and what draws it.
Plan = list[tuple[str, str, str, Callable[[], Any]]]

PIXELS_PER_INCH = 80  # how large a picture is shown where there is room


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        section: where it belongs.
        question: what it answers.
        alt: what it shows, for who cannot see it.
        url: its content.
        width: in CSS pixels.
    """

    section: str
    question: str
    alt: str
    url: str
    width: int


def pictures(posterior: Posterior, held: HeldOut | None, *, level: float, seed: int) -> Iterator[Picture]:
    """Draw them one after the other.

    Args:
        posterior: the fitted model.
        held: answered queries, for the pictures of the section ``promises``.
        level: of the intervals.
        seed: of replicated answers.
    """
    for section, question, alt, draw in _plan(posterior, held, level, seed):
        figure = draw()
        yield Picture(
            section, question, alt, data_url(figure), round(PIXELS_PER_INCH * figure.get_figwidth())
        )


def picture_count(posterior: Posterior, held: HeldOut | None) -> int:
    """How many pictures there will be, for a progress bar."""
    return len(_plan(posterior, held, 0.89, 0))


def _plan(posterior: Posterior, held: HeldOut | None, level: float, seed: int) -> Plan:
    if posterior.record["kind"] == "nirt":
        posterior = linear_view(posterior)
        plan = _of_nirt(posterior, level)
    else:
        plan = _of_mirt(posterior, level)
    plan += _of_both(posterior, level)
    if held is not None:
        plan += [
            (
                "promises",
                "When the model says 80 %, is it right in 80 of 100?",
                "Reliability diagram with the bars that the model itself would produce",
                lambda: reliability_diagram(held.judged, level=level),
            ),
            (
                "promises",
                "Are the observed accuracies among those that the model would produce?",
                "Replicated intervals and observed accuracy of each LLM, a panel a task",
                lambda: accuracy_check(
                    held.predicted, held.queries, np.random.default_rng([seed, 4]), level=level
                ),
            ),
        ]
    return plan


def _of_mirt(posterior: Posterior, level: float) -> Plan:
    return [
        (
            "fit",
            "Do the chains agree?",
            "Rank plots of the gate's quantities, a line a chain",
            lambda: rank_plots(posterior),
        ),
        (
            "fit",
            "What did the data teach beyond the prior?",
            "Prior densities and posterior histograms of the hyperparameters",
            lambda: prior_and_posterior(posterior),
        ),
        (
            "abilities",
            "Which LLM can do what, and how sure is that?",
            "Intervals of each LLM's ability, a panel a trait; the numbers of the general trait are in the table",
            lambda: ability_forest(posterior, level=level),
        ),
        (
            "queries",
            "What makes a query hard?",
            "Weights of text features on difficulty, with intervals",
            lambda: difficulty_weights(posterior, level=level),
        ),
        (
            "queries",
            "At which abilities does a task tell LLMs apart?",
            "Information functions, a panel a task",
            lambda: information_functions(posterior, level=level),
        ),
        (
            "queries",
            "Which queries are hard, and which tell LLMs apart?",
            "Map of the fitted queries by difficulty and discrimination",
            lambda: discrimination_map(posterior, level=level),
        ),
    ]


def _of_nirt(posterior: Posterior, level: float) -> Plan:
    return [
        (
            "fit",
            "Did the training come to rest?",
            "Loss and validation log loss after each pass, a line a network",
            lambda: training_curves(posterior),
        ),
        (
            "abilities",
            "What is each LLM better at than it is on the whole?",
            "Heat map of the named abilities of each LLM less its own mean",
            lambda: ability_profiles(posterior, level=level),
        ),
    ]


def _of_both(posterior: Posterior, level: float) -> Plan:
    return [
        (
            "best",
            "Where is each LLM the best?",
            "Heat map of P(best) over tasks and LLMs",
            lambda: best_llm_map(posterior),
        ),
        (
            "queries",
            "How hard are the tasks?",
            "Mean difficulty of each task with intervals, and its queries as dots",
            lambda: difficulty_by_task(posterior, level=level),
        ),
        (
            "queries",
            "How does P(correct) rise with ability?",
            "Item characteristic curves of six queries",
            lambda: item_characteristic_curves(posterior, level=level),
        ),
    ]

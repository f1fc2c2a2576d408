"""What a calibration has learned, as JSON and as tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayes_irt_router.calibration.accuracy import Estimate, accuracies, replicated_scores
from bayes_irt_router.calibration.session import Plan, Setup, State, accuracy_interval, state
from bayes_irt_router.irt.identification import is_testlet

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CalibrationReport:
    """What was learned of one LLM.

    Attributes:
        llm: the LLM.
        placement: how it was placed, see :class:`Placement`.
        target: what was to be learned.
        selector: how queries were chosen; ``given`` where the answers came from a file.
        ended: why the questions ended.
        before: accuracy over the fitted queries (``""``) and by task, as believed without answers.
        after: the same given the answers.
        ability: of each trait, in SDs of the fitted LLMs, in coordinates common to all draws.
        spent: USD where ``priced``, else queries.
        priced: whether costs were known.
        asked: number of answered queries of each task.
    """

    llm: str
    placement: dict[str, Any]
    target: str
    selector: str
    ended: str
    before: Mapping[str, Estimate]
    after: Mapping[str, Estimate]
    ability: Mapping[str, Estimate]
    spent: float
    priced: bool
    asked: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """What ``birt calibrate --json`` prints, and ``calibration.json`` holds."""

        def by_task(found: Mapping[str, Estimate]) -> dict[str, Any]:
            tasks = {name: estimate.to_dict() for name, estimate in found.items() if name}
            return {"overall": found[""].to_dict(), "tasks": tasks}

        return {
            "schema_version": SCHEMA_VERSION,
            "llm": self.llm,
            "placement": self.placement,
            "target": self.target,
            "selector": self.selector,
            "ended": self.ended,
            "accuracy_before": by_task(self.before),
            "accuracy": by_task(self.after),
            "ability": {name: estimate.to_dict() for name, estimate in self.ability.items()},
            "spent": {"usd": self.spent if self.priced else None, "answers": self.placement["answers"]},
            "asked": dict(self.asked),
        }

    def table(self) -> pd.DataFrame:
        """One row for the whole bank and one a task: answers, and accuracy before and after."""
        level = f"{100 * self.after[''].level:g}%"

        def shown(estimate: Estimate) -> str:
            return f"{estimate.lower:.3f} to {estimate.upper:.3f}"

        return pd.DataFrame(
            [
                {
                    "accuracy over": name or "the whole bank",
                    "answers": self.asked.get(name, 0) if name else sum(self.asked.values()),
                    "before": self.before[name].mean,
                    f"before, {level} interval": shown(self.before[name]),
                    "now": estimate.mean,
                    f"now, {level} interval": shown(estimate),
                }
                for name, estimate in self.after.items()
            ]
        )

    @property
    def sentence(self) -> str:
        """How the LLM was placed, in one sentence."""
        placed = self.placement
        how = {
            "prior": "there are no answers, so this is the prior",
            "joint": "joint posterior: the items' uncertainty is integrated",
            "cut": "cut posterior: the items keep what they were before",
        }[placed["mode"]]
        k_hat = "" if placed["k_hat"] is None else f", k-hat {placed['k_hat']:.2f}"
        return (
            f"{how} ({placed['method']}{k_hat}; {placed['effective_draws']:.0f} effective draws). "
            f"Prior: {placed['prior']}. The questions ended because {self.ended}."
        )


def calibration_report(
    setup: Setup, now: State, llm: str, ended: str, level: float, *, given: bool
) -> CalibrationReport:
    """What was learned.

    Args:
        setup: of the calibration.
        now: where it ended.
        llm: name of the LLM.
        ended: why the questions ended.
        level: share of the draws inside the intervals.
        given: whether the answers were given all at once.
    """
    bank = setup.bank

    def found(at: State) -> dict[str, Estimate]:
        rng = np.random.default_rng([setup.seed, len(at.answers), 2])
        return accuracies(bank, replicated_scores(bank, at.placement, at.answers, rng), level)

    turned = np.einsum("sd,sde->se", now.placement.ability, bank.rotations[now.placement.index])
    traits = [str(name) for name in bank.posterior.draws["trait"].values]
    tasks = [bank.task[i] for i in bank.positions(now.asked)]
    return CalibrationReport(
        llm,
        now.placement.to_dict(),
        setup.target.name,
        "given" if given else setup.selector,
        ended,
        found(state(setup, [])),
        found(now),
        {name: Estimate.of(turned[:, d], level) for d, name in enumerate(traits) if not is_testlet(name)},
        now.spent,
        setup.priced,
        {name: tasks.count(name) for name in sorted(set(tasks))},
    )


def plan_json(made: Plan, setup: Setup, llm: str, level: float) -> dict[str, Any]:
    """What ``birt calibrate --plan N --json`` prints."""
    bank = setup.bank
    return {
        "schema_version": SCHEMA_VERSION,
        "llm": llm,
        "target": setup.target.name,
        "selector": setup.selector,
        "queries": [
            {
                "query_id": bank.query[choice.position],
                "task": bank.task[choice.position],
                "gain": choice.gain,
                "cost_usd": float(setup.choosable.cost[choice.position]) if setup.priced else None,
            }
            for choice in made.choices
        ],
        "expected": [
            {
                "answers": n,
                "sd": None if setup.target.name == "regret" else open_,
                "regret": open_ if setup.target.name == "regret" else None,
                **_expected_interval(made, setup, open_, level),
                "cost_usd": made.cost[n] if setup.priced else None,
            }
            for n, open_ in made.expected.items()
        ],
    }


def plan_tables(made: Plan, setup: Setup, level: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The queries to ask, and what to expect after some of them."""
    bank = setup.bank
    queries = pd.DataFrame(
        [
            {
                "query": bank.query[choice.position],
                "task": bank.task[choice.position],
                "expected gain": choice.gain,
                "cost USD": float(setup.choosable.cost[choice.position]) if setup.priced else None,
            }
            for choice in made.choices
        ]
    )
    expected = pd.DataFrame(
        [
            {
                "answers": n,
                setup.target.measure
                if setup.target.name == "regret"
                else f"expected {setup.target.measure}": open_,
                f"expected {100 * level:g}% interval": _interval_text(made, setup, open_, level),
                "cost USD": made.cost[n] if setup.priced else None,
            }
            for n, open_ in made.expected.items()
        ]
    )
    return queries, expected


def _expected_interval(made: Plan, setup: Setup, sd: float, level: float) -> dict[str, float | None]:
    """The interval to expect of one accuracy: around what is believed now, as wide as it will be; the answers will move it."""
    if not setup.target.is_accuracy or setup.target.name == "tasks":
        return {"lower": None, "upper": None}
    _, lower, upper = accuracy_interval(made.mean, sd, level)
    return {"lower": lower, "upper": upper}


def _interval_text(made: Plan, setup: Setup, sd: float, level: float) -> str | None:
    ends = _expected_interval(made, setup, sd, level)
    return None if ends["lower"] is None else f"{ends['lower']:.3f} to {ends['upper']:.3f}"

"""Why a decision came out as it did: what the query leans on, what it resembles, and how sure the choice is."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.routing.decision_problem import DecisionProblem
from bayes_irt_router.routing.item_insight import item_insight

NEIGHBOURS = 5
MOST_NAMED = 3  # contributions that the sentence names; the others are in the list
MEANING = "likeness to known queries"  # what all features of the kernel are called together


@dataclass(frozen=True)
class Contribution:
    """What a feature adds to the query's difficulty beside what it adds to that of the mean fitted query: weight times the feature's
    difference from its mean, in logits; positive is harder.
    """

    feature: str
    mean: float
    sd: float


@dataclass(frozen=True)
class TraitLean:
    """How strongly a trait separates LLMs on this query: logits for each standard deviation of ability."""

    trait: str
    mean: float
    sd: float


@dataclass(frozen=True)
class Neighbour:
    """A fitted query: id, task, cosine similarity of the embeddings, mean score of the LLMs that answered it."""

    query: str
    task: str
    similarity: float
    mean_score: float


@dataclass(frozen=True)
class Explanation:
    """What is behind one decision.

    Attributes:
        difficulty: predicted mean, in logits.
        mean_difficulty: the same of the mean fitted query.
        difficulty_percentile: share of the fitted queries, in percent, whose posterior mean difficulty is lower; None where the
            model does not hold them.
        contributions: to the difficulty, largest first; with ``mean_difficulty`` they sum to ``difficulty``. The features of the
            embedding are one entry.
        traits: in the order of the model.
        neighbours: the most similar fitted queries, most similar first.
        runner_up: the LLM that the policy puts second, None without one.
        p_runner_up_better: P(its utility is higher), over the parameters and what is unknown about the query.
        epistemic_sd: SD of the chosen LLM's P(correct) over the parameters: what more data would shrink.
        residual_sd: SD of what the query's own residuals add to it: what only answers to this very query would tell.
        sentences: two, in plain words.
    """

    difficulty: float
    mean_difficulty: float
    difficulty_percentile: float | None
    contributions: tuple[Contribution, ...]
    traits: tuple[TraitLean, ...]
    neighbours: tuple[Neighbour, ...]
    runner_up: str | None
    p_runner_up_better: float | None
    epistemic_sd: float | None
    residual_sd: float | None
    sentences: tuple[str, str]

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds."""
        return asdict(self)


def explain(
    posterior: Posterior,
    queries: xr.Dataset,
    problem: DecisionProblem,
    chosen: Sequence[Sequence[str]],
    reasons: Sequence[str],
) -> list[Explanation]:
    """An explanation for each query.

    Args:
        posterior: the fitted model.
        queries: featurized, as for `predict`.
        problem: the beliefs that were decided on.
        chosen: for each query the chosen LLM and the candidates after it, in the policy's order; empty where nobody was chosen.
        reasons: the decisions' reasons.
    """
    queries = posterior.feature_map.apply(queries)
    insight = item_insight(posterior, queries)
    names = queries["feature"].values.astype(str)
    meaning = queries["feature_group"].values.astype(str) != "surface"
    known = posterior.tree["queries"].to_dataset()
    similarity = queries["embedding"].values @ known["embedding"].values.T

    found = []
    for query, order in enumerate(chosen):
        contributions = _contributions(insight.added(query), insight.other(query), names, meaning)
        difficulty = float(insight.difficulty[:, query].mean())
        mean_difficulty = float(insight.reference[:, query].mean())
        percentile = float(100 * (insight.fitted < difficulty).mean()) if insight.fitted.size else None
        traits = tuple(
            TraitLean(str(name), float(a.mean()), float(a.std()))
            for name, a in zip(
                posterior.draws["trait"].values, insight.discrimination[:, query].T, strict=True
            )
        )
        neighbours = _neighbours(known, similarity[query])
        better = epistemic = residual = None
        if order:
            epistemic, residual = _spread(problem, query, problem.llm.index(order[0]))
        runner_up = order[1] if len(order) > 1 else None
        if runner_up is not None:
            better = _p_better(problem, query, problem.llm.index(runner_up), problem.llm.index(order[0]))
        sentences = (
            _first_sentence(reasons[query], runner_up, better),
            _second_sentence(
                difficulty - mean_difficulty,
                percentile,
                contributions,
                neighbours,
                epistemic,
                residual,
                insight.words[query],
            ),
        )
        found.append(
            Explanation(
                difficulty,
                mean_difficulty,
                percentile,
                contributions,
                traits,
                neighbours,
                runner_up,
                better,
                epistemic,
                residual,
                sentences,
            )
        )
    return found


def _contributions(
    each: np.ndarray, other: np.ndarray, names: np.ndarray, meaning: np.ndarray
) -> tuple[Contribution, ...]:
    columns = [(str(names[k]), each[:, k]) for k in np.flatnonzero(~meaning)]
    if meaning.any():
        columns.append((MEANING, each[:, meaning].sum(axis=1) + other))
    found = [Contribution(name, float(c.mean()), float(c.std())) for name, c in columns]
    return tuple(sorted(found, key=lambda one: -abs(one.mean)))


def _neighbours(known: xr.Dataset, similarity: np.ndarray) -> tuple[Neighbour, ...]:
    nearest = np.argsort(-similarity, kind="stable")[:NEIGHBOURS]
    scores = known["mean_score"].values if "mean_score" in known else np.full(known.sizes["query"], np.nan)
    tasks = known["task"].values.astype(str) if "task" in known.coords else np.full(known.sizes["query"], "")
    return tuple(
        Neighbour(str(known["query"].values[k]), str(tasks[k]), float(similarity[k]), float(scores[k]))
        for k in nearest
    )


def _spread(problem: DecisionProblem, query: int, at: int) -> tuple[float, float]:
    """Var(P) = Var(E[P | parameters]) + E[Var(P | parameters)]: the law of total variance, as SDs."""
    epistemic = problem.p_correct[:, query, at].astype(np.float64).var()
    total = problem.p_correct_conditional[:, query, at].astype(np.float64).var()
    return float(np.sqrt(epistemic)), float(np.sqrt(max(total - epistemic, 0.0)))


def _p_better(problem: DecisionProblem, query: int, other: int, chosen: int) -> float | None:
    utility = problem.utility_draws_conditional[:, query]
    difference = utility[:, other] - utility[:, chosen]
    if np.isnan(difference).any():
        return None
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def _first_sentence(reason: str, runner_up: str | None, better: float | None) -> str:
    if runner_up is None or better is None:
        return reason
    return f"{reason.removesuffix('.')}; {runner_up} would have been better with probability {better:.2f}."


def _second_sentence(
    shift: float,
    percentile: float | None,
    contributions: Sequence[Contribution],
    neighbours: Sequence[Neighbour],
    epistemic: float | None,
    residual: float | None,
    words: str,
) -> str:
    sentence = difficulty_clause(shift, percentile, contributions)
    if words:
        sentence += f"; it asks for {words}"
    if neighbours:
        near = ", ".join(f"{one.query} ({one.task})" if one.task else one.query for one in neighbours[:2])
        sentence += f"; it is nearest to {near}"
    if epistemic is not None and residual is not None:
        more = "the query itself" if residual > epistemic else "the LLM's rate on such queries"
        sentence += (
            f", and what is unknown is mostly about {more} (SD {epistemic:.2f} that more data would shrink, "
            f"{residual:.2f} of the query's own)"
        )
    return f"{sentence}."


def difficulty_clause(shift: float, percentile: float | None, contributions: Sequence[Contribution]) -> str:
    """How hard the query is against the fitted ones, with the contributions of that direction; `shift` is from their mean, in logits."""
    harder = shift > 0
    if percentile is None:
        clause = f"The query looks {'harder' if harder else 'easier'} than the mean fitted one by {abs(shift):.2f} logits"
    elif (percentile > 50) != harder:  # difficulties are skewed: between their mean and their median
        return f"The query looks about as hard as the fitted ones are on average, and harder than {percentile:.0f}% of them"
    else:
        share = percentile if harder else 100 - percentile
        clause = f"The query looks {'harder' if harder else 'easier'} than {share:.0f}% of the fitted ones"
    alike = [one for one in contributions if one.mean != 0 and (one.mean > 0) == harder]
    parts = [f"{one.feature.replace('_', ' ')} ({one.mean:+.2f})" for one in alike[:MOST_NAMED]]
    return clause + (f", mostly by its {', '.join(parts)}" if parts else "")

"""What changed between two fitted models: `birt diff`.

Parameters of two fits lie in different coordinates, so they are not set side by side as they are. Abilities are put
on a common scale first: in each draw the general trait is centred and scaled over the LLMs that both models know.
Predictions and decisions are compared on the queries that both have fitted, with the queries' own parameters.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.response import p_correct
from bayes_irt_router.routing.policies import check_alpha, choose, expected_utility

SCHEMA_VERSION = 1
BATCH = 64  # queries at once: all draws of a large benchmark would not fit into memory
NOMINAL_CHARACTERS = 1000
"""Length of a query whose text neither model has kept, for its cost: about 250 tokens."""
_PRICES = ("input_price_per_million", "output_price_per_million")


@dataclass(frozen=True)
class ModelDifference:
    """What changed.

    Attributes:
        added, removed: LLMs that only the new and only the old model knows.
        llms: a row for each LLM that both know: `llm`; `ability_old`, `ability_new` with `_lower`, `_upper`, in SDs of
            these LLMs, NaN where they are fewer than three; `p_correct_old`, `p_correct_new`, the mean over the
            queries both have fitted; the prices per million tokens, each `_old` and `_new`.
        queries: names of the queries that both have fitted, with the same text.
        old_choice, new_choice: the LLM that each model would choose for each of these queries, among all it knows.
        alpha: weight of correctness in those choices.
        level: of the intervals.
        notes: what was assumed, in words.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    llms: pd.DataFrame
    queries: tuple[str, ...]
    old_choice: tuple[str, ...]
    new_choice: tuple[str, ...]
    alpha: float
    level: float
    notes: tuple[str, ...]

    @property
    def changed(self) -> list[tuple[str, str, str]]:
        """Query, old choice and new choice, where the two differ."""
        triples = zip(self.queries, self.old_choice, self.new_choice, strict=True)
        return [(query, old, new) for query, old, new in triples if old != new]

    def to_dict(self) -> dict[str, Any]:
        """What `birt diff --json` prints."""
        return {
            "schema_version": SCHEMA_VERSION,
            "llms": {
                "added": list(self.added),
                "removed": list(self.removed),
                "shared": self.llms.to_dict(orient="records"),
            },
            "level": self.level,
            "decisions": {
                "alpha": self.alpha,
                "queries": len(self.queries),
                "changed": [{"query": query, "old": old, "new": new} for query, old, new in self.changed],
            },
            "notes": list(self.notes),
        }

    def tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """Title, table and caption of each part, for the terminal; parts without rows are left out."""
        lists = [("added", self.added), ("removed", self.removed)]
        listed = pd.DataFrame(
            [(change, name) for change, names in lists for name in names], columns=["change", "llm"]
        )
        pairs = pd.DataFrame([triple[1:] for triple in self.changed], columns=["old choice", "new choice"])
        moved = pairs.value_counts().rename("queries").reset_index()
        shown = self.llms.drop(
            columns=[name for name in self.llms if "_lower_" in str(name) or "_upper_" in str(name)]
        )
        shown = shown.rename(
            columns={
                f"{name}_{when}": f"{name.split('_')[0]} USD/M {when}"
                for name in _PRICES
                for when in ("old", "new")
            }
        )
        caption = (
            f"Ability: the general trait in SDs of these LLMs. p correct: mean over {len(self.queries):,} queries "
            "that both models have fitted."
        )
        share = f"{len(self.changed):,} of {len(self.queries):,} decisions changed at alpha {self.alpha:g}."
        parts = [
            ("LLMs that came and went", listed, f"{len(self.llms)} LLMs are in both models."),
            ("LLMs in both models", shown, caption),
            ("Decisions", moved, share),
        ]
        return [part for part in parts if len(part[1])]


def model_difference(
    old: Posterior, new: Posterior, *, alpha: float = 0.8, level: float = 0.89
) -> ModelDifference:
    """Compare two fitted models.

    Args:
        old, new: the models.
        alpha: weight of correctness against cost in the decisions, 0 to 1.
        level: of the abilities' equal-tailed intervals.

    Raises:
        InputError: alpha or level out of range, or a cost that the decisions need is unknown.
    """
    check_alpha(alpha)
    if not 0 < level < 1:
        raise InputError(f"level is {level}, but it must be between 0 and 1, for instance 0.89.")
    shared = [name for name in new.llm if name in old.llm]
    queries = _shared_queries(old, new)
    notes = []
    lengths = _lengths(old, new, queries)
    if unknown := sum(one is None for one in lengths):
        notes.append(
            f"The texts of {unknown:,} queries are not kept; their costs are those of {NOMINAL_CHARACTERS:,} characters."
        )
    if not queries:
        notes.append("No query was fitted by both models, so no predictions or decisions are compared.")
    texts = ["x" * (NOMINAL_CHARACTERS if one is None else one) for one in lengths]
    columns: dict[str, Any] = {"llm": shared}
    choices = {}
    for when, posterior in (("old", old), ("new", new)):
        columns |= {f"{name}_{when}": v for name, v in _abilities(posterior, shared, level).items()}
        cost = CostModel.from_dict(posterior.record["cost"])
        mean = _fitted_p_correct(posterior, queries)
        columns[f"p_correct_{when}"] = _of(posterior.llm, mean.mean(axis=0) if queries else None, shared)
        for name in _PRICES:
            columns[f"{name}_{when}"] = _of(list(cost.llm), getattr(cost, name), shared)
        choices[when] = _choices(posterior, mean, cost, texts, alpha)
    fields = [name.removesuffix("_old") for name in columns if name.endswith("_old")]
    ordered = ["llm", *(f"{name}_{when}" for name in fields for when in ("old", "new"))]
    if 0 < len(shared) < 3:
        notes.append("Fewer than three LLMs are in both models, so abilities have no common scale.")
    return ModelDifference(
        tuple(name for name in new.llm if name not in old.llm),
        tuple(name for name in old.llm if name not in new.llm),
        pd.DataFrame({name: columns[name] for name in ordered}),
        tuple(queries),
        choices["old"],
        choices["new"],
        alpha,
        level,
        tuple(notes),
    )


def _shared_queries(old: Posterior, new: Posterior) -> list[str]:
    """Names of the queries that both have fitted and whose texts have the same hash."""
    first, second = _text_hashes(old), _text_hashes(new)
    return [name for name, text_hash in second.items() if first.get(name) == text_hash]


def _text_hashes(posterior: Posterior) -> dict[str, str]:
    table = posterior.tree["queries"].to_dataset()
    return dict(zip(table["query"].values.astype(str), table["text_hash"].values.astype(str), strict=True))


def _lengths(old: Posterior, new: Posterior, queries: list[str]) -> list[int | None]:
    """Characters of each query's text; None where neither model has kept it."""
    known: dict[str, int] = {}
    for posterior in (old, new):
        if posterior.texts is not None:
            known |= dict(zip(_text_hashes(posterior), map(len, posterior.texts), strict=True))
    return [known.get(name) for name in queries]


def _abilities(posterior: Posterior, shared: list[str], level: float) -> dict[str, Float[np.ndarray, " llm"]]:
    """Mean and interval of the general trait, centred and scaled over the shared LLMs draw by draw."""
    if len(shared) < 3:
        nothing = np.full(len(shared), np.nan)
        return {"ability": nothing, "ability_lower": nothing, "ability_upper": nothing}
    general = posterior.general_ability.sel(llm=shared).values
    general = general.reshape(-1, len(shared)).astype(np.float64)
    general -= general.mean(axis=1, keepdims=True)
    general /= general.std(axis=1, keepdims=True)
    lower, upper = np.quantile(general, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {"ability": general.mean(axis=0), "ability_lower": lower, "ability_upper": upper}


def _fitted_p_correct(posterior: Posterior, queries: list[str]) -> Float[np.ndarray, "query llm"]:
    """Posterior mean of sigmoid(a . theta - b) for fitted queries."""
    if not queries:  # a model that ships has none, and no testlets of queries to look at
        return np.zeros((0, len(posterior.llm)))
    posterior = linear_view(posterior)
    draws = posterior.draws
    position = {str(name): i for i, name in enumerate(draws["query"].values)}
    rows = np.array([position[name] for name in queries], dtype=int)
    ability = draws["ability"].transpose("chain", "draw", "llm", "trait").values
    discrimination = draws["discrimination"].transpose("chain", "draw", "query", "trait").values
    difficulty = draws["difficulty"].transpose("chain", "draw", "query").values
    means = [
        p_correct(ability, discrimination[:, :, batch], difficulty[:, :, batch]).mean(
            axis=(0, 1), dtype=np.float64
        )
        for batch in np.array_split(rows, max(1, -(-len(rows) // BATCH)))
    ]
    return np.concatenate(means)


def _choices(
    posterior: Posterior, p: Float[np.ndarray, "query llm"], cost: CostModel, texts: list[str], alpha: float
) -> tuple[str, ...]:
    usd = cost.predict_cost(texts) if alpha < 1 else cost.known_cost(texts)
    utility = expected_utility(p, usd, alpha=alpha, scale=cost.scale_usd)
    return tuple(posterior.llm[j] for j in choose(utility))


def _of(names: list[str], values: Float[np.ndarray, " llm"] | None, shared: list[str]) -> list[float]:
    """The values of the shared LLMs; NaN where there are none."""
    if values is None:
        return [float("nan")] * len(shared)
    return [float(values[names.index(name)]) for name in shared]

"""The queries that a new LLM can be asked: their item parameters in every draw, in coordinates common to all draws."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Float32, Int
from scipy.special import expit

from bayes_irt_router.calibration.fitted_networks import FittedNetworks
from bayes_irt_router.calibration.item_factors import shared_and_own
from bayes_irt_router.calibration.item_marginals import NOTHING, ItemMarginals
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.posterior import ANCESTOR, Posterior
from bayes_irt_router.irt.identification import trait_rotations
from bayes_irt_router.irt.priors import MIRTPriors
from bayes_irt_router.irt.response import ItemDistribution, item_distribution


@dataclass(frozen=True, eq=False)
class Items:
    """Item parameters ``x = (a, b)`` of some queries: in every draw normal, independent from item to item.

    Attributes:
        mean: shape (draw, query, parameter); the parameters are the discriminations, then the difficulty.
        covariance: of each item's own part, the same in all draws, shape (query, parameter, parameter). 0: the draw tells all.
        graded: which queries have graded scores.
        score_precision: of graded scores, shape (draw,).
        marginals: moments over all draws, with which the likelihood of a single item is set right; None: it is right as it is.
    """

    mean: Float[np.ndarray, "draw query parameter"]
    covariance: Float[np.ndarray, "query parameter parameter"]
    graded: Bool[np.ndarray, " query"]
    score_precision: Float[np.ndarray, " draw"]
    marginals: ItemMarginals | None = None

    def part(self, draws: slice | Int[np.ndarray, " draw"], queries: Bool[np.ndarray, " query"]) -> "Items":
        """Some of the queries, in some of the draws."""
        return Items(
            self.mean[draws][:, queries],
            self.covariance[queries],
            self.graded[queries],
            self.score_precision[draws],
            None if self.marginals is None else self.marginals.part(queries),
        )

    def logit_moments(
        self, ability: Float[np.ndarray, "draw point trait"]
    ) -> tuple[Float[np.ndarray, "draw point query"], Float[np.ndarray, "draw point query"]]:
        """Mean and variance of the logit ``a . theta - b`` at each ability of each draw."""
        extended = np.concatenate([ability, -np.ones((*ability.shape[:2], 1), ability.dtype)], axis=2)
        mean = np.matmul(extended, np.swapaxes(self.mean, 1, 2))
        return mean, self._variance(extended) if self.covariance.any() else np.zeros_like(mean)

    def p_correct(
        self, index: Int[np.ndarray, " particle"], ability: Float[np.ndarray, "particle trait"]
    ) -> Float[np.ndarray, "particle query"]:
        """E[sigmoid(a . theta - b)] over the items' own parts, to about 0.01, for one ability in each of some draws.

        ``sigmoid(m / sqrt(1 + pi v / 8))`` (MacKay, 1992), ``m`` and ``v`` mean and variance of the logit: to choose queries, where speed
        counts.
        """
        extended = np.column_stack([ability, -np.ones(len(ability))]).astype(np.float32)
        moving, its_mean, fixed = self._columns
        logit = extended[:, fixed] @ self.mean[0][:, fixed].T
        its_own = np.ascontiguousarray(extended[:, moving])
        for k, draw in enumerate(index):  # without a copy of the items for every particle
            logit[k] += its_own[k] @ its_mean[draw]
        logit /= np.sqrt(1.0 + np.float32(np.pi / 8.0) * self._variance(extended))
        return expit(logit, out=logit)

    @cached_property
    def _columns(
        self,
    ) -> tuple[Int[np.ndarray, " moving"], Float[np.ndarray, "draw moving query"], Int[np.ndarray, " fixed"]]:
        """Parameters that are not the same in all draws, their means, and those that are: the loadings of testlets, and there are many."""
        same = (self.mean == self.mean[:1]).all(axis=(0, 1))
        moving = np.flatnonzero(~same)
        its_mean = np.ascontiguousarray(
            self.mean[:, :, moving].transpose(0, 2, 1)
        )  # the long dim last is twice as fast
        return moving, its_mean, np.flatnonzero(same)

    def _variance(self, extended: Float[np.ndarray, "*point parameter"]) -> Float[np.ndarray, "*point query"]:
        # Testlet loadings are probabilities of tasks, the same in all draws: most pairs of parameters vary in no query.
        own = np.flatnonzero((np.diagonal(self.covariance, axis1=1, axis2=2) > NOTHING).any(axis=0))
        rows, columns = (own[k] for k in np.triu_indices(len(own)))
        squares = extended[..., rows] * extended[..., columns]
        coefficients = self.covariance[:, rows, columns] * np.where(rows == columns, 1.0, 2.0)
        return np.maximum(squares @ coefficients.T.astype(extended.dtype), 0.0)


@dataclass(frozen=True, eq=False)
class ItemBank:
    """The fitted queries, and new ones behind them.

    Attributes:
        posterior: the fitted model; a MIRT's testlets stand behind its traits.
        query: ids, the fitted queries first.
        task: of each query.
        fitted: how many of them were fitted.
        new: item parameters of the new queries given each draw; None without any.
        graded: which queries have graded scores.
    """

    posterior: Posterior
    query: tuple[str, ...]
    task: tuple[str, ...]
    fitted: int
    new: ItemDistribution | None
    graded: Bool[np.ndarray, " query"]
    _position: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_position", {name: i for i, name in enumerate(self.query)})

    @classmethod
    def of(
        cls, posterior: Posterior, new: xr.Dataset | None = None, *, graded: Sequence[str] = ()
    ) -> "ItemBank":
        """The bank of a fitted model.

        Args:
            posterior: the fitted model.
            new: queries that were not fitted, with ``embedding``, ``surface`` and ``task``, as featurize() makes them.
            graded: ids of queries whose scores are graded, beside those of which the model knows it.

        Raises:
            InputError: a new query has the name of a fitted one, or lacks a feature that the model needs.
        """
        model = posterior
        if posterior.record["kind"] != "nirt":
            posterior = linear_view(posterior)
        queries = posterior.tree["queries"].to_dataset()
        names = [str(name) for name in queries["query"].values]
        tasks = _tasks(queries)
        known = queries["graded"].values.astype(bool) if "graded" in queries else np.zeros(len(names), bool)
        fitted, items = len(names), None
        if new is not None and new.sizes["query"]:
            if posterior.record["kind"] == "nirt":
                raise InputError(
                    "A NIRT places LLMs by queries that were fitted; leave the new queries out, or use a MIRT."
                )
            added = [str(name) for name in new["query"].values]
            if twice := sorted(set(added) & set(names)):
                raise InputError(
                    f"The new queries {', '.join(twice)} have names of fitted ones; rename them."
                )
            applied = posterior.feature_map.apply(new)
            given = (applied[name].values for name in ("features", "novelty", "unseen"))
            items = item_distribution(model.draws, *given)
            names += added
            tasks += _tasks(new)
        flags = np.concatenate([known, np.zeros(len(names) - fitted, bool)]) | np.isin(names, list(graded))
        return cls(posterior, tuple(names), tuple(tasks), fitted, items, flags)

    @property
    def counted(self) -> int:
        """So many queries, the first ones, are those over which accuracy is meant: the fitted ones, or all where the model has none."""
        return self.fitted or len(self.query)

    @property
    def draws(self) -> int:
        """Number of parameter draws, chains joined."""
        return self.posterior.size

    @cached_property
    def ancestor(self) -> Int[np.ndarray, " draw"]:
        """Which draw of the fit each draw is a copy of: calibrations so far have taken some several times, and others not at all."""
        stats = self.posterior.tree["sample_stats"].to_dataset()
        return stats[ANCESTOR].values.reshape(-1) if ANCESTOR in stats else np.arange(self.draws)

    @cached_property
    def networks(self) -> FittedNetworks | None:
        """Of a NIRT, the networks: they place an LLM and predict it; the linear items choose what to ask. None of a MIRT."""
        return FittedNetworks.of(self.posterior) if self.posterior.record["kind"] == "nirt" else None

    @cached_property
    def rotations(self) -> Float[np.ndarray, "draw trait trait"]:
        """For every draw the orthogonal matrix R by which ``theta R`` and ``a R`` are in coordinates common to all draws."""
        if self.posterior.record["kind"] == "nirt":  # its traits have names, and are the same in all draws
            traits = self.posterior.draws.sizes["trait"]
            return np.broadcast_to(np.eye(traits), (self.draws, traits, traits))
        # Not from the aligned abilities: fewer LLMs than traits and testlets would leave some of it open.
        return flat(trait_rotations(self.posterior.draws)).astype(np.float64)

    @cached_property
    def drawn(self) -> Float32[np.ndarray, "draw query parameter"]:
        """``(a, b)`` of the fitted queries as drawn; of a NIRT, those of its linear view."""
        draws = linear_view(self.posterior).draws
        a = flat(draws["discrimination"].transpose(..., "query", "trait"))
        rotated = np.matmul(a, self.rotations.astype(np.float32))
        return np.concatenate([rotated, flat(draws["difficulty"])[:, :, None]], axis=2)

    @cached_property
    def _split(
        self,
    ) -> tuple[Float32[np.ndarray, "draw query parameter"], Float[np.ndarray, "query parameter parameter"]]:
        """The bank's items as shared and own parts, the new queries behind the fitted ones."""
        shared, own = shared_and_own(self.drawn)
        if self.new is None:
            return shared, own
        new, new_own = self._new_items
        return np.concatenate([shared, new], axis=1), np.concatenate([own, new_own])

    @cached_property
    def _marginals(self) -> ItemMarginals:
        """Of the fitted items. Of new ones nothing is to be set right: given a draw they are normal."""
        found = ItemMarginals.of(self.drawn)
        added = (0, len(self.query) - self.fitted), (0, 0)
        return replace(
            found,
            mean=np.pad(found.mean, added),
            second=np.pad(found.second, added),
            third=np.pad(found.third, added),
        )

    @cached_property
    def _new_items(
        self,
    ) -> tuple[Float32[np.ndarray, "draw query parameter"], Float[np.ndarray, "query parameter parameter"]]:
        assert self.new is not None
        a = np.matmul(self.new.discrimination_mean, self.rotations.astype(np.float32))
        mean = np.concatenate([a, self.new.difficulty_mean[:, :, None]], axis=2)
        own = np.zeros((mean.shape[1], mean.shape[2], mean.shape[2]))
        own[:, :-1, :-1] = self.new.mean_covariance(self.rotations)
        own[:, -1, -1] = (self.new.difficulty_sd.astype(np.float64) ** 2).mean(axis=0)
        return mean, own

    @cached_property
    def score_precision(self) -> Float[np.ndarray, " draw"]:
        """Precision of graded scores; the prior's median where no fitted query was graded."""
        draws = self.posterior.draws
        if "score_precision" in draws:
            return flat(draws["score_precision"]).astype(np.float64)
        priors = self.posterior.record["model"].get("priors", {})
        return np.full(self.draws, float(priors.get("score_precision", MIRTPriors().score_precision)))

    def positions(self, names: Sequence[str]) -> Int[np.ndarray, " query"]:
        """Where queries stand in the bank.

        Raises:
            InputError: queries are neither fitted nor among the new ones; they are named, up to ten.
        """
        if unknown := [name for name in names if name not in self._position]:
            shown = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
            raise InputError(
                f"The model does not know the queries {shown}; give their texts (--queries), or leave them out."
            )
        return np.array([self._position[name] for name in names], dtype=int)

    @cached_property
    def all_integrated(self) -> Items:
        """As :meth:`integrated`, all items."""
        return Items(*self._split, self.graded, self.score_precision)

    def integrated(self, positions: Int[np.ndarray, " query"]) -> Items:
        """Items as each draw's shared part, and an own part to be integrated; those at these positions."""
        shared, own = self._split
        return Items(
            shared[:, positions],
            own[positions],
            self.graded[positions],
            self.score_precision,
            self._marginals.part(positions),
        )

    @cached_property
    def mean_discrimination(self) -> Float[np.ndarray, "query trait"]:
        """Posterior means, in the common coordinates."""
        return self._split[0].mean(axis=0, dtype=np.float64)[:, :-1]

    def as_drawn(self, positions: Int[np.ndarray, " query"]) -> Items:
        """Items as each draw has them; a new query's residual, which no draw has, is its own part."""
        mean = np.empty((self.draws, len(positions), self.drawn.shape[2]), dtype=np.float32)
        covariance = np.zeros((len(positions), mean.shape[2], mean.shape[2]))
        new = positions >= self.fitted
        mean[:, ~new] = self.drawn[:, positions[~new]]
        if new.any():
            means, own = self._new_items
            mean[:, new], covariance[new] = (
                means[:, positions[new] - self.fitted],
                own[positions[new] - self.fitted],
            )
        return Items(mean, covariance, self.graded[positions], self.score_precision)

    def p_correct(
        self, index: Int[np.ndarray, " sample"], ability: Float[np.ndarray, "sample trait"]
    ) -> Float[np.ndarray, "sample query"]:
        """Probability of a correct answer to every query that counts: fitted ones with the items as drawn; new ones, where none was fitted,
        with their own parts integrated out.

        Args:
            index: parameter draw of each sample.
            ability: of one LLM in each sample, in the coordinates of that parameter draw.
        """
        if self.networks is not None:
            return self.networks.p_correct(index, ability)
        theta = np.einsum("sd,sde->se", ability, self.rotations[index])
        if not self.fitted:
            return self.expected_p_correct(index, theta)
        extended = np.column_stack([theta, -np.ones(len(theta))]).astype(np.float32)
        result = np.empty((len(index), self.fitted))
        for k, draw in enumerate(index):  # without a copy of the items for every sample
            result[k] = self.drawn[draw] @ extended[k]
        return expit(result, out=result)

    def expected_p_correct(
        self, index: Int[np.ndarray, " particle"], ability: Float[np.ndarray, "particle trait"]
    ) -> Float[np.ndarray, "particle query"]:
        """The same over the whole bank, each item's own part integrated out, to about 0.01; abilities in the common coordinates."""
        if self.networks is not None:
            return self.networks.expected_p_correct(index, ability)
        return self.all_integrated.p_correct(index, ability)


def flat(values: xr.DataArray) -> Float32[np.ndarray, "draw ..."]:
    """(chain, draw, ...) to (chain * draw, ...), float32."""
    chains, each = values.shape[:2]  # not -1, which is no number for arrays of no query
    return values.values.reshape(chains * each, *values.shape[2:]).astype(np.float32, copy=False)


def _tasks(queries: xr.Dataset) -> list[str]:
    return (
        [str(task) for task in queries["task"].values]
        if "task" in queries.coords
        else [""] * queries.sizes["query"]
    )

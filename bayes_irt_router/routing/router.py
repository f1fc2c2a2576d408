"""From prompts to decisions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.data.embedding_cache import cached_revision
from bayes_irt_router.data.encoder import Encoder, TextEncoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.prices import Price
from bayes_irt_router.data.surface import features_named
from bayes_irt_router.errors import InputError, gathered
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load
from bayes_irt_router.routing.cost_prediction import predict_cost
from bayes_irt_router.routing.decision import Decision, decide
from bayes_irt_router.routing.decision_problem import DecisionProblem, Policy, flat_draws
from bayes_irt_router.routing.explanation import explain
from bayes_irt_router.routing.limits import Limits
from bayes_irt_router.routing.policies import check_alpha
from bayes_irt_router.routing.policy_catalogue import policy_options
from bayes_irt_router.routing.prediction import predict
from bayes_irt_router.routing.utility_policies import ExpectedUtility, ProbabilityOfImprovement

SCHEMA_VERSION = 1
BATCH = 64  # prompts embedded and predicted at once: memory stays flat however many there are


@dataclass(frozen=True)
class Request:
    """How prompts are to be routed.

    Attributes:
        alpha: weight of correctness against cost, 0 to 1.
        policy: which LLM to take, see `policy_catalogue`.
        limits: which LLMs may answer, and the fallback.
        level: of the credible intervals, over the parameter draws.
        seed: of the query residuals that P(best) integrates over.
        explain: whether each decision carries an explanation.
    """

    alpha: float = 0.8
    policy: Policy = field(default_factory=ExpectedUtility)
    limits: Limits = field(default_factory=Limits)
    level: float = 0.89
    seed: int = 0
    explain: bool = False


@dataclass(frozen=True, eq=False)
class Posed:
    """A decision problem, and what is known of its queries beside it.

    Attributes:
        problem: beliefs, limits, weights.
        familiarity: shape (query,).
        cost_usd_replicated: draws of one answer's cost, shape (cost_draw, query, llm).
    """

    problem: DecisionProblem
    familiarity: np.ndarray
    cost_usd_replicated: np.ndarray


@dataclass(frozen=True)
class Router:
    """A fitted model, ready to route prompts.

    Attributes:
        posterior: the fitted model.
        encoder: the same weights, pooling and window as at fit; checked before the first prompt.
        cache_dir: folder of the embedding cache; ``None`` for the default.
    """

    posterior: Posterior
    encoder: TextEncoder
    cache_dir: Path | None = None

    @classmethod
    def load(
        cls, directory: Path | str, encoder: str | None = None, cache_dir: Path | None = None
    ) -> "Router":
        """A router from a model folder.

        Args:
            directory: the model folder.
            encoder: name or path of the encoder, if not the one recorded at fit (another source of the same weights).
            cache_dir: folder of the embedding cache.
        """
        posterior = load(Path(directory))
        return cls(posterior, Encoder(encoder or posterior.record["encoder"]["name"]), cache_dir)

    @property
    def cost(self) -> CostModel:
        """The cost model that was learned at fit."""
        return CostModel.from_dict(self.posterior.record["cost"])

    def with_prices(self, prices: Mapping[str, Price]) -> "Router":
        """A router that predicts costs at other list prices; see :meth:`CostModel.with_prices`.

        A price under an LLM's own name goes before one under another name of it.
        """
        other = {self.posterior.llm_named(name): price for name, price in prices.items()}
        prices = other | {name: prices[name] for name in self.posterior.llm if name in prices}
        record = self.posterior.record | {"cost": self.cost.with_prices(prices).to_dict()}
        return replace(self, posterior=replace(self.posterior, record=record))

    @property
    def warning(self) -> str | None:
        """One sentence if the draws are not to be trusted, else nothing."""
        return None if self.posterior.gate.passed else self.posterior.gate.verdict

    def featurize(self, data: xr.Dataset, progress: bool = False) -> xr.Dataset:
        """Embedding and surface features of a dataset's texts, as the model needs them.

        Raises:
            InputError: the encoder is not the one of the fit.
        """
        expected, found = self.posterior.record["encoder"], cached_revision(self.encoder, self.cache_dir)
        if found != expected["revision"]:
            raise InputError(
                f"The model was fitted with the encoder {expected['name']} (revision {expected['revision']}), but "
                f"{self.encoder.name} has revision {found}; use the encoder of the fit, or fit again."
            )
        features = features_named(self.posterior.feature_map.surface_names)
        return featurize(data, self.encoder, self.cache_dir, progress, features)

    def predict(self, prompts: Sequence[str], *, seed: int = 0) -> xr.Dataset:
        """Posterior predictive correctness of every LLM on each prompt; see :func:`predict`."""
        return predict(self.posterior, self._queries(prompts), np.random.default_rng(seed))

    def predict_cost(self, prompts: Sequence[str], *, seed: int = 0) -> xr.Dataset:
        """Draws of every LLM's cost on each prompt; see :func:`predict_cost`."""
        return predict_cost(
            self.posterior, self._queries(prompts), np.random.default_rng(seed), self.posterior.size
        )

    def _queries(self, prompts: Sequence[str]) -> xr.Dataset:
        texts = np.array(list(prompts), dtype=object)
        ids = np.array([str(i) for i in range(len(texts))], dtype=object)
        return self.featurize(xr.Dataset(coords={"query": ids, "text": ("query", texts)}))

    def route(
        self,
        prompts: Sequence[str],
        *,
        alpha: float = 0.8,
        policy: Policy | None = None,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] = (),
        max_cost: float | None = None,
        require: Sequence[str] = (),
        fallback: str | None = None,
        min_familiarity: float | None = None,
        level: float = 0.89,
        seed: int = 0,
        explain: bool = False,
    ) -> list[Decision]:
        """One decision for each prompt; by default by the highest expected ``S = alpha P - (1 - alpha) C``.

        Args:
            prompts: texts.
            alpha: weight of correctness against cost, 0 to 1.
            policy: another rule, such as ``MinSuccess(target=0.9)``.
            allow: names of the LLMs to choose from; all by default.
            deny: names of LLMs not to choose.
            max_cost: of one answer, in USD, as expected.
            require: capabilities that a candidate must declare.
            fallback: the LLM for unfamiliar queries, and where the policy abstains.
            min_familiarity: below it a query is unfamiliar.
            level: of the credible intervals, over the parameter draws.
            seed: of the query residuals that P(best) integrates over.
            explain: whether each decision carries an explanation.

        Raises:
            InputError: alpha outside [0, 1], an unknown LLM, contradictory limits, an empty prompt, or a price that is needed and
                unknown; what can be told before routing is told at once.
        """
        given = {"prompts": prompts, "allow": allow, "deny": deny, "require": require}
        problems = [
            f"{name} is one text where a list of texts is wanted; write [{value!r}]."
            for name, value in given.items()
            if isinstance(value, str)
        ]
        if not isinstance(prompts, str):
            with gathered(problems):
                _refuse_empty(prompts)
        limits = Limits(
            None if allow is None or isinstance(allow, str) else tuple(allow),
            _listed(deny),
            max_cost,
            _listed(require),
            fallback,
            min_familiarity,
        )
        request = Request(alpha, policy or ExpectedUtility(), limits, level, seed, explain)
        with gathered(problems):
            self.check(request)
        if problems:
            raise InputError(problems)
        return list(self.route_each(prompts, request))

    def check(self, request: Request) -> None:
        """Raise InputError if the request cannot be served by this model; every problem is listed."""
        request = self._named(request)
        llms = self.posterior.tree["llms"].to_dataset()
        problems: list[str] = []
        with gathered(problems):
            check_alpha(request.alpha)
        if not 0 < request.level < 1:
            problems.append(f"level is {request.level}, but it must be between 0 and 1, for instance 0.89.")
        problems += request.limits.problems(llms)
        names, static = self.posterior.llm, request.limits.static(llms)
        incumbent = policy_options(request.policy).get("incumbent")
        if incumbent is not None and incumbent not in names:
            problems.append(
                f"The incumbent {incumbent!r} is not among the fitted LLMs: {', '.join(sorted(names))}."
            )
        elif incumbent is not None and static.any() and not static[names.index(incumbent)]:
            problems.append(
                f"The incumbent {incumbent} is denied, not allowed, or lacks a required capability; choose another."
            )
        needs = request.policy.always_needs_cost or request.alpha < 1 or request.limits.max_cost is not None
        if needs and static.any():
            left = [name for name, is_left in zip(names, static, strict=True) if is_left]
            with gathered(problems):
                self.cost.predict_cost([], left)
        if problems:
            raise InputError(problems)

    def _named(self, request: Request) -> Request:
        """The same request with other names of LLMs replaced by the model's."""
        policy = request.policy
        if isinstance(policy, ProbabilityOfImprovement):
            policy = replace(policy, incumbent=self.posterior.llm_named(policy.incumbent))
        return replace(request, policy=policy, limits=request.limits.named(self.posterior.llm_named))

    def route_each(self, prompts: Iterable[str], request: Request | None = None) -> Iterator[Decision]:
        """The same as :meth:`route`, a batch at a time; the prompts may be any number, and are read as they are needed."""
        request = self._named(request or Request())
        self.check(request)
        if isinstance(prompts, Sequence):
            _refuse_empty(prompts)
        waiting, start = iter(prompts), 0
        while batch := list(islice(waiting, BATCH)):
            _refuse_empty(batch, start)
            for decision in self._decide(batch, replace(request, seed=request.seed + start)):
                yield decision.shifted(start)
            start += len(batch)

    def pose(self, queries: xr.Dataset, request: Request) -> Posed:
        """What there is to decide for featurized queries."""
        posterior, cost = self.posterior, self.cost
        prediction = predict(posterior, queries, np.random.default_rng(request.seed))
        usd = predict_cost(posterior, queries, np.random.default_rng([request.seed, 1]), posterior.size)
        texts = [str(text) for text in queries["text"].values]
        allowed = request.limits.allowed(
            posterior.tree["llms"].to_dataset(),
            usd["cost_usd"].values.mean(axis=0, dtype=np.float64),
            cost.input_tokens(texts),
        )
        problem = DecisionProblem(
            tuple(posterior.llm),
            flat_draws(prediction["p_correct"]),
            flat_draws(prediction["p_correct_conditional"]),
            usd["cost_usd"].values,
            usd["cost_usd_conditional"].values,
            allowed,
            request.alpha,
            cost.scale_usd,
        )
        return Posed(problem, prediction["familiarity"].values, usd["cost_usd_replicated"].values)

    def _decide(self, prompts: Sequence[str], request: Request) -> list[Decision]:
        queries = self._queries(prompts)
        posed = self.pose(queries, request)
        decisions = decide(
            posed.problem,
            request.policy,
            level=request.level,
            limits=request.limits,
            familiarity=posed.familiarity,
        )
        if not request.explain:
            return decisions
        orders = [[] if d.llm is None else [c.llm for c in d.candidates] for d in decisions]
        told = explain(self.posterior, queries, posed.problem, orders, [d.reason for d in decisions])
        return [replace(d, explanation=one) for d, one in zip(decisions, told, strict=True)]


def _listed(names: Sequence[str]) -> tuple[str, ...]:
    """Nothing of a bare text, which is an error of its own: its letters would be many unknown names."""
    return () if isinstance(names, str) else tuple(names)


def _refuse_empty(prompts: Sequence[str], start: int = 0) -> None:
    if empty := [str(start + i + 1) for i, prompt in enumerate(prompts) if not prompt.strip()]:
        raise InputError(f"Prompt {', '.join(empty)} is empty; give it a text.")


def routing_json(decisions: Sequence[Decision], alpha: float, policy: Policy | None = None) -> dict[str, Any]:
    """What ``birt route --json`` prints."""
    policy = policy or ExpectedUtility()
    return {
        "schema_version": SCHEMA_VERSION,
        "policy": policy.name,
        "options": policy_options(policy),
        "alpha": alpha,
        "decisions": [decision.to_dict() for decision in decisions],
    }

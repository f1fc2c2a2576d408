"""The hierarchical multidimensional item response model, written in PyMC."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.llm_covariates import COVARIATES, covariate_matrix, family_index
from bayes_irt_router.irt.population import frame, raw_random, standardised_logp
from bayes_irt_router.irt.priors import LOG_SD, MIRTPriors
from bayes_irt_router.irt.score_distributions import (
    GRADED_STEPS,
    binomial_mean_logp,
    binomial_mean_random,
    constant,
    graded_mean_logp,
    graded_mean_random,
    graded_queries,
)
from bayes_irt_router.irt.testlets import UNSEEN_TASK, testlet_centring, testlet_loadings

if TYPE_CHECKING:
    import pymc as pm
    from pytensor.tensor import TensorVariable


@dataclass(frozen=True)
class MIRT:
    """LLMs are test-takers, queries are items, and an item's parameters are regressed on what its text shows::

        y_ij ~ Binomial(trials_ij, p_ij) / trials_ij          (answers that are right or wrong)
        y_ij ~ BetaBinomial(100, p_ij k, (1 - p_ij) k) / 100  (queries with graded scores; k: score_precision)
        p_ij = sigmoid(a_i . theta_j - b_i + v_j,t(i))
        v_jt ~ N(0, s_v^2)                                    (LLM x task)
        b_i  = mu_b + w_b . phi(x_i) + s_bi eps_i,            s_bi^2 = sigma_b^2 + tau_b^2 novelty_i
        a_id = mu_d + W_d . phi(x_i) + r_id                   (mu_d = 0 for d > 1)
        r_i1 = s_ai1 eta_i1,                                  s_aid^2 = sigma_d^2 + tau_a^2 novelty_i
        r_id = s_aid eta_id + kappa_d r_i1                    (d > 1)
        theta = frame(Z gamma + family effect + residual)

    ``phi`` and ``novelty`` come from the feature map; ``eps``, ``eta`` and the residual are standard normal; the weights are normal
    with one SD for the surface features and one (``tau``) for the Gaussian process' columns (groups ``kernel`` and ``task``), per
    equation.

    ``frame`` gives the fitted LLMs mean 0, SD 1 and correlation 0 over the traits (it centres, and multiplies by the inverse
    Cholesky factor of the sample covariance). What the likelihood cannot tell (shift, scale and shear of ability against the item
    parameters) is thereby gone. Only the first, general trait has a mean discrimination (mu_1 > 0, mu_d = 0 otherwise). The specific
    traits share their residual SD, and all traits the weights' SDs; the slopes kappa give the residuals a covariance of which the
    general trait need not be an axis. Without them there were two modes, where the mean discrimination and the largest variance of the
    residuals have different directions. Nothing tells the specific traits' rotations apart, and the sampler is free to turn them:
    coordinates that pin the rotation to some LLMs have a boundary, at which chains stick where those LLMs turn out to say little about
    the traits. :func:`align_traits` turns the draws afterwards.

    Where the feature map tells more tasks apart than there are traits, ``v`` are testlet effects (Bradlow, Wainer & Wang, 1999): what an
    LLM is better at on a task ``t`` than its traits say. Over the LLMs that answered any of a task their sum is 0, and over the tasks
    of which an LLM answered any, too, so that levels are in difficulty and traits. As in the original, the testlet of a fitted query
    is known: it is the task that is stated. A new query's is not, and ``sum_t P(t | x) v_jt`` is expected with the map's task
    probabilities. A query that is of no task seen gets effects, a difficulty and discriminations of an unseen task, the same for all
    such queries in a draw, with testlets or without.

    Difficulty is sampled as it is (centred: each has as many answers as there are LLMs), the discrimination residuals as ``eta``
    (non-centred: the data say little about each). The surface features' weights are sampled along the principal axes of the
    training features, which leaves their prior as it is.

    Departs from IRT-Router (Song et al., ACL 2025): item parameters have residuals, everything has a prior, ability is free
    per LLM and not a projection of a text about the LLM.

    Attributes:
        traits: dimensions of ability, 1 to 8.
        priors: scales of all priors.
        covariates: LLM covariates that ability is regressed on, of ``release_date``, ``log_parameters``, ``log_price``.
        families: whether LLMs of one family share an effect.
        testlets: whether LLMs have effects of their own on tasks, where the feature map tells more tasks apart than there are traits.
    """

    traits: int = 3
    priors: MIRTPriors = field(default_factory=MIRTPriors)
    covariates: tuple[str, ...] = ()
    families: bool = False
    testlets: bool = True

    kind = "mirt"

    def __post_init__(self) -> None:
        problems = []
        if not 1 <= self.traits <= 8:
            problems.append(f"traits is {self.traits}; choose 1 to 8 (2 to 5 are usual).")
        if unknown := [name for name in self.covariates if name not in COVARIATES]:
            problems.append(
                f"There is no LLM covariate {', '.join(unknown)}; the names are {', '.join(COVARIATES)}."
            )
        if problems:
            raise InputError(problems)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, for the model folder's JSON."""
        return {**asdict(self), "covariates": list(self.covariates)}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "MIRT":
        """The inverse of :meth:`to_dict`."""
        priors = MIRTPriors(**saved["priors"])
        return cls(saved["traits"], priors, tuple(saved["covariates"]), saved["families"], saved["testlets"])

    def check(self, data: xr.Dataset) -> None:
        """Whether the data have LLMs enough for so many traits.

        Raises:
            InputError: fewer LLMs than traits + 2.
        """
        if data.sizes["llm"] < self.traits + 2:
            raise InputError(
                f"{self.traits} traits need at least {self.traits + 2} LLMs, the data have {data.sizes['llm']}; "
                "use fewer traits or more LLMs."
            )

    def testlets_of(self, data: xr.Dataset) -> list[str]:
        """The coordinate values of the dim ``testlet``: the columns of task probabilities, and ``unseen_task``.

        Empty where there are no more tasks than traits: D traits can hold whatever LLMs do on D tasks, and testlets beside them would
        leave it open which of the two does.
        """
        task = data["feature_group"].values == "task"
        if not self.testlets or task.sum() <= self.traits:
            return []
        return [*(str(name) for name in data["feature"].values[task]), UNSEEN_TASK]

    def build(self, data: xr.Dataset) -> "pm.Model":
        """The PyMC model of a dataset, in the precision that ``pytensor.config.floatX`` says.

        Args:
            data: with ``score`` and ``trials`` (query, llm), ``features`` (query, feature), ``novelty`` (query), and the LLM
                coords that ``covariates`` and ``families`` need.

        Returns:
            A model with the free variables above, and with deterministic ``ability`` (llm, trait), ``discrimination``
            (query, trait), ``difficulty_weight`` (feature) and ``discrimination_weight`` (trait, feature) on named features.

        Raises:
            InputError: fewer LLMs than traits + 2, or a covariate that no LLM has.
        """
        import pymc as pm  # costs seconds; routing never comes here
        import pytensor.tensor as pt

        self.check(data)
        priors, traits = self.priors, self.traits
        surface = data["feature_group"].values == "surface"
        features = data["features"].values
        # Principal axes of the surface features: all of them, also where there are fewer queries than features.
        axes = np.linalg.eigh(features[:, surface].T @ features[:, surface])[1][:, ::-1]
        rotated = constant(np.hstack([features[:, surface] @ axes, features[:, ~surface]]))
        axes = constant(axes)
        novelty = constant(data["novelty"].values)
        count = int(surface.sum())

        coords = {
            "query": data["query"].values,
            "llm": data["llm"].values,
            "trait": trait_names(traits),
            "raw_trait": trait_names(traits),
            "trait_kind": ["general", "specific"][: min(traits, 2)],
            "specific": trait_names(traits)[1:],
            "feature": data["feature"].values,
            "component": np.arange(features.shape[1]),
        }
        with pm.Model(coords=coords) as model:
            ability = self._ability(data)

            mean_b = pm.Normal("difficulty_mean", 0.0, priors.difficulty_mean)
            surface_b = _scale("difficulty_surface_sd", priors.difficulty_surface)
            kernel_b = _scale("difficulty_kernel_sd", priors.difficulty_kernel)
            residual_b = _scale("difficulty_residual_sd", priors.difficulty_residual)
            component_b = pm.Normal("difficulty_component", 0.0, 1.0, dims="component")
            component_b = pt.concatenate([surface_b * component_b[:count], kernel_b * component_b[count:]])

            mean_a = pm.HalfNormal("discrimination_mean", priors.discrimination_mean)
            surface_a = _scale("discrimination_surface_sd", priors.discrimination_surface)
            kernel_a = _scale("discrimination_kernel_sd", priors.discrimination_kernel)
            residual_a = _scale("discrimination_residual_sd", priors.discrimination_residual, "trait_kind")
            # By concatenation: the gradient of an index is a scatter, slow on CPUs.
            residual_a = pt.concatenate([residual_a[:1], pt.ones(traits - 1) * residual_a[-1]])[:, None]
            component_a = pm.Normal("discrimination_component", 0.0, 1.0, dims=("trait", "component"))
            component_a = pt.concatenate(
                [
                    surface_a * component_a[:, :count],
                    kernel_a * component_a[:, count:],
                ],
                axis=1,
            )
            eta = pm.Normal("discrimination_residual", 0.0, 1.0, dims=("trait", "query"))

            # One product for difficulty and discrimination: the features are the largest array, and are read once.
            linear = (rotated @ pt.concatenate([component_b[None, :], component_a]).T).T
            difficulty = pm.Normal(
                "difficulty",
                mean_b + linear[0],
                pt.sqrt(residual_b**2 + kernel_b**2 * novelty),
                dims="query",
            )
            spread = pt.sqrt(residual_a**2 + kernel_a**2 * novelty)
            shift = pt.concatenate([mean_a[None], pt.zeros(traits - 1)])[:, None]
            residual = spread * eta  # (trait, query)
            if traits > 1:
                slope = pm.Normal(
                    "discrimination_residual_slope", 0.0, priors.discrimination_slope, dims="specific"
                )
                # As a product: beside the general trait's own residual, and the specific ones', what these have of it.
                below = pt.concatenate([slope[:, None], pt.eye(traits - 1)], axis=1)
                residual = pt.concatenate([pt.eye(1, traits), below]) @ residual
            discrimination = shift + linear[1:] + residual
            pm.Deterministic("discrimination", discrimination.T, dims=("query", "trait"))

            named_b = pt.concatenate([axes @ component_b[:count], component_b[count:]])
            named_a = pt.concatenate([component_a[:, :count] @ axes.T, component_a[:, count:]], axis=1)
            pm.Deterministic("difficulty_weight", named_b, dims="feature")
            pm.Deterministic("discrimination_weight", named_a, dims=("trait", "feature"))

            logit = ability @ discrimination - difficulty
            task = data["feature_group"].values == "task"
            if task.any():
                self._unseen_task(kernel_b, kernel_a)
            if self.testlets_of(data):
                effect = self._testlet_effect(data)
                logit = logit + effect[:, :-1] @ constant(testlet_loadings(data)).T
            self._likelihood(data, logit)
        return model

    def _ability(self, data: xr.Dataset) -> "TensorVariable":
        """``frame(Z gamma + family effect + residual)``, dims (llm, trait)."""
        import pymc as pm
        import pytensor.tensor as pt

        llms = data.sizes["llm"]
        exchangeable = not self.covariates and not self.families
        if exchangeable:
            shape = (self.traits, llms)
            raw = _raw("ability_residual", standardised_logp, shape, ("raw_trait", "llm"))
        else:  # how far LLMs of one family or price are alike is told in units of the residuals, so these are as they are
            raw = pm.Normal("ability_residual", 0.0, 1.0, dims=("raw_trait", "llm"))
        if self.covariates:
            pm.modelcontext(None).add_coord("covariate", list(self.covariates))
            gamma = pm.Normal("covariate_weight", 0.0, self.priors.covariate, dims=("raw_trait", "covariate"))
            raw = raw + gamma @ constant(covariate_matrix(data, self.covariates)).T
        if self.families:
            names, index = family_index(data)
            pm.modelcontext(None).add_coord("family", names)
            family_sd = _scale("family_sd", self.priors.family)
            effect = pm.Normal("family_effect", 0.0, 1.0, dims=("raw_trait", "family"))
            raw = raw + family_sd * effect[:, index]
        raw = raw - raw.mean(axis=1, keepdims=True)
        factor = pt.linalg.cholesky(raw @ raw.T / llms)
        ability = pt.linalg.solve_triangular(factor, raw, lower=True).T
        # Kept: a new LLM's raw ability becomes an ability by the same shift and division.
        pm.Deterministic(
            "ability_frame",
            frame(self.traits, llms) if exchangeable else factor,
            dims=("raw_trait", "trait"),
        )
        return pm.Deterministic("ability", ability, dims=("llm", "trait"))

    def _unseen_task(self, kernel_b: "TensorVariable", kernel_a: "TensorVariable") -> None:
        """What a task that nobody has seen would add to difficulty and discriminations; no answer speaks of it, so it is the prior's."""
        import pymc as pm

        unseen = pm.Normal("unseen_task", 0.0, 1.0, shape=1 + self.traits)
        pm.Deterministic("unseen_difficulty", kernel_b * unseen[0])
        pm.Deterministic("unseen_discrimination", kernel_a * unseen[1:], dims="trait")

    def _testlet_effect(self, data: xr.Dataset) -> "TensorVariable":
        """``v``, dims (llm, testlet): the testlets are the tasks and, last, one that nobody has seen, whose effects are the prior's."""
        import pymc as pm

        pm.modelcontext(None).add_coord("testlet", self.testlets_of(data))
        sd = _scale("testlet_sd", self.priors.testlet)
        centring = testlet_centring(data, self.testlets_of(data))
        z = _raw("testlet_residual", centring.logp, centring.inside.shape, ("testlet", "llm"))
        return pm.Deterministic("testlet_effect", sd * centring.left(z).T, dims=("llm", "testlet"))

    def _likelihood(self, data: xr.Dataset, logit: "TensorVariable") -> None:
        """Binomial for right/wrong queries, beta-binomial for graded ones; dense, with 0 trials where an answer is missing.

        ``logit`` has the dims (llm, query): with the long dim last the products and sums run several times as fast.
        """
        import pymc as pm

        trials = data["trials"].transpose("llm", "query").values
        score = np.nan_to_num(data["score"].transpose("llm", "query").values)
        graded = graded_queries(data)
        pm.CustomDist(
            "score",
            logit if not graded.any() else logit[:, np.flatnonzero(~graded)],
            constant(trials[:, ~graded]),
            logp=binomial_mean_logp,
            random=binomial_mean_random,
            observed=pm.Data("observed_score", constant(score[:, ~graded])),
        )
        if graded.any():
            pm.CustomDist(
                "graded_score",
                logit[:, np.flatnonzero(graded)],
                constant(trials[:, graded]),
                _scale("score_precision", self.priors.score_precision),
                logp=graded_mean_logp,
                random=graded_mean_random,
                observed=constant(np.round(GRADED_STEPS * score[:, graded]) / GRADED_STEPS),
            )


def trait_names(traits: int) -> list[str]:
    """``general``, ``specific_1``, ``specific_2``, ... : the coordinate values of the dim ``trait``.

    >>> trait_names(3)
    ['general', 'specific_1', 'specific_2']
    """
    return ["general", *(f"specific_{d}" for d in range(1, traits))]


def _raw(
    name: str, logp: Callable[..., Any], shape: tuple[int, ...], dims: tuple[str, ...]
) -> "TensorVariable":
    """Values of a population, of which only what is left when they are centred or standardised is used."""
    import pymc as pm

    return pm.CustomDist(
        name,
        constant(np.zeros(shape)),
        logp=logp,
        random=raw_random,
        signature="(row,llm)->(row,llm)",
        dims=dims,
    )


def _scale(name: str, median: float, dims: str | None = None) -> "TensorVariable":
    """A log-normal prior, LOG_SD on the log: away from zero, where a chain would dwell (the sampler sees the log of a scale)."""
    import pymc as pm

    return pm.LogNormal(name, np.log(median), LOG_SD, dims=dims)

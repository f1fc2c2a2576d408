"""What is believed of an LLM's ability before it has answered anything, for every draw of the parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.special import gammaln

from bayes_irt_router.calibration.items import flat
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.ability_posterior import NormalAbility, prior_covariance
from bayes_irt_router.irt.identification import is_testlet
from bayes_irt_router.irt.llm_covariates import COVARIATES, covariate_values

WIDENING = 0.5  # of a predecessor's posterior, in SDs between LLMs


@dataclass(frozen=True)
class AbilityPrior:
    """In each draw ``theta = mean + factor z`` with standard normal ``z``, or, its first elements, with what :meth:`over_frames` makes.

    Attributes:
        mean: shape (draw, trait).
        factor: shape (draw, trait, trait).
        description: one sentence for the record.
        free: so many traits, the first ones, have factors that are independent of everything else in the draws.
        llms: J, how many fitted LLMs those factors are of.
        heavy: whether the free elements of ``z`` are what is left when the factors are integrated out.
    """

    mean: Float[np.ndarray, "draw trait"]
    factor: Float[np.ndarray, "draw trait trait"]
    description: str
    free: int = 0
    llms: int = 0
    heavy: bool = False

    def of_draws(self, index: Int[np.ndarray, " draw"]) -> "AbilityPrior":
        """The same in some of the draws."""
        return replace(self, mean=self.mean[index], factor=self.factor[index])

    def over_frames(self) -> "AbilityPrior":
        """The same with the free traits' factors integrated out: what the draws say of a new LLM, whichever factor a draw has.

        A draw's factor is ``sqrt(1 + 1/J) L^-1``, turned, and by Bartlett's decomposition the rows of ``sqrt(J) L`` are independent: on the
        diagonal the root of a ``chi^2(J - k)``, k = 1, 2, ..., below it standard normals. So given those before it each element is a
        t variable ::

            z_k | z_1 .. z_(k-1) ~ sqrt(q_k / (J - k)) t(J - k),    q_k = J + 1 + z_1^2 + ... + z_(k-1)^2

        A joint posterior is the same either way, but weights of draws do not hang on the factor that a draw happens to have: with few
        fitted LLMs, an LLM far from their centre would leave only the draws of wide factors.
        """
        if not self.free:
            return self
        # A factor is a turn times a triangle with a positive diagonal; the turn is kept.
        turned, triangle = np.linalg.qr(
            np.swapaxes(np.linalg.inv(self.factor[:, : self.free, : self.free]), 1, 2)
        )
        factor = self.factor.copy()
        signs = np.sign(np.diagonal(triangle, axis1=1, axis2=2))
        factor[:, : self.free, : self.free] = turned * signs[:, None, :]
        return replace(self, factor=factor, heavy=True)

    def standard(
        self, draws: int, points: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "draw point trait"]:
        """Values of ``z``, independent of each other."""
        z = rng.standard_normal((draws, points, self.mean.shape[1]))
        if self.heavy:
            square = np.full((draws, points), self.llms + 1.0)
            for k in range(self.free):
                z[..., k] *= np.sqrt(square / rng.chisquare(self.llms - 1 - k, square.shape))
                square += z[..., k] ** 2
        return z

    def log_density(self, z: Float[np.ndarray, "*point trait"]) -> Float[np.ndarray, "*point"]:
        """Log density of ``z``, without the ``-log(2 pi) / 2`` of each trait."""
        if not self.heavy:
            return -0.5 * (z**2).sum(axis=-1)
        result = -0.5 * (z[..., self.free :] ** 2).sum(axis=-1)
        square = np.full(z.shape[:-1], self.llms + 1.0)
        for k in range(self.free):
            half = (self.llms - k) / 2
            result += gammaln(half) - gammaln(half - 0.5) + 0.5 * np.log(2.0 / square)
            result -= half * np.log1p(z[..., k] ** 2 / square)
            square = square + z[..., k] ** 2
        return result

    def precision(self, z: Float[np.ndarray, "draw trait"]) -> Float[np.ndarray, "draw trait"]:
        """The diagonal of ``A``: at ``z`` the log density of the prior has the gradient ``-A z``, as that of ``N(0, A^-1)`` has."""
        result = np.ones(z.shape)
        if self.heavy:
            squares = self.llms + 1.0 + np.cumsum(z[:, : self.free] ** 2, axis=1)
            parts = 2.0 / squares
            parts[:, -1] = (self.llms - self.free + 1.0) / squares[:, -1]
            result[:, : self.free] = np.cumsum(parts[:, ::-1], axis=1)[:, ::-1]
        return result

    def averaged(self, draws: slice) -> NormalAbility:
        """The normal that has mean and covariance of the prior over some of the draws."""
        mean, factor = self.mean[draws], self.factor[draws]
        apart = mean - mean.mean(axis=0)
        covariance = np.matmul(factor, np.swapaxes(factor, 1, 2)).mean(axis=0) + apart.T @ apart / len(mean)
        return NormalAbility(mean.mean(axis=0), np.linalg.cholesky(covariance))


@dataclass(frozen=True)
class Population:
    """What the frame of the abilities was made of: the LLMs that were fitted, whoever has come or gone since.

    Attributes:
        llms: how many were fitted.
        covariates: mean and SD of each LLM covariate over them.
        families: how many of them each family has.
    """

    llms: int
    covariates: Mapping[str, tuple[float, float]]
    families: Mapping[str, int]

    @classmethod
    def of(cls, posterior: Posterior) -> "Population":
        """From the record where LLMs have come or gone, else from the table of the fitted LLMs."""
        if (kept := posterior.record.get("population")) is not None:
            covariates = {name: (pair[0], pair[1]) for name, pair in kept["covariates"].items()}
            return cls(kept["llms"], covariates, kept["families"])
        table = posterior.tree["llms"].to_dataset()
        model = posterior.record["model"]
        values = {name: covariate_values(table, name) for name in model.get("covariates", ())}
        families: dict[str, int] = {}
        if model.get("families"):
            for family, llm in zip(table["family"].values, table["llm"].values, strict=True):
                name = str(family) or f"({llm})"
                families[name] = families.get(name, 0) + 1
        return cls(
            table.sizes["llm"],
            {name: (float(np.nanmean(v)), float(np.nanstd(v))) for name, v in values.items()},
            families,
        )

    def to_dict(self) -> dict[str, Any]:
        """For the model folder's JSON."""
        covariates = {name: list(pair) for name, pair in self.covariates.items()}
        return {"llms": self.llms, "covariates": covariates, "families": dict(self.families)}


def new_llm_prior(posterior: Posterior, info: Mapping[str, Any] | None = None) -> AbilityPrior:
    """The prior of an LLM that was not fitted, exchangeable with those that were.

    The model frames raw abilities ``r_j = Z gamma + family effect + residual`` of the J fitted LLMs as ``theta_j = L^-1 (r_j - mean r)``,
    ``L`` the Cholesky factor of their sample covariance. The draws hold ``L`` (``ability_frame``) and residuals less their mean;
    a new residual less that mean is ``N(0, (1 + 1/J) I)``, the 1/J for the mean that is gone. So, in each draw,::

        theta ~ N(L^-1 m, v L^-1 L^-T),   m = gamma z + s (effect - mean effect),   v = 1 + 1/J

    with ``z`` the new LLM's covariates, standardised as the fitted LLMs' were (0 where unknown). A family that was not fitted has an
    effect of its own: then ``effect`` is 0 in the mean and ``v`` grows by ``s^2``. Over the draws, ``L`` makes the tails
    heavier than normal, as they must be when a population is known by J members. Testlet effects, which stand behind the
    traits, are ``N(0, (1 + 1/J) s_v^2)``. A NIRT's abilities have one prior, that of the new LLM too.

    Args:
        posterior: the fitted model.
        info: columns of the table ``llms``: ``release_date``, ``parameters_billion``, the two prices, ``family``. What of it the model does
            not use is named in the description.

    Raises:
        InputError: the model folder does not hold the frame of the abilities.
    """
    posterior = _with_testlets(posterior)
    draws, model = posterior.draws, posterior.record["model"]
    frame = _frame(posterior)
    population = Population.of(posterior)
    mean = np.zeros(frame.shape[:2])
    is_nirt = posterior.record["kind"] == "nirt"  # its abilities have no mean taken away
    variance = np.full(frame.shape[:2], 1.0 if is_nirt else 1.0 + 1.0 / population.llms)
    known: list[str] = []
    details = dict(info or {})
    if model.get("covariates"):
        z = np.zeros(len(model["covariates"]))
        for k, name in enumerate(model["covariates"]):
            value = _covariate(details, name)
            centre, spread = population.covariates[name]
            if np.isfinite(value):
                z[k] = (value - centre) / spread
                known.append(name)
        weight = draws["covariate_weight"].transpose("chain", "draw", ..., "covariate")
        mean += flat(weight).astype(np.float64) @ z
    if model.get("families"):
        sd = flat(draws["family_sd"]).astype(np.float64)
        names = [str(name) for name in draws["family"].values]
        effects = flat(draws["family_effect"].transpose("chain", "draw", ..., "family")).astype(np.float64)
        share = np.array([population.families.get(name, 0) for name in names]) / population.llms
        mean -= sd[:, None] * (effects @ share)
        family = str(details.get("family") or "")
        if family in names:
            mean += sd[:, None] * effects[:, :, names.index(family)]
            known.append("family")
        else:
            of_trait = np.array([not is_testlet(name) for name in draws["trait"].values])
            variance += sd[:, None] ** 2 * of_trait
    inverse = np.linalg.inv(frame)
    exchangeable = not model.get("covariates") and not model.get("families")
    testlets = sum(is_testlet(name) for name in draws["trait"].values)
    told = f" given {', '.join(known)}" if known else ""
    return AbilityPrior(
        np.einsum("sde,se->sd", inverse, mean),
        inverse * np.sqrt(variance)[:, None, :],
        f"exchangeable with the {population.llms} fitted LLMs{told}{_unused(details, model, is_nirt=is_nirt)}",
        # The frame of exchangeable LLMs is what standardising took away, see `irt/population.py`; the testlets' SDs are not.
        free=frame.shape[1] - testlets if exchangeable and not is_nirt else 0,
        llms=population.llms,
    )


def predecessor_prior(posterior: Posterior, predecessor: str, widening: float = WIDENING) -> AbilityPrior:
    """The prior of a new version: in each draw normal around the predecessor's ability, ``widening`` SDs of the LLMs wide.

    Args:
        posterior: the fitted model.
        predecessor: name of an LLM that the model knows.
        widening: how far versions may differ, in standard deviations between LLMs; 1 and the predecessor tells little.

    Raises:
        InputError: the model does not know the predecessor, or the widening is not positive.
    """
    if predecessor not in posterior.llm:
        raise InputError(
            f"The model does not know the LLM {predecessor!r}; it knows {', '.join(sorted(posterior.llm))}."
        )
    if not widening > 0:
        raise InputError(f"The widening is {widening}; give a positive number of SDs, such as {WIDENING:g}.")
    posterior = _with_testlets(posterior)
    inverse = np.linalg.inv(_frame(posterior))
    ability = flat(posterior.draws["ability"].transpose(..., "llm", "trait")).astype(np.float64)
    return AbilityPrior(
        ability[:, posterior.llm.index(predecessor)],
        widening * inverse,
        f"the posterior of {predecessor}, widened by {widening:g} SDs between LLMs",
    )


def aligned_prior(prior: AbilityPrior, rotations: Float[np.ndarray, "draw trait trait"]) -> AbilityPrior:
    """The same prior in turned coordinates, ``theta R`` in each draw."""
    return replace(
        prior,
        mean=np.einsum("sd,sde->se", prior.mean, rotations),
        factor=np.matmul(np.swapaxes(rotations, 1, 2), prior.factor),
    )


def _unused(info: Mapping[str, Any], model: Mapping[str, Any], *, is_nirt: bool) -> str:
    """A clause about facts of which the model makes nothing, and the options of a fit that would; empty if there are none."""
    covariates = [
        name
        for name in COVARIATES
        if name not in model.get("covariates", ()) and np.isfinite(_covariate(info, name))
    ]
    family = bool(info.get("family")) and not model.get("families")
    facts = [*covariates, *(["family"] if family else [])]
    if not facts:
        return ""
    options = [*(f"--covariate {name}" for name in covariates), *(["--families"] if family else [])]
    why = "a NIRT has no use for that" if is_nirt else f"birt fit {' '.join(options)} would use that"
    return f", without {', '.join(facts)}, which the model does not use ({why})"


def _with_testlets(posterior: Posterior) -> Posterior:
    """With its testlets behind the traits; the abilities of a NIRT are as they are."""
    return posterior if posterior.record["kind"] == "nirt" else linear_view(posterior)


def _frame(posterior: Posterior) -> Float[np.ndarray, "draw trait trait"]:
    if posterior.record["kind"] == "nirt":  # named abilities have coordinates, and a prior, of their own
        factor = np.linalg.cholesky(prior_covariance(posterior.draws.sizes["trait"]))
        return np.broadcast_to(np.linalg.inv(factor), (posterior.size, *factor.shape))
    if "ability_frame" not in posterior.draws:
        raise InputError(
            "The model folder does not hold the frame of the abilities (it is of an older version); fit again."
        )
    return flat(posterior.draws["ability_frame"]).astype(np.float64)


def _covariate(info: Mapping[str, Any], name: str) -> float:
    """One covariate of one LLM, by the fit's own definition; NaN where unknown."""
    columns: dict[str, tuple[str, np.ndarray]] = {
        "release_date": ("llm", np.array([str(info.get("release_date") or "")], dtype=object))
    }
    for column in ("parameters_billion", "input_price_per_million", "output_price_per_million"):
        value = info.get(column)
        columns[column] = ("llm", np.array([np.nan if value is None else float(value)]))
    return float(covariate_values(xr.Dataset(coords={"llm": ["new"], **columns}), name)[0])

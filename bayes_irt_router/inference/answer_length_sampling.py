"""The posterior of the answer-length model, by Gibbs sampling with exact conditionals."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve_triangular

from bayes_irt_router.inference.answer_length_convergence import largest_r_hat_and_smallest_ess
from bayes_irt_router.irt.answer_length import NOTHING, SPREAD_LIMIT, TOKENS, USD

COMPONENTS = 16  # principal components of the features along which LLMs' lengths may differ
CHAINS, WARM_UP, KEPT, THIN = 2, 200, 100, 2
NOVELTY_FACTORS = np.array([0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0])  # a discrete uniform prior
# Priors of the variances: inverse gamma with shape 1, which a handful of values outweighs, and these scales.
RESIDUAL, INTERCEPT, LLM_WEIGHT, WEIGHT = 0.05, 0.05, 1e-3, 1e-3
MEAN_VARIANCE = 100.0
SPREAD_EVERY, SPREAD_RIDGE = (
    40,
    100.0,
)  # sweeps between two estimates of the queries' spread; prior precision of its weights
# sigma_j^2 ~ InvGamma(3, b), b ~ Gamma(1, 4): LLMs with few counts borrow the others' noise.
NOISE_SHAPE, NOISE_RATE = 3.0, 4.0


@dataclass(frozen=True, eq=False)
class Lengths:
    """Log lengths as they are fitted.

    Attributes:
        log_length: relative to the mean of all lengths in the same unit; 0 where there is none.
        observed: where there is one.
        unit: ``tokens`` or ``usd`` or ``nothing``, by LLM.
        offset: what was subtracted, by LLM.
    """

    log_length: Float[np.ndarray, "query llm"]
    observed: Bool[np.ndarray, "query llm"]
    unit: tuple[str, ...]
    offset: Float[np.ndarray, " llm"]


def sample_answer_lengths(
    data: xr.Dataset,
    rng: np.random.Generator,
    *,
    components: int = COMPONENTS,
    warm_up: int = WARM_UP,
    draws: int = KEPT,
) -> xr.Dataset | None:
    """Draws from the posterior of the model of :class:`~bayes_irt_router.irt.answer_length.AnswerLengthDistribution`.

    Each sweep draws from exact conditionals: ``f_i = mu + w . phi_i + u_i`` given everything else, each LLM's intercept and slopes
    given ``f``, ``w`` and ``mu`` given ``f``, the variances (inverse gamma), ``b`` (gamma), the novelty factor (a grid). ``f``
    instead of ``u`` is the centred parametrisation, which mixes well because each query has an answer from most LLMs. What the
    data cannot tell, a shift shared by all LLMs' slopes against ``u`` or ``w``, is drawn at once along that direction. LLMs without counts
    are drawn from the population of LLMs. The log spread of queries is not drawn but estimated, during warm-up. The mean over
    trials counts as one answer.

    Args:
        data: with ``features``, ``novelty``, ``feature_group`` and ``output_tokens`` or ``cost_usd`` (query, llm).
        rng: of everything random.
        components: of the features, along which LLMs may differ.
        warm_up: sweeps of each of the two chains that are thrown away.
        draws: of each chain that are kept, every second sweep.

    Returns:
        ``intercept``, ``noise_sd`` (draw, llm), ``llm_weight`` (draw, llm, component), ``weight`` (draw, feature), ``residual_sd``,
        ``novelty_factor``, ``spread_intercept`` (draw), ``spread_weight`` (draw, component), ``projection`` (feature, component),
        ``unit`` and ``counted`` (llm), and ``r_hat``, the largest, and ``ess``, the smallest, of intercepts and SDs. Nothing if no answer
        has a length.
    """
    lengths = observed_lengths(data)
    if not lengths.observed.any():
        return None
    features = data["features"].values.astype(np.float64)
    centre = features.mean(axis=0)
    features = features - centre
    axes = np.linalg.svd(features, full_matrices=False)[2][: min(components, len(features) - 1)]
    groups = np.unique(data["feature_group"].values.astype(str), return_inverse=True)[1]
    novelty = data["novelty"].values.astype(np.float64)
    chains = []
    for _ in range(CHAINS):
        sampler = _Gibbs(lengths, features, features @ axes.T, axes.T, groups, novelty, rng)
        chains.append(sampler.run(warm_up, draws))
    # (draw, ...) after (chain, draw, ...)
    drawn = {name: np.stack([chain[name] for chain in chains]) for name in chains[0]}
    r_hat, ess = largest_r_hat_and_smallest_ess(drawn)
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in drawn.items()}
    # In terms of the features as they are, not centred.
    slopes = flat["weight"][:, None, :] + flat["llm_weight"] @ axes
    intercept = flat["intercept"] + lengths.offset - slopes @ centre
    spread = flat["spread_weight"][:, 1:]
    return xr.Dataset(
        {
            "intercept": (("draw", "llm"), intercept.astype(np.float32)),
            "llm_weight": (("draw", "llm", "component"), flat["llm_weight"].astype(np.float32)),
            "weight": (("draw", "feature"), flat["weight"].astype(np.float32)),
            "noise_sd": (("draw", "llm"), flat["noise_sd"].astype(np.float32)),
            "residual_sd": ("draw", flat["residual_sd"].astype(np.float32)),
            "novelty_factor": ("draw", flat["novelty_factor"].astype(np.float32)),
            "spread_weight": (("draw", "component"), spread.astype(np.float32)),
            "spread_intercept": ("draw", (-spread @ axes @ centre).astype(np.float32)),
            "projection": (("feature", "component"), axes.T.astype(np.float32)),
            "unit": ("llm", np.array(lengths.unit)),
            "counted": ("llm", lengths.observed.sum(axis=0)),
            "r_hat": ((), r_hat),
            "ess": ((), ess),
        },
        coords={
            "llm": data["llm"].values.astype(str),
            "feature": data["feature"].values.astype(str),
        },
    )


def observed_lengths(data: xr.Dataset) -> Lengths:
    """Costs of the LLMs that have any recorded, output tokens of the others; less than one token counts as one."""
    shape = (data.sizes["query"], data.sizes["llm"])
    log_length, unit = np.full(shape, np.nan), np.full(shape[1], NOTHING, dtype=object)
    for name, called in (("output_tokens", TOKENS), ("cost_usd", USD)):  # recorded costs replace tokens
        if name not in data:
            continue
        values = data[name].transpose("query", "llm").values.astype(np.float64)
        positive = values[values > 0]
        if not positive.size:
            continue
        least = 1.0 if called == TOKENS else positive.min()
        columns = (values > 0).any(axis=0)
        log_length[:, columns] = np.log(np.maximum(values[:, columns], least))
        unit[columns] = called
    observed = ~np.isnan(log_length)
    offset = np.zeros(shape[1])
    for called in (TOKENS, USD):
        if (unit == called).any():
            offset[unit == called] = np.nanmean(log_length[:, unit == called])
    offset[unit == NOTHING] = offset[unit == TOKENS][0] if (unit == TOKENS).any() else 0.0
    return Lengths(np.where(observed, log_length - offset, 0.0), observed, tuple(map(str, unit)), offset)


@dataclass(eq=False)
class _Gibbs:
    """One chain; the arrays below are its state, deviations from ``f`` first: column 0 is an LLM's intercept."""

    lengths: Lengths
    features: Float[np.ndarray, "query feature"]
    components: Float[np.ndarray, "query component"]
    axes: Float[np.ndarray, "feature component"]
    group: Int[np.ndarray, " feature"]
    novelty: Float[np.ndarray, " query"]
    rng: np.random.Generator

    def __post_init__(self) -> None:
        queries, llms = self.lengths.observed.shape
        rng, self.mask = self.rng, self.lengths.observed.astype(np.float64)
        self.own = np.hstack([np.ones((queries, 1)), self.components])
        self.spread_weight = np.zeros(self.own.shape[1])
        self._weigh()
        self.shared = np.hstack([np.ones((queries, 1)), self.features])
        # A rough start, different for each chain.
        self.noise = np.full(llms, 0.2) * np.exp(0.5 * rng.standard_normal(llms))
        self.noise_scale = 2 * self.noise.mean()
        self.residual = 0.1 * np.exp(0.5 * rng.standard_normal())
        self.intercept_variance, self.slope_variance = 0.1, 0.01
        self.weight_variance = np.full(self.group.max() + 1, 0.01)
        self.factor = float(rng.choice(NOVELTY_FACTORS))
        self.weight = np.zeros(self.shared.shape[1])  # mu, then w
        self.deviation = np.zeros((llms, self.own.shape[1]))
        count = np.maximum(self.mask.sum(axis=0), 1)
        self.deviation[:, 0] = self.lengths.log_length.sum(axis=0) / count

    def _weigh(self) -> None:
        """What follows from the log spread of queries: the weights of their answers, and products of these."""
        self.spread = np.exp(np.clip(self.own @ self.spread_weight, -SPREAD_LIMIT, SPREAD_LIMIT))
        self.weights = self.mask / self.spread[:, None]
        llms = self.mask.shape[1]
        self.gram = np.stack([self.own.T @ (self.own * self.weights[:, [j]]) for j in range(llms)])

    def run(self, warm_up: int, draws: int) -> dict[str, np.ndarray]:
        kept: dict[str, list[np.ndarray | float]] = {}
        for sweep in range(warm_up + THIN * draws):
            error = self._sweep()
            if sweep < warm_up and sweep % SPREAD_EVERY == SPREAD_EVERY - 1:
                self._fit_spread(error)
            if sweep >= warm_up and (sweep - warm_up) % THIN == THIN - 1:
                for name, value in self._state().items():
                    kept.setdefault(name, []).append(value)
        return {name: np.array(values) for name, values in kept.items()}

    def _state(self) -> dict[str, np.ndarray | float]:
        return {
            "intercept": self.weight[0] + self.deviation[:, 0],
            "llm_weight": self.deviation[:, 1:].copy(),
            "weight": self.weight[1:].copy(),
            "noise_sd": np.sqrt(self.noise),
            "residual_sd": float(np.sqrt(self.residual)),
            "novelty_factor": self.factor,
            "spread_weight": self.spread_weight.copy(),
        }

    def _fit_spread(self, error: np.ndarray) -> None:
        """Regress each query's log mean square of standardised errors on the components, by weighted ridge (Harvey 1976)."""
        count = self.mask.sum(axis=1)
        square = (self.mask * error**2 / self.noise).sum(axis=1) / np.maximum(count, 1)
        # E[log(chi^2_n / n)] is about -1 / n.
        target = np.log(np.maximum(square, 1e-6)) + 1 / np.maximum(count, 1)
        weighted = self.own * (count / 2)[:, None]
        ridge = SPREAD_RIDGE * np.eye(self.own.shape[1])
        self.spread_weight = np.linalg.solve(self.own.T @ weighted + ridge, weighted.T @ target)
        self.spread_weight[0] = 0.0  # the level is the noise SDs' to say; the components have mean 0
        self._weigh()

    def _sweep(self) -> np.ndarray:
        """One draw of everything; returns the errors."""
        rng, mask, y = self.rng, self.weights, self.lengths.log_length
        queries, llms = mask.shape
        # f, what all answers to a query share
        prior = 1.0 / (self.residual * self.spread * (1.0 + self.factor * self.novelty))
        precision = mask @ (1.0 / self.noise) + prior
        pull = (mask * (y - self.own @ self.deviation.T)) @ (1.0 / self.noise)
        mean = (pull + prior * (self.shared @ self.weight)) / precision
        f = mean + rng.standard_normal(queries) / np.sqrt(precision)
        # each LLM's intercept and slopes
        rest = self.mask * (y - f[:, None])
        diagonal = np.full(self.own.shape[1], 1.0 / self.slope_variance)
        diagonal[0] = 1.0 / self.intercept_variance
        linear = (self.own.T @ (mask * rest)).T / self.noise[:, None]
        for j in range(llms):
            self.deviation[j] = _draw_normal(self.gram[j] / self.noise[j], diagonal, linear[j], rng)
        error = rest - self.mask * (self.own @ self.deviation.T)
        self.noise = _inverse_gamma(
            NOISE_SHAPE + self.mask.sum(axis=0) / 2,
            self.noise_scale + (mask * error**2).sum(axis=0) / 2,
            rng,
        )
        self.noise_scale = rng.gamma(1 + NOISE_SHAPE * llms) / (NOISE_RATE + (1 / self.noise).sum())
        f += self._shift_into_residuals(f, prior, diagonal)
        # mu, w and what is left of f
        shared_prior = np.concatenate([[1 / MEAN_VARIANCE], 1.0 / self.weight_variance[self.group]])
        weighted = self.shared * prior[:, None]
        self.weight = _draw_normal(self.shared.T @ weighted, shared_prior, weighted.T @ f, rng)
        u = f - self.shared @ self.weight
        self._shift_into_weights(shared_prior, diagonal)
        self.factor, self.residual = self._novelty_and_residual(u / np.sqrt(self.spread))
        self._variances()
        return error

    def _shift_into_residuals(self, f: np.ndarray, prior: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
        """Move what all LLMs' deviations have in common into f, or back: the likelihood stays as it is. Returns f's change."""
        weighted = self.own * prior[:, None]
        u = f - self.shared @ self.weight
        linear = diagonal * self.deviation.sum(axis=0) - weighted.T @ u
        delta = _draw_normal(self.own.T @ weighted, len(self.deviation) * diagonal, linear, self.rng)
        self.deviation -= delta
        return self.own @ delta

    def _shift_into_weights(self, shared_prior: np.ndarray, diagonal: np.ndarray) -> None:
        """The same into mu and w, which leaves u as it is."""
        llms, rows = len(self.deviation), np.zeros((len(self.weight), self.own.shape[1]))
        rows[0, 0], rows[1:, 1:] = 1.0, self.axes
        weighted = rows * shared_prior[:, None]
        linear = diagonal * self.deviation.sum(axis=0) - weighted.T @ self.weight
        delta = _draw_normal(rows.T @ weighted, llms * diagonal, linear, self.rng)
        self.deviation -= delta
        self.weight += rows @ delta

    def _novelty_and_residual(self, u: np.ndarray) -> tuple[float, float]:
        inflation = 1.0 + NOVELTY_FACTORS[:, None] * self.novelty
        # The residual variance is integrated out: it and the factor go together.
        log_p = -0.5 * np.log(inflation).sum(axis=1)
        log_p -= (1 + len(u) / 2) * np.log(RESIDUAL + 0.5 * (u**2 / inflation).sum(axis=1))
        p = np.exp(log_p - log_p.max())
        factor = float(self.rng.choice(NOVELTY_FACTORS, p=p / p.sum()))
        squares = (u**2 / (1.0 + factor * self.novelty)).sum()
        return factor, float(_inverse_gamma(1 + len(u) / 2, RESIDUAL + squares / 2, self.rng))

    def _variances(self) -> None:
        def draw(values: np.ndarray, scale: float) -> float:
            return float(_inverse_gamma(1 + values.size / 2, scale + (values**2).sum() / 2, self.rng))

        self.intercept_variance = draw(self.deviation[:, 0], INTERCEPT)
        self.slope_variance = draw(self.deviation[:, 1:], LLM_WEIGHT)
        for group in range(len(self.weight_variance)):
            self.weight_variance[group] = draw(self.weight[1:][self.group == group], WEIGHT)


def _draw_normal(
    gram: np.ndarray, prior: np.ndarray, linear: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One draw of N(A^-1 linear, A^-1), with A = gram + diag(prior)."""
    precision = gram.copy()
    precision[np.diag_indices_from(precision)] += prior
    factor = np.linalg.cholesky(precision)
    forward = solve_triangular(factor, linear, lower=True, check_finite=False)
    noisy = forward + rng.standard_normal(len(linear))
    return solve_triangular(factor, noisy, lower=True, trans="T", check_finite=False)


def _inverse_gamma(
    shape: np.ndarray | float, scale: np.ndarray | float, rng: np.random.Generator
) -> np.ndarray:
    return np.asarray(scale / rng.gamma(shape))

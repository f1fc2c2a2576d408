"""How long answers are: a hierarchical log-normal model of output tokens. NumPy only."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

TOKENS, USD, NOTHING = "tokens", "usd", "nothing"  # what is counted of an LLM's answers
UNMODELLED = "unmodelled"  # an LLM that came after the fit: only a mean is known of its answers
SPREAD_LIMIT = 2.0  # of the log of a query's spread, which is not extrapolated without bound


@dataclass(frozen=True, eq=False)
class AnswerLengthDistribution:
    """The length of each LLM's answer to unseen queries, for every posterior draw of the parameters::

        log t_ij = m_j + (w + P d_j) . phi_i + u_i + e_ij
        u_i ~ N(0, v_i tau^2 (1 + c novelty_i)),    e_ij ~ N(0, v_i sigma_j^2),    log v_i = g . P' phi_i
        m_j ~ N(mu, s_m^2),    d_j ~ N(0, s_d^2 I),    w ~ N(0, s_group^2)

    ``phi`` and ``novelty`` come from the feature map. ``P`` takes the features to their leading principal components over the
    training queries: the directions in which LLMs may differ. ``u_i`` is what all LLMs' answers to one query share beyond its
    features, and ``v_i`` says that some sorts of queries spread more than others. ``t`` is output tokens, or, for LLMs whose
    answers' costs are recorded, the cost in USD.

    Attributes:
        mean: of log t without ``u``.
        residual_sd: SD of ``u``.
        noise_sd: of ``e``.
    """

    mean: Float[np.ndarray, "draw query llm"]
    residual_sd: Float[np.ndarray, "draw query"]
    noise_sd: Float[np.ndarray, "draw query llm"]

    def expected(self) -> Float[np.ndarray, "draw query llm"]:
        """E[t] given the parameters, ``exp(mean + (Var u + sigma^2) / 2)``: its spread over draws is epistemic."""
        variance = self.residual_sd[:, :, None] ** 2 + self.noise_sd**2
        return np.exp(self.mean + 0.5 * variance)

    def residuals(self, rng: np.random.Generator) -> Float[np.ndarray, "draw query"]:
        """One draw of ``u`` for each draw and query, to be shared by all LLMs."""
        return self.residual_sd * rng.standard_normal(self.residual_sd.shape)

    def conditional(self, residuals: Float[np.ndarray, "draw query"]) -> Float[np.ndarray, "draw query llm"]:
        """E[t] given the parameters and ``u``."""
        return np.exp(self.mean + residuals[:, :, None] + 0.5 * self.noise_sd**2)

    def replicated(
        self, residuals: Float[np.ndarray, "draw query"], rng: np.random.Generator
    ) -> Float[np.ndarray, "draw query llm"]:
        """One answer's length for each draw, given the parameters and ``u``."""
        noise = self.noise_sd * rng.standard_normal(self.mean.shape)
        return np.exp(self.mean + residuals[:, :, None] + noise)


def answer_length_distribution(
    draws: xr.Dataset, features: Float[np.ndarray, "query feature"], novelty: Float[np.ndarray, " query"]
) -> AnswerLengthDistribution:
    """The lengths of answers to unseen queries, given their features.

    Args:
        draws: as :func:`bayes_irt_router.inference.answer_length_sampling.sample_answer_lengths` returns them.
        features: phi(x) of the queries, as the feature map gives it.
        novelty: of the queries, in [0, 1].
    """
    features = features.astype(np.float64)
    projected = features @ draws["projection"].values
    mean = np.matmul(projected, np.swapaxes(draws["llm_weight"].values.astype(np.float64), 1, 2))
    mean += (draws["weight"].values.astype(np.float64) @ features.T)[:, :, None]
    mean += draws["intercept"].values.astype(np.float64)[:, None, :]
    log_spread = draws["spread_weight"].values @ projected.T + draws["spread_intercept"].values[:, None]
    spread = np.exp(0.5 * np.clip(log_spread.astype(np.float64), -SPREAD_LIMIT, SPREAD_LIMIT))
    inflation = 1.0 + draws["novelty_factor"].values[:, None] * novelty[None, :].astype(np.float64)
    return AnswerLengthDistribution(
        mean,
        draws["residual_sd"].values[:, None].astype(np.float64) * np.sqrt(inflation) * spread,
        draws["noise_sd"].values[:, None, :].astype(np.float64) * spread[:, :, None],
    )


def with_unmodelled_llm(draws: xr.Dataset, llm: str) -> xr.Dataset:
    """The draws with one more LLM that the model says nothing of (its parameters are NaN); a known one stays as it is."""
    names = [str(name) for name in draws["llm"].values]
    if llm in names:
        return draws
    unit, counted = draws["unit"].values.astype(str), draws["counted"].values
    return draws.reindex(llm=np.array([*names, llm])).assign(
        unit=("llm", np.array([*unit, UNMODELLED])), counted=("llm", np.append(counted, 0))
    )

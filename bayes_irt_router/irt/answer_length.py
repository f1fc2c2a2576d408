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


def with_later_llm(
    draws: xr.Dataset,
    llm: str,
    mean_tokens: float,
    fitted_mean_tokens: Float[np.ndarray, " llm"],
    *,
    modelled: bool = True,
) -> xr.Dataset:
    """The draws with one more LLM, whose answers came after the fit and are counted by their mean at most.

    LLMs are exchangeable: each draw takes the slopes and the noise of one of the fitted LLMs whose tokens were counted, one after the
    other, so that over draws the new one is any of them. Its intercept is that LLM's, moved by the log of the ratio of the two mean
    numbers of tokens, so that its own mean holds in every draw; where it is unknown the intercept is taken as it is. An LLM whose answers
    were counted at the fit stays as it is.

    Args:
        draws: as :func:`bayes_irt_router.inference.answer_length_sampling.sample_answer_lengths` returns them.
        llm: name of the LLM.
        mean_tokens: of its answers; NaN where unknown.
        fitted_mean_tokens: of the LLMs of ``draws``, in their order.
        modelled: whether to do this at all. Without, and without counted LLMs, the model says nothing of the LLM: its parameters are NaN.
    """
    names = [str(name) for name in draws["llm"].values]
    unit, counted = draws["unit"].values.astype(str), draws["counted"].values
    if llm in names:
        if counted[names.index(llm)] or unit[names.index(llm)] == NOTHING:
            return draws
        kept = [k for k, name in enumerate(names) if name != llm]
        draws, fitted_mean_tokens = draws.isel(llm=kept), fitted_mean_tokens[kept]
        rebuilt = with_later_llm(draws, llm, mean_tokens, fitted_mean_tokens, modelled=modelled)
        return rebuilt.sel(llm=names)
    lenders = np.flatnonzero((unit == TOKENS) & (counted > 0) & (fitted_mean_tokens > 0))
    modelled = modelled and lenders.size > 0
    found = draws.reindex(llm=np.array([*names, llm])).assign(
        unit=("llm", np.array([*unit, TOKENS if modelled else UNMODELLED])),
        counted=("llm", np.append(counted, 0)),
    )
    if not modelled:
        return found
    size = draws.sizes["draw"]
    lender = lenders[np.arange(size) % lenders.size]
    shift = np.log(mean_tokens / fitted_mean_tokens[lender]) if mean_tokens > 0 else np.zeros(size)
    for name in ("intercept", "noise_sd", "llm_weight"):
        values = found[name].values.copy()
        values[:, -1] = draws[name].values[np.arange(size), lender]
        if name == "intercept":
            values[:, -1] += shift
        found[name] = (draws[name].dims, values)
    return found

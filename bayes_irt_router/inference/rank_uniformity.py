"""Are ranks uniform? A simultaneous test over the ECDF's whole length, for many quantities at once."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int
from scipy.stats import binom

SIMULATIONS = 40_000  # of the null distribution: p-values down to 1/40,000
SPREAD = "spread of all ranks"


@dataclass(frozen=True)
class RankUniformity:
    """The verdict on the ranks of a simulation-based calibration.

    Attributes:
        table: a row for each quantity and one for the spread of all of them: ``quantity``, ``sort``,
            ``p_value``, and ``adjusted``, the p-value after Holm's correction for the number of rows.
        error_rate: the chance that any row fails although all ranks are uniform.
    """

    table: pd.DataFrame
    error_rate: float

    @property
    def failures(self) -> pd.DataFrame:
        """The rows that are not uniform, the worst first."""
        return self.table[self.table["adjusted"] <= self.error_rate].sort_values("p_value")

    @property
    def passed(self) -> bool:
        """Whether every row may be uniform."""
        return self.failures.empty


def rank_uniformity(
    rank: xr.DataArray, draws: int, rng: np.random.Generator, *, error_rate: float = 0.01
) -> RankUniformity:
    """Test that ranks are uniform on 0, ..., draws.

    For each quantity, the ECDF of its ranks is compared with the uniform one at every point: the statistic is
    the smallest of the pointwise binomial tail probabilities, the null distribution comes from simulated
    uniform ranks (Säilynoja et al., 2022). One test more looks at all quantities together: the mean over
    quantities of (u - 1/2)^2, u being the rank on a scale of 0 to 1, has a known mean, and the replications
    are independent (a t test): it finds posteriors that are all a little too narrow or too wide. Holm's
    correction keeps the chance of any false alarm at ``error_rate``, however dependent the quantities are.

    Args:
        rank: dims (replication, quantity), the coord ``sort`` on quantity being optional.
        draws: number of posterior draws that the ranks refer to.
        rng: of the null distribution.
        error_rate: chance of a false alarm, over all tests.
    """
    values = rank.transpose("replication", "quantity").values
    null = np.sort(_statistic(rng.integers(0, draws + 1, (SIMULATIONS, len(values))), draws))
    observed = _statistic(values.T, draws)
    # Counting the observed one among the simulated keeps the error rate exact.
    p_value = (1 + np.searchsorted(null, observed, side="right")) / (SIMULATIONS + 1)
    sort = rank.coords["sort"].values if "sort" in rank.coords else np.full(len(p_value), "")
    table = pd.DataFrame(
        {
            "quantity": [*rank["quantity"].values, SPREAD],
            "sort": [*sort, SPREAD],
            "p_value": [*p_value, _spread_p_value(values, draws)],
        }
    )
    return RankUniformity(table.assign(adjusted=_holm(table["p_value"].to_numpy())), error_rate)


def ecdf_envelope(
    replications: int, draws: int, rng: np.random.Generator, *, error_rate: float = 0.01
) -> Float[np.ndarray, "bound point"]:
    """Bounds that the ECDF of uniform ranks leaves with probability ``error_rate``, minus the uniform ECDF;
    for plots.

    Returns:
        Lower and upper bounds at the ranks 0, ..., draws - 1.
    """
    null = _statistic(rng.integers(0, draws + 1, (SIMULATIONS, replications)), draws)
    level = float(np.quantile(null, error_rate)) / 2.0
    uniform = np.arange(1, draws + 1) / (draws + 1)
    bounds = [binom.ppf(level, replications, uniform), binom.isf(level, replications, uniform)]
    return np.stack(bounds) / replications - uniform


def _statistic(rank: Int[np.ndarray, "row replication"], draws: int) -> Float[np.ndarray, " row"]:
    """The smallest two-sided tail probability of the ECDF's value, over the points 0, ..., draws - 1."""
    rows, replications = rank.shape
    offset = (draws + 1) * np.arange(rows)[:, None]
    counts = np.bincount((rank + offset).ravel(), minlength=rows * (draws + 1)).reshape(rows, draws + 1)
    at_most = counts.cumsum(axis=1)[:, :draws]
    uniform = np.arange(1, draws + 1) / (draws + 1)
    number = np.arange(replications + 1)[:, None]
    tail = np.minimum(binom.cdf(number, replications, uniform), binom.sf(number - 1, replications, uniform))
    return np.minimum(1.0, 2.0 * tail[at_most, np.arange(draws)]).min(axis=1)


def _spread_p_value(rank: Int[np.ndarray, "replication quantity"], draws: int) -> float:
    """By a t test of the mean squared deviation of the ranks from their centre."""
    from scipy.stats import ttest_1samp

    expected = ((np.arange(draws + 1) / draws - 0.5) ** 2).mean()
    return float(ttest_1samp(((rank / draws - 0.5) ** 2).mean(axis=1), expected).pvalue)


def _holm(p_value: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    order = np.argsort(p_value)
    adjusted = np.maximum.accumulate(p_value[order] * np.arange(len(p_value), 0, -1)).clip(max=1.0)
    return adjusted[np.argsort(order)]

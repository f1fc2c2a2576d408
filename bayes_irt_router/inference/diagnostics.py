"""The convergence gate: are the draws good enough to act on?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float32, Int
from scipy.special import expit

from bayes_irt_router.inference.nuts import Sampled
from bayes_irt_router.irt.response import (
    abilities,
    expected_logistic,
    item_distribution,
    p_correct,
)
from bayes_irt_router.irt.testlets import testlet_loadings, with_testlets

CELLS = 300
PAIRS = 50
MEAN_QUERIES = 400  # an LLM's mean runs over at most this many of the fitted queries
CHAINS, R_HAT, R_HAT_CELL, ESS, DIVERGENT, CELL_SHARE = 4, 1.01, 1.03, 400.0, 0.001, 0.99
SCALARS = (
    "difficulty_mean",
    "difficulty_surface_sd",
    "difficulty_kernel_sd",
    "difficulty_residual_sd",
    "discrimination_mean",
    "discrimination_surface_sd",
    "discrimination_kernel_sd",
    "discrimination_residual_sd",
    "score_precision",
    "testlet_sd",
    "family_sd",
)
SLOPE, COVARIATES = "discrimination_residual_slope", "covariate_weight"
SLOPE_LENGTH = f"length of {SLOPE}"
NETWORK_SPREAD = "network_spread"


@dataclass(frozen=True)
class ConvergenceGate:
    """What was looked at, and the verdict.

    Attributes:
        table: one row a quantity: ``quantity`` (its sort), ``name``, ``r_hat``, ``ess_bulk``, ``ess_tail``; of networks in the place of
            chains also ``network_spread``, how far they disagree.
        chains: number of chains.
        divergent: share of divergent draws.
        complaints: every criterion that failed, one sentence each; empty if the gate is passed.
        training: of a fit without chains, how its training went, in words; then r-hat is NaN, and ``chains`` are networks.
    """

    table: pd.DataFrame
    chains: int
    divergent: float
    complaints: tuple[str, ...]
    training: str = ""

    @property
    def passed(self) -> bool:
        """Whether every criterion holds."""
        return not self.complaints

    @property
    def verdict(self) -> str:
        """The verdict in one sentence."""
        if self.training:
            if self.passed:
                return f"The training came to rest ({self.training})."
            return f"The training did NOT come to rest ({self.training}): {'; '.join(self.complaints)}."
        facts = (
            f"{len(self.table)} quantities, {self.chains} chains: largest r-hat {self.table['r_hat'].max():.3f}, "
            f"smallest ESS {self.table[['ess_bulk', 'ess_tail']].min().min():.0f}, {self.divergent:.2%} divergent"
        )
        if self.passed:
            return f"The draws pass the convergence gate ({facts})."
        return f"The draws FAIL the convergence gate ({facts}): {'; '.join(self.complaints)}."

    def summary(self) -> pd.DataFrame:
        """Worst r-hat and ESS, and where there are networks the largest spread between them, for each sort of quantity."""
        by = self.table.groupby("quantity", sort=False)
        spread = {f"{NETWORK_SPREAD}_max": by[NETWORK_SPREAD].max()} if NETWORK_SPREAD in self.table else {}
        return pd.DataFrame(
            {
                "count": by.size(),
                "r_hat_max": by["r_hat"].max(),
                "ess_bulk_min": by["ess_bulk"].min(),
                "ess_tail_min": by["ess_tail"].min(),
                **spread,
            }
        ).reset_index()


def convergence_gate(sampled: Sampled, data: xr.Dataset, seed: int = 0) -> ConvergenceGate:
    """Judge the draws on a fixed, seeded set of quantities that do not depend on the traits' coordinates.

    The set: 300 cells' p_correct, stratified by task and LLM, half of them with the fitted query's own parameters (of answered
    cells, while there are any, and of unanswered ones), half as if the query were unseen; every LLM's mean p_correct; all
    scalar hyperparameters; 50 entries of ``A Cov(theta) A'``; the log density. Passed if there are at least 4 chains;
    rank-normalised split r-hat is at most 1.01 for every scalar and for 99 % of the cells, and at most 1.03 for every cell; bulk and
    tail ESS are at least 400; and at most 0.1 % of the draws diverged (Vehtari et al., 2021).

    Args:
        sampled: the draws, unthinned.
        data: what was fitted, with ``features`` and ``novelty``.
        seed: of the choice of cells, pairs and queries.
    """
    draws = sampled.posterior
    quantities = invariant_quantities(draws, data, np.random.default_rng(seed))
    log_density = "lp" if "lp" in sampled.sample_stats else "logp"
    quantities["log density"] = (["log density"], sampled.sample_stats[log_density].values[:, :, None])

    table = pd.concat([_diagnose(name, *entry) for name, entry in quantities.items()], ignore_index=True)
    divergent = float(sampled.sample_stats["diverging"].mean())
    chains = draws.sizes["chain"]
    return ConvergenceGate(table, chains, divergent, _complaints(table, chains, divergent))


def invariant_quantities(
    draws: xr.Dataset, data: xr.Dataset, rng: np.random.Generator, *, cells: int = CELLS, pairs: int = PAIRS
) -> dict[str, tuple[list[str], np.ndarray]]:
    """What draws say that does not depend on the traits' coordinates, as :func:`convergence_gate` lists it.

    Args:
        draws: the posterior, dims (chain, draw, ...).
        data: what was fitted, with ``features`` and ``novelty``.
        rng: of the choice of cells, pairs and queries; the same state gives the same choice.
        cells: number of cells.
        pairs: number of entries of ``A Cov(theta) A'``.

    Returns:
        For every sort of quantity the names, and the values (chain, draw, name).
    """
    quantities = {**_cells(draws, data, cells, rng), **_means_and_pairs(draws, data, pairs, rng)}
    for name, drawn in hyperparameters(draws).items():
        values = _by_chain(drawn.values, draws)
        labels = [name] if values.shape[2] == 1 else [f"{name}[{k}]" for k in range(values.shape[2])]
        quantities[name] = (labels, values)
    if COVARIATES in draws and draws.sizes["raw_trait"] > 1:
        weight = draws[COVARIATES].transpose("chain", "draw", "raw_trait", "covariate").values
        labels = [f"length of the specific {COVARIATES} of {name}" for name in draws["covariate"].values]
        quantities[f"specific {COVARIATES}"] = (labels, np.linalg.norm(weight[:, :, 1:], axis=2))
    return quantities


def hyperparameters(draws: xr.Dataset) -> dict[str, xr.DataArray]:
    """By name, what is one number a draw or a few, and does not turn with the specific traits; of what does, the length."""
    found = {name: draws[name] for name in SCALARS if name in draws}
    if SLOPE in draws:
        found[SLOPE_LENGTH] = (draws[SLOPE] ** 2).sum("specific") ** 0.5
    if COVARIATES in draws:
        found[COVARIATES] = draws[COVARIATES].isel(raw_trait=0, drop=True)
    return found


def _complaints(table: pd.DataFrame, chains: int, divergent: float) -> tuple[str, ...]:
    cell = table["quantity"].str.startswith("cell")
    scalars, cells = table[~cell], table[cell]
    found = []
    if chains < CHAINS:
        found.append(f"{chains} chains are fewer than {CHAINS}")
    if not (bad := scalars[~(scalars["r_hat"] <= R_HAT)]).empty:
        found.append(f"r-hat above {R_HAT} for {_some(bad['name'])}")
    if (cells["r_hat"] <= R_HAT).mean() < CELL_SHARE:
        found.append(f"r-hat above {R_HAT} for {(~(cells['r_hat'] <= R_HAT)).mean():.1%} of the cells")
    if not (cells["r_hat"] <= R_HAT_CELL).all():
        found.append(
            f"r-hat above {R_HAT_CELL} for {_some(cells.loc[~(cells['r_hat'] <= R_HAT_CELL), 'name'])}"
        )
    for kind in ("ess_bulk", "ess_tail"):
        if not (bad := table[~(table[kind] >= ESS)]).empty:
            found.append(
                f"{kind.replace('_', ' ').replace('ess', 'ESS')} below {ESS:.0f} for {_some(bad['name'])}"
            )
    if divergent > DIVERGENT:
        found.append(
            f"{divergent:.2%} of the draws diverged, more than {DIVERGENT:.1%} (shorter steps help: raise target_accept)"
        )
    return tuple(found)


def _some(names: pd.Series) -> str:
    shown = ", ".join(names.head(3))
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _diagnose(quantity: str, names: list[str], values: np.ndarray) -> pd.DataFrame:
    import arviz as az  # seconds to import, and only a fit needs it

    dataset = xr.Dataset({"x": (("chain", "draw", "entry"), values.astype(np.float64))})
    with np.errstate(
        invalid="ignore"
    ):  # draws that never move give 0 / 0: r-hat is NaN, which fails the gate
        r_hat = az.rhat(dataset, method="rank")["x"].values
    return pd.DataFrame(
        {
            "quantity": quantity,
            "name": names,
            "r_hat": r_hat,
            "ess_bulk": az.ess(dataset, method="bulk")["x"].values,
            "ess_tail": az.ess(dataset, method="tail")["x"].values,
        }
    )


def _flat(values: xr.DataArray) -> Float32[np.ndarray, "draw ..."]:
    return values.values.reshape(-1, *values.shape[2:]).astype(np.float32, copy=False)


def _by_chain(values: np.ndarray, draws: xr.Dataset) -> np.ndarray:
    return values.reshape(draws.sizes["chain"], draws.sizes["draw"], -1)


def own_items(
    draws: xr.Dataset, data: xr.Dataset, query: Int[np.ndarray, " chosen"]
) -> tuple[Float32[np.ndarray, "draw chosen trait"], Float32[np.ndarray, "draw chosen"]]:
    """Fitted queries' parameters, testlets behind the traits."""
    a, b = _flat(draws["discrimination"][:, :, query]), _flat(draws["difficulty"][:, :, query])
    if "testlet_effect" in draws:
        a = with_testlets(a, testlet_loadings(data)[query])
    return a, b


def _cells(
    draws: xr.Dataset, data: xr.Dataset, cells: int, rng: np.random.Generator
) -> dict[str, tuple[list[str], np.ndarray]]:
    """Half the cells with the fitted queries' own parameters, half as if their queries were unseen."""
    ability = abilities(draws)
    query, llm = stratified_cells(data["task"].values, data["trials"].values > 0, cells, rng)
    names = np.array(
        [f"{data['query'].values[i]} x {data['llm'].values[j]}" for i, j in zip(query, llm, strict=True)]
    )
    own = np.arange(len(query)) % 4 < 2  # answered and unanswered cells alternate; each kind goes both ways

    a, b = own_items(draws, data, query[own])
    fitted = expit(np.einsum("scd,scd->sc", a, ability[:, llm[own]]) - b)

    given = (data[name].values[query[~own]] for name in ("features", "novelty", "unseen"))
    items = item_distribution(draws, *given)
    theta = ability[:, llm[~own]]
    mean = np.einsum("scd,scd->sc", items.discrimination_mean, theta) - items.difficulty_mean
    variance = np.einsum("scd,scd->sc", items.discrimination_sd**2, items.tilted(theta) ** 2)
    variance += items.difficulty_sd**2
    unseen = expected_logistic(mean, np.sqrt(variance))
    return {
        "cell, fitted query": (names[own].tolist(), _by_chain(fitted, draws)),
        "cell, unseen query": (names[~own].tolist(), _by_chain(unseen, draws)),
    }


def stratified_cells(
    task: np.ndarray, answered: Bool[np.ndarray, "query llm"], count: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " cell"], Int[np.ndarray, " cell"]]:
    """Cells spread evenly over task x LLM x answered or not, the strata in random order, answered and not in alternation.

    Returns:
        Indices of queries and of LLMs; where there are no unanswered cells, answered ones take their place.
    """
    kinds = [kind for kind in (True, False) if (answered == kind).any()]
    chosen: list[tuple[int, int]] = []
    while len(chosen) < count:
        kind = kinds[len(chosen) % len(kinds)]
        llms = np.flatnonzero((answered == kind).any(axis=0))
        llm = int(rng.choice(llms))
        candidates = np.flatnonzero(answered[:, llm] == kind)
        tasks = np.unique(task[candidates])
        candidates = candidates[task[candidates] == rng.choice(tasks)]
        chosen.append((int(rng.choice(candidates)), llm))
    query, llm_index = np.array(chosen).T
    return query, llm_index


def _means_and_pairs(
    draws: xr.Dataset, data: xr.Dataset, pairs: int, rng: np.random.Generator
) -> dict[str, tuple[list[str], np.ndarray]]:
    """Each LLM's mean p_correct over fitted queries, and entries of A Cov(theta) A'."""
    ability = abilities(draws)
    queries = draws.sizes["query"]
    chosen = np.sort(rng.choice(queries, min(MEAN_QUERIES, queries), replace=False))
    a, b = own_items(draws, data, chosen)
    means = np.concatenate(
        [
            p_correct(ability[block], a[block], b[block]).mean(axis=1)
            for block in np.array_split(np.arange(len(ability)), max(1, len(ability) // 200))
        ]
    )
    first, second = rng.integers(queries, size=(2, pairs))
    ability = ability[:, :, : draws.sizes["trait"]]
    covariance = np.einsum("sjd,sje->sde", ability, ability) / ability.shape[1]
    a, b = _flat(draws["discrimination"][:, :, first]), _flat(draws["discrimination"][:, :, second])
    entries = np.einsum("spd,sde,spe->sp", a, covariance, b)
    names = [
        f"{draws['query'].values[i]} x {draws['query'].values[k]}" for i, k in zip(first, second, strict=True)
    ]
    return {
        "LLM mean": ([str(name) for name in draws["llm"].values], _by_chain(means, draws)),
        "A Cov(theta) A'": (names, _by_chain(entries, draws)),
    }

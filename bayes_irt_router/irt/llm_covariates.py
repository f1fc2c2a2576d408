"""What is known of an LLM before it answers: release date, size, price, family."""

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int

from bayes_irt_router.errors import InputError

COVARIATES = ("release_date", "log_parameters", "log_price")


def covariate_values(data: xr.Dataset, name: str) -> Float[np.ndarray, " llm"]:
    """One covariate of each LLM, NaN where unknown.

    ``release_date`` in years, ``log_parameters`` the log of billions, ``log_price`` the log of the mean of input and output price in
    USD per million tokens (a price of 0 counts as unknown).

    Raises:
        InputError: the dataset lacks the columns for it.
    """
    needed = {
        "release_date": ["release_date"],
        "log_parameters": ["parameters_billion"],
        "log_price": ["input_price_per_million", "output_price_per_million"],
    }[name]
    if missing := [column for column in needed if column not in data.coords]:
        raise InputError(
            f"The covariate {name} needs the column {', '.join(missing)} in llms; add it or leave the covariate out."
        )
    columns = [data[column].values for column in needed]
    if name == "release_date":
        dates = pd.to_datetime(pd.Series(columns[0]).replace("", None), format="%Y-%m")
        return (dates.dt.year + (dates.dt.month - 1) / 12.0).to_numpy(dtype=float)
    value = np.mean(np.stack(columns).astype(float), axis=0)
    return np.log(np.where(value > 0, value, np.nan))


def covariate_matrix(data: xr.Dataset, names: tuple[str, ...]) -> Float[np.ndarray, "llm covariate"]:
    """Covariates standardised over the LLMs that have them; an unknown value is set to the mean, 0.

    Raises:
        InputError: a covariate is known of fewer than two LLMs, or is the same for all.
    """
    columns = []
    for name in names:
        value = covariate_values(data, name)
        spread = np.nanstd(value) if np.isfinite(value).sum() >= 2 else 0.0
        if not spread > 0:
            raise InputError(f"The covariate {name} does not vary over the LLMs; leave it out.")
        columns.append(np.nan_to_num((value - np.nanmean(value)) / spread))
    return np.stack(columns, axis=1)


def family_index(data: xr.Dataset) -> tuple[list[str], Int[np.ndarray, " llm"]]:
    """Family names, and each LLM's index into them; an LLM without a family is a family of its own.

    Raises:
        InputError: the dataset has no column ``family``.
    """
    if "family" not in data.coords:
        raise InputError("Family effects need the column family in llms; add it or set families to false.")
    own = [
        str(family) or f"({llm})"
        for family, llm in zip(data["family"].values, data["llm"].values, strict=True)
    ]
    names = sorted(set(own))
    return names, np.array([names.index(family) for family in own])

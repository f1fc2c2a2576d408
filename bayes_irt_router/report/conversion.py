"""What came out of a conversion: counts of the canonical data, for the terminal and as JSON."""

from typing import Any

import pandas as pd
import xarray as xr

SCHEMA_VERSION = 1


def conversion_frame(dataset: xr.Dataset) -> pd.DataFrame:
    """One row for each LLM: its answers and their mean score."""
    return pd.DataFrame(
        {
            "llm": dataset["llm"].values.astype(str),
            "answers": dataset["trials"].sum("query").values,
            "queries": (dataset["trials"] > 0).sum("query").values,
            "mean score": dataset["score"].mean("query").values,
        }
    )


def conversion_json(dataset: xr.Dataset, name: str) -> dict[str, Any]:
    """The format's name and the numbers of queries, LLMs and responses; tasks and splits with their queries."""
    return {
        "schema_version": SCHEMA_VERSION,
        "format": name,
        "queries": dataset.sizes["query"],
        "llms": [str(llm) for llm in dataset["llm"].values],
        "responses": int(dataset["trials"].sum()),
        "tasks": _counts(dataset["task"]),
        "splits": _counts(dataset["split"]),
        "columns": [str(name) for name in dataset.data_vars],
    }


def _counts(names: xr.DataArray) -> dict[str, int]:
    counts = pd.Series(names.values.astype(str)).value_counts(sort=False)
    return {str(name): int(count) for name, count in counts.items() if name}

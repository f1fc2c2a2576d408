"""A posterior without its items: what prediction of new prompts needs, and nothing of single training queries."""

from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_irt_router.data.feature_map import FeatureMap
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.stacking import each_member

KEPT = "queries_kept"  # entry of the record's `data`; absent from models that have kept theirs


def without_queries(posterior: Posterior, draws: int) -> Posterior:
    """A copy that holds population parameters, abilities, the feature map and what is known of the LLMs, in single precision.

    Left out: the fitted queries' ids, embeddings, text hashes and scores, their own parameters, texts, and the names of queries in the
    gate's table. New prompts are predicted as before; what looks at single fitted queries (item plots, adaptive testing, the check
    whether a query was seen) has nothing to look at.

    Args:
        posterior: the fitted model.
        draws: at most this many are kept.
    """
    if posterior.stacked:
        return each_member(posterior, lambda one: without_queries(one, draws))
    thinned = posterior.thin(draws)
    groups = {name: node.to_dataset() for name, node in thinned.tree.children.items()}
    groups = {
        name: group.isel(query=slice(0, 0)) if "query" in group.dims else group
        for name, group in groups.items()
    }
    saved = thinned.feature_map.to_dataset()
    wide = {
        name: v.astype(np.float32) for name, v in saved.data_vars.items() if v.ndim and v.dtype == np.float64
    }
    table = thinned.gate.table.copy()
    of_queries = table["quantity"].str.startswith(("cell", "A Cov")).to_numpy()
    table.loc[of_queries, "name"] = [str(number) for number in range(1, int(of_queries.sum()) + 1)]
    record = thinned.record | {"data": thinned.record["data"] | {KEPT: False}}
    return replace(
        thinned,
        tree=xr.DataTree.from_dict(groups),
        feature_map=FeatureMap.from_dataset(saved.assign(wide)),
        gate=replace(thinned.gate, table=table),
        record=record,
        texts=None,
    )


def keeps_queries(posterior: Posterior) -> bool:
    """Whether the model knows its fitted queries."""
    return bool(posterior.record["data"].get(KEPT, True))


def require_queries(posterior: Posterior, purpose: str) -> None:
    """Raise InputError if the model does not know its fitted queries, which `purpose` needs."""
    if not keeps_queries(posterior):
        raise InputError(
            f"This model was shipped without its fitted queries, which {purpose} needs; fit a model on your own data."
        )

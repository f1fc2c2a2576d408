"""A fitted model: the draws, and everything that prediction and routing need beside them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_irt_router.data.feature_map import FeatureMap
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.diagnostics import ConvergenceGate

ANCESTOR = "ancestor"  # in sample_stats, after a calibration: the draw of the fit that a draw is a copy of
# Of a NIRT: mean and SD over the fitted LLMs of the mean of their abilities, dims (chain, draw).
ABILITY_MEAN, ABILITY_SD = "ability_mean", "ability_sd"
ANSWER_LENGTH = (
    "answer_length"  # the group of the answer-length model's draws; models without counts have none
)


@dataclass(frozen=True)
class Posterior:
    """A fitted model.

    Attributes:
        tree: ArviZ groups ``posterior`` and ``sample_stats`` (dims chain, draw, ...); ``queries``: ids, tasks, text hashes and
            embeddings of the fitted queries; ``llms``: the table of the fitted LLMs; ``answer_length``, where tokens or costs were
            recorded: draws of the answer-length model.
        feature_map: from text features to the columns that the item priors are regressed on.
        gate: the convergence gate's table and verdict.
        record: how the fit came about, ready for JSON: kind of model, its settings and priors, sampler, seed, encoder, data
            fingerprint, cost model, versions, device, time.
        texts: the fitted queries' texts, when they were to be kept.
        stacked: other models of the same data that predict together with this one, see :func:`stack`; none of them is a stack itself.
    """

    tree: xr.DataTree
    feature_map: FeatureMap
    gate: ConvergenceGate
    record: dict[str, Any]
    texts: tuple[str, ...] | None = None
    stacked: tuple["Posterior", ...] = ()

    @property
    def draws(self) -> xr.Dataset:
        """The group ``posterior``."""
        return self.tree["posterior"].to_dataset()

    @property
    def answer_length(self) -> xr.Dataset | None:
        """The group ``answer_length``, if there is one."""
        return self.tree[ANSWER_LENGTH].to_dataset() if ANSWER_LENGTH in self.tree.children else None

    @property
    def llm(self) -> list[str]:
        """Names of the fitted LLMs, in the order of the dim ``llm``."""
        return [str(name) for name in self.draws["llm"].values]

    def llm_named(self, name: str) -> str:
        """The name here of an LLM that other data may call otherwise; a name that nobody knows stays as it is."""
        other = str(self.record.get("aliases", {}).get(name, name))
        return other if name not in self.llm and other in self.llm else name

    @property
    def standardised_ability(self) -> xr.DataArray:
        """Abilities in SDs of the fitted LLMs' general ability, counted from their mean; dims (chain, draw, llm, trait).

        A MIRT has no others. A NIRT's network chose a unit for its abilities, which the data say little about: twice the distance between
        LLMs and half the discrimination predict the same.
        """
        draws = self.draws
        ability = draws["ability"].transpose("chain", "draw", "llm", "trait")
        if self.record["kind"] != "nirt":
            return ability
        return (ability - draws[ABILITY_MEAN]) / draws[ABILITY_SD]

    @property
    def general_ability(self) -> xr.DataArray:
        """What tells most of an LLM: the MIRT's first trait, the mean of the NIRT's abilities, in SDs of the fitted LLMs; dims (chain,
        draw, llm).
        """
        ability = self.standardised_ability
        return ability.mean("trait") if self.record["kind"] == "nirt" else ability.isel(trait=0)

    @property
    def size(self) -> int:
        """Number of draws, over all chains."""
        sizes = self.tree["posterior"].sizes
        return int(sizes["chain"] * sizes["draw"])

    def thin(self, draws: int) -> "Posterior":
        """A copy with at most this many draws, evenly spaced in each chain, equally many of each chain; what is stacked stays as it is.

        Raises:
            InputError: fewer draws than chains.
        """
        chains, each = self.tree["posterior"].sizes["chain"], self.tree["posterior"].sizes["draw"]
        if draws < chains:
            raise InputError(
                f"{draws} draws cannot be spread over {chains} chains; ask for at least {chains}."
            )
        if draws >= self.size:
            return self
        kept = np.linspace(0, each - 1, draws // chains).round().astype(int)
        groups = {name: node.to_dataset() for name, node in self.tree.children.items()}
        for name in ("posterior", "sample_stats"):
            groups[name] = groups[name].isel(draw=kept)
        return replace(self, tree=xr.DataTree.from_dict(groups))

"""Who is in a fitted model: an LLM comes in with its placement; others are retired, renamed or repriced without a refit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.calibration.ability_prior import Population
from bayes_irt_router.calibration.answers import Answer, merged
from bayes_irt_router.calibration.placing import FEWEST_EFFECTIVE, Placement
from bayes_irt_router.calibration.pricing import (
    counted_tokens,
    renamed_cost,
    repriced,
    with_llm_cost,
    without_llm_cost,
)
from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.data.schema import PRICES
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.diagnostics import ConvergenceGate
from bayes_irt_router.inference.pareto_smoothing import LARGEST_K_HAT
from bayes_irt_router.inference.posterior import ANCESTOR, ANSWER_LENGTH, Posterior
from bayes_irt_router.inference.stacking import each_member, refuse_stack
from bayes_irt_router.irt.answer_length import with_later_llm

CALIBRATED = "calibrated LLM"
OF_LLM = ("LLM mean", CALIBRATED)  # rows of the gate that bear an LLM's name


def with_llm(
    posterior: Posterior,
    llm: str,
    placement: Placement,
    answers: Sequence[Answer] = (),
    info: Mapping[str, Any] | None = None,
    characters: Mapping[str, int] | None = None,
) -> Posterior:
    """The fitted model with one more LLM, or with a known one placed anew.

    All parameter draws are taken in the order of ``placement.index``, so that they are equal-weight draws of the joint posterior where the
    placement is joint, and unchanged where it is cut; the LLM's ability joins them. The cost model gets its prices and tokens; the
    lengths of its answers vary as the fitted LLMs' do, around its own mean (:func:`with_later_llm`). The record lists the placement under
    ``calibrations``. The convergence gate gets a row with the effective number of draws, and a complaint where they are fewer than 100 or
    the weights cannot be trusted (k-hat above 0.7).

    Args:
        posterior: the fitted model.
        llm: name of the LLM.
        placement: of the LLM, from this posterior.
        answers: that it was placed by.
        info: columns of the table ``llms``.
        characters: length of the asked queries' texts, by query id, where known.

    Raises:
        InputError: the placement is over some of the draws only, or the model is a stack.
    """
    refuse_stack(posterior, "placing an LLM")
    if len(placement.index) != posterior.size:
        raise InputError(
            f"{llm} was placed over {len(placement.index)} of {posterior.size} draws; place it over all of them."
        )
    info = dict(info or {})
    known = llm in posterior.llm
    draws = posterior.draws
    chains, each = draws.sizes["chain"], draws.sizes["draw"]

    def resampled(group: xr.Dataset) -> xr.Dataset:
        found = {}
        for name, values in group.data_vars.items():
            ordered = values.transpose("chain", "draw", ...)
            shape = ordered.shape[2:]
            flat = ordered.values.reshape(
                chains * each, *shape
            )  # not -1, which is no number for arrays of no query
            found[name] = (ordered.dims, flat[placement.index].reshape(chains, each, *shape))
        return xr.Dataset(found, coords=group.coords, attrs=group.attrs)

    taken = resampled(draws)
    names = np.array(posterior.llm if known else [*posterior.llm, llm], dtype=object)
    joined, behind = {}, 0
    # A placement has the testlets behind the traits, where the model has them.
    for name, dim in (("ability", "trait"), ("testlet_effect", "testlet")):
        if name not in taken:
            continue
        values = taken[name].transpose("chain", "draw", "llm", dim).values
        own = placement.ability[:, behind : behind + values.shape[3]]
        own = own.reshape(chains, each, 1, -1).astype(values.dtype)
        behind += values.shape[3]
        if known:
            values = np.where((names == llm)[:, None], own, values)
        else:
            values = np.concatenate([values, own], axis=2)
        joined[name] = (("chain", "draw", "llm", dim), values)
    others = taken.drop_vars(list(joined)).drop_dims("llm", errors="ignore")
    others = others.drop_vars([name for name, v in others.coords.items() if "llm" in v.dims])
    groups = _groups(posterior)
    groups["posterior"] = others.assign_coords(llm=names).assign(joined)
    stats = groups["sample_stats"]
    if ANCESTOR not in stats:
        stats = stats.assign({ANCESTOR: (("chain", "draw"), np.arange(posterior.size).reshape(chains, each))})
    groups["sample_stats"] = resampled(stats)
    groups["llms"] = _with_row(groups["llms"], llm, info, merged(answers))
    fitted = CostModel.from_dict(posterior.record["cost"])
    cost = with_llm_cost(fitted, llm, info, merged(answers), characters or {})
    if ANSWER_LENGTH in groups:
        groups[ANSWER_LENGTH] = with_later_llm(
            groups[ANSWER_LENGTH],
            llm,
            counted_tokens(fitted, llm, merged(answers)),
            fitted.mean_output_tokens,
            modelled=bool(np.isnan(cost.mean_observed_cost_usd[cost.llm.index(llm)])),
        )
    entry = {"llm": llm, "update": known, **placement.to_dict()}
    record = {
        **posterior.record,
        "cost": cost.to_dict(),
        "population": Population.of(posterior).to_dict(),
        "calibrations": [*posterior.record.get("calibrations", []), entry],
    }
    weighted = placement.mode == "joint" or posterior.record["kind"] == "nirt"
    gate = _judged(posterior.gate, llm, placement, weighted=weighted)
    return replace(posterior, tree=xr.DataTree.from_dict(groups), record=record, gate=gate)


def retired(posterior: Posterior, llms: Sequence[str]) -> Posterior:
    """The fitted model without some LLMs; all else is as it was.

    Raises:
        InputError: the model does not know an LLM, or none would be left.
    """
    _require(posterior, *llms)
    kept = [i for i, name in enumerate(posterior.llm) if name not in llms]
    if not kept:
        raise InputError("No LLM would be left; keep at least one.")

    def without(group: xr.Dataset) -> xr.Dataset:
        return group.isel(llm=kept) if "llm" in group.dims else group

    names = dict.fromkeys(llms)
    return _changed(
        posterior, without, lambda cost: without_llm_cost(cost, llms), {"retired": list(llms)}, names
    )


def renamed(posterior: Posterior, old: str, new: str) -> Posterior:
    """The fitted model with another name for an LLM.

    Raises:
        InputError: the model does not know the old name, or has the new one already.
    """
    _require(posterior, old)
    if new in posterior.llm or not new.strip():
        raise InputError(f"The name {new!r} is taken or empty; choose another.")

    def relabelled(group: xr.Dataset) -> xr.Dataset:
        if "llm" not in group.dims:
            return group
        names = [new if str(name) == old else str(name) for name in group["llm"].values]
        return group.assign_coords(llm=np.array(names, dtype=object))

    change = {"renamed": [old, new]}
    return _changed(posterior, relabelled, lambda cost: renamed_cost(cost, old, new), change, {old: new})


def with_price(posterior: Posterior, llm: str, input_price: float, output_price: float) -> Posterior:
    """The fitted model with other list prices of an LLM, in USD per million tokens.

    Raises:
        InputError: the model does not know the LLM, a price is no price, or the LLM's output tokens are unknown.
    """
    _require(posterior, llm)
    prices = dict(zip(PRICES, (input_price, output_price), strict=True))

    def priced(group: xr.Dataset) -> xr.Dataset:
        if "mean_score" not in group or "llm" not in group.dims:
            return group
        at = np.array([str(name) == llm for name in group["llm"].values])
        old = {
            name: group[name].values if name in group.coords else np.full(len(at), np.nan) for name in PRICES
        }
        return group.assign_coords({name: ("llm", np.where(at, prices[name], old[name])) for name in PRICES})

    change = {"repriced": [llm, input_price, output_price]}
    return _changed(
        posterior, priced, lambda cost: repriced(cost, llm, input_price, output_price), change, {}
    )


def _changed(
    posterior: Posterior,
    group: Callable[[xr.Dataset], xr.Dataset],
    cost: Callable[[CostModel], CostModel],
    change: dict[str, Any],
    names: Mapping[str, str | None],
) -> Posterior:
    """With other groups and costs; LLMs of `names` have another name, or None, in what was noted of them. Of a stack, every model."""
    if posterior.stacked:
        return each_member(posterior, lambda one: _changed(one, group, cost, change, names))
    calibrations = [report_renamed(one, names) for one in posterior.record.get("calibrations", [])]
    record = {
        **posterior.record,
        "cost": cost(CostModel.from_dict(posterior.record["cost"])).to_dict(),
        "population": Population.of(posterior).to_dict(),
        "changes": [*posterior.record.get("changes", []), change],
    }
    if "calibrations" in record:
        record["calibrations"] = [one for one in calibrations if one is not None]
    groups = {name: group(values) for name, values in _groups(posterior).items()}
    table = posterior.gate.table
    of_llm = table["quantity"].isin(OF_LLM)
    told = table["name"].where(~of_llm, table["name"].map(lambda name: names.get(name, name)))
    gate = replace(posterior.gate, table=table.assign(name=told)[told.notna()].reset_index(drop=True))
    return replace(posterior, tree=xr.DataTree.from_dict(groups), record=record, gate=gate)


def report_renamed(
    report: Mapping[str, Any] | None, names: Mapping[str, str | None]
) -> dict[str, Any] | None:
    """What was noted of a calibration, under the LLM's other name; None where the LLM has none any more, or nothing was noted.

    Args:
        report: with the LLM's name under ``llm``.
        names: the other name of some LLMs, None if they were retired.
    """
    if report is None:
        return None
    name = names.get(report["llm"], report["llm"])
    return None if name is None else {**report, "llm": name}


def _groups(posterior: Posterior) -> dict[str, xr.Dataset]:
    return {str(name): node.to_dataset() for name, node in posterior.tree.children.items()}


def _require(posterior: Posterior, *llms: str) -> None:
    if unknown := [repr(llm) for llm in llms if llm not in posterior.llm]:
        raise InputError(
            f"The model does not know the LLM {', '.join(unknown)}; it knows {', '.join(sorted(posterior.llm))}."
        )


def _with_row(table: xr.Dataset, llm: str, info: Mapping[str, Any], answers: Sequence[Answer]) -> xr.Dataset:
    """The LLMs' table with one more row, or another one; what is not told stays as it was, or is unknown."""
    names = [str(name) for name in table["llm"].values]
    at = names.index(llm) if llm in names else None
    weight = sum(answer.trials for answer in answers)
    score = sum(answer.score * answer.trials for answer in answers) / weight if weight else np.nan
    own: dict[str, Any] = {"mean_score": score, "answers": len(answers), "llm": llm}

    def column(name: str, values: np.ndarray) -> np.ndarray:
        numeric = np.issubdtype(values.dtype, np.number)
        value = own.get(name, info.get(name))
        if value is None or value == "":
            value = values[at] if at is not None else (np.nan if numeric else "")
        if at is not None:
            values = values.copy() if numeric else values.astype(object)
            values[at] = value
            return values
        return np.append(values, float(value)) if numeric else np.append(values.astype(object), str(value))

    coords = {
        str(n): ("llm", column(str(n), v.values)) for n, v in table.coords.items() if v.dims == ("llm",)
    }
    for name in PRICES:
        if name not in coords and info.get(name) is not None:
            coords[name] = ("llm", column(name, np.full(len(names), np.nan)))
    data = {str(n): ("llm", column(str(n), v.values)) for n, v in table.data_vars.items()}
    return xr.Dataset(data, coords=coords, attrs=table.attrs)


def _judged(gate: ConvergenceGate, llm: str, placement: Placement, *, weighted: bool) -> ConvergenceGate:
    row = {
        "quantity": CALIBRATED,
        "name": llm,
        "r_hat": np.nan,  # resampled draws belong to no chain
        "ess_bulk": placement.effective_draws,
        "ess_tail": placement.effective_draws,
    }
    complaints = list(gate.complaints)
    if placement.effective_draws < FEWEST_EFFECTIVE:
        complaints.append(f"calibrating {llm} left {placement.effective_draws:.0f} effective draws")
    if weighted and placement.k_hat > LARGEST_K_HAT:
        complaints.append(f"the weights that placed {llm} have k-hat {placement.k_hat:.2f}")
    table = pd.concat([gate.table, pd.DataFrame([row])], ignore_index=True)
    return replace(gate, table=table, complaints=tuple(complaints))

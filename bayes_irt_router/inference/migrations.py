"""Model folders of older versions, brought up to date one version at a time.

A change of what `storage.save` writes adds one function to the end of MIGRATIONS, from the content as it was to the
content as it is now. A folder of version v then passes through the functions from position v - 1 on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_irt_router.irt.identification import align_traits
from bayes_irt_router.irt.priors import MIRTPriors


@dataclass(frozen=True)
class Content:
    """What stands in a model folder, as it was read.

    Attributes:
        record: `model.json` without its `schema_version`.
        groups: the groups of `posterior.nc`.
    """

    record: dict[str, Any]
    groups: dict[str, xr.Dataset]


# Dims of what has to do with raw traits, and what they were called up to version 3.
RAW = {
    "ability_frame": ("chain", "draw", "raw_trait", "trait"),
    "covariate_weight": ("chain", "draw", "raw_trait", "covariate"),
    "family_effect": ("chain", "draw", "raw_trait", "family"),
}
VERSION_3 = {
    "ability_frame": ("chain", "draw", "trait", "raw_trait"),
    "covariate_weight": ("chain", "draw", "trait", "covariate"),
    "family_effect": ("chain", "draw", "trait", "family"),
}
Migration = Callable[[Content], Content]


def _without_testlets(old: Content) -> Content:
    """Version 1 had no effects of LLMs on tasks."""
    if old.record.get("kind") != "mirt":
        return old
    model = old.record["model"]
    priors = {**model["priors"], "testlet": MIRTPriors().testlet}
    return replace(old, record={**old.record, "model": {**model, "priors": priors, "testlets": False}})


def _without_slope(old: Content) -> Content:
    """In version 2 the residuals of the specific traits' discriminations did not depend on the general one's."""
    if old.record.get("kind") != "mirt":
        return old
    model, draws = old.record["model"], old.groups["posterior"]
    priors = {**model["priors"], "discrimination_slope": MIRTPriors().discrimination_slope}
    groups = dict(old.groups)
    if model["traits"] > 1:
        specific = draws["trait"].values[1:]
        shape = (draws.sizes["chain"], draws.sizes["draw"], len(specific))
        groups["posterior"] = draws.assign_coords(specific=specific).assign(
            discrimination_residual_slope=(("chain", "draw", "specific"), np.zeros(shape, np.float32))
        )
    return Content({**old.record, "model": {**model, "priors": priors}}, groups)


def _unaligned(old: Content) -> Content:
    """In version 3 draws were stored in the coordinates they were sampled in, and what has raw traits had the dim ``trait`` for them."""
    if old.record.get("kind") != "mirt":
        return old
    draws = old.groups["posterior"].assign_coords(raw_trait=old.groups["posterior"]["trait"].values)
    raw = {}
    for name, dims in RAW.items():
        if name in draws:
            raw[name] = (dims, draws[name].transpose(*VERSION_3[name]).values)
    aligned = align_traits(draws.drop_vars(raw).assign(raw))
    return replace(old, groups={**old.groups, "posterior": aligned})


def _alone(old: Content) -> Content:
    """Up to version 4 there were no stacks: every model predicted by itself. The abilities of a NIRT were told in its own unit."""
    groups = dict(old.groups)
    if old.record.get("kind") == "nirt":
        draws = groups["posterior"]
        general = draws["ability"].mean("trait")
        groups["posterior"] = draws.assign(ability_mean=general.mean("llm"), ability_sd=general.std("llm"))
    return Content({**old.record, "stacked": 0}, groups)


def _loaded_by_look(old: Content) -> Content:
    """Up to version 5 the testlet effects of fitted queries were multiplied by the probabilities of the tasks that they look like."""
    groups = dict(old.groups)
    if "task_probability" in groups.get("queries", {}):
        groups["queries"] = groups["queries"].rename(task_probability="testlet_loading")
    return replace(old, groups=groups)


MIGRATIONS: tuple[Migration, ...] = (
    _without_testlets,
    _without_slope,
    _unaligned,
    _alone,
    _loaded_by_look,
)


def newest_version(migrations: Sequence[Migration]) -> int:
    """The version that the last migration leads to; version 1 is the first there was."""
    return 1 + len(migrations)


def migrated(content: Content, version: int, migrations: Sequence[Migration]) -> Content:
    """The content of a folder of `version` as the newest version would have written it.

    Args:
        content: never changed; a migration returns another.
        version: from 1 to the newest.
        migrations: the function at position v - 1 leads from version v to version v + 1.

    >>> renamed = lambda old: Content({"kind": old.record["type"]}, old.groups)
    >>> migrated(Content({"type": "mirt"}, {}), 1, [renamed]).record
    {'kind': 'mirt'}
    """
    for migration in migrations[version - 1 :]:
        content = migration(content)
    return content

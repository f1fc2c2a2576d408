"""Hard limits: which LLMs may answer at all, before any policy looks at them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from bayes_irt_router.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What excludes an LLM, and what happens where nothing is left.

    Attributes:
        allow: names of the only candidates; all by default.
        deny: names of LLMs that are no candidates.
        max_cost: in USD; an LLM whose expected cost for the query is higher is no candidate for it.
        require: tags that a candidate's ``capabilities`` must have, all of them.
        fallback: the LLM for queries that are unfamiliar, or for which the policy abstains.
        min_familiarity: below it a query is unfamiliar, see `predict`; it goes to the fallback, or to nobody without one.
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    max_cost: float | None = None
    require: tuple[str, ...] = ()
    fallback: str | None = None
    min_familiarity: float | None = None

    def named(self, llm_named: Callable[[str], str]) -> "Limits":
        """The same limits with other names of LLMs replaced by the model's."""
        return replace(
            self,
            allow=None if self.allow is None else tuple(map(llm_named, self.allow)),
            deny=tuple(map(llm_named, self.deny)),
            fallback=None if self.fallback is None else llm_named(self.fallback),
        )

    def problems(self, llms: xr.Dataset) -> list[str]:
        """Everything that is wrong with the limits, given the table of the fitted LLMs; one sentence each."""
        names = [str(name) for name in llms["llm"].values]
        given = (
            ("allow", self.allow or ()),
            ("deny", self.deny),
            ("fallback", (self.fallback,) if self.fallback is not None else ()),
        )
        problems = [
            f"LLM {name!r} is not among the fitted ones: {what} some of {', '.join(sorted(names))}."
            for what, wanted in given
            for name in sorted(set(wanted) - set(names))
        ]
        if both := sorted(set(self.allow or ()) & set(self.deny)):
            problems.append(f"{', '.join(both)} cannot be both allowed and denied; say one.")
        if self.max_cost is not None and not self.max_cost >= 0:
            problems.append(f"max_cost is {self.max_cost}; it is an amount of USD, 0 or more.")
        if self.min_familiarity is not None and not 0 <= self.min_familiarity <= 1:
            problems.append(f"min_familiarity is {self.min_familiarity}; it must be between 0 and 1.")
        tags = capability_tags(llms)
        known = sorted(set().union(*tags))
        told = f"the tags are {', '.join(known)}" if known else "the fitted LLMs declare no capabilities"
        missing = [tag for tag in self.require if tag.strip().casefold() not in known]
        problems += [f"No LLM declares the capability {tag!r}; {told}." for tag in missing]
        left = self.static(llms)
        # What is told above may be all that leaves nobody; saying so again would not help.
        told_already = bool(missing) or bool(
            self.allow and set(self.allow) <= {*both, *set(self.allow) - set(names)}
        )
        if not left.any() and not told_already:
            problems.append(
                "No candidate LLM is left: allow at least one, deny fewer, or require fewer capabilities."
            )
        elif left.any() and self.fallback in names and not left[names.index(self.fallback)]:
            problems.append(
                f"The fallback {self.fallback} is denied, not allowed, or lacks a required capability; choose another."
            )
        return problems

    def static(self, llms: xr.Dataset) -> Bool[np.ndarray, " llm"]:
        """Which LLMs are candidates whatever the query: allowed, not denied, with the capabilities."""
        wanted = {tag.strip().casefold() for tag in self.require}
        names = llms["llm"].values.astype(str)
        named = np.ones(len(names), dtype=bool) if self.allow is None else np.isin(names, list(self.allow))
        able = np.array([wanted <= tags for tags in capability_tags(llms)], dtype=bool)
        return named & ~np.isin(names, list(self.deny)) & able

    def allowed(
        self,
        llms: xr.Dataset,
        mean_cost: Float[np.ndarray, "query llm"],
        input_tokens: Float[np.ndarray, "query llm"],
    ) -> Bool[np.ndarray, "query llm"]:
        """Which LLMs are candidates for which query.

        Args:
            llms: the table of the fitted LLMs; ``context_tokens`` excludes an LLM from longer queries.
            mean_cost: expected cost in USD.
            input_tokens: expected tokens of the query, as each LLM counts them.
        """
        allowed = np.broadcast_to(self.static(llms), mean_cost.shape).copy()
        if self.max_cost is not None:
            unknown = [str(n) for n in llms["llm"].values[(np.isnan(mean_cost) & allowed).any(axis=0)]]
            if unknown:
                raise InputError(
                    f"max_cost needs the cost of {', '.join(unknown)}, which is unknown: give prices, or leave these LLMs out."
                )
            allowed &= mean_cost <= self.max_cost
        if "context_tokens" in llms.coords:
            allowed &= ~(
                input_tokens > llms["context_tokens"].values.astype(np.float64)
            )  # NaN: no known limit
        return allowed


def capability_tags(llms: xr.Dataset) -> list[frozenset[str]]:
    """The tags that each LLM declares in ``capabilities``, separated by commas or semicolons, in lower case."""
    if "capabilities" not in llms.coords:
        return [frozenset()] * llms.sizes["llm"]
    cells = (re.split(r"[,;]", str(cell)) for cell in llms["capabilities"].values)
    return [frozenset(tag.strip().casefold() for tag in cell if tag.strip()) for cell in cells]


def names_of(values: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names from lists that may hold several, separated by commas; None stays None.

    >>> names_of(["a, b", "c"])
    ('a', 'b', 'c')
    """
    if values is None:
        return None
    return tuple(name.strip() for part in values for name in part.split(",") if name.strip())

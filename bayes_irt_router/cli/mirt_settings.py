"""What `birt fit --kind mirt` samples: the model and the sampler's settings, from what was typed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    from bayes_irt_router.inference.nuts import NUTS
    from bayes_irt_router.irt.mirt import MIRT


def mirt_settings(
    traits: int,
    prior: Sequence[str],
    covariate: Sequence[str],
    families: bool,
    draws: int,
    tune: int,
    chains: int,
    target_accept: float | None,
    sampler: Literal["numpyro", "nutpie"],
) -> "tuple[MIRT, NUTS]":
    """The model and the sampler's settings; what is wrong with either is told together."""
    from bayes_irt_router.inference.nuts import NUTS
    from bayes_irt_router.irt.mirt import MIRT
    from bayes_irt_router.irt.priors import MIRTPriors

    problems: list[str] = []
    priors, model, settings = MIRTPriors(), None, None
    try:
        priors = MIRTPriors(**parse_priors(prior))
    except InputError as error:
        problems += error.problems
    try:
        model = MIRT(traits, priors, tuple(dict.fromkeys(covariate)), families)
    except InputError as error:
        problems += error.problems
    try:
        settings = NUTS(draws=draws, tune=tune, chains=chains, target_accept=target_accept, backend=sampler)
    except InputError as error:
        problems += error.problems
    if problems or model is None or settings is None:
        raise InputError(problems)
    return model, settings


def parse_priors(assignments: Sequence[str]) -> dict[str, float]:
    """Prior scales from `name=value`; the last of equals counts.

    Raises:
        InputError: not of this form, an unknown name, or not a number; every problem is listed.

    >>> parse_priors(["family=1", "difficulty_mean=0.5"])
    {'family': 1.0, 'difficulty_mean': 0.5}
    """
    from dataclasses import fields

    from bayes_irt_router.irt.priors import MIRTPriors

    known = [field.name for field in fields(MIRTPriors)]
    values: dict[str, float] = {}
    problems = []
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            problems.append(
                f"--prior {assignment} is not of the form NAME=VALUE; write, for instance, {known[0]}=1.5."
            )
            continue
        if name not in known:
            problems.append(f"There is no prior {name!r}; the names are {', '.join(known)}.")
        try:
            values[name] = float(text)
        except ValueError:
            problems.append(
                f"The prior {name} is {text!r}, which is not a number; write, for instance, {name}=1.5."
            )
    if problems:
        raise InputError(problems)
    return values

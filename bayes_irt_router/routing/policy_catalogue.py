"""All policies by name, and how their options are written on a command line."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.correctness_policies import ChanceConstrained, MinSuccess
from bayes_irt_router.routing.decision_problem import Policy
from bayes_irt_router.routing.utility_policies import (
    Equivalence,
    ExpectedUtility,
    LowerBound,
    ProbabilityOfImprovement,
)

POLICIES: Mapping[str, type[Policy]] = {
    policy.name: policy
    for policy in (
        ExpectedUtility,
        MinSuccess,
        ChanceConstrained,
        ProbabilityOfImprovement,
        LowerBound,
        Equivalence,
    )
}


def policy_named(name: str, options: Sequence[str] = ()) -> Policy:
    """The policy of that name, with options written as `key=value`; the last of equals counts.

    Raises:
        InputError: an unknown policy or option, an option that is missing or has no value of its kind; every problem is listed.

    >>> policy_named("min_success", ["target=0.9"])
    MinSuccess(target=0.9)
    """
    if name not in POLICIES:
        raise InputError(f"There is no policy {name!r}; the names are {', '.join(POLICIES)}.")
    kind = POLICIES[name]
    fields = _fields(kind)
    values: dict[str, Any] = {}
    problems = []
    for option in options:
        key, equals, text = (part.strip() for part in option.partition("="))
        if not equals:
            problems.append(f"--option {option} is not of the form KEY=VALUE.")
        elif key not in fields:
            known = f"its options are {', '.join(fields)}" if fields else "it has no options"
            problems.append(f"The policy {name} has no option {key!r}; {known}.")
        elif fields[key].type is float:
            try:
                values[key] = float(text)
            except ValueError:
                problems.append(f"The option {key} is {text!r}, which is not a number.")
                values[key] = None
        else:
            values[key] = text
    for key, field in fields.items():
        if field.default is dataclasses.MISSING and key not in values:
            problems.append(f"The policy {name} needs the option {key}: add --option {key}=VALUE.")
            values[key] = None
    # What is out of range is told together with the rest, as far as it could be read.
    readable = {key: value for key, value in values.items() if value is not None}
    complete = all(key in readable for key, field in fields.items() if field.default is dataclasses.MISSING)
    try:
        policy = kind(**readable) if complete else None
    except InputError as error:
        problems += error.problems
        policy = None
    if problems or policy is None:
        raise InputError(problems)
    return policy


def policy_options(policy: Policy) -> dict[str, Any]:
    """The options of a policy, ready for JSON.

    >>> policy_options(policy_named("min_success"))
    {'target': 0.8}
    """
    return {name: getattr(policy, name) for name in _fields(type(policy))}


def _fields(kind: type[Policy]) -> dict[str, "dataclasses.Field[Any]"]:
    return {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]

"""Sorts of model: which options of `birt fit` belong to which."""

from bayes_irt_router.cli.border import Context
from bayes_irt_router.errors import InputError

# What only one sort of model has.
OWN_OPTIONS = {
    "mirt": (
        "traits",
        "prior",
        "covariate",
        "families",
        "draws",
        "tune",
        "chains",
        "target_accept",
        "sampler",
    ),
    "nirt": ("abilities", "relevance", "networks", "passes", "step_size"),
}


def check_options(context: Context, kind: str) -> None:
    """Options of the other sort of model are refused, not passed over."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in OWN_OPTIONS["mirt" if kind == "nirt" else "nirt"]
        and (source := context.get_parameter_source(str(parameter.name))) is not None
        and source.name != "DEFAULT"
    ]
    if given:
        means, them = ("mean", "them") if len(given) > 1 else ("means", "it")
        raise InputError(f"{', '.join(given)} {means} nothing with --kind {kind}; leave {them} out.")

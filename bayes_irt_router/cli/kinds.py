"""Sorts of model: which options of `birt fit` belong to which, and what `--kind nirt` does."""

from pathlib import Path
from typing import TYPE_CHECKING

from bayes_irt_router.cli.border import Context
from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from bayes_irt_router.data.encoder import TextEncoder
    from bayes_irt_router.inference.neural_training import Training
    from bayes_irt_router.inference.posterior import Posterior
    from bayes_irt_router.irt.nirt import NIRT

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
    "nirt": ("abilities", "networks", "passes"),
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


def nirt_settings(abilities: Path | None, networks: int, passes: int) -> "tuple[NIRT, Training]":
    """The model and the settings of its training; what is wrong with either is told together."""
    from bayes_irt_router.inference.neural_training import Training
    from bayes_irt_router.irt.ability_table import ABILITIES, NamedAbility, read_abilities
    from bayes_irt_router.irt.nirt import NIRT

    problems: list[str] = []
    table: tuple[NamedAbility, ...] = ABILITIES
    training = None
    try:
        table = ABILITIES if abilities is None else read_abilities(abilities)
    except InputError as error:
        problems += error.problems
    try:
        training = Training(networks=networks, passes=passes)
    except InputError as error:
        problems += error.problems
    if problems or training is None:
        raise InputError(problems)
    return NIRT(abilities=table), training


def train_nirt(
    model: "NIRT",
    training: "Training",
    dataset: "xr.Dataset",
    encoder: "TextEncoder",
    cache_dir: Path | None,
    output: Path,
    *,
    seed: int,
    landmarks: int,
    assume_output_tokens: int | None,
    keep_texts: bool,
) -> "Posterior":
    """Train; an interrupted training goes on from the file beside the output folder when the command is repeated."""
    from bayes_irt_router.data.embedding_cache import embed_texts
    from bayes_irt_router.inference.neural_fitting import fit_nirt
    from bayes_irt_router.irt.relevance import from_descriptions

    described = embed_texts([one.description for one in model.abilities], encoder, cache_dir)
    return fit_nirt(
        model,
        dataset,
        training,
        relevance=from_descriptions(described),
        seed=seed,
        landmarks=landmarks,
        assume_output_tokens=assume_output_tokens,
        keep_texts=keep_texts,
        checkpoint=output.parent / f"{output.name}.training.npz",
    )

"""What `birt fit --kind nirt` trains, from what was typed, and where an interrupted training is kept."""

from pathlib import Path
from typing import TYPE_CHECKING

from bayes_irt_router.cli.border import tell
from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from bayes_irt_router.data.encoder import TextEncoder
    from bayes_irt_router.inference.neural_training import Training
    from bayes_irt_router.inference.posterior import Posterior
    from bayes_irt_router.irt.nirt import NIRT
    from bayes_irt_router.irt.relevance import RelevancePrior
    from bayes_irt_router.irt.relevance_table import RelevanceLabels


def nirt_settings(
    abilities: Path | None, relevance: Path | None, networks: int, passes: int | None, step_size: float
) -> "tuple[NIRT, Training, RelevanceLabels | None]":
    """The model, the settings of its training, and labels of queries; what is wrong with any is told together."""
    from bayes_irt_router.inference.neural_training import Training
    from bayes_irt_router.irt.ability_table import ABILITIES, NamedAbility, read_abilities
    from bayes_irt_router.irt.nirt import NIRT
    from bayes_irt_router.irt.relevance_table import read_relevance

    problems: list[str] = []
    table: tuple[NamedAbility, ...] | None = None
    training, labels = None, None
    try:
        table = ABILITIES if abilities is None else read_abilities(abilities)
    except InputError as error:
        problems += error.problems
    try:
        if (
            relevance is not None and table is not None
        ):  # without the names of abilities nothing can be said of it
            labels = read_relevance(relevance, [one.name for one in table])
    except InputError as error:
        problems += error.problems
    try:
        training = Training(networks=networks, passes=passes, step_size=step_size)
    except InputError as error:
        problems += error.problems
    if problems or training is None or table is None:
        raise InputError(problems)
    return NIRT(abilities=table), training, labels


def training_place(output: Path) -> Path:
    """The file beside the output folder that an interrupted training goes on from when the command is repeated.

    Raises:
        InputError: something else stands there, which nobody wants to lose.
    """
    from bayes_irt_router.inference.checkpoint import check_place

    folder = output.resolve()  # of `.` and through links, as the folder itself is written
    path = folder.with_name(f"{folder.name}.training.npz")
    check_place(path)
    return path


def train_nirt(
    model: "NIRT",
    training: "Training",
    dataset: "xr.Dataset",
    encoder: "TextEncoder",
    cache_dir: Path | None,
    labels: "RelevanceLabels | None",
    checkpoint: Path | None,
    *,
    seed: int,
    landmarks: int,
    assume_output_tokens: int | None,
    keep_texts: bool,
) -> "Posterior":
    """Train, or go on with an interrupted training, whose file stays."""
    from bayes_irt_router.inference.neural_fitting import fit_nirt

    return fit_nirt(
        model,
        dataset,
        training,
        relevance=_relevance(model, dataset, encoder, cache_dir, labels),
        seed=seed,
        landmarks=landmarks,
        assume_output_tokens=assume_output_tokens,
        keep_texts=keep_texts,
        checkpoint=checkpoint,
    )


def _relevance(
    model: "NIRT",
    dataset: "xr.Dataset",
    encoder: "TextEncoder",
    cache_dir: Path | None,
    labels: "RelevanceLabels | None",
) -> "RelevancePrior":
    from bayes_irt_router.data.embedding_cache import embed_texts
    from bayes_irt_router.irt.relevance import from_descriptions
    from bayes_irt_router.irt.relevance_table import from_labelled_queries

    if labels is None:
        return from_descriptions(
            embed_texts([one.description for one in model.abilities], encoder, cache_dir)
        )
    query = dataset["query"].values.astype(str)
    prior, labelled = from_labelled_queries(labels, query.tolist(), dataset["embedding"].values)
    tell(
        "note",
        f"{labelled} of {len(query)} queries have relevance of their own, in {len(prior.anchor)} clusters; the others have that of "
        "the clusters near them.",
    )
    return prior

"""The queries of a model as an item bank, as `birt calibrate` and `birt drift` need them: fitted ones, and new ones of a file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayes_irt_router.calibration.answers import Answer
    from bayes_irt_router.calibration.items import ItemBank
    from bayes_irt_router.inference.posterior import Posterior


def item_bank(
    folder: Path,
    posterior: "Posterior",
    queries: Path | None,
    answers: "Sequence[Answer]",
    encoder: str | None,
    cache_dir: Path | None,
) -> "tuple[ItemBank, dict[str, str], list[Answer]]":
    """The bank; the texts of its queries as far as they are known, by id; the answers, each under its query's name in the bank.

    Args:
        folder: of the model.
        posterior: the model in it.
        queries: file of texts and of new queries, if there is one; only new ones are embedded.
        answers: that were given; they show which queries are graded.
        encoder, cache_dir: for new queries.
    """
    from bayes_irt_router.calibration.answers import graded_names
    from bayes_irt_router.calibration.inputs import kept_texts, read_queries
    from bayes_irt_router.calibration.items import ItemBank
    from bayes_irt_router.routing.router import Router

    texts, new = dict(kept_texts(posterior)), None
    if queries is not None:
        told, others, fitted_name = read_queries(queries, posterior)
        answers = [replace(one, query=fitted_name.get(one.query, one.query)) for one in answers]
        texts |= told
        if others.sizes["query"]:
            texts |= dict(zip(map(str, others["query"].values), map(str, others["text"].values), strict=True))
            new = Router.load(folder, encoder, cache_dir).featurize(others, progress=True)
    return ItemBank.of(posterior, new, graded=graded_names(answers)), texts, list(answers)

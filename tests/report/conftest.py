"""A small model with data that it has not seen, both with names that are meant to break a page."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.evaluation.predictions import Predicted
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.page.held_out import HeldOut, held_out
from bayes_irt_router.report.page.pictures import pictures
from bayes_irt_router.report.page.report_page import report_page
from bayes_irt_router.report.page.routed_queries import RoutedQueries, unseen_queries
from bayes_irt_router.routing.router import Router

EVIL = "</script><img src=x onerror=alert(1)>&$"


class TextLengths:
    """An encoder without weights: a vector that depends on the text, of unit norm."""

    name, fingerprint, revision = "clustered vectors", "1", "1"

    def embed(self, texts, *, progress=False):
        vectors = np.array([np.cos(np.arange(16) * len(text)) + 0.01 for text in texts])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def renamed(dataset: xr.Dataset) -> xr.Dataset:
    """The first LLM under a bad name."""
    if "llm" not in dataset.dims:
        return dataset
    names = [str(name) for name in dataset["llm"].values]
    return dataset.assign_coords(llm=[EVIL + names[0], *names[1:]])


@pytest.fixture(scope="session")
def evil_fit(small_fit: Posterior) -> Posterior:
    groups = {name: renamed(node.to_dataset()) for name, node in small_fit.tree.children.items()}
    cost = small_fit.record["cost"]
    record = small_fit.record | {"cost": cost | {"llm": [EVIL + cost["llm"][0], *cost["llm"][1:]]}}
    return replace(small_fit, tree=xr.DataTree.from_dict(groups), record=record)


@pytest.fixture(scope="session")
def evil_router(evil_fit: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Router:
    return Router(evil_fit, TextLengths(), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def unseen(evil_router: Router, bank) -> HeldOut:
    other, fitted = bank(seed=5), bank()
    new = ~np.isin(other["text"].values, fitted["text"].values)
    other = renamed(other).isel(query=new)
    queries = [f"new-{query}" for query in other["query"].values]
    texts = np.array([EVIL + text for text in other["text"].values], dtype=object)
    data = other.assign_coords(query=queries, text=("query", texts))
    return held_out(evil_router, data, progress=False)


@pytest.fixture(scope="session")
def routed(evil_router: Router, unseen: HeldOut) -> RoutedQueries:
    return unseen_queries(evil_router, unseen.queries, level=0.89, seed=0, show_texts=True)


@pytest.fixture(scope="session")
def page(evil_fit: Posterior, unseen: HeldOut, routed: RoutedQueries) -> str:
    drawn = list(pictures(evil_fit, unseen, level=0.89, seed=0))
    return report_page(evil_fit, f"model {EVIL}", routed, drawn, unseen)


@pytest.fixture(scope="session")
def constant_prediction() -> Callable[[int, int, int], tuple[Predicted, xr.Dataset]]:
    """Makes predictions of 0.6 for (tasks, LLMs, queries a task) and answers that agree, but for two cells of the first task: the
    first LLM is always wrong, the second has no answers.
    """

    def make(tasks: int, llms: int, queries: int) -> tuple[Predicted, xr.Dataset]:
        shape = (tasks * queries, llms)
        score = (np.random.default_rng(0).random(shape) < 0.6).astype(float)
        task = np.repeat([f"task_{k:02}" for k in range(tasks)], queries)
        score[task == "task_00", 0] = 0.0
        score[task == "task_00", 1] = np.nan
        data = xr.Dataset(
            {"score": (("query", "llm"), score), "trials": (("query", "llm"), np.ones(shape, int))},
            coords={
                "llm": [f"$vendor/llm-{j:02}$" for j in range(llms)],
                "task": ("query", task.astype(object)),
            },
        )
        return Predicted(np.full(shape, 0.6), np.full((100, *shape), 0.6, dtype=np.float32)), data

    return make

"""Which feature map predicts best, by cross-validation inside the train split; the test split is never read.

    .venv/bin/python benchmarks/feature_choice.py --data ../shared/data/zeroeval

prints a table of held-out log loss and paired differences to the first variant, with 95 % intervals by bootstrap over queries, and
writes benchmarks/results/feature-choice-NAME-round-ROUND.json. Models are the fast stand-in of laplace_items.py.
About ten minutes a round on two cores.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from laplace_items import FeatureGroup, fit_items, point_abilities
from provenance import provenance

from bayes_irt_router.data.canonical import read_dataset, select_split
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.feature_map import SURFACE_WEIGHT, fit_feature_map
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.files import atomic_path

RESULTS = Path(__file__).parent / "results"
FOLDS, RESAMPLES = 4, 1000


@dataclass(frozen=True)
class Variant:
    """Settings of a feature map.

    Attributes:
        surface: weight of the surface features in the kernel's squared distance, the embedding's being 1; 0: kernel of the embedding.
        words: weight of word and bigram counts (TF-IDF, 64 principal axes) in it.
        linear: whether the surface features have linear effects, too.
        tasks: whether half of the process' variance is between the tasks that a query looks like.
    """

    lengthscale: float = 1.2
    landmarks: int = 400
    components: int = 200
    surface: float = SURFACE_WEIGHT
    words: float = 0.0
    linear: bool = True
    tasks: bool = True
    traits: int = 4


# Those named "first round" were compared before the map told tasks apart, and with three traits.
FIRST_ROUND: dict[str, Variant] = {
    "kernel of the embedding, 128 components": Variant(1.0, 256, 128, surface=0.0, tasks=False, traits=3),
    "kernel of the embedding": Variant(1.0, surface=0.0, tasks=False, traits=3),
    "no kernel to speak of": Variant(1.2, 2, 1, tasks=False, traits=3),
    "joint kernel, weight 0.5": Variant(surface=0.5, tasks=False, traits=3),
    "joint kernel, weight 1": Variant(surface=1.0, tasks=False, traits=3),
    "joint kernel, weight 2 (chosen)": Variant(tasks=False, traits=3),
    "joint kernel, weight 4": Variant(surface=4.0, tasks=False, traits=3),
    "lengthscale 0.9": Variant(lengthscale=0.9, tasks=False, traits=3),
    "lengthscale 1.6": Variant(lengthscale=1.6, tasks=False, traits=3),
    "128 components": Variant(landmarks=256, components=128, tasks=False, traits=3),
    "300 components": Variant(landmarks=600, components=300, tasks=False, traits=3),
    "no linear effects": Variant(linear=False, tasks=False, traits=3),
    "words in the kernel": Variant(words=1.0, tasks=False, traits=3),
    "2 traits": Variant(tasks=False, traits=2),
    "4 traits": Variant(tasks=False),
}
SECOND_ROUND: dict[str, Variant] = {
    "tasks and kernel (chosen)": Variant(),
    "kernel alone": Variant(tasks=False),
    "tasks and kernel, words": Variant(words=1.0),
    "tasks and kernel, 400 components": Variant(landmarks=800, components=400),
    "tasks and kernel, lengthscale 0.9": Variant(lengthscale=0.9),
    "tasks and kernel, 400 components, lengthscale 0.9": Variant(0.9, landmarks=800, components=400),
    "tasks and kernel, 3 traits": Variant(traits=3),
    "tasks and kernel, 5 traits": Variant(traits=5),
}
VARIANTS = FIRST_ROUND | SECOND_ROUND


def feature_groups(data: xr.Dataset, training: np.ndarray, variant: Variant) -> list[FeatureGroup]:
    """All queries' features by a map that is fitted to the training queries."""
    embedding = data["embedding"].values.astype(float)
    if variant.words:
        embedding = np.hstack([embedding, np.sqrt(variant.words) * word_axes(data, training)])
    # Only the ratio of the parts counts, so the embedding and the lengthscale are stretched instead of the surface.
    stretch = np.sqrt(SURFACE_WEIGHT / variant.surface) if variant.surface else 1.0
    mapped = data[["surface"]].assign(embedding=(("query", "place"), stretch * embedding))
    if not variant.surface:
        mapped = mapped.assign(surface=xr.zeros_like(data["surface"]))
    if not variant.tasks:
        mapped = mapped.drop_vars("task", errors="ignore")
    feature_map = fit_feature_map(
        mapped.isel(query=training),
        landmarks=variant.landmarks,
        components=variant.components,
        lengthscale=stretch * variant.lengthscale,
    )
    applied = feature_map.apply(mapped)
    process = applied["feature_group"].values != "surface"
    columns, novelty = applied["features"].values.astype(float), applied["novelty"].values.astype(float)
    known = feature_map.apply_in_training(mapped.isel(query=training))
    columns[training], novelty[training] = known["features"].values, known["novelty"].values
    groups = [FeatureGroup(columns[:, process], novelty)]
    if variant.linear:
        plain = fit_feature_map(data.isel(query=training), landmarks=1, components=1).apply(data)
        linear = plain["features"].values[:, plain["feature_group"].values == "surface"]
        groups.insert(0, FeatureGroup(linear.astype(float), np.zeros(len(linear))))
    return groups


def word_axes(data: xr.Dataset, training: np.ndarray) -> np.ndarray:
    """Principal axes of TF-IDF weights of words and bigrams, scaled to mean squared length 1."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = np.array([str(text) for text in data["text"].values], dtype=object)
    weights = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"[A-Za-z_]+|\\[a-z]+|[^\sA-Za-z0-9]"
    )
    axes = TruncatedSVD(64, random_state=0).fit(weights.fit_transform(texts[training]))
    found = axes.transform(weights.transform(texts))
    return found / np.sqrt((found[training] ** 2).sum(axis=1).mean())


def held_out_loss(
    data: xr.Dataset,
    fold: np.ndarray,
    groups: Callable[[np.ndarray], list[FeatureGroup]],
    start: Mapping[int, Any],
) -> np.ndarray:
    """Summed log loss of each query, predicted from the other folds."""
    score, trials = np.nan_to_num(data["score"].values), data["trials"].values.astype(float)
    loss = np.zeros(len(score))
    for held in range(FOLDS):
        inside, outside = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        made = groups(inside)
        items = fit_items(score[inside], trials[inside], start[held], [g.rows(inside) for g in made])
        p = np.clip(items.predict([g.rows(outside) for g in made]), 1e-6, 1 - 1e-6)
        y = score[outside]
        loss[outside] = -(trials[outside] * (y * np.log(p) + (1 - y) * np.log1p(-p))).sum(axis=1)
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", default=None, help="some of the variants, separated by semicolons; the first is compared to"
    )
    parser.add_argument("--round", type=int, choices=(1, 2), default=2)
    arguments = parser.parse_args()
    chosen = FIRST_ROUND if arguments.round == 1 else SECOND_ROUND
    if arguments.only is not None:
        chosen = {name: VARIANTS[name] for name in arguments.only.split(";")}

    data = featurize(select_split(read_dataset(arguments.data), "train"), Encoder())
    rng = np.random.default_rng(arguments.seed)
    task, fold = data["task"].values.astype(str), np.empty(data.sizes["query"], dtype=int)
    for name in np.unique(task):
        of_task = np.flatnonzero(task == name)
        fold[of_task] = rng.permutation(np.arange(len(of_task)) % FOLDS)
    score, trials = np.nan_to_num(data["score"].values), data["trials"].values.astype(float)
    starts = {
        traits: {h: point_abilities(score[fold != h], trials[fold != h], traits) for h in range(FOLDS)}
        for traits in sorted({variant.traits for variant in chosen.values()})
    }
    count, rows, first = trials.sum(axis=1), {}, None
    for name, variant in chosen.items():
        began = time.perf_counter()

        def groups(inside: np.ndarray, settings: Variant = variant) -> list[FeatureGroup]:
            return feature_groups(data, inside, settings)

        loss = held_out_loss(data, fold, groups, starts[variant.traits])
        first = loss if first is None else first
        drawn = np.random.default_rng(arguments.seed).integers(len(loss), size=(RESAMPLES, len(loss)))
        differences = (loss - first)[drawn].sum(axis=1) / count[drawn].sum(axis=1)
        lower, upper = np.quantile(differences, [0.025, 0.975])
        rows[name] = {
            "log_loss": loss.sum() / count.sum(),
            "difference": (loss - first).sum() / count.sum(),
            "lower": lower,
            "upper": upper,
            "seconds": round(time.perf_counter() - began, 1),
        }
        print(name, {key: round(float(value), 4) for key, value in rows[name].items()}, flush=True)
    print(pd.DataFrame(rows).T.round(4).to_string())
    target = RESULTS / f"feature-choice-{arguments.data.name}-round-{arguments.round}.json"
    content = {
        "data": arguments.data.name,
        "seed": arguments.seed,
        "folds": FOLDS,
        **provenance(),
        "variants": rows,
    }
    with atomic_path(target) as temporary:
        temporary.write_text(json.dumps(content, indent=1, default=float) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""A model to ship, from several linked sources: fitted jointly, compared with separate fits, thinned, and described by a card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from bayes_irt_router.data.canonical import select_split
from bayes_irt_router.data.encoder import TextEncoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.data.linking import (
    LinkedLLM,
    aliases,
    declined,
    joined,
    llm_sources,
    of_source,
    on_one_side,
    shared_queries,
    source_names,
)
from bayes_irt_router.evaluation.link_checks import LinkCheck, expected_accuracies, link_checks, taken_apart
from bayes_irt_router.evaluation.linked_fits import (
    TOLERANCE,
    SourceScores,
    fitted_once,
    source_scores,
    training,
)
from bayes_irt_router.inference.fitting import fit
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.population import without_queries
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.shipped import REFERENCE
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.report.model_card import CardFacts, model_card

CARD = "README.md"
LONGER = 2  # times as many draws for a source's own fit that fails the convergence gate; a joint one gets what it was given


@dataclass(frozen=True)
class ReferenceSettings:
    """How the reference model is made.

    Attributes:
        model: of the fits.
        sampler: of each source's own fit.
        joint_sampler: of the joint fit, which takes by far the longest; None is that of the others.
        kept_draws: how many draws ship.
        landmarks: of the feature maps.
        check_sampler: of the fits in which a linked LLM is taken apart; they only need to be usable.
        check_queries: that these are fitted to; 0 leaves the checks out.
        assume_output_tokens: in fits of sources without any counts.
        seed: of everything random.
    """

    model: MIRT
    sampler: NUTS
    joint_sampler: NUTS | None = None
    kept_draws: int = 200
    landmarks: int = 400
    check_sampler: NUTS = NUTS(draws=300, tune=300)  # noqa: RUF009  (frozen)
    check_queries: int = 1200
    assume_output_tokens: int = 200
    seed: int = 0


def linked_data(
    sources: Mapping[str, xr.Dataset],
    linked: Sequence[LinkedLLM],
    encoder: TextEncoder,
    cache_dir: Path | None = None,
) -> tuple[xr.Dataset, dict[str, int]]:
    """The sources as one featurized dataset with a split that no pair of shared queries straddles, and what `declined` counts."""
    data = featurize(joined(sources, linked), encoder, cache_dir)
    pairs = shared_queries(data)
    return on_one_side(data, pairs), declined(data, pairs)


def build_reference(
    data: xr.Dataset,
    shared: Mapping[str, int],
    linked: Sequence[LinkedLLM],
    settings: ReferenceSettings,
    *,
    output: Path,
    runs: Path,
    origin: Mapping[str, str],
    command: str,
    commit: str,
    progress: bool = True,
) -> list[Path]:
    """Fit, judge and write what ships: ``output/reference``, or one folder a source if the joint fit fails the gate or is worse.

    Worse means: its log loss on a source's held-out queries is more than 0.005 above that of the source's own fit. A source's own fit
    that fails the gate is made again with twice the draws.

    Args:
        data: from `linked_data`.
        shared: from `linked_data`.
        linked: the LLMs that link the sources.
        settings: of the fits.
        output: folder of models that ship.
        runs: folder of complete fits; those that are there already and belong to these data are not made again.
        origin: one sentence on each source.
        command: that made the model, for the card.
        commit: of the code.
        progress: whether to show progress bars (standard error).

    Returns:
        The folders that were written.
    """
    train, test = training(data), select_split(data, "test")
    sources = source_names(train)

    def assumed(part: xr.Dataset) -> int | None:
        counted = "output_tokens" in part and bool(np.isfinite(part["output_tokens"].values).any())
        return None if counted else settings.assume_output_tokens

    def sampled(part: xr.Dataset, sampler: NUTS) -> Posterior:
        return fit(
            settings.model,
            part,
            sampler,
            seed=settings.seed,
            landmarks=settings.landmarks,
            assume_output_tokens=assumed(part),
            progress=progress,
        )

    def once(name: str, part: xr.Dataset, sampler: NUTS) -> Posterior:
        expected = {
            "model": settings.model.to_dict(),
            "sampler": sampler.for_answers(int(part["trials"].sum())).to_dict(),
            "seed": settings.seed,
            "encoder": {"revision": part["embedding"].attrs.get("encoder_revision", "")},
            # As many as `fit_feature_map` takes of so many queries.
            "feature_map": {"landmarks": min(settings.landmarks, max(2, part.sizes["query"] // 4))},
            "cost": {"assumed_output_tokens": assumed(part)},
        }
        return fitted_once(runs / name, part, lambda own: sampled(own, sampler), expected, commit)

    def ready(name: str, part: xr.Dataset) -> Posterior:
        """What ships is what is judged: thinned, written and read again."""
        joint_sampler = settings.joint_sampler or settings.sampler
        full = once(name, part, joint_sampler if name == REFERENCE else settings.sampler)
        if name != REFERENCE and not full.gate.passed:
            longer = replace(settings.sampler, draws=LONGER * settings.sampler.draws)
            full = once(f"{name}-longer", part, longer)
        told = {
            "sources": source_names(part),
            "llm_sources": llm_sources(part),
            "aliases": aliases(linked, full.llm),
            "notes": _notes(source_names(part), linked),
        }
        full = replace(full, record=full.record | told)
        save(without_queries(full, settings.kept_draws), runs / f"{name}-thinned")
        return load(runs / f"{name}-thinned")

    joint = ready(REFERENCE, train)
    separate = {source: ready(source, of_source(train, source)) for source in sources}
    scores = source_scores(test, joint, separate, settings.seed)
    good = joint.gate.passed and all(one.joint_is_as_good for one in scores.values())
    facts = CardFacts(
        REFERENCE,
        origin,
        train,
        test,
        shared,
        [one.name for one in linked],
        scores,
        ("separate", "a fit of the source alone"),
        None,
        [],
        _verdict(joint, scores),
        landmarks_of_one(joint),
        command,
        commit,
    )
    if not good:
        return [
            _write(output, separate[source], _separate_facts(facts, source, separate[source]))
            for source in sources
        ]
    checks: list[LinkCheck] = []
    for one in linked if settings.check_queries else ():
        part = taken_apart(train, one.name, settings.check_queries, settings.seed)
        apart = once(f"without-{one.name}", part, settings.check_sampler)
        checks += link_checks(test, joint, one.name, apart, settings.seed)
    accuracies = expected_accuracies(joint, test, train)
    return [_write(output, joint, replace(facts, accuracies=accuracies, checks=checks))]


def landmarks_of_one(posterior: Posterior) -> int:
    """Landmarks whose embedding is that of a single text: of unit norm, which a mean of different ones never is."""
    dims = posterior.tree["queries"].sizes["embedding_dim"]
    norm = np.linalg.norm(posterior.feature_map.landmarks[:, :dims].astype(np.float64), axis=1)
    return int((norm > 1 - 1e-5).sum())


def _notes(sources: Sequence[str], linked: Sequence[LinkedLLM]) -> list[str]:
    """What whoever reads the table of LLMs must know."""
    if len(sources) < 2:
        return []
    return [
        f"LLMs of {' and '.join(sources)} are tied together by {len(linked)} LLMs that answered in both: across sources, compare intervals "
        "and not the order, and read the card on the link."
    ]


def _verdict(joint: Posterior, scores: Mapping[str, SourceScores]) -> str:
    if not joint.gate.passed:
        worst = joint.gate.table
        return (
            f"The joint fit of all sources fails the convergence gate (largest r-hat {worst['r_hat'].max():.2f}, smallest ESS "
            f"{worst['ess_bulk'].min():.0f}), so each source ships with a model of its own."
        )
    lost = [source for source, one in scores.items() if not one.joint_is_as_good]
    if lost:
        return f"The joint fit of all sources predicts {', '.join(lost)} worse by more than {TOLERANCE}, so each source ships with its own."
    return f"The joint fit passes the convergence gate, and predicts no source worse than its own fit by more than {TOLERANCE} of log loss."


def _separate_facts(facts: CardFacts, source: str, posterior: Posterior) -> CardFacts:
    """The card of a source's own model; the joint fit stands where the separate one stood."""
    one = facts.scores[source]
    turned = replace(
        one.separate_minus_joint,
        difference=-one.separate_minus_joint.difference,
        lower=-one.separate_minus_joint.upper,
        upper=-one.separate_minus_joint.lower,
    )
    return replace(
        facts,
        name=source,
        train=of_source(facts.train, source),
        test=of_source(facts.test, source),
        origin={source: facts.origin[source]},
        linked=[],
        scores={source: SourceScores(one.queries, one.separate, one.joint, turned)},
        compared=("joint", "a fit of all sources together"),
        landmarks_of_one=landmarks_of_one(posterior),
    )


def _write(output: Path, posterior: Posterior, facts: CardFacts) -> Path:
    folder = output / facts.name
    save(posterior, folder)
    with atomic_path(folder / CARD) as temporary:
        temporary.write_text(model_card(posterior, facts), encoding="utf-8", newline="\n")
    return folder

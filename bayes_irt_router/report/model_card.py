"""The card of a model that ships: what it is, how good it is, what it is not for; written from measured values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd
import xarray as xr

from bayes_irt_router.data.linking import source_names
from bayes_irt_router.evaluation.link_checks import LEVEL, LinkCheck, widening
from bayes_irt_router.evaluation.linked_fits import SourceScores
from bayes_irt_router.inference.answer_length_convergence import answer_length_convergence
from bayes_irt_router.inference.posterior import Posterior

SCORES = ("log_loss", "brier", "auc", "ece", "ece_replicated_95", "calibration_slope", "coverage_89")
NOT_FOR = (
    "ranking LLMs in general: abilities are relative to these LLMs, these tasks and these prompts, and their intervals belong to them;",
    "comparing LLMs of different sources beyond what the link section below supports: few LLMs tie the sources together;",
    "prompts unlike the tasks above (other languages, long documents, tools, images, dialogue): `familiarity` is low there, and "
    "`--min-familiarity` with `--fallback` keeps such prompts away from the model;",
    "versions of an LLM other than the ones that were asked, other sampling settings, or today's prices: see `birt calibrate` and "
    "`birt route --prices`;",
    "decisions about people, or anything in which a wrong answer does harm and nobody looks at it.",
)


@dataclass(frozen=True, eq=False)
class CardFacts:
    """What a card tells beside what stands in the model.

    Attributes:
        name: of the model folder.
        origin: one sentence on each source's origin and licence, by name.
        train: what was fitted, with the coordinate ``source``.
        test: what was held out.
        shared: queries taken from training because a held-out one asks the same, by reason.
        linked: the LLMs that link the sources.
        scores: held-out scores by source; ``joint`` is the model of this card, ``separate`` the one it is compared with.
        compared: name of the latter and what it is, in words.
        accuracies: from `link_checks.expected_accuracies`; None where there is no link.
        checks: from `link_checks.link_checks`.
        verdict: one sentence: why this model ships and not another.
        landmarks_of_one: landmarks that stand for a single training query.
        command: that made the model.
        commit: of the code.
    """

    name: str
    origin: Mapping[str, str]
    train: xr.Dataset
    test: xr.Dataset
    shared: Mapping[str, int]
    linked: Sequence[str]
    scores: Mapping[str, SourceScores]
    compared: tuple[str, str]
    accuracies: pd.DataFrame | None
    checks: Sequence[LinkCheck]
    verdict: str
    landmarks_of_one: int
    command: str
    commit: str


def model_card(posterior: Posterior, facts: CardFacts) -> str:
    """The card as Markdown."""
    record = posterior.record
    model, sampler = record["model"], record["sampler"]
    lengths = answer_length_convergence(posterior)
    parts = [
        f"# {facts.name}",
        f"A {record['kind'].upper()} with {model['traits']} traits, fitted to {record['data']['responses']:,} scored answers of "
        f"{record['data']['llms']} LLMs. {facts.verdict} It holds {posterior.size} draws of population parameters and abilities, and the "
        "feature map: no query, no text, no answer, and nothing about a single training query.",
        f'```\nbirt route "How many primes are there below 100?" --model models/{facts.name}\n```',
        "## Data",
        _data_table(facts),
        *(f"- `{name}`: {sentence}" for name, sentence in facts.origin.items()),
        "A task is a task of one source: the same question is prompted differently elsewhere. "
        "Queries that ask the same are on one side of the split. Taken from training for that: "
        f"{'; '.join(f'{count} queries, {reason}' for reason, count in facts.shared.items()) or 'none'}.",
        f"Linked LLMs, one price each: {', '.join(facts.linked) or 'none'}.",
        "## Model and priors",
        "The equations are in the repository's README; priors are on these scales:",
        markdown_table(pd.DataFrame(list(model["priors"].items()), columns=["prior", "scale"])),
        "## Diagnostics",
        f"NUTS ({sampler['backend']}), {sampler['chains']} chains of {sampler['draws']:,} draws after {sampler['tune']:,}, seed "
        f"{record['seed']}, {record['seconds']:,.0f} s on {record['device']}. {posterior.gate.verdict}",
        markdown_table(posterior.gate.summary()),
        *([] if lengths is None else [lengths.verdict]),
        f"{facts.landmarks_of_one} of {record['feature_map']['landmarks']} landmarks of the feature map stand where one training "
        "query's embedding stands; the others are means of several.",
        "## Held-out scores",
        "Of the model as it ships, with its thinned draws, on queries that were not fitted, over all observed answers:",
        _score_table(facts),
        f"`{facts.compared[0]}` is {facts.compared[1]}, on the same split. The last column is its log loss minus that of this model, with "
        "its 95 % interval over queries; positive is better for this model.",
        *_link_section(facts),
        "## Not for",
        *(f"- {one}" for one in NOT_FOR),
        "## How it was made",
        f"Fitted at commit {record.get('commit') or 'unknown'}, judged and written at {facts.commit or 'unknown'}, {record['fitted']}, "
        f"{', '.join(f'{name} {number}' for name, number in record['versions'].items())}:",
        f"```\n{facts.command}\n```",
    ]
    return _paragraphs(parts)


def markdown_table(frame: pd.DataFrame) -> str:
    """A table; numbers with four significant digits.

    >>> print(markdown_table(pd.DataFrame({"a": ["x|y"], "b": [0.123456]})))
    | a | b |
    |---|---|
    | x\\|y | 0.1235 |
    """

    def shown(value: object) -> str:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        return text.replace("|", "\\|")

    rows = [list(map(str, frame.columns)), *(list(map(shown, row)) for row in frame.itertuples(index=False))]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * frame.shape[1], *lines[1:]])


def _data_table(facts: CardFacts) -> str:
    rows = []
    for source in source_names(facts.train):
        for task in dict.fromkeys(facts.train["task"].values.tolist()):
            inside = (facts.train["task"].values == task) & (facts.train["source"].values == source)
            if not inside.any():
                continue
            answers = facts.train["trials"].values[inside]
            held = facts.test["task"].values == task
            rows.append(
                {
                    "task": task,
                    "queries": int(inside.sum()),
                    "held out": int(held.sum()),
                    "LLMs": int((answers > 0).any(axis=0).sum()),
                    "answers": int(answers.sum()),
                }
            )
    return markdown_table(pd.DataFrame(rows))


def _score_table(facts: CardFacts) -> str:
    rows = []
    for source, one in facts.scores.items():
        for name, scores in (("this model", one.joint), (facts.compared[0], one.separate)):
            difference = one.separate_minus_joint
            told = f"{difference.difference:+.4f} ({difference.lower:+.4f}, {difference.upper:+.4f})"
            rows.append(
                {"source": source, "queries": one.queries, "fit": name}
                | {metric: float(scores[metric]) for metric in SCORES}
                | {"difference": "" if name == "this model" else told}
            )
    return markdown_table(pd.DataFrame(rows))


def _link_section(facts: CardFacts) -> list[str]:
    if facts.accuracies is None:
        return []
    sources = list(facts.scores)
    widths = widening(facts.accuracies, sources)
    told = "; ".join(
        f"{source}: {100 * own:.1f} points for LLMs that answered there, {100 * across:.1f} for the others"
        for source, (own, across) in widths.items()
    )
    shown = pd.DataFrame({"LLM": facts.accuracies["llm"]})
    for source in sources:
        frame = facts.accuracies
        interval = [
            f"{100 * m:.1f} ({100 * low:.1f} to {100 * high:.1f}){'' if answers else ' *'}"
            for m, low, high, answers in zip(
                frame[f"{source} mean"],
                frame[f"{source} lower"],
                frame[f"{source} upper"],
                frame[f"{source} answers"],
                strict=True,
            )
        ]
        shown[f"accuracy % on {source}"] = interval
    parts = [
        "## The link between the sources",
        f"Expected accuracy on the held-out queries of each source, with its {100 * LEVEL:g} % interval over the parameters. "
        f"Median width of the intervals, {told}.",
    ]
    if facts.checks:
        held = sum(one.lower <= one.observed <= one.upper for one in facts.checks)
        rows = [
            {
                "LLM taken apart": one.llm,
                "predicted on": one.source,
                "observed %": f"{100 * one.observed:.1f}",
                "predicted %": f"{100 * one.mean:.1f} ({100 * one.lower:.1f} to {100 * one.upper:.1f})",
                "log loss": one.log_loss,
                "log loss, linked": one.log_loss_linked,
            }
            for one in facts.checks
        ]
        parts += [
            "Each linked LLM was also taken apart, in a fit to a sample of the training queries, and predicted where only its other "
            "half had answered, from the remaining links. "
            f"{held} of {len(facts.checks)} {100 * LEVEL:g} % intervals hold what was observed:",
            markdown_table(pd.DataFrame(rows)),
        ]
    return [*parts, "All LLMs; a star marks what has come across the link:", markdown_table(shown)]


def _paragraphs(parts: Sequence[str]) -> str:
    """Blank lines between all parts but the items of a list."""
    text = parts[0]
    for before, part in pairwise(parts):
        text += ("\n" if before.startswith("- ") and part.startswith("- ") else "\n\n") + part
    return text + "\n"

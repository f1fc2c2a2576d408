"""The page put together: text, pictures, numbers and a small program, all in one file."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from bayes_irt_router.inference.diagnostics import CELL_SHARE, CHAINS, DIVERGENT, ESS, R_HAT, R_HAT_CELL
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.page.held_out import HeldOut
from bayes_irt_router.report.page.pictures import Picture
from bayes_irt_router.report.page.routed_queries import RoutedQueries
from bayes_irt_router.report.tables import column_texts, interval_text, llm_frame
from bayes_irt_router.report.task_accuracy import probability_best_by_task, task_accuracy

SECTIONS = {
    "fit": "Is the fit good enough to act on?",
    "abilities": "What can each LLM do?",
    "best": "Where is each LLM the best?",
    "promises": "Does the model keep its promises?",
    "queries": "What are the queries like?",
}

CRITERIA = (
    f"The gate asks for at least {CHAINS} chains; r-hat of at most {R_HAT} for every scalar and {CELL_SHARE:.0%} of the cells, and of "
    f"at most {R_HAT_CELL} for every cell; bulk and tail ESS of at least {ESS:.0f}; and at most {DIVERGENT:.1%} divergent draws. Below is "
    "the worst of each sort of quantity."
)
TRAINING_CRITERIA = (
    "Training has come to rest if every network got better after its first pass, and if it stopped because no network's validation log "
    "loss got better, or that no longer fell in the last tenth of the passes. The draws are independent, so there is no r-hat. The "
    "network spread is the SD between networks in units of the posterior SD within one: at 1, half of the variance is a matter of which "
    "network one asks."
)


def report_page(
    posterior: Posterior,
    title: str,
    routed: RoutedQueries,
    pictures: Sequence[Picture],
    held: HeldOut | None = None,
    *,
    level: float = 0.89,
) -> str:
    """The report as HTML. Names and texts are escaped, the page may load nothing, and only its own program may run.

    Args:
        posterior: the fitted model.
        title: shown on top, such as the model folder's name.
        routed: the queries of the sections that react to the reader.
        pictures: in the order of their sections.
        held: for the table of scores.
        level: of the intervals.
    """
    from jinja2 import Environment, StrictUndefined

    folder = files("bayes_irt_router.report.page")
    style, program, template = (
        (folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "page.html")
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    return environment.from_string(template).render(
        title=title,
        style=style,
        program=program,
        program_hash=f"sha256-{digest}",
        gate=_gate(posterior),
        facts=_facts(posterior),
        llms=_llms(posterior, level),
        tasks=_tasks(posterior),
        scores=_scores(held),
        held=held is not None,
        seen=held is not None and held.seen,
        routed=routed,
        routed_json=routed.to_dict(),
        sections=SECTIONS,
        pictures={name: [one for one in pictures if one.section == name] for name in SECTIONS},
        notes=_notes(posterior, held, routed),
        level=f"{100 * level:g} %",
        scale=np.format_float_positional(routed.scale_usd, precision=2, fractional=False, trim="-"),
    )


def _gate(posterior: Posterior) -> dict[str, Any]:
    gate = posterior.gate
    return {
        "passed": gate.passed,
        "verdict": gate.verdict,
        "criteria": TRAINING_CRITERIA if gate.training else CRITERIA,
        "table": _rows(gate.summary()),
    }


def _rows(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Heads and rows of cells, as the terminal shows them."""
    columns = [column_texts(frame[name]) for name in frame.columns]
    return {
        "heads": [str(name).replace("_", " ") for name in frame.columns],
        "rows": [list(row) for row in zip(*columns, strict=True)],
    }


def _facts(posterior: Posterior) -> list[tuple[str, str]]:
    record = posterior.record
    data, sampler = record["data"], record["sampler"]
    return [
        ("Model", f"{record['kind']}, {record['model']['traits']} traits"),
        ("Data", f"{data['queries']:,} queries × {data['llms']} LLMs, {data['responses']:,} responses"),
        (
            "Sampler",
            f"variational inference, {sampler['networks']} networks"
            if record["kind"] == "nirt"
            else f"NUTS ({sampler['backend']}), {sampler['chains']} chains of {sampler['draws']:,} draws",
        ),
        ("Draws kept", f"{posterior.size:,}"),
        ("Fitted", str(record["fitted"])[:10]),
    ]


def _llms(posterior: Posterior, level: float) -> list[dict[str, Any]]:
    """The LLMs as :func:`llm_frame` orders them, with the places of their intervals on a common scale in percent."""
    frame = llm_frame(posterior, level)
    low, high = float(frame["lower"].min()), float(frame["upper"].max())

    def place(value: float) -> float:
        return round(100 * (value - low) / max(high - low, 1e-9), 2)

    return [
        {
            "llm": row["llm"],
            "sources": row.get("sources", ""),
            "answers": f"{row['answers']:,}",
            "mean_score": f"{100 * row['mean_score']:.1f}",
            "ability": f"{row['ability']:.2f}",
            "interval": interval_text(row["lower"], row["upper"]),
            "left": place(row["lower"]),
            "width": round(place(row["upper"]) - place(row["lower"]), 2),
            "middle": place(row["ability"]),
        }
        for row in frame.to_dict(orient="records")
    ]


def _tasks(posterior: Posterior) -> list[dict[str, str]]:
    """For each task the most probably best LLM, and the next."""
    accuracy = task_accuracy(posterior)
    best, mean = probability_best_by_task(accuracy), accuracy.mean(("chain", "draw"))
    found = []
    for k, task in enumerate(best["task"].values):
        order = best.values[k].argsort(kind="stable")[::-1][:2]
        names = [f"{best['llm'].values[j]} ({best.values[k, j]:.2f})" for j in order]
        found.append(
            {
                "task": str(task),
                "first": names[0],
                "p": f"{100 * mean.values[k, order[0]]:.0f} %",
                "second": names[1] if len(names) > 1 else "",
            }
        )
    return found


def _scores(held: HeldOut | None) -> list[dict[str, Any]]:
    if held is None:
        return []
    return [
        {"title": title, **_rows(frame.reset_index(names="") if k == 0 else frame)}
        for k, (title, frame) in enumerate(held.evaluation.tables())
    ]


def _notes(posterior: Posterior, held: HeldOut | None, routed: RoutedQueries) -> list[str]:
    notes = list(posterior.record.get("notes", []))
    notes += [f"Cost: {note}" for note in posterior.record["cost"]["notes"]]
    notes += [] if held is None else list(held.evaluation.notes)
    return [*notes, *routed.notes]

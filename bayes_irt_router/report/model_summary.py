"""A fitted model told in tables and as one JSON object: `birt info`, and the end of `birt fit`."""

from typing import Any

import pandas as pd
from rich.console import Console

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.json_text import plain
from bayes_irt_router.report.tables import gate_table, llm_frame, print_table

SCHEMA_VERSION = 1


def model_json(posterior: Posterior, level: float = 0.89) -> dict[str, Any]:
    """What ``birt info --json`` prints: the record of the fit, the gate, and the LLMs by falling ability.

    ``llms`` is a list of ``{llm, answers, mean_score, ability: {mean, lower, upper, level}, ...}``, the
    ability that of the general trait.
    """
    gate = posterior.gate
    llms = [
        {
            **{str(name): row[name] for name in row if name not in ("ability", "lower", "upper")},
            "ability": {"mean": row["ability"], "lower": row["lower"], "upper": row["upper"], "level": level},
        }
        for row in llm_frame(posterior, level).to_dict(orient="records")
    ]
    content = {
        "schema_version": SCHEMA_VERSION,
        **posterior.record,
        "draws_kept": posterior.size,
        "texts_kept": posterior.texts is not None,
        "gate": {
            "passed": gate.passed,
            "verdict": gate.verdict,
            "chains": gate.chains,
            "divergent": gate.divergent,
            "complaints": list(gate.complaints),
            "summary": gate.summary().to_dict(orient="records"),
        },
        "llms": llms,
    }
    return plain(content)


def print_model(posterior: Posterior, console: Console, level: float = 0.89) -> None:
    """Print what a model is, its priors, its LLMs, the convergence gate, and the notes on costs."""
    record = posterior.record
    facts = pd.DataFrame(_facts(posterior), columns=["", "value"])
    print_table("Model", facts, console)
    priors = record["model"]["priors"]
    print_table(
        "Prior scales", pd.DataFrame({"prior": list(priors), "scale": list(priors.values())}), console
    )
    llms = llm_frame(posterior, level).rename(
        columns={"input_price_per_million": "input USD/M", "output_price_per_million": "output USD/M"}
    )
    caption = f"Ability: the general trait, in SDs of these LLMs, with its {100 * level:g}% interval."
    print_table("LLMs", llms, console, caption)
    console.print(gate_table(posterior.gate))
    for note in record["cost"]["notes"]:
        console.print(f"Cost: {note}", markup=False)
    for note in record.get("notes", []):
        console.print(note, markup=False)


def _facts(posterior: Posterior) -> list[tuple[str, str]]:
    record = posterior.record
    model, sampler, data = record["model"], record["sampler"], record["data"]
    encoder, feature_map = record["encoder"], record["feature_map"]
    splits = f" (split {', '.join(data['splits'])})" if data["splits"] else ""
    return [
        ("kind", f"{record['kind']}, {model['traits']} traits"),
        (
            "LLM covariates",
            ", ".join([*model["covariates"], *(["family"] if model["families"] else [])]) or "none",
        ),
        (
            "data",
            f"{data['queries']:,} queries x {data['llms']} LLMs, {data['responses']:,} responses{splits}",
        ),
        ("fingerprint", data["fingerprint"][:16]),
        ("encoder", f"{encoder['name']}, revision {encoder['revision']}"),
        (
            "features",
            f"{len(feature_map['surface_features'])} of the surface, {feature_map['landmarks']} landmarks",
        ),
        (
            "sampler",
            f"NUTS ({sampler['backend']}), {sampler['chains']} chains of {sampler['draws']:,} draws after "
            f"{sampler['tune']:,}, seed {record['seed']}",
        ),
        ("draws kept", f"{posterior.size:,}"),
        (
            "time",
            f"{record['seconds']:,.0f} s on {record['device']}; {record['leapfrog_steps']:.0f} steps a draw",
        ),
        ("fitted", f"{record['fitted']} on {record['machine']}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in record["versions"].items())),
        ("texts", "kept" if posterior.texts is not None else "not kept"),
        *_changes(record),
    ]


def _changes(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What happened to the list of LLMs after the fit; nothing is said where nothing happened."""
    told = [
        f"{one['llm']} {'placed anew' if one['update'] else 'placed'} from {one['answers']} answers"
        for one in record.get("calibrations", [])
    ]
    for change in record.get("changes", []):
        for what, names in change.items():
            told.append(f"{what}: {', '.join(map(str, names))}")
    return [("since the fit", "; ".join(told))] if told else []

"""A fitted model told in tables and as one JSON object: `birt info`, and the end of `birt fit`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
from rich.console import Console

from bayes_irt_router.inference.answer_length_convergence import answer_length_convergence
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.ability_profile import profile_frame, profile_table
from bayes_irt_router.report.difficulty_table import difficulty_frame
from bayes_irt_router.report.json_text import plain
from bayes_irt_router.report.tables import gate_table, llm_frame, print_table
from bayes_irt_router.report.training_progress import some_passes, training_frame

SCHEMA_VERSION = 1
MOST_FEATURES = 20  # in print; JSON has all


def model_json(posterior: Posterior, level: float = 0.89) -> dict[str, Any]:
    """What ``birt info --json`` prints: the record of the fit, the gate, how the answer-length model converged, and the LLMs by
    falling ability.

    ``llms`` is a list of ``{llm, answers, mean_score, ability: {mean, lower, upper, level}, ...}``, the
    ability that of the general trait. Of a MIRT also ``difficulty``, a list of :func:`difficulty_frame`'s rows; of a NIRT ``abilities``,
    a list of :func:`profile_frame`'s, and ``training``, a list of :func:`training_frame`'s.
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
        "stacked": [one.record for one in posterior.stacked],
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
    if (lengths := answer_length_convergence(posterior)) is not None:
        content["answer_length"] = {"passed": lengths.passed, "verdict": lengths.verdict, **asdict(lengths)}
    if posterior.record["kind"] == "nirt":
        content["abilities"] = profile_frame(posterior, level).to_dict(orient="records")
        content["training"] = training_frame(posterior).to_dict(orient="records")
    else:
        content["difficulty"] = difficulty_frame(posterior, level).to_dict(orient="records")
    return plain(content)


def print_model(posterior: Posterior, console: Console, level: float = 0.89) -> None:
    """Print what a model is, its priors, its LLMs, the convergence gate and that of answer lengths, and the notes on costs."""
    record = posterior.record
    facts = pd.DataFrame(_facts(posterior), columns=["", "value"])
    print_table("Model", facts, console)
    priors = _prior_scales(record)
    print_table(
        "Prior scales", pd.DataFrame({"prior": list(priors), "scale": list(priors.values())}), console
    )
    llms = llm_frame(posterior, level).rename(
        columns={"input_price_per_million": "input USD/M", "output_price_per_million": "output USD/M"}
    )
    general = "the mean of all abilities" if record["kind"] == "nirt" else "the general trait"
    caption = f"Ability: {general}, in SDs of these LLMs, with its {100 * level:g}% interval."
    print_table("LLMs", llms, console, caption)
    if record["kind"] == "nirt":
        caption = (
            f"Abilities above and below the LLM's own mean whose {100 * level:g}% interval leaves it out."
        )
        print_table("Abilities", profile_table(posterior, level), console, caption)
        caption = "Negative ELBO an answer, and log loss of validation queries: mean, lowest and highest of the networks."
        print_table("Training", some_passes(training_frame(posterior)), console, caption)
    elif len(features := difficulty_frame(posterior, level)):
        caption = (
            f"Logits for one SD of a feature, or for a task; {100 * level:g}% intervals. All of them: --json."
        )
        print_table("What difficulty leans on", features.head(MOST_FEATURES), console, caption)
    console.print(gate_table(posterior.gate))
    if (lengths := answer_length_convergence(posterior)) is not None:
        console.print(lengths.verdict, markup=False)
    for note in record["cost"]["notes"]:
        console.print(f"Cost: {note}", markup=False)
    for note in record.get("notes", []):
        console.print(note, markup=False)


def _prior_scales(record: Mapping[str, Any]) -> dict[str, float]:
    model = record["model"]
    if "priors" in model:
        return dict(model["priors"])
    return {name: scale for name, scale in model.items() if name.endswith("_scale")}


def _sampler(record: Mapping[str, Any]) -> str:
    """How the posterior was found, in words."""
    sampler = record["sampler"]
    if record["kind"] == "nirt":
        return (
            f"variational inference, {sampler['networks']} networks, at most {sampler['passes']} passes, "
            f"seed {record['seed']}"
        )
    return (
        f"NUTS ({sampler['backend']}), {sampler['chains']} chains of {sampler['draws']:,} draws after "
        f"{sampler['tune']:,}, seed {record['seed']}"
    )


def _facts(posterior: Posterior) -> list[tuple[str, str]]:
    record = posterior.record
    model, data = record["model"], record["data"]
    encoder, feature_map = record["encoder"], record["feature_map"]
    splits = f" (split {', '.join(data['splits'])})" if data["splits"] else ""
    return [
        ("kind", f"{record['kind']}, {model['traits']} traits"),
        *_stacked(posterior),
        (
            "LLM covariates",
            ", ".join([*model.get("covariates", ()), *(["family"] if model.get("families") else [])])
            or "none",
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
            _sampler(record),
        ),
        ("draws kept", f"{posterior.size:,}"),
        (
            "time",
            f"{record['seconds']:,.0f} s on {record['device']}"
            + (f"; {record['leapfrog_steps']:.0f} steps a draw" if "leapfrog_steps" in record else ""),
        ),
        ("fitted", f"{record['fitted']} on {record['machine']}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in record["versions"].items())),
        ("texts", "kept" if posterior.texts is not None else "not kept"),
        *_changes(record),
    ]


def _stacked(posterior: Posterior) -> list[tuple[str, str]]:
    """What predicts together with the model; nothing is said where it predicts by itself."""
    kinds = [f"{one.record['kind']}, {one.record['model']['traits']} traits" for one in posterior.stacked]
    return [("stacked with", "; ".join(kinds))] if kinds else []


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

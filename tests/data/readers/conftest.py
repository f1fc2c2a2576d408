"""One small source of each format, made by hand after its documented layout: 3 queries x 2 LLMs, the same answers."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

LLMS = ("acme/big", "small-7b")
QUESTIONS = {"1": "What is 2 + 2?", "2": "Who wrote Faust, and when?", "3": 'Say "hi"\nin French.'}
SCORES = {("1", "acme/big"): 1, ("2", "acme/big"): 1, ("3", "acme/big"): 0, ("1", "small-7b"): 1,
          ("2", "small-7b"): 0, ("3", "small-7b"): 0}  # fmt: skip


def lines(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def document(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def irt_router(folder: Path) -> Path:
    rows = [
        {"question": QUESTIONS[q], "llm": m, "performance": s, "input_tokens": 10, "output_tokens": 20}
        for (q, m), s in SCORES.items()
    ]
    pd.DataFrame(rows).to_csv(folder / "train.csv", index=False)
    return folder / "train.csv"


def wide(folder: Path) -> pd.DataFrame:
    return pd.DataFrame(
        {"sample_id": [f"gsm.{q}" for q in QUESTIONS], "prompt": QUESTIONS.values(), "eval_name": "gsm"}
        | {m: [float(SCORES[q, m]) for q in QUESTIONS] for m in LLMS}
        | {f"{m}|model_response": "text" for m in LLMS}
        | {f"{m}|total_cost": 0.001 for m in LLMS}
        | {"oracle_model_to_route_to": LLMS[0]}
    )


def routerbench(folder: Path) -> Path:
    wide(folder).to_parquet(folder / "bench.parquet")
    return folder / "bench.parquet"


def routellm(folder: Path) -> Path:
    table = {"prompt": QUESTIONS.values()} | {m: [bool(SCORES[q, m]) for q in QUESTIONS] for m in LLMS}
    pd.DataFrame(table).to_csv(folder / "gsm8k.csv", index=False)
    return folder / "gsm8k.csv"


def llmrouter(folder: Path) -> Path:
    rows = [
        {"task_name": "gsm", "query": QUESTIONS[q], "ground_truth": "4", "metric": "em", "model_name": m,
         "response": f"text {q}", "token_num": 30, "input_tokens": 10, "output_tokens": 20, "performance": float(s),
         "embedding_id": int(q), "user_id": None}
        for (q, m), s in SCORES.items()
    ]  # fmt: skip
    return lines(folder / "routing_train_data.jsonl", rows)


def llmrouterbench(folder: Path) -> Path:
    for m in LLMS:
        name = m.replace("/", "_")
        records = [
            {"index": int(q), "origin_query": text, "prompt": f"Question: {text}", "prediction": "4",
             "ground_truth": "4", "score": float(SCORES[q, m]), "prompt_tokens": 10, "completion_tokens": 20,
             "cost": 0.001}
            for q, text in QUESTIONS.items()
        ]  # fmt: skip
        path = folder / "results/bench/gsm/test" / name / "run.json"
        document(path, {"performance": 0.5, "model_name": m, "records": records})
    return folder / "results/bench"


def embedllm(folder: Path) -> Path:
    rows = [
        {"prompt_id": q, "model_id": LLMS.index(m), "category_id": 0, "label": s, "model_name": m, "category": "gsm",
         "prompt": QUESTIONS[q]}
        for (q, m), s in SCORES.items()
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "train.csv", index=False)
    return folder / "train.csv"


def py_irt(folder: Path) -> Path:
    return lines(
        folder / "data.jsonl",
        [{"subject_id": m, "responses": {q: SCORES[q, m] for q in QUESTIONS}} for m in LLMS],
    )


def lm_eval(folder: Path) -> Path:
    for m in LLMS:
        rows = [
            {"doc_id": int(q), "doc": {"question": text, "answer": "4"}, "target": "4",
             "arguments": {"gen_args_0": {"arg_0": f"Q: {text}", "arg_1": {"until": ["\n"]}}}, "resps": [["4"]],
             "filtered_resps": ["4"], "filter": "strict-match", "metrics": ["exact_match"],
             "doc_hash": f"d{q}", "exact_match": float(SCORES[q, m])}
            for q, text in QUESTIONS.items()
        ]  # fmt: skip
        lines(folder / m.replace("/", "__") / "samples_gsm8k_2025-01-02T03-04-05.678.jsonl", rows)
    return folder


def inspect_content(llm: str) -> dict:
    samples = [
        {"id": int(q), "epoch": 1, "input": text, "target": "4", "messages": [],
         "scores": {"match": {"value": "C" if SCORES[q, llm] else "I", "answer": "4"}},
         "model_usage": {llm: {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}}}
        for q, text in QUESTIONS.items()
    ]  # fmt: skip
    return {"version": 2, "status": "success", "eval": {"task": "gsm", "model": llm}, "samples": samples}


def inspect(folder: Path) -> Path:
    for m in LLMS:
        document(folder / f"{m.replace('/', '_')}.json", inspect_content(m))
    return folder


def inspect_archive(folder: Path) -> Path:
    for m in LLMS:
        content = inspect_content(m)
        with zipfile.ZipFile(folder / f"{m.replace('/', '_')}.eval", "w", zipfile.ZIP_DEFLATED) as archive:
            samples = content.pop("samples")
            archive.writestr("header.json", json.dumps(content))
            archive.writestr("summaries.json", "[]")
            for one in samples:
                archive.writestr(f"samples/{one['id']}_epoch_1.json", json.dumps(one))
    return folder


def zeroeval(folder: Path) -> Path:
    for m in LLMS:
        rows = [
            {"session_id": f"gsm#{q}", "id": q, "chat_history": [f"Answer: {text}"], "model_input": "n/a",
             "question": text, "output": ['{"reasoning": "", "answer": "4"}'], "generator": m, "configs": {},
             "dataset": "gsm", "matched": bool(SCORES[q, m])}
            for q, text in QUESTIONS.items()
        ]  # fmt: skip
        document(folder / "gsm" / f"{m.replace('/', '_')}.json", rows)
    return folder


def routerarena(folder: Path) -> Path:
    for m in LLMS:
        records = [
            {"global index": f"gsm_{q}", "prompt": text, "prediction": m,
             "generated_result": {"generated_answer": "4", "success": True, "finish_reason": "stop", "error": None,
                                  "token_usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}},
             "cost": 0.001, "accuracy": float(SCORES[q, m]), "for_optimality": m != LLMS[0]}
            for q, text in QUESTIONS.items()
        ]  # fmt: skip
        document(folder / f"{m.replace('/', '_')}.json", records)
    return folder


def long_rows(folder: Path) -> Path:
    rows = [
        {"prompt": QUESTIONS[q], "model_id": m, "score": s, "cost": 0.001} for (q, m), s in SCORES.items()
    ]
    return lines(folder / "answers.jsonl", rows)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "irt-router": irt_router,
    "routerbench": routerbench,
    "routellm": routellm,
    "llmrouter": llmrouter,
    "llmrouterbench": llmrouterbench,
    "embedllm": embedllm,
    "py-irt": py_irt,
    "lm-eval": lm_eval,
    "inspect": inspect,
    "inspect-archive": inspect_archive,
    "zeroeval": zeroeval,
    "routerarena": routerarena,
    "long": long_rows,
}


class Examples:
    """Makes the example of a format in a folder; knows what must come out of it."""

    names = tuple(BUILDERS)
    questions = QUESTIONS
    scores = SCORES

    @staticmethod
    def make(name: str, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return BUILDERS[name](folder)

    @staticmethod
    def queries(folder: Path) -> Path:
        """The texts for the format that has none."""
        return lines(folder / "queries.jsonl", [{"query_id": q, "text": t} for q, t in QUESTIONS.items()])

    wide = staticmethod(wide)
    inspect_content = staticmethod(inspect_content)
    lines = staticmethod(lines)
    document = staticmethod(document)


@pytest.fixture(scope="session")
def examples() -> Examples:
    return Examples()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `example` runs once for each."""
    if "example" in metafunc.fixturenames:
        metafunc.parametrize("example", Examples.names)

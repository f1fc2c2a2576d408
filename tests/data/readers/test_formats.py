"""What is particular to single formats: names from folders, several scores, what is ambiguous or missing."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from bayes_irt_router.data.readers.catalogue import format_named, read_source
from bayes_irt_router.errors import InputError


def read(name, source, **options):
    return read_source(source, format_named(name), **options)


def problems(name, source, **options):
    with pytest.raises(InputError) as caught:
        read(name, source, **options)
    return caught.value.problems


# Aliases


@pytest.mark.parametrize("llm", ["llm", "model", "model_name", "model_id"])
@pytest.mark.parametrize("score", ["score", "performance", "label"])
@pytest.mark.parametrize("text", ["text", "prompt", "query", "question"])
def test_columns_have_many_names(llm, score, text, tmp_path):
    pd.DataFrame({llm: ["a", "b"], score: [1, 0], text: "Why?", "cost": 0.5}).to_csv(
        tmp_path / "r.csv", index=False
    )
    for name in ("long", "irt-router"):
        data = read(name, tmp_path / "r.csv")
        assert data["score"].values.tolist() == [[1, 0]]
        assert data["cost_usd"].values.tolist() == [[0.5, 0.5]]


def test_numbers_too_large_to_be_whole_are_names_like_any_other(tmp_path):
    path = tmp_path / "r.jsonl"
    row = {"query_id": 1e300, "llm": "a", "score": 1, "prompt": "Why?"}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert read("long", path)["query"].values.tolist() == ["1e+300"]


def test_an_ambiguous_table_is_an_error_that_lists_the_readings(tmp_path):
    frame = pd.DataFrame(
        {"model": ["a", "b"], "model_name": ["x", "y"], "score": [1, 0], "label": [0, 1], "prompt": "Why?"}
    )
    frame.to_csv(tmp_path / "r.csv", index=False)
    found = problems("long", tmp_path / "r.csv")
    assert len(found) == 2
    assert "model (a, b, ...) or model_name (x, y, ...)" in found[0]
    assert "score (1, 0, ...) or label (0, 1, ...)" in found[1]


def test_two_columns_that_hold_the_same_are_one_reading(tmp_path):
    frame = pd.DataFrame({"model": ["a", "b"], "model_name": ["a", "b"], "score": [1, 0], "prompt": "Why?"})
    frame.to_csv(tmp_path / "r.csv", index=False)
    assert read("long", tmp_path / "r.csv")["llm"].values.tolist() == ["a", "b"]


# Answers


def test_every_problem_is_told_with_its_place(tmp_path):
    rows = ["model,score,prompt", "a,2,Why?", ",1,Why?", "b,yes,Why?", "c,,Why?", "d,1,"]
    (tmp_path / "r.csv").write_text("\n".join(rows) + "\n")
    found = "\n".join(problems("long", tmp_path / "r.csv"))
    assert "r.csv, data row 1 (a): the score is '2', which is out of range" in found
    assert "r.csv, data row 2: the LLM is missing" in found
    assert "r.csv, data row 3 (b): the score is 'yes', which is not a number" in found
    assert "r.csv, data row 4 (c): the score is missing" in found
    assert "r.csv, data row 5 (d): the text is missing" in found


def test_repeated_answers_are_trials_and_repeated_rows_an_error(tmp_path):
    frame = pd.DataFrame({"model": "a", "score": [1, 0, 1], "prompt": "Why?", "response": ["x", "y", "z"]})
    frame.to_csv(tmp_path / "r.csv", index=False)
    data = read("long", tmp_path / "r.csv")
    assert data["trials"].item() == 3
    assert data["score"].item() == pytest.approx(2 / 3)
    frame.assign(response="x").to_csv(tmp_path / "r.csv", index=False)
    assert "data row 3: exact duplicate" in problems("long", tmp_path / "r.csv")[0]


def test_one_name_cannot_have_two_texts(tmp_path):
    frame = pd.DataFrame({"prompt_id": "1", "model": ["a", "b"], "score": 1, "prompt": ["Why?", "How?"]})
    frame.to_csv(tmp_path / "r.csv", index=False)
    (found,) = problems("long", tmp_path / "r.csv")
    assert "data row 2 (b): the text of the query '1' is 'How?' here and 'Why?' before" in found


def test_a_question_of_two_tasks_is_two_queries(tmp_path):
    frame = pd.DataFrame({"model": "a", "score": [1, 0], "prompt": "Why?", "task": ["x", "y"]})
    frame.to_csv(tmp_path / "r.csv", index=False)
    assert read("long", tmp_path / "r.csv").sizes["query"] == 2


# Folders of tables


def test_irt_router_folder_with_queries_and_llms(tmp_path):
    for name, question in (("train", "Why?"), ("test", "How?")):
        frame = pd.DataFrame({"question": question, "llm": ["a", "b"], "performance": [1, 0.5]})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    pd.DataFrame({"question": ["Why?", "How?"], "task": ["x", "y"]}).to_csv(
        tmp_path / "query.csv", index=False
    )
    pd.DataFrame({"llm": ["a", "b"], "input_price": [1, 2], "description": ["good", "bad"]}).to_csv(
        tmp_path / "llm.csv", index=False
    )
    data = read("irt-router", tmp_path)
    found = {
        t: (task, s)
        for t, task, s in zip(data["text"].values, data["task"].values, data["split"].values, strict=True)
    }
    assert found == {"Why?": ("x", "train"), "How?": ("y", "test")}
    assert data["input_price_per_million"].values.tolist() == [1, 2]
    assert data["capabilities"].values.tolist() == ["good", "bad"]


def test_embedllm_folder_reads_the_splits_only(tmp_path):
    for name in ("train", "val", "test"):
        frame = pd.DataFrame(
            {
                "prompt_id": name,
                "model_id": [0, 1],
                "label": 1,
                "model_name": ["a", "b"],
                "prompt": f"Why {name}?",
            }
        )
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "model_order.csv").write_text("model_id\n0\n1\n")
    data = read("embedllm", tmp_path)
    assert sorted(data["split"].values) == ["test", "train", "val"]
    assert data["llm"].values.tolist() == ["a", "b"]


def test_llmrouter_reads_the_json_of_llms(examples, tmp_path):
    examples.make("llmrouter", tmp_path)
    llms = {
        "acme/big": {
            "size": "70B",
            "feature": "Good.",
            "input_price": 0.9,
            "output_price": 1.2,
            "model": "api/big",
        },
        "small-7b": {
            "size": "7B",
            "feature": "Fast.",
            "input_price": 0.1,
            "output_price": 0.2,
            "model": "api/small",
        },
    }
    examples.document(tmp_path / "default_llm.json", llms)
    data = read("llmrouter", tmp_path)
    assert data["parameters_billion"].values.tolist() == [70, 7]
    assert data["output_price_per_million"].values.tolist() == [1.2, 0.2]
    assert data["capabilities"].values.tolist() == ["Good.", "Fast."]
    alone = read("llmrouter", tmp_path / "routing_train_data.jsonl", llms=tmp_path / "default_llm.json")
    assert alone["input_price_per_million"].values.tolist() == [0.9, 0.1]


# Wide tables


def test_routerbench_as_csv_with_gaps(examples, tmp_path):
    frame = examples.wide(tmp_path)
    frame.loc[0, "small-7b"] = np.nan
    frame.to_csv(tmp_path / "bench.csv", index=False)
    data = read("routerbench", tmp_path / "bench.csv")
    assert data["trials"].sel(llm="small-7b").values.tolist() == [0, 1, 1]
    frame.drop(columns="small-7b").to_csv(tmp_path / "bench.csv", index=False)
    assert "small-7b|total_cost; add" in problems("routerbench", tmp_path / "bench.csv")[0]


def test_routerbench_without_costs_names_what_is_missing(examples, tmp_path):
    frame = examples.wide(tmp_path)
    frame = frame[[name for name in frame if "|" not in name]]
    frame.to_csv(tmp_path / "bench.csv", index=False)
    (found,) = problems("routerbench", tmp_path / "bench.csv")
    assert "<model>|total_cost" in found
    frame.assign(**{"other|total_cost": 1.0, "acme/big|total_cost": 1.0}).to_csv(
        tmp_path / "bench.csv", index=False
    )
    (found,) = problems("routerbench", tmp_path / "bench.csv")
    assert "costs or responses without scores, other|total_cost" in found


def test_routellm_with_responses_ignores_other_columns(tmp_path):
    frame = pd.DataFrame(
        {"prompt": ["Why?", "How?"], "answer": ["x", "y"], "gpt": [True, False], "gpt_response": "z"}
    )
    frame.to_csv(tmp_path / "r.csv", index=False)
    with pytest.warns(UserWarning, match="columns left out: answer"):
        data = read("routellm", tmp_path / "r.csv")
    assert data["llm"].values.tolist() == ["gpt"]
    assert data["score"].values.ravel().tolist() == [1, 0]


def test_routellm_does_not_leave_out_a_column_for_a_bad_cell(tmp_path):
    pd.DataFrame({"prompt": ["Why?", "How?"], "a": ["True", "Tru"], "b": [True, False]}).to_csv(
        tmp_path / "r.csv", index=False
    )
    (found,) = problems("routellm", tmp_path / "r.csv")
    assert "data row 2 (a): the score is 'Tru', which is not a number" in found


def test_a_wide_table_does_not_lose_an_llm_without_a_word(examples, tmp_path):
    frame = examples.wide(tmp_path).assign(other=[1.0, 0.0, None], note="x")
    frame.to_csv(tmp_path / "bench.csv", index=False)
    (found,) = problems("routerbench", tmp_path / "bench.csv")
    assert "bench.csv: other may be scores of an LLM" in found
    frame.drop(columns="other").to_csv(tmp_path / "bench.csv", index=False)
    with pytest.warns(UserWarning, match="columns left out: note"):
        read("routerbench", tmp_path / "bench.csv")
    pd.DataFrame({"prompt": ["Why?", "How?"], "a": True, "a_response": "x", "b": [False, True]}).to_csv(
        tmp_path / "r.csv", index=False
    )
    assert "r.csv: b may be scores of an LLM" in problems("routellm", tmp_path / "r.csv")[0]


# Folders of JSON


def test_llmrouterbench_takes_names_from_folders_and_runs_as_trials(examples, tmp_path):
    record = {"index": 0, "origin_query": "", "prompt": "Why?", "score": 1, "cost": 0.1}
    folder = tmp_path / "bench" / "math" / "hybrid" / "gpt"
    examples.document(folder / "1.json", {"performance": 1, "records": [record]})
    examples.document(folder / "2.json", {"performance": 0, "records": [record | {"score": 0}]})
    data = read("llmrouterbench", tmp_path / "bench")
    assert (data["llm"].item(), data["task"].item(), data["split"].item()) == ("gpt", "math", "hybrid")
    assert (data["text"].item(), data["trials"].item(), data["score"].item()) == ("Why?", 2, 0.5)


def samples(**changes):
    return {
        "doc_id": 0,
        "doc": {"question": "Why?"},
        "arguments": [["context", "a"]],
        "resps": [],
        "acc": 1.0,
    } | changes


def test_lm_eval_takes_the_llm_from_the_results_or_the_folder(examples, tmp_path):
    time = "2025-01-02T03-04-05.678"
    examples.lines(tmp_path / "org__name" / f"samples_arc_{time}.jsonl", [samples()])
    assert read("lm-eval", tmp_path)["llm"].item() == "org/name"
    examples.document(tmp_path / "org__name" / f"results_{time}.json", {"model_name": "org/name-v2"})
    assert read("lm-eval", tmp_path)["llm"].item() == "org/name-v2"


def test_lm_eval_with_several_scores_asks_which(examples, tmp_path):
    path = examples.lines(tmp_path / "m" / "samples_arc.jsonl", [samples(acc_norm=0.0)])
    assert "acc, acc_norm; choose one with --metric" in problems("lm-eval", path)[0]
    assert read("lm-eval", path, metrics=["acc_norm"])["score"].item() == 0
    assert "no score f1; choose from acc, acc_norm" in problems("lm-eval", path, metrics=["f1"])[0].replace(
        " or", ""
    )
    assert "fit several" in problems("lm-eval", path, metrics=["acc", "acc_norm"])[0]


def test_lm_eval_filters_are_readings(examples, tmp_path):
    rows = [
        samples(filter=name, metrics=["exact_match"], exact_match=score)
        for name, score in (("strict-match", 0.0), ("flexible-extract", 1.0))
    ]
    path = examples.lines(tmp_path / "m" / "samples_gsm8k.jsonl", rows)
    assert "exact_match,flexible-extract, exact_match,strict-match" in problems("lm-eval", path)[0]
    data = read("lm-eval", path, metrics=["exact_match,flexible-extract"])
    assert (data["score"].item(), data["trials"].item()) == (1, 1)


def test_lm_eval_text_is_the_question_or_else_the_context(examples, tmp_path):
    docs = [{"question": "Why?"}, {"question": "Why?", "query": "Q: Why?"}, {"sentence": "x"}]
    rows = [samples(doc_id=i, doc=doc, arguments=[["the context", " a"]]) for i, doc in enumerate(docs)]
    path = examples.lines(tmp_path / "m" / "samples_arc.jsonl", rows)
    assert read("lm-eval", path)["text"].values.tolist() == ["Why?", "the context", "the context"]


def test_inspect_letters_epochs_and_errors(examples, tmp_path):
    content = examples.inspect_content("acme/big")
    one = content["samples"][0]
    values = ["C", "P", "I", "N", True, 0.25]
    content["samples"] = [one | {"epoch": i, "scores": {"match": {"value": v}}} for i, v in enumerate(values)]
    content["samples"].append(one | {"epoch": 7, "scores": {}, "error": {"message": "timeout"}})
    path = examples.document(tmp_path / "log.json", content)
    with pytest.warns(UserWarning, match="left out 1 of 7 samples"):
        data = read("inspect", path)
    assert data["trials"].item() == 6
    assert data["score"].item() == pytest.approx((1 + 0.5 + 0 + 0 + 1 + 0.25) / 6)


def test_inspect_conversations_and_several_scorers(examples, tmp_path):
    content = examples.inspect_content("acme/big")
    (one,) = content["samples"] = content["samples"][:1]
    one["input"] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Why?"}, {"type": "image", "image": "x"}]},
    ]
    one["scores"]["other"] = {"value": "I"}
    path = examples.document(tmp_path / "log.json", content)
    assert "match, other; choose one with --metric" in problems("inspect", path)[0]
    data = read("inspect", path, metrics=["other"])
    assert (data["text"].item(), data["score"].item()) == ("Why?", 0)


def test_an_unfinished_inspect_archive_is_read(examples, tmp_path):
    content = examples.inspect_content("acme/big")
    with zipfile.ZipFile(tmp_path / "log.eval", "w") as archive:
        archive.writestr("_journal/start.json", json.dumps({"eval": content["eval"]}))
        archive.writestr("samples/1_epoch_1.json", json.dumps(content["samples"][0]))
    assert read("inspect", tmp_path / "log.eval")["trials"].item() == 1


def test_zeroeval_scores_raw_results_by_their_answer(examples, tmp_path):
    outputs = [
        '{"answer": "1,000"}',
        'Well: {"x": {}} {"reasoning": "", "answer": " b "}',
        "no idea",
        '{"answer": 7}',
    ]
    truths = [1000, "B", "3", "8"]
    rows = [
        {"session_id": f"s{i}", "chat_history": [f"Question {i}"], "output": [output], "answer": truth}
        for i, (output, truth) in enumerate(zip(outputs, truths, strict=True))
    ]
    data = read("zeroeval", examples.document(tmp_path / "gsm" / "gpt-4.json", rows).parent)
    assert data["score"].values.ravel().tolist() == [1, 1, 0, 0]
    assert (data["llm"].item(), set(data["task"].values)) == ("gpt-4", {"gsm"})
    del rows[1]["answer"]
    (found,) = problems("zeroeval", examples.document(tmp_path / "gsm" / "gpt-4.json", rows).parent)
    assert "record 2: it has neither a verdict" in found


def test_empty_folders_say_what_is_missing(tmp_path):
    for name in (
        "irt-router",
        "routerbench",
        "llmrouterbench",
        "lm-eval",
        "inspect",
        "zeroeval",
        "embedllm",
        "long",
    ):
        (found,) = problems(name, tmp_path)
        assert "holds no" in found


# Answers that stand in a source twice


def doubled(examples, name, folder, change=None):
    """The example of a format with every answer twice; `change` alters the text of the second copy."""
    source = examples.make(name, folder)
    for path in sorted(folder.rglob("*.*")):
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            second = frame.assign(**{"small-7b": 1 - frame["small-7b"]}) if change else frame
            pd.concat([frame, second]).to_parquet(path)
            continue
        content = path.read_text(encoding="utf-8")
        second = change(content) if change else content
        if path.suffix == ".csv":
            frame = pd.read_csv(path)
            other = frame.assign(**{"small-7b": ~frame["small-7b"]}) if change else frame
            pd.concat([frame, other]).to_csv(path, index=False)
        elif path.suffix == ".jsonl":
            path.write_text(content + second, encoding="utf-8")
        else:
            one, other = json.loads(content), json.loads(second)
            if isinstance(one, list):
                one += other
            else:
                key = "samples" if "samples" in one else "records"
                one[key] += other[key]
            path.write_text(json.dumps(one), encoding="utf-8")
    return source


SINGLE = {
    "routerbench": None,
    "routellm": None,
    "llmrouterbench": ('"score": 1.0', '"score": 0.0'),
    "py-irt": (": 1,", ": 0,"),
    "lm-eval": ('"exact_match": 1.0', '"exact_match": 0.0'),
    "inspect": ('"C"', '"I"'),
    "zeroeval": ('"matched": true', '"matched": false'),
}


@pytest.mark.parametrize("name", SINGLE)
def test_an_answer_that_stands_there_twice_is_one_answer(name, examples, tmp_path):
    options = {"queries": examples.queries(tmp_path / "texts")} if name == "py-irt" else {}
    with pytest.warns(UserWarning, match="left out 6 of 12 answers, which repeat earlier ones"):
        data = read(name, doubled(examples, name, tmp_path / "a"), **options)
    assert (data["trials"].values == 1).all()


@pytest.mark.parametrize("name", SINGLE)
def test_two_answers_that_differ_are_an_error_where_the_format_has_no_repetitions(name, examples, tmp_path):
    options = {"queries": examples.queries(tmp_path / "texts")} if name == "py-irt" else {}

    def change(content):
        return content.replace(*(SINGLE[name] or ("", "")))

    found = problems(name, doubled(examples, name, tmp_path / "a", change), **options)
    assert all("in an earlier answer of the same LLM" in problem for problem in found)


def test_a_log_that_lies_there_as_json_and_as_archive_is_one_evaluation(examples, tmp_path):
    content = examples.inspect_content("acme/big")
    content["eval"]["eval_id"] = "abc"
    examples.document(tmp_path / "a.json", content)
    examples.document(tmp_path / "b.json", content)
    with pytest.warns(UserWarning, match="left out 3 of 6"):
        assert (read("inspect", tmp_path)["trials"].values == 1).all()


def test_an_inspect_scorer_beyond_its_range_is_named(examples, tmp_path):
    content = examples.inspect_content("acme/big")
    content["samples"][1]["scores"]["match"]["value"] = 5
    (found,) = problems("inspect", examples.document(tmp_path / "log.json", content))
    assert "sample 2: the scorer match gives 5, but a score must be from 0 to 1" in found
    for sample in content["samples"]:
        sample["scores"]["other"] = {"value": "I"}
    path = examples.document(tmp_path / "log.json", content)
    assert read("inspect", path)["score"].values.ravel().tolist() == [0, 0, 0]
    assert "the scorer match gives 5" in problems("inspect", path, metrics=["match"])[0]


def test_routerarena_leaves_out_what_is_not_judged(examples, tmp_path):
    source = examples.make("routerarena", tmp_path / "a")
    path = source / "small-7b.json"
    records = json.loads(path.read_text(encoding="utf-8"))
    records[0]["accuracy"] = records[0]["generated_result"] = None
    examples.document(path, records)
    with pytest.warns(UserWarning, match="left out 1 of 3 records"):
        assert int(read("routerarena", source)["trials"].sum()) == 5
    examples.document(path, [record | {"accuracy": None} for record in records])
    assert "not been judged yet" in problems("routerarena", path)[0]

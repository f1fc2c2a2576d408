"""What a user gives to calibrate an LLM: its answers, texts of queries, and a row about the LLM; checked at the border."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.calibration.journal import journal_answers
from bayes_irt_router.data.files import read_table
from bayes_irt_router.data.schema import TABLES, typed_table, validate
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.fitting import text_hashes
from bayes_irt_router.inference.posterior import Posterior

_SOUND_RESPONSE = {"query_id": ["q"], "llm": ["x"], "score": [1.0]}
_SOUND_QUERY = {"query_id": ["q"], "text": ["?"]}


def read_answers(path: Path, llm: str) -> list[Answer]:
    """The answers of one LLM from a table of responses, or from the journal of a calibration; in a table without a column `llm` all rows
    are its own.

    Raises:
        InputError: the table is missing, damaged or not sound, or holds no answer of the LLM; every problem is listed.
    """
    if (kept := journal_answers(path)) is not None:
        if kept[0] != llm or not kept[1]:
            raise InputError(f"{path} is a journal of {len(kept[1])} answers of {kept[0]!r}; check the name.")
        return kept[1]
    table = read_table(path)
    if "llm" not in table.columns:
        table = table.assign(llm=llm)
    else:
        table = table[table["llm"].astype("str") == llm].reset_index(drop=True)
        if table.empty:
            raise InputError(f"{path} holds no answer of {llm!r}; check the name, or drop the column llm.")
    names = sorted({str(name) for name in table["query_id"].dropna()}) if "query_id" in table.columns else []
    queries = pd.DataFrame({"query_id": names or ["q"], "text": "?"})
    if problems := validate(table, queries, None, {"responses": str(path), "queries": "the queries"}):
        raise InputError(problems)
    rows = typed_table(table, "responses").to_dict(orient="records")
    return [
        Answer(
            str(row["query_id"]),
            float(row["score"]),
            int(_known(row.get("trials")) or 1),
            _known(row.get("input_tokens")),
            _known(row.get("output_tokens")),
            _known(row.get("cost_usd")),
        )
        for row in rows
    ]


def read_llm_info(path: Path, llm: str) -> dict[str, Any]:
    """What is known of the LLM: one JSON object, or the LLM's row of a table `llms`.

    Returns:
        The columns of the table ``llms`` that are filled, by name.

    Raises:
        InputError: the file is missing or damaged, the table has no row of the LLM, or a value is not sound.
    """
    if path.suffix.lower() == ".json":
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as JSON ({error}); write one object.") from None
        if not isinstance(content, dict):
            raise InputError(
                f"{path} is not a JSON object; write {{...}} with the columns of the table llms."
            )
        table = pd.DataFrame([{**content, "llm": llm}])
    else:
        table = read_table(path)
        if "llm" in table.columns:
            table = table[table["llm"].astype("str") == llm].reset_index(drop=True)
        if len(table) != 1:
            raise InputError(f"{path} has {len(table)} rows of {llm!r}; give exactly one.")
        table = table.assign(llm=llm)
    known = {column.name for column in TABLES["llms"]}
    if unknown := sorted({str(name) for name in table.columns} - known):
        raise InputError(
            f"{path} has the unknown columns {', '.join(unknown)}; the columns are {', '.join(sorted(known))}."
        )
    sound = pd.DataFrame({**_SOUND_RESPONSE, "llm": [llm]})
    sources = {"responses": "the answers", "queries": "the queries", "llms": str(path)}
    if problems := validate(sound, pd.DataFrame(_SOUND_QUERY), table, sources):  # type: ignore[arg-type]
        raise InputError(problems)
    row = typed_table(table, "llms").to_dict(orient="records")[0]
    return {
        str(name): value for name, value in row.items() if value != "" and value == value and name != "llm"
    }


def read_queries(path: Path, posterior: Posterior) -> tuple[dict[str, str], xr.Dataset, dict[str, str]]:
    """Texts of fitted queries, and the queries that were not fitted.

    A query is a fitted one if it has its name; a text under another name that was fitted is asked under the fitted name.

    Returns:
        Texts of fitted queries by id; a dataset of the others, with `text` and `task` (query); the fitted names of those that the file
        calls otherwise.

    Raises:
        InputError: the table is missing, damaged or not sound, or gives another text to the name of a fitted query.
    """
    table = read_table(path)
    names = [str(name) for name in table["query_id"].dropna()] if "query_id" in table.columns else []
    sound = pd.DataFrame({**_SOUND_RESPONSE, "query_id": names[:1] or ["q"]})
    if problems := validate(sound, table, None, {"responses": "the answers", "queries": str(path)}):
        raise InputError(problems)
    typed = typed_table(table, "queries")
    fitted = posterior.tree["queries"].to_dataset()
    hash_of = dict(zip(map(str, fitted["query"].values), map(str, fitted["text_hash"].values), strict=True))
    name_of = {value: name for name, value in hash_of.items()}
    texts: dict[str, str] = {}
    fitted_name: dict[str, str] = {}
    new: list[int] = []
    other = []
    hashes = text_hashes([str(text) for text in typed["text"]])
    for row, (name, text, digest) in enumerate(zip(typed["query_id"], typed["text"], hashes, strict=True)):
        if name in hash_of:
            if hash_of[name] != digest:
                other.append(
                    f"{path}, data row {row + 1}: the query {name} was fitted with another text; rename it."
                )
            texts[name] = text
        elif digest in name_of:
            fitted_name[str(name)] = name_of[digest]
            texts[name_of[digest]] = text
        else:
            new.append(row)
    if other:
        raise InputError(other)
    return texts, query_dataset(typed.iloc[new]), fitted_name


def query_dataset(table: pd.DataFrame) -> xr.Dataset:
    """A table of queries as a dataset with `text` and `task` (query), ready for featurize()."""
    task = table["task"] if "task" in table.columns else pd.Series("", index=table.index)
    return xr.Dataset(
        coords={
            "query": table["query_id"].to_numpy(dtype=object),
            "text": ("query", table["text"].to_numpy(dtype=object)),
            "task": ("query", task.to_numpy(dtype=object)),
        }
    )


def kept_texts(posterior: Posterior) -> Mapping[str, str]:
    """Texts of the fitted queries, where the model folder keeps them."""
    if posterior.texts is None:
        return {}
    names = [str(name) for name in posterior.tree["queries"].to_dataset()["query"].values]
    return dict(zip(names, posterior.texts, strict=True))


def _known(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)

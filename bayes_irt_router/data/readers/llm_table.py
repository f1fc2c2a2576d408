"""What is known of the LLMs: a table under any of its columns' names, or LLMRouter's JSON."""

import re
from pathlib import Path

import pandas as pd

from bayes_irt_router.data.readers.aliases import LLM_ALIASES, canonical_columns
from bayes_irt_router.data.readers.sources import read_frame, read_json
from bayes_irt_router.data.schema import TABLES
from bayes_irt_router.errors import InputError

_BILLIONS = {"k": 1e-6, "m": 1e-3, "b": 1.0, "t": 1e3}


def read_llm_table(path: Path) -> pd.DataFrame:
    """The canonical table `llms` from a file.

    A `.json` file is LLMRouter's: `{name: {size, feature, input_price, output_price, model, ...}}`, prices in USD
    per million tokens. Others are tables with the canonical columns or `input_price`, `output_price`, `size`,
    `feature` or `description`.

    Raises:
        InputError: the file is damaged or of another layout.
    """
    if path.suffix.lower() == ".json":
        content = read_json(path)
        if (
            not isinstance(content, dict)
            or not content
            or not all(isinstance(entry, dict) for entry in content.values())
        ):
            raise InputError(
                f"{path} is not a JSON object of LLMs; write {{name: {{size, input_price, ...}}}}."
            )
        # `model` is the name for the provider's interface; the data name the LLMs by their keys.
        rows = [{k: v for k, v in entry.items() if k not in LLM_ALIASES["llm"]} for entry in content.values()]
        frame = pd.DataFrame(rows).assign(llm=list(content))
    else:
        frame = read_frame(path)
    table = canonical_columns(frame, str(path), required=["llm"], aliases=LLM_ALIASES)
    others = [column.name for column in TABLES["llms"] if column.name in frame and column.name not in table]
    table = table.assign(**{name: frame[name] for name in others})
    if "parameters_billion" in table:
        table["parameters_billion"] = table["parameters_billion"].astype(object).map(billions)
    return table


def billions(size: object) -> object:
    """Parameters in billions from a size such as 7B or 350M; None where none is told, other values as they are.

    >>> billions("7B"), billions("500M"), billions("12"), billions("unknown")
    (7.0, 0.5, '12', None)
    """
    if not isinstance(size, str):
        return size
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmbt])\s*", size.lower())
    if found:
        return float(found[1]) * _BILLIONS[found[2]]
    return size if re.search("[0-9]", size) else None

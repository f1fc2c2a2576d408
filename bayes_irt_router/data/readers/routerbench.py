"""RouterBench: a wide table `sample_id, prompt, eval_name, <model>, <model>|total_cost`, Parquet or CSV.

An LLM is a column that has a companion `<model>|total_cost` or `<model>|model_response`. RouterBench itself is
published as pickles; they are refused.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bayes_irt_router.data.readers.answers import canonical_tables
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import columns_of, every, existing, read_frame, table_files
from bayes_irt_router.data.readers.wide_table import melted
from bayes_irt_router.errors import InputError

COST, RESPONSE = "|total_cost", "|model_response"
ORACLE = "oracle_model_to_route_to"


def recognises(source: Path) -> bool:
    """Whether the first table has the documented columns."""
    files = table_files(source)
    columns = columns_of(files[0]) if files else set()
    return {"prompt", "eval_name"} <= columns and any(name.endswith(COST) for name in columns)


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a table or a folder of tables."""
    parts = []
    for path in every(table_files(existing(source)), source, "RouterBench tables"):
        frame = read_frame(path)
        columns = [str(name) for name in frame.columns]
        llms = [name for name in columns if name + COST in columns or name + RESPONSE in columns]
        if not llms:
            raise InputError(
                f"{path} has no column <model> with a column <model>{COST} beside it; add those of each LLM."
            )
        orphans = [
            name
            for name in columns
            for suffix in (COST, RESPONSE)
            if name.endswith(suffix) and name.removesuffix(suffix) not in columns
        ]
        if orphans:
            raise InputError(
                f"{path} has costs or responses without scores, {', '.join(orphans)}; add the LLMs' columns of scores."
            )
        costs = {llm: llm + COST for llm in llms if llm + COST in columns}
        documented = [*(llm + RESPONSE for llm in llms), ORACLE]
        parts.append(melted(frame, path, llms, costs, documented))
    return canonical_tables(pd.concat(parts, ignore_index=True), str(source))


FORMAT = Format(
    "routerbench",
    "a wide table, Parquet or CSV: sample_id, prompt, eval_name, <model>, <model>|total_cost",
    recognises,
    read,
)

"""IRT-Router: CSV files of `question, llm, performance, input_tokens, output_tokens`, with `query.csv` and `llm.csv`.

A folder's response files are all its CSV files but those two; one file alone will do. `query.csv` may add `task`
and `query_id` to the questions, `llm.csv` prices and descriptions to the LLMs.
"""

from collections.abc import Sequence
from pathlib import Path

from bayes_irt_router.data.readers.aliases import canonical_columns
from bayes_irt_router.data.readers.llm_table import read_llm_table
from bayes_irt_router.data.readers.long_table import long_tables
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import existing, has_columns, read_frame, table_files
from bayes_irt_router.errors import InputError

QUERIES, LLMS = "query.csv", "llm.csv"


def response_files(source: Path) -> list[Path]:
    """The response files of a source."""
    return [path for path in table_files(source) if path.name not in (QUERIES, LLMS)]


def recognises(source: Path) -> bool:
    """Whether the first response file has the documented columns."""
    files = response_files(source)
    return (
        bool(files) and files[0].suffix == ".csv" and has_columns(files[0], "question", "llm", "performance")
    )


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a file or a folder."""
    tables = long_tables(source, response_files(existing(source)))
    if not source.is_dir():
        return tables
    queries, llms = tables.queries, None
    if (path := source / QUERIES).is_file():
        known = canonical_columns(read_frame(path), str(path), required=["text"])
        known = known[[name for name in ("text", "task", "split") if name in known]].dropna(subset=["text"])
        added = [name for name in known if name != "text" and name not in queries]
        known = known[["text", *added]].drop_duplicates()
        if known["text"].duplicated().any():
            raise InputError(f"{path} tells two tasks or splits of the same question; keep one row of each.")
        queries = queries.merge(known, on="text", how="left")
    if (path := source / LLMS).is_file():
        llms = read_llm_table(path)
    return Tables(tables.responses, queries, llms)


FORMAT = Format(
    "irt-router",
    "CSV: question, llm, performance, input_tokens, output_tokens; or a folder with query.csv and llm.csv",
    recognises,
    read,
)

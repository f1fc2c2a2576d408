"""Make the folds that every benchmark judges on, and write their ids to benchmarks/splits.json.

    .venv/bin/python benchmarks/make_splits.py --data ../shared/data/zeroeval ../shared/data/llmrouter

The folders' names become the data sets' names. Folds that the file already has of other data sets are lost,
so name all of them.
"""

import argparse
from pathlib import Path

from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.evaluation.splits import make_splits, write_splits

SPLITS = Path(__file__).parent / "splits.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    splits = {
        folder.name: make_splits(read_dataset(folder), seed=arguments.seed) for folder in arguments.data
    }
    write_splits(SPLITS, splits, seed=arguments.seed)
    for name, one in splits.items():
        print(
            f"{name}: {' + '.join(str(len(fold)) for fold in one.queries)} queries, {len(one.tasks)} tasks, "
            f"{' + '.join(str(len(fold)) for fold in one.llms)} LLMs"
        )
    print(f"Written to {SPLITS}.")


if __name__ == "__main__":
    main()

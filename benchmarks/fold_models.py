"""The posteriors that `benchmarks/folds.py` left in a folder of runs, each beside the data of its fold."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from bayes_irt_router.data.canonical import data_fingerprint
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.fold_fits import R_HAT, usable
from bayes_irt_router.evaluation.protocols import Fold, Protocol, fold_count, make_fold
from bayes_irt_router.evaluation.splits import read_splits
from bayes_irt_router.routing.router import Router

SPLITS = Path(__file__).parent / "splits.json"
RUNS = Path(__file__).parents[1] / "runs" / "folds"


@dataclass(frozen=True, eq=False)
class FoldModel:
    """A fold and its fitted model."""

    fold: Fold
    router: Router

    def about(self) -> dict[str, Any]:
        """What a line of results says of the fit."""
        record, gate = self.router.posterior.record, self.router.posterior.gate
        return {
            "fold": self.fold.index,
            "fit_commit": record.get("commit", ""),
            "converged": usable(self.router.posterior),
            "gate_passed": gate.passed,
            "largest_r_hat": float(gate.table["r_hat"].max()),
            "draws": self.router.posterior.size,
        }


def fold_models(
    runs: Path, name: str, data: xr.Dataset, protocol: Protocol, folds: str | None, unconverged: bool
) -> Iterator[FoldModel]:
    """The models of a protocol's folds, as far as they are there and usable; what is left out is printed.

    Args:
        runs: folder of runs, `runs/NAME/PROTOCOL-INDEX` being a model's folder.
        name: of the data set.
        data: all of it.
        protocol: of the folds.
        folds: such as "0,2"; all by default.
        unconverged: whether folds above r-hat 1.05 are taken, too: to try a script out, never to report a number.

    Raises:
        InputError: a model was fitted to other data than its fold's, or there is none.
    """
    splits, found = read_splits(SPLITS, name), 0
    wanted = (
        range(fold_count(splits, protocol)) if folds is None else [int(word) for word in folds.split(",")]
    )
    for index in wanted:
        folder = runs / name / f"{protocol}-{index}"
        if not folder.exists():
            print(f"{protocol}-{index} is left out: {folder} is not there.", flush=True)
            continue
        router, fold = Router.load(folder), make_fold(data, splits, protocol, index)
        if router.posterior.record["data"]["fingerprint"] != data_fingerprint(fold.train):
            raise InputError(f"{folder} was fitted to other data than this fold's; use another --runs.")
        if not usable(router.posterior) and not unconverged:
            print(f"{protocol}-{index} is left out: an r-hat is above {R_HAT}.", flush=True)
            continue
        found += 1
        yield FoldModel(fold, router)
    if not found:
        raise InputError(
            f"{runs / name} holds no usable model of {protocol}; run benchmarks/folds.py first, or name another --runs."
        )

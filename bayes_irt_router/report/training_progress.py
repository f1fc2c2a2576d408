"""How a NIRT's training went, pass by pass, as a table."""

import numpy as np
import pandas as pd

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.neural_items import TRAINING

ROWS = 8  # of the table for the terminal


def training_frame(posterior: Posterior) -> pd.DataFrame:
    """One row a pass over the queries.

    Columns: ``pass``, from 1; ``loss``, the negative ELBO an answer, mean over networks; ``validation``, the log loss of queries that a
    network did not learn from, mean over networks, and ``validation_lowest`` and ``validation_highest`` among them; NaN without such
    queries.

    Args:
        posterior: a fitted NIRT.
    """
    table = posterior.tree[TRAINING].to_dataset()
    loss, validation = (table[name].transpose("pass", "chain").values for name in ("loss", "validation"))
    return pd.DataFrame(
        {
            "pass": np.arange(1, len(loss) + 1),
            "loss": loss.mean(axis=1),
            "validation": validation.mean(axis=1),
            "validation_lowest": validation.min(axis=1),
            "validation_highest": validation.max(axis=1),
        }
    )


def some_passes(frame: pd.DataFrame, rows: int = ROWS) -> pd.DataFrame:
    """The first pass, the last, and some between them, evenly spread.

    >>> some_passes(pd.DataFrame({"pass": range(1, 101)}), 4)["pass"].tolist()
    [1, 34, 67, 100]
    """
    chosen = np.linspace(0, len(frame) - 1, min(rows, len(frame))).round().astype(int)
    return frame.iloc[chosen]

"""What difficulty leans on, as a table: explanatory item response theory."""

import numpy as np
import pandas as pd

from bayes_irt_router.data.feature_map import TASK_PREFIX, TASK_SHARE
from bayes_irt_router.inference.posterior import Posterior


def difficulty_frame(posterior: Posterior, level: float = 0.89) -> pd.DataFrame:
    """The weights of named features on difficulty, in logits, the largest first (after De Boeck and Wilson, 2004).

    Of a surface feature the weight is that of one standard deviation over the fitted queries, of a task that of a query which is of it
    for certain, against one that is of no task; all other features, and the likeness to known queries, held still. Features that go
    together share their effect, so single weights may be wide where their sum is sharp.

    Columns: ``feature``; ``kind``, surface or task; ``weight``, ``lower`` and ``upper``, posterior mean and equal-tailed interval;
    ``p_harder``, the posterior probability that the weight is positive.

    Args:
        posterior: a MIRT; of any other model the table is empty.
        level: of the interval.
    """
    columns = ["feature", "kind", "weight", "lower", "upper", "p_harder"]
    if "difficulty_weight" not in posterior.draws:
        return pd.DataFrame(columns=columns)
    names = [str(name) for name in posterior.draws["feature"].values]
    weight = posterior.draws["difficulty_weight"].values.reshape(-1, len(names)).astype(np.float64)
    surface = set(posterior.feature_map.surface_names)
    rows = []
    for k, name in enumerate(names):
        if not (task := name.startswith(TASK_PREFIX)) and name not in surface:
            continue  # the kernel's axes have no names
        own = weight[:, k] * (np.sqrt(TASK_SHARE) if task else 1.0)
        lower, upper = np.quantile(own, [(1 - level) / 2, (1 + level) / 2])
        told = name.removeprefix(TASK_PREFIX) if task else name
        rows.append((told, "task" if task else "surface", own.mean(), lower, upper, float((own > 0).mean())))
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values("weight", key=lambda w: -w.abs(), kind="stable", ignore_index=True)

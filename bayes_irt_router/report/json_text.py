"""Results as JSON text: the same for the screen and for a file."""

import json
import math
from typing import Any


def plain(obj: Any) -> Any:
    """The same object with None for every number that JSON does not have (NaN, infinity).

    >>> plain({"auc": float("nan"), "ece": [0.5, float("inf")]})
    {'auc': None, 'ece': [0.5, None]}
    """
    if isinstance(obj, dict):
        return {key: plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [plain(value) for value in obj]
    if isinstance(obj, float) and not math.isfinite(obj):
        return None
    return obj


def json_text(obj: Any) -> str:
    """Indented JSON; unknown numbers are null."""
    return json.dumps(plain(obj), indent=2, ensure_ascii=False, allow_nan=False)

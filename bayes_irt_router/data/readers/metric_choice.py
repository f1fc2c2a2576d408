"""Which of several scores of one answer is the score."""

from collections.abc import Collection, Sequence

from bayes_irt_router.errors import InputError


def chosen_metric(readings: Collection[str], metrics: Sequence[str], source: str) -> str:
    """The one reading that is meant.

    Args:
        readings: the names of the scores there are; a filter follows after a comma, as in
            `exact_match,strict-match`.
        metrics: the names that the user gave, with or without a filter; none means the only reading there is.
        source: what to call the data in a sentence.

    Raises:
        InputError: there is no reading, none of those named, or more than one; the readings are listed.

    >>> chosen_metric(["acc", "acc_norm"], ["acc_norm"], "s.jsonl")
    'acc_norm'
    """
    listed = ", ".join(sorted(readings))
    if not readings:
        raise InputError(f"{source} holds no score between 0 and 1; score the answers first.")
    if not metrics:
        if len(readings) == 1:
            return next(iter(readings))
        raise InputError(f"{source} holds several scores, {listed}; choose one with --metric.")
    found = [one for one in readings if one in metrics] or [
        one for one in readings if one.split(",")[0] in metrics
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{source}: the metrics named fit several scores, {', '.join(sorted(found))}; name one."
        )
    raise InputError(f"{source} holds no score {' or '.join(metrics)}; choose from {listed}.")

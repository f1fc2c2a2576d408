"""How much an answer counts whose question was chosen by what its answer would tell."""

ENOUGH = 45.0  # chosen questions at which what the model has wrong of an LLM weighs as much as chance
MOST = 100  # questions; the more of a bank is asked, the less is chosen


def chosen_weight(answered: int) -> float:
    """``z / (z + min(n, 100))`` with z = 45: the power of the likelihood of n answers to chosen questions.

    The questions that the model finds telling are those on which it leans most, and where it has an LLM wrong more of them do not help:
    posteriors by questions drawn at random were as wide as their errors, those by chosen ones too narrow, the more so the more
    answers (`benchmarks/README.md`). A coarsened posterior (Miller and Dunson, 2019) conditions on data close to those seen
    instead of on those, and is in good approximation the posterior with the likelihood to this power. It stops getting narrower where the
    model does not know better. Departs from the source in that the power falls no further than at 100 questions.

    Args:
        answered: number of queries, each counted once.

    >>> chosen_weight(0), round(chosen_weight(50), 3), chosen_weight(100) == chosen_weight(1000)
    (1.0, 0.474, True)
    """
    return ENOUGH / (ENOUGH + min(answered, MOST))

"""Several models of the same data as one: their posterior predictive distributions are mixed."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.diagnostics import ConvergenceGate
from bayes_irt_router.inference.posterior import Posterior


def stack(posteriors: Sequence[Posterior]) -> Posterior:
    """A model that predicts with the mixture of the models' posterior predictive distributions::

        p(y | x) = 1/M sum_m p_m(y | x)

    Of M models each gives an M-th of the draws of every prediction. The first model stands for the stack in all but prediction:
    abilities, difficulties, explanations and costs are its own. The gate passes if all models' gates do.

    Source: stacking of predictive distributions (Yao, Vehtari, Simpson and Gelman, 2018). Departs from it: the weights are equal, and not
    estimated; two weights of models that predict about equally well are hardly worth the held-out answers that would estimate them.

    Args:
        posteriors: at least two, fitted to the same answers with the same encoder, of the same LLMs; a stack among them counts as its
            models.

    Raises:
        InputError: fewer than two, or they differ in data, LLMs or encoder.
    """
    models = [one for posterior in posteriors for one in members(posterior)]
    if len(models) < 2:
        raise InputError("A stack needs at least two models; name another one.")
    first = models[0]
    problems = []
    for number, other in enumerate(models[1:], start=2):
        if other.record["data"]["fingerprint"] != first.record["data"]["fingerprint"]:
            problems.append(
                f"Model {number} was fitted to other data than model 1; fit both to the same split."
            )
        if other.record["encoder"]["revision"] != first.record["encoder"]["revision"]:
            problems.append(
                f"Model {number} reads texts with another encoder than model 1; fit both with the same."
            )
        if other.llm != first.llm:
            found = ", ".join(sorted(set(other.llm) ^ set(first.llm))) or "the same in another order"
            problems.append(
                f"Model {number} has other LLMs than model 1 ({found}); place, retire or rename them in both models."
            )
    if problems:
        raise InputError(problems)
    return replace(first, gate=_gate(models), stacked=tuple(models[1:]))


def members(posterior: Posterior) -> tuple[Posterior, ...]:
    """The models of a stack, each by itself; of another model, that model."""
    return (replace(posterior, stacked=()), *posterior.stacked)


def each_member(posterior: Posterior, change: Callable[[Posterior], Posterior]) -> Posterior:
    """The same stack of changed models."""
    first, *others = (change(one) for one in members(posterior))
    return replace(first, stacked=tuple(others))


def refuse_stack(posterior: Posterior, purpose: str) -> None:
    """Raise InputError if the model is a stack, of which `purpose` is not possible."""
    if posterior.stacked:
        raise InputError(
            f"This model is a stack of {1 + len(posterior.stacked)} models, and {purpose} works on one at a time; "
            "do it with each, and stack the results again (birt stack)."
        )


def _gate(models: Sequence[Posterior]) -> ConvergenceGate:
    """The table is the first model's, the complaints are everybody's."""
    complaints = [
        f"{complaint} (model {number} of the stack)"
        for number, other in enumerate(models[1:], start=2)
        for complaint in other.gate.complaints
    ]
    return replace(models[0].gate, complaints=(*models[0].gate.complaints, *complaints))

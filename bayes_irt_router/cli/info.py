"""`birt info`: what a fitted model is."""

from bayes_irt_router.cli.border import print_json, tell, terminal
from bayes_irt_router.cli.options import Json, Level, ModelFolder, required_model


def info(model: ModelFolder = None, level: Level = 0.89, json: Json = False) -> None:
    """`birt info`."""
    folder = required_model(model)

    from bayes_irt_router.errors import InputError
    from bayes_irt_router.inference.answer_length_convergence import answer_length_convergence
    from bayes_irt_router.inference.storage import load
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.model_summary import model_json, print_model

    if not 0 < level < 1:
        raise InputError(f"level is {level}, but it must be between 0 and 1, for instance 0.89.")
    posterior = load(folder)
    lengths = answer_length_convergence(posterior)
    if lengths is not None and not lengths.passed:
        tell("warning", lengths.verdict)
    if json:
        print_json(json_text(model_json(posterior, level)), None, shown=True)
    else:
        print_model(posterior, terminal(), level)

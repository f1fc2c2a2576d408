"""Where the models are that come with the package."""

from pathlib import Path

from bayes_irt_router.errors import InputError

REFERENCE = "reference"
# The first that there is answers where no model is named: all sources in one, else the source that counted tokens, whose costs are known.
DEFAULTS = (REFERENCE, "zeroeval")
_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_models() -> Path:
    """The folder of models: inside the package where it was installed from a wheel, beside it in a source tree."""
    inside = _PACKAGE / "models"
    return inside if inside.is_dir() else _PACKAGE.parent / "models"


def reference_model() -> Path:
    """The folder of the model that `birt route` uses when none is named.

    Raises:
        InputError: this installation has none; others that it has are named.
    """
    folder = shipped_models()
    for name in DEFAULTS:
        if (folder / name / "model.json").is_file():
            return folder / name
    others = sorted(str(path.parent) for path in folder.glob("*/model.json"))
    also = f", such as {' or '.join(others)}" if others else "; `make demo` makes one in runs/demo/model"
    raise InputError(
        f"No model is named, and this installation has no reference model: add --model DIR, the folder of a fitted model{also}."
    )

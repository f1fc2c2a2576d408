"""Where the models that ship are found, and what is said where there are none."""

from pathlib import Path

import pytest

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference import shipped


def test_in_a_source_tree_they_lie_beside_the_package():
    assert shipped.shipped_models() == Path(shipped.__file__).parents[2] / "models"
    assert (shipped.shipped_models() / "README.md").is_file()


@pytest.mark.parametrize(
    ("there", "used"),
    [(("reference", "zeroeval"), "reference"), (("llmrouter", "zeroeval"), "zeroeval")],
)
def test_in_an_installed_package_they_lie_inside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: tuple[str, ...], used: str
):
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path)
    for name in there:
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.json").touch()
    assert shipped.reference_model() == tmp_path / "models" / used


@pytest.mark.parametrize(("there", "told"), [((), "make demo"), (("a", "b"), "models/a or ")])
def test_without_one_the_way_to_one_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: tuple[str, ...], told: str
):
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path)
    for name in there:
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.json").touch()
    with pytest.raises(InputError, match=r"no reference model: add --model DIR") as caught:
        shipped.reference_model()
    assert len(caught.value.problems) == 1
    assert told in caught.value.problems[0]

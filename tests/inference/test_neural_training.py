"""Training stops, goes on after an interruption, and refuses nonsense."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference import checkpoint, neural_training, training_steps
from bayes_irt_router.inference.neural_training import Trained, Training, train
from bayes_irt_router.irt.ability_table import ABILITIES
from bayes_irt_router.irt.nirt import NIRT, QueryInputs

SETTINGS = Training(networks=2, passes=4, steps=4, batch=16, validation=0.2)


def run(settings: Training = SETTINGS, file: Path | None = None) -> Trained:
    rng = np.random.default_rng(0)
    shapes = ((40, 6), (40, 5), (40,), (40, 3))
    inputs = QueryInputs(*(rng.standard_normal(shape).astype(np.float32) for shape in shapes))
    inputs = inputs._replace(novelty=np.abs(inputs.novelty))
    score = (rng.random((40, 4)) < 0.6).astype(float)
    model = NIRT(abilities=ABILITIES[:3], units=2, hidden=4, factors=1)
    return train(
        model, inputs, score, np.ones_like(score), 2, settings, seed=1, checkpoint=file, progress=False
    )


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = run()
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    path = tmp_path / "training.npz"
    written = checkpoint.Checkpoint.write

    def interrupted(self: object, state: object, known: dict[str, np.ndarray], *, now: bool) -> None:
        written(self, state, known, now=now)  # type: ignore[arg-type]
        if int(known["done"]) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(checkpoint.Checkpoint, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(file=path)
    assert path.exists()
    resumed = run(file=path)
    np.testing.assert_array_equal(whole.loss, resumed.loss)
    for name, values in whole.weights.items():
        np.testing.assert_array_equal(values, resumed.weights[name])


def test_a_training_that_came_to_its_end_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "training.npz"
    first = run(file=path)  # far shorter than the time between two writes

    def passed(*_: object) -> None:
        raise AssertionError("a pass was run again")

    monkeypatch.setattr(training_steps.TrainingSteps, "_one_pass", passed)
    training_steps.training_steps.cache_clear()
    again = run(file=path)
    training_steps.training_steps.cache_clear()
    np.testing.assert_array_equal(first.validation, again.validation)
    for name, values in first.weights.items():
        np.testing.assert_array_equal(values, again.weights[name])


def test_a_checkpoint_of_other_settings_is_kept(tmp_path: Path):
    path = tmp_path / "training.npz"
    run(file=path)
    content = path.read_bytes()
    with pytest.raises(InputError, match="other data, settings or seed"):
        run(replace(SETTINGS, passes=5), file=path)
    assert path.read_bytes() == content


def foreign_archive(path: Path) -> None:
    np.savez(path, measured=np.arange(3))


def single_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def pickled(path: Path) -> None:
    np.savez(path, program=np.array([{}], dtype=object))


def text(path: Path) -> None:
    path.write_text("notes", encoding="utf-8")


def cut_off(path: Path) -> None:
    run(file=path)
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("write", [foreign_archive, single_array, pickled, text, cut_off])
def test_a_file_that_is_no_checkpoint_is_kept(tmp_path: Path, write: Callable[[Path], None]):
    path = tmp_path / "training.npz"
    write(path)
    content = path.read_bytes()
    for use in (lambda: run(file=path), lambda: checkpoint.check_place(path)):
        with pytest.raises(InputError, match="not a checkpoint"):
            use()
    assert path.read_bytes() == content


def test_a_folder_in_the_place_of_a_checkpoint_is_kept(tmp_path: Path):
    path = tmp_path / "training.npz"
    path.mkdir()
    with pytest.raises(InputError, match="is a folder"):
        run(file=path)
    assert path.is_dir()


def test_training_stops_early_when_nothing_gets_better():
    # A step so small that the validation log loss of the average does not improve in 3 passes would be chance; so nothing is learned here
    # but noise, and after the first passes it gets worse.
    found = run(
        Training(networks=1, passes=400, steps=1, batch=16, validation=0.4, patience=3, step_size=0.1)
    )
    assert found.stopped
    assert len(found.loss) < 400


def test_there_are_never_more_passes_than_asked_for():
    few = run(Training(networks=1, passes=3, batch=16, validation=0.2))
    assert few.loss.shape == (3, 1)
    assert few.passes == 3
    # 32 queries in batches of 16 are two steps a pass.
    assert Training(steps=300).most_passes(2) == 150
    assert Training(steps=300).most_passes(100) == 40
    assert Training(steps=300, passes=7).most_passes(2) == 7


def test_a_training_that_diverges_names_the_mend():
    with pytest.raises(InputError, match="smaller step size"):
        run(Training(networks=1, passes=30, batch=16, step_size=1e6))


def test_every_query_is_learned_from_by_a_network():
    inside, outside = neural_training._parts(
        30, Training(networks=3, validation=0.2), np.random.default_rng(0)
    )
    assert inside.shape == (3, 24)
    assert outside.shape == (3, 6)
    assert set(inside.ravel()) == set(range(30))
    assert all(not set(i) & set(o) for i, o in zip(inside, outside, strict=True))


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(InputError) as error:
        Training(networks=0, step_size=-1.0, dropout=1.5)
    assert len(error.value.problems) == 3

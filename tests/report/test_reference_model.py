"""A reference model from simulated sources that share LLMs and queries; its card; what ships when the joint fit is no good."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.data.linking import (
    LinkedLLM,
    declined,
    joined,
    llm_sources,
    on_one_side,
    shared_queries,
)
from bayes_irt_router.evaluation.bootstrap import PairedDifference
from bayes_irt_router.evaluation.link_checks import expected_accuracies, taken_apart, widening
from bayes_irt_router.evaluation.linked_fits import (
    TOLERANCE,
    SourceScores,
    fitted_once,
    source_scores,
    training,
)
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.report import reference_model
from bayes_irt_router.report.model_card import CardFacts, model_card
from bayes_irt_router.report.reference_model import ReferenceSettings, build_reference, landmarks_of_one
from bayes_irt_router.report.tables import llm_frame

ORIGIN = {"a": "simulated.", "b": "simulated as well."}


@pytest.fixture(scope="session")
def two_sources(bank: Callable[..., xr.Dataset]) -> tuple[xr.Dataset, LinkedLLM]:
    """Two banks with one linked LLM; the second repeats eight of the first's queries."""
    whole = bank(64, 7, seed=4)
    split = np.array(["train", "train", "test", "train"] * 16, dtype=object)
    whole = whole.assign_coords(split=("query", split))
    link = LinkedLLM("same", {"a": str(whole["llm"].values[0]), "b": "b0"}, 0.5, 0.5)
    first = whole.isel(query=slice(40), llm=slice(4))
    second = whole.isel(query=slice(32, 64), llm=[0, 4, 5, 6])
    # What both have has the other side of the split here.
    turned = np.where(
        np.arange(32) < 8, np.where(second["split"].values == "test", "train", "test"), second["split"].values
    )
    second = second.assign_coords(
        split=("query", turned.astype(object)), llm=np.array(["b0", "b1", "b2", "b3"], dtype=object)
    )
    sources = {"a": first, "b": second}
    data = joined(sources, [link])
    parts = [one[["embedding", "surface"]].drop_vars(["llm"], errors="ignore") for one in sources.values()]
    vectors = {
        name: np.concatenate([part[name].values for part in parts]) for name in ("embedding", "surface")
    }
    data = data.assign_coords(surface_feature=whole["surface_feature"].values).assign(
        embedding=(("query", "embedding_dim"), vectors["embedding"], whole["embedding"].attrs),
        surface=(("query", "surface_feature"), vectors["surface"]),
    )
    return data, link


def test_shared_queries_of_the_two_sources_end_on_one_side(two_sources: tuple[xr.Dataset, LinkedLLM]):
    data, _ = two_sources
    pairs = shared_queries(data, similarity=0.999)
    assert len(pairs) >= 8
    split = on_one_side(data, pairs)["split"].values
    assert all(split[i] == split[j] for i, j in zip(pairs["first"], pairs["second"], strict=True))


def test_a_link_check_takes_a_sample_and_an_llm_apart(two_sources: tuple[xr.Dataset, LinkedLLM]):
    data, _ = two_sources
    part = taken_apart(training(data), "same", 20, seed=0)
    assert part.sizes["query"] <= 20
    assert {"same (a)", "same (b)"} <= set(part["llm"].values)
    assert bool((part["trials"].values > 0).any(axis=1).all())


@pytest.fixture(scope="session")
def fitted_as_two(small_fit: Posterior, bank: Callable[..., xr.Dataset]) -> tuple[Posterior, xr.Dataset]:
    """A fit, and unseen queries that are called those of two sources; the second was not asked of the last two LLMs."""
    test = bank(40, 6, seed=8).assign_coords(llm=np.array(small_fit.llm, dtype=object))
    source = np.where(np.arange(40) < 20, "a", "b").astype(object)
    asked = (np.arange(40) < 20)[:, None] | (np.arange(6) < 4)
    seen = xr.DataArray(asked, dims=("query", "llm"))
    cells = {name: test[name].where(seen) for name in ("score", "input_tokens", "output_tokens")}
    return small_fit, test.assign(cells).assign(trials=test["trials"].where(seen, 0)).assign_coords(
        source=("query", source)
    )


def test_a_fit_is_as_good_as_itself(fitted_as_two: tuple[Posterior, xr.Dataset]):
    posterior, test = fitted_as_two
    scores = source_scores(test, posterior, {"a": posterior, "b": posterior}, 0)
    for one in scores.values():
        assert one.queries == 20
        # Scores under replication are drawn, each method with numbers of its own.
        for metric in ("log_loss", "brier", "auc", "ece"):
            assert one.joint[metric] == one.separate[metric]
        assert one.separate_minus_joint == PairedDifference(0.0, 0.0, 0.0)
        assert one.joint_is_as_good


@pytest.mark.parametrize(("lost", "good"), [(0.9 * TOLERANCE, True), (1.1 * TOLERANCE, False)])
def test_a_joint_fit_may_lose_a_little(lost: float, good: bool):
    assert SourceScores(1, {}, {}, PairedDifference(-lost, -1.0, 1.0)).joint_is_as_good == good


def test_expected_accuracies_are_those_of_the_predictions(fitted_as_two: tuple[Posterior, xr.Dataset]):
    posterior, test = fitted_as_two
    table = expected_accuracies(posterior.thin(40), test, test)
    assert table["llm"].tolist() == posterior.llm
    assert (table["b answers"] > 0).tolist() == [True] * 4 + [False] * 2
    for source in "ab":
        assert (table[f"{source} lower"] < table[f"{source} mean"]).all()
        assert (table[f"{source} mean"] < table[f"{source} upper"]).all()
    assert set(widening(table, ["b"])) == {"b"}


def test_the_card_tells_what_it_must_and_shows_no_query(fitted_as_two: tuple[Posterior, xr.Dataset]):
    posterior, test = fitted_as_two
    thinned = posterior.thin(40)
    thinned = replace(thinned, record=thinned.record | {"commit": "fedcba"})
    scores = source_scores(test, thinned, {"a": thinned, "b": thinned}, 0)
    facts = CardFacts(
        "reference", ORIGIN, test, test, {"close in meaning": 3}, ["same"], scores, ("separate", "a fit of the source alone"),
        expected_accuracies(thinned, test, test), [], "It is good.", landmarks_of_one(thinned), "make it", "abc123",
    )  # fmt: skip
    card = model_card(thinned, facts)
    for heading in (
        "Data",
        "Model and priors",
        "Diagnostics",
        "Held-out scores",
        "The link between",
        "Not for",
        "How it was made",
    ):
        assert f"## {heading}" in card
    for told in (
        "make it",
        "abc123",
        "It is good.",
        "3 queries, close in meaning",
        "Fitted at commit fedcba, judged and written at abc123",
        thinned.gate.verdict,
        f"{scores['a'].joint['log_loss']:.4g}",
    ):
        assert told in card
    assert [text for text in test["text"].values if str(text) in card] == []
    assert card.count(" *") >= 2  # both LLMs that the second source did not ask


def test_a_fit_is_not_made_twice(
    fitted_as_two: tuple[Posterior, xr.Dataset], bank: Callable[..., xr.Dataset], tmp_path: Path
):
    posterior, _ = fitted_as_two
    calls = []

    def fit(data: xr.Dataset) -> Posterior:
        calls.append(data)
        return posterior

    for _ in range(2):
        fitted_once(tmp_path / "m", bank(), fit, {"seed": 1})
    assert len(calls) == 1
    fitted_once(tmp_path / "m", bank(seed=3), fit, {"seed": 1})
    assert len(calls) == 2
    fitted_once(tmp_path / "m", bank(), fit, {"seed": 2})
    assert len(calls) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"feature_map": {"landmarks": 3}},
        {"cost": {"assumed_output_tokens": 7}},
        {"encoder": {"revision": "x"}},
    ],
)
def test_a_fit_under_other_settings_is_made_again(
    fitted_as_two: tuple[Posterior, xr.Dataset], bank: Callable[..., xr.Dataset], tmp_path: Path, other: dict
):
    posterior, _ = fitted_as_two
    first = fitted_once(tmp_path / "m", bank(), lambda data: posterior, {}, "abc")
    assert first.record["commit"] == "abc"
    (group,) = other
    same = {group: {name: posterior.record[group][name] for name in other[group]}}
    calls = []

    def again(data: xr.Dataset) -> Posterior:
        calls.append(data)
        return posterior

    assert fitted_once(tmp_path / "m", bank(), again, same, "def").record["commit"] == "abc"
    assert not calls
    assert fitted_once(tmp_path / "m", bank(), again, other, "def").record["commit"] == "def"
    assert len(calls) == 1


def test_queries_taken_from_training_are_counted_by_reason(two_sources: tuple[xr.Dataset, LinkedLLM]):
    data, _ = two_sources
    pairs = shared_queries(data, similarity=0.999)
    counts = declined(data, pairs)
    moved = on_one_side(data, pairs)["split"].values != data["split"].values
    assert sum(counts.values()) == int(moved.sum())
    assert counts["the same text as a held-out query of another source"] >= 8
    none = declined(data.assign_coords(text=("query", data["query"].values)), pairs.iloc[:0])
    assert set(none.values()) == {0}


def test_llms_of_several_sources_are_not_ranked_across(fitted_as_two: tuple[Posterior, xr.Dataset]):
    posterior, test = fitted_as_two
    told = {"sources": ["a", "b"], "llm_sources": llm_sources(test)}
    frame = llm_frame(replace(posterior, record=posterior.record | told))
    assert frame["sources"].tolist() == ["a, b"] * 4 + ["a"] * 2
    for _, part in frame.groupby("sources"):
        assert part["ability"].is_monotonic_decreasing
    assert "sources" not in llm_frame(posterior)


@pytest.mark.slow
@pytest.mark.parametrize("good", [True, False])
def test_what_ships_depends_on_the_joint_fit(
    two_sources: tuple[xr.Dataset, LinkedLLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: bool
):
    """End to end with draws that are far too few; whether they pass the gate is set by hand."""
    data, link = two_sources
    original = reference_model.fit

    def fit(*arguments: object, **named: object) -> Posterior:
        posterior = original(*arguments, **named)
        complaints = () if good else ("too few draws",)
        return replace(posterior, gate=replace(posterior.gate, complaints=complaints))

    monkeypatch.setattr(reference_model, "fit", fit)
    monkeypatch.setattr("bayes_irt_router.evaluation.linked_fits.TOLERANCE", 10.0)
    pairs = shared_queries(data, similarity=0.999)
    quick = NUTS(draws=20, tune=20, chains=2, max_tree_depth=4)
    settings = ReferenceSettings(
        MIRT(traits=1), quick, kept_draws=20, landmarks=8, check_sampler=quick, check_queries=30
    )
    written = build_reference(
        on_one_side(data, pairs), declined(data, pairs), [link], settings,
        output=tmp_path / "models", runs=tmp_path / "runs", origin=ORIGIN, command="this", commit="0", progress=False,
    )  # fmt: skip
    assert [path.name for path in written] == (["reference"] if good else ["a", "b"])
    for folder in written:
        posterior = load(folder)
        assert posterior.size == 20
        assert posterior.tree["queries"].sizes["query"] == 0
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert ("taken apart" in card) == good
        assert [name for name in data["query"].values if str(name) in card] == []

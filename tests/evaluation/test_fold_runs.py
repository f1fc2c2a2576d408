"""Folds run, resumed, recorded and pooled; fits are far too short to converge, and it is said so."""

import io
import json
from contextlib import redirect_stderr
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.baselines.local_means import LLMMean, NearestNeighbours
from bayes_irt_router.evaluation.choice_scores import aiq_differences
from bayes_irt_router.evaluation.fold_fits import FoldSettings, predictions_usable, usable
from bayes_irt_router.evaluation.fold_runs import read_lines, run_fold, run_folds, time_left, write_lines
from bayes_irt_router.evaluation.judged import load_judged, save_judged
from bayes_irt_router.evaluation.metrics import ece, log_loss
from bayes_irt_router.evaluation.pooling import pool, read_folds
from bayes_irt_router.evaluation.prediction_scores import log_loss_differences
from bayes_irt_router.evaluation.protocols import make_fold
from bayes_irt_router.evaluation.routing_analysis import by_difficulty, deciles
from bayes_irt_router.evaluation.splits import make_splits
from bayes_irt_router.inference.neural_training import Training
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.storage import load, save
from bayes_irt_router.irt.ability_table import ABILITIES
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.nirt import NIRT

SETTINGS = FoldSettings(
    model=MIRT(traits=1),
    sampler=NUTS(draws=12, tune=12, chains=2, max_tree_depth=3),
    baselines=(LLMMean(), NearestNeighbours()),
    provenance={"data": "simulated", "commit": "abc"},
)


class TextLengths:
    """An encoder without weights: a vector that depends on the text, of unit norm."""

    name, fingerprint, revision = "text lengths", "1", "1"

    def embed(self, texts, *, progress=False):
        vectors = np.array([np.cos(np.arange(16) * (len(text) % 97)) + 0.01 for text in texts])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def folds(bank):
    data = bank(queries=60).drop_vars(["embedding", "surface", "surface_feature"])
    # Every LLM answers every query, so that there is something to route in both folds.
    filled = {
        name: data[name].fillna(data[name].max()) for name in ("score", "input_tokens", "output_tokens")
    }
    data = data.assign({**filled, "trials": data["trials"].clip(min=1)})
    splits = make_splits(data, seed=0, folds=2)
    return [make_fold(data, splits, "queries", index) for index in range(2)]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    return tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def results(folds, places):
    runs, cache = places
    return [run_fold(fold, SETTINGS, runs, TextLengths(), cache, progress=False) for fold in folds]


@pytest.fixture(scope="module")
def judged(results):
    return [result.judged for result in results]


def no_fit(*arguments, **options):
    raise AssertionError("It was fitted again.")


def test_a_finished_fold_is_read_and_says_the_same(results, folds, places, monkeypatch):
    monkeypatch.setattr("bayes_irt_router.evaluation.fold_fits.fit", no_fit)
    again = run_fold(folds[0], SETTINGS, places[0], TextLengths(), places[1], progress=False)
    assert again.line == results[0].line
    for name in results[0].judged.data_vars:
        np.testing.assert_array_equal(again.judged[name].values, results[0].judged[name].values)


def test_a_fold_interrupted_after_its_fit_ends_as_one_run(results, folds, places, monkeypatch):
    runs, cache = places
    kept = (runs / "queries-0.nc").read_bytes()
    (runs / "queries-0.nc").unlink()
    monkeypatch.setattr("bayes_irt_router.evaluation.fold_fits.fit", no_fit)
    again = run_fold(folds[0], SETTINGS, runs, TextLengths(), cache, progress=False)
    (runs / "queries-0.nc").write_bytes(kept)
    timed = {"seconds"}
    assert {k: v for k, v in again.line.items() if k not in timed} == {
        k: v for k, v in results[0].line.items() if k not in timed
    }
    np.testing.assert_array_equal(again.judged["p"].values, results[0].judged["p"].values)


def test_what_was_fitted_otherwise_is_refused(results, folds, places):
    runs, cache = places
    with pytest.raises(InputError, match="another model"):
        run_fold(folds[0], replace(SETTINGS, model=MIRT(traits=2)), runs, TextLengths(), cache, False)
    for other, told in (
        (replace(SETTINGS, seed=1), "another seed"),
        (replace(SETTINGS, sampler=replace(SETTINGS.sampler, draws=13)), "another sampler"),
    ):
        with pytest.raises(InputError, match=told):
            run_fold(folds[0], other, runs, TextLengths(), cache, False)
    stranger = replace(folds[0], train=folds[1].train)
    with pytest.raises(InputError, match="other data"):
        run_fold(stranger, SETTINGS, runs, TextLengths(), cache, progress=False)


def test_a_stack_is_judged_with_its_parts_beside_it(results, folds, places, monkeypatch):
    runs, cache = places
    settings = replace(
        SETTINGS,
        nirt=NIRT(abilities=ABILITIES[:4], units=3, hidden=8, factors=2),
        training=Training(networks=2, passes=2, steps=2, batch=32, validation=0.2),
    )
    found = [run_fold(fold, settings, runs, TextLengths(), cache, progress=False) for fold in folds]
    assert [len(one.line["stacked"]) for one in found] == [1, 1]
    p = found[0].judged["p"]
    assert p["predictor"].values.tolist() == ["model", "mirt", "nirt", "llm_mean", "knn_embedding"]
    np.testing.assert_array_equal(p.sel(predictor="mirt"), results[0].judged["p"].sel(predictor="model"))
    # Half of the 24 draws are the MIRT's: its mean over them is not its mean over all.
    parts = p.sel(predictor=["mirt", "nirt"]).mean("predictor")
    assert np.abs(p.sel(predictor="model") - parts).max() < 0.2
    assert np.abs(p.sel(predictor="model") - parts).mean() < 0.05
    lines = [one.line for one in found]
    judged, _ = read_folds(runs, "queries", [{**one, "converged": True} for one in lines], suffix="-stack")
    assert {"mirt", "nirt"} <= set(pool(judged).losses)
    monkeypatch.setattr("bayes_irt_router.evaluation.fold_fits.fit", no_fit)
    monkeypatch.setattr("bayes_irt_router.evaluation.fold_fits.fit_nirt", no_fit)
    assert run_fold(folds[0], settings, runs, TextLengths(), cache, progress=False).line == lines[0]
    with pytest.raises(InputError, match="another model or seed"):
        run_fold(folds[0], replace(settings, nirt=NIRT()), runs, TextLengths(), cache, False)
    assert run_fold(folds[0], SETTINGS, runs, TextLengths(), cache, progress=False).line == results[0].line


def test_unconverged_folds_are_marked_and_left_out_of_pooling(results, places):
    lines = [result.line for result in results]
    assert all(line["converged"] == (line["largest_r_hat"] <= 1.05) for line in lines)
    good, bad = {**lines[0], "converged": True}, {**lines[1], "converged": False}
    judged, excluded = read_folds(places[0], "queries", [good, bad])
    assert len(judged) == 1
    assert len(excluded) == 1
    assert "queries-1" in excluded[0]
    judged, told = read_folds(places[0], "queries", [good, bad], unconverged=True)
    assert len(judged) == 2
    assert "queries-1 has not converged and is not left out" in told[0]
    with pytest.raises(InputError, match="no fold to pool"):
        pool([], excluded=excluded)


def test_of_the_shuffled_control_only_predictions_must_converge(results, places, tmp_path):
    runs, _ = places
    posterior = load(runs / "queries-0")
    table = posterior.gate.table
    of_predictions = table["quantity"].str.startswith(("cell", "LLM mean", "A Cov"))
    calm = replace(
        posterior, gate=replace(posterior.gate, table=table.assign(r_hat=np.where(of_predictions, 1.0, 2.0)))
    )
    wild = replace(posterior, gate=replace(posterior.gate, table=table.assign(r_hat=2.0)))
    assert predictions_usable(calm)
    assert not usable(calm)
    assert not predictions_usable(wild)
    line = {**results[0].line, "converged": False}
    for kept, one in ((1, calm), (0, wild)):
        save(one, tmp_path / "shuffled-0")
        save_judged(tmp_path / "shuffled-0.nc", results[0].judged)
        judged, told = read_folds(tmp_path, "shuffled", [line])
        assert len(judged) == kept
        assert len(told) == 1


def test_unconverged_folds_are_fitted_again_if_asked(results, folds, places, monkeypatch):
    assert not results[0].line["converged"]  # 12 draws of 2 chains
    monkeypatch.setattr("bayes_irt_router.evaluation.fold_fits.fit", no_fit)
    with pytest.raises(AssertionError, match="fitted again"):
        run_fold(
            folds[0], replace(SETTINGS, refit_unconverged=True), places[0], TextLengths(), places[1], False
        )


def test_lines_hold_no_text_and_replace_earlier_ones(results, folds, tmp_path):
    path = tmp_path / "lines.jsonl"
    write_lines(path, [results[1].line])
    write_lines(path, [results[0].line])
    write_lines(path, [{**results[1].line, "commit": "def"}])
    lines = read_lines(path)
    assert [line["fold"] for line in lines] == [0, 1]
    assert lines[1]["commit"] == "def"
    assert lines[0] == json.loads(json.dumps(results[0].line))
    assert not any(str(text) in path.read_text() for text in folds[0].test["text"].values)
    path.write_text("no json\n")
    with pytest.raises(InputError, match="damaged"):
        read_lines(path)


def test_progress_promises_nothing_before_a_fold_was_run(results, folds, places):
    heard = io.StringIO()
    with redirect_stderr(heard):
        list(run_folds(folds, SETTINGS, places[0], TextLengths(), places[1], progress=True))
    assert heard.getvalue().count("no estimate yet") == 2  # both were read from the disk
    assert time_left([], [100]) is None
    assert time_left([(100, 10.0), (300, 30.0)], [200]) == 20.0


def test_pooled_scores_are_over_all_cells(judged):
    found = pool(judged)
    p = np.concatenate([one["p"].sel(predictor="model").values for one in judged])
    score = np.concatenate([one["score"].values for one in judged])
    assert found.prediction["model"]["log_loss"] == pytest.approx(log_loss(p, score))
    assert found.prediction["model"]["ece"] == pytest.approx(ece(p, score))
    assert found.folds["queries"] == len(score)
    json.dumps(found.to_dict())
    assert set(found.prediction_table().index) == {"model", "llm_mean", "knn_embedding"}
    assert set(found.control_table().index) == {"model", "llm_mean", "knn_embedding"}
    assert len(found.calibration_sentences()) == 3


def test_where_folds_are_tasks_whole_folds_are_resampled(judged):
    queries, tasks = pool(judged), pool(judged, tasks=True)
    assert queries.to_dict()["interval"]["method"] == "bootstrap over queries"
    assert tasks.to_dict()["interval"]["method"] == "bootstrap over tasks"
    for name, paired in tasks.losses.items():
        assert paired.difference == pytest.approx(queries.losses[name].difference)
        # Two tasks drawn with replacement: each alone in a quarter of the resamples, so the ends are their own differences.
        own = [log_loss_differences([one], np.random.default_rng(0))[name].difference for one in judged]
        assert (paired.lower, paired.upper) == pytest.approx((min(own), max(own)))
    assert tasks.familiarity["queries"].sum() == sum(one.sizes["query"] for one in judged)
    assert json.loads(json.dumps(tasks.to_dict(), default=str))["familiarity"]


def test_a_method_does_not_differ_from_itself(judged):
    twins = []
    for one in judged:
        names = np.where(one["predictor"].values == "llm_mean", "twin", one["predictor"].values)
        twin = one.copy(deep=True).assign_coords(predictor=names)
        for name in twin.data_vars:
            if "predictor" in twin[name].dims:
                twin[name].loc[{"predictor": "twin"}] = twin[name].sel(predictor="model").values
        twins.append(twin)
    paired = log_loss_differences(twins, np.random.default_rng(0))["twin"]
    assert (paired.difference, paired.lower, paired.upper) == (0.0, 0.0, 0.0)


def test_pooled_reward_is_the_mean_of_the_folds_weighted_by_queries(judged):
    single = [pool([one]).routing for one in judged]
    sizes = [one.sizes["query"] for one in judged]
    for name, by_alpha in pool(judged).routing.items():
        for alpha, one in by_alpha.items():
            mean = np.average([scores[name][alpha].reward for scores in single], weights=sizes)
            assert one.reward == pytest.approx(mean)
            assert one.cost_usd == pytest.approx(sum(scores[name][alpha].cost_usd for scores in single))


def test_areas_under_the_curve_are_compared_on_the_same_queries(judged):
    paired = aiq_differences(judged, np.random.default_rng(0))
    curve = pool(judged).curve
    assert {"llm_mean", "knn_embedding", "oracle"} <= set(paired)
    for name, one in paired.items():
        assert one.difference == pytest.approx(curve[name]["aiq"] - curve["model"]["aiq"])
        assert one.lower < one.difference < one.upper
    # Nothing of a fixed choice varies but the queries, so against itself there is nothing.
    twins = [one.sel(choice=["model", "model"]).assign_coords(choice=["model", "twin"]) for one in judged]
    twin = aiq_differences(twins, np.random.default_rng(0))["twin"]
    assert (twin.difference, twin.lower, twin.upper) == (0.0, 0.0, 0.0)


def test_folds_whose_strong_llm_is_the_weaker_one_do_not_undo_the_others(judged):
    turned = judged[1].assign_attrs(weak=judged[1].attrs["strong"], strong=judged[1].attrs["weak"])
    apgr = [pool([one]).curve["model"]["apgr"] for one in (*judged, turned)]
    assert sum(np.isnan(apgr)) == 1  # of the second fold one way round
    pooled = pool([judged[0], turned if np.isnan(apgr[2]) else judged[1]]).curve["model"]["apgr"]
    assert pooled == pytest.approx(apgr[0])


def test_oracle_regrets_nothing_and_nobody_beats_it(judged):
    curve = pool(judged).curve
    for alpha in ("0.8", "0.5", "0.2"):
        assert curve["oracle"][f"regret_{alpha}"] == 0
        assert all(one[f"regret_{alpha}"] >= -1e-9 for one in curve.values())
        for name in ("model", "llm_mean", "knn_embedding"):
            tops = [curve[name][f"oracle_in_top_{k}_at_{alpha}"] for k in (1, 2, 3, 5)]
            assert tops == sorted(tops)
            assert 0 <= tops[0] <= tops[-1] <= 1
    assert curve["llm_mean"]["apgr"] == pytest.approx(0.5)  # it sees no difference between queries


def test_deciles_part_all_queries_and_shares_sum_to_one(judged):
    table = by_difficulty(judged, "knn_embedding", 0.8)
    assert table["queries"].sum() == sum(one.sizes["query"] for one in judged)
    assert table["difficulty"].is_monotonic_increasing
    llms = table.drop(columns=["queries", "difficulty", "accuracy", "cost_usd", "regret"])
    np.testing.assert_allclose(llms.sum(axis=1), 1)
    mean = np.average(table["accuracy"], weights=table["queries"])
    assert mean == pytest.approx(pool(judged).routing["knn_embedding"]["0.8"].accuracy)
    assert set(np.bincount(deciles(np.zeros(23)))) == {2, 3}


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "queries-0.nc"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="run that fold again"):
        load_judged(path)
    xr.Dataset({"p": 1.0}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="lacks"):
        load_judged(path)

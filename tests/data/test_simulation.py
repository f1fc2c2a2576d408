"""The simulated benchmark: agrees with its truth, leaves routing something to do, and survives the disk."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.question_bank import TASKS
from bayes_irt_router.data.simulation import TRAITS, TRUTH_FILE, read_truth, simulate, write_simulation
from bayes_irt_router.errors import InputError

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module", params=SEEDS)
def simulation(request):
    return simulate(np.random.default_rng(request.param))


def _accuracy_by_task(simulation):
    """True accuracy, dims (task, llm)."""
    return simulation.truth["p_correct"].groupby(simulation.dataset["task"]).mean()


def test_same_seed_same_benchmark_other_seed_another():
    first, again, other = (simulate(np.random.default_rng(seed), queries=64) for seed in (1, 1, 2))
    assert first.dataset.identical(again.dataset)
    assert first.truth.identical(again.truth)
    assert not first.dataset["score"].equals(other.dataset["score"])
    assert not np.allclose(first.truth["ability"], other.truth["ability"])


@settings(max_examples=20, deadline=None)
@given(
    queries=st.integers(32, 100),
    llms=st.integers(4, 20),
    traits=st.integers(1, 5),
    observed=st.floats(0.01, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_shapes_ranges_and_missing_cells(queries, llms, traits, observed, seed):
    simulation = simulate(
        np.random.default_rng(seed), queries=queries, llms=llms, traits=traits, observed=observed
    )
    dataset, truth = simulation.dataset, simulation.truth
    assert dict(dataset.sizes) == {"query": queries, "llm": llms}
    assert dict(truth.sizes) == {"query": queries, "llm": llms, "trait": traits}
    assert tuple(truth["trait"].values) == TRAITS[:traits]
    answered = dataset["trials"] == 1
    assert (answered | (dataset["trials"] == 0)).all()
    assert answered.any("llm").all()
    for name in ("score", "input_tokens", "output_tokens"):
        assert (dataset[name].notnull() == answered).all()
    assert set(np.unique(dataset["score"].values[answered.values])) <= {0.0, 1.0}
    assert (dataset["output_tokens"].values[answered.values] >= 1).all()
    assert np.isfinite(truth["p_correct"]).all()
    assert (truth["discrimination"] > 0).all()
    assert len(set(dataset["text"].values)) == queries
    for split in ("train", "test"):
        assert set(dataset["task"].values[dataset["split"].values == split]) == set(TASKS)


def test_truth_follows_the_item_response_function(simulation):
    truth = simulation.truth
    logit = xr.dot(truth["discrimination"], truth["ability"], dim="trait") - truth["difficulty"]
    np.testing.assert_allclose(
        truth["p_correct"].transpose(*logit.dims), 1 / (1 + np.exp(-logit)), rtol=1e-12
    )
    np.testing.assert_allclose(truth["ability"].mean("llm"), 0.0, atol=1e-12)


def test_scores_are_calibrated_against_the_truth(simulation):
    # In each of 20 groups of cells with like p, the standardised count of right answers is about N(0, 1), so
    # the sum of squares is about chi-squared with 20 degrees of freedom. Its 1 - 1e-4 quantile is 52.4: over
    # the three seeds the error rate is 3e-4.
    observed = simulation.dataset["score"].notnull().values
    score = simulation.dataset["score"].values[observed]
    p = simulation.truth["p_correct"].transpose("query", "llm").values[observed]
    groups = np.array_split(np.argsort(p), 20)
    squares = [(score[g] - p[g]).sum() ** 2 / (p[g] * (1 - p[g])).sum() for g in groups]
    assert sum(squares) < 52.4


def test_questions_of_a_higher_level_are_harder(simulation):
    # Between the halves the difficulty differs by about 1.4 logits with a standard error below 0.1, the rate
    # of right answers by about 0.25 with a standard error below 0.03: both bounds are 5 standard errors away
    # or more, an error rate below 1e-6.
    upper = simulation.truth["level"].values > 0.5
    difficulty = simulation.truth["difficulty"].values
    assert difficulty[upper].mean() > difficulty[~upper].mean() + 0.7
    rate = simulation.dataset["score"].mean("llm").values
    assert rate[upper].mean() < rate[~upper].mean() - 0.1


def test_accuracies_span_a_useful_range(simulation):
    accuracy = simulation.truth["p_correct"].mean("query")
    assert 0.2 < accuracy.min() < 0.45
    assert 0.75 < accuracy.max() < 0.95


def test_routing_has_something_to_do(simulation):
    by_task = _accuracy_by_task(simulation)
    prices = simulation.dataset["output_price_per_million"]
    overall = simulation.truth["p_correct"].mean("query")
    best = overall.idxmax("llm").item()
    # Nobody is best at everything, and the cheapest is not the best.
    assert len(set(by_task.idxmax("llm").values.tolist())) > 1
    assert prices.idxmin("llm").item() != best
    # Choosing by task beats the best single LLM, and so does the oracle.
    assert by_task.max("llm").mean() > overall.max() + 0.005
    assert simulation.truth["p_correct"].max("llm").mean() > overall.max() + 0.005
    # Dear ones are better on the whole.
    assert np.corrcoef(np.log(prices), overall)[0, 1] > 0.4


def test_specialists_are_cheap_and_good_at_one_thing(simulation):
    by_task = _accuracy_by_task(simulation)
    prices = simulation.dataset["output_price_per_million"]
    dearest = prices.idxmax("llm").item()
    for task in ("code_output", "general_knowledge"):
        cheap = by_task.sel(task=task).where(prices < prices.sel(llm=dearest) / 20)
        assert cheap.max() > by_task.sel(task=task, llm=dearest) - 0.1


def test_harder_questions_and_wordier_llms_get_longer_answers(simulation):
    # 600 questions, each the mean of about 18 log lengths: the slope is 0.25 with a standard error below
    # 0.01, so 0.15 is ten standard errors away.
    log_tokens = np.log(simulation.dataset["output_tokens"])
    difficulty = simulation.truth["difficulty"].values
    assert np.polyfit(difficulty, log_tokens.mean("llm").values, 1)[0] > 0.15
    # Between LLMs the log lengths differ by up to 0.65; the standard error of each mean is below 0.03.
    assert log_tokens.mean("query").max() - log_tokens.mean("query").min() > 0.4


def test_one_llm_misses_a_task_only_when_cells_are_missing(simulation):
    answered = simulation.dataset["score"].notnull()
    # Each of the 320 pairs of a task and an LLM has about 37 cells, each missing with probability 0.1: all
    # are missing by chance with probability below 1e-30.
    share = answered.groupby(simulation.dataset["task"]).mean()
    assert int((share == 0).sum()) == 1
    # 9,600 training cells: the standard error of the share is 0.003; about 30 more are missing on purpose.
    train = simulation.dataset["split"] == "train"
    assert 0.88 < float(answered[train.values].mean()) < 0.91
    # One LLM's task apart, the test split is complete: routing can be judged on it.
    assert int((~answered[~train.values]).any("query").sum()) == 1
    complete = simulate(np.random.default_rng(0), queries=48, observed=1.0)
    assert complete.dataset["score"].notnull().all()


def test_round_trip_to_disk(tmp_path):
    simulation = simulate(np.random.default_rng(4), queries=48)
    directory = tmp_path / "new" / "bank"
    write_simulation(simulation, directory)
    xr.testing.assert_equal(read_truth(directory), simulation.truth)
    again = read_dataset(directory)
    xr.testing.assert_equal(again, simulation.dataset)
    write_simulation(simulate(np.random.default_rng(5), queries=40), directory)
    assert read_truth(directory).sizes["query"] == 40
    assert sorted(path.name for path in directory.iterdir()) == sorted(
        ["responses.parquet", "queries.parquet", "llms.parquet", TRUTH_FILE]
    )


def test_a_place_that_cannot_be_written_is_left_as_it_was(tmp_path):
    (tmp_path / "responses.csv").write_text("query_id,llm,score\n")
    with pytest.raises(InputError, match=r"responses\.csv"):
        write_simulation(simulate(np.random.default_rng(4), queries=32), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["responses.csv"]


def test_missing_damaged_and_foreign_truth_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_truth(tmp_path)
    write_simulation(simulate(np.random.default_rng(4), queries=32), tmp_path)
    content = (tmp_path / TRUTH_FILE).read_bytes()
    for damaged in (b"", b"not a file of this kind", content[:3000], content[: len(content) // 2]):
        (tmp_path / TRUTH_FILE).write_bytes(damaged)
        with pytest.raises(InputError, match="damaged"):
            read_truth(tmp_path)
    xr.Dataset({"other": ("x", [1.0])}).to_netcdf(tmp_path / TRUTH_FILE, engine="h5netcdf")
    with pytest.raises(InputError, match="lacks ability"):
        read_truth(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ({"queries": 31}, 1),
        ({"llms": 3}, 1),
        ({"llms": 21}, 1),
        ({"traits": 0}, 1),
        ({"traits": 6}, 1),
        ({"observed": 0.0}, 1),
        ({"observed": 1.01}, 1),
        ({"observed": float("nan")}, 1),
        ({"queries": 0, "llms": 0, "traits": 0, "observed": -1.0}, 4),
    ],
)
def test_arguments_out_of_range_are_refused_all_at_once(arguments, problems):
    with pytest.raises(InputError) as caught:
        simulate(np.random.default_rng(0), **arguments)
    assert len(caught.value.problems) == problems

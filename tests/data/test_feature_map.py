from functools import cache

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_irt_router.data.feature_map import (
    SURFACE_LIMIT,
    SURFACE_WEIGHT,
    FeatureMap,
    fit_feature_map,
)
from bayes_irt_router.data.unseen_task import OWN_SHARE
from bayes_irt_router.errors import InputError

DIMS = 24


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def featurized(embedding, surface):
    names = [f"surface_{k}" for k in range(surface.shape[1])]
    return xr.Dataset(
        {
            "embedding": (("query", "embedding_dim"), embedding.astype(np.float32)),
            "surface": (("query", "surface_feature"), surface),
        },
        coords={"query": [f"q{i}" for i in range(len(embedding))], "surface_feature": names},
    )


def clustered(queries=120, clusters=6, seed=0):
    """Queries that lie in narrow clusters, as prompts of a few tasks do, with three surface features."""
    rng = np.random.default_rng(seed)
    centres, looks = rng.standard_normal((clusters, DIMS)), rng.standard_normal((clusters, 3))
    cluster = np.arange(queries) % clusters
    embedding = centres[cluster] + 0.2 * rng.standard_normal((queries, DIMS))
    look = looks[cluster] + 0.1 * rng.standard_normal((queries, 3))
    return featurized(unit(embedding), np.array([5.0, -1.0, 0.0]) + np.array([2.0, 0.1, 1.0]) * look)


def positions(feature_map, data):
    """Embedding and weighted surface features, written out."""
    standardised = (data["surface"].values - feature_map.surface_mean) / feature_map.surface_scale
    return np.hstack([data["embedding"].values, standardised * np.sqrt(SURFACE_WEIGHT / 3)])


def exact_kernel(a, b, lengthscale):
    """The squared exponential, entry by entry."""
    return np.array([[np.exp(-np.sum((x - y) ** 2) / (2 * lengthscale**2)) for y in b] for x in a])


def kernel_part(feature_map, embedding, surface=None):
    """The kernel's columns and the novelty; without surface features at their training means."""
    if surface is None:
        surface = np.tile(feature_map.surface_mean, (len(embedding), 1))
    features, novelty = feature_map.transform(embedding, surface)
    return features[:, len(feature_map.surface_names) :], novelty


@pytest.mark.parametrize("lengthscale", [0.7, 1.0, 1.5])
def test_basis_gives_the_exact_kernel_at_the_landmarks(lengthscale):
    feature_map = fit_feature_map(clustered(), lengthscale=lengthscale, landmarks=20)
    embedding, look = feature_map.landmarks[:, :DIMS], feature_map.landmarks[:, DIMS:]
    surface = feature_map.surface_mean + feature_map.surface_scale * look / np.sqrt(SURFACE_WEIGHT / 3)
    phi, novelty = kernel_part(feature_map, embedding, surface)
    exact = exact_kernel(feature_map.landmarks, feature_map.landmarks, lengthscale)
    np.testing.assert_allclose(phi @ phi.T, exact, atol=1e-4)
    np.testing.assert_allclose(novelty, 0.0, atol=1e-4)


def test_basis_approximates_the_kernel_between_training_queries():
    data = clustered()
    feature_map = fit_feature_map(data)
    phi, _ = kernel_part(feature_map, data["embedding"].values, data["surface"].values)
    place = positions(feature_map, data)
    exact = exact_kernel(place, place, feature_map.lengthscale)
    assert np.abs(phi @ phi.T - exact).max() < 0.25
    assert np.sqrt(np.mean((phi @ phi.T - exact) ** 2)) < 0.03


@cache
def small_map(components):
    return fit_feature_map(clustered(queries=40), components=components)


@settings(deadline=None)  # the first use of each map fits it
@given(st.integers(0, 10**6), st.sampled_from([1, 4, 128]))
def test_the_basis_never_holds_more_than_the_prior_variance(seed, components):
    feature_map = small_map(components)
    embedding = unit(np.random.default_rng(seed).standard_normal((5, DIMS)))
    phi, novelty = kernel_part(feature_map, embedding)
    held = (phi**2).sum(axis=1)
    assert (held <= 1 + 1e-5).all()
    assert ((novelty >= 0) & (novelty <= 1)).all()
    np.testing.assert_allclose(held + novelty, 1.0, atol=1e-5)


def test_novelty_is_small_in_training_larger_for_its_like_and_largest_far_away():
    data, new = clustered(), clustered(seed=0, queries=240).isel(query=slice(120, None))
    feature_map = fit_feature_map(data)
    inside = feature_map.apply(data)["novelty"].values
    alike = feature_map.apply(new)["novelty"].values
    far = kernel_part(feature_map, unit(np.random.default_rng(9).standard_normal((100, DIMS))))[1]
    odd = kernel_part(feature_map, data["embedding"].values, np.full(data["surface"].shape, 50.0))[1]
    beyond = kernel_part(feature_map, np.full((1, DIMS), 100.0))[1]
    assert inside.mean() < 0.2
    assert far.min() > inside.max()
    assert inside.mean() < alike.mean() < far.mean()
    assert odd.min() > inside.max()  # a familiar meaning in an unfamiliar look
    assert beyond == 1.0


def test_fewer_components_mean_more_novelty_and_the_same_axes():
    data = clustered()
    full, part = fit_feature_map(data), fit_feature_map(data, components=3)
    assert len(part.feature_names) == 3 + 3
    (phi, novelty), (phi_part, novelty_part) = (
        kernel_part(m, data["embedding"].values, data["surface"].values) for m in (full, part)
    )
    np.testing.assert_allclose(phi_part, phi[:, :3], atol=1e-6)
    assert (novelty_part >= novelty - 1e-6).all()
    # The first axes are the ones along which the training queries differ most.
    assert (np.diff((phi**2).sum(axis=0)) <= 1e-4).all()


def test_surface_features_are_standardised_and_clipped():
    data = clustered()
    feature_map = fit_feature_map(data)
    features = feature_map.apply(data)["features"].values[:, :3]
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(features.std(axis=0), 1.0, atol=1e-5)
    extreme = np.array([[1e9, -1e9, 0.0]])
    clipped = feature_map.transform(data["embedding"].values[:1], extreme)[0][0, :3]
    assert clipped[:2].tolist() == [SURFACE_LIMIT, -SURFACE_LIMIT]
    assert np.abs(clipped[2]) < 1


def test_constant_surface_features_are_dropped():
    data = clustered()
    data["surface"][:, 1] = 7.0
    feature_map = fit_feature_map(data)
    assert feature_map.surface_names == ("surface_0", "surface_2")
    applied = feature_map.apply(data)
    assert applied["feature"].values[:3].tolist() == ["surface_0", "surface_2", "kernel_0"]
    assert applied["feature_group"].values[:3].tolist() == ["surface", "surface", "kernel"]
    data["surface"][:] = 0.0
    assert fit_feature_map(data).apply(data)["feature_group"].values.tolist()[0] == "kernel"


def test_columns_are_found_by_name():
    data = clustered()
    feature_map = fit_feature_map(data)
    turned = data.isel(surface_feature=[2, 0, 1])
    xr.testing.assert_equal(feature_map.apply(turned)["features"], feature_map.apply(data)["features"])


def test_a_row_does_not_depend_on_the_other_rows():
    data = clustered()
    feature_map = fit_feature_map(data)
    whole = feature_map.apply(data)
    for i in (0, 77):
        one = feature_map.apply(data.isel(query=[i]))
        np.testing.assert_allclose(one["features"].values[0], whole["features"].values[i], atol=1e-6)


def test_same_seed_same_map():
    data = clustered()
    first, second, other = (fit_feature_map(data, landmarks=10, seed=seed) for seed in (3, 3, 4))
    xr.testing.assert_identical(first.to_dataset(), second.to_dataset())
    assert not np.array_equal(first.landmarks, other.landmarks)


def test_repeated_prompts_are_no_obstacle():
    data = clustered(queries=10).isel(query=np.repeat(np.arange(10), 20))
    feature_map = fit_feature_map(data)
    assert len(feature_map.landmarks) <= 10
    assert np.isfinite(feature_map.apply(data)["features"].values).all()


def test_dataset_round_trip():
    feature_map = fit_feature_map(clustered(), lengthscale=1.3)
    again = FeatureMap.from_dataset(feature_map.to_dataset())
    xr.testing.assert_identical(again.to_dataset(), feature_map.to_dataset())
    data = clustered(seed=1)
    xr.testing.assert_identical(again.apply(data), feature_map.apply(data))
    assert again.feature_names == feature_map.feature_names


def test_the_map_knows_the_mean_of_phi_and_an_older_one_nearly():
    data = clustered()
    feature_map = fit_feature_map(data)
    phi = feature_map.apply(data)["features"].values
    np.testing.assert_allclose(feature_map.feature_mean, phi.mean(axis=0), atol=1e-6)
    older = FeatureMap.from_dataset(feature_map.to_dataset().drop_vars("feature_mean"))
    assert older.feature_mean.shape == feature_map.feature_mean.shape
    off = np.linalg.norm(older.feature_mean - feature_map.feature_mean)
    assert off < 0.2 * np.linalg.norm(phi - phi.mean(axis=0), axis=1).mean()


def test_a_dataset_without_embedding_or_surface_is_refused():
    data, feature_map = clustered(), fit_feature_map(clustered())
    bare = data.drop_vars(["embedding", "surface"])
    for use in (fit_feature_map, feature_map.apply):
        with pytest.raises(InputError, match="no embedding and no surface; call featurize"):
            use(bare)
    with pytest.raises(InputError, match="needs the surface features surface_0, surface_2"):
        feature_map.apply(data.isel(surface_feature=[1]))


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(InputError) as caught:
        fit_feature_map(clustered(queries=7), landmarks=0, components=-1, lengthscale=0.0)
    problems = caught.value.problems
    assert len(problems) == 4
    assert "at least 8 queries, not 7" in problems[0]
    for name, problem in zip(("landmarks", "components", "lengthscale"), problems[1:], strict=True):
        assert problem.startswith(name)


def with_tasks(data, tasks=3):
    """Six narrow clusters, two for each task: membership can be read from the position."""
    names = np.array([f"t{k}" for k in range(tasks)])
    return data.assign_coords(task=("query", names[np.arange(data.sizes["query"]) % tasks]))


def test_kernel_is_the_mean_of_likeness_and_of_the_probability_of_one_task():
    data = with_tasks(clustered())
    plain, told = fit_feature_map(clustered()), fit_feature_map(data)
    features, _ = told.transform(data["embedding"].values, data["surface"].values)
    kernel, _ = kernel_part(plain, data["embedding"].values, data["surface"].values)
    membership = told.membership(positions(told, data))
    process = features[:, 3:]
    np.testing.assert_allclose(
        process @ process.T, (kernel @ kernel.T + membership @ membership.T) / 2, atol=1e-4
    )
    assert told.feature_names[-3:] == ["task_t0", "task_t1", "task_t2"]
    assert told.feature_groups[-4:] == ["kernel", "task", "task", "task"]


def test_a_query_of_no_clear_task_is_more_novel():
    data = with_tasks(clustered())
    feature_map = fit_feature_map(data)
    first, second = (data["embedding"].values[k].astype(float) for k in (0, 1))
    looks = data["surface"].values[:2]
    between = unit((first + second)[None])
    _, novelty = feature_map.transform(np.vstack([first, second, between]), np.vstack([looks, looks.mean(0)]))
    assert novelty[2] > novelty[:2].max() + 0.1
    assert ((novelty >= 0) & (novelty <= 1)).all()


def test_tasks_that_cannot_be_told_apart_change_nothing():
    data = clustered()
    one = data.assign_coords(task=("query", ["only"] * data.sizes["query"]))
    rare = np.array(["common"] * data.sizes["query"], dtype=object)
    rare[:5], rare[5:20] = "rare", ""
    for told in (one, data.assign_coords(task=("query", rare.astype(str)))):
        feature_map = fit_feature_map(told)
        assert feature_map.task_names == ()
        features = feature_map.apply_in_training(told)["features"].values
        np.testing.assert_array_equal(features, fit_feature_map(data).apply(data)["features"].values)


def test_training_memberships_are_as_sure_as_those_of_new_queries():
    """Embeddings that say nothing about the task: an analysis that has seen a query is surer of its task, one that has not is not.

    Means over nine banks, where the difference of one bank has an SD of 0.012: three standard errors are 0.012.
    """

    def own(applied, task):
        return float(applied["features"].sel(feature=[f"task_{t}" for t in task]).values.diagonal().mean())

    seen, cross_fitted = [], []
    for seed in range(9):
        rng = np.random.default_rng(seed)
        data, new = (
            featurized(unit(rng.standard_normal((300, DIMS))), rng.standard_normal((300, 3)))
            for _ in range(2)
        )
        task = rng.choice(["a", "b", "c"], 300)
        data = data.assign_coords(task=("query", task))
        feature_map = fit_feature_map(data)
        chance = own(feature_map.apply(new), task)  # the new queries' positions with the others' tasks
        seen.append(own(feature_map.apply(data), task) - chance)
        cross_fitted.append(own(feature_map.apply_in_training(data), task) - chance)
    assert np.mean(seen) > 0.03
    assert abs(np.mean(cross_fitted)) < 0.012


def test_maps_of_older_folders_have_normal_tails_and_nothing_learned_of_unseen_tasks():
    data = with_tasks(clustered())
    feature_map = fit_feature_map(data)
    saved = feature_map.to_dataset()
    added = [name for name in saved if name in ("unseen_task", "task_degrees", "task_typical", "task_spread")]
    older = FeatureMap.from_dataset(saved.drop_vars([*added, "task_outside", "task_outside_middle"]))
    assert np.isinf(older.membership.degrees)
    position = positions(feature_map, data)
    expected = scipy.stats.multivariate_normal
    z = position @ older.membership.discriminant.T
    seen = np.stack(
        [
            0.9 * share * expected(at).pdf(z)
            for share, at in zip(older.membership.share, older.membership.centre, strict=True)
        ],
        axis=1,
    )
    unseen = 0.1 * expected(older.membership.middle, np.diag(1.0 + older.membership.between)).pdf(z)
    np.testing.assert_allclose(
        older.membership(position), seen / (seen.sum(axis=1) + unseen)[:, None], atol=1e-6
    )


def test_membership_survives_saving():
    data = with_tasks(clustered())
    feature_map = fit_feature_map(data)
    again = FeatureMap.from_dataset(feature_map.to_dataset())
    xr.testing.assert_identical(again.apply(data), feature_map.apply(data))


def test_a_query_of_an_unseen_task_is_told_from_the_seen_ones():
    rng = np.random.default_rng(3)
    centres = unit(rng.standard_normal((9, DIMS)))
    task = np.repeat(np.arange(9), 60)
    data = featurized(
        unit(centres[task] + 0.1 * rng.standard_normal((540, DIMS))), rng.standard_normal((540, 3))
    )
    data = data.assign_coords(task=("query", [f"t{k}" for k in task]))
    feature_map = fit_feature_map(data.isel(query=task > 0))
    applied = feature_map.apply(data.drop_vars("task"))
    unseen = applied["unseen"].values
    assert unseen[task > 0].mean() < 0.1
    assert unseen[task == 0].mean() > 0.9
    assert applied["novelty"].values[task == 0].mean() > 0.6


def test_a_stated_task_that_was_not_seen_is_mostly_unseen_however_familiar_it_looks():
    data = with_tasks(clustered())
    feature_map = fit_feature_map(data)
    plain = feature_map.apply(data.drop_vars("task"))
    stated = np.array(["", str(data["task"].values[0]), "another data set"])[
        np.arange(data.sizes["query"]) % 3
    ]
    applied = feature_map.apply(data.assign_coords(task=("query", stated)))
    new = stated == "another data set"
    np.testing.assert_array_equal(applied["features"], plain["features"])
    look = plain["unseen"].values[new]
    np.testing.assert_allclose(applied["unseen"].values[new] ** 2, look + OWN_SHARE * (1 - look), atol=1e-6)
    for name in ("unseen", "novelty"):
        np.testing.assert_array_equal(applied[name].values[~new], plain[name].values[~new])
    told = applied["features"].values[new][:, applied["feature_group"].values == "task"]
    expected = np.minimum(plain["novelty"].values[new] + OWN_SHARE * (told**2).sum(axis=1), 1.0)
    np.testing.assert_allclose(applied["novelty"].values[new], expected, atol=1e-5)

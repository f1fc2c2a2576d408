import numpy as np
import pytest

from bayes_irt_router.data.feature_map import fit_feature_map
from bayes_irt_router.irt.llm_covariates import COVARIATES
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.starting_points import starting_points

VARIANTS = {
    **{f"traits {d}": MIRT(traits=d) for d in (1, 2, 3, 4)},
    "covariates": MIRT(traits=3, covariates=COVARIATES),
    "families": MIRT(traits=1, families=True),
    "both": MIRT(traits=2, covariates=COVARIATES, families=True),
}


@pytest.fixture(scope="module")
def mapped(bank):
    data = bank(40, llms=6, seed=1)
    return fit_feature_map(data).apply(data)


def graded(data):
    """Every score moved towards the middle, so that no count of right answers gives it."""
    return data.assign(score=0.1 + 0.73 * data["score"])


def log_densities(model, points):
    # Term by term: without machine code a sum has at most 32 terms.
    terms = model.compile_logp(mode="FAST_COMPILE", sum=False)
    names = {rv.name: model.rvs_to_values[rv].name for rv in model.free_RVs}
    values = [
        {names[name]: np.log(v) if "_log__" in names[name] else v for name, v in point.items()}
        for point in points
    ]
    return [float(sum(np.sum(term) for term in terms(value))) for value in values]


@pytest.mark.parametrize("change", [None, graded])
@pytest.mark.parametrize("variant", VARIANTS)
def test_points_name_the_model_s_free_variables_and_have_a_finite_density(mapped, variant, change):
    mirt, data = VARIANTS[variant], mapped if change is None else change(mapped)
    points = starting_points(mirt, data, 4, np.random.default_rng(0))
    model = mirt.build(data)
    shapes = {name.removesuffix("_log__"): value.shape for name, value in model.initial_point().items()}
    assert set(shapes) == {rv.name for rv in model.free_RVs}
    assert len(points) == 4
    for point in points:
        assert {name: value.shape for name, value in point.items()} == shapes
        assert all(np.isfinite(value).all() for value in point.values())
    assert np.isfinite(log_densities(model, points)).all()


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_density_is_finite_even_if_all_answers_are_alike(mapped, score):
    data = mapped.assign(score=mapped["score"] * 0 + score)
    points = starting_points(MIRT(traits=3), data, 2, np.random.default_rng(0))
    assert np.isfinite(log_densities(MIRT(traits=3).build(data), points)).all()


def test_points_are_dispersed_in_every_variable(mapped):
    mirt = VARIANTS["both"]
    points = starting_points(mirt, mapped, 4, np.random.default_rng(0))
    for name in points[0]:
        spread = np.std([point[name] for point in points], axis=0)
        assert (spread > 0).all(), name


def test_points_are_sane(mapped):
    """They fit the data better than points made from the answers in another order, and no scale is near 0."""
    mirt, turned = MIRT(traits=3), mapped.copy(deep=True)
    for name in ("score", "trials"):
        turned[name].values[:] = mapped[name].values[::-1]
    here, elsewhere = (starting_points(mirt, data, 4, np.random.default_rng(0)) for data in (mapped, turned))
    densities = log_densities(mirt.build(mapped), [*here, *elsewhere])
    assert min(densities[:4]) > max(densities[4:])
    assert all(point[name].min() > 0.01 for point in here for name in point if name.endswith("_sd"))


def test_same_generator_same_points(mapped):
    mirt = MIRT(traits=2)
    first, second = (starting_points(mirt, mapped, 2, np.random.default_rng(3)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])

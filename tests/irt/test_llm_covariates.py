import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.llm_covariates import COVARIATES, covariate_matrix, covariate_values, family_index


def llms(**columns):
    columns = {
        "release_date": np.array(["2024-01", "2025-07", "", "2024-07"], dtype=object),
        "parameters_billion": np.array([1.0, 8.0, 64.0, np.nan]),
        "input_price_per_million": np.array([0.0, 1.0, 2.0, np.nan]),
        "output_price_per_million": np.array([0.0, 3.0, 6.0, 1.0]),
        "family": np.array(["a", "b", "", "a"], dtype=object),
    } | columns
    coords = {name: ("llm", values) for name, values in columns.items() if values is not None}
    return xr.Dataset(coords={"llm": ["l0", "l1", "l2", "l3"], **coords})


def test_units():
    np.testing.assert_allclose(covariate_values(llms(), "release_date"), [2024.0, 2025.5, np.nan, 2024.5])
    np.testing.assert_allclose(
        covariate_values(llms(), "log_parameters"), [0.0, np.log(8), np.log(64), np.nan]
    )
    # A free LLM says nothing about what it costs to run, and neither does a missing price.
    np.testing.assert_allclose(covariate_values(llms(), "log_price"), [np.nan, np.log(2), np.log(4), np.nan])


def test_columns_are_standardised_over_what_is_known_and_zero_elsewhere():
    matrix = covariate_matrix(llms(), COVARIATES)
    assert matrix.shape == (4, 3)
    for column, name in zip(matrix.T, COVARIATES, strict=True):
        known = np.isfinite(covariate_values(llms(), name))
        assert column[known].mean() == pytest.approx(0.0)
        assert column[known].std() == pytest.approx(1.0)
        assert (column[~known] == 0.0).all()


def test_a_missing_column_is_named():
    for name, column in zip(COVARIATES, ("release_date", "parameters_billion", "input_price"), strict=True):
        without = llms(release_date=None, parameters_billion=None, input_price_per_million=None)
        with pytest.raises(InputError, match=f"covariate {name} needs the column {column}"):
            covariate_values(without, name)


@pytest.mark.parametrize("values", [[5.0] * 4, [5.0, np.nan, np.nan, np.nan], [np.nan] * 4])
def test_a_covariate_that_tells_nothing_is_refused(values):
    with pytest.raises(InputError, match="log_parameters does not vary"):
        covariate_matrix(llms(parameters_billion=np.array(values)), ("log_parameters",))


def test_families_and_llms_without_one():
    names, index = family_index(llms())
    own = [names[i] for i in index]
    assert own[0] == own[3] == "a"
    assert len(set(own)) == len(names) == 3
    with pytest.raises(InputError, match="need the column family"):
        family_index(llms(family=None))

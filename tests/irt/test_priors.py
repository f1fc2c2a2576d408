from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.priors import MIRTPriors

NAMES = [field.name for field in fields(MIRTPriors)]


@given(st.lists(st.floats(1e-3, 1e3), min_size=len(NAMES), max_size=len(NAMES)))
def test_dictionary_round_trip(values):
    priors = MIRTPriors(**dict(zip(NAMES, values, strict=True)))
    assert MIRTPriors(**priors.to_dict()) == priors


def test_every_scale_is_documented_and_printed():
    for name in NAMES:
        assert f"{name}: " in (MIRTPriors.__doc__ or "")
        assert f"{name}=" in repr(MIRTPriors())


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan])
def test_scales_that_are_not_positive_are_named_all_at_once(wrong):
    with pytest.raises(InputError, match=r"change difficulty_mean, family\.$"):
        replace(MIRTPriors(), difficulty_mean=wrong, family=wrong)


def test_priors_cannot_be_changed_by_accident():
    with pytest.raises(FrozenInstanceError):
        MIRTPriors().family = 1.0

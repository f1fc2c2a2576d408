from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_irt_router.data.prices import Price
from bayes_irt_router.errors import InputError
from bayes_irt_router.report.model_difference import model_difference


@pytest.fixture(scope="module")
def posterior(small_fit):
    return small_fit.thin(40)


def edited(posterior, group, **changes):
    """A copy in which some variables of a group are replaced."""
    groups = {name: node.to_dataset() for name, node in posterior.tree.children.items()}
    groups[group] = groups[group].assign(changes)
    return replace(posterior, tree=xr.DataTree.from_dict(groups))


def repriced(posterior, prices):
    from bayes_irt_router.data.cost import CostModel

    cost = CostModel.from_dict(posterior.record["cost"]).with_prices(prices)
    return replace(posterior, record=posterior.record | {"cost": cost.to_dict()})


def without_llm(posterior, name):
    kept = [one for one in posterior.llm if one != name]
    groups = {key: node.to_dataset() for key, node in posterior.tree.children.items()}
    for key in ("posterior", "llms"):
        groups[key] = groups[key].sel(llm=kept)
    cost = dict(posterior.record["cost"])
    place = cost["llm"].index(name)
    for key, value in cost.items():
        if isinstance(value, list) and key != "notes":
            cost[key] = [one for i, one in enumerate(value) if i != place]
    return replace(posterior, tree=xr.DataTree.from_dict(groups), record=posterior.record | {"cost": cost})


def test_a_model_does_not_differ_from_itself(posterior):
    found = model_difference(posterior, posterior)
    assert (found.added, found.removed, found.changed) == ((), (), [])
    assert len(found.queries) == posterior.tree["queries"].sizes["query"]
    assert found.llms["llm"].tolist() == posterior.llm
    for name in [name for name in found.llms if name.endswith("_old")]:
        pd.testing.assert_series_equal(
            found.llms[name], found.llms[name.replace("_old", "_new")], check_names=False
        )
    assert found.notes == ()


def test_the_table_names_the_llms_and_leaves_intervals_to_the_json(posterior):
    (_, shown, _) = next(part for part in model_difference(posterior, posterior).tables())
    assert shown["llm"].tolist() == posterior.llm
    assert not [name for name in shown if "lower" in name or "upper" in name]


def test_abilities_ignore_the_coordinates_of_a_fit(posterior):
    ability, discrimination = posterior.draws["ability"], posterior.draws["discrimination"]
    scaled = edited(posterior, "posterior", ability=3 * ability + 1, discrimination=discrimination / 3)
    found = model_difference(posterior, scaled).llms
    np.testing.assert_allclose(found["ability_new"], found["ability_old"], atol=1e-5)
    assert abs(found["ability_old"].mean()) < 1e-6


def test_an_llm_that_gets_better_is_told_and_chosen(posterior):
    best = posterior.llm[0]
    where = posterior.draws["llm"] == best
    ability = posterior.draws["ability"]
    difficulty = posterior.draws["difficulty"]
    discrimination = xr.zeros_like(posterior.draws["discrimination"]) + np.float32(1)
    old = edited(posterior, "posterior", discrimination=discrimination, difficulty=difficulty)
    new = edited(old, "posterior", ability=xr.where(where, ability + 20, ability).transpose(*ability.dims))
    found = model_difference(old, new, alpha=1)
    row = found.llms.set_index("llm").loc[best]
    assert row["p_correct_new"] > 0.99 > row["p_correct_old"]
    assert row["ability_new"] > row["ability_old"]
    assert set(found.new_choice) == {best}
    assert {new for _, _, new in found.changed} <= {best}


def test_prices_change_choices(posterior):
    chosen = list(model_difference(posterior, posterior, alpha=0.1).new_choice)
    free = min(posterior.llm, key=chosen.count)  # whatever the fit prefers, there is something to change
    new = repriced(
        posterior, {name: Price(*((0, 0) if name == free else (500, 500)), "") for name in posterior.llm}
    )
    found = model_difference(posterior, new, alpha=0.1)
    assert set(found.new_choice) == {free}
    assert found.llms.set_index("llm").loc[free, "input_price_per_million_new"] == 0
    counted = {title: frame for title, frame, _ in found.tables()}["Decisions"]
    assert counted["queries"].sum() == len(found.changed) > 0


def test_llms_that_came_and_went(posterior):
    first, last = posterior.llm[0], posterior.llm[-1]
    found = model_difference(without_llm(posterior, first), without_llm(posterior, last))
    assert (found.added, found.removed) == ((first,), (last,))
    assert found.llms["llm"].tolist() == posterior.llm[1:-1]
    assert last in " ".join(map(str, found.tables()[0][1].to_numpy().ravel()))


def test_only_the_same_texts_are_compared_and_lengths_may_be_unknown(posterior):
    hashes = posterior.tree["queries"]["text_hash"].copy(deep=True)
    hashes[0] = "0" * 16
    other = edited(posterior, "queries", text_hash=hashes)
    assert len(model_difference(posterior, other).queries) == len(hashes) - 1
    bare = replace(posterior, texts=None)
    (note,) = model_difference(bare, bare).notes
    assert f"The texts of {len(hashes)} queries are not kept" in note
    hashes[:] = "0" * 16
    none = model_difference(posterior, edited(posterior, "queries", text_hash=hashes))
    assert (none.queries, none.changed) == ((), [])
    assert "No query was fitted by both" in none.notes[0]
    assert none.llms["p_correct_old"].isna().all()


def test_what_cannot_be_compared_is_an_error(posterior):
    with pytest.raises(InputError, match="alpha"):
        model_difference(posterior, posterior, alpha=2)
    with pytest.raises(InputError, match="level"):
        model_difference(posterior, posterior, level=1)


def test_the_json_names_every_changed_query(posterior):
    new = repriced(posterior, {name: Price(i, i, "") for i, name in enumerate(posterior.llm)})
    found = model_difference(posterior, new, alpha=0.1)
    told = found.to_dict()
    assert told["schema_version"] == 1
    assert [(one["query"], one["old"], one["new"]) for one in told["decisions"]["changed"]] == found.changed
    assert told["decisions"]["queries"] == len(found.queries)
    assert [one["llm"] for one in told["llms"]["shared"]] == posterior.llm

"""What the report's page holds: the right numbers, and nothing that could run or load."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_irt_router.report.page.pictures import picture_count
from bayes_irt_router.report.page.report_page import report_page
from bayes_irt_router.report.page.routed_queries import ALPHAS, fitted_queries, spread_over_tasks
from bayes_irt_router.routing.router import Request
from tests.report.conftest import EVIL


class Tags(HTMLParser):
    """Every opening tag with its attributes, and the text inside the script of a given id."""

    def __init__(self):
        super().__init__()
        self.tags = []
        self.json = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][1].get("id") == "data":
            self.json += data


def tags_of(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    return parser


def test_names_and_texts_stay_text(page):
    parsed = tags_of(page)
    assert "onerror" not in {name for _, attributes in parsed.tags for name in attributes}
    assert [tag for tag, _ in parsed.tags].count("script") == 2
    data = json.loads(parsed.json)
    assert "<img src=x" in data["llm"][0]
    assert "<img src=x" in data["text"][0]


def test_nothing_is_loaded_from_anywhere(page):
    addresses = [
        attributes[name]
        for tag, attributes in tags_of(page).tags
        for name in ("src", "href", "action", "srcset")
        if name in attributes
    ]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)


def test_every_picture_is_described_and_none_is_missing(page, evil_fit, unseen):
    images = [attributes for tag, attributes in tags_of(page).tags if tag == "img"]
    assert len(images) == picture_count(evil_fit, unseen)
    assert all(len(attributes["alt"]) > 20 for attributes in images)


def test_llms_of_several_sources_are_listed_by_source(evil_fit, routed):
    one, *others = evil_fit.llm
    answered = {one: ["a", "b"]} | {name: [EVIL] for name in others}
    told = {"sources": ["a", EVIL], "llm_sources": answered, "notes": ["compare intervals and not the order"]}
    page = report_page(replace(evil_fit, record=evil_fit.record | told), "model", routed, [])
    heads = re.findall(r'scope="rowgroup">(.*?)</th>', page)
    assert heads == ["a, b", html.escape(EVIL, quote=False)]
    assert "compare intervals and not the order" in page
    assert "rowgroup" not in report_page(evil_fit, "model", routed, [])


def test_queries_are_predicted_as_the_router_predicts_them(evil_router, unseen, routed):
    posed = evil_router.pose(unseen.queries, Request(alpha=1.0, seed=0)).problem
    np.testing.assert_allclose(routed.p, posed.mean_p, atol=1e-4)
    np.testing.assert_allclose(routed.cost_usd, posed.mean_cost, rtol=1e-3)
    assert (routed.lower <= routed.p + 1e-4).all()
    assert (routed.p <= routed.upper + 1e-4).all()
    np.testing.assert_allclose(routed.p_best.sum(axis=1), 1.0)
    np.testing.assert_array_equal(routed.score, unseen.queries["score"].values)


def test_more_weight_on_correctness_costs_more_and_is_right_more(routed):
    cost, mean = ([point[name] for point in routed.curve] for name in ("cost", "mean"))
    assert len(cost) == len(ALPHAS)
    assert np.diff(cost).min() >= -1e-15
    assert np.diff(mean).min() >= -1e-12
    np.testing.assert_array_equal(routed.chosen(1.0), routed.p.argmax(axis=1))
    np.testing.assert_array_equal(routed.chosen(0.0), routed.cost_usd.argmin(axis=1))


def test_an_llm_that_a_query_does_not_fit_is_not_chosen(routed):
    allowed = routed.allowed.copy()
    allowed[0, routed.chosen(1.0)[0]] = False
    barred = replace(routed, allowed=allowed)
    assert barred.chosen(1.0)[0] != routed.chosen(1.0)[0]
    assert barred.to_dict()["p"][0][routed.chosen(1.0)[0]] is None


def test_without_data_the_fitted_queries_are_routed(evil_fit):
    routed = fitted_queries(evil_fit, level=0.89, seed=0)
    assert list(routed.query) == evil_fit.tree["queries"]["query"].values.tolist()
    assert routed.text == evil_fit.texts
    bare = fitted_queries(replace(evil_fit, texts=None), level=0.89, seed=0)
    assert bare.text is None
    assert "1,000 characters" in bare.notes[0]
    np.testing.assert_array_equal(bare.p, routed.p)
    page = report_page(evil_fit, "model", bare, [])
    assert "Does the model keep its promises?" not in page


def test_without_prices_only_correctness_counts(evil_fit):
    unknown = {name: [None] * 6 for name in ("input_price_per_million", "output_price_per_million")}
    cost = evil_fit.record["cost"] | unknown | {"mean_observed_cost_usd": [None] * 6, "scale_usd": None}
    free = replace(evil_fit, record=evil_fit.record | {"cost": cost}, texts=None)
    routed = fitted_queries(free, level=0.89, seed=0)
    assert not routed.priced
    np.testing.assert_array_equal(routed.chosen(0.3), routed.p.argmax(axis=1))
    assert "No prices are known" in report_page(free, "model", routed, [])


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(1, 50))
def test_every_task_gives_equally_many_queries_or_all_it_has(task, most):
    task = np.array(task)
    kept = spread_over_tasks(task, most, np.random.default_rng(0))
    assert len(kept) == min(most, len(task))
    assert (np.diff(kept) > 0).all()
    counts = {name: (task[kept] == name).sum() for name in set(task.tolist())}
    poor = [count for name, count in counts.items() if count < (task == name).sum()]
    if poor:  # tasks that kept some back: no other task may have given two more than they
        assert max(counts.values()) - min(poor) <= 1


@pytest.mark.parametrize("size", [1, 3])
def test_all_are_kept_where_they_are_few(size):
    assert spread_over_tasks(np.array(["a"] * size), 3, np.random.default_rng(0)).tolist() == list(
        range(size)
    )

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bayes_irt_router.data.encoder import TextEncoder
from bayes_irt_router.data.prices import Price
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.storage import save
from bayes_irt_router.routing.correctness_policies import MinSuccess
from bayes_irt_router.routing.router import BATCH, Router, routing_json
from bayes_irt_router.routing.utility_policies import ExpectedUtility, ProbabilityOfImprovement

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ["What is 12 + 30?", "Name the capital of Norway.", "Write a function that reverses a list."]


@dataclass(frozen=True)
class HashEncoder:
    """Unit vectors that follow from the text alone; no weights."""

    revision: str = "1"
    name: str = "hash"
    dims: int = 16

    @property
    def fingerprint(self):
        return f"hash-{self.revision}"

    def embed(self, texts, *, progress=False):
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
        vectors = np.array([np.random.default_rng(seed).standard_normal(self.dims) for seed in seeds])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def router(small_fit, tmp_path):
    return Router(small_fit, HashEncoder(), tmp_path / "cache")


def test_the_fake_is_an_encoder():
    assert isinstance(HashEncoder(), TextEncoder)


def test_decisions_say_everything(router):
    decisions = router.route(PROMPTS, alpha=0.8, level=0.5)
    assert [decision.index for decision in decisions] == [0, 1, 2]
    for decision in decisions:
        assert {candidate.llm for candidate in decision.candidates} == set(router.posterior.llm)
        assert decision.llm == decision.candidates[0].llm
        assert decision.llm in decision.reason
        assert sum(candidate.p_best for candidate in decision.candidates) == pytest.approx(1.0)
        for candidate in decision.candidates:
            p = candidate.p_correct
            assert 0 <= p.lower <= p.upper <= 1
            assert p.level == 0.5
            assert candidate.cost_usd > 0
            expected = 0.8 * p.mean - 0.2 * candidate.cost_usd / router.cost.scale_usd
            assert candidate.utility == pytest.approx(expected, abs=1e-6)
        utilities = [candidate.utility for candidate in decision.candidates]
        assert utilities == sorted(utilities, reverse=True)


def test_json_is_the_documented_one(router):
    content = json.loads(json.dumps(routing_json(router.route(PROMPTS), 0.8), allow_nan=False))
    assert list(content) == ["schema_version", "policy", "options", "alpha", "decisions"]
    assert (content["schema_version"], content["policy"], content["alpha"]) == (1, "expected_utility", 0.8)
    assert list(content["decisions"][0]) == ["index", "llm", "reason", "familiarity", "candidates"]


def test_only_cost_counts_at_alpha_0_and_only_correctness_at_1(router):
    usd = np.stack([router.predict_cost([prompt])["cost_usd"].values.mean(axis=0)[0] for prompt in PROMPTS])
    for row, decision in zip(usd, router.route(PROMPTS, alpha=0.0), strict=True):
        assert decision.llm == router.posterior.llm[int(row.argmin())]
    for decision in router.route(PROMPTS, alpha=1.0):
        best = max(decision.candidates, key=lambda candidate: candidate.p_correct.mean)
        assert decision.llm == best.llm


def test_only_allowed_llms_are_candidates(router):
    allow = router.posterior.llm[1:3]
    (decision,) = router.route(PROMPTS[:1], allow=allow)
    assert {candidate.llm for candidate in decision.candidates} == set(allow)
    with pytest.raises(InputError, match="'gpt-0'"):
        router.route(PROMPTS, allow=["gpt-0"])


def test_other_names_of_llms_are_understood(router):
    record = router.posterior.record
    llm = router.posterior.llm[1]
    known = replace(router, posterior=replace(router.posterior, record=record | {"aliases": {"org/X": llm}}))
    (decision,) = known.route(["Why?"], allow=["org/X"])
    assert decision.llm == llm
    (decision,) = known.route(["Why?"], policy=ProbabilityOfImprovement("org/X", tau=1.0))
    assert decision.llm == llm
    i, price = router.posterior.llm.index(llm), Price(7.0, 9.0, "")
    assert known.with_prices({"org/X": price}).cost.input_price_per_million[i] == 7.0
    both = known.with_prices({llm: price, "org/X": Price(1.0, 1.0, "")})
    assert both.cost.input_price_per_million[i] == 7.0
    with pytest.raises(InputError, match="org/Y"):
        known.route(["Why?"], policy=ProbabilityOfImprovement("org/Y"))


def test_long_lists_are_cut_into_batches_that_nobody_notices(router):
    prompts = [f"What is {k} + {k}?" for k in range(2 * BATCH + 3)]
    decisions = router.route(prompts)
    assert [decision.index for decision in decisions] == list(range(len(prompts)))
    alone = [router.route([prompts[k]])[0] for k in (0, BATCH - 1, BATCH, 2 * BATCH + 2)]
    for one, k in zip(alone, (0, BATCH - 1, BATCH, 2 * BATCH + 2), strict=True):
        assert one.llm == decisions[k].llm
        # The residuals behind P(best) are other draws; what is integrated over them is the same.
        for a, b in zip(one.candidates, decisions[k].candidates, strict=True):
            assert a.llm == b.llm
            assert a.utility == pytest.approx(b.utility, abs=1e-6)


def test_decisions_come_as_they_are_made(router):
    stream = router.route_each([*PROMPTS] * BATCH)
    assert next(stream).index == 0
    assert next(stream).index == 1


def test_same_seed_same_decisions(router):
    first, second, other = (router.route(PROMPTS, seed=seed) for seed in (0, 0, 1))
    assert first == second
    assert first != other


def test_a_text_of_the_fit_can_be_routed_and_so_can_any_other(router):
    known = router.posterior.texts[0]
    strange = "\N{ROLLING ON THE FLOOR LAUGHING}" * 3000
    assert len(router.route([known, strange, "x"])) == 3


def test_prediction_carries_familiarity(router):
    prediction = router.predict(PROMPTS)
    assert dict(prediction.sizes) == {"chain": 4, "draw": 100, "query": 3, "llm": 6}
    assert prediction["familiarity"].shape == (3,)


def test_another_encoder_is_refused(router):
    other = replace(router, encoder=HashEncoder(revision="2"))
    for use in (other.route, other.predict):
        with pytest.raises(InputError, match=r"fitted with the encoder .* \(revision 1\).* has revision 2"):
            use(PROMPTS)


@pytest.mark.parametrize(
    ("prompts", "options", "problem"),
    [
        (PROMPTS, {"alpha": 1.2}, "alpha is 1.2"),
        (PROMPTS, {"alpha": -0.1}, "alpha is -0.1"),
        (PROMPTS, {"level": 0.0}, "level is 0.0"),
        (PROMPTS, {"allow": []}, "No candidate"),
        (["fine", "  ", "fine", ""], {}, "Prompt 2, 4 is empty"),
    ],
)
def test_wrong_requests(router, prompts, options, problem):
    with pytest.raises(InputError, match=problem):
        router.route(prompts, **options)


def test_all_that_is_wrong_is_told_at_once(router):
    first, second = router.posterior.llm[:2]
    with pytest.raises(InputError) as caught:
        router.route(
            ["fine", " "],
            alpha=2.0,
            allow=[first, "gpt-0"],
            deny=[second, "gpt-1"],
            fallback=second,
            level=1.0,
        )
    told = "\n".join(caught.value.problems)
    words = ("Prompt 2", "alpha is 2", "'gpt-0'", "'gpt-1'", f"fallback {second} is denied", "level is 1")
    assert all(word in told for word in words)
    assert len(caught.value.problems) == len(words)


def test_costs_that_are_unknown_are_told_with_the_rest(router):
    cost = dict(router.posterior.record["cost"])
    unknown = [None] * len(cost["llm"])
    cost |= {"input_price_per_million": unknown, "output_price_per_million": unknown, "scale_usd": None}
    free = replace(
        router, posterior=replace(router.posterior, record=router.posterior.record | {"cost": cost})
    )
    with pytest.raises(InputError) as caught:
        free.route(PROMPTS, max_cost=-1.0, level=0.0)
    told = "\n".join(caught.value.problems)
    assert all(word in told for word in ("level is 0", "max_cost is -1", "cost of all LLMs is unknown"))


def test_a_text_in_place_of_a_list_is_not_taken_for_its_letters(router):
    with pytest.raises(InputError) as caught:
        router.route("Why?", deny="best")
    assert [problem.split()[0] for problem in caught.value.problems] == ["prompts", "deny"]


def test_no_prompts_no_decisions(router):
    assert router.route([]) == []


def test_a_model_without_prices_routes_by_correctness_only(router):
    cost = dict(router.posterior.record["cost"])
    unknown = [None] * len(cost["llm"])
    cost |= {"input_price_per_million": unknown, "output_price_per_million": unknown, "scale_usd": None}
    free = replace(
        router, posterior=replace(router.posterior, record=router.posterior.record | {"cost": cost})
    )
    (decision,) = free.route(PROMPTS[:1], alpha=1.0)
    assert all(candidate.cost_usd is None for candidate in decision.candidates)
    with pytest.raises(InputError, match="unknown"):
        free.route(PROMPTS, alpha=0.8)
    # Prices that come later make utilities, whatever the policy, as those of the fit do.
    priced = free.with_prices({name: Price(1.0, 2.0, "") for name in free.posterior.llm})
    for policy in (ExpectedUtility(), MinSuccess(0.1)):
        (decision,) = priced.route(PROMPTS[:1], alpha=0.8, policy=policy)
        for candidate in decision.candidates:
            assert candidate.utility is not None
            assert -1 < candidate.utility < 1
            assert candidate.cost_usd > 0


def test_a_model_that_failed_the_gate_warns(router):
    assert router.warning == router.posterior.gate.verdict
    passed = replace(router.posterior, gate=replace(router.posterior.gate, complaints=()))
    assert replace(router, posterior=passed).warning is None


def test_a_saved_model_routes_as_the_fitted_one(router, tmp_path):
    save(router.posterior, tmp_path / "model")
    loaded = Router.load(tmp_path / "model", cache_dir=tmp_path / "cache")
    assert loaded.encoder.name == "clustered vectors"
    assert replace(loaded, encoder=router.encoder).route(PROMPTS) == router.route(PROMPTS)
    assert Router.load(tmp_path / "model", encoder="other").encoder.name == "other"


def test_importing_the_router_is_light():
    heavy = {"pymc", "numpyro", "jax", "torch", "sentence_transformers", "arviz", "sklearn", "matplotlib"}
    program = f"import sys, bayes_irt_router.routing.router; print(sorted({heavy} & sys.modules.keys()))"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"

"""From prompts to decisions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.data.embedding_cache import cached_revision
from bayes_irt_router.data.encoder import Encoder, TextEncoder
from bayes_irt_router.data.featurize import featurize
from bayes_irt_router.data.prices import Price
from bayes_irt_router.data.surface import features_named
from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.storage import load
from bayes_irt_router.routing.decision import Decision, decide
from bayes_irt_router.routing.policies import check_alpha
from bayes_irt_router.routing.prediction import predict

SCHEMA_VERSION = 1
POLICY = "expected_utility"
BATCH = 64  # prompts embedded and predicted at once: memory stays flat however many there are


@dataclass(frozen=True)
class Router:
    """A fitted model, ready to route prompts.

    Attributes:
        posterior: the fitted model.
        encoder: the same weights, pooling and window as at fit; checked before the first prompt.
        cache_dir: folder of the embedding cache; ``None`` for the default.
    """

    posterior: Posterior
    encoder: TextEncoder
    cache_dir: Path | None = None

    @classmethod
    def load(
        cls, directory: Path | str, encoder: str | None = None, cache_dir: Path | None = None
    ) -> "Router":
        """A router from a model folder.

        Args:
            directory: the model folder.
            encoder: name or path of the encoder, if not the one recorded at fit (another source of the same weights).
            cache_dir: folder of the embedding cache.
        """
        posterior = load(Path(directory))
        return cls(posterior, Encoder(encoder or posterior.record["encoder"]["name"]), cache_dir)

    @property
    def cost(self) -> CostModel:
        """The cost model that was learned at fit."""
        return CostModel.from_dict(self.posterior.record["cost"])

    def with_prices(self, prices: Mapping[str, Price]) -> "Router":
        """A router that predicts costs at other list prices; see :meth:`CostModel.with_prices`."""
        record = self.posterior.record | {"cost": self.cost.with_prices(prices).to_dict()}
        return replace(self, posterior=replace(self.posterior, record=record))

    @property
    def warning(self) -> str | None:
        """One sentence if the draws are not to be trusted, else nothing."""
        return None if self.posterior.gate.passed else self.posterior.gate.verdict

    def featurize(self, data: xr.Dataset, progress: bool = False) -> xr.Dataset:
        """Embedding and surface features of a dataset's texts, as the model needs them.

        Raises:
            InputError: the encoder is not the one of the fit.
        """
        expected, found = self.posterior.record["encoder"], cached_revision(self.encoder, self.cache_dir)
        if found != expected["revision"]:
            raise InputError(
                f"The model was fitted with the encoder {expected['name']} (revision {expected['revision']}), but "
                f"{self.encoder.name} has revision {found}; use the encoder of the fit, or fit again."
            )
        features = features_named(self.posterior.feature_map.surface_names)
        return featurize(data, self.encoder, self.cache_dir, progress, features)

    def predict(self, prompts: Sequence[str], *, seed: int = 0) -> xr.Dataset:
        """Posterior predictive correctness of every LLM on each prompt; see :func:`predict`."""
        texts = list(prompts)
        ids = np.array([str(i) for i in range(len(texts))], dtype=object)
        queries = xr.Dataset(coords={"query": ids, "text": ("query", np.array(texts, dtype=object))})
        return predict(self.posterior, self.featurize(queries), np.random.default_rng(seed))

    def route(
        self,
        prompts: Sequence[str],
        *,
        alpha: float = 0.8,
        allow: Sequence[str] | None = None,
        level: float = 0.89,
        seed: int = 0,
    ) -> list[Decision]:
        """One decision for each prompt, by the highest expected ``S = alpha P - (1 - alpha) C``.

        Args:
            prompts: texts.
            alpha: weight of correctness against cost, 0 to 1.
            allow: names of the LLMs to choose from; all by default.
            level: of the credible intervals, over the parameter draws.
            seed: of the query residuals that P(best) integrates over.

        Raises:
            InputError: alpha outside [0, 1], an unknown LLM, an empty prompt, or a price that is needed and unknown.
        """
        return list(self.route_each(prompts, alpha=alpha, allow=allow, level=level, seed=seed))

    def route_each(
        self,
        prompts: Sequence[str],
        *,
        alpha: float = 0.8,
        allow: Sequence[str] | None = None,
        level: float = 0.89,
        seed: int = 0,
    ) -> Iterator[Decision]:
        """The same as :meth:`route`, a batch at a time."""
        check_alpha(alpha)
        if empty := [str(i + 1) for i, prompt in enumerate(prompts) if not prompt.strip()]:
            raise InputError(f"Prompt {', '.join(empty)} is empty; give it a text.")
        cost = self.cost
        for start in range(0, len(prompts), BATCH):
            batch = list(prompts[start : start + BATCH])
            usd = cost.predict_cost(batch, allow) if alpha < 1 else cost.known_cost(batch)
            prediction = self.predict(batch, seed=seed + start)
            for decision in decide(
                prediction["p_correct"],
                prediction["p_correct_conditional"],
                usd,
                alpha=alpha,
                scale=cost.scale_usd,
                level=level,
                allow=allow,
            ):
                yield decision.shifted(start)


def routing_json(decisions: Sequence[Decision], alpha: float) -> dict[str, Any]:
    """What ``birt route --json`` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "policy": POLICY,
        "alpha": alpha,
        "decisions": [decision.to_dict() for decision in decisions],
    }

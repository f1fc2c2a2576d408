"""From embedding and surface features to the columns that the item priors are regressed on."""

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.data.task_membership import TaskMembership, fit_task_membership
from bayes_irt_router.data.unseen_task import UnseenTask, of_stated_new_task
from bayes_irt_router.errors import InputError

SURFACE_LIMIT = (
    4.0  # standard deviations: a prompt far outside the training range must not be extrapolated without bound
)
SURFACE_WEIGHT = 2.0  # of the surface features' squared distance, that of the embedding being 1
TASK_PREFIX = "task_"  # of the names of the columns that tell tasks apart
TASK_SHARE = 0.5  # of the process' prior variance, where tasks are told apart
SMALLEST_EIGENVALUE = (
    1e-5  # of the landmark kernel; smaller ones are rounding noise and would be blown up by the whitening
)


@dataclass(frozen=True)
class FeatureMap:
    """phi(x): standardised surface features, then a low-rank Gaussian process basis over embedding, surface features and tasks.

    A query's *position* is ``x = [embedding, surface * sqrt(2 / number of surface features)]``, the surface features standardised and
    clipped: over the training queries the embedding has mean squared length 1 and the surface 2, so two queries are close if they mean
    alike *and* look alike. The Gaussian process has a kernel of two parts with equal shares of its prior variance::

        k(x, x') = 1/2 exp(-|x - x'|^2 / (2 lengthscale^2)) + 1/2 sum_t P(t | x) P(t | x').

    The first is squared-exponential. The second is the probability that both queries are of one seen task: every task has an effect,
    drawn from the same normal distribution, and a query has the effects of the tasks that it looks like. ``P`` is a
    :class:`TaskMembership`, learned from the training queries' tasks; new queries need no label. Where fewer than two tasks are told
    apart, the first part is all there is.

    The first part is approximated by the Nystroem method (Williams and Seeger, 2001)
    on landmarks that are k-means centroids: ``phi_k(x) = k(x, L) K_LL^(-1/2) V``. With weights ``w ~ N(0, s^2 I)``, ``phi_k w`` is
    the process conditioned on what the landmarks can express. What they cannot is the *novelty* ``1 - |phi_k(x)|^2`` in [0, 1]:
    the share of the process' prior variance that is missing at x. The model adds it to the item residual's variance (the FITC
    correction of Snelson and Ghahramani, 2006), so that intervals widen, not shrink, far from the training data. The task part has
    the columns ``P(t | x)`` and the novelty ``1 - sum_t P(t | x)^2``: a query of an unseen task has an effect that is drawn anew, and
    one of a seen task that is not quite recognised has something in between.
    ``V`` rotates the basis to the principal axes of the training queries: the prior is unchanged, and sampling is faster.

    Attributes:
        surface_names: names of the surface features that are used (those that vary in training).
        surface_mean: their training means, shape (surface,).
        surface_scale: their training standard deviations, shape (surface,).
        landmarks: centroids of clusters of positions, shape (landmark, embedding_dim + surface).
        projection: ``K_LL^(-1/2) V``, shape (landmark, kernel).
        lengthscale: of the kernel, in units of the distance of positions (of two unrelated training queries about 2.4).
        feature_mean: mean of phi over the training queries, shape (feature,): what an unremarkable query has.
        membership: which tasks a query looks like; None where tasks are not told apart.
    """

    surface_names: tuple[str, ...]
    surface_mean: Float[np.ndarray, " surface"]
    surface_scale: Float[np.ndarray, " surface"]
    landmarks: Float[np.ndarray, "landmark position"]
    projection: Float[np.ndarray, "landmark kernel"]
    lengthscale: float
    feature_mean: Float[np.ndarray, " feature"]
    membership: TaskMembership | None = None

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks that are told apart, maybe none."""
        return () if self.membership is None else self.membership.tasks

    @property
    def feature_names(self) -> list[str]:
        """Names of phi's columns: the surface features, then ``kernel_0``, ``kernel_1``, ..., then ``task_NAME`` for each task."""
        kernel = [f"kernel_{k}" for k in range(self.projection.shape[1])]
        return [*self.surface_names, *kernel, *(f"{TASK_PREFIX}{name}" for name in self.task_names)]

    @property
    def feature_groups(self) -> list[str]:
        """``surface``, ``kernel`` or ``task`` for each of phi's columns."""
        return [
            *["surface"] * len(self.surface_names),
            *["kernel"] * self.projection.shape[1],
            *["task"] * len(self.task_names),
        ]

    def transform(
        self,
        embedding: Float[np.ndarray, "query embedding_dim"],
        surface: Float[np.ndarray, "query surface"],
    ) -> tuple[Float[np.ndarray, "query feature"], Float[np.ndarray, " query"]]:
        """Phi and novelty of queries, the surface columns in the order of ``surface_names``.

        Returns:
            features (query, feature), float32, and novelty (query,), float32 in [0, 1].
        """
        standardised = _standardised(surface, self.surface_mean, self.surface_scale)
        position = _position(embedding, standardised)
        return self._columns(
            standardised, position, None if self.membership is None else self.membership(position)
        )

    def _columns(
        self,
        standardised: Float[np.ndarray, "query surface"],
        position: Float[np.ndarray, "query position"],
        membership: Float[np.ndarray, "query task"] | None,
    ) -> tuple[Float[np.ndarray, "query feature"], Float[np.ndarray, " query"]]:
        process = _kernel(position, self.landmarks, self.lengthscale) @ self.projection
        if membership is not None:
            process = np.hstack([process * np.sqrt(1.0 - TASK_SHARE), membership * np.sqrt(TASK_SHARE)])
        novelty = np.clip(1.0 - (process**2).sum(axis=1), 0.0, 1.0)
        return np.hstack([standardised, process]).astype(np.float32), novelty.astype(np.float32)

    def apply(self, dataset: xr.Dataset) -> xr.Dataset:
        """The dataset with ``features`` (query, feature), ``novelty`` and ``unseen`` (query) added.

        ``unseen`` is what the effects of an unseen task are multiplied by, as those of a seen one are by ``P(t | x)``: the probability that
        the query is of no task that the map tells apart (0 if it tells none), as far as its look says. Where its coord ``task`` states one
        that the map has not seen, it is more, see :func:`of_stated_new_task`. A known task that is stated changes nothing.

        Raises:
            InputError: the dataset has no embedding, or not all the surface features, of this map.
        """
        features, novelty = self.transform(*self._inputs(dataset))
        applied = self._added(dataset, features, novelty)
        if self.membership is None or "task" not in dataset.coords:
            return applied
        stated = dataset["task"].values.astype(str)
        new = (stated != "") & ~np.isin(stated, self.task_names)
        by_look = applied["unseen"].values
        told = (features[:, features.shape[1] - len(self.task_names) :] ** 2).sum(axis=1)
        of_new = of_stated_new_task(by_look, novelty, told)
        return applied.assign(
            unseen=("query", np.where(new, of_new[0], by_look).astype(np.float32)),
            novelty=("query", np.where(new, of_new[1], novelty).astype(np.float32)),
        )

    def apply_in_training(self, dataset: xr.Dataset, *, seed: int = 0) -> xr.Dataset:
        """As :meth:`apply`, for the dataset that the map was learned from: task membership is cross-fitted.

        Whatever is fitted to phi of the training queries must see them as it will see new queries; see
        :meth:`TaskMembership.in_training`.

        Args:
            dataset: what the map was learned from.
            seed: of the parts that are held out in turn.
        """
        if self.membership is None:
            return self.apply(dataset)
        embedding, surface = self._inputs(dataset)
        standardised = _standardised(surface, self.surface_mean, self.surface_scale)
        position = _position(embedding, standardised)
        membership = self.membership.in_training(position, dataset["task"].values.astype(str), seed)
        return self._added(dataset, *self._columns(standardised, position, membership))

    def _inputs(
        self, dataset: xr.Dataset
    ) -> tuple[Float[np.ndarray, "query embedding_dim"], Float[np.ndarray, "query surface"]]:
        _require_featurized(dataset)
        known = set(dataset["surface_feature"].values.tolist())
        if missing := [name for name in self.surface_names if name not in known]:
            raise InputError(
                f"The feature map needs the surface features {', '.join(missing)}; compute them with featurize()."
            )
        surface = dataset["surface"].sel(surface_feature=list(self.surface_names)).values
        return dataset["embedding"].values.astype(np.float64), surface

    def _added(self, dataset: xr.Dataset, features: np.ndarray, novelty: np.ndarray) -> xr.Dataset:
        tasks = features[:, features.shape[1] - len(self.task_names) :]
        missing = (
            1.0 - tasks.sum(axis=1) / np.sqrt(TASK_SHARE) if self.task_names else np.zeros(len(features))
        )
        return dataset.assign(
            features=(("query", "feature"), features),
            novelty=(("query",), novelty),
            unseen=(("query",), np.clip(missing, 0.0, 1.0).astype(np.float32)),
        ).assign_coords(feature=self.feature_names, feature_group=("feature", self.feature_groups))

    def to_dataset(self) -> xr.Dataset:
        """The map's arrays, for the posterior file."""
        arrays = xr.Dataset(
            {
                "surface_mean": ("surface_feature", self.surface_mean),
                "surface_scale": ("surface_feature", self.surface_scale),
                "landmarks": (("landmark", "position"), self.landmarks),
                "projection": (("landmark", "kernel_feature"), self.projection),
                "lengthscale": ((), self.lengthscale),
                "feature_mean": ("feature", self.feature_mean),
            },
            coords={"surface_feature": list(self.surface_names)},
        )
        if self.membership is None:
            return arrays
        return arrays.assign(
            task_discriminant=(("discriminant", "position"), self.membership.discriminant),
            task_centre=(("task", "discriminant"), self.membership.centre),
            task_middle=("discriminant", self.membership.middle),
            task_between=("discriminant", self.membership.between),
            task_share=("task", self.membership.share),
            task_degrees=((), self.membership.degrees),
            task_outside=(("outside", "position"), self.membership.outside),
            task_outside_middle=("outside", self.membership.outside_middle),
            task_typical=("task", self.membership.typical),
            task_spread=("task", self.membership.spread),
            unseen_task=(
                "unseen_coefficient",
                [self.membership.unseen.intercept, *self.membership.unseen.slope],
            ),
        ).assign_coords(task=list(self.membership.tasks))

    @classmethod
    def from_dataset(cls, saved: xr.Dataset) -> "FeatureMap":
        """The inverse of :meth:`to_dataset`. A map of an older folder has no mean of phi: that over its landmarks stands in for it."""
        found = cls(
            tuple(str(name) for name in saved["surface_feature"].values),
            saved["surface_mean"].values,
            saved["surface_scale"].values,
            saved["landmarks"].values,
            saved["projection"].values,
            float(saved["lengthscale"]),
            np.zeros(0),
            _saved_membership(saved) if "task_share" in saved else None,
        )
        known = "feature_mean" in saved
        return replace(found, feature_mean=saved["feature_mean"].values if known else found._landmark_mean())

    def _landmark_mean(self) -> Float[np.ndarray, " feature"]:
        """Mean of phi over the landmarks; that of the standardised surface features is known to be 0."""
        membership = None if self.membership is None else self.membership(self.landmarks)
        none = np.zeros((len(self.landmarks), len(self.surface_names)))
        return self._columns(none, self.landmarks, membership)[0].mean(axis=0, dtype=np.float64)


def fit_feature_map(
    dataset: xr.Dataset,
    *,
    landmarks: int = 400,
    components: int = 200,
    lengthscale: float = 1.2,
    seed: int = 0,
) -> FeatureMap:
    """Learn the feature map from the queries of a featurized dataset.

    Args:
        dataset: with ``embedding`` (query, embedding_dim), ``surface`` (query, surface_feature) and the coord ``task`` (query), if
            it has one.
        landmarks: at most this many k-means centroids, and at most one for every four queries.
        components: how many of the basis' principal axes are kept. What the others carried counts as novelty, so that predictions
            stay calibrated; sampling time grows with this number.
        lengthscale: of the kernel.
        seed: of k-means.

    Raises:
        InputError: no embedding, fewer than 8 queries, or a number that is not positive.
    """
    from sklearn.cluster import KMeans  # a second to import, and only fitting needs it

    _require_featurized(dataset)
    problems = []
    if dataset.sizes["query"] < 8:
        problems.append(f"A feature map needs at least 8 queries, not {dataset.sizes['query']}; add queries.")
    for name, value in (("landmarks", landmarks), ("components", components)):
        if value < 1:
            problems.append(f"{name} is {value}; it must be at least 1.")
    if not lengthscale > 0:
        problems.append(f"lengthscale is {lengthscale}; it must be positive.")
    if problems:
        raise InputError(problems)

    embedding = dataset["embedding"].values.astype(np.float64)
    surface = dataset["surface"].values
    varying = surface.std(axis=0) > 1e-6
    mean, scale = surface[:, varying].mean(axis=0), surface[:, varying].std(axis=0)
    position = _position(embedding, _standardised(surface[:, varying], mean, scale))
    count = min(landmarks, len(np.unique(position, axis=0)), max(2, dataset.sizes["query"] // 4))
    centres = KMeans(count, n_init=1, max_iter=50, random_state=seed).fit(position).cluster_centers_

    values, vectors = np.linalg.eigh(_kernel(centres, centres, lengthscale))
    kept = values > SMALLEST_EIGENVALUE
    whitening = vectors[:, kept] / np.sqrt(values[kept])
    basis = _kernel(position, centres, lengthscale) @ whitening
    rotation = np.linalg.svd(basis, full_matrices=False)[2][:components].T
    found = FeatureMap(
        tuple(str(name) for name in dataset["surface_feature"].values[varying]),
        mean,
        scale,
        centres,
        whitening @ rotation,
        lengthscale,
        np.zeros(0),
        fit_task_membership(position, dataset["task"].values.astype(str), seed=seed)
        if "task" in dataset.coords
        else None,
    )
    features, _ = found.transform(embedding, surface[:, varying])
    return replace(found, feature_mean=features.mean(axis=0, dtype=np.float64))


def _saved_membership(saved: xr.Dataset) -> TaskMembership:
    """The membership of a saved map. In older ones tails were normal, and nothing was learned of unseen tasks."""
    older = "task_degrees" not in saved
    tasks = tuple(str(name) for name in saved["task"].values)
    intercept, *slope = (0.0, 1.0, 0.0) if older else (float(v) for v in saved["unseen_task"].values)
    return TaskMembership(
        tasks,
        saved["task_discriminant"].values,
        saved["task_centre"].values,
        saved["task_middle"].values,
        saved["task_between"].values,
        saved["task_share"].values,
        np.inf if older else float(saved["task_degrees"]),
        np.zeros((0, saved.sizes["position"]), np.float32) if older else saved["task_outside"].values,
        np.zeros(0) if older else saved["task_outside_middle"].values,
        np.zeros(len(tasks)) if older else saved["task_typical"].values,
        np.ones(len(tasks)) if older else saved["task_spread"].values,
        UnseenTask(intercept, (slope[0], slope[1])),
    )


def _standardised(
    surface: Float[np.ndarray, "query surface"],
    mean: Float[np.ndarray, " surface"],
    scale: Float[np.ndarray, " surface"],
) -> Float[np.ndarray, "query surface"]:
    return np.clip((surface - mean) / scale, -SURFACE_LIMIT, SURFACE_LIMIT)


def _position(
    embedding: Float[np.ndarray, "query embedding_dim"], standardised: Float[np.ndarray, "query surface"]
) -> Float[np.ndarray, "query position"]:
    """Embedding and surface features side by side; the latter's weight was chosen by cross-validation on training queries."""
    return np.hstack([embedding, standardised * np.sqrt(SURFACE_WEIGHT / max(standardised.shape[1], 1))])


def _kernel(
    a: Float[np.ndarray, "n dim"], b: Float[np.ndarray, "m dim"], lengthscale: float
) -> Float[np.ndarray, "n m"]:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
    return np.exp(-0.5 * np.maximum(squared, 0.0) / lengthscale**2)


def _require_featurized(dataset: xr.Dataset) -> None:
    if missing := [name for name in ("embedding", "surface") if name not in dataset]:
        raise InputError(
            f"The dataset has no {' and no '.join(missing)}; call featurize(dataset, encoder) first."
        )

"""Every baseline, on every input."""

from bayes_irt_router.evaluation.baselines.contract import Baseline
from bayes_irt_router.evaluation.baselines.inputs import Inputs
from bayes_irt_router.evaluation.baselines.local_means import Clusters, LLMMean, NearestNeighbours
from bayes_irt_router.evaluation.baselines.logistic import LogisticRegression
from bayes_irt_router.evaluation.baselines.networks import MatrixFactorisation, MLPEnsemble, PointEstimateMIRT
from bayes_irt_router.evaluation.baselines.point_nirt import PointEstimateNIRT

INPUTS: tuple[Inputs, ...] = ("embedding", "features")


def all_baselines() -> tuple[Baseline, ...]:
    """The LLM means, and each other baseline on the embedding alone and with the named features."""
    kinds = (
        NearestNeighbours,
        Clusters,
        LogisticRegression,
        MLPEnsemble,
        MatrixFactorisation,
        PointEstimateMIRT,
        PointEstimateNIRT,
    )
    return (LLMMean(), *(kind(inputs) for kind in kinds for inputs in INPUTS))

"""Prior scales of the hierarchical MIRT, in one object that can be printed, changed and saved."""

from dataclasses import asdict, dataclass, fields

from bayes_irt_router.errors import InputError

LOG_SD = 0.8  # of every log-normal prior, on the log


@dataclass(frozen=True)
class MIRTPriors:
    """Prior scales of the hierarchical MIRT, in logits unless said otherwise.

    Ability has standard deviation 1 per trait among the fitted LLMs, always: the scales of ability and of discrimination enter
    the likelihood only as a product, so one of them is fixed.

    Attributes:
        difficulty_mean: SD of the normal prior on the mean difficulty.
        difficulty_surface: median of the log-normal prior on the SD of the surface features' weights on difficulty.
        difficulty_kernel: median of the log-normal prior on the SD of the Gaussian process over embedding, surface features and tasks.
        difficulty_residual: median of the log-normal prior on the SD of what the features leave of difficulty.
        discrimination_mean: scale of the half-normal prior on the mean discrimination of the general trait, the first one;
            the specific traits have mean discrimination 0.
        discrimination_surface: as for difficulty; one SD for all traits.
        discrimination_kernel: as for difficulty; one SD for all traits.
        discrimination_residual: as for difficulty; one SD for the general trait, one for the specific traits.
        discrimination_slope: SD of the normal prior on the regression of the specific traits' residuals on the general one's; no unit.
        testlet: median of the log-normal prior on the SD of what an LLM is better at on a task than its traits say.
        covariate: SD of the normal prior on the weight of a standardised LLM covariate on ability, in residual SDs of ability.
        family: median of the log-normal prior on the SD of the effect that LLMs of one family share, in the same unit.
        score_precision: median of the log-normal prior on the precision of graded scores; no unit.

    All log-normal priors have the SD ``LOG_SD`` = 0.8 on the log: a factor of five up or down is two SDs.

    >>> from dataclasses import replace
    >>> replace(MIRTPriors(), difficulty_residual=2.0).difficulty_residual
    2.0
    """

    difficulty_mean: float = 2.0
    difficulty_surface: float = 0.2
    difficulty_kernel: float = 1.0
    difficulty_residual: float = 1.0
    discrimination_mean: float = 1.5
    discrimination_surface: float = 0.05
    discrimination_kernel: float = 0.3
    discrimination_residual: float = 0.3
    discrimination_slope: float = 0.5
    testlet: float = 0.3
    covariate: float = 0.5
    family: float = 0.4
    score_precision: float = 5.0

    def __post_init__(self) -> None:
        if wrong := [f.name for f in fields(self) if not getattr(self, f.name) > 0]:
            raise InputError(f"Prior scales must be positive; change {', '.join(wrong)}.")

    def to_dict(self) -> dict[str, float]:
        """A plain dictionary, for the model folder's JSON; ``MIRTPriors(**saved)`` is the way back."""
        return asdict(self)

"""Prior scales of the hierarchical MIRT, in one object that can be printed, changed and saved."""

from dataclasses import asdict, dataclass, fields

from bayes_irt_router.errors import InputError


@dataclass(frozen=True)
class MIRTPriors:
    """Prior scales of the hierarchical MIRT, in logits unless said otherwise.

    Ability has standard deviation 1 per trait among the fitted LLMs, always: the scales of ability and of discrimination enter
    the likelihood only as a product, so one of them is fixed.

    Attributes:
        difficulty_mean: SD of the normal prior on the mean difficulty.
        difficulty_surface: scale of the half-normal prior on the SD of the surface features' weights on difficulty.
        difficulty_kernel: scale of the half-normal prior on the SD of the embedding's smooth effect on difficulty.
        difficulty_residual: scale of the half-normal prior on the SD of what the features leave of difficulty.
        discrimination_mean: scale of the half-normal prior on the mean discrimination of the general trait, the first one;
            the specific traits have mean discrimination 0.
        discrimination_surface: as for difficulty, one SD per trait.
        discrimination_kernel: as for difficulty, one SD per trait.
        discrimination_residual: as for difficulty, one SD per trait.
        covariate: SD of the normal prior on the weight of a standardised LLM covariate on ability, in residual SDs of ability.
        family: scale of the half-normal prior on the SD of the effect that LLMs of one family share, in the same unit.
        score_precision: median of the log-normal prior (log SD 1) on the precision of graded scores; no unit.

    >>> from dataclasses import replace
    >>> replace(MIRTPriors(), difficulty_residual=2.0).difficulty_residual
    2.0
    """

    difficulty_mean: float = 2.0
    difficulty_surface: float = 0.5
    difficulty_kernel: float = 1.5
    difficulty_residual: float = 1.5
    discrimination_mean: float = 1.5
    discrimination_surface: float = 0.3
    discrimination_kernel: float = 1.0
    discrimination_residual: float = 0.7
    covariate: float = 0.5
    family: float = 0.5
    score_precision: float = 5.0

    def __post_init__(self) -> None:
        if wrong := [f.name for f in fields(self) if not getattr(self, f.name) > 0]:
            raise InputError(f"Prior scales must be positive; change {', '.join(wrong)}.")

    def to_dict(self) -> dict[str, float]:
        """A plain dictionary, for the model folder's JSON; ``MIRTPriors(**saved)`` is the way back."""
        return asdict(self)

"""The catalogue of simulated LLMs: invented names with sizes, dates and prices like those of real ones."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SimulatedLLM:
    """What is known of an LLM before it answers anything, and two hidden properties of its answers.

    Attributes:
        name: unique and invented.
        developer: who made it.
        family: LLMs of one family share part of their abilities.
        release_date: YYYY-MM.
        parameters_billion: size; hidden in the data when the weights are not open.
        context_tokens: length of the context window.
        open_weights: whether the weights are public.
        input_price_per_million: USD per million input tokens.
        output_price_per_million: USD per million output tokens.
        verbosity: log of its answers' length relative to the average LLM.
        speciality: a trait on which it is far better than its size says; "" for none.
        strength: how much better, in logits.
    """

    name: str
    developer: str
    family: str
    release_date: str
    parameters_billion: float
    context_tokens: int
    open_weights: bool
    input_price_per_million: float
    output_price_per_million: float
    verbosity: float
    speciality: str = ""
    strength: float = 0.0

    @property
    def release_month(self) -> int:
        """Months since January of year 0."""
        return 12 * int(self.release_date[:4]) + int(self.release_date[5:]) - 1


# family: (developer, context window in tokens, open weights)
_FAMILIES = {
    "velmora": ("Velmora Labs", 200_000, False),
    "quindle": ("Quindle", 128_000, False),
    "tarnwick": ("Tarnwick Research", 64_000, True),
    "ostrel": ("Ostrel AI", 32_000, True),
    "brackenfold": ("Brackenfold Institute", 8_000, True),
}

# name, family, release date, parameters in billions, input price, output price, verbosity, speciality,
# strength. Any first few of them mix sizes and families, so that a smaller benchmark is a sensible one too.
_ROWS = (
    ("velmora-3-ultra", "velmora", "2025-03", 420.0, 6.0, 24.0, 0.35, "", 0.0),
    ("brackenfold-3b", "brackenfold", "2024-02", 3.0, 0.05, 0.08, -0.2, "", 0.0),
    ("tarnwick-2-coder-7b", "tarnwick", "2024-11", 7.0, 0.1, 0.2, -0.1, "code", 3.0),
    ("quindle-lexicon", "quindle", "2024-09", 12.0, 0.15, 0.45, -0.3, "knowledge", 3.0),
    ("ostrel-72b", "ostrel", "2024-09", 72.0, 0.8, 1.0, 0.1, "", 0.0),
    ("quindle-pro", "quindle", "2024-01", 180.0, 3.0, 10.0, 0.0, "", 0.0),
    ("tarnwick-1-8b", "tarnwick", "2023-10", 8.0, 0.12, 0.15, 0.0, "", 0.0),
    ("velmora-3-base", "velmora", "2025-02", 90.0, 1.2, 4.8, 0.25, "", 0.0),
    ("ostrel-14b", "ostrel", "2024-09", 14.0, 0.2, 0.3, 0.1, "", 0.0),
    ("brackenfold-9b", "brackenfold", "2024-06", 9.0, 0.12, 0.18, -0.1, "", 0.0),
    ("tarnwick-2-70b", "tarnwick", "2024-10", 70.0, 0.7, 0.9, 0.05, "", 0.0),
    ("quindle-swift", "quindle", "2024-05", 20.0, 0.25, 0.8, -0.25, "", 0.0),
    ("velmora-2-base", "velmora", "2024-03", 60.0, 1.0, 3.5, 0.1, "", 0.0),
    ("ostrel-7b", "ostrel", "2024-06", 7.0, 0.1, 0.14, 0.1, "", 0.0),
    ("quindle-pro-2", "quindle", "2024-12", 240.0, 4.0, 14.0, 0.1, "", 0.0),
    ("brackenfold-1b", "brackenfold", "2024-06", 1.0, 0.02, 0.03, -0.3, "", 0.0),
    ("tarnwick-1-70b", "tarnwick", "2023-10", 70.0, 0.75, 0.95, 0.0, "", 0.0),
    ("velmora-2-nano", "velmora", "2024-03", 5.0, 0.1, 0.4, -0.1, "", 0.0),
    ("ostrel-32b", "ostrel", "2024-09", 32.0, 0.4, 0.55, 0.1, "", 0.0),
    ("tarnwick-2-8b", "tarnwick", "2024-10", 8.0, 0.11, 0.15, 0.05, "", 0.0),
)

LLMS: tuple[SimulatedLLM, ...] = tuple(
    SimulatedLLM(
        name=name,
        developer=_FAMILIES[family][0],
        family=family,
        release_date=date,
        parameters_billion=parameters,
        context_tokens=_FAMILIES[family][1],
        open_weights=_FAMILIES[family][2],
        input_price_per_million=input_price,
        output_price_per_million=output_price,
        verbosity=verbosity,
        speciality=speciality,
        strength=strength,
    )
    for name, family, date, parameters, input_price, output_price, verbosity, speciality, strength in _ROWS
)
"""The simulated LLMs. The first four are a large one, a small one and two cheap specialists."""

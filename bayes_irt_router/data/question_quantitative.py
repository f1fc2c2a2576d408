"""Templates of questions about quantities: arithmetic, percentages, units, algebra, geometry, chance, dates.

Each public function writes one question of one task: it takes a random generator and a level in [0, 1]
(a higher level asks for more steps or larger numbers) and returns a `Draft`.
"""

import datetime

import numpy as np

from bayes_irt_router.data.question_draft import (
    Draft,
    enumerate_in_words,
    graded,
    pick,
    pick_distinct,
    whole_number,
)


def arithmetic(rng: np.random.Generator, level: float) -> Draft:
    """Whole-number expressions, bare or told as a story."""
    terms, digits = graded(rng, level, 2, 6), graded(rng, level, 1, 4)
    numbers = [whole_number(rng, digits) for _ in range(terms)]
    if rng.random() < 0.3:
        place, thing = pick(
            rng, [("warehouse", "boxes"), ("library", "books"), ("bakery", "rolls"), ("school", "pencils")]
        )
        # The first number is the total so far or more, so that a story never hands out what is not there.
        start = sum(numbers) + whole_number(rng, digits)
        events = [
            pick(rng, [f"{x} more arrive", f"{x} are given away", f"{x} are found damaged and thrown out"])
            for x in numbers[1:]
        ]
        story = enumerate_in_words(events)
        text = f"A {place} has {start} {thing}. Then {story}. How many {thing} are there now?"
    else:
        expression = str(numbers[0])
        for number in numbers[1:]:
            expression += f" {pick(rng, ['+', '-', '*'])} {number}"
        wording = pick(
            rng,
            [
                "What is {}?",
                "Calculate {} and give only the final number.",
                "Work out the value of {}, following the usual order of operations.",
                "A pupil types {} into a calculator that knows the order of operations. What does it show?",
            ],
        )
        text = wording.format(expression)
    return Draft(text, terms - 1, digits)


def percentage(rng: np.random.Generator, level: float) -> Draft:
    """A quantity after several percentage changes, one after the other."""
    changes, digits = graded(rng, level, 1, 4), graded(rng, level, 2, 5)
    amount = whole_number(rng, digits)
    # Round percentages are easier than odd ones.
    round_rates = bool(level < 0.5)
    rates = [int(rng.integers(1, 10) * 10 if round_rates else rng.integers(3, 60)) for _ in range(changes)]
    parts = [f"{pick(rng, ['rises', 'falls'])} by {rate}%" for rate in rates]
    path = ", then ".join(parts)
    wording = pick(
        rng,
        [
            "The price of a coat is ${amount}. It {path}. What is the final price, to the nearest cent?",
            "A town has {amount} inhabitants. The population {path}. About how many people live there now?",
            "An investment of {amount} euros {path}. What is it worth in the end?",
            "The number {amount} {path}. By what percentage does the result differ from the start?",
            "A machine makes {amount} parts a month. Its output {path}. What is the new monthly output?",
        ],
    )
    return Draft(wording.format(amount=amount, path=path), changes, digits + (not round_rates))


_UNITS = (
    ("metres", "kilometres", "miles", "feet", "inches", "yards", "centimetres"),
    ("grams", "kilograms", "pounds", "ounces", "tonnes", "milligrams"),
    ("litres", "millilitres", "US gallons", "US pints", "US cups", "cubic metres"),
    ("seconds", "minutes", "hours", "days", "weeks"),
)


def unit_conversion(rng: np.random.Generator, level: float) -> Draft:
    """A sum of quantities in different units, expressed in another unit."""
    parts, digits = graded(rng, level, 1, 4), graded(rng, level, 1, 4)
    units = pick_distinct(rng, pick(rng, _UNITS), parts + 1)
    quantity = " plus ".join(f"{whole_number(rng, digits)} {unit}" for unit in units[1:])
    wording = pick(
        rng,
        [
            "Convert {quantity} to {unit}.",
            "How many {unit} are there in {quantity}?",
            "A label says {quantity}. Rewrite this in {unit}, rounded to two decimal places.",
            "An engineer's sheet lists {quantity}. Express it in {unit}.",
        ],
    )
    return Draft(wording.format(quantity=quantity, unit=units[0]), parts, digits)


def algebra(rng: np.random.Generator, level: float) -> Draft:
    """Linear equations, a pair of equations, or a quadratic, all with whole-number solutions."""
    steps, digits = graded(rng, level, 1, 5), graded(rng, level, 1, 3)
    x, y = whole_number(rng, digits), whole_number(rng, digits)
    a, b, c = (int(v) for v in rng.integers(2, 10**digits, size=3))
    if steps == 1:
        equation = f"{a}x + {b} = {a * x + b}"
    elif steps == 2:
        equation = f"{a + c}x + {b} = {c}x + {a * x + b}"
    elif steps == 3:
        equation = f"{a}(x + {b}) - {c} = {a * (x + b) - c}"
    elif steps == 4:
        equation = f"{a}x + {b}y = {a * x + b * y} and {a}x - {c}y = {a * x - c * y}"
    else:
        equation = f"x^2 - {x + y}x + {x * y} = 0 and x is at least {max(x, y)}"
    wording = pick(
        rng,
        [
            "Solve for x: {}.",
            "Find the number x such that {}.",
            "If {}, what is x?",
            "Suppose that ${}$. Determine $x$.",
        ],
    )
    return Draft(wording.format(equation), steps, digits)


# (steps, the shape with its measures, the quantity asked for)
_SHAPES = (
    (1, "a square with sides of {a} {u}", "perimeter"),
    (1, "a rectangle {a} {u} long and {b} {u} wide", "area"),
    (2, "a triangle with a base of {a} {u} and a height of {b} {u}", "area"),
    (2, "a circle with a radius of {a} {u}", "circumference"),
    (2, "a box measuring {a} by {b} by {c} {u}", "volume"),
    (3, "a right triangle whose shorter sides are {a} {u} and {b} {u}", "hypotenuse"),
    (3, "a cylinder with a radius of {a} {u} and a height of {b} {u}", "volume"),
    (4, "a closed box measuring {a} by {b} by {c} {u}", "total surface area"),
    (4, "a cone with a base radius of {a} {u} and a height of {b} {u}", "lateral surface area"),
    (5, "a cylinder of radius {a} {u} and height {b} {u} with a half sphere of that radius on top", "volume"),
    (5, "a regular hexagon with sides of {a} {u} after cutting out the largest possible circle", "area"),
)


def geometry(rng: np.random.Generator, level: float) -> Draft:
    """Lengths, areas and volumes of one shape."""
    steps, digits = graded(rng, level, 1, 5), graded(rng, level, 1, 3)
    _, shape, quantity = pick(rng, [row for row in _SHAPES if row[0] == steps])
    a, b, c = (whole_number(rng, digits) for _ in range(3))
    described = shape.format(a=a, b=b, c=c, u=pick(rng, ["cm", "m", "inches", "feet"]))
    wording = pick(
        rng,
        [
            "What is the {quantity} of {shape}?",
            "A designer draws {shape}. Find the {quantity}.",
            "Consider {shape}. Compute the {quantity}, rounded to one decimal place.",
            "For her homework Ines must work out the {quantity} of {shape}. What should she write?",
        ],
    )
    return Draft(wording.format(quantity=quantity, shape=described), steps, digits)


_COLOURS = ("red", "blue", "green", "yellow", "white", "black")


def probability(rng: np.random.Generator, level: float) -> Draft:
    """Marbles drawn from a bag, coins and dice."""
    draws, kinds = graded(rng, level, 1, 5), graded(rng, level, 2, 5)
    counts = [int(v) for v in rng.integers(draws, 8 + draws, size=kinds)]
    form = int(rng.integers(4))
    times = "once" if draws == 1 else f"{draws} times"
    putting_back = "" if draws == 1 else ", putting the ball back each time"
    if form < 2:
        colours = pick_distinct(rng, _COLOURS, kinds)
        content = enumerate_in_words([f"{n} {colour}" for n, colour in zip(counts, colours, strict=True)])
        if form == 0:
            drawn = "one marble is drawn" if draws == 1 else f"{draws} marbles are drawn without replacement"
            event = f"it is {colours[0]}" if draws == 1 else f"all of them are {colours[0]}"
            text = f"A bag holds {content} marbles. If {drawn}, what is the probability that {event}?"
        else:
            text = (
                f"An urn contains {content} balls. Someone draws {times}{putting_back}. "
                f"How likely is at least one {colours[0]} ball?"
            )
    elif form == 2:
        tosses = draws + kinds
        heads = int(rng.integers(1, tosses))
        text = (
            f"A fair coin is tossed {tosses} times. What is the chance of exactly {heads} "
            f"{'head' if heads == 1 else 'heads'}?"
        )
    else:
        sides, dice = 2 * kinds + 2, draws + 1
        target = int(rng.integers(dice + 1, dice * sides))
        text = (
            f"{dice} fair dice with {sides} sides each are rolled. Find the probability that they add up to "
            f"{target} or more, as a fraction."
        )
    return Draft(text, draws, kinds)


def sequence(rng: np.random.Generator, level: float) -> Draft:
    """The next number of a sequence whose rule must be found."""
    steps, digits = graded(rng, level, 1, 5), graded(rng, level, 1, 2)
    start, d, e = whole_number(rng, digits), whole_number(rng, digits), int(rng.integers(2, 6))
    n = np.arange(6)
    if steps == 1:
        values = start + d * n
    elif steps == 2:
        values = start * e**n
    elif steps == 3:
        values = start + d * n + e * n**2
    elif steps == 4:
        pair = [start, d]
        for _ in range(4):
            pair.append(pair[-1] + pair[-2])
        values = np.array(pair)
    else:
        # Two interleaved sequences: one adds, the other multiplies.
        values = np.where(n % 2 == 0, start + d * (n // 2), d * e ** (n // 2))
    shown = ", ".join(str(int(v)) for v in values)
    wording = pick(
        rng,
        [
            "What number comes next: {}, ...?",
            "Continue this sequence by one term: {}.",
            "A puzzle book prints the numbers {} and then a question mark. What belongs there?",
            "Find the rule behind {} and state the seventh term.",
        ],
    )
    return Draft(wording.format(shown), steps, digits)


# Own names, because those of strftime follow the machine's language.
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip


def date_logic(rng: np.random.Generator, level: float) -> Draft:
    """Dates and weekdays after moving forwards and backwards."""
    moves, digits = graded(rng, level, 1, 4), graded(rng, level, 1, 3)
    day = datetime.date(2019, 1, 1) + datetime.timedelta(days=int(rng.integers(2500)))
    weekday = _WEEKDAYS[day.weekday()]
    date = f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
    units = ["days"] if digits == 3 else ["days", "weeks"]
    shifts = [
        f"{whole_number(rng, digits)} {pick(rng, units)} {pick(rng, ['forward', 'forward', 'back'])}"
        for _ in range(moves)
    ]
    path = ", then ".join(shifts)
    wording = pick(
        rng,
        [
            "Today is {weekday}, {date}. Move {path}. What is the date?",
            "{date} is a {weekday}. Which day of the week do you reach if you go {path}?",
            "Start on the calendar at {date} and count {path}. On which date do you land?",
            "A meeting planned for {weekday}, {date} is moved {path}. When does it take place?",
        ],
    )
    return Draft(wording.format(weekday=weekday, date=date, path=path), moves, digits)

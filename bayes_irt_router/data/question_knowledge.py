"""Templates of questions about the world, with their small tables of facts: translation, knowledge, history.

Each public function writes one question of one task: it takes a random generator and a level in [0, 1]
(a higher level asks for rarer facts or more of them) and returns a `Draft`.
"""

import numpy as np

from bayes_irt_router.data.question_draft import Draft, graded, pick, pick_distinct

# From widely taught to rarely taught.
_LANGUAGES = (
    "French", "Spanish", "German", "Italian", "Portuguese", "Dutch", "Swedish", "Polish", "Greek", "Turkish",
    "Finnish", "Hungarian", "Swahili", "Welsh", "Basque", "Icelandic",
)  # fmt: skip
_SUBJECTS = (
    "the old fisherman", "my sister", "a hungry dog", "the new teacher", "our neighbour", "the young doctor",
    "a small child", "the tired traveller",
)  # fmt: skip
_ACTIONS = (
    "buys fresh bread", "reads a newspaper", "is waiting for the train", "sings a song",
    "repairs the broken window", "sleeps under a tree", "drinks cold water", "writes a long letter",
)  # fmt: skip
_ADDITIONS = (
    "every morning", "because it is raining", "in front of the town hall", "without saying a word",
    "although nobody asked", "before the shop closes", "with great care", "near the harbour",
)  # fmt: skip
_NOUNS = (
    "butterfly", "kitchen", "thunder", "spoon", "honesty", "squirrel", "bridge", "harvest",
    "needle", "autumn",
)  # fmt: skip


def translation(rng: np.random.Generator, level: float) -> Draft:
    """A word or a sentence into another language."""
    parts, rank = graded(rng, level, 0, 3), graded(rng, level, 0, len(_LANGUAGES) - 1)
    language = _LANGUAGES[rank]
    if parts == 0:
        wording = pick(
            rng,
            [
                "What is the {language} word for '{noun}'?",
                "How do you say '{noun}' in {language}?",
                "Give the {language} translation of {noun}, with the article if there is one.",
            ],
        )
        return Draft(wording.format(language=language, noun=pick(rng, _NOUNS)), 1, rank)
    additions = pick_distinct(rng, _ADDITIONS, parts - 1)
    sentence = " ".join([pick(rng, _SUBJECTS), pick(rng, _ACTIONS), *additions])
    sentence = sentence[0].upper() + sentence[1:] + "."
    wording = pick(
        rng,
        [
            'Translate into {language}: "{sentence}"',
            "How would a native speaker of {language} say this? {sentence}",
            "Write the following sentence in {language}, keeping the tense.\n\n{sentence}",
            "I am learning {language}. Please translate for me: {sentence}",
        ],
    )
    return Draft(wording.format(language=language, sentence=sentence), len(sentence.split()), rank)


# Wordings, then (subject, answer) from well known to little known. The other answers serve as wrong options.
_FACTS: tuple[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], ...] = (
    (
        ("What is the capital of {}?", "Name the capital city of {}.",
         "Which of these cities is the capital of {}?"),
        (
            ("France", "Paris"), ("Japan", "Tokyo"), ("Egypt", "Cairo"), ("Norway", "Oslo"), ("Peru", "Lima"),
            ("Kenya", "Nairobi"), ("Hungary", "Budapest"), ("Vietnam", "Hanoi"), ("Uruguay", "Montevideo"),
            ("Mongolia", "Ulaanbaatar"), ("Zambia", "Lusaka"), ("Slovenia", "Ljubljana"), ("Oman", "Muscat"),
            ("Burkina Faso", "Ouagadougou"), ("Bhutan", "Thimphu"), ("Vanuatu", "Port Vila"),
        ),
    ),
    (
        ("Which chemical element has the symbol {}?", "In the periodic table, what does {} stand for?",
         "A jar is labelled {}. Which element is in it?"),
        (
            ("O", "oxygen"), ("Fe", "iron"), ("Au", "gold"), ("Na", "sodium"), ("Pb", "lead"),
            ("Hg", "mercury"), ("K", "potassium"), ("W", "tungsten"), ("Sn", "tin"), ("Sb", "antimony"),
            ("Bi", "bismuth"), ("Y", "yttrium"), ("Re", "rhenium"), ("Tm", "thulium"),
            ("Pa", "protactinium"), ("Fl", "flerovium"),
        ),
    ),
    (
        ("Who wrote {}?", "Which author's name is on the cover of {}?",
         "A friend lends you {}. By whom is it?"),
        (
            ("Romeo and Juliet", "William Shakespeare"), ("Pride and Prejudice", "Jane Austen"),
            ("Oliver Twist", "Charles Dickens"), ("War and Peace", "Leo Tolstoy"),
            ("Faust", "J. W. von Goethe"),
            ("Frankenstein", "Mary Shelley"), ("Moby-Dick", "Herman Melville"),
            ("Madame Bovary", "Gustave Flaubert"), ("The Trial", "Franz Kafka"),
            ("Middlemarch", "George Eliot"), ("Things Fall Apart", "Chinua Achebe"),
            ("Buddenbrooks", "Thomas Mann"), ("The Leopard", "Giuseppe Tomasi di Lampedusa"),
            ("Hunger", "Knut Hamsun"), ("The Tale of Genji", "Murasaki Shikibu"),
            ("Oblomov", "Ivan Goncharov"),
        ),
    ),
    (
        ("Which currency is used in {}?", "You pay for a coffee in {}. What money do you need?",
         "What is the name of the money of {}?"),
        (
            ("Japan", "yen"), ("India", "rupee"), ("Switzerland", "franc"), ("China", "renminbi"),
            ("Poland", "zloty"), ("Thailand", "baht"), ("South Africa", "rand"), ("Israel", "shekel"),
            ("Vietnam", "dong"), ("Ukraine", "hryvnia"), ("Nigeria", "naira"), ("Ethiopia", "birr"),
            ("Albania", "lek"), ("Mongolia", "tugrik"), ("Botswana", "pula"),
            ("Paraguay", "guarani"),
        ),
    ),
)  # fmt: skip


def general_knowledge(rng: np.random.Generator, level: float) -> Draft:
    """One fact with several answers to choose from."""
    options, rank = graded(rng, level, 3, 6), graded(rng, level, 0, 15)
    wordings, facts = pick(rng, _FACTS)
    subject, answer = facts[rank]
    wrong = pick_distinct(rng, [other for _, other in facts if other != answer], options - 1)
    lines = [f"{'ABCDEF'[i]}) {o}" for i, o in enumerate(pick_distinct(rng, [answer, *wrong], options))]
    ending = pick(rng, ["", "\nAnswer with one letter.", "\nOnly one answer is right."])
    return Draft(pick(rng, wordings).format(subject) + "\n" + "\n".join(lines) + ending, options - 1, rank)


# In the order in which they happened.
_EVENTS = (
    (1215, "the sealing of Magna Carta"), (1348, "the arrival of the Black Death in England"),
    (1453, "the fall of Constantinople"), (1492, "Columbus's first voyage across the Atlantic"),
    (1519, "the start of Magellan's voyage around the world"), (1588, "the defeat of the Spanish Armada"),
    (1666, "the Great Fire of London"), (1687, "the publication of Newton's Principia"),
    (1755, "the great earthquake of Lisbon"), (1776, "the American Declaration of Independence"),
    (1789, "the storming of the Bastille"), (1815, "the battle of Waterloo"),
    (1859, "the publication of On the Origin of Species"), (1869, "the opening of the Suez Canal"),
    (1889, "the opening of the Eiffel Tower"), (1903, "the first powered flight of the Wright brothers"),
    (1912, "the sinking of the Titanic"), (1914, "the opening of the Panama Canal"),
    (1922, "the discovery of Tutankhamun's tomb"), (1928, "the discovery of penicillin by Fleming"),
    (1945, "the founding of the United Nations"), (1953, "the first ascent of Mount Everest"),
    (1957, "the launch of Sputnik 1"), (1961, "the building of the Berlin Wall"),
    (1969, "the first landing of people on the Moon"), (1977, "the launch of Voyager 1"),
    (1986, "the accident at Chernobyl"), (1990, "the launch of the Hubble Space Telescope"),
)  # fmt: skip


def chronology(rng: np.random.Generator, level: float) -> Draft:
    """Which of several events came first, or all of them in order; close events are harder."""
    count = graded(rng, level, 2, 6)
    # Hard questions take their events from a narrow stretch of history.
    window = graded(rng, 1.0 - level, 8, len(_EVENTS))
    start = int(rng.integers(len(_EVENTS) - window + 1))
    chosen = pick_distinct(rng, _EVENTS[start : start + window], count)
    names = "; ".join(name for _, name in chosen)
    wording = pick(
        rng,
        [
            "Put these events in order, earliest first: {}.",
            "Which happened last: {}?",
            "A history teacher lists {}. Which of these came first?",
            "These cards must be laid out from past to present: {}. What is the right order?",
            "Sort by year, from the oldest to the most recent: {}.",
        ],
    )
    gap = int(np.diff(sorted(year for year, _ in chosen)).min())
    return Draft(wording.format(names), count - 1, 10.0 - float(np.log2(gap)))

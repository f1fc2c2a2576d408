"""A user's own table of abilities."""

from pathlib import Path

import pytest

from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.ability_table import NamedAbility, read_abilities


def test_a_table_of_ones_own(tmp_path: Path):
    path = tmp_path / "abilities.csv"
    path.write_text("ability,description\nsums, Add numbers.\nfacts,Who wrote it?\n", encoding="utf-8")
    assert read_abilities(path) == (
        NamedAbility("sums", "Add numbers."),
        NamedAbility("facts", "Who wrote it?"),
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("abilities.csv", "ability,description\nsums,\n,Who wrote it?\nprose,  \n"),
        (
            "abilities.jsonl",
            '{"ability": "sums"}\n{"ability": null, "description": "Who wrote it?"}\n{"ability": "prose", "description": ""}\n',
        ),
    ],
)
def test_every_empty_cell_is_told(tmp_path: Path, name: str, content: str):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_abilities(path)
    assert list(error.value.problems) == [
        "The name of ability 2 is empty; write it.",
        "The description of ability 1 is empty; write it.",
        "The description of ability 3 is empty; write it.",
    ]

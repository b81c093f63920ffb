import pytest

from greennas_jax.importers import text_format
from greennas_jax.importers.text_format import Message
from greennas_jax.spec.network import SpecError


def plain(message):
    """Return a message as nested lists, without places."""
    return [
        (f.name, plain(f.value) if isinstance(f.value, Message) else f.value.value)
        for f in message.fields
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# a comment\n\n", []),
        ("a: 1", [("a", 1)]),
        ("a: -1, b: 0x1F; c: 017", [("a", -1), ("b", 31), ("c", 15)]),
        (
            "a: 1.5 b: .5 c: 2. d: 1e-3 e: 3f",
            [("a", 1.5), ("b", 0.5), ("c", 2.0), ("d", 0.001), ("e", 3.0)],
        ),
        ("a: - inf", [("a", float("-inf"))]),
        ("a: true b: MAX", [("a", "true"), ("b", "MAX")]),
        ('a: \'it\' "s\\n\\x41\\101\\""', [("a", 'its\nAA"')]),
        ('a: "# no comment" # one', [("a", "# no comment")]),
        (
            "a { b: 1 } a: { b: 2 } a < b: 3 >",
            [("a", [("b", 1)]), ("a", [("b", 2)]), ("a", [("b", 3)])],
        ),
        ("a: [1, 2] b: [] c [ { d: 1 }, {} ]", [("a", 1), ("a", 2), ("c", [("d", 1)]), ("c", [])]),
        ("a{b{c:1}}", [("a", [("b", [("c", 1)])])]),
    ],
)
def test_parse(text, expected):
    assert plain(text_format.parse(text)) == expected


def test_places():
    message = text_format.parse("a: 1\n  b {\n\tc: 2 }")
    assert message.fields[0].place == (1, 1)
    assert message.fields[1].place == (2, 3)
    inner = message.fields[1].value
    assert isinstance(inner, Message)
    assert inner.fields[0].place == (3, 2)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            "a {\n b: 1",
            "line 2, column 6",
            "the text ends inside the '{' opened at line 1, column 3",
        ),
        ("a: 1 }", "line 1, column 6", "'}'"),
        ("a { b: 1 >", "line 1, column 10", "'>'"),
        ("a\nb: 1", "line 2, column 1", "after 'a'"),
        ("a:", "line 1, column 3", "the end of the text"),
        ("a: }", "line 1, column 4", "'}'"),
        ("a: - b", "line 1, column 6", "number"),
        ("a: 12ab", "line 1, column 4", "not a number"),
        ("a: 08", "line 1, column 4", "octal"),
        (f"a: {'9' * 65}", "line 1, column 4", "65 digits"),
        ("a: 'x\n'", "line 1, column 4", "no end"),
        ('a: "\\q"', "line 1, column 4", "escape"),
        ("a: [1 2]", "line 1, column 7", "','"),
        ("a: [1,]", "line 1, column 7", "value"),
        ("[ext.name]: 1", "line 1, column 1", "field's name"),
        ("a: \x00", "line 1, column 4", "'\\x00'"),
        ("a {" * 40, "line 1, column 100", "nested deeper than 32"),
    ],
)
def test_malformed_text_is_placed(text, place, words):
    with pytest.raises(SpecError) as error:
        text_format.parse(text)
    assert str(error.value).startswith(place), error.value
    assert words in str(error.value)


def test_limits_hold_for_hostile_texts():
    with pytest.raises(SpecError, match="longer than"):
        text_format.parse(" " * (text_format.LARGEST_TEXT + 1))
    for text in ("a<" * 100_000, "a: [" * 100_000, '"' * 100_001, "\\" * 100, "a: " + "-" * 9999):
        with pytest.raises(SpecError):
            text_format.parse(text)

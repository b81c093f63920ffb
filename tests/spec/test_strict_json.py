import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greennas_jax.spec import strict_json
from greennas_jax.spec.network import SpecError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(VALUES)
def test_reads_what_the_standard_library_writes(value):
    assert strict_json.parse(json.dumps(value)) == value
    assert strict_json.parse(json.dumps(value, indent=2, ensure_ascii=False)) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not valid JSON at line 1, column 1"),
        ('{"a": 1,\n "b" 2}', "not valid JSON at line 2, column 6"),
        ('{"a": 1,}', "not valid JSON at line 1"),
        ("{'a': 1}", "not valid JSON at line 1, column 2"),
        ('{"a": 1} {"b": 2}', "not valid JSON at line 1, column 10: Extra data"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ('{"a": 1e999}', "number '1e999' is too large"),
        ('{"a": ' + "9" * 5000 + "}", "a number is out of range"),
        ('{"a": 1,\n  "a": 2}', "key 'a' is given twice in one object, again at line 2, column 3"),
        (
            '{"x": {"y": [1, {"z{": "}"}], "\\u0079": 3}}',
            "key 'y' is given twice in one object, again at line 1, column 31",
        ),
        ("[" * 34 + "]" * 34, "nested deeper than 32 levels"),
        ('{"a":' * 100_000, "nested deeper than 32 levels"),
    ],
)
def test_refuses_with_one_line(text, said):
    with pytest.raises(SpecError) as caught:
        strict_json.parse(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_equal_keys_of_different_objects_are_fine():
    text = '{"a": {"b": 1}, "c": [{"b": 2}, {"b": 3}]}'
    assert strict_json.parse(text) == {"a": {"b": 1}, "c": [{"b": 2}, {"b": 3}]}


def test_nesting_up_to_the_limit_is_read():
    text = "[" * 32 + "]" * 32
    assert strict_json.parse(text) == json.loads(text)


def test_refuses_a_text_above_the_limit(monkeypatch):
    monkeypatch.setattr(strict_json, "LARGEST_TEXT", 10)
    assert strict_json.parse("[1, 2, 34]") == [1, 2, 34]
    with pytest.raises(SpecError, match="longer than 10 characters"):
        strict_json.parse("[1, 2, 345]")

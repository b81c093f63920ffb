"""JSON read strictly: standard, each key once, numbers finite, within limits of size and depth."""

import json
import math
import re
from typing import Any

from greennas_jax.spec import limits
from greennas_jax.spec.network import SpecError, shown

LARGEST_TEXT = limits.LARGEST_JSON
DEEPEST_NESTING = limits.DEEPEST_NESTING

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:]')


class _RepeatedKeyError(Exception):
    """An object of the text has a key twice."""


def parse(text: str) -> Any:
    """Return the JSON value of a text.

    Raises:
      SpecError: If the text is no JSON, repeats a key, holds a number that is not finite, or is
        longer or nested deeper than the limits; one line says what and, where known, the place.

    Examples:
      >>> parse('{"a": [1, 2.5]}')
      {'a': [1, 2.5]}
      >>> parse('{"a": 1, "a": 2}')
      Traceback (most recent call last):
      greennas_jax.spec.network.SpecError: key 'a' is given twice ... line 1, column 10; ...
    """
    if len(text) > LARGEST_TEXT:
        raise SpecError(f"longer than {LARGEST_TEXT} characters, the most that is read")
    nested = SpecError(f"nested deeper than {DEEPEST_NESTING} levels, the most that is read")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise SpecError(
            f"not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise nested from None
    except _RepeatedKeyError:
        raise SpecError(_repeated_key(text)) from None
    except SpecError:
        raise
    except ValueError as error:  # Python limits the digits of a whole number.
        raise SpecError(f"a number is out of range: {error}") from None
    level = [value]
    for _ in range(DEEPEST_NESTING):
        level = [v.values() if isinstance(v, dict) else v for v in level if _holds_values(v)]
        level = [item for values in level for item in values]
    if any(map(_holds_values, level)):
        raise nested
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _RepeatedKeyError
    return value


def _no_constant(text: str) -> float:
    raise SpecError(f"{text} is not a JSON number; finite numbers are allowed")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise SpecError(f"number {shown(text)} is too large; finite numbers are allowed")
    return value


def _holds_values(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _repeated_key(text: str) -> str:
    """Return the message for the first key that one object of the text has twice."""
    objects: list[set[str]] = []
    previous = None
    for token in _TOKEN.finditer(text):
        kind = token.group()
        if kind in "{[":
            objects.append(set())
        elif kind in "}]":
            objects.pop()
        elif kind == ":" and previous is not None:
            key = json.loads(previous.group())
            if key in objects[-1]:
                line = text.count("\n", 0, previous.start()) + 1
                column = previous.start() - text.rfind("\n", 0, previous.start())
                return (
                    f"key {shown(key)} is given twice in one object, again at line {line}, "
                    f"column {column}; once is allowed"
                )
            objects[-1].add(key)
        previous = token
    return "a key is given twice in one object; once is allowed"

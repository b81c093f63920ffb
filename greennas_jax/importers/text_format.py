"""Protocol buffers' text format, read without a schema.

A message is a list of fields, `name: scalar` or `name { fields }`; `name: [a, b]` repeats a field,
`<` and `>` may stand for braces, `,` or `;` may end a field, `#` starts a comment (Protocol Buffers
documentation, "Text Format Language Specification"). Extensions and `Any` are not read. Every field
knows its place, so that whoever gives it meaning can say where it is wrong.
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from greennas_jax.spec import limits
from greennas_jax.spec.network import SpecError, shown

LARGEST_TEXT = limits.LARGEST_PROTOTXT
DEEPEST_NESTING = limits.DEEPEST_NESTING
LONGEST_NUMBER = 64

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n\f\v]+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)(?![\w.]))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>[{}<>\[\]:,;-])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CLOSING = {"{": "}", "<": ">"}


class Place(NamedTuple):
    """Where something stands in a text, both counted from 1."""

    line: int
    column: int


class Scalar(NamedTuple):
    """A value: a quoted string, a number, or a bare word (an enumeration's or true, false)."""

    kind: Literal["string", "number", "word"]
    value: str | int | float


@dataclasses.dataclass(frozen=True)
class Message:
    """The fields between two braces, in order; a repeated field stands several times."""

    fields: tuple["Field", ...]
    place: Place


class Field(NamedTuple):
    """One field of a message."""

    name: str
    value: Scalar | Message
    place: Place


class PlacedError(SpecError):
    """A text is not valid; the message begins with the line and the column."""


def error_at(place: Place, message: str) -> PlacedError:
    """Return the error that says what is wrong at a place."""
    return PlacedError(f"line {place.line}, column {place.column}: {message}")


class _Token(NamedTuple):
    kind: str
    text: str
    place: Place


@dataclasses.dataclass
class _Tokens:
    """The tokens of a text with one to look ahead."""

    rest: Iterator[_Token]
    next: _Token


def parse(text: str) -> Message:
    """Return the message that a text holds.

    Raises:
      PlacedError: If the text is malformed, longer, or nested deeper than the limits.
    """
    if len(text) > LARGEST_TEXT:
        raise SpecError(f"longer than {LARGEST_TEXT} characters, the most that is read")
    rest = _tokenize(text)
    tokens = _Tokens(rest, next(rest))
    return Message(_fields(tokens, None, 0), Place(1, 1))


def _tokenize(text: str) -> Iterator[_Token]:
    line, start, at = 1, 0, 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        place = Place(line, at - start + 1)
        if found is None:
            raise _no_token(text, at, place)
        kind, token = str(found.lastgroup), found.group()
        if kind != "blank":
            yield _Token(kind, token, place)
        elif "\n" in token:
            line += token.count("\n")
            start = at + token.rindex("\n") + 1
        at = found.end()
    yield _Token("end", "", Place(line, at - start + 1))


def _no_token(text: str, at: int, place: Place) -> PlacedError:
    if text[at] in "\"'":
        return error_at(place, "the string that begins here has no end in its line")
    if text[at].isdecimal():
        return error_at(place, f"{shown(text[at : at + 20].split()[0])} is not a number")
    return error_at(place, f"unexpected character {shown(text[at])}")


def _take(tokens: _Tokens) -> _Token:
    token = tokens.next
    if token.kind != "end":
        tokens.next = next(tokens.rest)
    return token


def _named(token: _Token) -> str:
    return "the end of the text" if token.kind == "end" else shown(token.text)


def _fields(tokens: _Tokens, opening: _Token | None, depth: int) -> tuple[Field, ...]:
    """Return the fields up to the closing mark, or to the end for the outermost message."""
    if depth > DEEPEST_NESTING:
        raise error_at(tokens.next.place, f"nested deeper than {DEEPEST_NESTING} levels")
    closing = _CLOSING[opening.text] if opening else None
    fields: list[Field] = []
    while True:
        token = _take(tokens)
        if token.kind == "end":
            if opening is None:
                return tuple(fields)
            raise error_at(
                token.place,
                f"the text ends inside the '{opening.text}' opened at line {opening.place.line}, "
                f"column {opening.place.column}",
            )
        if token.kind == "mark" and token.text == closing:
            return tuple(fields)
        if token.kind != "word":
            raise error_at(token.place, f"a field's name is needed, not {_named(token)}")
        fields.extend(_values(tokens, token, depth))
        if tokens.next.kind == "mark" and tokens.next.text in ",;":
            _take(tokens)


def _values(tokens: _Tokens, name: _Token, depth: int) -> list[Field]:
    """Return one field, or several where the text lists their values in brackets."""
    has_colon = tokens.next.kind == "mark" and tokens.next.text == ":"
    if has_colon:
        _take(tokens)
    if tokens.next.kind == "mark" and tokens.next.text == "[":
        return _listed(tokens, name, depth)
    if not has_colon and (tokens.next.kind != "mark" or tokens.next.text not in _CLOSING):
        raise error_at(
            tokens.next.place,
            f"':' or '{{' is needed after {shown(name.text)}, not {_named(tokens.next)}",
        )
    return [Field(name.text, _value(tokens, depth), name.place)]


def _listed(tokens: _Tokens, name: _Token, depth: int) -> list[Field]:
    _take(tokens)
    fields: list[Field] = []
    while not (not fields and tokens.next.text == "]"):
        place = tokens.next.place
        fields.append(Field(name.text, _value(tokens, depth), place))
        if tokens.next.kind == "mark" and tokens.next.text == "]":
            break
        separator = _take(tokens)
        if separator.kind != "mark" or separator.text != ",":
            raise error_at(separator.place, f"',' or ']' is needed, not {_named(separator)}")
    _take(tokens)
    return fields


def _value(tokens: _Tokens, depth: int) -> Scalar | Message:
    token = _take(tokens)
    if token.kind == "mark" and token.text in _CLOSING:
        return Message(_fields(tokens, token, depth + 1), token.place)
    if token.kind == "string":
        parts = [_unquoted(token)]
        while tokens.next.kind == "string":
            parts.append(_unquoted(_take(tokens)))
        return Scalar("string", "".join(parts))
    if token.kind == "mark" and token.text == "-":
        number = _take(tokens)
        if number.kind == "word" and number.text.lower() in ("inf", "infinity", "nan"):
            return Scalar("number", -float(number.text))
        if number.kind != "number":
            raise error_at(number.place, f"a number is needed after '-', not {_named(number)}")
        return Scalar("number", -_number(number))
    if token.kind == "number":
        return Scalar("number", _number(token))
    if token.kind == "word":
        return Scalar("word", token.text)
    raise error_at(token.place, f"a value is needed, not {_named(token)}")


def _number(token: _Token) -> int | float:
    text = token.text
    if len(text) > LONGEST_NUMBER:
        raise error_at(token.place, f"a number of {len(text)} digits; at most {LONGEST_NUMBER}")
    if text.lower().startswith("0x"):
        return int(text, 16)
    if not text.isdecimal():
        return float(text.rstrip("fF"))
    try:
        return int(text, 8 if text.startswith("0") else 10)
    except ValueError:
        raise error_at(token.place, f"{shown(text)} is not an octal number") from None


def _unquoted(token: _Token) -> str:
    def plain(found: re.Match[str]) -> str:
        code = found.group(1)
        if code[0] in "01234567":
            return chr(int(code, 8))
        if code[0] in "xX" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code in _ESCAPED or code in "\\'\"?":
            return _ESCAPED.get(code, code)
        raise error_at(token.place, f"the string has an unknown escape {shown(found.group())}")

    return _ESCAPE.sub(plain, token.text[1:-1])

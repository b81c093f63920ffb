"""Typed, checked views of the fields of a text message."""

import math
from collections.abc import Sequence

from greennas_jax.importers.text_format import Field, Message, Scalar, error_at
from greennas_jax.spec.layers import LARGEST_SIZE
from greennas_jax.spec.network import shown

_TRUE, _FALSE = ("true", "True", "t", 1), ("false", "False", "f", 0)


def all_of(message: Message, name: str) -> list[Field]:
    """Return the fields of a name, in order."""
    return [field for field in message.fields if field.name == name]


def one(message: Message, name: str) -> Field | None:
    """Return the only field of a name, or None.

    Raises:
      PlacedError: If it stands twice.
    """
    found = all_of(message, name)
    if len(found) > 1:
        raise error_at(found[1].place, f"'{name}' is given twice; once is allowed")
    return found[0] if found else None


def has(message: Message, *names: str) -> bool:
    """Return whether any of some fields is given."""
    return any(field.name in names for field in message.fields)


def messages(message: Message, name: str) -> list[Message]:
    """Return the messages of a repeated field."""
    return [_message(field) for field in all_of(message, name)]


def part(message: Message, name: str) -> Message:
    """Return a message inside a message, empty where it is not given."""
    field = one(message, name)
    return Message((), message.place) if field is None else _message(field)


def _message(field: Field) -> Message:
    if isinstance(field.value, Message):
        return field.value
    raise error_at(
        field.place, f"'{field.name}' is {shown(field.value.value)}; '{{' and fields are needed"
    )


def _scalar(field: Field, kind: str, allowed: str) -> Scalar:
    value = field.value
    if isinstance(value, Message):
        raise error_at(field.place, f"'{field.name}' is a message; {allowed} is needed")
    if value.kind != kind:
        raise error_at(field.place, f"'{field.name}' is {shown(value.value)}; {allowed} is needed")
    return value


def as_integer(field: Field, least: int = 0) -> int:
    """Return the whole number of a field."""
    allowed = f"a whole number from {least} to {LARGEST_SIZE}"
    value = _scalar(field, "number", allowed).value
    if not isinstance(value, int) or not least <= value <= LARGEST_SIZE:
        raise error_at(field.place, f"'{field.name}' is {shown(value)}; {allowed} is needed")
    return value


def as_text(field: Field) -> str:
    """Return the quoted string of a field."""
    return str(_scalar(field, "string", "a quoted string").value)


def integer(message: Message, name: str, default: int, least: int = 0) -> int:
    """Return a whole number, or the default where it is not given."""
    field = one(message, name)
    return default if field is None else as_integer(field, least)


def needed_integer(message: Message, name: str, least: int = 1) -> int:
    """Return a whole number that must be given."""
    field = one(message, name)
    if field is None:
        raise error_at(message.place, f"'{name}' is missing; a whole number is needed")
    return as_integer(field, least)


def integers(message: Message, name: str, least: int = 0) -> list[int]:
    """Return the whole numbers of a repeated field."""
    return [as_integer(field, least) for field in all_of(message, name)]


def number(message: Message, name: str, default: float) -> float:
    """Return a finite number, or the default where it is not given."""
    field = one(message, name)
    if field is None:
        return default
    value = float(_scalar(field, "number", "a number").value)
    if not math.isfinite(value):
        raise error_at(field.place, f"'{name}' is {value}; a finite number is needed")
    return value


def text(message: Message, name: str, default: str = "") -> str:
    """Return a quoted string, or the default where it is not given."""
    field = one(message, name)
    return default if field is None else as_text(field)


def texts(message: Message, name: str) -> list[str]:
    """Return the quoted strings of a repeated field."""
    return [as_text(field) for field in all_of(message, name)]


def flag(message: Message, name: str, default: bool) -> bool:
    """Return a truth value, or the default where it is not given."""
    field = one(message, name)
    if field is None:
        return default
    if isinstance(field.value, Scalar) and field.value.kind != "string":
        if field.value.value in _TRUE:
            return True
        if field.value.value in _FALSE:
            return False
    raise error_at(field.place, f"'{name}' is neither true nor false")


def choice(message: Message, name: str, options: Sequence[str], default: str) -> str:
    """Return an enumeration's word; its number is understood as well."""
    field = one(message, name)
    return default if field is None else as_choice(field, options)


def as_choice(field: Field, options: Sequence[str]) -> str:
    """Return the word of an enumeration's field, written as a word or as its number."""
    value = field.value.value if isinstance(field.value, Scalar) else "a message"
    if isinstance(value, int) and 0 <= value < len(options):
        return options[value]
    if value in options:
        return str(value)
    allowed = ", ".join(options)
    raise error_at(field.place, f"'{field.name}' is {shown(value)}; allowed: {allowed}")

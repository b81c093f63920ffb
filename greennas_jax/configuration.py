"""Frozen configuration records from nested mappings, and back."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any


def build(record: type, values: Mapping[str, Any], path: str = "config") -> Any:
    """Return a frozen record from a nested mapping.

    Args:
      record: A dataclass; fields that are dataclasses are built likewise.
      values: Values by field name; fields left out keep their defaults.
      path: Where the mapping stands, for messages.

    Raises:
      ValueError: If a name is not a field, or a value is of another kind than the default.
    """
    fields = {field.name: field for field in dataclasses.fields(record)}
    hints = typing.get_type_hints(record)
    made = {}
    for name, value in values.items():
        if name not in fields:
            raise ValueError(f"{path}.{name} is not known; allowed: {', '.join(fields)}")
        kind = hints[name]
        if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
            made[name] = build(typing.cast(type, kind), value, f"{path}.{name}")
        else:
            made[name] = _fitted(value, kind, f"{path}.{name}")
    return record(**made)


def _fitted(value: Any, kind: Any, where: str) -> Any:
    """Return a value as its field's kind, lists as tuples and whole numbers as floats."""
    origin = typing.get_origin(kind)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise ValueError(f"{where} is {value!r}; allowed: a tuple")
        element = typing.get_args(kind)[0]
        return tuple(_fitted(entry, element, where) for entry in value)
    allowed = typing.get_args(kind) if origin is not None else (kind,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    fits = isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))
    if not fits:
        names = " or ".join("null" if k is type(None) else k.__name__ for k in allowed)
        raise ValueError(f"{where} is {value!r}; allowed: {names}")
    return value


def plain(record: Any) -> Any:
    """Return a record as JSON values; a number that is not finite, hence not stated, is None."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: plain(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, (list, tuple)):
        return [plain(entry) for entry in record]
    if isinstance(record, float) and not math.isfinite(record):
        return None
    return record

"""Layer models as text, `greennas.neuralpower/1`: strict JSON that a person can read and check.

A term reads `"batch * log2 in_channels": coefficient`; `1` is the term without factors.
"""

import json
import math
import os
from collections.abc import Collection, Mapping
from typing import Any

from greennas_jax.costs import dtypes, neuralpower_features, settings
from greennas_jax.costs.layer_table import Operation
from greennas_jax.costs.neuralpower_features import LOG
from greennas_jax.costs.neuralpower_model import (
    FORMS,
    FUSED,
    QUANTITIES,
    Error,
    Formula,
    KindFit,
    Model,
    Range,
    Term,
)
from greennas_jax.spec import limits, strict_json, text_files
from greennas_jax.spec.network import SpecError, shown

SCHEMA = "greennas.neuralpower/1"
FLAG = "neuralpower:"
MOST_FACTORS = 3

_TEXTS = ("device", "driver", "date", "version")
_KEYS = ("schema", *_TEXTS, "mode", "dtype", "seed", "layers")
_FIT_KEYS = (
    *("samples", "operations", "fused", "errors_percent", "range"),
    *("runtime_ms", "power_w"),
)
_FORMULA_KEYS = ("form", "constant", "terms", "counted", "lowest", "highest")
_PRODUCT = " * "


class ModelError(ValueError):
    """A file of layer models is not valid; the message says where and what is allowed."""


def chosen(text: str) -> str | Model:
    """Return the power model that a flag names: a file of layer models, or the text itself.

    Args:
      text: `neuralpower:FILE`, or what `CostSettings.power` takes.

    Raises:
      ModelError: If the file's content is not valid.
      OSError: If the file cannot be read.
    """
    return load(text.removeprefix(FLAG)) if text.startswith(FLAG) else text


def load(path: str | os.PathLike[str]) -> Model:
    """Return the layer models in a file.

    Raises:
      ModelError: If the content is not valid.
      OSError: If the file cannot be read.
    """
    where = os.fspath(path)
    try:
        text = text_files.read(path, limits.LARGEST_JSON)
    except text_files.FileError as error:
        raise ModelError(f"layer models {error}") from None
    return read(text, origin=where)


def write(model: Model) -> str:
    """Return the text of layer models; `read` gives back an equal record."""
    stated = {
        "schema": SCHEMA,
        **{key: getattr(model, key) for key in (*_TEXTS, "mode", "dtype", "seed")},
        "layers": {fit.kind: _fit_json(fit) for fit in model.fits},
    }
    return json.dumps(stated, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _fit_json(fit: KindFit) -> dict[str, Any]:
    errors: dict[str, dict[str, float]] = {}
    for quantity, form, value in fit.errors:
        errors.setdefault(quantity, {})[form] = value
    return {
        "samples": fit.samples,
        "operations": list(fit.operations),
        "fused": list(fit.fused),
        "errors_percent": errors,
        "range": {name: [lower, upper] for name, lower, upper in fit.ranges},
        "runtime_ms": _formula_json(fit.runtime),
        "power_w": None if fit.power is None else _formula_json(fit.power),
    }


def _formula_json(formula: Formula) -> dict[str, Any]:
    return {
        "form": formula.form,
        "constant": formula.constant,
        "terms": {_PRODUCT.join(names) or "1": value for value, names in formula.terms},
        "counted": {_PRODUCT.join(names) or "1": value for value, names in formula.counted},
        "lowest": formula.lowest,
        "highest": formula.highest,
    }


def read(text: str, *, origin: str = "<text>") -> Model:
    """Return the layer models that a text states.

    Raises:
      ModelError: If the text is not JSON, or a key is missing, unknown or out of range.
    """
    where = f"layer models {origin}"
    try:
        stated = strict_json.parse(text)
    except SpecError as error:
        raise ModelError(f"{where}: {error}") from None
    if not isinstance(stated, dict) or stated.get("schema") != SCHEMA:
        raise ModelError(f"{where}: an object with 'schema' \"{SCHEMA}\" is needed")
    _keys(stated, _KEYS, where)
    layers = stated["layers"]
    if not isinstance(layers, dict) or not layers:
        raise ModelError(f"{where}: 'layers' needs an object with one entry per kind of layers")
    for kind in layers:
        _one_of(kind, tuple(neuralpower_features.HYPER_PARAMETERS), f"{where}: kind")
    return Model(
        **{key: _text(stated[key], f"{where}: '{key}'") for key in _TEXTS},
        mode=_one_of(stated["mode"], settings.MODES, f"{where}: 'mode'"),
        dtype=_one_of(stated["dtype"], dtypes.DTYPES, f"{where}: 'dtype'"),
        seed=_whole(stated["seed"], f"{where}: 'seed'", 0),
        fits=tuple(_fit(kind, entry, f"{where}: {kind}") for kind, entry in layers.items()),
    )


def _fit(kind: str, entry: Any, where: str) -> KindFit:
    """Return the fit that an entry of 'layers' states."""
    _keys(entry, _FIT_KEYS, where)
    operations = _names(entry["operations"], Operation.__members__, f"{where}: 'operations'")
    if not operations:
        raise ModelError(f"{where}: 'operations' is empty; what was measured is needed")
    ranges = _ranges(kind, operations, entry["range"], f"{where}: 'range'")
    power = entry["power_w"]
    return KindFit(
        kind=kind,
        operations=operations,
        fused=_names(entry["fused"], FUSED, f"{where}: 'fused'"),
        samples=_whole(entry["samples"], f"{where}: 'samples'", 1),
        ranges=ranges,
        runtime=_formula(entry["runtime_ms"], ranges, f"{where}: 'runtime_ms'"),
        power=None if power is None else _formula(power, ranges, f"{where}: 'power_w'"),
        errors=_errors(entry["errors_percent"], f"{where}: 'errors_percent'"),
    )


def _errors(stated: Any, where: str) -> tuple[Error, ...]:
    if not isinstance(stated, dict):
        raise ModelError(f"{where} is {shown(stated)}; an object needed")
    found = []
    for quantity, forms in stated.items():
        _one_of(quantity, QUANTITIES, where)
        if not isinstance(forms, dict):
            raise ModelError(f"{where}: '{quantity}' is {shown(forms)}; an object needed")
        for form, value in forms.items():
            _one_of(form, (*FORMS, "used", "paleo"), f"{where}: '{quantity}'")
            found.append(Error(quantity, form, _number(value, f"{where}: '{form}'", 0.0)))
    return tuple(found)


def _ranges(kind: str, operations: Collection[str], stated: Any, where: str) -> tuple[Range, ...]:
    needed = neuralpower_features.of_kind(kind, tuple(operations))
    _keys(stated, needed, where)
    found = []
    for name, ends in stated.items():
        if not isinstance(ends, list) or len(ends) != 2:
            raise ModelError(f"{where}: '{name}' is {shown(ends)}; [smallest, largest] needed")
        lower, upper = (_number(end, f"{where}: '{name}'", 0.0) for end in ends)
        if lower > upper:
            raise ModelError(f"{where}: '{name}' is [{lower:g}, {upper:g}]; smallest first needed")
        found.append(Range(name, lower, upper))
    return tuple(found)


def _formula(stated: Any, ranges: tuple[Range, ...], where: str) -> Formula:
    _keys(stated, _FORMULA_KEYS, where)
    limits = {entry.feature: entry for entry in ranges}
    lowest, highest = (_number(stated[key], f"{where}: '{key}'", 0.0) for key in _FORMULA_KEYS[-2:])
    if not 0 < lowest <= highest:
        raise ModelError(
            f"{where}: 'lowest' {lowest:g} and 'highest' {highest:g}; 0 < lowest <= highest needed"
        )
    counted = _terms(stated["counted"], limits, f"{where}: 'counted'")
    negative = [term for term in counted if term.coefficient < 0]
    if negative:
        raise ModelError(f"{where}: 'counted' has {negative[0].coefficient:g}; 0 or more needed")
    return Formula(
        form=_one_of(stated["form"], FORMS, f"{where}: 'form'"),
        constant=_number(stated["constant"], f"{where}: 'constant'"),
        terms=_terms(stated["terms"], limits, f"{where}: 'terms'"),
        counted=counted,
        lowest=lowest,
        highest=highest,
    )


def _terms(stated: Any, limits: Mapping[str, Range], where: str) -> tuple[Term, ...]:
    if not isinstance(stated, dict):
        raise ModelError(f"{where} is {shown(stated)}; an object needed")
    found = []
    for product, value in stated.items():
        factors = () if product == "1" else tuple(product.split(_PRODUCT))
        if len(factors) > MOST_FACTORS:
            raise ModelError(f"{where}: {shown(product)} has more than {MOST_FACTORS} factors")
        for factor in factors:
            entry = limits.get(factor.removeprefix(LOG))
            if entry is None:
                raise ModelError(f"{where}: {shown(factor)} is not among the features of 'range'")
            if entry.upper <= 0 or (factor.startswith(LOG) and entry.lower <= 0):
                raise ModelError(f"{where}: {shown(factor)} needs a range above 0")
        found.append(Term(_number(value, f"{where}: {shown(product)}"), factors))
    return tuple(found)


def _keys(stated: Any, allowed: Collection[str], where: str) -> None:
    if not isinstance(stated, dict):
        raise ModelError(f"{where} is {shown(stated)}; an object needed")
    unknown = [key for key in stated if key not in allowed]
    if unknown:
        listed = ", ".join(allowed)
        raise ModelError(f"{where}: key {shown(unknown[0])} is not known; allowed: {listed}")
    missing = [key for key in allowed if key not in stated]
    if missing:
        raise ModelError(f"{where}: '{missing[0]}' is missing")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ModelError(f"{where} is {shown(value)}; a text needed")
    return value


def _names(stated: Any, allowed: Collection[str], where: str) -> tuple[str, ...]:
    if not isinstance(stated, list):
        raise ModelError(f"{where} is {shown(stated)}; a list of names needed")
    found = tuple(_one_of(name, allowed, where) for name in stated)
    if list(found) != sorted(set(found)):
        raise ModelError(f"{where} is {shown(stated)}; sorted names, each once, needed")
    return found


def _one_of(value: Any, allowed: Collection[str], where: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise ModelError(f"{where} is {shown(value)}; allowed: {', '.join(allowed)}")
    return value


def _whole(value: Any, where: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ModelError(f"{where} is {shown(value)}; a whole number from {least} needed")
    return value


def _number(value: Any, where: str, least: float = -math.inf) -> float:
    kind = "a number" if least == -math.inf else f"a number from {least:g}"
    wrong = ModelError(f"{where} is {shown(value)}; {kind} needed")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong
    try:
        number = float(value)
    except OverflowError:
        raise wrong from None
    if not math.isfinite(number) or number < least:
        raise wrong
    return number

"""A profile as a readable table."""

from collections.abc import Mapping, Sequence
from typing import Any

_HEADER = (
    *("layer", "type", "output", "MFLOP", "MB", "parameters"),
    *("forward ms", "backward ms", "W", "mJ"),
)
_SUMMARY_HEADER = ("layer", "type", "output", "parameters", "weights MB", "activations MB")
_EXPLAIN_HEADER = ("layer", "Paleo ms", "default ms", "difference", "because of")


def _figure(value: float | None, scale: float = 1.0) -> str:
    """Return four significant digits, or a dash where the figure is not known."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    scaled = value / scale
    return f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:.4g}"


def _milliseconds(value: float | None) -> str:
    """Return a time to the hundredth, short ones to four significant digits."""
    return _figure(value) if value is None or abs(value) < 10 else f"{value:,.2f}"


def _row(layer: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        *(layer["name"], layer["type"], _shape(layer)),
        *(_figure(layer["flops"], 1e6), _figure(layer["bytes"], 1e6)),
        *(f"{layer['parameters']:,}", _milliseconds(layer["forward_ms"])),
        _milliseconds(layer["backward_ms"]),
        *(_figure(layer["power_w"]), _figure(layer["energy_j"], 1e-3)),
    )


def _aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = range(3)) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _sequence_lines(totals: Mapping[str, Any]) -> tuple[tuple[str, float | None, float, str], ...]:
    """Return the figures of networks that read sequences, none for others."""
    if "tokens" not in totals:
        return ()
    return (
        ("tokens", totals["tokens"], 1.0, ""),
        ("energy per token", totals["energy_per_token_j"], 1e-3, "mJ"),
        ("key-value cache", totals["kv_cache_bytes"], 1e6, "MB"),
    )


def _product_lines(totals: Mapping[str, Any]) -> tuple[tuple[str, float | None, float, str], ...]:
    """Return what attention divides the operations into, nothing where there is none."""
    if not totals["attention_flops"]:
        return ()
    return (
        ("  with weights", totals["weight_flops"], 1e9, "GFLOP"),
        ("  attention scores", totals["attention_flops"], 1e9, "GFLOP"),
    )


def totals_text(profile: Mapping[str, Any]) -> str:
    """Return the totals of a `greennas.profile/1`, one figure per line."""
    totals = profile["totals"]
    lines = (
        ("time", totals["time_ms"], 1.0, "ms"),
        ("  forward", totals["forward_ms"], 1.0, "ms"),
        ("  backward", totals["backward_ms"], 1.0, "ms"),
        ("  update", totals["update_ms"], 1.0, "ms"),
        ("operations", totals["flops"], 1e9, "GFLOP"),
        *_product_lines(totals),
        ("memory traffic", totals["bytes"], 1e6, "MB"),
        ("parameters", totals["parameters"], 1.0, ""),
        ("weights", totals["weight_bytes"], 1e6, "MB"),
        ("activations", totals["activation_bytes"], 1e6, "MB"),
        ("peak memory", totals["peak_memory_bytes"], 1e6, "MB"),
        ("  inference", totals["peak_memory_inference_bytes"], 1e6, "MB"),
        ("  training", totals["peak_memory_training_bytes"], 1e6, "MB"),
        ("power", totals["power_w"], 1.0, "W"),
        ("energy", totals["energy_j"], 1.0, "J"),
        ("energy per example", totals["energy_per_example_j"], 1e-3, "mJ"),
        *_sequence_lines(totals),
    )
    figures = [
        (name, _milliseconds(value) if unit == "ms" else _figure(value, scale), unit)
        for name, value, scale, unit in lines
    ]
    text = [f"{name:<20}{figure:>14} {unit}".rstrip() for name, figure, unit in figures]
    return "\n".join(text)


def _heading(profile: Mapping[str, Any]) -> str:
    dtype = profile["settings"]["dtype"]
    return (
        f"{profile['network']} on {profile['device']}, batch {profile['batch_size']}, "
        f"{profile['mode']}{'' if dtype == 'fp32' else f', {dtype}'}"
    )


def _shape(layer: Mapping[str, Any]) -> str:
    return "x".join(str(size) for size in layer["output_shape"])


def summary_text(profile: Mapping[str, Any]) -> str:
    """Return what a network holds: outputs, parameters and bytes of each layer, and the totals."""
    rows: list[tuple[str, ...]] = [_SUMMARY_HEADER]
    for layer in profile["layers"]:
        sizes = (_figure(layer[key], 1e6) for key in ("weight_bytes", "activation_bytes"))
        rows.append(
            (layer["name"], layer["type"], _shape(layer), f"{layer['parameters']:,}", *sizes)
        )
    return "\n".join([_heading(profile), "", *_aligned(rows), "", totals_text(profile)])


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{'+' if value > 0 else ''}{_milliseconds(value)}"


def explain_text(profile: Mapping[str, Any]) -> str:
    """Return where and why the default's times differ from the original Paleo's."""
    found = profile["explain"]
    rows: list[tuple[str, ...]] = [_EXPLAIN_HEADER]
    for layer in found["layers"]:
        because = [f"{r['rule']} {_signed(r['difference_ms'])}" for r in layer["reasons"]]
        times = (_milliseconds(layer["paleo_ms"]), _milliseconds(layer["default_ms"]))
        rows.append((layer["name"], *times, _signed(layer["difference_ms"]), ", ".join(because)))
    total = (
        f"Paleo {_milliseconds(found['paleo_ms'])} ms, "
        f"default {_milliseconds(found['default_ms'])} ms; "
        f"{len(found['layers'])} of {len(profile['layers'])} layers differ"
    )
    rules = [
        f"{rule} ({_signed(told['difference_ms'])} ms): {told['reason']}"
        for rule, told in found["rules"].items()
    ]
    return "\n".join([*_aligned(rows, left=(0, 4)), "", total, *rules])


def text(profile: Mapping[str, Any]) -> str:
    """Return a `greennas.profile/1` as text: every layer, the totals, and what to know."""
    rows = [_HEADER, *(_row(layer) for layer in profile["layers"])]
    notes = [profile["provenance"], *profile["reasons"].values()]
    if profile["mode"] != "training":
        mode = profile["mode"]
        notes.append(f"{mode} makes the forward pass only; backward and update are for training")
    coverage = profile["coverage"]
    idle = [layer["name"] for layer in coverage["zero_cost_layers"] if "reason" in layer]
    if idle:
        notes.append(f"not run for one more token: {len(idle)} layers from {idle[0]} to {idle[-1]}")
    free = [
        f"{layer['name']} ({layer['type']})"
        for layer in coverage["zero_cost_layers"]
        if "reason" not in layer
    ]
    if free:
        notes.append(f"costed at zero: {', '.join(free)}")
    notes += [f"{layer['name']}: {layer['reason']}" for layer in coverage["out_of_range_layers"]]
    parts = [_heading(profile), "", *_aligned(rows), "", totals_text(profile), "", *notes]
    return "\n".join(parts)

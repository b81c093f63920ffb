"""A profile as a readable table."""

from collections.abc import Mapping, Sequence
from typing import Any

_HEADER = (
    *("layer", "type", "output", "MFLOP", "MB", "parameters"),
    *("forward ms", "backward ms", "W", "mJ"),
)
_TEXT_COLUMNS = 3


def _figure(value: float | None, scale: float = 1.0) -> str:
    """Return four significant digits, or a dash where the figure is not known."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    scaled = value / scale
    return f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:.4g}"


def _row(layer: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        *(layer["name"], layer["type"], "x".join(str(size) for size in layer["output_shape"])),
        *(_figure(layer["flops"], 1e6), _figure(layer["bytes"], 1e6)),
        *(f"{layer['parameters']:,}", _figure(layer["forward_ms"]), _figure(layer["backward_ms"])),
        *(_figure(layer["power_w"]), _figure(layer["energy_j"], 1e-3)),
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < _TEXT_COLUMNS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def totals_text(profile: Mapping[str, Any]) -> str:
    """Return the totals of a `greennas.profile/1`, one figure per line."""
    totals = profile["totals"]
    lines = (
        ("time", totals["time_ms"], 1.0, "ms"),
        ("  forward", totals["forward_ms"], 1.0, "ms"),
        ("  backward", totals["backward_ms"], 1.0, "ms"),
        ("  update", totals["update_ms"], 1.0, "ms"),
        ("operations", totals["flops"], 1e9, "GFLOP"),
        ("memory traffic", totals["bytes"], 1e6, "MB"),
        ("parameters", totals["parameters"], 1.0, ""),
        ("peak memory", totals["peak_memory_bytes"], 1e6, "MB"),
        ("power", totals["power_w"], 1.0, "W"),
        ("energy", totals["energy_j"], 1.0, "J"),
        ("energy per example", totals["energy_per_example_j"], 1e-3, "mJ"),
    )
    text = [
        f"{name:<20}{_figure(value, scale):>14} {unit}".rstrip()
        for name, value, scale, unit in lines
    ]
    return "\n".join(text)


def text(profile: Mapping[str, Any]) -> str:
    """Return a `greennas.profile/1` as text: every layer, the totals, and what to know."""
    heading = (
        f"{profile['network']} on {profile['device']}, batch {profile['batch_size']}, "
        f"{profile['mode']}"
    )
    rows = [_HEADER, *(_row(layer) for layer in profile["layers"])]
    notes = [profile["provenance"], *profile["reasons"].values()]
    if profile["mode"] == "inference":
        notes.append("inference makes the forward pass only; backward and update are for training")
    coverage = profile["coverage"]
    free = [f"{layer['name']} ({layer['type']})" for layer in coverage["zero_cost_layers"]]
    if free:
        notes.append(f"costed at zero: {', '.join(free)}")
    notes += [f"{layer['name']}: {layer['reason']}" for layer in coverage["out_of_range_layers"]]
    parts = [heading, "", *_aligned(rows), "", totals_text(profile), "", *notes]
    return "\n".join(parts)

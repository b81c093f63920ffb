"""What a network's energy is spent on, as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from greennas_jax.report import tables, units

# The keys of a profile's breakdown, and what they are called.
PARTS = (("arithmetic_j", "arithmetic"), ("movement_j", "data movement"), ("static_j", "static"))

Amounts = Mapping[str, Any]


def of_layer(layer: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the parts of a layer's energy over all its passes [J]; None where not known."""
    steps = (layer["energy_parts_j"] or {}).values()
    keys = [*(key for key, _ in PARTS), "energy_j"]
    found = {key: [step[key] for step in steps] for key in keys}
    return {key: _sum(values) if values else None for key, values in found.items()}


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def text(profile: Mapping[str, Any]) -> str:
    """Return a profile's breakdown: by layer, by kind of layer, by pass, and what to know.

    Args:
      profile: A `greennas.profile/1`.
    """
    found = profile["breakdown"]
    if found is None:
        reasons = profile["reasons"]
        reason = reasons.get("breakdown") or reasons.get("power") or "no reason given"
        return f"energy by part: {units.UNKNOWN} ({reason})"
    total = found["total"]
    of_layers = [of_layer(layer) for layer in profile["layers"]]
    factor, unit = units.scale([amounts["energy_j"] for amounts in of_layers], "J")
    header: tuple[str, ...] = (
        *(f"{unit} {label}" for _, label in PARTS),
        f"{unit} in all",
        "share",
    )

    def row(*words: str, amounts: Amounts) -> tuple[str, ...]:
        values = [amounts[key] for key in (*(key for key, _ in PARTS), "energy_j")]
        shown = (_shown(value, factor) for value in values)
        return (*words, *shown, _share(values[-1], total["energy_j"]))

    layers = [
        ("layer", "kind", *header),
        *(
            row(layer["name"], layer["kind"], amounts=amounts)
            for layer, amounts in zip(profile["layers"], of_layers, strict=True)
        ),
        row("total", "", amounts=total),
    ]
    by_kind = [
        ("kind", "layers", *header),
        *(row(kind, str(of["layers"]), amounts=of) for kind, of in found["kinds"].items()),
    ]
    parts = [tables.aligned(layers, 2), tables.aligned(by_kind, 1)]
    by_pass = [("pass", *header), *(row(n, amounts=a) for n, a in found["passes"].items())]
    parts += [tables.aligned(by_pass, 1), "\n".join(notes(profile))]
    return "\n\n".join(parts)


def _shown(value: float | None, factor: float) -> str:
    return units.UNKNOWN if value is None else f"{value * factor:,.3f}"


def _share(value: float | None, whole: float | None) -> str:
    return "-" if value is None or not whole else f"{100 * value / whole:.1f} %"


def notes(profile: Mapping[str, Any]) -> list[str]:
    """Return what to know about a breakdown: idle power, and layers that draw all of the TDP."""
    found = profile["breakdown"]
    idle = found["idle"]
    if idle["power_w"] is None:
        lines = [f"idle power: {units.UNKNOWN} ({idle['reason']})"]
    else:
        power, energy = units.quantity(idle["power_w"], "W"), units.quantity(idle["energy_j"], "J")
        lines = [f"idle, the device would draw {power}: {energy} of the static part"]
    limited = found["limited_layers"]
    if limited:
        lines.append(f"limited by the TDP, all parts made smaller alike: {', '.join(limited)}")
    return lines

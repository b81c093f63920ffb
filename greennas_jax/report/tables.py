"""Plain-text tables and the first lines of a report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greennas_jax.report import units
from greennas_jax.report.comparison import LayerChange

_TOTALS = (
    # label, key of a profile's totals, unit of the value there, unit shown, factor between them,
    # key of a profile's reasons where the value is unknown.
    ("time", "time_ms", "s", 1e-3, "backward"),
    ("energy", "energy_j", "J", 1.0, "power"),
    ("energy per example", "energy_per_example_j", "J", 1.0, "power"),
    ("power", "power_w", "W", 1.0, "power"),
    ("operations", "flops", "FLOP", 1.0, "backward"),
    ("memory traffic", "bytes", "B", 1.0, "backward"),
    ("parameters", "parameters", "", 1.0, ""),
    ("peak memory", "peak_memory_bytes", "B", 1.0, ""),
)


def aligned(rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """Return rows of cells as columns two spaces apart.

    Args:
      rows: Rows of equally many cells, the header first.
      text_columns: How many of the first columns are flush left; the others are flush right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def comparison_table(changes: Sequence[LayerChange]) -> str:
    """Return a table of what became of every layer, with the sums in its last line."""
    columns = (
        [change.energy_before_j for change in changes],
        [change.energy_after_j for change in changes],
        [change.saved_j for change in changes],
    )
    parameters = (
        [change.parameters_before for change in changes],
        [change.parameters_after for change in changes],
    )
    factor, unit = units.scale([*columns[0], *columns[1]], "J")

    def figures(energies: Iterable[float | None], counts: Iterable[int]) -> tuple[str, ...]:
        shown = (units.UNKNOWN if e is None else _thousandths(e * factor) for e in energies)
        return (*shown, *(f"{count:,}" for count in counts))

    header = ("layer", "change", "before", "after")
    titles = (f"{unit} {word}" for word in ("before", "after", "saved"))
    rows: list[tuple[str, ...]] = [(*header, *titles, "parameters before", "parameters after")]
    for index, change in enumerate(changes):
        words = (change.layer, change.change, change.before, change.after)
        own = figures((c[index] for c in columns), (c[index] for c in parameters))
        rows.append((*words, *own))
    rows.append(("total", "", "", "", *figures(map(_sum, columns), map(sum, parameters))))
    return aligned(rows, len(header))


def _thousandths(value: float) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    return f"{round(value, 3) + 0.0:.3f}"


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def totals_table(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return a table of two profiles' totals and their relative change.

    Args:
      before: A `greennas.profile/1`.
      after: The other.
    """
    rows: list[tuple[str, ...]] = [("", "before", "after", "change")]
    for label, key, unit, factor, reason in _TOTALS:
        values = [profile["totals"].get(key) for profile in (before, after)]
        values = [None if value is None else value * factor for value in values]
        shown = [
            units.quantity(value, unit, _reason(profile, reason))
            for value, profile in zip(values, (before, after), strict=True)
        ]
        rows.append((label, *shown, units.percentage(units.relative_change(*values))))
    return aligned(rows, 1)


def _reason(profile: Mapping[str, Any], key: str) -> str:
    """Return why a figure of a profile is unknown."""
    reasons = profile.get("reasons") or {}
    return reasons.get(key) or "; ".join(reasons.values()) or "no reason given"


def headline(report: Mapping[str, Any]) -> list[str]:
    """Return the lines that a report begins with; the first tells the verdict and the energy.

    Args:
      report: A `greennas.report/1`. What it does not hold is left out, except that the first line
        always says whether accuracy was measured.
    """
    lines = [_first_line(report), *_accuracy_lines(report.get("accuracy") or {})]
    lines += _limit_lines(report.get("limits") or {})
    lines.append(_totals_line(report["before"]["totals"], report["after"]["totals"]))
    lines += _measured_lines(report.get("measured") or {})
    lines += _search_lines(report.get("search") or {})
    if "payback_inferences" in report:
        lines.append(f"payback: {_payback(report)}")
    return [*lines, *_bound_lines(report)]


def _energy_words(report: Mapping[str, Any]) -> str:
    """Return the change of energy as words with both figures."""
    profiles = (report["before"], report["after"])
    before, after = (profile["totals"]["energy_j"] for profile in profiles)
    change = units.relative_change(before, after)
    if change is None:
        unknown = [profile for profile in profiles if profile["totals"]["energy_j"] is None]
        reason = _reason(unknown[0], "power") if unknown else "it was zero before"
        return f"change of energy unknown ({reason})"
    share = f"{abs(100 * change):.1f} %"
    words = f"{share} {'less' if change < 0 else 'more'} energy"
    if share == "0.0 %":
        words = "the same energy"
    batch = profiles[0].get("batch_size")
    each = "" if batch is None else f" a batch of {batch}"
    return f"{words} ({units.quantity(before, 'J')} -> {units.quantity(after, 'J')}{each})"


def _first_line(report: Mapping[str, Any]) -> str:
    accuracy = report.get("accuracy") or {}
    kind, energy = accuracy.get("kind"), _energy_words(report)
    if kind not in ("measured", "table"):
        return f"Accuracy was NOT measured{_proxy_words(accuracy)}: {energy}"
    source = "" if kind == "measured" else " (from a benchmark table)"
    verdict = accuracy.get("verdict", "undecided")
    told = {
        "holds": f"Accuracy holds{source}: {energy}",
        "fails": f"Accuracy FAILS the guard{source}: {energy}, but accuracy falls too far",
        "undecided": f"UNDECIDED whether accuracy holds{source}: {energy}",
    }
    return told.get(verdict, f"Verdict on accuracy '{verdict}'{source}: {energy}")


def _proxy_words(accuracy: Mapping[str, Any]) -> str:
    if accuracy.get("kind") != "proxy":
        return ""
    names = ", ".join(accuracy.get("proxies") or ()) or "not named"
    words = f" (training-free proxies only: {names}"
    tolerance = accuracy.get("tolerance")
    return f"{words}; tolerance {'not given' if tolerance is None else f'{tolerance:g}'})"


def _accuracy_lines(accuracy: Mapping[str, Any]) -> list[str]:
    lines = []
    sides = [accuracy.get("before"), accuracy.get("after")]
    scores = [_score(side, accuracy.get("kind")) for side in sides if side]
    if scores:
        what = "proxy score" if accuracy.get("kind") == "proxy" else "accuracy"
        lines.append(f"{what}: {' -> '.join(scores)}{_difference(accuracy)}")
    lines.extend(_restart_lines(accuracy))
    if accuracy.get("guard"):
        lines.append(f"guard: {accuracy['guard']}")
    if accuracy.get("claim"):
        lines.append(_claim_line(accuracy["claim"]))
    return [*lines, *_data_lines(accuracy.get("data") or {})]


def _restart_lines(accuracy: Mapping[str, Any]) -> list[str]:
    """Return which network's final trainings came to numbers that are not finite, if any did."""
    lines = []
    for key, name in (("before", "given"), ("after", "found")):
        side = accuracy.get(key) or {}
        if side.get("restarted"):
            again = side["diverged"]
            lines.append(
                f"{side['restarted']} of {len(side['seeds'])} trainings of the {name} network came "
                "to numbers that are not finite and began anew under another key"
                + (f"; {again} of them came to such numbers every time" if again else "")
            )
    return lines


def _claim_line(claim: Mapping[str, Any]) -> str:
    """Return what the search claimed of its winner, and what fresh seeds say of the claim."""
    found = claim["difference"]
    words = "agree" if claim["agrees"] else "do NOT agree"
    return (
        f"the search's own estimate: {100 * found['mean']:+.2f} points (standard error "
        f"{100 * found['standard_error']:.2f}, {claim['trainings']} trainings, validation images);"
        f" fresh seeds {words} ({claim['standard_errors_apart']:.1f} standard errors apart)"
    )


def _data_lines(data: Mapping[str, Any]) -> list[str]:
    """Return what was trained and tested on: sizes and balance, then what is to be known of it."""
    if not data:
        return []
    sizes = ", ".join(
        f"{data[f'{split}_images']} {split}" for split in ("training", "validation", "test")
    )
    largest, smallest = (
        f"{side['images']} ({side['label'] if side['name'] is None else repr(side['name'])})"
        for side in (data["largest_class"], data["smallest_class"])
    )
    line = (
        f"data: {data['name']}, {sizes} examples of {data['classes']} classes; training examples "
        f"of a class from {smallest} to {largest}; the largest class is "
        f"{100 * data['largest_class_share']:.1f} % of the test"
    )
    return [line, *(f"note on the data: {note}" for note in data["notes"])]


def _score(side: Mapping[str, Any], kind: str | None) -> str:
    """Return mean, spread and number of seeds; accuracies in percent, proxy scores as they are."""
    mean, spread, seeds = (side.get(key) for key in ("mean", "std", "seeds"))
    if mean is None:
        return units.UNKNOWN
    shown = f"{mean:.4g}" if kind == "proxy" else f"{100 * mean:.2f} %"
    if spread is not None:
        shown += f" ± {spread:.2g}" if kind == "proxy" else f" ± {100 * spread:.2f}"
    count = seeds if isinstance(seeds, int) else len(seeds or ())
    return f"{shown} ({count} seed{'s' if count > 1 else ''})" if count else shown


def _difference(accuracy: Mapping[str, Any]) -> str:
    found = accuracy.get("difference") or {}
    mean, error = found.get("mean"), found.get("standard_error")
    if mean is None:
        return ""
    if accuracy.get("kind") == "proxy":
        return f", difference {mean:+.3g}"
    shown = f", difference {100 * mean:+.2f} points"
    if error is None:
        return shown
    interval = found.get("interval_95")
    words = f"standard error {100 * error:.2f}"
    if interval:
        words += f", 95 % interval {100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}"
    return f"{shown} ({words})"


def _limit_lines(limits: Mapping[str, Any]) -> list[str]:
    """Return the hard limits, with both networks' figures, and whether they are met."""
    if not limits:
        return []
    labels = {key: (label, unit, factor) for label, key, unit, factor, _ in _TOTALS}
    parts = []
    for row in limits["targets"]:
        label, unit, factor = labels[row["total"]]
        most, before, after = (
            units.quantity(row[key] * factor, unit) for key in ("most", "before", "after")
        )
        parts.append(f"{label} at most {most} ({before} -> {after})")
    broken = [row["name"] for row in limits["targets"] if not row["met"]]
    told = f"NOT met ({', '.join(broken)})" if broken else "met"
    return [
        f"limits {told}: {'; '.join(parts)}",
        *([f"note on the limits: {limits['note']}"] if limits["note"] else []),
    ]


def _totals_line(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    parts = [
        f"{label} {units.percentage(units.relative_change(before.get(key), after.get(key)))}"
        for label, key, *_ in _TOTALS
        if key not in ("energy_per_example_j", "power_w", "bytes")
    ]
    return f"change: {', '.join(parts)}"


def _measured_lines(measured: Mapping[str, Any]) -> list[str]:
    """Return what both networks took where they were run, beside what was predicted of them."""
    if measured.get("before") is None:
        return []
    parts = []
    for key, label, unit, factor in (
        ("time_ms", "time", "s", 1e-3),
        ("energy_j", "energy", "J", 1),
    ):
        sides = [measured[side]["measured"] for side in ("before", "after")]
        shown = [
            units.quantity(
                None if side[key] is None else side[key] * factor, unit, side["power_source"]
            )
            for side in sides
        ]
        if sides[0][key] is None or sides[1][key] is None:
            parts.append(f"{label} {shown[0]}")
            continue
        change = units.percentage(measured["change"][key])
        predicted = [measured[side]["predicted"][key] for side in ("before", "after")]
        beside = units.percentage(units.relative_change(*predicted))
        parts.append(f"{label} {shown[0]} -> {shown[1]}, {change} (predicted {beside})")
    return [f"measured here: {'; '.join(parts)}"]


def _search_lines(search: Mapping[str, Any]) -> list[str]:
    lines = []
    spent = []
    if search.get("queries") is not None:
        spent.append(f"{search['queries']:,} queries")
    if search.get("wall_s") is not None:
        spent.append(units.duration(search["wall_s"]))
    if "energy_j" in search:
        energy = units.quantity(search["energy_j"], "J", search.get("energy_reason"))
        told = search.get("energy_source")
        by = f" ({search['energy_provenance']}: {told})" if told else ""
        spent.append(f"energy {energy}{by}")
    if spent:
        lines.append(f"search: {', '.join(spent)}")
    gains = [
        f"{100 * search[key]:.1f} % {word}"
        for key, word in (("predicted_gain", "predicted"), ("recosted_gain", "re-costed exactly"))
        if search.get(key) is not None
    ]
    return [*lines, f"gain: {', '.join(gains)}"] if gains else lines


def _payback(report: Mapping[str, Any]) -> str:
    count = report["payback_inferences"]
    if count is None:
        return units.quantity(None, "", report.get("payback_reason"))
    provenance = (report.get("search") or {}).get("energy_provenance")
    assumed = " (its power is assumed)" if provenance == "assumed" else ""
    return f"the search's own energy{assumed} is saved after {count:,.0f} inferences"


def _bound_lines(report: Mapping[str, Any]) -> list[str]:
    """Return how far the found energy is from the least of the space, accuracy aside."""
    bound = (report.get("bounds") or {}).get("energy_j")
    after = report["after"]["totals"]["energy_j"]
    if bound is None:
        return []
    least = units.quantity(bound, "J")
    line = f"bound: no network of this space needs less than {least}, whatever its accuracy"
    if after is not None and bound > 0:
        line += f"; the found one needs {after / bound:.2f} times that"
    return [line]

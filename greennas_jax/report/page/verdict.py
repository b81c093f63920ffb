"""The head of a page: what was found, at what cost, and how much of that is known."""

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from greennas_jax.report import tables, units
from greennas_jax.report.page.elements import tag
from greennas_jax.report.page.source import Evidence

ARROW = "\N{RIGHTWARDS ARROW}"
MINUS = "\N{MINUS SIGN}"
_WORDS = {
    "holds": ("Accuracy holds", "good"),
    "undecided": ("Undecided whether accuracy holds", "doubt"),
    "fails": ("Accuracy fails the guard", "bad"),
}
NOT_MEASURED = ("Accuracy was NOT measured", "doubt")


def percentage(change: float | None) -> str:
    """Return a signed relative change with a true minus sign."""
    return units.percentage(change).replace("-", MINUS)


def of_accuracy(accuracy: Mapping[str, Any]) -> tuple[str, str]:
    """Return the verdict on accuracy in words, and its class: good, doubt or bad."""
    if accuracy.get("kind") not in ("measured", "table"):
        return NOT_MEASURED
    return _WORDS.get(accuracy.get("verdict") or "undecided", NOT_MEASURED)


def same(report: Mapping[str, Any]) -> bool:
    """Return whether the given network is the one that was found."""
    return all(row["change"] == "kept" for row in report["layers"])


def head(run: Evidence) -> Element:
    """Return the verdict: what was found, and the four figures that matter."""
    report = run.report
    before, after = report["before"], report["after"]
    words, style = of_accuracy(report["accuracy"])
    title = f"{before['network']} on {before['device']}"
    told = _energy_words(report)
    where = (
        f"{before['mode']}, a batch of {before['batch_size']:,} in {before['settings']['dtype']}"
    )
    return tag(
        "header",
        tag("p", "GreenNAS-JAX", class_="brand"),
        tag("h1", title),
        tag("p", where, class_="where"),
        tag("p", tag("strong", told, class_="energy"), tag("span", words, class_=f"badge {style}")),
        tag(
            "div",
            _energy_card(before, after),
            _accuracy_card(report["accuracy"]),
            _time_card(before, after),
            _payback_card(report),
            class_="cards",
        ),
        tag("ul", *(tag("li", line) for line in tables.headline(report)[1:]), class_="headline"),
        class_="verdict",
    )


def _energy_words(report: Mapping[str, Any]) -> str:
    if same(report):
        return "No greener network was found: the given one stands"
    change = report["change"]["energy_j"]
    if change is None:
        return "Change of energy unknown"
    return f"{abs(100 * change):.1f} % {'less' if change <= 0 else 'more'} energy"


def _card(title: str, change: str, figures: str, provenance: str, style: str = "") -> Element:
    return tag(
        "div",
        tag("h3", title),
        tag("p", change, class_="large"),
        tag("p", figures),
        tag("p", provenance, class_="provenance"),
        class_=f"card {style}".strip(),
    )


def _energy_card(before: Mapping[str, Any], after: Mapping[str, Any]) -> Element:
    values = [profile["totals"]["energy_j"] for profile in (before, after)]
    each = [units.quantity(value, "J") for value in values]
    return _card(
        "Energy",
        percentage(units.relative_change(*values)),
        f"{each[0]} {ARROW} {each[1]} a batch",
        after["provenance"].partition("; energy ")[2] or after["provenance"],
    )


def _time_card(before: Mapping[str, Any], after: Mapping[str, Any]) -> Element:
    values = [profile["totals"]["time_ms"] for profile in (before, after)]
    each = [units.quantity(None if v is None else 1e-3 * v, "s") for v in values]
    return _card(
        "Time",
        percentage(units.relative_change(*values)),
        f"{each[0]} {ARROW} {each[1]} a batch",
        after["provenance"].partition("; energy ")[0],
    )


def _accuracy_card(accuracy: Mapping[str, Any]) -> Element:
    sides = [accuracy.get(side) or {} for side in ("before", "after")]
    means = [side.get("mean") for side in sides]
    _, style = of_accuracy(accuracy)
    if accuracy.get("kind") == "proxy":
        shown = f" {ARROW} ".join("unknown" if m is None else f"{m:.4g}" for m in means)
        names = ", ".join(accuracy.get("proxies") or ())
        reason = accuracy.get("reason") or "training-free scores alone"
        return _card(
            "Accuracy", "not measured", f"proxy score {shown}", f"{reason}; {names}", style
        )
    shown = f" {ARROW} ".join("unknown" if m is None else f"{100 * m:.2f} %" for m in means)
    found = accuracy.get("difference") or {}
    mean, error = found.get("mean"), found.get("standard_error")
    change = "unknown" if mean is None else f"{100 * mean:+.2f} points".replace("-", MINUS)
    spread = "" if error is None else f"standard error {100 * error:.2f}; "
    seeds = len(sides[1].get("seeds") or ())
    told = f"{spread}{accuracy['kind']} on {accuracy.get('dataset')}, {accuracy.get('split')}, "
    return _card("Accuracy", change, shown, f"{told}{seeds} fresh seeds each", style)


def _payback_card(report: Mapping[str, Any]) -> Element:
    search = report["search"]
    spent = units.quantity(search.get("energy_j"), "J")
    wall = units.duration(search["wall_s"]) if search.get("wall_s") is not None else "unknown time"
    count = report.get("payback_inferences")
    source = search.get("energy_source")
    told = f"search energy {search.get('energy_provenance')}: {source}" if source else ""
    return _card(
        "Payback",
        "unknown" if count is None else f"{count:,.0f}",
        f"inferences repay the search ({spent}, {wall})" if count else f"the search took {wall}",
        report.get("payback_reason") or told,
    )

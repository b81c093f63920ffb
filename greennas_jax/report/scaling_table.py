"""A scaling study as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from greennas_jax.report import tables, units

_HEADER = (
    *("workers", "batch", "computing ms", "all-reduce ms", "step ms", "examples/s", "speed-up"),
    *("efficiency", "W", "J/example"),
)
_EPOCH_HEADER = ("epoch", "epoch energy")


def text(study: Mapping[str, Any]) -> str:
    """Return a `greennas.scaling/1` as a table, with the fastest and the greenest marked."""
    link = study["links"]["between_nodes"]["name"]
    heading = (
        f"{study['network']} on {study['device']} over {link}, {study['parallel']} parallel, "
        f"{study['scaling']} scaling, batch {study['batch_size']}, all-reduce {study['scheme']}"
    )
    epoch = study["examples"] is not None
    header = (*_HEADER, *(_EPOCH_HEADER if epoch else ()), "")
    rows = [header, *(_row(point, study, epoch) for point in study["points"])]
    alone = study["alone"]["iteration_ms"]
    notes = [
        f"speed-up over one device alone, {units.number(alone)} ms a step without communication",
        "computing includes what layers fetch from other devices; W and J are of all workers",
    ]
    if study["host_w"] == 0:
        notes.append("nothing but the devices is counted; --host_w states the rest of each node")
    notes += [f"assumed: {assumption}" for assumption in study["assumptions"]]
    notes += study["reasons"].values()
    return "\n".join([heading, "", _right(rows), "", *notes])


def _right(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as columns flush right, but for the marks behind them."""
    width = max(len(row[-1]) for row in rows)
    return tables.aligned([(*row[:-1], row[-1].ljust(width)) for row in rows], 0)


def _row(point: Mapping[str, Any], study: Mapping[str, Any], epoch: bool) -> tuple[str, ...]:
    computing = point["forward_ms"] + point["backward_ms"] + point["update_ms"]
    figures = (computing, point["synchronise_ms"], point["iteration_ms"], point["examples_per_s"])
    row = [f"{point['workers']}", f"{point['batch_size']}", *map(_figure, figures)]
    row += [f"{point['speedup']:.2f}", f"{100 * point['efficiency']:.1f} %"]
    row += [_figure(point["power_w"]), _figure(point["energy_per_example_j"])]
    if epoch:
        joules = point["epoch_j"]
        kwh = None if joules is None else joules / 3.6e6
        row += [units.duration(point["epoch_s"]), f"{_figure(kwh)} kWh"]
    marks = [
        word
        for word, key in (("fastest", "fastest_workers"), ("greenest", "greenest_workers"))
        if study[key] == point["workers"]
    ]
    return *row, " ".join(marks)


def _figure(value: float | None) -> str:
    return "-" if value is None else units.number(value)

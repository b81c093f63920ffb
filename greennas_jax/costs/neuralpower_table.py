"""Errors of fitted layer models as a readable table."""

from greennas_jax.costs.neuralpower_model import QUANTITIES, KindFit, Model

_COLUMNS = ("used", "polynomial", "relative", "logarithmic", "counted", "constant", "paleo")
_HEADER = ("layers", "samples", "quantity", "form", *_COLUMNS)


def text(model: Model) -> str:
    """Return the cross-validated RMSPE [%] of every kind and quantity, beside its rivals'.

    The rivals are the other forms, the best constant, and Paleo's formula (with the physical
    power) where its predictions were given; a dash stands where a figure is not known.
    """
    rows = [_HEADER, *(row for fit in model.fits for row in _rows(fit))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 2, 3) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([f"cross-validated RMSPE [%], {model}", "", *lines])


def _rows(fit: KindFit) -> list[tuple[str, ...]]:
    used = {"runtime": fit.runtime, "power": fit.power}
    rows = []
    for quantity in QUANTITIES:
        if fit.error(quantity) is None:
            continue
        formula = used.get(quantity)
        form = "runtime x power" if formula is None else formula.form
        figures = [fit.error(quantity, column) for column in _COLUMNS]
        cells = ["-" if figure is None else f"{figure:.1f}" for figure in figures]
        rows.append((fit.kind.replace("_", " "), str(fit.samples), quantity, form, *cells))
    return rows

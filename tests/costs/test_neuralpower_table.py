import dataclasses

from greennas_jax.costs import neuralpower_table
from greennas_jax.costs.neuralpower_model import Error
from tests.costs import fitted_models

COLUMNS = "used polynomial relative logarithmic counted constant paleo"


def test_errors_beside_each_other():
    measured = dataclasses.replace(
        fitted_models.fit("inner_product", "INNER_PRODUCT"),
        errors=(
            Error("runtime", "constant", 80.25),
            Error("runtime", "polynomial", 12.5),
            Error("runtime", "used", 12.5),
            Error("runtime", "paleo", 58.29),
            Error("power", "used", 7.0),
            Error("energy", "used", 14.04),
        ),
    )
    lines = neuralpower_table.text(fitted_models.model(measured)).splitlines()
    assert "bench" in lines[0] and "RMSPE [%]" in lines[0]
    assert [line.split() for line in lines[2:]] == [
        ["layers", "samples", "quantity", "form", *COLUMNS.split()],
        "inner product 100 runtime polynomial 12.5 12.5 - - - 80.2 58.3".split(),
        "inner product 100 power logarithmic 7.0 - - - - - -".split(),
        "inner product 100 energy runtime x power 14.0 - - - - - -".split(),
    ]


def test_what_was_not_measured_has_no_row():
    lines = neuralpower_table.text(fitted_models.model()).splitlines()
    # A heading, an empty line, the columns' names and the runtime of two kinds.
    assert len(lines) == 5

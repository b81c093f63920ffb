"""Layer models written by hand."""

from greennas_jax.costs import layer_table, neuralpower_features
from greennas_jax.costs.neuralpower_model import Error, Formula, KindFit, Model, Range, Term

BOUNDS = {
    "batch": (1.0, 64.0),
    "size": (1.0, 64.0),
    "sequence": (1.0, 64.0),
    "in_channels": (1.0, 512.0),
    "out_channels": (1.0, 512.0),
    "kernel": (1.0, 7.0),
    "stride": (1.0, 2.0),
    "padding": (0.0, 3.0),
}
WIDE = dict.fromkeys(("in_channels", "out_channels"), (1.0, 4096.0)) | {"batch": (1.0, 128.0)}
RUNTIME = Formula(
    form="polynomial",
    constant=0.02,
    terms=(
        Term(3.0, ("operations",)),
        Term(0.5, ("batch", "size", "size")),
        Term(0.25, ("out_channels",)),
    ),
    counted=(),
    lowest=0.015,
    highest=1e3,
)
POWER = Formula(
    form="logarithmic",
    constant=7.0,
    terms=(Term(0.05, ("log2 in_channels",)), Term(0.02, ("log2 batch", "log2 in_channels"))),
    counted=(),
    lowest=50.0,
    highest=300.0,
)
RELATIVE = Formula(
    form="relative",
    constant=1.0,
    terms=(Term(0.01, ("log2 in_channels", "log2 in_channels", "log2 out_channels")),),
    counted=(Term(0.01, ()), Term(0.5, ("filter_data",)), Term(0.2, ("operations",))),
    lowest=0.2,
    highest=5.0,
)


def fit(kind, operation, *, runtime=RUNTIME, power=POWER, fused=(), **bounds):
    """Return a fit of one operation whose hyper-parameters have the given ranges."""
    names = neuralpower_features.of_kind(kind, (operation,))
    wide = (1.0, 1e12)
    return KindFit(
        kind=kind,
        operations=(operation,),
        fused=fused,
        samples=100,
        ranges=tuple(Range(n, *({**BOUNDS, **bounds}.get(n, wide))) for n in names),
        runtime=runtime,
        power=power,
        errors=(Error("runtime", "used", 12.5), Error("runtime", "constant", 80.0)),
    )


def model(*fits, mode="inference", dtype="fp32"):
    """Return a model of the given fits; by default of convolutions and inner products."""
    return Model(
        device="bench",
        driver="driver 1",
        date="2025-01-31",
        mode=mode,
        dtype=dtype,
        version="0.1.0",
        seed=0,
        fits=fits
        or (
            fit("convolution", "CONVOLUTION"),
            fit("inner_product", "INNER_PRODUCT", runtime=RELATIVE, **WIDE),
        ),
    )


def table_of(network):
    """Return a network's table."""
    return layer_table.from_network(network)

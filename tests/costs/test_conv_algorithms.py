import dataclasses
import json
import math

import jax
import numpy as np
import pytest

from greennas_jax.costs import (
    conv_algorithms,
    devices,
    fft_convolution,
    gradient_layers,
    im2col_convolution,
    layer_table,
    paleo,
    passes,
    spectra,
    terms,
    tiled_fft_convolution,
    traffic,
)
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import shapes
from greennas_jax.spec.network import Layer

# The original's name of a figure: (algorithm, pass).
FIGURES = {
    "fft": ("fft", "forward"),
    "fft_tiling": ("tiled_fft", "forward"),
    "backward_data_fft": ("fft", "backward_data"),
    "backward_data_fft_tiling": ("tiled_fft", "backward_data"),
    "backward_data_gemm_additional_mem": ("im2col", "backward_data"),
    "backward_filter_fft": ("fft", "backward_filter"),
}
# Printed by the original for TITAN_X: input, filter, stride, padding, percent of peak, figure,
# compute and memory times [ms]. The first two are layers of VGG-16, batch 64.
PRINTED = (
    (
        *((64, 224, 224, 3), (3, 3, 3, 64), (1, 1), "SAME", 1.0),
        *("fft", 4.067701333333333, 12.625202558724345),
    ),
    (
        *((64, 224, 224, 3), (3, 3, 3, 64), (1, 1), "SAME", 1.0),
        *("fft_tiling", 2.1139413333333334, 7.671747306835067),
    ),
    (
        *((64, 224, 224, 64), (3, 3, 64, 64), (1, 1), "SAME", 0.62),
        *("fft", 25.33464086021505, 55.968152912752245),
    ),
    (
        *((64, 224, 224, 64), (3, 3, 64, 64), (1, 1), "SAME", 1.0),
        *("backward_filter_fft", 15.707477333333332, 32.42540288644595),
    ),
    (
        *((64, 224, 224, 64), (3, 3, 64, 64), (1, 1), "SAME", 1.0),
        *("backward_data_gemm_additional_mem", 38.535168, 45.54641973033525),
    ),
    (
        *((1, 14, 14, 1), (3, 3, 1, 64), (1, 1), "SAME", 1.0),
        *("backward_data_fft", 0.00011899999999999999, 0.0018273296186155227),
    ),
    (
        *((8, 32, 80, 96), (2, 7, 96, 2), (1, 1), "VALID", 0.62),
        *("backward_data_fft_tiling", 0.037535483870967744, 0.18343020164286059),
    ),
    (
        *((8, 32, 80, 96), (2, 7, 96, 2), (1, 1), "VALID", 0.62),
        *("fft", 0.03612903225806451, 0.22299502375072977),
    ),
)


def stage(table, figure):
    """Return what the original counts for one of its figures."""
    name, step = FIGURES[figure]
    layer = gradient_layers.forward(table)
    convolved = {
        "forward": layer,
        "backward_data": gradient_layers.data_gradient(layer),
        "backward_filter": gradient_layers.filter_gradient(layer),
    }[step]
    return conv_algorithms.get(name).original(convolved, step)


def original_times(done, ppp):
    """Return the original's (compute, memory) times on a Titan X [ms]."""
    device, settings = devices.load("titan_x"), CostSettings(compat="paleo", ppp_comp=ppp)
    work = passes.Work(done, done, done, done)
    found = paleo.pass_times(work, device, settings, paleo.units(device, settings))
    return found["forward_compute"], found["forward_memory"]


@pytest.mark.parametrize("case", PRINTED, ids=lambda case: f"{case[5]}:{case[1]}")
def test_printed_figures_of_the_original(row, case):
    inputs, filters, strides, padding, ppp, figure, *expected = case
    table = row(
        "Convolution",
        inputs,
        filter=list(filters),
        strides=[1, *strides, 1],
        padding=padding,
        compat="paleo",
    )
    found = [float(time[0]) for time in original_times(stage(table, figure), ppp)]
    assert found == pytest.approx(expected, rel=1e-12)


def convolutions_of(shared):
    """Return the table of all reference convolutions, and their printed figures on a Titan X."""
    layers, sizes, printed = [], [], []

    def add(text, inputs, outputs, figures):
        attributes = {key: text[key] for key in ("strides", "padding")}
        attributes["filter"] = text["filters"]
        layers.append(Layer(name="c", type="Convolution", parents=("x",), attributes=attributes))
        sizes.append(shapes.Shapes((tuple(inputs),), tuple(outputs)))
        printed.append(figures)

    for case in json.loads((shared / "paleo" / "random" / "conv.json").read_text())["cases"]:
        add(case["spec"], case["spec"]["inputs"], case["outputs"], case["fft"])
    for path in sorted((shared / "paleo" / "layers").glob("*.json")):
        for layer in json.loads(path.read_text()).get("layers", ()):
            if "fft" in layer:
                add(layer, layer["inputs"], layer["outputs"], layer["fft"]["TITAN_X"])
    return layer_table.rows(layers, sizes, compat="paleo"), printed


def test_every_reference_figure(shared):
    table, printed = convolutions_of(shared)
    assert len(printed) > 600
    for figure in FIGURES:
        done = stage(table, figure)
        for ppp in ("1.0", "0.62"):
            found = original_times(done, float(ppp))
            for kind, times in zip(("comp", "comm"), found, strict=True):
                expected = [figures[ppp][figure].get(kind, np.nan) for figures in printed]
                known = ~np.isnan(expected)
                assert known.sum() > 500
                np.testing.assert_allclose(
                    times[known], np.array(expected)[known], rtol=1e-12, atol=0, err_msg=figure
                )


def test_whole_images_by_hand(convolution):
    # 6 x 6 outputs of a 3 x 3 kernel need 8 x 8 samples: 8 * (8/2 + 1) = 40 complex values.
    table = convolution((2, 6, 6, 3), [3, 3, 3, 5])
    flops, moved = (float(amount[0]) for amount in fft_convolution.amounts(table))
    # 2.5 * 64 * log2(64) = 960 FLOP for each of 2*3 inputs, 2*5 outputs and 3*5 filters.
    assert flops == 960 * (6 + 10 + 15) + 8 * 40 * 2 * 15
    # 8 B written and read.
    assert moved == 16 * 40 * (6 + 10 + 15)


def test_tiles_by_hand(convolution):
    # Tiles of 32 give 30 outputs each: 2 x 2 tiles for 31 x 60.
    table = convolution((1, 31, 60, 2), [3, 3, 2, 4])
    flops, moved = (float(amount[0]) for amount in tiled_fft_convolution.amounts(table))
    # 2.5 * 1024 * 10 FLOP a transform; 32 * 17 = 544 complex values of half a spectrum.
    assert flops == 25600 * (4 * 2 + 4 * 4 + 8) + 8 * 544 * 4 * 8
    assert moved == 16 * 544 * (4 * 2 + 4 * 4 + 8)


def test_a_kernel_of_one_row_is_transformed_along_it(convolution):
    table = convolution((1, 6, 6, 1), [1, 3, 1, 1])
    flops, moved = (float(amount[0]) for amount in fft_convolution.amounts(table))
    # Six rows of 8 samples, 5 complex values each: 2.5 * 8 * 3 = 60 FLOP a row; the filter is one.
    assert flops == 60 * 6 * 2 + 60 + 8 * 30
    assert moved == 16 * (30 + 30 + 5)


def test_groups_multiply_within_themselves(convolution):
    dense = fft_convolution.amounts(convolution((1, 6, 6, 4), [3, 3, 4, 4]))[0][0]
    grouped = fft_convolution.amounts(convolution((1, 6, 6, 4), [3, 3, 4, 4], groups=4))[0][0]
    # Three quarters of the 16 filters and products are spared: 960 FLOP and 8 * 40 each.
    assert dense - grouped == 12 * (960 + 8 * 40)


def test_the_matrix_of_columns(convolution):
    table = convolution((2, 6, 6, 3), [3, 3, 3, 5])
    # 2*6*6 rows of 3*3*3 values of 4 B, written and read.
    assert im2col_convolution.amounts(table)[1][0] == 2 * 4 * 72 * 27


def test_where_algorithms_apply(convolution):
    def applies(*text, **rest):
        table = convolution(*text, **rest)
        names = conv_algorithms.names()
        return [n for n in names if bool(conv_algorithms.get(n).applies(table)[0])]

    assert applies((1, 8, 8, 4), [3, 3, 4, 4]) == ["gemm", "fft", "tiled_fft", "im2col"]
    assert applies((1, 8, 8, 4), [1, 1, 4, 4]) == ["gemm"]
    assert applies((1, 8, 8, 4), [3, 3, 4, 4], stride=2) == ["gemm", "im2col"]
    assert applies((1, 64, 64, 4), [33, 1, 4, 4]) == ["gemm", "fft", "im2col"]


def test_what_does_not_apply_is_a_matrix_product(every_type, convolution):
    strided = convolution((2, 9, 9, 3), [3, 3, 3, 5], stride=2)
    for name in ("fft", "tiled_fft"):
        chosen, product = (
            traffic.work(strided, CostSettings(conv_algorithm=n)) for n in (name, "gemm")
        )
        assert passes.flops(chosen, "training")[0] == passes.flops(product, "training")[0]
    table = layer_table.from_network(every_type)
    rows = ~table.is_any(layer_table.Operation.CONVOLUTION)
    chosen, product = (
        passes.flops(traffic.work(table, CostSettings(conv_algorithm=n)), "training")
        for n in ("fft", "gemm")
    )
    np.testing.assert_array_equal(chosen[rows], product[rows])


@pytest.mark.parametrize("compat", [None, "paleo"])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_fastest_is_the_least_of_what_applies_in_every_pass(convolution, joined, mode, compat):
    device = devices.load("titan_x")
    table = joined(
        convolution((64, 56, 56, 64), [3, 3, 64, 64]),
        convolution((64, 28, 28, 64), [11, 11, 64, 64]),
        convolution((64, 56, 56, 64), [1, 1, 64, 64]),
        convolution((1, 57, 57, 64), [3, 3, 64, 64], stride=2),
        convolution((2, 8, 8, 3), [3, 3, 3, 5]),
    )
    settings = CostSettings(mode=mode, compat=compat, conv_algorithm="fastest")
    found = paleo.times(table, device, settings)
    assert len(set(paleo.fastest(table, device, settings)["forward"].tolist())) > 1
    for step in ("forward", "backward_data", "backward_filter"):
        each = []
        for name in conv_algorithms.names():
            one = paleo.times(table, device, dataclasses.replace(settings, conv_algorithm=name))
            time = getattr(one, f"{step}_compute") + getattr(one, f"{step}_memory")
            applies = conv_algorithms.get(name).applies(table)
            each.append(np.where(applies, time, np.inf))
        fastest = getattr(found, f"{step}_compute") + getattr(found, f"{step}_memory")
        np.testing.assert_allclose(fastest, np.min(each, axis=0), rtol=1e-12)


def test_the_fastest_needs_a_device(convolution):
    with pytest.raises(ValueError, match="depends on a device"):
        paleo.work(convolution((1, 4, 4, 1), [1, 1, 1, 1]), CostSettings(conv_algorithm="fastest"))


@pytest.mark.parametrize("compat", [None, "paleo"])
@pytest.mark.parametrize("name", [n for n in conv_algorithms.choices() if n != "gemm"])
def test_numpy_equals_jit(every_type, as_jax, name, compat):
    device = devices.load("titan_x")
    settings = CostSettings(compat=compat, conv_algorithm=name)
    table = layer_table.from_network(every_type)
    function = terms.get("time").function
    expected = function(table, device, settings)
    assert isinstance(expected, np.ndarray)
    assert expected.dtype == np.float64
    with jax.enable_x64(True):
        found = jax.jit(lambda t: function(t, device, settings))(as_jax(table))
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_gradients_are_finite(every_type, as_jax):
    settings = CostSettings(conv_algorithm="fastest", mode="training")
    table = as_jax(layer_table.from_network(every_type))
    device = devices.load("titan_x")

    def total(width):
        changed = table.replace(out_channels=width)
        return terms.get("time").function(changed, device, settings).sum()

    assert np.isfinite(jax.jit(jax.grad(total))(table.out_channels)).all()


def test_powers_of_two():
    sizes = np.arange(1.0, 5000.0)
    expected = [2.0 ** math.ceil(math.log2(size)) for size in sizes]
    np.testing.assert_array_equal(spectra.power_of_two(sizes), expected)
    single = spectra.power_of_two(jax.numpy.asarray(sizes))
    np.testing.assert_array_equal(single, expected)


def test_the_registry():
    assert conv_algorithms.choices()[-1] == "fastest"
    assert CostSettings(conv_algorithm="fft_tiling").conv_algorithm == "tiled_fft"
    with pytest.raises(ValueError, match="already registered"):
        conv_algorithms.register(conv_algorithms.get("fft"))
    with pytest.raises(ValueError, match="'winograd' is not known; allowed: gemm, fft"):
        conv_algorithms.get("winograd")


def test_an_algorithm_of_ones_own(convolution, monkeypatch):
    monkeypatch.setattr(conv_algorithms, "_ALGORITHMS", dict(conv_algorithms._ALGORITHMS))
    free = conv_algorithms.get("gemm")._replace(
        name="free", amounts=lambda table: (table.batch, 0 * table.batch)
    )
    conv_algorithms.register(free)
    table = convolution((64, 56, 56, 64), [3, 3, 64, 64])
    work = paleo.work(table, CostSettings(conv_algorithm="free"))
    assert work.forward.flops[0] == 64
    chosen = paleo.fastest(table, devices.load("k80"), CostSettings(conv_algorithm="fastest"))
    assert conv_algorithms.names()[chosen["forward"][0]] == "free"

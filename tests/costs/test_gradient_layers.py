import json

import numpy as np
import pytest

from greennas_jax.costs import gemm, gradient_layers, layer_table
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import shapes
from greennas_jax.spec.network import Layer

PALEO = CostSettings(compat="paleo")


def test_strided_gradient_by_hand(convolution):
    # 5 inputs, kernel 3, stride 2, VALID: 2 outputs, expanded to 1 * 2 + 1 = 3.
    layer = gradient_layers.forward(
        convolution((1, 5, 5, 2), [3, 3, 2, 4], stride=2, padding="VALID")
    )
    data = gradient_layers.data_gradient(layer)
    # before = 3 - 1 - 0 = 2, after = (5 + 2) - 3 - 2 = 2; 3 + 2 * 2 - 3 + 1 = 5 outputs.
    assert (data.height.size[0], data.height.pad[0], data.height.output[0]) == (3, 2, 5)
    # Of 3 * 3 values 2 * 2 are not zero.
    assert data.input_holes[0] == pytest.approx(5 / 9)
    assert (data.in_channels[0], data.out_channels[0]) == (4, 2)
    filters = gradient_layers.filter_gradient(layer)
    # VALID: no padding, 5 - 3 + 1 = 3 outputs, the kernel.
    assert (filters.height.pad[0], filters.height.output[0]) == (0, 3)
    assert filters.filter_holes[0] == pytest.approx(5 / 9)
    # The dense product of the expanded gradient plus moving its non-zero values:
    # 2 * 3*3*4 * 5*5*2 * 1 + 2 * 3*3*4 * 4/9.
    assert gradient_layers.flops(data)[0] == pytest.approx(3600 + 32)
    # 2 * 3*3*1 * 3*3*4 * 2 * 4/9 = 576: the forward's 2 * 3*3*2 * 2*2*4.
    assert gradient_layers.flops(filters)[0] == pytest.approx(576)
    assert gradient_layers.flops(layer)[0] == 576


def test_an_even_same_kernel_widens_the_expanded_gradient(convolution):
    layer = gradient_layers.forward(convolution((1, 4, 4, 1), [2, 2, 1, 1]))
    data = gradient_layers.data_gradient(layer)
    # before = 1, after = 5 - 4 - 1 = 0 differ by one: 4 + 1 = 5, with padding 0.
    assert (data.height.size[0], data.height.pad[0]) == (5, 0)
    assert data.input_holes[0] == pytest.approx((25 - 16) / 25)


def test_operands_read_the_padding(convolution):
    layer = gradient_layers.forward(convolution((2, 4, 4, 3), [3, 3, 3, 5]))
    sizes = [float(size[0]) for size in gradient_layers.operands(layer)]
    assert sizes == [4 * 2 * 6 * 6 * 3, 4 * 3 * 3 * 3 * 5, 4 * 2 * 4 * 4 * 5]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "data", "filters"),
    [
        (7, 3, 2, "VALID", True, True),  # (7 - 3) mod 2 = 0
        (8, 3, 2, "VALID", True, True),  # 1
        (9, 3, 4, "VALID", False, False),  # (9 - 3) mod 4 = 2
        (8, 3, 2, "SAME", True, True),  # odd, (8 - 1) mod 2 = 1
        (8, 2, 1, "SAME", True, False),  # even
        (8, 3, 5, "SAME", True, False),  # (8 - 1) mod 5 = 2
    ],
)
def test_what_the_original_refuses(convolution, size, kernel, stride, padding, data, filters):
    """VALID passes if (n-k) mod s <= 1; SAME filters if k odd and (n-1) mod s <= 1."""
    table = convolution((1, size, size, 2), [kernel, kernel, 2, 2], stride=stride, padding=padding)
    unbuilt, bad_data, bad_filters = gemm.refusals(table)
    assert (not bad_data[0], not bad_filters[0], bool(unbuilt[0])) == (data, filters, False)


def test_groups_are_ignored_by_the_original(convolution):
    grouped = gemm.work(convolution((1, 4, 4, 4), [3, 3, 4, 8], groups=4), PALEO)
    dense = gemm.work(convolution((1, 4, 4, 4), [3, 3, 4, 8]), PALEO)
    np.testing.assert_array_equal(grouped.forward.flops, dense.forward.flops)


def test_the_first_deconvolution_has_no_forward_cost_in_the_original(row):
    text = {
        "filter": [3, 3, 6, 4],
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        "output_shape": [1, 4, 4, 6],
    }
    first = gemm.work(row("Deconvolution", (1, 4, 4, 4), parents=("data",), **text), PALEO)
    later = gemm.work(row("Deconvolution", (1, 4, 4, 4), **text), PALEO)
    assert first.forward.flops[0] == 0
    assert later.forward.flops[0] > 0
    assert first.backward_data.flops[0] == later.backward_data.flops[0] > 0


def reference_convolutions(shared):
    """Yield (input, output, text, gradient layers, work of each pass) of every reference case."""
    for case in json.loads((shared / "paleo" / "random" / "conv.json").read_text())["cases"]:
        spec = case["spec"]
        yield spec["inputs"], case["outputs"], spec, case["gradient_layers"], case["work"]
    for path in sorted((shared / "paleo" / "layers").glob("*.json")):
        for layer in json.loads(path.read_text()).get("layers", ()):
            if "gradient_layers" in layer:
                gradients, work = layer["gradient_layers"], layer["work"]
                yield layer["inputs"], layer["outputs"], layer, gradients, work


def shapes_of(gradient):
    """Return a gradient layer in the original's words, row by row."""
    rows, columns = gradient.height, gradient.width
    return {
        "inputs": (gradient.batch, rows.size, columns.size, gradient.in_channels),
        "filters": (rows.kernel, columns.kernel, gradient.in_channels, gradient.out_channels),
        "outputs": (gradient.batch, rows.output, columns.output, gradient.out_channels),
        "pad_h": (rows.pad,),
        "pad_w": (columns.pad,),
        "percent_holes_in_inputs": (gradient.input_holes,),
        "percent_holes_in_filters": (gradient.filter_holes,),
    }


def test_gradient_layers_of_the_original(shared):
    cases = list(reference_convolutions(shared))
    layers = [
        Layer(
            name="c",
            type="Convolution",
            parents=("x",) if text["backprop"] else ("data",),
            attributes={**{k: text[k] for k in ("strides", "padding")}, "filter": text["filters"]},
        )
        for _, _, text, _, _ in cases
    ]
    sizes = [shapes.Shapes((tuple(case[0]),), tuple(case[1])) for case in cases]
    table = layer_table.rows(layers, sizes, compat="paleo")
    forward = gradient_layers.forward(table)
    found = {
        "backward_data": gradient_layers.data_gradient(forward),
        "backward_filter": gradient_layers.filter_gradient(forward),
    }
    work = gemm.work(table, PALEO)
    compared = 0
    for step, gradient in found.items():
        told = {key: np.stack(columns, axis=1) for key, columns in shapes_of(gradient).items()}
        for row, (_, _, _, gradients, done) in enumerate(cases):
            if "error" in gradients[step]:
                continue
            for key, values in told.items():
                expected = gradients[step][key]
                np.testing.assert_allclose(values[row], expected, rtol=1e-12, err_msg=key)
            compared += 1
            if "error" in done[step]:
                continue
            operands = [o for o in getattr(work, step).operands if o.moved[row]]
            if done[step]["flops"]:
                assert getattr(work, step).flops[row] == pytest.approx(done[step]["flops"][0])
            sizes_found = [float(operand.size[row]) for operand in operands]
            assert sizes_found == pytest.approx(done[step]["bytes"], rel=1e-12)
    assert compared > 1000

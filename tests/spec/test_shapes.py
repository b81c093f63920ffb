import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import paleo_json, shapes
from greennas_jax.spec.network import Layer, Network, SpecError

INPUT = (2, 9, 7, 8)


def layer(kind: str, parents: int = 1, **attributes) -> Layer:
    return Layer(
        name="a", type=kind, parents=tuple(f"p{i}" for i in range(parents)), attributes=attributes
    )


def convolution(**changes) -> Layer:
    given = {"filter": [3, 3, 8, 16], "strides": [1, 1, 1, 1], "padding": "SAME"}
    return layer("Convolution", **{**given, **changes})


def starts(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Count by hand the window positions that fit into a padded row."""
    return sum(
        1 for s in range(0, before + size + after, stride) if s + kernel <= before + size + after
    )


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(0, 4))
def test_output_size_counts_the_windows(size, kernel, stride, pad):
    if size + 2 * pad >= kernel:
        assert shapes.output_size(size, kernel, stride, pad) == starts(
            size, kernel, stride, pad, pad
        )
    if size >= kernel:
        assert shapes.output_size(size, kernel, stride, "VALID") == starts(
            size, kernel, stride, 0, 0
        )
    same = shapes.output_size(size, kernel, stride, "SAME")
    assert same == len(range(0, size, stride))
    before, after = shapes.same_padding(size, kernel, stride)
    assert 0 <= before <= after <= before + 1
    if kernel >= stride:
        assert starts(size, kernel, stride, before, after) == same


def test_pad_amounts():
    # SAME of 9 with kernel 3, stride 2: 5 windows need 4*2+3 = 11, so 1 and 1; of 7 with kernel 4,
    # stride 1: 6+4 = 10, so 1 before and 2 after.
    assert shapes.pad_amounts("SAME", (9, 7), (3, 4), (2, 1)) == ((1, 1), (1, 2))
    assert shapes.pad_amounts("VALID", (9, 7), (3, 3), (1, 1)) == ((0, 0), (0, 0))
    assert shapes.pad_amounts((2, 1), (9, 7), (3, 3), (1, 1)) == ((2, 2), (1, 1))


@pytest.mark.parametrize(
    ("one", "inputs", "output"),
    [
        (layer("Input", 0, tensor=[4, 28, 28, 1]), (), (4, 28, 28, 1)),
        (layer("Input", 0, tensor=[4, 100]), (), (4, 100)),
        (convolution(), (INPUT,), (2, 9, 7, 16)),
        (convolution(padding="VALID"), (INPUT,), (2, 7, 5, 16)),
        (convolution(padding=[2, 0], strides=[1, 2, 2, 1]), (INPUT,), (2, 6, 3, 16)),
        (convolution(filter=[3, 3, -1, 16], groups=8), (INPUT,), (2, 9, 7, 16)),
        (
            layer("Pooling", ksize=[1, 3, 2, 1], strides=[1, 2, 2, 1], padding="VALID"),
            (INPUT,),
            (2, 4, 3, 8),
        ),
        (layer("InnerProduct", num_outputs=5), (INPUT,), (2, 5)),
        (layer("Dropout", dropout_keep_prob=0.9), (INPUT,), INPUT),
        (layer("Concatenate", 2, dim=3), (INPUT, (2, 9, 7, 3)), (2, 9, 7, 11)),
        (layer("Concatenate", 2), (INPUT, INPUT), (2, 9, 7, 16)),
        (layer("Concatenate", 2), ((2, 5), (2, 6)), (2, 11)),
        (layer("Elementwise", 3), (INPUT, INPUT, INPUT), INPUT),
        (layer("Reshape", output_shape=[-1, 504]), (INPUT,), (2, 504)),
        (layer("Reshape", output_shape=[-1, -1]), (INPUT,), (2, 504)),
        (layer("Reshape", output_shape=[2, 63, -1]), (INPUT,), (2, 63, 8)),
        (layer("Softmax"), (INPUT,), (2, 8)),
        (layer("Softmax", num_classes=9), ((2, 7),), (2, 9)),
        (layer("Sigmoid"), (INPUT,), (2, 1)),
        (layer("UpSampling2D", ksize=[1, 2, 3, 1]), (INPUT,), (2, 18, 21, 8)),
        (layer("Martian"), (INPUT,), INPUT),
        (
            layer(
                "Deconvolution",
                filter=[3, 3, 4, 8],
                strides=[1, 2, 2, 1],
                padding="SAME",
                output_shape=[2, 18, 13, 4],
            ),
            (INPUT,),
            (2, 18, 13, 4),
        ),
    ],
)
def test_layer_output(one, inputs, output):
    assert shapes.layer_output(one, inputs) == output


@pytest.mark.parametrize(
    ("one", "inputs", "said"),
    [
        (layer("Input", 0), (), "'tensor' is missing"),
        (layer("Input", 0, tensor=[]), (), "'tensor' is []"),
        (layer("Input", 0, tensor=[1, 2, -3, 4]), (), "'tensor' is [1, 2, -3, 4]"),
        (
            convolution(filter=[3, 3, 4, 16]),
            (INPUT,),
            "wants 4 input channels; its input from 'p0' [2, 9, 7, 8] has 8",
        ),
        (convolution(groups=16), (INPUT,), "16 groups do not divide 8 input channels"),
        (
            convolution(filter=[8, 8, 8, 8], padding="VALID"),
            (INPUT,),
            "kernel [8, 8] is larger than its input [2, 9, 7, 8]",
        ),
        (convolution(), ((2, 63),), "input [2, 63] is not NHWC"),
        (convolution(), (INPUT, INPUT), "(Convolution) has 2 parents; one needed"),
        (layer("Concatenate"), (INPUT,), "Concatenate has one parent; two or more needed"),
        (layer("Concatenate", 2, dim=4), (INPUT, INPUT), "'dim' is 4; allowed: 0 to 3"),
        (layer("Concatenate", 2, dim=-1), (INPUT, INPUT), "'dim' is -1; allowed: 0 to 3"),
        (
            layer("Concatenate", 2, dim=3),
            (INPUT, (2, 9, 6, 8)),
            "'p0' [2, 9, 7, 8] and 'p1' [2, 9, 6, 8] cannot be concatenated along 3",
        ),
        (
            layer("Elementwise", 2),
            (INPUT, (2, 9, 7, 4)),
            "'p0' [2, 9, 7, 8] and 'p1' [2, 9, 7, 4] differ; Elementwise needs equal shapes",
        ),
        (layer("Elementwise", 2, activation_fn=3), (INPUT, INPUT), "'activation_fn' is 3"),
        (layer("Reshape"), (INPUT,), "'output_shape' is None"),
        (layer("Reshape", output_shape=[-1, -1, -1]), (INPUT,), "'output_shape' is [-1, -1, -1]"),
        (layer("Reshape", output_shape=[-1, 0]), (INPUT,), "'output_shape' is [-1, 0]"),
        (layer("Reshape", output_shape=[-1, 5]), (INPUT,), "cannot become [-1, 5]"),
        (layer("Softmax", num_classes=0), (INPUT,), "'num_classes' is 0; allowed: from 1"),
        (layer("UpSampling2D", ksize=[1, 2, 2, 1]), ((2, 8),), "input [2, 8] is not NHWC"),
        (layer("Dropout", dropout_keep_prob=2), (INPUT,), "'dropout_keep_prob' is 2"),
        (layer("ModelParallel"), (INPUT,), "is a ModelParallel, which stands for layers"),
        (
            layer(
                "Deconvolution",
                filter=[3, 3, 4, 8],
                strides=[1, 2, 2, 1],
                padding="SAME",
                output_shape=[2, 20, 13, 4],
            ),
            (INPUT,),
            "want an input of [10, 7, 8]; its input from 'p0' is [2, 9, 7, 8]",
        ),
    ],
)
def test_layer_output_refuses(one, inputs, said):
    with pytest.raises(SpecError) as caught:
        shapes.layer_output(one, inputs)
    message = str(caught.value)
    assert said in message and message.startswith("layer 'a'") and "\n" not in message


def pooled(padding: object = "VALID") -> Layer:
    return layer("Pooling", ksize=[1, 9, 9, 1], strides=[1, 1, 1, 1], padding=padding)


def test_a_pooling_window_is_clipped_to_its_input():
    assert shapes.layer_output(pooled(), (INPUT,)) == (2, 1, 1, 8)
    assert shapes.pool_kernel(layer_views.pool(pooled()), INPUT) == (9, 7)
    # Padded by 1, the input is 11 x 9: the window fits.
    assert shapes.pool_kernel(layer_views.pool(pooled([1, 1])), INPUT) == (9, 9)
    assert shapes.pool_kernel(layer_views.pool(pooled("SAME")), INPUT) == (9, 9)


def test_compat_keeps_the_sizes_of_paleo():
    # ceil((7 - 9 + 1) / 1) = -1.
    assert shapes.layer_output(pooled(), (INPUT,), compat="paleo") == (2, 1, -1, 8)
    large = convolution(filter=[9, 9, 8, 8], padding="VALID")
    assert shapes.layer_output(large, (INPUT,), compat="paleo") == (2, 1, -1, 8)
    opened = layer("Reshape", output_shape=[-1, -1])
    assert shapes.layer_output(opened, (INPUT,), compat="paleo") == (2, -1)


def chain(*layers: Layer) -> Network:
    linked = [Layer(name="data", type="Input", parents=(), attributes={"tensor": list(INPUT)})]
    for index, one in enumerate(layers):
        linked.append(one.replace(name=f"l{index}", parents=(linked[-1].name,)))
    return Network(name="n", layers=tuple(linked))


def test_infer_and_batch_override():
    network = chain(
        convolution(),
        layer("Reshape", output_shape=[2, 1008]),
        layer("Reshape", output_shape=[-1, 63, 16]),
        layer("InnerProduct", num_outputs=3),
    )
    found = shapes.infer(network)
    assert found["l0"] == ((INPUT,), (2, 9, 7, 16))
    assert found["data"] == ((INPUT,), INPUT)
    assert shapes.batch_size(found) == 2
    other = shapes.infer(network, batch_size=5)
    assert [s.output for s in other.values()] == [
        (5, 9, 7, 8),
        (5, 9, 7, 16),
        (5, 1008),
        (5, 63, 16),
        (5, 3),
    ]


def test_infer_refuses_a_parallel_block_and_its_readers():
    parallel = Layer(name="mp", type="ModelParallel", parents=("data",), attributes={"layers": {}})
    reader = Layer(name="r", type="Concatenate", parents=("mp/fc@all",))
    network = Network(name="n", layers=(*chain().layers, reader, parallel))
    with pytest.raises(SpecError, match="layer 'mp' is a ModelParallel"):
        shapes.infer(network)


def test_infer_refuses_a_network_too_large_to_count():
    up = layer("UpSampling2D", ksize=[1, 2**12, 2**12, 1])
    with pytest.raises(SpecError, match="layer 'l1': output .* is too large"):
        shapes.infer(chain(up, up, up))


NETS = (
    "alex_v2",
    "bvlc_googlenet_80",
    "cifar10_6conv",
    "inception_v3",
    "nin",
    "resnet50",
    "syn_block_endpoint",
    "syn_conv_variants",
    "syn_deconv",
    "syn_misc_types",
    "syn_nb201_cell",
    "syn_residual",
    "syn_two_joints",
    "vgg16",
)


@pytest.mark.parametrize("name", NETS)
def test_shapes_are_those_of_paleo(shared, name):
    figures = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
    network = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
    found = shapes.infer(network, compat="paleo")
    assert {row["name"]: tuple(row["outputs"]) for row in figures["layers"]} == {
        layer: found[layer].output for layer in found if layer not in figures["dropped_layers"]
    }

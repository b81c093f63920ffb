import itertools
import random

import pytest

from greennas_jax.costs import counts, layer_table, settings
from greennas_jax.importers import caffe
from greennas_jax.importers.draft import Asked
from greennas_jax.spec import paleo_json, shapes
from greennas_jax.spec.network import SpecError
from tests.importers import prototxts
from tests.importers.prototxts import conv, dense, inputs, layer, pool, relu

ALL = (
    *(prototxts.LENET, prototxts.ALEXNET, prototxts.GOOGLENET, prototxts.OLD_VGG),
    *(prototxts.RESNET_BLOCK, prototxts.TRAINING),
)


def read(text, **options):
    network, _ = caffe.read(text, **options)
    assert paleo_json.read(paleo_json.write(network)) == network
    return network


def outputs(network, batch_size=None):
    return {name: s.output for name, s in shapes.infer(network, batch_size).items()}


def parameters(network):
    table = layer_table.from_network(network)
    return counts.parameters(table, settings.CostSettings()).sum()


def types(network):
    return {entry.name: entry.type for entry in network.layers}


def refused(text, *words, **options):
    with pytest.raises(SpecError) as error:
        caffe.read(text, **options)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_lenet():
    network = read(prototxts.LENET)
    found = outputs(network)
    assert network.name == "LeNet"
    assert found["data"] == (64, 28, 28, 1)
    assert (found["conv1"], found["pool1"]) == ((64, 24, 24, 20), (64, 12, 12, 20))
    assert (found["conv2"], found["pool2"]) == ((64, 8, 8, 50), (64, 4, 4, 50))
    assert found["prob"] == (64, 10)
    # 25*20+20 + 25*20*50+50 + 800*500+500 + 500*10+10.
    assert parameters(network) == 431_080
    layers = network.by_name()
    assert layers["ip1"].attributes["activation_fn"] == "relu"
    assert layers["ip2"].attributes["activation_fn"] is None


def test_alexnet_with_two_groups():
    network = read(prototxts.ALEXNET)
    found = outputs(network)
    assert parameters(network) == 60_965_224
    sizes = {name: found[name][1:] for name in ("conv1", "pool1", "conv2", "pool2", "pool5")}
    assert sizes == {
        **{"conv1": (55, 55, 96), "pool1": (27, 27, 96), "conv2": (27, 27, 256)},
        **{"pool2": (13, 13, 256), "pool5": (6, 6, 256)},
    }
    layers = network.by_name()
    assert layers["conv2"].attributes["groups"] == 2
    assert layers["conv2"].attributes["padding"] == "SAME"
    assert "groups" not in layers["conv3"].attributes
    # In place: dropout reads the rectified fc6, and fc7 reads what dropout left.
    assert layers["fc6"].attributes["activation_fn"] == "relu"
    assert layers["drop_fc6"].parents == ("fc6",)
    assert layers["fc7"].parents == ("drop_fc6",)
    assert layers["norm1"].attributes["alpha"] == 1e-4


def test_googlenet_rounds_pooling_up():
    network = read(prototxts.GOOGLENET)
    found = outputs(network)
    sizes = [found[f"pool{index}"][1] for index in (1, 2, 3, 4, 5)]
    assert sizes == [56, 28, 14, 7, 1]
    assert found["3a/output"] == (10, 28, 28, 256)
    assert found["5a/output"] == (10, 7, 7, 832)
    layers = network.by_name()
    assert layers["3a/output"].parents == ("3a/1x1", "3a/3x3", "3a/5x5", "3a/proj")
    assert layers["3a/output"].attributes["dim"] == 3
    assert layers["pool1"].attributes["padding"] == "SAME"
    assert layers["conv1"].attributes["padding"] == [3, 3]
    assert types(network)["pool5"] == "AvgPool"

    def module(inputs, one, reduce3, three, reduce5, five, project):
        pairs = [(inputs, one, 1), (inputs, reduce3, 1), (reduce3, three, 9), (inputs, reduce5, 1)]
        pairs += [(reduce5, five, 25), (inputs, project, 1)]
        return sum(a * b * k + b for a, b, k in pairs)

    expected = 3 * 49 * 64 + 64 + 64 * 64 + 64 + 64 * 9 * 192 + 192 + 832 * 1000 + 1000
    expected += module(192, 64, 96, 128, 16, 32, 32) + module(256, 192, 96, 208, 16, 48, 64)
    expected += module(512, 256, 160, 320, 32, 128, 128)
    assert parameters(network) == expected


def test_the_older_syntax():
    network = read(prototxts.OLD_VGG)
    found = outputs(network)
    assert found["conv1_2"] == (10, 224, 224, 64)
    assert found["pool1"] == (10, 112, 112, 64)
    assert network.by_name()["drop"].attributes["dropout_keep_prob"] == 0.6
    assert parameters(network) == 1792 + 36928 + 112 * 112 * 64 * 10 + 10


def test_a_residual_block_with_normalisation_in_place():
    network = read(prototxts.RESNET_BLOCK)
    layers = network.by_name()
    names = ["data", "branch1", "branch2a", "branch2b", "branch2c", "sum", "pool"]
    assert list(layers) == names
    for name in names[1:5]:
        assert layers[name].attributes["normalizer_fn"] == "batch_norm"
        assert layers[name].attributes["use_bias"] is False
    assert layers["branch2a"].attributes["activation_fn"] == "relu"
    assert layers["branch2c"].attributes["activation_fn"] is None
    assert layers["sum"].parents == ("branch1", "branch2c")
    assert layers["sum"].attributes["activation_fn"] == "relu"
    assert outputs(network)["pool"] == (4, 1, 1, 256)
    # 64*256 + 64*64 + 9*64*64 + 64*256, and two of normalisation per channel.
    assert parameters(network) == 73_728 + 2 * (256 + 64 + 64 + 256)


def test_phase_test_is_taken_and_losses_are_left_out():
    network, notes = caffe.read(prototxts.TRAINING)
    assert list(types(network)) == ["data", "conv", "pool", "relu", "mean", "fc", "loss"]
    assert types(network)["loss"] == "Softmax"
    found = outputs(network)
    assert found["data"] == (50, 32, 32, 3)
    # ceil((32 - 3) / 2) + 1 = 16, then 8.
    assert (found["pool"], found["mean"]) == ((50, 16, 16, 32), (50, 8, 8, 32))
    assert network.by_name()["mean"].parents == ("relu",)
    assert notes == ("layer 'accuracy' (Accuracy) is left out",)
    assert outputs(read(prototxts.TRAINING, asked=Asked(batch_size=7)))["fc"] == (7, 10)


def test_rules_of_stages_and_levels():
    rules = {
        "include { }": True,
        "include { phase: 0 }": False,
        "include { phase: TRAIN } include { phase: TEST }": True,
        'include { stage: "deploy" }': True,
        'include { stage: "other" }': False,
        'include { not_stage: "deploy" }': False,
        "include { min_level: 1 }": False,
        "include { max_level: 0 }": True,
        "exclude { phase: TRAIN }": True,
        "exclude { phase: TEST }": False,
        "exclude { min_level: 1 }": True,
    }
    for rule, included in rules.items():
        text = 'state { stage: "deploy" }' + inputs(1, 1, 4, 4) + dense("a", "data", 2)
        network = read(text + layer("b", "InnerProduct", "a", rest=rule + _product(3)))
        assert ("b" in network.by_name()) == included, rule
    both = "include { phase: TEST } exclude { phase: TRAIN }"
    refused(inputs(1, 1) + layer("a", "ReLU", "data", rest=both), "'include' and 'exclude'")


def _product(outputs):
    return f" inner_product_param {{ num_output: {outputs} }}"


def test_activations_fold_only_where_nothing_else_reads():
    text = inputs(2, 3, 8, 8) + conv("a", "data", 4, 1)
    text += layer("r", "ReLU", "a", "r") + conv("b", "a", 4, 1) + conv("c", "r", 4, 1)
    network = read(text)
    assert types(network)["r"] == "ReLU"
    assert network.by_name()["a"].attributes["activation_fn"] is None
    assert network.by_name()["c"].parents == ("r",)
    # In place, a layer before the ReLU reads the blob before it was rewritten.
    text = inputs(2, 3, 8, 8) + conv("a", "data", 4, 1) + conv("b", "a", 4, 1) + relu("a")
    network = read(text + conv("c", "a", 4, 1))
    assert network.by_name()["b"].parents == ("a",)
    assert network.by_name()["c"].parents == ("relu_a",)


def test_other_activations():
    text = inputs(2, 3, 8, 8) + conv("a", "data", 4, 1) + layer("t", "TanH", "a", "a")
    text += pool("p", "a", 2, 2) + layer("s", "Sigmoid", "p", "p") + dense("d", "p", 1)
    text += layer("slope", "ReLU", "d", "d", "relu_param { negative_slope: 0.1 }")
    text += dense("e", "d", 1) + layer("end", "Sigmoid", "e")
    network, notes = caffe.read(text)
    layers = network.by_name()
    assert layers["a"].attributes["activation_fn"] == "tanh"
    assert (layers["s"].type, layers["s"].attributes["activation_fn"]) == ("ReLU", "sigmoid")
    assert layers["d"].attributes["negative_slope"] == 0.1
    assert layers["end"].type == "Sigmoid"
    assert any("leaky" in note for note in notes)


def test_normalisation_of_its_own():
    text = inputs(2, 3, 8, 8) + layer("bn", "BatchNorm", "data") + layer("sc", "Scale", "bn", "bn")
    text += relu("bn") + conv("a", "bn", 4, 3) + layer("again", "Scale", "a")
    network = read(text)
    assert list(types(network).values()) == ["Input", "BatchNorm", "Convolution", "Scale"]
    assert network.by_name()["bn"].attributes["activation_fn"] == "relu"
    assert paleo_json.unknown_types(network) == {"Scale": ("again",)}


@pytest.mark.parametrize(
    ("rest", "size"),
    [
        # floor((20 - 3) / 2) + 1 and floor((12 - 3) / 2) + 1.
        ("kernel_size: 3 stride: 2", (9, 5)),
        ("kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1", (9, 11)),
        ("kernel_size: [3, 2] stride: 1 pad: 1", (20, 13)),
        ("kernel_size: 3 pad_h: 1 pad_w: 0", (20, 10)),
        # floor((20 + 2 - 5) / 3) + 1 and floor((12 + 4 - 5) / 3) + 1.
        ("kernel_size: 5 pad_h: 1 pad_w: 2 stride: 3", (6, 4)),
    ],
)
def test_convolution_sizes(rest, size):
    param = f"convolution_param {{ num_output: 4 {rest} }}"
    network = read(inputs(1, 3, 20, 12) + layer("a", "Convolution", "data", rest=param))
    assert outputs(network)["a"][1:3] == size


def test_pooling_sizes_are_those_of_caffe():
    for size, kernel, stride, pad in itertools.product((5, 6, 7, 13), (2, 3, 4), (1, 2, 3), (0, 1)):
        expected = -((kernel - size - 2 * pad) // stride) + 1
        if pad and (expected - 1) * stride >= size + pad:
            expected -= 1
        text = inputs(1, 2, size, size) + pool("p", "data", kernel, stride, pad=pad)
        assert outputs(read(text))["p"] == (1, expected, expected, 2), (size, kernel, stride, pad)


def test_deconvolution():
    rest = "convolution_param { num_output: 8 kernel_size: 4 stride: 2 pad: 1 bias_term: false }"
    network = read(inputs(2, 16, 7, 5) + layer("up", "Deconvolution", "data", rest=rest))
    # 2 * (7 - 1) + 4 - 2 and 2 * (5 - 1) + 4 - 2.
    assert outputs(network)["up"] == (2, 14, 10, 8)
    assert parameters(network) == 16 * 16 * 8
    assert outputs(network, 6)["up"] == (6, 14, 10, 8)


def test_flatten_reshape_split_and_concat():
    text = inputs(2, 6, 4, 5) + layer("copy", "Split", "data", 'x" top: "y')
    text += layer("flat", "Flatten", "x")
    text += layer(
        "back", "Reshape", "flat", rest="reshape_param { shape { dim: 0 dim: 3 dim: 8 dim: -1 } }"
    )
    text += layer("rows", "Concat", ["data", "y"], rest="concat_param { axis: 2 }")
    text += layer("old", "Concat", ["data", "y"], rest="concat_param { concat_dim: 1 }")
    text += layer("one", "Concat", ["rows"]) + relu("one")
    network = read(text, asked=Asked(batch_size=3))
    found = outputs(network)
    assert found["flat"] == (3, 120)
    assert found["back"] == (3, 8, 5, 3)
    assert (found["rows"], found["old"]) == ((3, 8, 5, 6), (3, 4, 5, 12))
    assert network.by_name()["relu_one"].parents == ("rows",)


def test_eltwise_of_another_kind_and_softmax_over_an_image():
    text = inputs(1, 2, 4, 4) + conv("a", "data", 2, 1)
    rest = "eltwise_param { operation: MAX }"
    network, notes = caffe.read(
        text + layer("m", "Eltwise", ["a", "data"], rest=rest) + layer("s", "Softmax", "m")
    )
    assert network.by_name()["m"].attributes["operation"] == "max"
    assert any("MAX" in note for note in notes)
    assert paleo_json.unknown_types(network) == {"SpatialSoftmax": ("s",)}
    assert outputs(network)["s"] == (1, 4, 4, 2)


def test_depthwise_forks_and_unknown_types():
    rest = "convolution_param { num_output: 6 kernel_size: 3 pad: 1 bias_term: false }"
    text = inputs(1, 6, 8, 8) + layer("dw", "DepthwiseConvolution", "data", rest=rest)
    network = read(text + layer("odd", "Power", "dw"))
    assert parameters(network) == 54
    assert paleo_json.unknown_types(network) == {"Power": ("odd",)}


def test_a_fields_name_that_is_not_known_is_noted():
    text = inputs(1, 1, 8, 8) + conv("a", "data", 2, 3).replace("group:", "grup:")
    _, notes = caffe.read(text)
    assert notes == ("line 2: 'grup' of convolution_param is not known and not read",)


def test_data_layers_without_a_size_ask_for_it():
    head = (
        'layer { name: "d" type: "Data" top: "image" top: "label" '
        "data_param { batch_size: 8 } %s }\n"
    )
    body = dense("a", "image", 2)
    refused(head % "" + body, "line 1", "states no image size", "--input_shape")
    network = read(head % "" + body, asked=Asked(image=(28, 30, 1)))
    assert outputs(network)["data"] == (8, 28, 30, 1)
    network, notes = caffe.read(head % "transform_param { crop_size: 9 }" + body)
    assert outputs(network)["data"] == (8, 9, 9, 3)
    assert "3 channels are assumed" in notes[0]
    gray = head % "transform_param { crop_size: 9 force_gray: true }" + body
    assert outputs(read(gray))["data"] == (8, 9, 9, 1)
    no_batch = 'layer { name: "d" type: "HDF5Data" top: "data" }' + dense("a", "data", 2)
    refused(no_batch, "--batch_size", asked=Asked(image=(4, 4, 1)))
    assert outputs(read(no_batch, asked=Asked(5, (4, 4, 1))))["a"] == (5, 2)
    refused(prototxts.LENET, "--input_shape says [1, 2, 3]", asked=Asked(image=(1, 2, 3)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("no 'layer'",)),
        ("base_lr: 0.1 net: 'x'", ("solver",)),
        ("layer: 3", ("line 1, column 1", "'layer'")),
        ("layers { layer { } }", ("first syntax",)),
        ("layer { name: 'a' }", ("'type' is missing",)),
        ("layer { type: 3 }", ("column 9", "'type' is 3")),
        ("layers { type: CONVOLUTON }", ("'CONVOLUTON'", "no layer type")),
        ("layer { name: 3 type: 'ReLU' }", ("'name' is 3", "quoted string")),
        (inputs(1, 1), ("no layer computes",)),
        (inputs(1, 1) + dense("a", "dat", 2), ("line 2", "'dat'", "no layer before")),
        (inputs(1, 1) + layer("a", "InnerProduct", "data"), ("line 2", "'num_output' is missing")),
        (inputs(1, 1) + dense("a", "data", 0), ("'num_output' is 0", "from 1")),
        (inputs(1, 1) + dense("a", "data", '"10"'), ("'num_output' is '10'", "whole number")),
        (inputs(1, 1) + dense("a", "data", "1 num_output: 2"), ("'num_output'", "twice")),
        (inputs(1, 1) + dense("a", "data", "1 } inner_product_param { num_output: 2"), ("twice",)),
        (inputs(1, 1, 4) + conv("a", "data", 2, 1), ("no image",)),
        (inputs(1, 1, 4, 4) + conv("a", "data", 2, 5), ("line 2", "kernel [5, 5]")),
        (inputs(1, 3, 4, 4) + conv("a", "data", 4, 1, group=2), ("line 2", "2 groups")),
        (inputs(1, 1, 4, 4) + conv("a", "data", 2, "1 dilation: 2"), ("dilat",)),
        (inputs(1, 1, 4, 4) + conv("a", "data", 2, "1 kernel_h: 1"), ("'kernel_size' and",)),
        (inputs(1, 1, 4, 4) + conv("a", "data", 2, "-1"), ("'kernel_size' is -1",)),
        (inputs(1, 1, 4, 4) + conv("a", "data", 2, "[1, 2, 3]"), ("3 sizes",)),
        (inputs(1, 1, 4, 4) + pool("a", "data", 2, 1, method="MEAN"), ("'MEAN'", "STOCHASTIC")),
        (inputs(1, 1, 4, 4) + pool("a", "data", 9, 1), ("larger than its input",)),
        (inputs(1, 1, 4, 4) + layer("a", "Slice", "data"), ("'Slice'", "not read")),
        (inputs(1, 1, 4, 4) + layer("a", "Odd", ["data", "data"]), ("2 bottoms",)),
        (inputs(1, 1, 4, 4) + layer("a", "AvgPool", "data"), ("no type 'AvgPool'",)),
        (inputs(1, 1, 4, 4) + layer("a", "ModelParallel", "data"), ("no type",)),
        (inputs(1, 1) + dense("a", "data", 2).replace("bottom", "botom"), ("no bottom",)),
        (
            inputs(1, 1, 4, 4) + dense("a", "data", 2) * 2,
            ("line 3", "'a' is made by a layer before"),
        ),
        (inputs(1, 1, 4, 4) + "layer { type: 'ReLU' bottom: 'data' }", ("no top",)),
        (
            inputs(1, 1, 4, 4) + dense("a", "data", 2) + layer("s", "Eltwise", ["a", "data"]),
            ("differ",),
        ),
        ('input: "data" input_dim: 1 ' + dense("a", "data", 2), ("1 'input_dim' for 1 inputs",)),
        ('input: "data" ' + dense("a", "data", 2), ("0 input shapes for 1",)),
        (
            inputs(1, 1, 4, 4) + layer("f", "Flatten", "data", rest="flatten_param { axis: 7 }"),
            ("flattened",),
        ),
        (prototxts.TRAINING.replace("TEST", "TRAIN"), ("'data'", "not of phase TEST")),
        (
            prototxts.TRAINING.replace('"fc" bottom: "label" top: "loss"', '"label" bottom: "fc"'),
            ("label",),
        ),
    ],
)
def test_bad_networks_are_one_clear_line(text, words):
    refused(text, *words)


def test_every_cut_is_read_or_refused():
    draw = random.Random(1)
    for text in ALL:
        for _ in range(30):
            cut = text[: draw.randrange(len(text))]
            try:
                caffe.read(cut)
            except SpecError as error:
                assert "\n" not in str(error)


def test_every_corruption_is_read_or_refused():
    draw = random.Random(2)
    for text in ALL:
        tokens = text.split(" ")
        for _ in range(30):
            damaged = list(tokens)
            for _ in range(draw.randint(1, 3)):
                new = draw.choice(
                    ["{", "}", "-1", "0", '"data"', "99999999999", "1.5", "MAX", ":", ""]
                )
                damaged[draw.randrange(len(tokens))] = new
            try:
                caffe.read(" ".join(damaged))
            except SpecError as error:
                assert "\n" not in str(error)

"""The networks that come with the repository, against published figures."""

import pytest

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import paleo_json, shapes, structure

# Parameters as published, in weights and biases plus, where a network normalises, the scale and
# the offset of each normalised channel.
PARAMETERS = {
    # conv 156 + 2,416, inner products 48,120 + 10,164 + 850.
    "lenet5": 61_706,
    # 3x3 convolutions 896 + 9,248 + 18,496 + 36,928 + 73,856 + 147,584, then 262,272 + 1,290.
    "vgg_cifar10": 550_570,
    # He et al. 2016, table 6, say 0.27 M for option A, exactly 269,722 (convolutions 267,696,
    # inner product 650, 688 normalised channels). Projections add 16*32 + 32*64 weights and
    # 2 * (32 + 64) of their normalisation.
    "resnet20_cifar10": 269_722 + 2_560 + 192,
    # Krizhevsky et al. 2012 say 60 million; the Caffe model zoo's two-group network has
    # 34,944 + 307,456 + 885,120 + 663,936 + 442,624 + 37,752,832 + 16,781,312 + 4,097,000.
    "alexnet": 60_965_224,
    # The Caffe model zoo: 29 MB of floats; 4 * 7,595,176 / 2^20 = 28.97.
    "nin_imagenet": 7_595_176,
    # Simonyan and Zisserman 2015, table 2: 138 million.
    "vgg16": 138_357_544,
    # torchvision's documentation of ResNet50_Weights: num_params 25557032.
    "resnet50": 25_557_032,
    # Howard et al. 2017, table 8: 4.2 million; Keras's MobileNet has 4,253,864 with the moving
    # statistics of 10,944 normalised channels, hence 4,253,864 - 2 * 10,944.
    "mobilenet_v1": 4_231_976,
}
# Maps in front of the classifier.
LAST_MAP = {
    "lenet5": (128, 5, 5, 16),
    "vgg_cifar10": (128, 4, 4, 128),
    "resnet20_cifar10": (128, 8, 8, 64),
    "alexnet": (128, 6, 6, 256),
    "nin_imagenet": (128, 6, 6, 1000),
    "vgg16": (64, 7, 7, 512),
    "resnet50": (64, 7, 7, 2048),
    "mobilenet_v1": (64, 7, 7, 1024),
}
# Layers with weights, as in the networks' names; projections stand beside the main path.
LONGEST_DEPTH = {
    "lenet5": 5,
    "vgg_cifar10": 8,
    "resnet20_cifar10": 20,
    "alexnet": 8,
    "nin_imagenet": 12,
    "vgg16": 16,
    "resnet50": 50,
    "mobilenet_v1": 28,
}


def test_every_network_is_checked_here(specs):
    assert {path.stem for path in specs.glob("*.json")} == PARAMETERS.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_network(specs, name):
    network = paleo_json.load(specs / f"{name}.json")
    normalised = sum(
        layer_views.convolution(layer).out_channels
        for layer in network.layers
        if layer.type == "Convolution" and layer_views.normalizer(layer)
    )
    assert structure.parameter_count(network) + 2 * normalised == PARAMETERS[name]
    found = shapes.infer(network)
    maps = [s.output for s in found.values() if len(s.output) == 4 and s.output[1] > 1]
    assert maps[-1] == LAST_MAP[name]
    assert structure.paths(network).longest == LONGEST_DEPTH[name]
    assert paleo_json.unknown_types(network) == {}
    assert network.attributes["source"]
    last = network.layers[-1]
    assert last.type == "Softmax"
    assert found[last.name].inputs[0][-1] == found[last.name].output[1]
    assert last.attributes["num_classes"] == found[last.name].output[1]


@pytest.mark.parametrize("name", PARAMETERS)
def test_text_is_in_the_form_that_is_written(specs, name):
    text = (specs / f"{name}.json").read_text()
    assert paleo_json.write(paleo_json.read(text)) == text


def test_paths_of_the_residual_networks(specs):
    # Each residual block doubles the paths: 9 and 16 blocks.
    assert structure.paths(paleo_json.load(specs / "resnet20_cifar10.json")).count == 2**9
    assert structure.paths(paleo_json.load(specs / "resnet50.json")).count == 2**16

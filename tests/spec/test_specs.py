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
    # Kernels and biases: 3x3 convolutions 1-16-16-32-32, then 288-64-10.
    "plain_digits": 160 + 2_320 + 4_640 + 9_248 + 18_496 + 650,
    # The stem; three blocks of two 3x3 convolutions with two figures a channel for normalisation,
    # the last two with a projection; 64-10.
    "resnet8_digits": 176 + 4_672 + (13_952 + 576) + (55_552 + 2_176) + 650,
    # The stem; 9 weights a channel and 1x1 convolutions 32-64-128-128-256-256-256-256, two
    # figures a channel; 256-10.
    "mobilenet_digits": 352
    + (352 + 2_176)
    + (704 + 8_448)
    + (1_408 + 16_640)
    + (1_408 + 33_280)
    + 3 * (2_816 + 66_048)
    + 2_570,
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
    "plain_digits": (32, 3, 3, 32),
    "resnet8_digits": (32, 2, 2, 64),
    "mobilenet_digits": (32, 2, 2, 256),
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
    "plain_digits": 6,
    "resnet8_digits": 8,
    "mobilenet_digits": 16,
}


# Transformers: all parameters as published, those of normalisation included.
TRANSFORMERS = {
    # Hugging Face's BertModel has 109,482,240 and 335,141,888; the next-sentence head adds 2 width
    # + 2. Devlin et al. 2019 say 110M and 340M.
    "bert_base": 109_482_240 + 1_538,
    "bert_large": 335_141_888 + 2_050,
    # Radford et al. 2019, table 2, say 117M, corrected by the authors to 124M: the released
    # checkpoint has 124,439,808.
    "gpt2": 124_439_808,
    # Brown et al. 2020, table D.1: 174,600 million. 96 (12 D^2 + 13 D) + (50,257 + 2,048 + 2) D.
    "gpt3_175b": 96 * (12 * 12_288**2 + 13 * 12_288) + 52_307 * 12_288,
    # Raffel et al. 2020, section 3.7, say 11B; the released checkpoint has 11,307,321,344, with
    # the relative biases of one layer of each stack. The other 46 layers' add 32 * 128 each.
    "t5_11b": 11_307_321_344 + 46 * 4_096,
    # Dosovitskiy et al. 2021, table 1: 86M; torchvision's ViT_B_16_Weights: num_params 86567656.
    "vit_b16": 86_567_656,
    # The released checkpoint: 6,738,415,616. Touvron et al. 2023 say 7B.
    "llama2_7b": 6_738_415_616,
    # Patches 49*48 + 48, positions 16*48, 3 layers of 4*48^2 + 2*48*96 weights and 9*48 + 96
    # biases, scales and offsets, last norm 96, head 48*10 + 10.
    "vit_digits": 2_400 + 768 + 3 * (18_432 + 528) + 96 + 490,
    # Tables 6*32 + 16*32, norm 64, 2 layers of 4*32^2 + 2*32*64 and 9*32 + 64, head 32*2 + 2.
    "bert_tiny": 192 + 512 + 64 + 2 * (8_192 + 352) + 66,
    # Tables of 30,522 + 512 + 2 rows, norm 2 * 768, one layer of 12 D^2 + 13 D, D = 768.
    "transformer_block": (30_522 + 512 + 2) * 768 + 1_536 + 12 * 768**2 + 13 * 768,
}
# The same as the sources round it, in millions.
ROUNDED = {
    "bert_base": 110,
    "gpt2": 124,
    "gpt3_175b": 174_600,
    "t5_11b": 11_300,
    "vit_b16": 86,
    "llama2_7b": 6_740,
}
# Attentions and feed-forward layers, and what stands in front of and behind them.
TRANSFORMER_DEPTH = {
    "bert_base": 24 + 2,
    "bert_large": 48 + 2,
    "gpt2": 24 + 1,
    "gpt3_175b": 192 + 1,
    # From the encoder's end any decoder layer's attention to it leads on: 48 + 3 * 24, less the
    # first attention of the decoder, plus the head.
    "t5_11b": 48 + 71 + 1,
    "vit_b16": 24 + 2,
    "llama2_7b": 64 + 1,
    "vit_digits": 6 + 2,
    "bert_tiny": 4 + 1,
    "transformer_block": 2,
}
# A part of a network, to be measured.
WITHOUT_CLASSES = {"transformer_block"}


def test_every_network_is_checked_here(specs):
    assert {path.stem for path in specs.glob("*.json")} == PARAMETERS.keys() | TRANSFORMERS.keys()


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformer(specs, name):
    network = paleo_json.load(specs / f"{name}.json", strict=True)
    assert structure.parameter_count(network) == TRANSFORMERS[name]
    assert structure.paths(network).longest == TRANSFORMER_DEPTH[name]
    assert network.attributes["source"]
    last = network.layers[-1]
    assert (last.type == "Softmax") == (name not in WITHOUT_CLASSES)
    (given, *_), output = shapes.infer(network)[last.name]
    assert given == output


@pytest.mark.parametrize("name", ROUNDED)
def test_transformers_have_the_published_size(specs, name):
    count = structure.parameter_count(paleo_json.load(specs / f"{name}.json"))
    assert count == pytest.approx(1e6 * ROUNDED[name], rel=0.01)


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


@pytest.mark.parametrize("name", PARAMETERS | TRANSFORMERS)
def test_text_is_in_the_form_that_is_written(specs, name):
    text = (specs / f"{name}.json").read_text()
    assert paleo_json.write(paleo_json.read(text)) == text


def test_paths_of_the_residual_networks(specs):
    # Each residual block doubles the paths: 9 and 16 blocks.
    assert structure.paths(paleo_json.load(specs / "resnet20_cifar10.json")).count == 2**9
    assert structure.paths(paleo_json.load(specs / "resnet50.json")).count == 2**16

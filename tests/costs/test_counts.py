import json

import numpy as np
import pytest

from greennas_jax.costs import counts, layer_table
from greennas_jax.costs.settings import CostSettings
from greennas_jax.spec import paleo_json

PALEO = CostSettings(compat="paleo")

# Parameters and bytes of activations that the original prints.
ORIGINAL = {
    "alex_v2": (50303912, 363569152),
    "nin": (7595176, 959770624),
    "vgg16": (138357544, 3903180800),
    "cifar10_6conv": (39191690, 263727104),
    "resnet50": (25530472, 64852544),
}


@pytest.mark.parametrize("name", ORIGINAL)
def test_counts_of_the_original(shared, name):
    network = paleo_json.load(shared / "paleo" / "nets" / f"{name}.json")
    table = layer_table.from_network(network, compat="paleo")
    found = counts.parameters(table, PALEO).sum(), counts.activation_bytes(table, PALEO).sum()
    assert found == ORIGINAL[name]
    figures = json.loads((shared / "paleo" / "layers" / f"{name}.json").read_text())
    assert found[0] == figures["num_params"]


def test_parameters_by_hand(convolution, row):
    settings = CostSettings()
    # 3*3*4*8 weights, 8 biases, 8 scales and 8 offsets.
    full = convolution((1, 4, 4, 4), [3, 3, 4, 8], normalizer_fn="batch_norm")
    assert counts.parameters(full, settings)[0] == 288 + 8 + 16
    # The original knows neither normalisation nor groups, and always a bias.
    assert counts.parameters(full, PALEO)[0] == 288 + 8
    grouped = convolution((1, 4, 4, 4), [3, 3, 4, 8], groups=2, use_bias=False)
    assert counts.parameters(grouped, settings)[0] == 144
    assert counts.parameters(grouped, PALEO)[0] == 288 + 8
    assert counts.parameters(row("InnerProduct", (2, 6), num_outputs=5), settings)[0] == 35
    text = {"filter": [3, 3, 6, 4], "strides": [1, 1, 1, 1], "padding": "SAME"}
    back = row("Deconvolution", (1, 4, 4, 4), output_shape=[1, 4, 4, 6], **text)
    # 3*3*6*4 weights, and a bias of the six outputs; of the four inputs in the original.
    assert counts.parameters(back, settings)[0] == 216 + 6
    assert counts.parameters(back, PALEO)[0] == 216 + 4


def test_views_have_no_memory_of_their_own(row):
    reshaped = row("Reshape", (2, 3, 3, 4), output_shape=[-1, 36])
    dropped = row("Dropout", (2, 36))
    training = CostSettings(mode="training")
    assert counts.activation_bytes(reshaped, CostSettings())[0] == 0
    assert counts.activation_bytes(dropped, CostSettings())[0] == 0
    assert counts.activation_bytes(dropped, training)[0] == 288
    assert counts.activation_bytes(reshaped, PALEO)[0] == 288


def test_totals_do_not_depend_on_the_namespace(every_type, as_jax):
    table = layer_table.from_network(every_type)
    for settings in (CostSettings(), PALEO):
        expected = counts.parameters(table, settings)
        np.testing.assert_allclose(counts.parameters(as_jax(table), settings), expected)

import jax
import numpy as np
import pytest

from greennas_jax.accuracy import cell_template, extract, forward, initial, live, sizes
from greennas_jax.build import flax_network
from greennas_jax.spaces import nasbench201_network as cells
from greennas_jax.spaces import nasbench201_strings as strings

CONFIG = cells.CellConfig(cells=1, stages=1, channels=4, image=8, classes=3, batch_size=5)
TEXTS = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
    "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_3x3~1|none~2|",
)
CHOICES = {
    "nor_conv_3x3": 3,
    "nor_conv_1x1": 1,
    "avg_pool_3x3": "pool",
    "skip_connect": "identity",
    "none": None,
}


@pytest.fixture(scope="module")
def supernet():
    edges = [f"stage1_1/{a}to{b}" for a, b in strings.EDGES]
    return cell_template.make(cells.expand(np.zeros(6, np.int32), CONFIG), edges)


def _choices(text):
    tokens = strings.parse(text)
    live_edges = strings.live_edges(tokens)
    return {
        f"stage1_1/{a}to{b}": CHOICES[strings.OPERATIONS[token]] if used else None
        for (a, b), token, used in zip(strings.EDGES, tokens, live_edges, strict=True)
    }


@pytest.mark.slow
def test_a_child_is_its_cell_at_true_shape(supernet):
    images = np.random.default_rng(0).standard_normal((5, 8, 8, 3)).astype(np.float32)
    template = supernet.template
    draws = jax.jit(lambda: initial.draw(template, jax.random.key(1)))()

    @jax.jit
    def logits(child, draws):
        parameters = initial.scaled(draws, child)
        mode = live.Mode(True, "im2col")
        statistics = initial.statistics(template)
        out, _ = forward.run(template, child, parameters, statistics, images, mode)
        return out, sizes.parameters(template, child)

    for text in TEXTS:
        child = cell_template.describe(supernet, _choices(text))
        network = cells.expand(strings.parse(text), CONFIG)
        module = flax_network.build(network, jax.random.key(0))
        held = extract.weights(template, child, supernet.network, initial.scaled(draws, child))
        extract.assign(module, {k.removesuffix("/convolution"): v for k, v in held.items()})
        statistics = flax_network.initial_statistics(module)
        expected, _ = flax_network.apply(module, statistics, images, training=True)
        found, parameters = logits(child, draws)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert parameters == flax_network.parameter_count(module)


def test_unknown_choices_are_refused(supernet):
    choices = _choices(TEXTS[0])
    with pytest.raises(ValueError, match="edge 'stage1_1/0to1' is 5; allowed: 3, 1, 'pool'"):
        cell_template.describe(supernet, {**choices, "stage1_1/0to1": 5})
    del choices["stage1_1/2to3"]
    with pytest.raises(ValueError, match="edge 'stage1_1/2to3' is 'not named'; allowed"):
        cell_template.describe(supernet, choices)

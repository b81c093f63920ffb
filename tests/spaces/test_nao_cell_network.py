import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.build import flax_network
from greennas_jax.spaces import nao_cell_network as networks
from greennas_jax.spaces import nao_cell_strings as strings
from greennas_jax.spec import network as specs
from greennas_jax.spec import shapes, structure
from tests.spaces.test_nao_cell_strings import cell

SMALL = networks.PairConfig(cells=2, channels=4, image=8, classes=3)
BOTH = (0, 0, 1, 2)  # A separable convolution of input 0, an average of input 1.


def pair(normal: np.ndarray, reduction: np.ndarray) -> np.ndarray:
    return np.concatenate([normal, reduction])


def test_stack():
    found = networks.places(SMALL)
    assert [place.name for place in found] == [
        "normal1_1", "normal1_2", "reduction1", "normal2_1", "normal2_2",
        "reduction2", "normal3_1", "normal3_2",
    ]  # fmt: skip
    assert [place.stage for place in found] == [0, 0, 1, 1, 1, 2, 2, 2]
    assert found[0].inputs == (-1, -1) and found[1].inputs == (-1, 0)
    assert found[3].inputs == (1, 2)


def test_shapes():
    network = networks.expand(pair(cell(BOTH), cell(BOTH)), SMALL)
    specs.check_graph(network)
    found = shapes.infer(network)
    # Five loose ends of 4, 8 and 16 channels at 8, 4 and 2 pixels.
    assert found["normal1_2/out"].output == (1, 8, 8, 20)
    assert found["reduction1/out"].output == (1, 4, 4, 40)
    assert found["normal3_2/out"].output == (1, 2, 2, 80)
    # The cell behind a reduction reads the cell in front of it at stride 2.
    before = network.by_name()["normal2_1/input0"]
    assert before.attributes["strides"] == [1, 2, 2, 1]
    assert found["normal2_1/input0"].inputs == ((1, 8, 8, 20),)
    assert network.by_name()["normal2_1/input1"].attributes["strides"] == [1, 1, 1, 1]


def test_separable_convolutions_are_separable():
    network = networks.expand(pair(cell((0, 1, 0, 4)), cell((0, 0, 0, 4))), SMALL)
    layers = network.by_name()
    chain, at = [], "reduction1/node0/left"
    while at != "reduction1/input0":
        chain.append(layers[at])
        (at,) = layers[at].parents
    assert [layer.type for layer in chain[::-1]] == ["ReLU", "Convolution", "Convolution"] * 2
    chain = [layer for layer in chain if layer.type == "Convolution"]
    windows = [(c.attributes["filter"][0], c.attributes.get("groups", 1)) for c in chain]
    assert windows == [(1, 1), (3, 8), (1, 1), (3, 8)]
    assert [c.attributes["strides"][1] for c in chain if c.attributes.get("groups")] == [1, 2]
    norms = [c.attributes.get("normalizer_fn") for c in chain]
    assert norms == ["batch_norm", None, "batch_norm", None]
    # An identity that changes the resolution is a 1x1 convolution; elsewhere it is no layer.
    assert layers["reduction1/node0/right"].attributes["filter"] == [1, 1, -1, 8]
    assert "normal1_1/node0/right" not in layers
    assert layers["normal1_1/node0/left/depthwise2"].attributes["filter"][:2] == [5, 5]


def test_parameters_by_hand():
    config = networks.PairConfig(cells=1, stages=1, channels=4, image=8)
    network = networks.expand(pair(cell((0, 0, 1, 4)), cell()), config)
    # Stem 3 x 3 x 3 x 4, two 1x1 of the inputs 2 x 4 x 4, twice (9 x 4 depthwise + 4 x 4), and the
    # classifier of 5 x 4 channels with 10 biases.
    assert structure.parameter_count(network) == 108 + 32 + 2 * (36 + 16) + 200 + 10


def test_cells_on_no_path_are_left_out():
    before = cell(*[(0, 0, 0, 4)] * 5)
    # Every normal cell reads the one before the previous: of two in a stage only the second is
    # live, which reads the reduction.
    found = [layer.name for layer in networks.expand(pair(before, cell(BOTH)), SMALL).layers]
    stack = networks.places(SMALL)
    live = [p.name for p in stack if any(name.startswith(f"{p.name}/") for name in found)]
    assert live == [
        "normal1_1", "normal1_2", "reduction1", "normal2_1", "normal2_2", "reduction2", "normal3_2",
    ]  # fmt: skip
    assert not any(name.startswith("normal3_2/input1") for name in found)
    # Of three, no path goes through a reduction.
    three = networks.PairConfig(cells=3, image=8)
    names = [layer.name for layer in networks.expand(pair(before, cell(BOTH)), three).layers]
    assert not any("reduction" in name for name in names)
    shapes.infer(networks.expand(pair(before, cell(BOTH)), three))


def test_all_layers_are_live():
    rows = np.random.default_rng(0).integers(0, strings.sizes(), (20, 40))
    for row in rows:
        network = networks.expand(row, SMALL)
        assert len(structure.live_layers(network)) == len(network.layers)


@pytest.mark.parametrize(("field", "value"), [("cells", 0), ("image", 30), ("batch_size", -1)])
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}; allowed: "):
        networks.PairConfig(**{field: value})


def test_networks_run():
    # Every operation, at stride 1 and 2, and a node that adds one source twice.
    one = cell((0, 0, 1, 1), (0, 2, 1, 3), (0, 4, 0, 4), (3, 1, 2, 3))
    config = networks.PairConfig(cells=1, stages=2, channels=2, image=4, classes=3)
    model = flax_network.build(networks.expand(pair(one, one), config), jax.random.key(0))
    statistics = flax_network.initial_statistics(model)

    @jax.jit
    def run(images: jax.Array) -> jax.Array:
        return flax_network.apply(model, statistics, images, training=False, key=None)[0]

    output = run(jnp.ones((2, 4, 4, 3)))
    assert output.shape == (2, 3)
    np.testing.assert_allclose(jax.nn.softmax(output).sum(1), 1, rtol=1e-5)

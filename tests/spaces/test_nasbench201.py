import csv
import gzip

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.build import flax_network
from greennas_jax.costs import devices, profile, settings, terms
from greennas_jax.spaces import factors, nasbench201
from greennas_jax.spaces import nasbench201_network as networks
from greennas_jax.spaces import nasbench201_strings as strings
from greennas_jax.spec import shapes, structure
from greennas_jax.spec.network import Network, SpecError

SPACE = nasbench201.CellSpace(config=networks.CellConfig(classes=10))
ALL_3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|" + (
    "+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
ALL_SKIP = ALL_3X3.replace("nor_conv_3x3", "skip_connect")
DEAD = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"


def test_public_text_is_read_and_written():
    rng = np.random.default_rng(0)
    for row in rng.integers(0, 5, (50, 6)):
        np.testing.assert_array_equal(SPACE.parse(SPACE.text(row)), row)
    assert not SPACE.parse(ALL_3X3).any()
    assert SPACE.text(SPACE.parse(DEAD)) == DEAD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("|skip_connect~0|", "has 1 nodes; allowed: 3"),
        (ALL_3X3.replace("nor_conv_3x3~0", "sep_conv_3x3~0", 1), "'sep_conv_3x3'; allowed: nor_"),
        (ALL_SKIP.replace("~2", "~1"), "node 3: source '1' of skip_connect; allowed: 2"),
        (ALL_SKIP[1:], "node 1: 'skip_connect~0|'; allowed: 1 of"),
        ("0 0 1 2", "has 1 nodes"),
    ],
)
def test_texts_of_other_spaces_are_refused(text, message):
    with pytest.raises(SpecError, match=message.replace("|", r"\|")):
        SPACE.parse(text)


def test_edges_on_no_path_are_dead():
    # Node 1 leads nowhere; node 2 is an identity before the 1x1 convolution.
    assert strings.live_edges(SPACE.parse(DEAD)) == (False, True, False, True, False, True)
    nothing = SPACE.parse("|none~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|none~2|")
    assert not any(strings.live_edges(nothing)) and not SPACE.connected(nothing)[0]


def test_classes_are_those_of_the_measured_table(shared):
    with gzip.open(shared / "nb201" / "nb201_energy.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    tokens = np.stack([SPACE.parse(row["arch_str"]) for row in rows])
    own = strings.classes()[strings.codes(tokens)]
    theirs = np.array([int(row["rep_arch_idx"]) for row in rows])
    pairs = {(a, b) for a, b in zip(own.tolist(), theirs.tolist(), strict=True)}
    assert len(pairs) == len(set(own.tolist())) == len(set(theirs.tolist())) == 6466
    reached = [row["connected"] == "1" for row in rows]
    np.testing.assert_array_equal(SPACE.connected(tokens), reached)


def test_cells_of_one_function_number_fewer_than_the_classes():
    functions = {strings.function_of(row) for row in SPACE.every()}
    # Zeros dropped and sums flattened: 4,930 functions, one of which is the constant zero.
    assert (len(SPACE.every()), len(functions)) == (6461, 4929)


def test_canonical_strings_are_one_for_each_class():
    every = SPACE.every()
    np.testing.assert_array_equal(SPACE.canonical(every), every)
    # A chain of an identity and a convolution, either way round.
    one = SPACE.parse("|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|")
    other = SPACE.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|")
    np.testing.assert_array_equal(SPACE.canonical(one), SPACE.canonical(other))
    # Dead edges become none.
    found = SPACE.text(SPACE.canonical(SPACE.parse(DEAD))[0])
    assert strings.live_edges(SPACE.parse(found)).count(True) == 3


def norms(network: Network) -> int:
    """Scales and shifts of batch normalisation, which the count of parameters leaves out."""
    found = shapes.infer(network)
    return sum(
        2 * found[layer.name].output[-1]
        for layer in network.layers
        if layer.type == "BatchNorm" or layer.attributes.get("normalizer_fn")
    )


@pytest.mark.parametrize(
    ("text", "published"),
    # Parameters that NAS-Bench-201 states for CIFAR-10, in millions.
    [(ALL_3X3, 1.531546), (ALL_SKIP, 0.073306)],
)
def test_parameters_are_the_published_ones(text, published):
    network = SPACE.decode(SPACE.parse(text))
    assert structure.parameter_count(network) + norms(network) == round(published * 1e6)


def test_networks_encode_to_their_strings():
    for row in SPACE.sample(np.random.default_rng(1), 5):
        np.testing.assert_array_equal(SPACE.encode(SPACE.decode(row)), row)
    with pytest.raises(SpecError, match="no cell of nasbench201"):
        SPACE.encode(SPACE.given.replace(layers=SPACE.given.layers[:-1]))
    with pytest.raises(SpecError, match="'none' cuts every path"):
        SPACE.decode(np.full(6, strings.NONE))


def test_cost_tables_agree_with_profiles():
    device, chosen = devices.load("titan_x"), settings.CostSettings()
    named = [terms.get("flops"), terms.get("energy")]
    found = SPACE.factors(device, named, chosen)
    rows = SPACE.sample(np.random.default_rng(2), 3)
    for row, cost in zip(rows, factors.exact(found, rows.T).T, strict=True):
        totals = profile.profile(SPACE.decode(row), device, chosen)["totals"]
        np.testing.assert_allclose(cost, [totals["flops"], totals["energy_j"]], rtol=1e-12)
    # The expected cost of a coin between two strings that differ in one token is their mean.
    two = np.stack([rows[0], np.where(np.arange(6) == 5, (rows[0] + 1) % 5, rows[0])])
    mean = jnp.asarray(np.eye(5)[two].mean(0), jnp.float32)
    expected = factors.exact(found, two.T).mean(1)
    np.testing.assert_allclose(factors.relaxed(found, mean), expected, rtol=1e-5)


@pytest.mark.slow
def test_networks_run():
    small = nasbench201.CellSpace(config=networks.CellConfig(cells=1, classes=7, image=8))
    text = "|avg_pool_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|nor_conv_1x1~0|none~1|skip_connect~2|"
    model = flax_network.build(small.decode(small.parse(text)), jax.random.key(0))
    images, statistics = jnp.ones((2, 8, 8, 3)), flax_network.initial_statistics(model)
    output, _ = flax_network.apply(model, statistics, images, training=False, key=None)
    assert output.shape == (2, 7)


def test_edits_and_samples_are_networks():
    rows = SPACE.sample(np.random.default_rng(3), 400)
    assert SPACE.connected(rows).all() and len(np.unique(rows, axis=0)) > 300
    line = SPACE.parse("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    edits = SPACE.neighbours(line)
    assert SPACE.connected(edits).all()
    # Of the last edge's identity: three operations (none cuts all paths); of the others
    # what is dead stays the same function but may be a class of its own.
    texts = {SPACE.text(edit) for edit in edits}
    assert any("nor_conv_3x3" in text for text in texts) and SPACE.text(line) not in texts


def test_labels_see_live_paths_alone():
    found = dict(zip(SPACE.label_names, SPACE.labels(SPACE.parse(DEAD))[0], strict=True))
    # Live: a pooling from input to output, and a 1x1 convolution beside it.
    expected = {
        "spatial": 0, "pointwise": 1, "pooled": 1, "paths": 2,
        "weighted_longest": 1, "weighted_mean": 0.5, "weighted_shortest": 0,
        "pooled_longest": 1, "pooled_mean": 0.5,
        "spatial_longest": 0, "field": 0, "identity": 0, "direct": 0,
        "shortcuts": 0,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected

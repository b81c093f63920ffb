import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from greennas_jax.build import flax_network
from greennas_jax.export import weights
from tests.accuracy import networks, transformers
from tests.export import cases


@pytest.fixture(scope="module")
def residual():
    return cases.built(networks.residual())


def test_a_round_trip_is_exact(residual, tmp_path):
    path, again = tmp_path / "w.safetensors", tmp_path / "again.safetensors"
    weights.save(path, *residual)
    other = cases.built(networks.residual(), seed=1)
    found = weights.load(path, *other)
    expected = weights.arrays(*residual)
    for name, value in weights.arrays(*found).items():
        np.testing.assert_array_equal(value, expected[name])
    weights.save(again, *found)
    assert again.read_bytes() == path.read_bytes()
    # The network that was given is as it was.
    kernel = weights.arrays(*other)["stem.kernel"]
    assert not np.array_equal(kernel, expected["stem.kernel"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.safetensors", "w.safetensors"]


def test_names_and_shapes_are_readable(residual):
    found = {name: value.shape for name, value in weights.arrays(*residual).items()}
    assert found["stem.kernel"] == (3, 3, 3, 6)
    assert {name for name in found if name.startswith("stem")} == {
        "stem.kernel",
        "stem_norm.scale",
        "stem_norm.bias",
        "stem_norm.mean",
        "stem_norm.var",
    }
    assert found["fc.kernel"] == (8, 5) and found["fc.bias"] == (5,)
    module, statistics = residual
    moments = statistics["stem"]
    np.testing.assert_array_equal(weights.arrays(*residual)["stem_norm.var"], moments.variance)
    count = flax_network.parameter_count(module)
    trained = [shape for name, shape in found.items() if not name.endswith((".mean", ".var"))]
    assert sum(map(np.prod, trained)) == count


def test_names_of_a_transformer():
    found = weights.arrays(*cases.built(transformers.gpt(blocks=1)))
    attention = {name: a.shape for name, a in found.items() if name.startswith("attend0_mix")}
    # Width 8, 4 heads of 6, keys and values of 2.
    assert attention == {
        "attend0_mix.query.kernel": (8, 4, 6),
        "attend0_mix.key.kernel": (8, 2, 6),
        "attend0_mix.value.kernel": (8, 2, 6),
        "attend0_mix.output.kernel": (4, 6, 8),
    }
    assert not any(name.startswith("head") for name in found)


def test_bad_files_are_one_clear_line(residual, tmp_path):
    path = tmp_path / "w.safetensors"
    whole = weights.arrays(*residual)

    def refused(words, changed=None, data=None):
        path.write_bytes(safetensors_numpy.save(changed) if data is None else data)
        with pytest.raises(weights.WeightsError, match=words) as caught:
            weights.load(path, *residual)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)

    refused("'fc.bias' is missing", {k: v for k, v in whole.items() if k != "fc.bias"})
    refused("'odd' is superfluous", whole | {"odd": np.zeros(1, np.float32)})
    refused(
        r"'fc.bias' is float32 \[4\], where float32 \[5\] is needed",
        whole | {"fc.bias": np.zeros(4, np.float32)},
    )
    refused("'fc.bias' is int32", whole | {"fc.bias": np.zeros(5, np.int32)})
    # Eight convolutions of five weights, and two of the inner product; five are named.
    refused("and 37 more", {})
    refused("not a safetensors file", data=b"")
    refused("not a safetensors file", data=safetensors_numpy.save(whole)[:-4])
    refused("not a safetensors file", data=b"\xff" * 64)
    with pytest.raises(OSError, match="No such file"):
        weights.load(tmp_path / "absent", *residual)

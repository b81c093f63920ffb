import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.build import convolution, pooling
from greennas_jax.spec.network import Layer
from tests.build import numpy_network

CASES = [
    # kernel, strides, padding
    ((2, 2), (2, 2), "VALID"),
    ((3, 3), (2, 2), "SAME"),
    ((3, 2), (1, 2), "SAME"),
    ((3, 3), (3, 3), "VALID"),
    ((7, 9), (1, 1), "VALID"),
    ((3, 3), (2, 2), [1, 1]),
]
WHOLE = 4


def _layer(kind, kernel, strides, padding):
    return Layer(
        name="pool",
        type=kind,
        parents=("data",),
        attributes={"ksize": [1, *kernel, 1], "strides": [1, *strides, 1], "padding": padding},
    )


def _pads(kernel, strides, padding):
    return tuple(
        numpy_network._sides((7, 9)[axis], kernel[axis], strides[axis], padding, axis)[1:]
        for axis in (0, 1)
    )


@pytest.fixture(scope="module")
def computed():
    """Outputs of every case and method, and gradients of the maximum, compiled together."""
    images = jax.random.normal(jax.random.key(0), (3, 7, 9, 4))
    # Whole numbers from 0 to 3 make ties.
    tied = jax.random.randint(jax.random.key(1), (2, 7, 9, 3), 0, 4).astype(jnp.float32)

    def one(images, tied, case, method):
        pads = _pads(*case)

        def scalar(values):
            out = pooling.max_pool(values, case[0], case[1], pads, method)
            return (out * jnp.arange(out.size).reshape(out.shape)).sum()

        return {
            "Pooling": pooling.max_pool(images, case[0], case[1], pads, method),
            "AvgPool": pooling.average_pool(images, case[0], case[1], pads, method),
            "gradient": jax.grad(scalar)(tied),
        }

    @jax.jit
    def everything(images, tied):
        return [{m: one(images, tied, case, m) for m in convolution.METHODS} for case in CASES]

    return np.asarray(images), everything(images, tied)


@pytest.mark.parametrize("method", convolution.METHODS)
@pytest.mark.parametrize("index", range(len(CASES)))
@pytest.mark.parametrize("kind", ["Pooling", "AvgPool"])
def test_pooling_equals_a_numpy_loop(computed, kind, index, method):
    images, found = computed
    expected = numpy_network.pool(images, _layer(kind, *CASES[index]))
    np.testing.assert_allclose(found[index][method][kind], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("index", [i for i in range(len(CASES)) if i != WHOLE])
def test_written_out_gradient_of_the_maximum_goes_to_the_first_as_in_xla(computed, index):
    found = computed[1][index]
    np.testing.assert_allclose(found["im2col"]["gradient"], found["lax"]["gradient"])


def test_average_does_not_count_padding():
    # 3 x 3 windows over a 2 x 2 image with SAME padding see all four values, whatever the window.
    images = jnp.asarray([[1.0, 2.0], [3.0, 6.0]]).reshape(1, 2, 2, 1)
    for method in convolution.METHODS:
        found = pooling.average_pool(images, (3, 3), (1, 1), ((1, 1), (1, 1)), method)
        np.testing.assert_allclose(found.reshape(-1), [3.0] * 4)

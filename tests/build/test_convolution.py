import jax
import jax.numpy as jnp
import numpy as np
import pytest

from greennas_jax.build import convolution, layout
from tests.build import numpy_network

CASES = [
    # kernel, strides, padding, channels, outputs, groups
    ((3, 3), (1, 1), "SAME", 4, 6, 1),
    ((5, 3), (2, 1), "VALID", 3, 5, 1),
    ((1, 1), (1, 1), "VALID", 4, 2, 1),
    ((1, 1), (2, 2), "SAME", 4, 2, 1),
    ((2, 4), (2, 3), "SAME", 2, 3, 1),
    ((3, 3), (2, 2), [1, 2], 4, 8, 2),
    ((3, 3), (1, 2), "SAME", 6, 6, 6),
    ((3, 3), (1, 1), "SAME", 3, 6, 3),
]


def _pads(size, kernel, strides, padding):
    return tuple(
        numpy_network._sides(size[axis], kernel[axis], strides[axis], padding, axis)[1:]
        for axis in (0, 1)
    )


def _run(method, images, kernel, strides, pads, groups):
    order = convolution.layout_of(method)
    out = convolution.convolve(
        layout.from_nhwc(images, order),
        kernel,
        strides=strides,
        pads=pads,
        groups=groups,
        method=method,
    )
    return layout.to_nhwc(out, order)


def _arrays(case):
    kernel_size, strides, padding, channels, outputs, groups = case
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 7, 9, channels)).astype(np.float32)
    kernel = rng.normal(size=(*kernel_size, channels // groups, outputs)).astype(np.float32)
    return images, kernel


@pytest.fixture(scope="module")
def computed():
    """Outputs and gradients of every case and method, compiled together: it takes seconds."""

    def both(images, kernel, case, method):
        kernel_size, strides, padding, _, _, groups = case
        pads = _pads((7, 9), kernel_size, strides, padding)

        def scalar(images, kernel):
            out = _run(method, images, kernel, strides, pads, groups)
            return (out * jnp.arange(out.size).reshape(out.shape) / out.size).sum(), out

        (_, out), gradients = jax.value_and_grad(scalar, (0, 1), has_aux=True)(images, kernel)
        return out, gradients

    @jax.jit
    def everything(arrays):
        return [
            {method: both(*own, case, method) for method in convolution.METHODS}
            for own, case in zip(arrays, CASES, strict=True)
        ]

    return everything([_arrays(case) for case in CASES])


@pytest.mark.parametrize("method", convolution.METHODS)
@pytest.mark.parametrize("index", range(len(CASES)))
def test_convolution_equals_a_numpy_loop(computed, index, method):
    _, strides, padding, _, _, groups = CASES[index]
    expected = numpy_network.convolve(*_arrays(CASES[index]), strides, padding, groups)
    np.testing.assert_allclose(computed[index][method][0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("index", range(len(CASES)))
def test_written_out_gradient_equals_that_of_xla(computed, index):
    found, expected = computed[index]["im2col"][1], computed[index]["lax"][1]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_three_by_three_ones_count_the_live_neighbours():
    # A 3 x 3 kernel of ones over a 3 x 3 image of ones with SAME padding: corners see 4, edges 6.
    images, kernel = jnp.ones((1, 3, 3, 1)), jnp.ones((3, 3, 1, 1))
    for method in convolution.METHODS:
        found = _run(method, images, kernel, (1, 1), ((1, 1), (1, 1)), 1)[0, :, :, 0]
        np.testing.assert_array_equal(found, [[4, 6, 4], [6, 9, 6], [4, 6, 4]])


def test_transposed_is_the_gradient_of_the_convolution():
    strides, kernel_size = (2, 2), (3, 4)
    kernel = jax.random.normal(jax.random.key(2), (*kernel_size, 5, 3))
    seen = jax.random.normal(jax.random.key(3), (2, 4, 4, 3))
    pads = _pads((7, 8), kernel_size, strides, "SAME")

    def transposed(seen, kernel, method):
        order = convolution.layout_of(method)
        out = convolution.convolve_transposed(
            layout.from_nhwc(seen, order),
            kernel,
            strides=strides,
            pads=pads,
            output_size=(7, 8),
            method=method,
        )
        return layout.to_nhwc(out, order)

    @jax.jit
    def all_three(seen, kernel):
        images = jnp.zeros((2, 7, 8, 5))
        _, pull = jax.vjp(lambda images: _run("lax", images, kernel, strides, pads, 1), images)
        return pull(seen)[0], [transposed(seen, kernel, method) for method in convolution.METHODS]

    expected, found = all_three(seen, kernel)
    for one in found:
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="convolution is 'fft'; allowed: lax, im2col"):
        convolution.layout_of("fft")

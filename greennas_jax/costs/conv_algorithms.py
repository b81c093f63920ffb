"""Registry of the ways to compute a convolution.

Shapes: L layers. A way is one file of three functions and one registration below: where it
applies, what it costs, and what the original Paleo counts for it. They must run on numpy and on
JAX arrays alike.
"""

from collections.abc import Callable
from typing import NamedTuple

from greennas_jax.costs import (
    fft_convolution,
    gemm_convolution,
    im2col_convolution,
    layer_table,
    tiled_fft_convolution,
)
from greennas_jax.costs.gradient_layers import Gemm
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.passes import Pass

Array = layer_table.Array

FASTEST = "fastest"
# cuDNN's name.
ALIASES = {"fft_tiling": "tiled_fft"}


class Algorithm(NamedTuple):
    """A way to compute a convolution.

    Attributes:
      name: Its name.
      applies: Which rows it can compute, bool [L]; the others are matrix products.
      amounts: (FLOPs of any of the three passes, bytes beside the tensors), each [L].
      original: What the original counts for a layer or a gradient layer, given the pass's name.
      description: One line.
    """

    name: str
    applies: Callable[[LayerTable], Array]
    amounts: Callable[[LayerTable], tuple[Array, Array]]
    original: Callable[[Gemm, str], Pass]
    description: str


_ALGORITHMS: dict[str, Algorithm] = {}


def register(algorithm: Algorithm) -> Algorithm:
    """Add an algorithm to the registry and return it.

    Raises:
      ValueError: If the name is taken.
    """
    if algorithm.name in (*_ALGORITHMS, *ALIASES, FASTEST):
        raise ValueError(f"convolution algorithm '{algorithm.name}' is already registered")
    _ALGORITHMS[algorithm.name] = algorithm
    return algorithm


def names() -> tuple[str, ...]:
    """Return the names of all algorithms, in the order they were registered."""
    return tuple(_ALGORITHMS)


def choices() -> tuple[str, ...]:
    """Return what may be asked for: an algorithm, or the fastest of those that apply."""
    return (*_ALGORITHMS, FASTEST)


def get(name: str) -> Algorithm:
    """Return an algorithm.

    Raises:
      ValueError: If no algorithm has the name; the known ones are listed.
    """
    if name not in _ALGORITHMS:
        raise ValueError(
            f"convolution algorithm '{name}' is not known; allowed: {', '.join(_ALGORITHMS)}"
        )
    return _ALGORITHMS[name]


def _register(module, name: str, description: str) -> None:
    register(Algorithm(name, module.applies, module.amounts, module.original, description))


_register(gemm_convolution, "gemm", "one matrix product")
_register(fft_convolution, "fft", "Fourier transform of whole images")
_register(tiled_fft_convolution, "tiled_fft", "Fourier transform of tiles of 32 x 32 pixels")
_register(im2col_convolution, "im2col", "a matrix product behind a matrix of columns")

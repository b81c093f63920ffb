"""Large batches of strings costed by all devices together, each its share of them.

Shapes: S symbols, B strings, T positions, V choices at most, K terms.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from greennas_jax.mesh import arrays
from greennas_jax.spaces import factors as cost_factors
from greennas_jax.spaces import symbols as string_costs
from greennas_jax.spaces.factors import Factors
from greennas_jax.spaces.symbols import Layout, SymbolCosts

Array = jax.Array


def room(terms: int, count: int, over: Mesh) -> Array:
    """Return where the first batch's costs go, float32 [K, B], all zero.

    Args:
      terms: K.
      count: B, a multiple of the mesh's size.
      over: The mesh.
    """
    return arrays.placed(np.zeros((terms, count), np.float32), over, arrays.dealt(1))


def exact(costs: SymbolCosts, layout: Layout, over: Mesh) -> Callable[[Array, Array], Array]:
    """Return the compiled function from symbols uint8 [S, B] to costs float32 [K, B].

    It takes, behind the symbols, an array like the result, from `room` or an earlier call, and uses
    it up: batch after batch is costed in the same memory, and no device asks for new pages.

    Args:
      costs: From `symbols.prepare`.
      layout: The layout that the costs were prepared for.
      over: The mesh; B is a multiple of its size, and strings lie as `arrays.dealt(1)` says.
    """

    def own(symbols: Array, into: Array) -> Array:
        del into
        return string_costs.exact(costs, layout, symbols)

    columns = arrays.dealt(1)
    work = own if over.size == 1 else arrays.spread(own, over, (columns, columns), columns)
    return jax.jit(work, donate_argnums=1, keep_unused=True)


def relaxed(factors: Factors, over: Mesh) -> Callable[[Array], tuple[Array, Array]]:
    """Return the compiled function from token probabilities to expected costs and gradients.

    It takes probabilities [B, T, V] and returns the first term's expected cost [B] and what it
    changes by with each of them [B, T, V].

    Args:
      factors: The factors.
      over: The mesh; B is a multiple of its size, and strings lie as `arrays.dealt()` says.
    """
    one = jax.value_and_grad(lambda rows: cost_factors.relaxed(factors, rows)[0])
    own = jax.vmap(one)
    rows = arrays.dealt()
    return jax.jit(own if over.size == 1 else arrays.spread(own, over, (rows,), rows))

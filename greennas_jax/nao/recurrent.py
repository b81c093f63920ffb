"""A long short-term memory cell as a pure Flax module (Hochreiter and Schmidhuber 1997)."""

import jax
import jax.numpy as jnp
from flax import nnx

Carry = tuple[jax.Array, jax.Array]


class Cell(nnx.Module):
    """Gates i, f, g, o from the input and the last output; the forget gate starts open."""

    def __init__(self, inputs: int, width: int, *, rngs: nnx.Rngs):
        self.from_input = nnx.Linear(inputs, 4 * width, rngs=rngs)
        self.from_output = nnx.Linear(width, 4 * width, use_bias=False, rngs=rngs)

    def __call__(self, carry: Carry, inputs: jax.Array) -> Carry:
        """Return the next (output, memory), each float [B, D], from inputs [B, E]."""
        return self.gated(carry, self.from_input(inputs))

    def gated(self, carry: Carry, projected: jax.Array) -> Carry:
        """Return the next (output, memory) from inputs already projected, [B, 4 D]."""
        output, memory = carry
        i, f, g, o = jnp.split(projected + self.from_output(output), 4, axis=-1)
        memory = jax.nn.sigmoid(f + 1.0) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(memory), memory


def run(cell: Cell, carry: Carry, inputs: jax.Array) -> jax.Array:
    """Return the outputs [B, S, D] of a cell over a sequence of inputs [B, S, E]."""
    projected = jnp.swapaxes(cell.from_input(inputs), 0, 1)

    def step(state, projection):
        state = cell.gated(state, projection)
        return state, state[0]

    _, outputs = jax.lax.scan(step, carry, projected)
    return jnp.swapaxes(outputs, 0, 1)


def zeros(batch: int, width: int) -> Carry:
    """Return an empty carry."""
    empty = jnp.zeros((batch, width))
    return empty, empty

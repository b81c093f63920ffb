"""LayerTimes: what each layer takes in each pass.

Shapes: L layers.
"""

import dataclasses

from greennas_jax.costs import layer_table

Array = layer_table.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTimes:
    """Times of every layer and pass [ms], each [L].

    The passes of training are given in inference too; `of_mode` sums those that are made. NaN
    stands where the original Paleo gives no figure. Pipelined, a layer's forward pass, its two
    gradients together and its update each take the longer of computing and moving. What a call
    takes beside its work comes on top.
    """

    forward_compute: Array
    forward_memory: Array
    backward_data_compute: Array
    backward_data_memory: Array
    backward_filter_compute: Array
    backward_filter_memory: Array
    update_compute: Array
    update_memory: Array
    forward_overhead: Array | float = 0.0
    backward_data_overhead: Array | float = 0.0
    backward_filter_overhead: Array | float = 0.0
    update_overhead: Array | float = 0.0
    pipelined: bool = False

    @property
    def forward(self) -> Array:
        """Return the forward pass [ms], [L]."""
        working = self._together(self.forward_compute, self.forward_memory)
        return working + self.forward_overhead

    @property
    def backward(self) -> Array:
        """Return both gradients [ms], [L]."""
        calls = self.backward_data_overhead + self.backward_filter_overhead
        if self.pipelined:
            return calls + self._together(
                self.backward_data_compute + self.backward_filter_compute,
                self.backward_data_memory + self.backward_filter_memory,
            )
        data = self.backward_data_compute + self.backward_data_memory
        return data + (self.backward_filter_compute + self.backward_filter_memory) + calls

    @property
    def update(self) -> Array:
        """Return the parameters' update [ms], [L]."""
        return self._together(self.update_compute, self.update_memory) + self.update_overhead

    def _together(self, compute: Array, memory: Array) -> Array:
        if not self.pipelined:
            return compute + memory
        return layer_table.array_namespace(compute, memory).maximum(compute, memory)

"""The space of edits of any given network: operations, kernels, widths and depth of its layers.

Per layer there are at most four positions: the operation (as given, depthwise-separable, grouped,
bottleneck, skipped, pooled in front), the kernel, the width, and whether its residual block is
there; of an attention its heads, of a feed-forward layer its hidden units, and whether its block is
there. Widths that must be equal share one position. Where a layer's cost would depend on too many
positions at once, some edits are not offered: first skips, then blocks, then widths.

Shapes: n strings, T positions, V choices at most, F labels.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from greennas_jax.costs import layer_table, terms
from greennas_jax.costs.devices import Device
from greennas_jax.costs.settings import CostSettings
from greennas_jax.costs.terms import Term
from greennas_jax.spaces import (
    edits_network,
    edits_plan,
    edits_slots,
    edits_strings,
    edits_values,
    factors,
    values,
)
from greennas_jax.spaces import space as spaces
from greennas_jax.spaces.edits_choices import EditsConfig
from greennas_jax.spaces.edits_plan import Limits, Plan
from greennas_jax.spaces.edits_values import SpaceValues
from greennas_jax.spaces.factors import Factors, Slot
from greennas_jax.spaces.space import Position
from greennas_jax.spec.network import Network

# FLOPs and parameters do not depend on the device.
_ANY_DEVICE = Device(
    name="any",
    clock_mhz=1.0,
    paleo_clock_mhz=1.0,
    peak_gflops=1.0,
    bandwidth_gbs=1.0,
    tdp_w=1.0,
    static_w=0.0,
    pj_per_flop=0.0,
    pj_per_byte=0.0,
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EditSpace:
    """The edits of one network; see `space.Space` for what each method returns.

    Attributes:
      plan: What each layer may become.
      space_values: Every layer's size as a function of tokens.
      slots: What is costed.
      counts: Factors of FLOPs and parameters.
      label_names: Names of the labels, [F].
      limits: What is not offered because a table would grow too large.
    """

    plan: Plan
    space_values: SpaceValues
    slots: tuple[Slot, ...]
    counts: Factors
    label_names: tuple[str, ...]
    limits: Limits

    @property
    def name(self) -> str:
        """The space's name."""
        return f"edits of {self.given.name}"

    @property
    def given(self) -> Network:
        """The network that the string of zeros decodes to."""
        return self.plan.graph.network

    @property
    def positions(self) -> tuple[Position, ...]:
        """The positions, in the order of the tokens."""
        return self.plan.positions

    @property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """The positions of each layer."""
        return self.plan.steps

    @property
    def sizes(self) -> np.ndarray:
        """The number of choices per position, int32 [T]."""
        return np.array([len(position.choices) for position in self.positions], dtype=np.int32)

    @property
    def valid_mask(self) -> np.ndarray:
        """Which tokens are choices, bool [T, V]."""
        return spaces.mask(self.sizes)

    def encode(self, network: Network) -> np.ndarray:
        """Return a network's canonical string, int32 [T].

        Raises:
          SpecError: If the network is no point of the space.
        """
        return edits_network.encode(self.plan, network)

    def decode(self, tokens: np.ndarray) -> Network:
        """Return the network of a string [T]; the string of zeros is the given network.

        Raises:
          SpecError: If a token is no choice.
        """
        return edits_network.decode(self.plan, self.canonical(tokens)[0])

    def canonical(self, tokens: np.ndarray) -> np.ndarray:
        """Return the canonical strings of some strings [n, T], int32 [n, T]."""
        strings = spaces.check(tokens, self.sizes)
        return edits_strings.canonical(self.plan, self.space_values, strings)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return random canonical strings, int32 [n, T]; see `space.draw`."""
        return self.canonical(spaces.draw(rng, self.sizes, n))

    def neighbours(self, tokens: np.ndarray) -> np.ndarray:
        """Return all distinct canonical strings one edit away from a string, int32 [m, T]."""
        return spaces.single_edits(spaces.check(tokens, self.sizes)[0], self.sizes, self.canonical)

    def labels(self, tokens: np.ndarray) -> np.ndarray:
        """Return exact structure labels of some strings [n, T], float64 [n, F]."""
        return edits_strings.labels(
            self.plan, self.space_values, self.counts, self.canonical(tokens)
        )[1]

    def factors(self, device: Device, terms: Sequence[Term], settings: CostSettings) -> Factors:
        """Return the cost of every string as small tables.

        Args:
          device: The device.
          terms: Additive cost terms.
          settings: Settings of the cost functions.
        """
        nodes = self.space_values.nodes
        return factors.fill(
            nodes, self.slots, device, terms, settings, cap=self.plan.config.scope_cap
        )


def build(
    network: Network, *, config: EditsConfig | None = None, batch_size: int | None = None
) -> EditSpace:
    """Return the space of edits of a network.

    Args:
      network: The given network.
      config: What is offered.
      batch_size: Batch size to cost, instead of the network's own.

    Raises:
      SpecError: If the network is not valid, or a name to freeze is not in it.
    """
    config = EditsConfig() if config is None else config
    table = layer_table.from_network(network, batch_size=batch_size)
    limits = Limits()
    while True:
        plan = edits_plan.make(network, config, limits)
        try:
            found = edits_values.find(plan, table)
            slots = edits_slots.make(plan, found, table)
            break
        except values.TooWideError as error:
            limits = edits_plan.narrower(plan, limits, error)
    counted = [terms.get("flops"), terms.get("parameters")]
    counts = factors.fill(found.nodes, slots, _ANY_DEVICE, counted, CostSettings())
    zeros = np.zeros((1, len(plan.positions)), dtype=np.int32)
    names, _ = edits_strings.labels(plan, found, counts, zeros)
    return EditSpace(
        plan=plan,
        space_values=found,
        slots=slots,
        counts=counts,
        label_names=names,
        limits=limits,
    )

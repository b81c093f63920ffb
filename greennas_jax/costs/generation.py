"""What of a network runs when it reads sequences of another length, or makes one more token.

A sequence grows where causal attention runs along it: the inputs that lead to such attention
within the same sequence, and all layers that depend on them. "prefill" runs the whole network over
the lengths its inputs have, a head at every position included. "decode" runs the growing layers
on one new token of each sequence; keys and values of the tokens before it, and of other sequences
attended to, stand in a cache, and what made those sequences (an encoder) does not run again.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from greennas_jax.costs import layer_table
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.settings import WHOLE_MODES
from greennas_jax.spec import sequence_layers
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import (
    SOURCE_TYPE,
    Layer,
    Network,
    SpecError,
    children_of,
    topological_order,
)


class Run(NamedTuple):
    """A network as it runs.

    Attributes:
      network: The network, its inputs as long as they are read.
      lengths: Length of each input that is a sequence, by name.
      context: Tokens that the new one attends to, itself included; 0 unless decoding.
      cached: Positions whose keys and values are read from a cache, by attention.
      idle: Layers that do not run.
    """

    network: Network
    lengths: Mapping[str, int]
    context: int = 0
    cached: Mapping[str, int] = {}
    idle: frozenset[str] = frozenset()

    @property
    def tokens(self) -> int:
        """Return the tokens that are read for each sequence of the batch."""
        return sum(length for name, length in self.lengths.items() if name not in self.idle)


def prepare(
    network: Network, mode: str, sequence_length: int | None = None, context: int | None = None
) -> Run:
    """Return what of a network runs in a mode.

    Args:
      network: A network without ModelParallel.
      mode: One of `settings.MODES`.
      sequence_length: Length of every sequence that is read; by default as in the text.
      context: Tokens that a new one attends to, itself included; by default the length of the
        sequence that grows. For "decode" alone.

    Raises:
      SpecError: If the network reads no sequence, none that grows where one must, or a layer
        cannot take the length.
      ValueError: If a length is not positive or means nothing in the mode.
    """
    for name, value in (("sequence_length", sequence_length), ("context", context)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; allowed: whole numbers from 1")
    if context is not None and mode != "decode":
        raise ValueError(f"context is {context} with mode '{mode}'; it is for mode 'decode' alone")
    lengths = _lengths(network)
    if sequence_length is not None:
        if not lengths:
            raise SpecError(
                f"network '{network.name}' reads neither token numbers nor [batch, sequence, "
                "width]; 'sequence_length' is for networks that do"
            )
        _check_lengths(network, network.layers)
        lengths = dict.fromkeys(lengths, sequence_length)
        network = with_lengths(network, lengths)
    if mode in WHOLE_MODES:
        return Run(network, lengths)
    growing = _growing(network, mode)
    if mode == "prefill":
        return Run(network, lengths)
    return _step(network, lengths, growing, context)


def table(
    run: Run, batch_size: int | None = None, *, compat: shape_rules.Compat = None
) -> LayerTable:
    """Return the table of what runs, rows in topological order.

    An idle layer's row computes, moves and holds nothing.

    Args:
      run: What `prepare` returns.
      batch_size: Replaces the batch size of every input where given.
      compat: "paleo" for the original's shapes where they make no sense.

    Raises:
      SpecError: If shapes disagree or an attribute is malformed.
    """
    found = layer_table.from_network(run.network, batch_size=batch_size, compat=compat)
    if not run.cached:
        return found
    order = [layer.name for layer in topological_order(run.network)]
    idle = np.array([name in run.idle for name in order])
    return found.replace(
        operation=np.where(idle, np.int32(Operation.INPUT), found.operation),
        batch=np.where(idle, 0.0, found.batch),
        cached=np.array([float(run.cached.get(name, 0)) for name in order]),
    )


def _lengths(network: Network) -> dict[str, int]:
    """Return the length of each input that is a sequence, by name."""
    by_name = network.by_name()
    numbers = {
        layer.parents[0]
        for layer in network.layers
        if layer.type == "Embedding" and sequence_layers.embedding(layer).vocabulary
    }
    found = {}
    for name, layer in by_name.items():
        tensor = layer.attributes.get("tensor", ())
        if layer.type == SOURCE_TYPE and (len(tensor) == 3 or name in numbers):
            found[name] = tensor[1]
    return found


def with_lengths(network: Network, lengths: Mapping[str, int]) -> Network:
    """Return a network whose inputs have other lengths.

    Args:
      network: The network.
      lengths: Length of each input that is a sequence, by name.
    """
    layers = []
    for layer in network.layers:
        if layer.name in lengths:
            batch, _, *width = layer.attributes["tensor"]
            layer = layer.with_attributes(tensor=[batch, lengths[layer.name], *width])
        layers.append(layer)
    return network.replace(layers=tuple(layers))


def _check_lengths(network: Network, layers: Sequence[Layer]) -> None:
    """Check that no layer has weights for one length of the sequence.

    Raises:
      SpecError: If one has.
    """
    found = shape_rules.infer(network)
    for layer in layers:
        flattens = layer.type == "InnerProduct" and not layer.attributes.get("per_position")
        if flattens and len(found[layer.name].inputs[0]) == 3:
            raise SpecError(
                f"layer '{layer.name}' (InnerProduct): has weights for a sequence of "
                f"{found[layer.name].inputs[0][1]} and for no other length"
            )


def _growing(network: Network, mode: str) -> tuple[Layer, ...]:
    """Return the layers that run along a growing sequence, in topological order.

    Raises:
      SpecError: If there are none, or one needs what comes later.
    """
    by_name = network.by_name()
    causal = [
        layer
        for layer in network.layers
        if layer.type == "MultiHeadAttention" and sequence_layers.attention(layer).causal
    ]
    if not causal:
        raise SpecError(
            f"network '{network.name}' has no causal MultiHeadAttention, so it makes no tokens one "
            f"after another; mode '{mode}' is for networks that do"
        )
    waiting, seen = [layer.name for layer in causal], set()
    while waiting:
        layer = by_name[waiting.pop()]
        if layer.name not in seen:
            seen.add(layer.name)
            # Of attention to another sequence, the first parent is the one that grows.
            along = layer.parents[:1] if layer.type == "MultiHeadAttention" else layer.parents
            waiting.extend(along)
    children = children_of(network)
    reached = {name for name in seen if by_name[name].type == SOURCE_TYPE}
    order = topological_order(network)
    for layer in order:
        if layer.name in reached:
            reached.update(children[layer.name])
    growing = tuple(layer for layer in order if layer.name in reached)
    for layer in growing:
        _check_grows(layer, reached, mode)
    return growing


def _check_grows(layer: Layer, growing: set[str], mode: str) -> None:
    """Check that a layer's output at one position depends on none behind it.

    Raises:
      SpecError: If it does.
    """
    reason = None
    if layer.type == "SequencePool":
        reason = "makes one vector of a whole sequence"
    elif layer.type == "Embedding" and sequence_layers.embedding(layer).class_token:
        reason = "puts a 'class_token' in front of a sequence"
    elif layer.type == "MultiHeadAttention":
        if len(layer.parents) == 2 and layer.parents[1] in growing:
            reason = "attends to another sequence that grows"
        elif len(layer.parents) == 1 and not sequence_layers.attention(layer).causal:
            reason = "is not causal, so that a new token changes those before it"
    if reason:
        raise SpecError(
            f"layer '{layer.name}' ({layer.type}): {reason}; mode '{mode}' is for networks that "
            "make one token after another"
        )


def _step(
    network: Network, lengths: dict[str, int], growing: tuple[Layer, ...], context: int | None
) -> Run:
    """Return what runs for one more token."""
    _check_lengths(network, growing)
    names = {layer.name for layer in growing}
    grown = [length for name, length in lengths.items() if name in names]
    if not grown:
        raise SpecError(
            f"network '{network.name}' reads neither token numbers nor [batch, sequence, width] "
            "where it grows; mode 'decode' needs one of them"
        )
    tokens = max(grown) if context is None else context
    for layer in growing:
        most = sequence_layers.embedding(layer).positions if layer.type == "Embedding" else 0
        if most and tokens > most:
            raise SpecError(
                f"layer '{layer.name}' (Embedding): a context of {tokens} is longer than its "
                f"{most} 'positions'"
            )
    found = shape_rules.infer(network)
    cached = {
        layer.name: tokens - 1 if len(layer.parents) == 1 else found[layer.name].inputs[1][1]
        for layer in growing
        if layer.type == "MultiHeadAttention"
    }
    step = {name: 1 if name in names else length for name, length in lengths.items()}
    idle = frozenset(layer.name for layer in network.layers if layer.name not in names)
    return Run(with_lengths(network, step), step, tokens, cached, idle)

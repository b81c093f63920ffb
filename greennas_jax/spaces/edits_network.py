"""Token strings to networks and back, for an edits space.

A network is built by one walk in topological order with the shapes it really has; it does not use
the tables that costs are made of.
"""

import math
from collections.abc import Mapping

import numpy as np

from greennas_jax.spaces import edits_choices, edits_graph
from greennas_jax.spaces.edits_plan import LayerPlan, Plan
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec import variants
from greennas_jax.spec.network import Layer, Network, SpecError
from greennas_jax.spec.variants import Variant

Shape = tuple[int, ...]


def variant(plan: Plan, layer: LayerPlan, tokens: np.ndarray, source: Shape) -> Variant:
    """Return how tokens realise a layer that reads a tensor of some shape."""
    operation = layer.operations[tokens[layer.operation] if layer.operation >= 0 else 0]
    if operation == "skip":
        return Variant("skip", (1, 1), 0)
    kernel = layer.kernels[tokens[layer.kernel] if layer.kernel >= 0 else 0]
    if layer.fits_input:
        kernel = source[1], source[2]
    if operation == "pooled":
        kernel = 1, 1
    width = layer.widths[tokens[layer.width] if layer.width >= 0 else 0]
    if layer.follows:
        width = source[-1]
    middle = 0
    if operation == "bottleneck":
        middle = int(edits_choices.middle(plan.config, np.array(source[-1]), np.array(width)))
    groups = plan.config.groups if operation == "grouped" else 1
    return Variant(operation, kernel, width, groups, middle)


def absent(plan: Plan, tokens: np.ndarray) -> dict[str, str]:
    """Return the layers that are not there, each with the layer its readers read instead."""
    found: dict[str, str] = {}
    for join, position in plan.drops.items():
        if tokens[position]:
            shortcut = plan.shortcuts[join]
            found[join] = shortcut.source
            found.update({name: shortcut.source for name in shortcut.inside})
    for name, layer in plan.layers.items():
        if layer.operation >= 0 and layer.operations[tokens[layer.operation]] == "skip":
            found.setdefault(name, plan.graph.layers[name].parents[0])
    return found


def _reader(layer: Layer, gone: Mapping[str, str]) -> Layer:
    """Return a layer with its parents resolved."""
    parents = []
    for parent in layer.parents:
        while parent in gone:
            parent = gone[parent]
        parents.append(parent)
    return layer if tuple(parents) == layer.parents else layer.replace(parents=tuple(parents))


def _fitted(plan: Plan, layer: Layer, source: Shape) -> Layer:
    """Return a layer without choices, fitted to what it reads."""
    if source == plan.graph.shapes[layer.name].inputs[0]:
        return layer
    if edits_graph.is_global_pooling(plan.graph, layer):
        return layer.with_attributes(ksize=[1, source[1], source[2], 1])
    if edits_graph.is_flattening(plan.graph, layer):
        target = layer.attributes["output_shape"]
        return layer.with_attributes(output_shape=[target[0], math.prod(source[1:])])
    return layer


def decode(plan: Plan, tokens: np.ndarray) -> Network:
    """Return the network of a canonical string, int32 [T]."""
    graph = plan.graph
    gone = absent(plan, tokens)
    outputs: dict[str, Shape] = {}
    made: dict[str, tuple[Layer, ...]] = {}
    for given in graph.order:
        if given.name in gone:
            made[given.name] = ()
            continue
        layer = _reader(given, gone)
        sources = tuple(outputs[parent] for parent in layer.parents)
        choice = plan.layers.get(layer.name)
        if choice is not None:
            wanted = variant(plan, choice, tokens, sources[0])
            made[layer.name] = variants.realise(layer, sources[0], wanted)
        elif sources:
            made[layer.name] = (_fitted(plan, layer, sources[0]),)
        else:
            made[layer.name] = (layer,)
        for one in made[layer.name]:
            outputs[one.name] = shape_rules.layer_output(
                one, tuple(outputs[parent] for parent in one.parents)
            )
    layers = tuple(one for layer in graph.network.layers for one in made[layer.name])
    held = {layer.block for layer in layers}
    emptied = {layer.block for layer in graph.network.layers} - held
    blocks = tuple(block for block in graph.network.blocks if block.path not in emptied)
    return graph.network.replace(layers=layers, blocks=blocks)


def _index(layer: Layer, what: str, found: object, choices: tuple) -> int:
    if found not in choices:
        raise SpecError(
            f"layer '{layer.name}': {what} {found!r} is not in this space; allowed: "
            + ", ".join(map(str, choices))
        )
    return choices.index(found)


def encode(plan: Plan, network: Network) -> np.ndarray:
    """Return the canonical string of a network of this space, int32 [T].

    Raises:
      SpecError: If the network is no point of the space; the layer is named.
    """
    layers = network.by_name()
    tokens = np.zeros(len(plan.positions), dtype=np.int32)
    for join, position in plan.drops.items():
        outer = plan.keeps.get(join, ())
        if join not in layers and not tokens[list(outer)].any():
            tokens[position] = 1
    for name, choice in plan.layers.items():
        if choice.mutable and not tokens[list(choice.keeps)].any():
            _encode_layer(plan.graph.layers[name], choice, layers, tokens)
    _check_same(network, decode(plan, tokens))
    return tokens


def _encode_layer(
    given: Layer, choice: LayerPlan, layers: Mapping[str, Layer], tokens: np.ndarray
) -> None:
    """Set the tokens of one layer that is not in a dropped block."""
    found = variants.recognise(given, layers)
    number = _index(given, "operation", found.operation, choice.operations)
    if choice.operation >= 0:
        tokens[choice.operation] = number
    if found.operation == "skip":
        return
    if choice.kernel >= 0:
        tokens[choice.kernel] = _index(given, "kernel", found.kernel, choice.kernels)
    if choice.width >= 0:
        what = choice.inner or "width"
        tokens[choice.width] = _index(given, what, found.width, choice.widths)


def _check_same(network: Network, decoded: Network) -> None:
    """Require that a string decodes to the network that it was read from."""
    wanted, found = network.by_name(), decoded.by_name()
    for name in (*wanted, *found):
        if wanted.get(name) != found.get(name):
            raise SpecError(
                f"network '{network.name}': layer '{name}' is not as this space would have it; "
                "allowed: the given network with the edits that the space offers"
            )

"""A child's template parameters cut to the true shapes of its rebuilt network."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from greennas_jax.accuracy import initial, masks, sequence_slots
from greennas_jax.accuracy import template as templates
from greennas_jax.build import flax_network, graph, registered, sequence
from greennas_jax.spec import variants
from greennas_jax.spec.network import Network

Weights = dict[str, dict[str, np.ndarray]]


def weights(
    template: templates.Template,
    child: masks.Child,
    network: Network,
    parameters: initial.Parameters,
) -> Weights:
    """Return the true-shape weights of a child: by layer of the variant network, by role.

    Args:
      template: The plan.
      child: Arrays of the network on it.
      network: The variant network.
      parameters: The child's template-sized parameters.

    Returns:
      `kernel`, `bias`, `scale` and `shift` as `flax_network` shapes them, and what
      `build.sequence` names the parameters of transformers.
    """
    layers = network.by_name()
    nodes = {node.name: node for node in graph.nodes(network)}
    found: Weights = {}
    for slot in template.slots:
        name = slot.node.name
        if name not in parameters or name not in layers:
            continue
        roles = {role: np.asarray(values) for role, values in parameters[name].items()}
        above = child[slot.node.parents[0]]
        live = child[name]["channels"] > 0
        if slot.node.type in sequence.WEIGHTED:
            reads = [child[parent]["channels"] > 0 for parent in slot.node.parents]
            found[name] = sequence_slots.cut(nodes[name], roles, reads[0], reads[-1], live)
            continue
        if slot.kind == "registered":
            own = registered.is_pointwise(slot.node)
            found[name] = {role: values[live] if own else values for role, values in roles.items()}
            continue
        for layer, kernel in _kernels(slot, child[name], above, roles, layers).items():
            found[layer] = {"kernel": kernel}
        own = found.setdefault(name, {})
        own.update(
            {role: roles[role][live] for role in ("bias", "scale", "shift") if role in roles}
        )
    return found


def assign(module: flax_network.FlaxNetwork, values: Weights) -> None:
    """Set a module's parameters, all of them.

    Args:
      module: From `flax_network.build`.
      values: By layer and role.
    """
    for name, part in module.named_modules().items():
        for role, array in values.get(name, {}).items():
            outer = isinstance(part, flax_network.Linear) and role in ("scale", "shift")
            owner: Any = part.normalization if outer else part  # pyright: ignore[reportAttributeAccessIssue] -- only Linear has one
            getattr(owner, role)[...] = jnp.asarray(array)


def _kernels(
    slot: templates.Slot,
    arrays: dict[str, np.ndarray],
    above: dict[str, np.ndarray],
    roles: dict[str, np.ndarray],
    layers: Any,
) -> dict[str, np.ndarray]:
    """Return true-shape kernels by layer name."""
    name = slot.node.name
    inputs = above["channels"] > 0
    outputs = arrays["channels"] > 0
    if slot.kind == "normalization" or "kernel" not in roles:
        return {}
    if slot.kind == "positionwise":
        return {name: roles["kernel"][inputs][:, outputs]}
    if slot.kind == "deconvolution":
        return {name: roles["kernel"][:, :, outputs][..., inputs]}
    if slot.kind == "dense":
        rows, columns = (1, 1) if arrays["pooled"] else (above["rows"], above["columns"])
        kernel = roles["kernel"][:rows, :columns][:, :, inputs][..., outputs]
        if layers[name].type == "InnerProduct":
            kernel = kernel.reshape(-1, kernel.shape[-1])
        return {name: kernel}
    (top, height), (left, width) = arrays["window"]
    inside = (slice(top, top + height), slice(left, left + width))
    if slot.kind == "depthwise":
        return {name: roles["kernel"][inside][..., None, outputs]}
    branch = templates.BRANCHES[int(arrays["branch"])]
    if branch == "separable":
        depthwise = roles["depthwise"][inside][..., inputs][:, :, None, :]
        pointwise = roles["kernel"][:1, :1][:, :, inputs][..., outputs]
        return {f"{name}/{variants.SUFFIXES[0]}": depthwise, name: pointwise}
    if branch == "bottleneck":
        middle = int(arrays["middle"])
        return {
            f"{name}/reduce": roles["reduce"][None, None, inputs, :middle],
            f"{name}/spatial": roles["spatial"][inside][..., :middle, :middle],
            name: roles["expand"][None, None, :middle][..., outputs],
        }
    kernel = roles["kernel"][inside][:, :, inputs][..., outputs]
    return {name: _grouped(kernel, int(arrays["groups"]))}


def _grouped(kernel: np.ndarray, groups: int) -> np.ndarray:
    """Return the diagonal blocks of a dense kernel [kh, kw, C, O] as [kh, kw, C / G, O]."""
    channels, outputs = kernel.shape[2] // groups, kernel.shape[3] // groups
    blocks = [
        kernel[:, :, g * channels : (g + 1) * channels, g * outputs : (g + 1) * outputs]
        for g in range(groups)
    ]
    return np.concatenate(blocks, axis=-1)

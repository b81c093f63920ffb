"""A child's template parameters cut to the true shapes of its rebuilt network."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from greennas_jax.accuracy import forward, masks
from greennas_jax.accuracy import template as templates
from greennas_jax.build import flax_network
from greennas_jax.spec import variants
from greennas_jax.spec.network import Network


def true_shape(
    template: templates.Template,
    child: masks.Child,
    network: Network,
    parameters: forward.Parameters,
    module: flax_network.FlaxNetwork,
) -> flax_network.FlaxNetwork:
    """Return a rebuilt network's module with the weights that a child has in the template.

    Args:
      template: The plan.
      child: Arrays of the network on it.
      network: The variant network.
      parameters: The child's template-sized parameters.
      module: `flax_network.build(network, ...)`; its own weights are not used.
    """
    modules = module.named_modules()
    layers = network.by_name()
    weights: dict[str, Any] = {}
    for slot in template.slots:
        name = slot.node.name
        if name not in parameters or name not in layers:
            continue
        roles = {role: np.asarray(values) for role, values in parameters[name].items()}
        above = child[slot.node.parents[0]]
        kernels = _kernels(slot, child[name], above, roles, layers)
        live = child[name]["channels"] > 0
        for layer, kernel in kernels.items():
            weights[layer] = {"kernel": kernel}
        weights.setdefault(name, {})
        for role in ("bias", "scale", "shift"):
            if role in roles:
                weights[name][role] = roles[role][live]
    for name, part in modules.items():
        for role, values in weights[name].items():
            owner = (
                part.normalization
                if role in ("scale", "shift") and isinstance(part, flax_network.Linear)
                else part
            )
            getattr(owner, role)[...] = jnp.asarray(values)
    return module


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
    if slot.kind == "normalization":
        return {}
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
    branch = masks.BRANCHES[int(arrays["branch"])]
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

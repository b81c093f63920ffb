"""Weights of a built network as a safetensors file, under the names of its generated source.

`conv1.kernel`, `conv1.bias`, and for a normalisation inside of conv1 `conv1_norm.scale`, `.bias`,
`.mean` and `.var`. Layers on which the logits do not depend are left out.
"""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from greennas_jax.build import flax_network, graph
from greennas_jax.build.flax_network import FlaxNetwork, Moments, Statistics
from greennas_jax.export import names
from greennas_jax.report import tensors

Path = str | os.PathLike[str]
_MOST_NAMED = 5
_PROJECTIONS = ("query", "key", "value", "output", "inner", "gate", "outer")


class WeightsError(ValueError):
    """A file of weights is malformed or belongs to another network."""


def places(module: FlaxNetwork) -> dict[str, tuple[str, str]]:
    """Return for each weight of the file its layer and its role there.

    Roles `mean` and `variance` are batch statistics, the others parameters of the layer's module.

    Args:
      module: From `flax_network.build`.
    """
    written = names.of(module.nodes)
    parts = module.named_modules()
    found = {}
    for node in names.live(module.nodes, module.logits):
        if node.name in parts:
            for weight, role in _of_layer(node, parts[node.name], written):
                found[weight] = (node.name, role)
    return found


def _of_layer(
    node: graph.Node, part: flax_network.Module, written: names.Names
) -> list[tuple[str, str]]:
    own, extra = written.layers[node.name], written.extras.get(node.name, "")
    if isinstance(part, flax_network.Normalization):
        return _normalization(own)
    if isinstance(part, flax_network.Linear):
        found = [] if part.kernel is None else [(f"{own}.kernel", "kernel")]
        if part.bias is not None:
            found.append((extra if part.kernel is None else f"{own}.bias", "bias"))
        return found + ([] if part.normalization is None else _normalization(extra))
    return [(_sequence_name(node, role, own, extra), role) for role in part.names]


def _normalization(name: str) -> list[tuple[str, str]]:
    roles = {"scale": "scale", "bias": "shift", "mean": "mean", "var": "variance"}
    return [(f"{name}.{weight}", role) for weight, role in roles.items()]


def _sequence_name(node: graph.Node, role: str, own: str, extra: str) -> str:
    """Return the name of a parameter of a layer of a transformer."""
    if node.type == "LayerNorm" and role == "shift":
        return extra or f"{own}.bias"
    if role in _PROJECTIONS:
        return f"{own}.{role}.kernel"
    if role.endswith("_bias"):
        return f"{own}.{role.removesuffix('_bias')}.bias"
    if role == "bias":
        return f"{own}.{'output' if node.type == 'MultiHeadAttention' else 'outer'}.bias"
    return f"{own}.{role}"


def arrays(module: FlaxNetwork, statistics: Statistics) -> dict[str, np.ndarray]:
    """Return all weights by name: float32.

    Args:
      module: From `flax_network.build`.
      statistics: Its batch statistics.
    """
    found = {}
    for name, (layer, role) in places(module).items():
        if role in Moments._fields:
            value = getattr(statistics[layer], role)
        else:
            value = _parameter(module, layer, role)[...]
        found[name] = np.ascontiguousarray(value)
    return found


def _parameter(module: FlaxNetwork, layer: str, role: str) -> Any:
    part: Any = module.named_modules()[layer]
    if isinstance(part, flax_network.Linear) and role in ("scale", "shift"):
        part = part.normalization
    return getattr(part, role)


def placed(
    module: FlaxNetwork, statistics: Statistics, weights: dict[str, np.ndarray]
) -> tuple[FlaxNetwork, Statistics]:
    """Return a network and its statistics with other weights.

    Args:
      module: From `flax_network.build`; it stays as it is.
      statistics: Its batch statistics.
      weights: As `arrays` returns them.

    Raises:
      WeightsError: If one is missing, superfluous, or of another shape or type.
    """
    wanted = arrays(module, statistics)
    faults = [f"'{name}' is missing" for name in wanted if name not in weights]
    faults += [f"'{name}' is superfluous" for name in weights if name not in wanted]
    for name, value in wanted.items():
        found = weights.get(name)
        if found is not None and (found.shape, found.dtype) != (value.shape, value.dtype):
            told = f"{found.dtype} {list(found.shape)}"
            faults.append(f"'{name}' is {told}, where {value.dtype} {list(value.shape)} is needed")
    if faults:
        more = len(faults) - _MOST_NAMED
        told = "; ".join(faults[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
        raise WeightsError(f"these are not the network's weights: {told}")
    module = jax.tree.map(lambda leaf: leaf, module)
    statistics = dict(statistics)
    for name, (layer, role) in places(module).items():
        value = jnp.asarray(weights[name])
        if role in Moments._fields:
            statistics[layer] = statistics[layer]._replace(**{role: value})
        else:
            _parameter(module, layer, role)[...] = value
    return module, statistics


def save(path: Path, module: FlaxNetwork, statistics: Statistics) -> None:
    """Write all weights as a safetensors file that appears when it is whole.

    Args:
      path: The file.
      module: From `flax_network.build`.
      statistics: Its batch statistics.

    Raises:
      OSError: If it cannot be written.
    """
    tensors.write(path, arrays(module, statistics))


def load(path: Path, module: FlaxNetwork, statistics: Statistics) -> tuple[FlaxNetwork, Statistics]:
    """Return a network and its statistics with the weights of a file.

    Args:
      path: What `save` wrote, of a network of the same shapes.
      module: From `flax_network.build`; it stays as it is.
      statistics: Its batch statistics.

    Raises:
      WeightsError: If the file is malformed, or a weight is missing, superfluous, or of another
        shape or type; the file is named.
      OSError: If it cannot be read.
    """
    try:
        found, _ = tensors.read(path)
    except tensors.TensorsError as error:
        raise WeightsError(f"{os.fspath(path)}: not a safetensors file ({error})") from None
    try:
        return placed(module, statistics, found)
    except WeightsError as error:
        raise WeightsError(f"{os.fspath(path)}: {error}") from None

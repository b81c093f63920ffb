"""Paleo's JSON: text to `Network` and back.

A text is an object with `name` and `layers`; each layer has `type`, `parents` and its own keys. A
`Block` holds layers of its own, which are named `block/layer` outside it: those without parents
read the block's parents, and a layer anywhere in the file may read the block's `endpoint` by the
block's name (Qi, Sparks and Talwalkar, "Paleo: A performance model for deep neural networks", ICLR
2017). A `ModelParallel` is kept as text, which `parallel.expand` writes out. Keys that mean nothing
here are kept as well.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from greennas_jax.spec import layer_types, limits, shapes, strict_json, text_files
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec.network import (
    PARALLEL_TYPE,
    SOURCE_TYPE,
    Block,
    Layer,
    Network,
    SpecError,
    check_graph,
    shown,
)

BLOCK_TYPE = "Block"
MOST_LAYERS = limits.MOST_LAYERS
MOST_PARENTS = limits.MOST_PARENTS
LONGEST_NAME = limits.LONGEST_NAME


def load(path: str | os.PathLike[str], *, strict: bool = False) -> Network:
    """Read a network from a file.

    Args:
      path: A UTF-8 file in Paleo's JSON, within the limits of `limits`.
      strict: Whether to refuse layer types that are not known.

    Raises:
      SpecError: If the text or its network is not valid, or not known where that is asked; the
        path is named.
      OSError: If the file cannot be read.
    """
    origin = os.fspath(path)
    try:
        text = text_files.read(path, limits.LARGEST_JSON)
    except text_files.FileError as error:
        raise SpecError(str(error)) from None
    network = read(text, origin=origin)
    unknown = unknown_types(network)
    if strict and unknown:
        kind, names = next(iter(unknown.items()))
        raise SpecError(
            f"{origin}: layer '{names[0]}' has type '{kind}', which is not known; without --strict "
            "it costs one read and one write of its tensor"
        )
    return network


def read(text: str, *, origin: str = "<text>") -> Network:
    """Read a network from text, and check its graph and its shapes.

    The shapes of a network that holds a ModelParallel are not checked before it is expanded.

    Args:
      text: Paleo's JSON.
      origin: Where the text came from, for messages.

    Raises:
      SpecError: If the text, the graph or the shapes are not valid; one line says what, where and
        what is allowed.

    Examples:
      >>> layers = '"data": {"type": "Input", "parents": [], "tensor": [2, 8]}'
      >>> network = read('{"name": "small", "layers": {' + layers + '}}')
      >>> [(layer.name, layer.type) for layer in network.layers]
      [('data', 'Input')]
      >>> read('{"layers": {"fc": {"type": "InnerProduct", "parents": ["data"]}}}')
      Traceback (most recent call last):
      greennas_jax.spec.network.SpecError: ...: no layer of type 'Input'; one is needed
    """
    try:
        network = _network(strict_json.parse(text))
        check_graph(network)
        if not any(layer.type == PARALLEL_TYPE for layer in network.layers):
            shapes.infer(network)
    except SpecError as error:
        raise SpecError(f"{origin}: {error}") from None
    return network


def unknown_types(network: Network) -> dict[str, tuple[str, ...]]:
    """Return the layer types that are passed through unread, each with its layers' names."""
    found: dict[str, list[str]] = {}
    for layer in network.layers:
        known = (*layer_views.KNOWN_TYPES, PARALLEL_TYPE, *layer_types.names())
        if layer.type not in known:
            found.setdefault(layer.type, []).append(layer.name)
    return {kind: tuple(names) for kind, names in found.items()}


def _check_name(what: str, name: Any) -> str:
    """Return a name that may stand in a message of one line."""
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise SpecError(
            f"{what} is {shown(name)}; allowed: 1 to {LONGEST_NAME} printable characters"
        )
    return name


def _check_layers(where: str, value: Any) -> dict[str, dict[str, Any]]:
    """Return a `layers` object whose entries all have a type and a list of parents."""
    if not isinstance(value, dict) or not value:
        raise SpecError(f"{where}: 'layers' is {shown(value)}; an object of layers is needed")
    for name, entry in value.items():
        _check_name(f"{where}: a layer's name", name)
        place = f"layer '{name}'" if where == "network" else f"{where}, layer '{name}'"
        if not isinstance(entry, dict):
            raise SpecError(f"{place} is {shown(entry)}; an object is needed")
        if "type" not in entry:
            raise SpecError(f"{place}: 'type' is missing; a layer type is needed")
        _check_name(f"{place}: 'type'", entry["type"])
        if "parents" not in entry and entry["type"] != SOURCE_TYPE:
            raise SpecError(f"{place}: 'parents' is missing; a list of layer names is needed")
        parents = entry.get("parents", [])
        if not isinstance(parents, list):
            raise SpecError(
                f"{place}: 'parents' is {shown(parents)}; a list of layer names is needed"
            )
        for parent in parents:
            _check_name(f"{place}: a parent", parent)
    return value


def _check_container(name: str, entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the checked layers of a Block or ModelParallel."""
    kind = entry["type"]
    where = f"{kind} '{name}'"
    inside = _check_layers(where, entry.get("layers"))
    for sub, child in inside.items():
        _check_name(f"{where}: a layer's name", f"{name}/{sub}")
        if child["type"] in (BLOCK_TYPE, PARALLEL_TYPE):
            raise SpecError(
                f"{where}, layer '{sub}' is a {child['type']}; a {kind} may hold plain layers only"
            )
        for parent in child.get("parents", []):
            local = parent.partition("@")[0] if kind == PARALLEL_TYPE else parent
            if local not in inside:
                raise SpecError(
                    f"layer '{name}/{sub}': parent '{parent}' is not a layer of {where}; inside "
                    f"it, allowed are its own layers, or an empty list for the {kind}'s parents"
                )
    if kind == PARALLEL_TYPE:
        splits = entry.get("splits", 0)
        if not layer_views.is_integer(splits) or not 1 <= splits <= layer_views.LARGEST_SIZE:
            raise SpecError(f"{where}: 'splits' is {shown(splits)}; a whole number from 1 needed")
    elif entry.get("endpoint") is not None and entry["endpoint"] not in list(inside):
        raise SpecError(
            f"{where}: 'endpoint' is {shown(entry['endpoint'])}; one of its layers is needed"
        )
    return inside


def _rest(entry: Mapping[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in known}


def _network(raw: Any) -> Network:
    """Return the network of a parsed text."""
    if not isinstance(raw, dict):
        raise SpecError(f"the text is {shown(raw)}; an object with 'name' and 'layers' is needed")
    if "layers" not in raw:
        raise SpecError("'layers' is missing; an object of layers is needed")
    name = _check_name("'name'", raw.get("name", "network"))
    entries = _check_layers("network", raw["layers"])
    containers = {
        path: _check_container(path, entry)
        for path, entry in entries.items()
        if entry["type"] in (BLOCK_TYPE, PARALLEL_TYPE)
    }
    count = len(entries) + sum(map(len, containers.values()))
    if count > MOST_LAYERS:
        raise SpecError(f"'layers' has {count} layers; at most {MOST_LAYERS} are read")
    every = [*entries.values(), *(one for inside in containers.values() for one in inside.values())]
    read = sum(len(entry.get("parents", ())) for entry in every)
    if read > MOST_PARENTS:
        raise SpecError(f"the layers have {read} parents in all; at most {MOST_PARENTS} are read")
    endpoints = {
        path: entry.get("endpoint")
        for path, entry in entries.items()
        if entry["type"] == BLOCK_TYPE
    }

    layers: list[Layer] = []
    blocks: list[Block] = []
    for path, entry in entries.items():
        parents = tuple(entry.get("parents", ()))
        _check_endpoints(path, parents, endpoints)
        outer = _resolve(parents, endpoints)
        if path in endpoints:
            blocks.append(_block(path, entry))
            layers.extend(_block_layers(path, containers[path], outer))
            continue
        spelling = None if outer == parents else parents
        rest = _rest(entry, "type", "parents")
        layers.append(
            Layer(name=path, type=entry["type"], parents=outer, attributes=rest, spelling=spelling)
        )
    for clash in endpoints.keys() & {layer.name for layer in layers}:
        raise SpecError(f"'{clash}' names a Block and a layer; names must differ")
    return Network(
        name=name,
        layers=tuple(layers),
        blocks=tuple(blocks),
        attributes=_rest(raw, "name", "layers"),
    )


def _check_endpoints(
    reader: str, parents: Sequence[str], endpoints: Mapping[str, str | None]
) -> None:
    for parent in parents:
        if parent in endpoints and endpoints[parent] is None:
            raise SpecError(
                f"layer '{reader}': parent '{parent}' is a Block without 'endpoint'; name a "
                f"layer of it as '{parent}/LAYER', or give it an endpoint"
            )


def _block(path: str, entry: Mapping[str, Any]) -> Block:
    """Return the record of a block; an endpoint of null stays among the attributes."""
    endpoint = entry.get("endpoint")
    told = ("type", "parents", "layers", *(() if endpoint is None else ("endpoint",)))
    return Block(
        path=path,
        parents=tuple(entry["parents"]),
        endpoint=endpoint,
        attributes=_rest(entry, *told),
    )


def _resolve(parents: Sequence[str], endpoints: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return parents with each block's name replaced by its endpoint's."""
    return tuple(f"{p}/{endpoints[p]}" if endpoints.get(p) else p for p in parents)


def _block_layers(
    path: str, inside: Mapping[str, Mapping[str, Any]], outer: tuple[str, ...]
) -> list[Layer]:
    """Return the layers of a block, named and re-parented for outside it."""
    return [
        Layer(
            name=f"{path}/{sub}",
            type=entry["type"],
            parents=tuple(f"{path}/{p}" for p in entry.get("parents", [])) or outer,
            attributes=_rest(entry, "type", "parents"),
            block=path,
        )
        for sub, entry in inside.items()
    ]


def write(network: Network) -> str:
    """Write a network as Paleo's JSON, one layer a line.

    A block whose layers cannot be told as a Block any more is written flat, as layers named
    `block/layer`: when a layer reads the block's inside and outside at once, when the layers that
    read the outside differ in what they read, or when the block's layers no longer stand together.
    Reading the text gives the same layers in the same order; only `Layer.block` and `Block` records
    of such blocks are gone.

    Raises:
      SpecError: If the graph or a name is not valid, or an attribute is no JSON value.
    """
    check_graph(network)
    _check_name("the network's name", network.name)
    for layer in network.layers:
        _check_name("a layer's name", layer.name)
    names = {layer.name for layer in network.layers}
    blocks = {b.path: b for b in network.blocks if b.path not in names}
    groups = _groups(network.layers)
    kept = {
        path: outer
        for path, group in groups.items()
        if path in blocks and (outer := _outer_parents(path, group)) is not None
    }
    endpoints = {path: _endpoint(blocks[path], groups[path]) for path in kept}

    def told(parents: tuple[str, ...], spelling: tuple[str, ...] | None) -> list[str]:
        same = spelling is not None and _resolve(spelling, endpoints) == parents
        return list(spelling if same and spelling is not None else parents)

    lines: list[str] = []
    done: set[str] = set()
    for layer in network.layers:
        if layer.block not in kept:
            lines.append(_line(layer.name, _entry(layer, told(layer.parents, layer.spelling))))
        elif layer.block not in done:
            done.add(layer.block)
            block = blocks[layer.block]
            outer = told(kept[block.path], block.parents)
            lines.append(_block_text(block, groups[block.path], outer, endpoints[block.path]))
    head = {"name": network.name, **_rest(network.attributes, "name", "layers")}
    top = [f"  {_json(key, key)}: {_json(key, value)}" for key, value in head.items()]
    body = ",\n".join(f"    {line}" for line in lines)
    return "{\n" + ",\n".join([*top, '  "layers": {\n' + body + "\n  }"]) + "\n}\n"


def _groups(layers: tuple[Layer, ...]) -> dict[str, list[Layer]]:
    """Return the layers of each block whose layers stand together."""
    groups: dict[str, list[Layer]] = {}
    scattered: set[str] = set()
    previous = ""
    for layer in layers:
        if layer.block and layer.block in groups and layer.block != previous:
            scattered.add(layer.block)
        if layer.block:
            groups.setdefault(layer.block, []).append(layer)
        previous = layer.block
    return {path: group for path, group in groups.items() if path not in scattered}


def _outer_parents(path: str, group: list[Layer]) -> tuple[str, ...] | None:
    """Return what a block reads from outside, or None if it cannot be told as a Block."""
    inside = {layer.name for layer in group}
    outer: set[tuple[str, ...]] = set()
    for layer in group:
        if not layer.name.startswith(f"{path}/") or layer.name == f"{path}/":
            return None
        if layer.type in (BLOCK_TYPE, PARALLEL_TYPE):
            return None
        # Some layer reads the outside only, so one that reads both sides makes a second entry.
        if not layer.parents or not inside.issuperset(layer.parents):
            outer.add(layer.parents)
    return outer.pop() if len(outer) == 1 else None


def _endpoint(block: Block, group: list[Layer]) -> str | None:
    """Return the block's endpoint: its own or, where that layer is gone, the last one unread."""
    local = {layer.name: layer.name[len(block.path) + 1 :] for layer in group}
    if block.endpoint is None or block.endpoint in local.values():
        return block.endpoint
    read_inside = {parent for layer in group for parent in layer.parents}
    return [end for name, end in local.items() if name not in read_inside][-1]


def _entry(layer: Layer, parents: list[str]) -> dict[str, Any]:
    return {
        "type": layer.type,
        "parents": parents,
        **_rest(layer.attributes, "type", "parents"),
    }


def _block_text(block: Block, group: list[Layer], parents: list[str], endpoint: str | None) -> str:
    """Return a block's text, one of its layers a line."""
    cut = len(block.path) + 1
    inside = {layer.name for layer in group}
    lines = []
    for layer in group:
        local = [parent[cut:] for parent in layer.parents if parent in inside]
        lines.append(f"        {_line(layer.name[cut:], _entry(layer, local))}")
    head: dict[str, Any] = {"type": BLOCK_TYPE, "parents": parents}
    if endpoint is not None:
        head["endpoint"] = endpoint
    head |= _rest(block.attributes, "layers", *head)
    told = ", ".join(f"{_json(block.path, k)}: {_json(block.path, v)}" for k, v in head.items())
    body = ",\n".join(lines)
    name = _json(block.path, block.path)
    return f'{name}: {{\n      {told},\n      "layers": {{\n{body}\n      }}\n    }}'


def _line(name: str, entry: Mapping[str, Any]) -> str:
    return f"{_json(name, name)}: {_json(name, dict(entry))}"


def _json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecError(f"'{name}' cannot be written as JSON: {error}") from None

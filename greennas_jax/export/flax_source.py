"""Network -> the text of a Flax file that stands alone.

The file imports JAX and Flax, and safetensors where weights are loaded. Its class computes what the
built network computes, in NHWC, logits at the end; its attributes carry the layers' names.
"""

import inspect
import re

from greennas_jax.build import graph
from greennas_jax.export import blocks, flax_layers, lines, names
from greennas_jax.export.flax_layers import Written
from greennas_jax.export.lines import Expression
from greennas_jax.spec.network import Network

_LONGEST_VARIABLE = 24
_LONGEST_CLASS = 40


def write(network: Network) -> str:
    """Return the source of a network.

    Its `create(key)` draws weights of about the variances that `build` gives, not the same weights.

    Args:
      network: A network with one input.

    Raises:
      SpecError: If a layer cannot be executed, or has no counterpart in Flax.
    """
    logits = graph.logits_layer(network)
    nodes = graph.nodes(network)
    written = Written(names.of(nodes), graph.initial_gains(nodes))
    nodes = names.live(nodes, logits)
    parts = _blocks(nodes)
    title = class_name(network, parts)
    call = _call(nodes, written, logits)
    shapes = _shapes(nodes, logits)
    body = [
        f"class {title}(nnx.Module):",
        f'    """{shapes}."""',
        "",
        "    def __init__(self, rngs: nnx.Rngs):",
        *_constructor(nodes, written),
        "",
        *_signature(nodes),
        *call,
    ]
    sources = [inspect.getsource(getattr(blocks, part)).rstrip() for part in parts]
    functions = [_CREATE.format(title=title), inspect.getsource(blocks.fill).rstrip()]
    functions.append(_LOAD.format(title=title))
    rest = "\n\n\n".join([*sources, "\n".join(body), *functions]) + "\n"
    return _head(title, shapes) + rest


_CREATE = '''def create(key: jax.Array) -> {title}:
    """Return the network with freshly drawn weights."""
    return {title}(nnx.Rngs(key))'''

_LOAD = '''def load(path: str) -> {title}:
    """Return the network with the weights of a safetensors file."""
    network = nnx.eval_shape(create, jax.random.key(0))
    fill(network, path)
    return network'''


def _head(title: str, shapes: str) -> str:
    """Return the docstring and the imports."""
    found = [
        f'"""{title} in Flax.',
        "",
        '    network = load("weights.safetensors")  # or create(jax.random.key(0))',
        "    logits = network(x)",
        "",
        f"{shapes}.",
        '"""',
        "",
    ]
    found += ["import jax", "import jax.numpy as jnp", "from flax import nnx", "", "", ""]
    return "\n".join(found)


def class_name(network: Network, taken: list[str]) -> str:
    """Return a network's name as the name of a class.

    Args:
      network: The network.
      taken: Names that the file uses already.
    """
    words = re.findall(r"[A-Za-z0-9]+", network.name)
    found = "".join(word[:1].upper() + word[1:] for word in words)[:_LONGEST_CLASS]
    if not found or found[0].isdigit():
        found = f"Network{found}"[:_LONGEST_CLASS]
    return f"{found}Network" if found in (*taken, "None", "True", "False") else found


def _blocks(nodes: tuple[graph.Node, ...]) -> list[str]:
    """Return the names of the parts of `blocks` that nodes need, those in front first."""
    kinds = {node.type for node in nodes}
    found = [
        *(["local_response"] if "LRN" in kinds else []),
        *(["Embedding"] if "Embedding" in kinds else []),
    ]
    feeds = [node.view.gated for node in nodes if node.type == "FeedForward"]
    if feeds:
        found += ["FeedForward", *(["GatedFeedForward"] if any(feeds) else [])]
    heads = {
        flax_layers.attention_block(node) for node in nodes if node.type == "MultiHeadAttention"
    }
    for part in ("Attention", "RotaryAttention", "RelativeAttention", "RotaryRelativeAttention"):
        if any(issubclass(getattr(blocks, name), getattr(blocks, part)) for name in heads):
            found.append(part)
    return found


def _shapes(nodes: tuple[graph.Node, ...], logits: str) -> str:
    """Return what the network reads and gives, in words."""
    entry = next(node for node in nodes if node.type == "Input").output
    tokens = graph.vocabulary(nodes)
    outputs = next(node for node in nodes if node.name == logits).output
    inward = ", ".join(["N", *map(str, entry[1:])])
    kind = f"int32 token numbers below {tokens}" if tokens else "float32"
    return f"From {kind} [{inward}] to logits float32 [N, {outputs[-1]}]"


def _constructor(nodes: tuple[graph.Node, ...], written: Written) -> list[str]:
    """Return the lines of the constructor's body."""
    found = []
    for node in nodes:
        made = [] if _is_idle(node) else flax_layers.modules(node, written)
        for attribute, module in made:
            found += lines.statement(f"self.{attribute} = ", module)
    if any("kernel_init=he," in line for line in found):
        found.insert(0, f"        he = {flax_layers.HE}")
    return found or ["        pass"]


def _is_idle(node: graph.Node) -> bool:
    """Return whether a node passes its input on, activation aside."""
    return node.type == "Input" or (node.type == "Dropout" and node.view >= 1.0)


def _signature(nodes: tuple[graph.Node, ...]) -> list[str]:
    """Return the head of the call: what it takes depends on what training changes."""
    drops = any(node.type == "Dropout" and not _is_idle(node) for node in nodes)
    trains = drops or any(
        node.type == "BatchNorm" or names.extra_of(node) == "norm" for node in nodes
    )
    if drops:
        given = "self, x: jax.Array, *, training: bool = False, rngs: nnx.Rngs | None = None"
        return ["    def __call__(", f"        {given}", "    ) -> jax.Array:"]
    more = ", *, training: bool = False" if trains else ""
    return [f"    def __call__(self, x: jax.Array{more}) -> jax.Array:"]


def _variables(nodes: tuple[graph.Node, ...], written: Written) -> dict[str, str]:
    """Return the variable of each node's output: `x` where only the next node reads it."""
    place = {node.name: index for index, node in enumerate(nodes)}
    last = {node.name: place[node.name] for node in nodes}
    for node in nodes:
        for parent in node.parents:
            last[parent] = max(last[parent], place[node.name])
    taken: set[str] = {*names.RESERVED}
    found: dict[str, str] = {}
    holder = None
    for index, node in enumerate(nodes):
        free = holder is None or last[holder] <= index
        if free and last[node.name] <= index + 1:
            found[node.name], holder = "x", node.name
        elif node.type == "Input":
            found[node.name], holder = "x", node.name
        else:
            wanted = written.names.layers[node.name]
            if len(wanted) > _LONGEST_VARIABLE:
                wanted = wanted[:_LONGEST_VARIABLE].rstrip("_")
            found[node.name] = names.unique(wanted, taken)
    return found


def _call(nodes: tuple[graph.Node, ...], written: Written, logits: str) -> list[str]:
    """Return the lines of the call's body."""
    variables = _variables(nodes, written)
    found: list[tuple[str, Expression]] = []
    for node in nodes:
        target = variables[node.name]
        inputs = [variables[parent] for parent in node.parents]
        steps = [] if _is_idle(node) else flax_layers.steps(node, written, inputs, target)
        source = inputs[0] if inputs else "x"
        found += [(target, step) for step in _activated(node, steps, source, target)]
    end = next(node for node in nodes if node.name == logits)
    means = flax_layers.positions_mean(variables[logits], len(end.output))
    found += [(variables[logits], step) for step in means]
    body = [line for target, step in found[:-1] for line in lines.statement(f"{target} = ", step)]
    return [*body, *lines.statement("return ", found[-1][1] if found else "x")]


def _activated(
    node: graph.Node, steps: list[Expression], source: str, target: str
) -> list[Expression]:
    """Return expressions with the activation around the last, or behind it where it is long."""
    if node.activation is None:
        return steps or ([] if source == target else [source])
    function = flax_layers.ACTIVATIONS[node.activation]
    if not steps:
        return [lines.call(function, source)]
    whole = lines.call(function, steps[-1])
    if lines.fits(f"{target} = ", whole):
        return [*steps[:-1], whole]
    return [*steps, lines.call(function, target)]

"""Random variants of a given network, drawn without the search spaces."""

import numpy as np

from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import network as networks
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec import variants

WEIGHTED = ("Convolution", "InnerProduct")


def _width_classes(given):
    """Return for each layer the class of its width, and the classes that must stay as given."""
    shapes = shape_rules.infer(given)
    parent_of = {}

    def find(name):
        while parent_of.get(name, name) != name:
            name = parent_of[name]
        return name

    source, fixed = {}, set()
    for layer in networks.topological_order(given):
        name = layer.name
        inputs = shapes[name].inputs[0] if layer.parents else None
        if layer.type in WEIGHTED and not variants.is_depthwise(layer, inputs):
            source[name] = name
        elif layer.type in ("Input", "Concatenate", "Reshape", "Deconvolution"):
            source[name] = name
            fixed.add(name)
        else:
            source[name] = source[layer.parents[0]]
            for parent in layer.parents[1:]:
                parent_of[find(source[parent])] = find(source[name])
        if layer.type in ("Deconvolution",) or (
            layer.type == "Reshape" and len(shapes[name].output) == 4
        ):
            fixed.add(source[layer.parents[0]])
    for end in networks.sinks(given):
        fixed.add(source[end.name])
    tied = {find(name) for name in parent_of}
    return {n: find(s) for n, s in source.items()}, {find(name) for name in fixed}, tied


def _kernel(rng, kernel, may_shrink):
    if not may_shrink or kernel == (1, 1):
        return kernel
    size = rng.choice([k for k in range(1, max(kernel) + 1, 2)])
    return tuple(min(k, int(size)) for k in kernel) if rng.random() < 0.6 else kernel


def _choose(rng, layer, shape, width, resizing):
    """Return a random variant of one layer that reads a given shape."""
    if layer.type == "InnerProduct":
        spatial = len(shape) == 4 and shape[1] * shape[2] > 1
        operation = rng.choice(["given", "pooled"]) if spatial else "given"
        return variants.Variant(str(operation), (1, 1), width)
    view = layer_views.convolution(layer)
    kernel = _kernel(rng, view.kernel, resizing or view.padding == "SAME")
    kernel = tuple(
        min(k, s) if view.padding == "VALID" else k for k, s in zip(kernel, shape[1:3], strict=True)
    )
    if view.groups > 1:
        return variants.Variant("given", kernel, width)
    operation = str(rng.choice(["given", "given", "separable", "grouped", "bottleneck"]))
    narrower = min(shape[3], width)
    middle = int(rng.integers(1, max(1, narrower // 2) + 1)) if operation == "bottleneck" else 0
    groups = 4 if operation == "grouped" else 1
    return variants.Variant(operation, kernel, width, groups, middle)


def _dropped(rng, given, rate):
    """Return identity-shortcut Elementwise layers to drop, with what only they need."""
    layers = given.by_name()
    ancestors = {}
    for layer in networks.topological_order(given):
        ancestors[layer.name] = {layer.name}.union(*(ancestors[p] for p in layer.parents))
    gone = {}
    for layer in given.layers:
        if layer.type != "Elementwise" or rng.random() > rate:
            continue
        for parent in layer.parents:
            others = [p for p in layer.parents if p != parent]
            if others and all(parent in ancestors[o] for o in others):
                gone[layer.name] = parent
    children = networks.children_of(given)
    dead = set(gone)
    while True:
        more = {
            name
            for name in layers
            if name not in dead
            and children[name]
            and all(c in dead and gone.get(c) != name for c in children[name])
        }
        if not more:
            return gone, dead
        dead |= more


def random_variant(given, seed, *, skip=0.2, drop=0.4, resizing=True):
    """Return a random variant of a given network."""
    rng = np.random.default_rng(seed)
    given_shapes = shape_rules.infer(given)
    classes, fixed, tied = _width_classes(given)
    widths = {}
    gone, dead = _dropped(rng, given, drop)
    stands = {}
    made, shapes = [], {}
    for layer in networks.topological_order(given):
        name = layer.name
        if name in dead:
            stands[name] = stands[gone[name]] if name in gone else None
            continue
        layer = layer.replace(parents=tuple(stands[p] for p in layer.parents))
        inputs = tuple(shapes[p] for p in layer.parents)
        given_shape = given_shapes[name].inputs[0]
        members = (layer,)
        if layer.type in ("Pooling", "AvgPool") and layer.attributes["padding"] == "VALID":
            if tuple(layer.attributes["ksize"][1:3]) == given_shapes[name].inputs[0][1:3]:
                members = (layer.with_attributes(ksize=[1, *inputs[0][1:3], 1]),)
        if layer.type in WEIGHTED:
            own = classes[name]
            full = given_shapes[name].output[-1]
            if own not in widths:
                widths[own] = full if own in fixed else int(rng.integers(1, full + 1))
            width = (
                inputs[0][-1]
                if variants.is_depthwise(given.by_name()[name], given_shape)
                else widths[own]
            )
            same = given_shape == given_shapes[name].output and not (
                layer.type == "Convolution" and layer_views.convolution(layer).strides != (1, 1)
            )
            if same and own not in fixed | tied and rng.random() < skip:
                stands[name] = layer.parents[0]
                continue
            if variants.is_dense_like(given.by_name()[name], given_shape):
                pooled = rng.random() < 0.4
                kernel = (1, 1) if pooled else tuple(inputs[0][1:3])
                variant = variants.Variant("pooled" if pooled else "given", kernel, width)
            else:
                variant = _choose(rng, layer, inputs[0], width, resizing)
            members = variants.realise(layer, inputs[0], variant)
        for member in members:
            sources = tuple(shapes[p] for p in member.parents)
            shapes[member.name] = shape_rules.layer_output(member, sources)
            made.append(member)
        stands[name] = name
    return given.replace(layers=tuple(made))


def random_transformer(given, seed, *, drop=0.4):
    """Return a random variant of a transformer: heads, hidden units, widths, dropped branches."""
    rng = np.random.default_rng(seed)
    gone, dead = _dropped(rng, given, drop)
    # A table that is still used stays, whatever else of its layer is read.
    dead -= {layer.attributes.get("weights_of") for layer in given.layers if layer.name not in dead}
    made, stands = [], {}
    for layer in networks.topological_order(given):
        name = layer.name
        if name in dead:
            stands[name] = stands[gone[name]] if name in gone else None
            continue
        if layer.type == "LayerNorm" and layer.parents[0] in gone and rng.random() < 0.5:
            stands[name] = stands[layer.parents[0]]
            continue
        layer = layer.replace(parents=tuple(stands[parent] for parent in layer.parents))
        if layer.type == "MultiHeadAttention":
            heads, width = layer.attributes["heads"], layer.attributes.get("head_width")
            shared = layer.attributes.get("key_value_heads", heads)
            embed = shape_rules.infer(given)[name].output[-1]
            kept = int(rng.integers(1, heads + 1))
            sizes = [k for k in range(1, min(shared, kept) + 1) if kept % k == 0]
            layer = layer.with_attributes(
                heads=kept,
                key_value_heads=int(rng.choice(sizes)),
                head_width=width or embed // heads,
            )
        if layer.type == "FeedForward":
            hidden = int(rng.integers(1, layer.attributes["hidden"] + 1))
            layer = layer.with_attributes(hidden=hidden)
        if name in ("pooler", "wide", "flat"):
            outputs = int(rng.integers(1, layer.attributes["num_outputs"] + 1))
            layer = layer.with_attributes(num_outputs=outputs)
        made.append(layer)
        stands[name] = name
    return given.replace(layers=tuple(made))

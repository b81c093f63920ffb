"""What each layer is in generated Flax source: its module, and the expressions of its call."""

from typing import Any, NamedTuple

from greennas_jax.build import attention, graph, operations, sequence
from greennas_jax.export import lines, names
from greennas_jax.export.lines import Call, Expression
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec.network import SpecError

ACTIVATIONS = {
    "relu": "nnx.relu",
    "relu6": "nnx.relu6",
    "tanh": "nnx.tanh",
    "sigmoid": "nnx.sigmoid",
    "gelu": "nnx.gelu",
    "silu": "nnx.silu",
    None: "nnx.identity",
}
HE = "nnx.initializers.he_normal()"


class Written(NamedTuple):
    """What the source of one network is written with.

    Attributes:
      names: Identifiers of the layers.
      gains: Variance gain of each layer's initial weights.
    """

    names: names.Names
    gains: dict[str, float]


def modules(node: graph.Node, written: Written) -> list[tuple[str, Call]]:
    """Return the attributes of a node and what makes them, none for a layer without parameters."""
    own = written.names.layers[node.name]
    match node.type:
        case "Convolution":
            return [(own, _convolution(node, written)), *_extra(node, written)]
        case "Deconvolution":
            return [(own, _deconvolution(node, written))]
        case "InnerProduct":
            made = [] if node.view.weights_of else [(own, _linear(node, written))]
            return [*made, *_extra(node, written)]
        case "BatchNorm":
            return [(own, _batch_norm(node.output[-1]))]
        case "Dropout":
            return [(own, lines.call("nnx.Dropout", repr(round(1.0 - node.view, 6))))]
        case "Embedding":
            return [(own, _embedding(node))]
        case "LayerNorm":
            return [(own, _layer_norm(node)), *_extra(node, written)]
        case "MultiHeadAttention":
            return [(own, _attention(node))]
        case "FeedForward":
            return [(own, _feed_forward(node))]
    return []


def _extra(node: graph.Node, written: Written) -> list[tuple[str, Call]]:
    if node.name not in written.names.extras:
        return []
    width = node.output[-1]
    made = lines.call("nnx.Param", f"jnp.zeros({width})")
    if names.extra_of(node) == "norm":
        made = _batch_norm(width)
    return [(written.names.extras[node.name], made)]


def _options(**values: Any) -> dict[str, Expression]:
    """Return keywords with their values as text, without those that are None."""
    return {key: repr(value) for key, value in values.items() if value is not None}


def _random(node: graph.Node, written: Written) -> dict[str, Expression]:
    rectified: dict[str, Expression] = {"kernel_init": "he"}
    return (rectified if written.gains[node.name] > 1 else {}) | {"rngs": "rngs"}


def _padding(view: Any, default: str) -> dict[str, Expression]:
    """Return a window's padding as Flax takes it, nothing where it is Flax's default."""
    if view.padding == default or (view.kernel == (1, 1) and isinstance(view.padding, str)):
        return {}
    if isinstance(view.padding, str):
        return {"padding": f'"{view.padding}"'}
    return {"padding": repr(tuple((size, size) for size in view.padding))}


def _strides(strides: tuple[int, int]) -> dict[str, Expression]:
    return {} if strides == (1, 1) else {"strides": repr(strides)}


def _no_bias(use_bias: bool) -> dict[str, Expression]:
    return {} if use_bias else {"use_bias": "False"}


def _convolution(node: graph.Node, written: Written) -> Call:
    view = node.view
    sizes = (str(node.inputs[0][-1]), str(view.out_channels), repr(view.kernel))
    groups = _options(feature_group_count=view.groups if view.groups > 1 else None)
    return lines.call(
        "nnx.Conv",
        *sizes,
        **_strides(view.strides),
        **_padding(view, "SAME"),
        **groups,
        **_no_bias(view.use_bias),
        **_random(node, written),
    )


def _deconvolution(node: graph.Node, written: Written) -> Call:
    view = node.view
    pads = shape_rules.pad_amounts(view.padding, view.output_size, view.kernel, view.strides)
    around = []
    for axis in (0, 1):
        # As the transpose of a convolution pads: build.convolution.convolve_transposed.
        spread = (node.inputs[0][1 + axis] - 1) * view.strides[axis] + 1
        before = view.kernel[axis] - 1 - pads[axis][0]
        after = view.output_size[axis] + view.kernel[axis] - 1 - spread - before
        around.append((before, after))
    # The kernel's last axis is that of its inputs, unlike every other kernel's.
    axes: dict[str, Expression] = {"in_axis": "-1", "out_axis": "-2"}
    gain = repr(written.gains[node.name])
    initial = lines.call("nnx.initializers.variance_scaling", gain, '"fan_in"', '"normal"', **axes)
    return lines.call(
        "nnx.ConvTranspose",
        str(node.inputs[0][-1]),
        str(view.out_channels),
        repr(view.kernel),
        **_strides(view.strides),
        padding=repr(tuple(around)),
        transpose_kernel="True",
        **_no_bias(view.use_bias),
        kernel_init=initial,
        rngs="rngs",
    )


def _linear(node: graph.Node, written: Written) -> Call:
    view, shape = node.view, node.inputs[0]
    features = shape[-1]
    if not view.per_position:
        for size in shape[1:-1]:
            features *= size
    return lines.call(
        "nnx.Linear",
        str(features),
        str(view.out_features),
        **_no_bias(view.use_bias),
        **_random(node, written),
    )


def _batch_norm(channels: int) -> Call:
    momentum = repr(operations.BATCH_NORM_MOMENTUM)
    return lines.call("nnx.BatchNorm", str(channels), momentum=momentum, rngs="rngs")


def _embedding(node: graph.Node) -> Call:
    view = node.view
    rows = {
        "vocabulary": 0 if view.weights_of else view.vocabulary,
        "positions": view.positions,
        "segments": view.segments,
        "class_token": view.class_token,
    }
    given = _options(**{key: value or None for key, value in rows.items()})
    return lines.call("Embedding", str(view.width), **given, rngs="rngs")


def _layer_norm(node: graph.Node) -> Call:
    kind = "nnx.RMSNorm" if node.view.rms else "nnx.LayerNorm"
    bias = {} if node.view.rms else _no_bias(node.view.use_bias)
    return lines.call(
        kind,
        str(node.output[-1]),
        epsilon=repr(sequence.LAYER_NORM_EPSILON),
        **bias,
        rngs="rngs",
    )


def attention_block(node: graph.Node) -> str:
    """Return the name of the class that is a node's attention."""
    rotary = "Rotary" if node.view.rotary else ""
    return f"{rotary}{'Relative' if node.view.relative_buckets else ''}Attention"


def _attention(node: graph.Node) -> Call:
    view, width, read = node.view, node.output[-1], node.inputs[-1][-1]
    given: dict[str, Expression] = {}
    if view.relative_buckets:
        given = _distances(view.relative_buckets, view.causal)
    shared = view.key_value_heads
    return lines.call(
        attention_block(node),
        str(width),
        str(view.heads),
        str(view.head_width),
        **_options(
            key_value_heads=shared if shared != view.heads else None,
            memory_width=read if read != width else None,
            causal=view.causal or None,
        ),
        **given,
        **_no_bias(view.use_bias),
        rngs="rngs",
    )


def _distances(buckets: int, causal: bool) -> dict[str, Expression]:
    """Return how distances fall into buckets, as whole numbers."""
    reach = max(attention.FARTHEST, buckets) + 2
    behind = attention.distance_buckets(reach, 1, buckets, causal=causal)[:, 0].tolist()
    starts = [
        next(place for place, found in enumerate(behind) if found >= bucket)
        for bucket in range(max(behind) + 1)
    ]
    ahead = 0 if causal else buckets - max(buckets // 2, 1)
    return {
        "buckets": str(buckets),
        "starts": lines.items([str(start) for start in starts]),
        "ahead": str(ahead),
    }


def _feed_forward(node: graph.Node) -> Call:
    view = node.view
    return lines.call(
        "GatedFeedForward" if view.gated else "FeedForward",
        str(node.output[-1]),
        str(view.hidden),
        ACTIVATIONS[view.activation],
        **_no_bias(view.use_bias),
        rngs="rngs",
    )


def steps(node: graph.Node, written: Written, inputs: list[str], target: str) -> list[Expression]:
    """Return the expressions that compute a node, without its activation.

    Args:
      node: The node.
      written: What the source is written with.
      inputs: The variables that it reads.
      target: The variable that each expression is assigned to, which those behind read.

    Raises:
      SpecError: If Flax's own layers have no counterpart.
    """
    first = inputs[0] if inputs else "x"
    own = f"self.{written.names.layers[node.name]}"
    extra = f"self.{written.names.extras.get(node.name)}"
    match node.type:
        case "Convolution" if names.extra_of(node):
            normalized = lines.call(extra, target, use_running_average="not training")
            return [lines.call(own, first), normalized]
        case "Convolution" | "Deconvolution" | "FeedForward":
            return [lines.call(own, first)]
        case "BatchNorm":
            return [lines.call(own, first, use_running_average="not training")]
        case "Dropout":
            return [lines.call(own, first, deterministic="not training", rngs="rngs")]
        case "LayerNorm":
            shifted = [f"{target} + {extra}[...]"] if names.extra_of(node) else []
            return [lines.call(own, first), *shifted]
        case "InnerProduct":
            return _inner_product(node, written, first, target)
        case "Embedding" | "MultiHeadAttention":
            return [_sequence_call(node, written, inputs)]
        case _:
            return _weightless(node, inputs, target)


def _sequence_call(node: graph.Node, written: Written, inputs: list[str]) -> Expression:
    own = f"self.{written.names.layers[node.name]}"
    if node.type == "Embedding" and node.view.weights_of:
        return lines.call(own, inputs[0], _table(node, written))
    if node.type == "MultiHeadAttention" and len(inputs) > 1:
        return lines.call(own, *inputs)
    return lines.call(own, inputs[0])


def _table(node: graph.Node, written: Written) -> str:
    return f"self.{written.names.layers[node.view.weights_of]}.table"


def _inner_product(node: graph.Node, written: Written, first: str, target: str) -> list[Expression]:
    found: list[Expression] = []
    if len(node.inputs[0]) != 2 and not node.view.per_position:
        found.append(lines.call(f"{first}.reshape", f"{first}.shape[0]", "-1"))
        first = target
    if not node.view.weights_of:
        return [*found, lines.call(f"self.{written.names.layers[node.name]}", first)]
    found.append(lines.call("jnp.dot", first, f"{_table(node, written)}[...].T"))
    if names.extra_of(node):
        found.append(f"{target} + self.{written.names.extras[node.name]}[...]")
    return found


def positions_mean(first: str, rank: int) -> list[Expression]:
    """Return the expression of the mean over all positions, none where there is one alone."""
    if rank < 3:
        return []
    axes = "1" if rank == 3 else repr(tuple(range(1, rank - 1)))
    return [lines.call(f"{first}.mean", axes)]


def _weightless(node: graph.Node, inputs: list[str], target: str) -> list[Expression]:
    first, rank = inputs[0], len(node.inputs[0])
    match node.type:
        case "Pooling" | "AvgPool":
            return [_pool(node, first)]
        case "Concatenate":
            return [lines.call("jnp.concatenate", lines.items(inputs), axis=str(node.view))]
        case "Elementwise":
            total = " + ".join(inputs)
            return [total if lines.fits(f"{target} = ", total) else _sum(inputs)]
        case "Reshape":
            sizes = map(str, node.output[1:])
            return [lines.call(f"{first}.reshape", f"{first}.shape[0]", *sizes)]
        case "SequencePool":
            return [f"{first}[:, 0]" if node.view == "first" else lines.call(f"{first}.mean", "1")]
        case "Softmax":
            means = [] if rank == 3 == len(node.output) else positions_mean(first, rank)
            return [*means, lines.call("nnx.softmax", target if means else first, axis="-1")]
        case "Sigmoid":
            axes = str(tuple(range(1, rank))) if rank > 2 else "1"
            mean = lines.call(f"{first}.mean", axes)
            return [mean, lines.call("nnx.sigmoid", f"{target}[:, None]")]
        case "UpSampling2D":
            rows, columns = map(str, node.view)
            return [
                lines.call("jnp.repeat", first, rows, axis="1"),
                lines.call("jnp.repeat", target, columns, axis="2"),
            ]
        case "LRN":
            return [lines.call("local_response", first)]
        case "ReLU" | "Activation" | "Input" | "Dropout":
            return []
    raise SpecError(
        f"layer '{node.name}': type '{node.type}' cannot be written as Flax source; allowed are "
        "the types that are executed"
    )


def _sum(inputs: list[str]) -> Call:
    return lines.call("sum", lines.items(inputs))


def _pool(node: graph.Node, first: str) -> Call:
    view = node.view
    size = (node.inputs[0][1], node.inputs[0][2])
    pads = shape_rules.pad_amounts(view.padding, size, view.kernel, view.strides)
    whole = view.kernel == size and pads == ((0, 0), (0, 0))
    if whole:
        return lines.call(f"{first}.{'mean' if view.average else 'max'}", "(1, 2)", keepdims="True")
    check_windows(node, size, pads)
    given: dict[str, Expression] = {"strides": repr(view.strides)}
    if pads != ((0, 0), (0, 0)):
        given |= _padding(view, "VALID")
        if view.average:
            given["count_include_pad"] = "False"
    kind = "nnx.avg_pool" if view.average else "nnx.max_pool"
    return lines.call(kind, first, repr(view.kernel), **given)


def check_windows(
    node: graph.Node, size: tuple[int, int], pads: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    """Refuse windows that see padding alone, whose mean or maximum is not defined alike.

    Args:
      node: A Pooling or AvgPool.
      size: Height and width that it reads.
      pads: Its padding.

    Raises:
      SpecError: If there is such a window.
    """
    view = node.view
    for axis in (0, 1):
        last = (node.output[1 + axis] - 1) * view.strides[axis] - pads[axis][0]
        if pads[axis][0] >= view.kernel[axis] or last >= size[axis]:
            raise SpecError(
                f"layer '{node.name}': a window sees padding alone; 'padding' below 'ksize' "
                f"{list(view.kernel)} is allowed"
            )

"""What an attention layer computes and moves (Vaswani et al., NeurIPS 2017).

Shapes: L layers. N batch, S positions, D width, h heads of width e for the queries, g for keys and
values (Ainslie et al., EMNLP 2023), K positions attended to, of which C stand in a cache, M width
of what keys and values are made from. Elements: x = N S D read, y = N S D written, q = N S h e
queries, m = N (K - C) M, k = N (K - C) g e keys (and as many values) that are computed,
a = N K g e keys attended to, s = N h S K scores.

Four products with weights: queries, keys, values, output, each reading its input and writing its
output once. Scores and their weighted sum are two products of activations, 2 N h e FLOPs each for
every pair of positions.

Two kernels, `CostSettings.attention`:
"materialised": scores are written, read and written by the softmax, read by the weighted sum, and
  all S K pairs are computed, masked ones included: what a compiler makes of the formula. The
  gradient has four products for the two.
"fused": scores stay on the chip (Dao et al., FlashAttention, NeurIPS 2022), of causal attention
  the pairs up to the diagonal alone are computed, and the gradient computes the scores again:
  five products. A logarithm for each row of scores is kept instead.
"""

from typing import NamedTuple

from greennas_jax.costs import layer_table
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.passes import Amount, Amounts
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array


class _Sizes(NamedTuple):
    """Elements of the tensors that an attention moves, each [L]; the letters are the module's."""

    x: Array
    q: Array
    m: Array
    k: Array
    a: Array
    s: Array
    y: Array
    rows: Array


class _Weights(NamedTuple):
    """Weights of the products, each [L]; keys' and values' are 0 where none are computed."""

    queries: Array
    keys: Array
    output: Array


def _length(table: LayerTable) -> Array:
    return table.in_height * table.in_width


def _sizes(table: LayerTable) -> _Sizes:
    positions = table.batch * _length(table)
    computed = table.batch * (table.keys - table.cached)
    narrow = table.key_value_heads * table.head_width
    return _Sizes(
        x=positions * table.in_channels,
        q=positions * table.heads * table.head_width,
        m=computed * table.key_channels,
        k=computed * narrow,
        a=table.batch * table.keys * narrow,
        s=positions * table.heads * table.keys,
        y=positions * table.out_channels,
        rows=positions * table.heads,
    )


def _weights(table: LayerTable) -> _Weights:
    wide = table.heads * table.head_width
    return _Weights(
        queries=table.in_channels * wide,
        keys=table.key_channels * table.key_value_heads * table.head_width,
        output=wide * table.out_channels,
    )


def is_attention(table: LayerTable) -> Array:
    """Return which rows are attentions, bool [L]."""
    return table.is_any(Operation.ATTENTION)


def _biases(table: LayerTable) -> tuple[Array, Array]:
    """Return the biases of queries and output, and of keys and values [L]."""
    wide = table.heads * table.head_width + table.out_channels
    return wide, 2 * table.key_value_heads * table.head_width


def parameters(table: LayerTable) -> Array:
    """Return the weights, biases and relative biases, whatever the row is [L]."""
    held = _weights(table)
    products = held.queries + 2 * held.keys + held.output
    return products + table.bias * sum(_biases(table)) + table.relative_buckets * table.heads


def score_flops(table: LayerTable, settings: CostSettings) -> Array:
    """Return the FLOPs of scores and weighted sums in the forward pass [FLOP], [L].

    Args:
      table: Layers [L]; 0 where a row is no attention.
      settings: `attention` decides whether masked pairs are computed.
    """
    xp = table.namespace
    length = _length(table)
    pairs = length * table.keys
    if settings.attention == "fused":
        triangle = length * table.cached + length * (length + 1) / 2
        pairs = xp.where(table.causal > 0, triangle, pairs)
    flops = 4 * table.batch * table.heads * table.head_width * pairs
    return xp.where(is_attention(table), flops, 0.0)


def score_flops_of_mode(table: LayerTable, settings: CostSettings) -> Array:
    """Return the FLOPs of products of activations in inference or a training step [L]."""
    forward = score_flops(table, settings)
    return forward * (1 + _gradient_products(settings)) if settings.trains else forward


def _gradient_products(settings: CostSettings) -> float:
    """Return how many times the forward pass's products the gradient computes."""
    return 2.5 if settings.attention == "fused" else 2.0


def amounts(table: LayerTable, settings: CostSettings) -> Amounts:
    """Return what every row would compute and move, were it an attention [L]."""
    xp = table.namespace
    size, held = _sizes(table), _weights(table)
    some = xp.where(table.keys > table.cached, 1.0, 0.0)
    scores = score_flops(table, settings)
    query_flops = 2 * size.x * table.heads * table.head_width
    key_flops = 4 * size.m * table.key_value_heads * table.head_width
    projections = 2 * query_flops + key_flops
    tensors = (size.x + size.q) + 2 * (size.m + size.k) + (size.q + size.y)
    weights = held.queries + 2 * some * held.keys + held.output
    wide, narrow = _biases(table)
    biases = wide + some * narrow
    written = size.q + 2 * size.k + size.y
    # Rotation reads and writes queries and keys, and reads a sine and a cosine for each pair.
    rotation = table.rotary * (2 * (size.q + size.k) + _length(table) * table.head_width)
    bias_map = table.heads * _length(table) * table.keys
    buckets = table.relative_buckets * table.heads
    relative = xp.where(buckets > 0, 1.0, 0.0)
    inner = query_flops + _gradient_products(settings) * scores
    sources = query_flops + key_flops
    return Amounts(
        forward=Amount(
            projections + scores,
            tensors
            + weights
            + table.bias * (2 * written + biases)
            + rotation
            + relative * (buckets + 2 * bias_map)
            + _forward_scores(size, settings),
        ),
        data=Amount(
            inner + (1 - table.reads_input) * sources,
            (size.y + held.output + size.q)
            + rotation
            + _backward_scores(size, settings)
            + (1 - table.reads_input) * _source_gradient(table, size, held),
        ),
        filters=Amount(
            projections,
            tensors
            + table.bias * written
            # Summed over the batch, then over the distances of a bucket.
            + relative * ((size.s + bias_map) + bias_map),
            weights + table.bias * biases + buckets,
        ),
    )


def _forward_scores(size: _Sizes, settings: CostSettings) -> Array:
    """Return the elements that scores, softmax and weighted sum move [L]."""
    if settings.attention == "fused":
        return 2 * size.q + 2 * size.a + (size.rows if settings.trains else 0.0)
    return (size.q + size.a + size.s) + 2 * size.s + (size.s + size.a + size.q)


def _backward_scores(size: _Sizes, settings: CostSettings) -> Array:
    """Return the elements that their gradients move [L].

    Materialised, four products of a queries' and a keys' tensor with one of scores; the softmax
    reads its output and a gradient and writes one. Fused, the sum of output times gradient for
    each row; then queries, keys, values, that gradient and two numbers for each row are read, and
    three gradients written.
    """
    if settings.attention == "fused":
        return (2 * size.q + size.rows) + (3 * size.q + 4 * size.a + 2 * size.rows)
    return 4 * (size.q + size.a + size.s) + 3 * size.s


def _source_gradient(table: LayerTable, size: _Sizes, held: _Weights) -> Array:
    """Return the elements moved by the gradient of what is attended from and to [L].

    Three products; those that end in one tensor are added: all read, one written.
    """
    xp = table.namespace
    products = (size.q + held.queries + size.x) + 2 * (size.k + held.keys + size.m)
    return products + xp.where(table.memory_length > 0, 3 * size.m, 4 * size.x)


def cached_elements(table: LayerTable) -> Array:
    """Return the keys and values that stand in a cache once the layer has run [L].

    Causal attention keeps those of its own sequence, attention to another sequence that one's.
    """
    xp = table.namespace
    caches = is_attention(table) & ((table.causal > 0) | (table.memory_length > 0))
    return xp.where(caches, 2 * _sizes(table).a, 0.0)


def kept_elements(table: LayerTable, settings: CostSettings) -> Array:
    """Return the elements inside a layer that its gradient reads [L].

    Queries, keys, values, the weighted sum, and the softmax's output or a number for each row.
    """
    size = _sizes(table)
    inside = size.rows if settings.attention == "fused" else size.s
    return 2 * size.q + 2 * size.k + inside


def working_elements(table: LayerTable, settings: CostSettings) -> Array:
    """Return the most elements inside a layer that are alive at once in a forward pass [L].

    Materialised, queries, keys, values and scores, for the weighted sum takes no more than the
    queries; fused, the weighted sum beside queries, keys and values. A cache's are not counted.
    """
    xp = table.namespace
    size = _sizes(table)
    made = 2 * size.k
    if settings.caches:
        made = xp.where(cached_elements(table) > 0, 0.0, made)
    return size.q + made + (size.q if settings.attention == "fused" else size.s)

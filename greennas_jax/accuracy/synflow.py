"""SynFlow on the template: how much flows through a network's absolute weights.

The input is all ones, biases are left out, activations are the identity on what is positive (as
ReLU is), and a normalisation is its scale alone (Tanaka et al. 2020). Of transformers:

- all tokens are alike, so that attention is uniform and the saliency of queries and keys is zero:
  what flows is the mean over the places read, through values and outputs;
- an embedding gives the mean row of its table; positions, segments and class token are biases;
- the gate of a gated feed-forward layer reads its input at a mean of one, as a normalisation would
  hand it on, so that the flow stays linear in the input.

Shapes: N images, S places, D width.
"""

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import forward, initial, kernels, live, sequence_slots
from greennas_jax.accuracy import template as templates
from greennas_jax.build import convolution

# Weight factors of a composed kernel, by branch: each is a layer of its own to SynFlow.
FACTORS = {"given": 1, "grouped": 1, "separable": 2, "bottleneck": 3}
METHOD: convolution.Method = "lax"


def _flow(
    template: templates.Template,
    child: dict[str, initial.Arrays],
    parameters: initial.Parameters,
    strength: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return the flow of an all-ones image through absolute weights, as (value, log scale).

    Args:
      template: The plan.
      child: Arrays of one variant.
      parameters: Absolute weights; biases are left out.
      strength: Multiplies every weight factor; its derivative at 1 counts each factor's saliency.
    """
    slots = template.by_name()
    mode = live.Mode(False, METHOD)
    values: dict[str, jax.Array] = {}
    scales: dict[str, jax.Array] = {}
    for slot in template.slots:
        name, node = slot.node.name, slot.node
        if slot.kind in ("input", "tokens"):
            values[name] = jnp.ones((1, slot.height, slot.width, slot.channels))
            scales[name] = jnp.float32(0)
            continue
        arrays, above = child[name], child[node.parents[0]]
        scale = jnp.stack([scales[parent] for parent in node.parents]).max()
        inputs = [values[p] * jnp.exp(scales[p] - scale) for p in node.parents]
        roles = initial.roles_of(slot, parameters)
        out = _flow_through(slot, arrays, roles, inputs, above, mode, strength)
        out = forward.settled(slots, slot, arrays, inputs, out, mode.order)
        largest = jax.lax.stop_gradient(out.max())
        # A dead branch carries nothing; its scale must not reach what it is added to.
        alive = largest > 0
        values[name] = out / jnp.where(alive, largest, 1.0)
        scales[name] = jnp.where(alive, scale + jnp.log(largest), -jnp.inf)
        scales[name] = jnp.maximum(scales[name], -1e30)
        if name == template.logits:
            break
    return values[template.logits].sum(), scales[template.logits]


def _flow_through(
    slot: templates.Slot,
    arrays: initial.Arrays,
    roles: initial.Arrays,
    inputs: list[jax.Array],
    above: initial.Arrays,
    mode: live.Mode,
    strength: jax.Array,
) -> jax.Array:
    """Apply one slot without bias, activation or normalisation."""
    if slot.kind in ("dropout", "activation", "response"):
        return inputs[0]
    if slot.kind in sequence_slots.KINDS.values() and slot.kind != "sequence_pool":
        return _flow_of_sequence(slot, arrays, roles, inputs, strength)
    if slot.kind == "registered":
        # What a registered type computes is not known to be positive where its input is.
        out = jnp.abs(forward.of_registered(slot, roles, inputs, mode.order))
        return out * strength if roles else out
    if slot.kind == "head":
        return forward.plain(slot, inputs, above, mode)
    if not roles:
        return forward.plain(slot, inputs, above, mode)
    linear = {role: values for role, values in roles.items() if role != "bias"}
    out = kernels.weighted(slot, arrays, linear, inputs[0], above, mode)
    if slot.kind == "convolution":
        counts = jnp.asarray([FACTORS[branch] for branch in templates.BRANCHES], jnp.float32)
        out = out * strength ** counts[arrays["branch"]]
    elif slot.kind != "normalization":
        out = out * strength
    return out * strength if templates.normalizes(slot) else out


def _flow_of_sequence(
    slot: templates.Slot,
    arrays: initial.Arrays,
    roles: initial.Arrays,
    inputs: list[jax.Array],
    strength: jax.Array,
) -> jax.Array:
    """Apply one slot of a transformer: [1, S, 1, D]."""
    first = inputs[0]
    kept = sequence_slots.masked(slot.node, arrays, roles)
    match slot.kind:
        case "embedding" if slot.node.view.vocabulary:
            row = roles["table"].mean(0) * strength
            return jnp.broadcast_to(row, (1, slot.height, 1, slot.channels))
        case "embedding":
            place = jnp.zeros((1, slot.height - first.shape[1], 1, slot.channels))
            return jnp.concatenate([place, first], axis=1)
        case "layer_norm":
            return first * roles["scale"] * strength
        case "attention":
            read = inputs[-1].mean(1, keepdims=True)
            heads = jnp.einsum("nswd,dhe->nswhe", read, kept["value"])
            out = jnp.einsum("nswhe,hed->nswd", heads, kept["output"]) * strength**2
            return jnp.broadcast_to(out, (1, slot.height, 1, slot.channels))
        case _:
            hidden = first @ kept["inner"] * strength
            if slot.node.view.gated:
                level = jnp.maximum(first.mean(-1, keepdims=True), jnp.finfo(first.dtype).tiny)
                hidden = hidden * (first / level @ kept["gate"]) * strength
            return hidden @ kept["outer"] * strength


def log_synflow(
    template: templates.Template,
    child: dict[str, initial.Arrays],
    parameters: initial.Parameters,
) -> jax.Array:
    """Return the logarithm of SynFlow's sum of saliencies: float32.

    R = 1^T prod |W_l| 1, and a layer's saliencies sum to the derivative of R with respect to a
    multiplier of its weights (Tanaka et al. 2020, equation 2). One forward-mode derivative with all
    multipliers alike gives their sum. Activations are the identity on what is positive (as ReLU
    is); batch normalisation is its scale alone. Every tensor is rescaled by its maximum, whose
    logarithm is kept, so that no depth overflows.

    Args:
      template: The plan.
      child: Arrays of one variant.
      parameters: Its initial parameters.
    """
    absolute = jax.tree.map(jnp.abs, parameters)

    def flow(strength: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _flow(template, child, absolute, strength)

    (_, scale), (saliency, _) = jax.jvp(flow, (jnp.float32(1),), (jnp.float32(1),))
    return jnp.log(saliency) + scale

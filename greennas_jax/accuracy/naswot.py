"""NASWOT: how differently a network's rectifiers switch for different images, untrained.

Shapes: N images.
"""

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import forward, initial, live
from greennas_jax.accuracy import template as templates
from greennas_jax.build import convolution

# Kinds of slots whose outputs are compared where a network has no activation.
MIXING = ("convolution", "dense", "positionwise", "attention", "feed_forward")


def _activated(slot: templates.Slot) -> bool:
    """Return whether a slot has an activation, behind itself or inside."""
    inside = slot.kind == "feed_forward" and slot.node.view.activation
    return bool(slot.node.activation or inside)


def naswot(
    template: templates.Template,
    child: dict[str, initial.Arrays],
    parameters: initial.Parameters,
    images: jax.Array,
    *,
    method: convolution.Method = "lax",
) -> jax.Array:
    """Return log det of the kernel of activation codes: float32.

    Entry (i, j) counts the units that are active for both or for neither of images i and j (Mellor
    et al. 2021, section 3). Units are those in front of an activation, inside of feed-forward
    layers too; where the text has none, all outputs of weighted layers. Behind a smooth rectifier
    (GELU, SiLU) the sign still tells what is let through. One is added to the diagonal, which a
    pair of equal codes would make singular.

    Args:
      template: The plan.
      child: Arrays of one variant.
      parameters: Its initial parameters.
      images: float32 [N, H, W, C] or [N, S, D], or int32 token numbers [N, S].
      method: How convolutions are computed.
    """
    activated = any(_activated(slot) for slot in template.slots)
    agreements: list[jax.Array] = []

    def observe(slot: templates.Slot, values: jax.Array, counts: jax.Array) -> None:
        counted = _activated(slot) if activated else slot.kind in MIXING
        if not counted or slot.node.name == template.logits:
            return
        if live.order_of(slot, mode) == "CHWN":
            counts = jnp.broadcast_to(counts, (*values.shape[:3], 1))
            values, counts = (jnp.moveaxis(part, 3, 0) for part in (values, counts))
            counts = counts[0]
        weight = jnp.broadcast_to(counts, values.shape[1:]).reshape(-1)
        codes = (values > 0).astype(jnp.float32).reshape(values.shape[0], -1)
        agreements.append((codes * weight) @ codes.T + ((1 - codes) * weight) @ (1 - codes).T)

    mode = live.Mode(True, method, observe)
    forward.run(template, child, parameters, initial.statistics(template), images, mode)
    total = sum(agreements, start=jnp.eye(images.shape[0]))
    return jnp.linalg.slogdet(total)[1]

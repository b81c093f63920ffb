"""Gradient norm: how strongly the loss of one batch pulls at untrained weights.

Shapes: N images.
"""

from typing import Any

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import forward, initial, live, training
from greennas_jax.accuracy import template as templates
from greennas_jax.build import convolution


def gradient_norm(
    template: templates.Template,
    child: dict[str, initial.Arrays],
    parameters: initial.Parameters,
    images: Any,
    labels: Any,
    *,
    method: convolution.Method = "lax",
) -> jax.Array:
    """Return the sum over layers of the Euclidean norm of their weights' gradient: float32.

    Of the mean cross-entropy of one batch (Abdelfattah et al. 2021, section 3.1). Every random role
    of a layer is a layer of its own, as it is in the rebuilt network; biases and normalisations are
    left out, as in the authors' measurements. What is dead in the template has no gradient.

    Args:
      template: The plan.
      child: Arrays of one variant.
      parameters: Its initial parameters.
      images: float32 [N, ...], or int32 token numbers [N, S].
      labels: int32 [N].
      method: How convolutions are computed.
    """
    mode = live.Mode(True, method)

    def loss(parameters: initial.Parameters) -> jax.Array:
        statistics = initial.statistics(template)
        logits, _ = forward.run(template, child, parameters, statistics, images, mode)
        return training.loss(logits, labels)

    gradients = jax.grad(loss)(parameters)
    norms = [
        jnp.sqrt(jnp.square(gradient).sum())
        for roles in gradients.values()
        for role, gradient in roles.items()
        if role in templates.PLACES
    ]
    return sum(norms, start=jnp.float32(0))

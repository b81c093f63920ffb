"""Jacobian covariance: how differently a network answers to different images, untrained.

Shapes: N images.
"""

import jax
import jax.numpy as jnp

from greennas_jax.accuracy import forward, initial, live
from greennas_jax.accuracy import template as templates
from greennas_jax.build import convolution

# Mellor et al. 2020 (version 1), equation 3: k.
STABILISER = 1e-5


def spectrum_score(jacobian: jax.Array) -> jax.Array:
    """Return - sum over eigenvalues s of log(s + k) + 1 / (s + k): float32, at most -N.

    The eigenvalues are those of the correlations between the rows of a Jacobian (Mellor et al.
    2020, version 1, equations 2 and 3). A row that does not vary has no correlations: the score is
    minus infinity.

    Args:
      jacobian: float32 [N, inputs].
    """
    centred = jacobian - jacobian.mean(1, keepdims=True)
    length = jnp.linalg.norm(centred, axis=1, keepdims=True)
    alive = (length > 0).all() & jnp.isfinite(length).all()
    unit = jnp.where(alive, centred / jnp.where(length > 0, length, 1.0), 0.0)
    # Rounding may leave an eigenvalue of zero slightly below it.
    values = jnp.maximum(jnp.linalg.eigvalsh(unit @ unit.T), 0.0) + STABILISER
    return jnp.where(alive, -(jnp.log(values) + 1 / values).sum(), -jnp.inf)


def jacobian_covariance(
    template: templates.Template,
    child: dict[str, initial.Arrays],
    parameters: initial.Parameters,
    images: jax.Array,
    *,
    method: convolution.Method = "lax",
) -> jax.Array:
    """Return the score of the Jacobian of the summed logits with respect to each image: float32.

    Batch moments normalise, as in training.

    Args:
      template: The plan.
      child: Arrays of one variant.
      parameters: Its initial parameters.
      images: float32 [N, H, W, C], [N, F] or [N, S, D].
      method: How convolutions are computed.

    Raises:
      ValueError: If the images are token numbers, which have no derivative.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images are {images.dtype}; the Jacobian with respect to real numbers is asked for"
        )
    mode = live.Mode(True, method)

    def summed(images: jax.Array) -> jax.Array:
        statistics = initial.statistics(template)
        return forward.run(template, child, parameters, statistics, images, mode)[0].sum()

    found = jax.grad(summed)(jnp.asarray(images))
    return spectrum_score(found.reshape(found.shape[0], -1))

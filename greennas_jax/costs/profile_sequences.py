"""What a profile says of networks that read sequences: tokens, their energy and the cache."""

from typing import Any

import numpy as np

from greennas_jax.costs import attention, counts
from greennas_jax.costs.generation import Run
from greennas_jax.costs.layer_table import LayerTable, Operation
from greennas_jax.costs.passes import Work
from greennas_jax.costs.settings import CostSettings

_WITH_WEIGHTS = (*counts.WEIGHTED, Operation.ATTENTION, Operation.FEED_FORWARD)


def check(settings: CostSettings, *, explained: bool) -> None:
    """Check that what is explained is a mode of the original.

    Raises:
      ValueError: If it is not.
    """
    if explained and settings.caches:
        raise ValueError(
            f"mode is '{settings.mode}', which the original Paleo does not know; what is explained "
            "is the difference from it, in mode inference or training"
        )


def split_flops(table: LayerTable, work: Work, settings: CostSettings) -> dict[str, np.ndarray]:
    """Return the operations of products with weights, and of scores and weighted sums [L].

    The update, pooling and dropout are in neither.

    Args:
      table: Layers, with numpy arrays [L].
      work: Their work.
      settings: `mode` decides which passes are made.
    """
    made = sum(step.flops for step in work[:-1]) if settings.trains else work.forward.flops
    scores = np.zeros(len(table))
    if settings.compat is None:
        scores = attention.score_flops_of_mode(table, settings)
    weighted = np.where(table.is_any(*_WITH_WEIGHTS), made, 0.0)
    return {"weight_flops": weighted - scores, "attention_flops": scores}


def totals(
    run: Run, table: LayerTable, batch: int, energy: float | None, settings: CostSettings
) -> dict[str, int | float | None]:
    """Return the totals of a network that reads sequences, none for any other.

    Args:
      run: What runs.
      table: Its layers, with numpy arrays [L].
      batch: Batch size.
      energy: Energy of all of it [J], None where it is not known.
      settings: "prefill" and "decode" keep a cache.
    """
    if not run.lengths:
        return {}
    tokens = batch * run.tokens
    return {
        "tokens": tokens,
        "energy_per_token_j": None if energy is None else energy / tokens,
        "kv_cache_bytes": int(counts.cache_bytes(table, settings).sum()),
    }


def described(run: Run) -> dict[str, Any]:
    """Return how long the sequences are, under "sequence"; nothing where there are none."""
    if not run.lengths:
        return {}
    return {"sequence": {"lengths": dict(run.lengths), "context": run.context or None}}

"""The flag of every program that tells what it does while it lasts, and who hears it."""

import pathlib
import sys

from absl import flags

from greennas_jax.report import telling

_LOG = flags.DEFINE_string(
    "log_json", None, "File to append what is done to, one JSON object a line; - is stderr."
)


def listener(workdir: pathlib.Path, *, bars: bool = True) -> telling.Listener:
    """Return who hears what a run tells.

    Args:
      workdir: The run's, where its scalars are kept.
      bars: Whether a person at a terminal sees bars; a pipe never does.

    Raises:
      OSError: If --log_json cannot be written.
    """
    found: list[telling.Listener] = [telling.Scalars(workdir)]
    if _LOG.value is not None:
        found.append(telling.JsonLines(_LOG.value, str(workdir)))
    if bars and sys.stderr.isatty():
        found.append(telling.Bars())
    return telling.Everyone(found)

"""What a finished run leaves of its network for others to run."""

import pathlib

from greennas_jax.export import flax_source
from greennas_jax.report import files
from greennas_jax.spec.network import Network, SpecError

SOURCE = "optimized_flax.py"
WEIGHTS = "optimized.safetensors"
# Where the final test keeps the weights, before its verdict says that it is done.
TRAINED = pathlib.Path("checkpoints", "final_test.safetensors")


def write(network: Network, folder: pathlib.Path) -> list[str]:
    """Write a network as a Flax file and, where it was trained, its weights beside it.

    Args:
      network: The network.
      folder: Where to write; its weights lie in TRAINED there, if anywhere.

    Returns:
      One line for each file that could not be written, and why.

    Raises:
      OSError: If the folder cannot be written.
    """
    notes = []
    try:
        files.write_text(folder / SOURCE, flax_source.write(network))
    except SpecError as error:
        notes.append(f"note: no {SOURCE}: {error}")
    trained = folder / TRAINED
    if trained.exists():
        files.write_bytes(folder / WEIGHTS, trained.read_bytes())
    return notes

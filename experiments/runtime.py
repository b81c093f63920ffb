"""What JAX is told before its first use: devices of the host and the compilation cache."""

import gc
import os
import pathlib


def prepare(*, split: bool = True, cache: bool = True) -> None:
    """Let every core of a host without accelerator be a device, and keep what is compiled.

    What is loaded by now stays, and tracing makes and drops objects by the million, few of them in
    circles: the collector of circles looks at what is new, and less often.

    The cache lies in `$GREENNAS_CACHE`, else in the user's cache folder; an empty variable turns
    it off, and so does a folder that cannot be written.

    Args:
      split: Whether each core is a device of its own; otherwise all are one.
      cache: Whether to keep what is compiled.
    """
    import jax

    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    if split and "XLA_FLAGS" not in os.environ:
        jax.config.update("jax_num_cpu_devices", min(len(os.sched_getaffinity(0)), 8))
    folder = _cache_folder() if cache else None
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", os.fspath(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _cache_folder() -> pathlib.Path | None:
    """Return the folder of the cache, or None where there is to be none or it cannot be written."""
    stated = os.environ.get("GREENNAS_CACHE")
    if stated == "":
        return None
    try:
        folder = pathlib.Path(stated or pathlib.Path.home() / ".cache" / "greennas-jax")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        # A read-only home, or none at all.
        return None
    return folder if os.access(folder, os.W_OK) else None

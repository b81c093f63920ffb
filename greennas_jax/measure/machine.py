"""This machine: what it is called, and the rates it attains."""

import pathlib
import platform
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from greennas_jax.measure import execution, meters, timing

# Operands of the largest product and elements of the copy, by JAX's platform.
PRODUCT = {"cpu": (512, 1024, 2048), "gpu": (4096, 8192), "tpu": (4096, 8192)}
COPY_BYTES = {"cpu": (16 << 20, 64 << 20), "gpu": (1 << 30,), "tpu": (1 << 29,)}
CPU_INFO = pathlib.Path("/proc/cpuinfo")


class Machine(NamedTuple):
    """What computes here.

    Attributes:
      platform: JAX's platform, for example "cpu".
      processor: Its name.
      cores: Cores of a CPU, 1 elsewhere.
      driver: Versions of JAX and of the platform beneath it.
      clock_mhz: Its clock [MHz]; None where it is not known.
    """

    platform: str
    processor: str
    cores: int
    driver: str
    clock_mhz: float | None


def _cpu(info: pathlib.Path) -> tuple[str, float | None]:
    """Return the processor's name and clock [MHz] as the kernel tells them."""
    try:
        text = info.read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine(), None
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    clocks = [float(found) for found in re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", text, re.MULTILINE)]
    found = name.group(1).strip() if name else platform.machine()
    return found, max(clocks, default=None)


def here(info: pathlib.Path = CPU_INFO) -> Machine:
    """Return what JAX computes on by default.

    Args:
      info: The kernel's description of the processor.
    """
    import os

    device = jax.devices()[0]
    name, clock, cores = str(device.device_kind), None, 1
    if device.platform == "cpu":
        (name, clock), cores = _cpu(info), len(os.sched_getaffinity(0))
    beneath = " ".join(str(getattr(device.client, "platform_version", "")).split())
    driver = f"jax {jax.__version__}" + (f", {beneath}" if beneath not in ("", "<unknown>") else "")
    return Machine(device.platform, name, cores, driver, clock)


def same(machine: Machine, stated: Any) -> bool:
    """Return whether a calibration's "machine" is this one."""
    return isinstance(stated, dict) and all(
        stated.get(name) == getattr(machine, name) for name in ("platform", "processor", "cores")
    )


def rate(dtype: str, plan: timing.Plan, sizes: tuple[int, ...] | None = None) -> tuple[float, str]:
    """Return the rate of the fastest of some square products [GFLOP/s], and how it was found.

    Raises:
      ValueError: If the number format cannot be executed.
    """
    execution.check_dtype(dtype)
    kind, precision = execution.FORMATS[dtype]
    keys = jax.random.split(jax.random.key(0), 2)
    found = []
    with jax.default_matmul_precision(precision):
        product = jax.jit(jnp.matmul)
        for size in sizes or PRODUCT[jax.default_backend()]:
            left, right = (jax.random.normal(key, (size, size), kind) for key in keys)
            product(left, right)
            took = timing.measure(
                lambda a=left, b=right: product(a, b), meters.absent("not asked for"), plan
            )
            found.append((2e-9 * size**3 / took.seconds, size))
    best, size = max(found)
    return best, f"measured: product of two {size} x {size} matrices, {dtype}"


def bandwidth(plan: timing.Plan, sizes: tuple[int, ...] | None = None) -> tuple[float, str]:
    """Return the rate of reading and writing a large array [GB/s], and how it was found."""
    add = jax.jit(lambda values: values + 1.0, donate_argnums=0)
    found = []
    for size in sizes or COPY_BYTES[jax.default_backend()]:
        held = [add(jnp.zeros(size // 4, jnp.float32))]

        def step(held: list = held):
            held[0] = add(held[0])
            return held[0]

        took = timing.measure(step, meters.absent("not asked for"), plan)
        found.append((2e-9 * size / took.seconds, size))
    best, size = max(found)
    return best, f"measured: {size >> 20} MiB read and written"

"""Energy of every layer: nearly flat power plus traffic.

Shapes: L layers. Uncalibrated, a busy device draws 0.65 of its TDP whatever it does, plus 438 pJ
for each byte of its memory, and nothing more for FLOPs. On three Titan X rows of Cai et al.
(NeuralPower, ACML 2017: VGG-16, AlexNet, NIN) that gives 9 to 15 percent less than the measured
energy at measured times, and 13 to 19 percent less at predicted ones.
"""

from greennas_jax.costs import layer_table, paleo
from greennas_jax.costs.devices import Device, DeviceError
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.paleo import LayerTimes
from greennas_jax.costs.settings import CostSettings

Array = layer_table.Array

MILLISECOND = 1e-3
PICOJOULE = 1e-12


def energy(table: LayerTable, times: LayerTimes, device: Device, settings: CostSettings) -> Array:
    """Return the energy of each layer in inference or a training step [J], [L].

    static W x time + FLOPs x pJ/FLOP + bytes x pJ/byte, at most TDP x time.

    Args:
      table: Layers [L].
      times: Their times [ms].
      device: The device and its coefficients.
      settings: `mode` decides which passes are made.

    Raises:
      DeviceError: If the device states neither a TDP nor a static power.
    """
    if not device.power_known:
        raise DeviceError(
            f"device '{device.name}' states no power; 'tdp_w' or 'static_w' is needed for energy"
        )
    device = device.at(settings.dtype)
    flops, moved = paleo.totals(table, settings, device)
    return of_work(flops, moved, paleo.of_mode(times, settings.mode), device)


def of_work(flops: Array, moved: Array, milliseconds: Array, device: Device) -> Array:
    """Return the energy of some work [J]: as `energy`, of any part of it.

    Args:
      flops: Floating-point operations.
      moved: Bytes moved to or from the device memory.
      milliseconds: The time it takes [ms].
      device: A device that states its power.
    """
    seconds = milliseconds * MILLISECOND
    dynamic = (flops * device.pj_per_flop + moved * device.pj_per_byte) * PICOJOULE
    unlimited = device.static_w * seconds + dynamic
    xp = layer_table.array_namespace(unlimited)
    return xp.minimum(unlimited, _limit(device, seconds))


def _limit(device: Device, seconds: Array) -> Array:
    """Return TDP x time [J]; where no TDP is stated, no limit (0 x infinity is not a number)."""
    xp = layer_table.array_namespace(seconds, device.tdp_w)
    stated = xp.isfinite(device.tdp_w)
    return xp.where(stated, xp.where(stated, device.tdp_w, 0.0) * seconds, xp.inf)

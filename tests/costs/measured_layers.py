"""Layers as a calibration would measure them, and devices that are formulas."""

import numpy as np

from greennas_jax.costs.layer_table import LayerTable, Operation


def table(operation, *, batch, size, in_channels, out_channels, kernel=1, stride=1, **rest):
    """Return a table of square layers with SAME padding; arguments are columns or numbers."""
    columns = np.broadcast_arrays(
        *(np.asarray(c, float) for c in (batch, size, in_channels, out_channels, kernel, stride))
    )
    batch, size, in_channels, out_channels, kernel, stride = columns
    out = np.ceil(size / stride)
    pad = np.maximum((out - 1) * stride + kernel - size, 0) // 2
    zero, one = np.zeros_like(batch), np.ones_like(batch)
    return LayerTable(
        **{
            "operation": np.full(len(batch), int(operation), np.int32),
            "batch": batch,
            "in_height": size,
            "in_width": size,
            "in_channels": in_channels,
            "out_height": out,
            "out_width": out,
            "out_channels": out_channels,
            "kernel_height": kernel,
            "kernel_width": kernel,
            "stride_height": stride,
            "stride_width": stride,
            "pad_height": pad,
            "pad_width": pad,
            "padding": one,
            "groups": one,
            "depthwise": zero,
            "bias": zero,
            "activation": zero,
            "normalizer": zero,
            "inputs": one,
            "reads_input": zero,
        }
        | {name: np.full_like(batch, value) for name, value in rest.items()}
    )


def convolutions(count, seed):
    """Return convolutions drawn at random from what networks use."""
    rng = np.random.default_rng(seed)
    stride = rng.choice([1, 1, 2], count)
    return table(
        Operation.CONVOLUTION,
        batch=rng.choice([1, 2, 4, 8, 16, 32], count),
        size=rng.choice([7, 8, 14, 16, 28, 32, 56], count),
        in_channels=rng.choice([3, 8, 16, 24, 32, 64, 96, 128, 256], count),
        out_channels=rng.choice([8, 16, 32, 48, 64, 128, 256], count),
        kernel=rng.choice([1, 3, 3, 5, 7], count),
        stride=stride,
    )


def inner_products(count, seed):
    """Return inner products drawn at random."""
    rng = np.random.default_rng(seed)
    return table(
        Operation.INNER_PRODUCT,
        batch=rng.choice([1, 4, 16, 64, 128], count),
        size=1,
        in_channels=rng.choice([16, 64, 128, 400, 512, 1024, 4096], count),
        out_channels=rng.choice([10, 32, 100, 512, 1000, 4096], count),
    )


def poolings(count, seed):
    """Return maximum and average pooling drawn at random."""
    rng = np.random.default_rng(seed)
    channels = rng.choice([8, 16, 32, 64, 128, 256], count)
    drawn = table(
        Operation.POOLING,
        batch=rng.choice([1, 4, 16, 64], count),
        size=rng.choice([8, 14, 28, 56, 112], count),
        in_channels=channels,
        out_channels=channels,
        kernel=rng.choice([2, 3], count),
        stride=rng.choice([1, 2], count),
    )
    kinds = [int(Operation.POOLING), int(Operation.AVERAGE_POOLING)]
    return drawn.replace(operation=rng.choice(kinds, count).astype(np.int32))


def joined(*tables):
    """Return several tables as one."""
    names = list(vars(tables[0]))
    return LayerTable(**{n: np.concatenate([getattr(t, n) for t in tables]) for n in names})


def accelerator(layers, seed, *, noise=0.1):
    """Return runtime [ms] and power [W] of layers on a made-up accelerator [L], [L].

    A call takes 5 us, and beside that the longer of computing at 10 TFLOP/s (2.5 us more where the
    device is not filled) and moving at 1 TB/s, with lognormal noise; it draws 60 W, and up to
    150 W more for computing and 90 W for moving.
    """
    rng = np.random.default_rng(seed)
    positions = layers.batch * layers.out_height * layers.out_width
    depth = layers.kernel_height * layers.kernel_width * layers.in_channels
    multiplies = layers.is_any(Operation.CONVOLUTION, Operation.INNER_PRODUCT)
    flops = np.where(multiplies, 2 * positions * depth * layers.out_channels, 0.0)
    filters = np.where(multiplies, depth * layers.out_channels, 0.0)
    moved = 4 * (layers.input_elements + layers.output_elements + filters)
    computing = flops / 1e13 * 1e3 + np.where(multiplies, 2.5e-3 * positions / (positions + 2e3), 0)
    moving = moved / 1e12 * 1e3
    work = (computing**4 + moving**4) ** 0.25
    runtime = (0.005 + work) * np.exp(rng.normal(0, noise, len(layers)))
    power = 60 + 150 * computing / (0.005 + work) + 90 * moving / (0.005 + work)
    return runtime, power * np.exp(rng.normal(0, noise / 3, len(layers)))

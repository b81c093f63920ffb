"""Layers that the cells of NAO and of NAS-Bench-201 share."""

from typing import Any

from greennas_jax.spec.network import Layer


def layer(name: str, kind: str, parents: tuple[str, ...], **attributes: Any) -> Layer:
    """Return a layer, its attributes by name."""
    return Layer(name=name, type=kind, parents=parents, attributes=attributes)


def convolution(
    name: str, parent: str, kernel: int, channels: int, stride: int = 1, **more: Any
) -> Layer:
    """Return a convolution without bias and activation, its square kernel padded all around."""
    return layer(
        name,
        "Convolution",
        (parent,),
        filter=[kernel, kernel, -1, channels],
        strides=[1, stride, stride, 1],
        # Padding of one side is symmetric, as the originals'; SAME of stride 2 is not.
        padding=[kernel // 2, kernel // 2],
        use_bias=False,
        activation_fn=None,
        **more,
    )

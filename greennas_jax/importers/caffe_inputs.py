"""What a Caffe network reads: shapes of its inputs, as far as its text states them."""

from typing import NamedTuple

from greennas_jax.importers import fields
from greennas_jax.importers.caffe_layers import LayerText
from greennas_jax.importers.draft import Asked
from greennas_jax.importers.text_format import Message, Place, error_at

PARAMETERS = {
    "Input": "input_param",
    "Data": "data_param",
    "AnnotatedData": "data_param",
    "ImageData": "image_data_param",
    "HDF5Data": "hdf5_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
    "DummyData": "dummy_data_param",
}


class Source(NamedTuple):
    """An input blob: its NCHW shape, or None for labels, and where it stands."""

    shape: tuple[int, ...] | None
    place: Place
    note: str = ""


def of_net(net: Message) -> dict[str, Source]:
    """Return the inputs that a network names beside its layers (`input:`), in order."""
    names = fields.all_of(net, "input")
    shapes = [_shape(message) for message in fields.messages(net, "input_shape")]
    dims = fields.integers(net, "input_dim", 1)
    if shapes and dims:
        raise error_at(net.place, "'input_shape' and 'input_dim'; one of them is allowed")
    if dims:
        if len(dims) != 4 * len(names):
            place = fields.all_of(net, "input_dim")[-1].place
            raise error_at(place, f"{len(dims)} 'input_dim' for {len(names)} inputs; 4 each needed")
        shapes = [tuple(dims[4 * i : 4 * i + 4]) for i in range(len(names))]
    if len(shapes) != len(names):
        place = names[-1].place if names else net.place
        raise error_at(
            place, f"{len(shapes)} input shapes for {len(names)} inputs; one each needed"
        )
    return {
        fields.as_text(name): Source(shape, name.place)
        for name, shape in zip(names, shapes, strict=True)
    }


def of_layer(layer: LayerText, tops: list[str], asked: Asked) -> dict[str, Source]:
    """Return what a layer without bottoms feeds into each of its tops.

    Raises:
      SpecError: If the text does not state a shape and neither does the user.
    """
    message = fields.part(layer.message, PARAMETERS.get(layer.type, ""))
    if layer.type in ("Input", "DummyData"):
        return _stated(layer, message, tops)
    first = "data" if "data" in tops else tops[0]
    shape, note = _image(layer, message, asked)
    return {top: Source(shape if top == first else None, layer.place, note) for top in tops}


def _shape(message: Message) -> tuple[int, ...]:
    return tuple(fields.integers(message, "dim", 1))


def _stated(layer: LayerText, message: Message, tops: list[str]) -> dict[str, Source]:
    shapes = [_shape(part) for part in fields.messages(message, "shape")]
    if not shapes and layer.type == "DummyData":
        axes = [fields.integers(message, key, 1) for key in ("num", "channels", "height", "width")]
        shapes = [(n, c, h, w) for n, c, h, w in zip(*axes, strict=False)]
    if len(shapes) not in (1, len(tops)):
        raise error_at(
            layer.place, f"layer '{layer.name}' states {len(shapes)} shapes for {len(tops)} tops"
        )
    if len(shapes) == 1:
        shapes *= len(tops)
    return {top: Source(shape, layer.place) for top, shape in zip(tops, shapes, strict=True)}


def _image(layer: LayerText, message: Message, asked: Asked) -> tuple[tuple[int, ...], str]:
    """Return the NCHW shape of what a data layer reads, and what had to be assumed."""
    batch = fields.integer(message, "batch_size", asked.batch_size or 0, 1)
    if not batch:
        raise error_at(layer.place, f"layer '{layer.name}' states no batch; --batch_size is needed")
    if asked.image is not None:
        height, width, channels = asked.image
        return (batch, channels, height, width), ""
    if layer.type == "MemoryData":
        sizes = [fields.needed_integer(message, key) for key in ("channels", "height", "width")]
        return (batch, *sizes), ""
    transform = fields.part(layer.message, "transform_param")
    crop = fields.integer(transform, "crop_size", fields.integer(message, "crop_size", 0))
    height = crop or fields.integer(message, "new_height", 0)
    width = crop or fields.integer(message, "new_width", 0)
    if not height or not width:
        raise error_at(
            layer.place,
            f"layer '{layer.name}' ({layer.type}) states no image size; "
            "--input_shape=HEIGHT,WIDTH,CHANNELS is needed",
        )
    if fields.flag(transform, "force_gray", False) or not fields.flag(message, "is_color", True):
        return (batch, 1, height, width), ""
    if len(fields.all_of(transform, "mean_value")) == 3:
        return (batch, 3, height, width), ""
    note = f"layer '{layer.name}': 3 channels are assumed; --input_shape says otherwise"
    return (batch, 3, height, width), note

r"""Convert a network from Caffe's prototxt or from ONNX into Paleo's JSON.

python experiments/convert.py --input=deploy.prototxt --output=/tmp/net.json --batch_size=16
"""

import os

import command_line
from absl import flags

from greennas_jax.costs import counts, layer_table, settings
from greennas_jax.importers import formats
from greennas_jax.importers.draft import Asked
from greennas_jax.report import files
from greennas_jax.spec import paleo_json
from greennas_jax.spec.network import Network, SpecError

_INPUT = flags.DEFINE_string("input", None, "A .prototxt or .onnx file.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The file in Paleo's JSON to write.", required=True)
_FORMAT = flags.DEFINE_enum(
    "format", None, formats.FORMATS, "The input's format; by default what its name tells."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Batch size; by default the one in the file.", lower_bound=1
)
_INPUT_SHAPE = flags.DEFINE_list(
    "input_shape", None, "HEIGHT,WIDTH,CHANNELS of the input, where the file does not state them."
)
_STRICT = flags.DEFINE_bool("strict", False, "Refuse layer types that are not known.")
_MOST_NAMED = 8


def _image() -> tuple[int, int, int] | None:
    """Return the image's height, width and channels that the flags state."""
    if _INPUT_SHAPE.value is None:
        return None
    sizes = [int(text) if text.isdecimal() else 0 for text in _INPUT_SHAPE.value]
    if len(sizes) != 3 or min(sizes) < 1:
        told = ",".join(_INPUT_SHAPE.value)
        raise SpecError(f"--input_shape is '{told}'; HEIGHT,WIDTH,CHANNELS from 1 are needed")
    return sizes[0], sizes[1], sizes[2]


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _summary(network: Network) -> str:
    table = layer_table.from_network(network)
    parameters = int(counts.parameters(table, settings.CostSettings()).sum())
    return f"{_OUTPUT.value}: {len(network.layers)} layers, {parameters} parameters"


def main() -> None:
    """Convert the file that the flags name."""
    if os.path.exists(_OUTPUT.value) and os.path.samefile(_INPUT.value, _OUTPUT.value):
        raise SpecError(f"{_OUTPUT.value}: both --input and --output; two files are needed")
    asked = Asked(_BATCH_SIZE.value, _image())
    network, notes = formats.load(_INPUT.value, _FORMAT.value, asked)
    unknown = [
        f"type '{kind}' is not known and costs one read and one write: {_some(names)}"
        for kind, names in paleo_json.unknown_types(network).items()
    ]
    if _STRICT.value and unknown:
        raise SpecError(f"{_INPUT.value}: {unknown[0]}; refused as --strict asks")
    text = paleo_json.write(network)
    paleo_json.read(text, origin=_INPUT.value)
    summary = _summary(network)
    files.write_text(_OUTPUT.value, text)
    print("\n".join([summary, *(f"note: {note}" for note in (*notes, *unknown))]))


if __name__ == "__main__":
    command_line.run(main)

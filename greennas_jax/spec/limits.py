"""The most that is read of anything: sizes of files and texts, depth, layers, sizes of tensors.

What is beyond a limit is refused in one line that names it. They stand far above what people write
and far below what would take a gigabyte or ten seconds to read.
"""

# Bytes of a JSON text: networks, devices, links, layer models, records of a run.
LARGEST_JSON = 16 * 2**20
# Levels of objects and lists within each other, of JSON and of protocol buffers' text.
DEEPEST_NESTING = 32
# Layers of a network, those within blocks counted.
MOST_LAYERS = 20_000
# Layers that all layers read, in sum.
MOST_PARENTS = 200_000
# Characters of a name.
LONGEST_NAME = 256
# Any size that a layer states: channels, kernels, strides, splits, places.
LARGEST_SIZE = 2**24
# Elements of an output.
LARGEST_OUTPUT = 2**50
# Copies of the layers of a ModelParallel.
MOST_SPLITS = 4096
# Bytes of a Caffe network's text, and of an ONNX file (what protocol buffers can hold).
LARGEST_PROTOTXT = 2 * 2**20
LARGEST_ONNX = 2**31 - 1
# Bytes of a table or a log (of a gzip file also when it is unpacked), and of a file of weights.
LARGEST_TABLE = 64 * 2**20
LARGEST_WEIGHTS = 4 * 2**30
# Pixels of an image file: unpacked it takes some fifteen bytes each for a moment.
MOST_PIXELS = 2**25
# Characters of an offending value that a message repeats.
LONGEST_SHOWN = 100
# A figure of a device or a link, beside nought: beyond, times and energies leave float64.
SMALLEST_FIGURE = 1e-30
LARGEST_FIGURE = 1e30

"""Caffe's prototxt: the network of phase TEST, as Caffe builds it.

Both syntaxes are read, `layer { type: "ReLU" }` and the older `layers { type: RELU }`. Include and
exclude rules are Caffe's (`Net::FilterNet`, `Net::StateMeetsRule`). Blobs are renamed as in-place
layers rewrite them. Losses and accuracies are left out, but SoftmaxWithLoss is the Softmax that a
deployed network ends in.
"""

from collections.abc import Sequence

from greennas_jax.importers import caffe_inputs, caffe_layers, fields, text_format
from greennas_jax.importers import draft as drafts
from greennas_jax.importers.caffe_inputs import Source
from greennas_jax.importers.caffe_layers import LayerText
from greennas_jax.importers.draft import Asked, Draft, Imported
from greennas_jax.importers.text_format import Message, PlacedError, Scalar, error_at
from greennas_jax.spec.network import SpecError, shown

PHASES = ("TRAIN", "TEST")
# Words of `V1LayerParameter.LayerType` whose name is not the newer one in capitals.
_OLD_TYPES = {
    **{"ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat"},
    **{"CONVOLUTION": "Convolution", "DECONVOLUTION": "Deconvolution", "DATA": "Data"},
    **{"DROPOUT": "Dropout", "DUMMY_DATA": "DummyData", "ELTWISE": "Eltwise", "EXP": "Exp"},
    **{"FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output"},
    **{"IM2COL": "Im2col", "IMAGE_DATA": "ImageData", "INNER_PRODUCT": "InnerProduct"},
    **{"LRN": "LRN", "MEMORY_DATA": "MemoryData", "MVN": "MVN", "POOLING": "Pooling"},
    **{"POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid", "SILENCE": "Silence"},
    **{"SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split"},
    **{"SLICE": "Slice", "TANH": "TanH", "THRESHOLD": "Threshold", "WINDOW_DATA": "WindowData"},
    **{"ACCURACY": "Accuracy", "CONTRASTIVE_LOSS": "ContrastiveLoss"},
    **{"EUCLIDEAN_LOSS": "EuclideanLoss", "HINGE_LOSS": "HingeLoss"},
    **{"INFOGAIN_LOSS": "InfogainLoss", "NONE": "None"},
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
}
_MEASURES = ("Accuracy", "Silence", "HDF5Output", "DetectionEvaluate")


def read(
    text: str,
    *,
    source: str = "Caffe",
    asked: Asked = drafts.NOTHING_ASKED,
) -> Imported:
    """Read a network from a prototxt.

    Args:
      text: A `NetParameter` in text format.
      source: Where it came from, kept in the network's text.
      asked: What the user states about the input.

    Raises:
      SpecError: If the text is malformed, or its network cannot be told in the specification; the
        line and the column are named.
    """
    net = text_format.parse(text)
    texts = _layers(net)
    draft = Draft()
    sources = caffe_inputs.of_net(net)
    blobs: dict[str, str | Source] = dict(sources)
    left_out: dict[str, LayerText] = {}
    state = fields.part(net, "state")
    for layer in texts:
        if not _is_included(layer.message, state):
            left_out |= {top: layer for top in fields.texts(layer.message, "top")}
            continue
        try:
            _add(draft, layer, blobs, left_out, asked)
        except PlacedError:
            raise
        except SpecError as error:
            raise error_at(layer.place, str(error)) from None
    name = fields.text(net, "name") or "network"
    return drafts.finish(draft, name, source, batch_size=asked.batch_size)


def _layers(net: Message) -> list[LayerText]:
    """Return the layers of a network, of whatever phase."""
    if fields.has(net, "base_lr", "train_net", "net"):
        raise error_at(net.place, "this is a solver; the network's own prototxt is needed")
    found = []
    for field in net.fields:
        if field.name not in ("layer", "layers"):
            continue
        message = field.value
        if not isinstance(message, Message):
            raise error_at(field.place, f"'{field.name}' is no message; '{{' and fields are needed")
        message = Message(message.fields, field.place)
        if fields.has(message, "layer"):
            raise error_at(
                field.place, "a layer inside 'layers', Caffe's first syntax, is not read"
            )
        tops = fields.texts(message, "top")
        name = fields.text(message, "name") or (tops[0] if tops else f"layer{len(found) + 1}")
        found.append(LayerText(name, _type(message), message))
    if not found:
        raise error_at(net.place, "no 'layer' or 'layers'; a network is needed")
    return found


def _type(message: Message) -> str:
    """Return a layer's type by its newer name."""
    field = fields.one(message, "type")
    if field is None:
        raise error_at(message.place, "the layer's 'type' is missing")
    value = field.value
    if isinstance(value, Scalar) and value.kind == "string":
        kind = str(value.value)
        if kind.isprintable() and 0 < len(kind) <= 100:
            return kind
    elif isinstance(value, Scalar) and value.value in _OLD_TYPES:
        return _OLD_TYPES[str(value.value)]
    told = shown(value.value) if isinstance(value, Scalar) else "a message"
    raise error_at(
        field.place, f"'type' is {told}, no layer type of Caffe; a quoted type is needed"
    )


def _is_included(message: Message, state: Message) -> bool:
    """Return whether a layer belongs to the network of phase TEST."""
    include, exclude = (fields.messages(message, key) for key in ("include", "exclude"))
    if include and exclude:
        raise error_at(message.place, "'include' and 'exclude' rules; one kind is allowed")
    if include:
        return any(_meets(rule, state) for rule in include)
    return not any(_meets(rule, state) for rule in exclude)


def _meets(rule: Message, state: Message) -> bool:
    level = fields.integer(state, "level", 0)
    stages = set(fields.texts(state, "stage"))
    return (
        fields.choice(rule, "phase", PHASES, "TEST") == "TEST"
        and fields.integer(rule, "min_level", level) <= level
        and fields.integer(rule, "max_level", level) >= level
        and stages.issuperset(fields.texts(rule, "stage"))
        and stages.isdisjoint(fields.texts(rule, "not_stage"))
    )


def _add(
    draft: Draft,
    layer: LayerText,
    blobs: dict[str, str | Source],
    left_out: dict[str, LayerText],
    asked: Asked,
) -> None:
    """Add one layer to the draft and its tops to the blobs."""
    tops = fields.texts(layer.message, "top")
    bottoms = fields.all_of(layer.message, "bottom")
    if layer.type in _MEASURES or (layer.type.endswith("Loss") and layer.type != "SoftmaxWithLoss"):
        draft.notes.append(f"layer '{layer.name}' ({layer.type}) is left out")
        return
    if not bottoms and (layer.type in caffe_inputs.PARAMETERS or asked.image is not None):
        if not tops:
            raise error_at(layer.place, f"layer '{layer.name}' has no top")
        _check_tops(layer, tops, blobs, ())
        blobs.update(caffe_inputs.of_layer(layer, tops, asked))
        return
    read = bottoms[:1] if layer.type == "SoftmaxWithLoss" else bottoms
    names = [fields.as_text(bottom) for bottom in read]
    parents: list[str] = []
    for field, name in zip(read, names, strict=True):
        if name not in blobs:
            raise error_at(field.place, _unknown(name, left_out))
        parents.append(_layer_of(draft, name, blobs, asked))
    if not tops and layer.type != "SoftmaxWithLoss":
        raise error_at(layer.place, f"layer '{layer.name}' has no top")
    _check_tops(layer, tops, blobs, names)
    made = _convert(draft, layer, tuple(parents))
    blobs.update(dict.fromkeys(tops, made))


def _unknown(name: str, left_out: dict[str, LayerText]) -> str:
    message = f"bottom {shown(name)} is made by no layer before"
    if name not in left_out:
        return message
    maker = left_out[name]
    return f"{message}; layer '{maker.name}', line {maker.place.line}, is not of phase TEST"


def _check_tops(
    layer: LayerText, tops: list[str], blobs: dict[str, str | Source], in_place: Sequence[str]
) -> None:
    """Refuse a top that another layer makes, unless this layer rewrites it."""
    for top in tops:
        if top in blobs and top not in in_place:
            raise error_at(
                layer.place, f"layer '{layer.name}': top {shown(top)} is made by a layer before"
            )


def _layer_of(draft: Draft, name: str, blobs: dict[str, str | Source], asked: Asked) -> str:
    """Return the layer that makes a blob; an input becomes a layer when it is first read."""
    maker = blobs[name]
    if isinstance(maker, str):
        return maker
    if maker.shape is None:
        raise error_at(maker.place, f"{shown(name)} is a label, which only a loss may read")
    if maker.note:
        draft.notes.append(maker.note)
    try:
        made = drafts.add_input(draft, name, drafts.nhwc(maker.shape), asked)
    except SpecError as error:
        raise error_at(maker.place, str(error)) from None
    blobs[name] = made
    return made


def _convert(draft: Draft, layer: LayerText, parents: tuple[str, ...]) -> str:
    """Add what a layer computes and return the layer that its tops name."""
    if len(parents) == 0:
        raise error_at(layer.place, f"layer '{layer.name}' ({layer.type}) has no bottom")
    if len(parents) > 1 and layer.type not in caffe_layers.READ_SEVERAL:
        raise error_at(
            layer.place,
            f"layer '{layer.name}' ({layer.type}) has {len(parents)} bottoms; one is supported",
        )
    if layer.type == "Split":
        return parents[0]
    if layer.type in caffe_layers.CONVERTERS:
        return caffe_layers.CONVERTERS[layer.type](draft, layer, parents)
    if layer.type in caffe_layers.RESHAPING:
        raise error_at(
            layer.place, f"layer '{layer.name}': type '{layer.type}' changes shapes and is not read"
        )
    if layer.type in drafts.RESERVED_TYPES:
        raise error_at(layer.place, f"layer '{layer.name}': Caffe has no type '{layer.type}'")
    return drafts.add(draft, layer.name, layer.type, parents)

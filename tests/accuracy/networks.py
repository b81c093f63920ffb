"""Small networks of every kind the template must hold."""

import json

from greennas_jax.spec import paleo_json


def _conv(parents, *filters, strides=1, padding="SAME", **attributes):
    return {
        "type": "Convolution",
        "parents": parents.split(),
        "filter": list(filters),
        "strides": [1, strides, strides, 1],
        "padding": padding,
        **attributes,
    }


def _pool(parents, size, strides, padding="VALID", kind="Pooling"):
    return {
        "type": kind,
        "parents": parents.split(),
        "ksize": [1, size, size, 1],
        "strides": [1, strides, strides, 1],
        "padding": padding,
    }


def _dense(parents, outputs, **attributes):
    return {"type": "InnerProduct", "parents": [parents], "num_outputs": outputs, **attributes}


def _of(kind, parents, **attributes):
    return {"type": kind, "parents": parents.split(), **attributes}


def _network(name, size, layers):
    data = {"type": "Input", "parents": [], "tensor": [4, *size]}
    return paleo_json.read(json.dumps({"name": name, "layers": {"data": data, **layers}}))


def lenet():
    """A LeNet: VALID convolutions above a flatten, so that sizes differ between children."""
    return _network(
        "lenet",
        (12, 12, 1),
        {
            "conv1": _conv("data", 3, 3, 1, 4, activation_fn="relu"),
            "pool1": _pool("conv1", 2, 2),
            "conv2": _conv("pool1", 3, 3, 4, 6, padding="VALID", activation_fn="relu"),
            "pool2": _pool("conv2", 2, 2),
            "fc1": _dense("pool2", 12, activation_fn="relu"),
            "fc2": _dense("fc1", 5),
            "softmax": _of("Softmax", "fc2", num_classes=5),
        },
    )


def chain():
    """An AlexNet: strides, overlapping pools, list padding, inner products as convolutions."""
    return _network(
        "chain",
        (23, 19, 3),
        {
            "conv1": _conv("data", 5, 5, 3, 6, strides=2, padding="VALID", activation_fn="tanh"),
            "pool1": _pool("conv1", 3, 2, "SAME"),
            "conv2": _conv("pool1", 3, 5, -1, 8, padding=[1, 2], activation_fn="relu"),
            "conv3": _conv("conv2", 4, 4, 8, 8, strides=2, activation_fn="sigmoid"),
            "average": _pool("conv3", 3, 2, "SAME", "AvgPool"),
            "fc4": _conv("average", 2, 1, 8, 16, padding="VALID", activation_fn="relu6"),
            "drop4": _of("Dropout", "fc4", dropout_keep_prob=0.5),
            "fc5": _conv("drop4", 1, 1, 16, 16, activation_fn="relu"),
            "fc6": _conv("fc5", 1, 1, 16, 5, activation_fn=None),
            "softmax": _of("Softmax", "fc6"),
        },
    )


def residual():
    """A ResNet with batch normalisation: ties, projections and blocks that can be dropped."""
    norm = {"normalizer_fn": "batch_norm", "use_bias": False}
    relu = {**norm, "activation_fn": "relu"}
    return _network(
        "residual",
        (8, 8, 3),
        {
            "stem": _conv("data", 3, 3, 3, 6, **relu),
            "a1": _conv("stem", 3, 3, 6, 6, **relu),
            "a2": _conv("a1", 3, 3, 6, 6, **norm),
            "add1": _of("Elementwise", "stem a2", activation_fn="relu"),
            "b1": _conv("add1", 3, 3, 6, 8, strides=2, **relu),
            "b2": _conv("b1", 3, 3, 8, 8, **norm),
            "short": _conv("add1", 1, 1, 6, 8, strides=2, padding="VALID", **norm),
            "add2": _of("Elementwise", "short b2", activation_fn="relu"),
            "c1": _conv("add2", 1, 1, 8, 4, **relu),
            "c2": _conv("c1", 3, 3, 4, 8, **norm),
            "add3": _of("Elementwise", "c2 add2", activation_fn="relu"),
            "pool": _pool("add3", 4, 1, kind="AvgPool"),
            "fc": _dense("pool", 5),
        },
    )


def branches():
    """An Inception: concatenated branches, LRN, grouped and separate layers behind them."""
    return _network(
        "branches",
        (9, 9, 3),
        {
            "stem": _conv("data", 3, 3, 3, 6, padding="VALID", activation_fn="relu"),
            "lrn": _of("LRN", "stem"),
            "left": _conv("lrn", 1, 1, 6, 4, activation_fn="relu"),
            "middle": _conv("lrn", 3, 3, 6, 8, activation_fn="gelu"),
            "pooled": _pool("lrn", 3, 1, "SAME", "AvgPool"),
            "right": _conv("pooled", 1, 1, 6, 4, activation_fn="silu"),
            "join": _of("Concatenate", "left middle right", dim=3),
            "lrn2": _of("LRN", "join"),
            "deep": _conv("lrn2", 3, 3, 16, 16),
            "bn": _of("BatchNorm", "deep"),
            "relu": _of("ReLU", "bn"),
            "all": _pool("relu", 7, 1),
            "gate": _dense("all", 4, activation_fn="sigmoid"),
            "given_groups": _conv("relu", 3, 3, 16, 12, strides=2, groups=4, activation_fn="relu"),
            "flat": _of("Reshape", "given_groups", output_shape=[-1, -1]),
            "side": _dense("flat", 6, activation_fn="relu"),
            "join2": _of("Concatenate", "side flat gate", dim=1),
            "fc": _dense("join2", 5),
            "prob": _of("Softmax", "fc"),
        },
    )


def mobile():
    """A MobileNet: depthwise convolutions that follow the width in front of them."""
    relu = {"normalizer_fn": "batch_norm", "activation_fn": "relu6"}
    return _network(
        "mobile",
        (10, 10, 1),
        {
            "conv": _conv("data", 3, 3, 1, 8, strides=2, **relu),
            "dw1": _conv("conv", 3, 3, 8, 8, groups=8, **relu),
            "pw1": _conv("dw1", 1, 1, 8, 12, **relu),
            "dw2": _conv("pw1", 3, 3, 12, 12, strides=2, groups=12, **relu),
            "pw2": _conv("dw2", 1, 1, 12, 12, **relu),
            "pool": _pool("pw2", 3, 1, kind="AvgPool"),
            "fc": _dense("pool", 5),
        },
    )


def decoder():
    """Layers of fixed size: a transposed convolution, upsampling, a reshape to images."""
    return _network(
        "decoder",
        (6, 6, 2),
        {
            "conv": _conv("data", 3, 3, 2, 6, activation_fn="relu"),
            "narrow": _conv("conv", 3, 3, 6, 4, strides=2, activation_fn="relu"),
            "up": _of(
                "Deconvolution",
                "narrow",
                filter=[3, 3, 4, 4],
                strides=[1, 2, 2, 1],
                padding="SAME",
                output_shape=[4, 6, 6, 4],
                activation_fn="relu",
            ),
            "more": _of("UpSampling2D", "up", ksize=[1, 2, 2, 1]),
            "conv2": _conv("more", 3, 3, 4, 4, strides=2, activation_fn="relu"),
            "fc": _dense("conv2", 16, activation_fn="relu"),
            "image": _of("Reshape", "fc", output_shape=[-1, 2, 2, 4]),
            "last": _conv("image", 2, 2, 4, 1, padding="VALID"),
            "sigmoid": _of("Sigmoid", "last"),
        },
    )


ALL = {f.__name__: f for f in (lenet, chain, residual, branches, mobile, decoder)}

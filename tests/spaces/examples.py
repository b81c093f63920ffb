"""Small networks of every kind of graph that the space of edits must handle."""

from greennas_jax.spec.network import Layer, Network


def conv(parent, kernel, width, *, stride=1, padding="SAME", **attributes):
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    return (
        "Convolution",
        (parent,),
        {
            "filter": [*kernel, -1, width],
            "strides": [1, stride, stride, 1],
            "padding": padding,
            "activation_fn": "relu",
            **attributes,
        },
    )


def pool(parent, size, stride, *, kind="Pooling", padding="VALID"):
    window = {"ksize": [1, size, size, 1], "strides": [1, stride, stride, 1], "padding": padding}
    return kind, (parent,), window


def inner(parent, width):
    return "InnerProduct", (parent,), {"num_outputs": width}


def plain(kind, *parents, **attributes):
    return kind, parents, attributes


def network(name, size, channels, layers, batch=2):
    data = ("Input", (), {"tensor": [batch, size, size, channels]})
    return Network(
        name=name,
        layers=tuple(
            Layer(name=key, type=kind, parents=parents, attributes=attributes)
            for key, (kind, parents, attributes) in {"data": data, **layers}.items()
        ),
    )


def chain():
    """VALID kernels whose larger outputs an inner product takes, LeNet-like."""
    layers = {
        "conv1": conv("data", 5, 6),
        "pool1": pool("conv1", 2, 2),
        "conv2": conv("pool1", 5, 16, padding="VALID"),
        "pool2": pool("conv2", 2, 2),
        "fc1": inner("pool2", 32),
        "fc2": inner("fc1", 32),
        "drop": plain("Dropout", "fc2", dropout_keep_prob=0.5),
        "fc3": inner("drop", 10),
        "softmax": plain("Softmax", "fc3", num_classes=10),
    }
    return network("chain", 16, 1, layers)


def dense_like():
    """Strided VALID kernels in front of convolutions that stand for inner products."""
    layers = {
        "conv1": conv("data", 7, 16, stride=2, padding="VALID"),
        "norm1": plain("LRN", "conv1"),
        "pool1": pool("norm1", 3, 2),
        "conv2": conv("pool1", 3, 24),
        "fc6": conv("conv2", 7, 64, padding="VALID"),
        "fc7": conv("fc6", 1, 64),
        "fc8": conv("fc7", 1, 10, activation_fn=None),
        "softmax": plain("Softmax", "fc8"),
    }
    return network("dense-like", 35, 3, layers)


def residual():
    """Two stages of identity blocks with batch normalisation, and a projection between them."""
    layers = {"stem": conv("data", 3, 16, normalizer_fn="batch_norm")}
    last = "stem"
    for block in ("a", "b"):
        layers |= {
            f"{block}1": conv(last, 3, 16, use_bias=False, activation_fn=None),
            f"{block}1bn": plain("BatchNorm", f"{block}1"),
            f"{block}1relu": plain("ReLU", f"{block}1bn"),
            f"{block}2": conv(f"{block}1relu", 3, 16, use_bias=False, activation_fn=None),
            f"{block}2bn": plain("BatchNorm", f"{block}2"),
            f"{block}add": plain("Elementwise", last, f"{block}2bn"),
        }
        last = f"{block}add"
    layers |= {
        "c1": conv(last, 3, 32, stride=2),
        "c2": conv("c1", 3, 32),
        "project": conv(last, 1, 32, stride=2, padding="VALID"),
        "cadd": plain("Elementwise", "project", "c2"),
        "pool": pool("cadd", 4, 1, kind="AvgPool"),
        "fc": inner("pool", 10),
    }
    return network("residual", 8, 3, layers)


def inception():
    """Two concatenations of branches, with a pooled branch and flat kernels."""
    layers = {"stem": conv("data", 3, 24, padding="VALID", stride=2)}
    last = "stem"
    for block in ("a", "b"):
        layers |= {
            f"{block}/one": conv(last, 1, 16),
            f"{block}/reduce": conv(last, 1, 16),
            f"{block}/wide": conv(f"{block}/reduce", (1, 5), 16),
            f"{block}/tall": conv(f"{block}/wide", (5, 1), 24),
            f"{block}/pool": pool(last, 3, 1, kind="AvgPool", padding="SAME"),
            f"{block}/after": conv(f"{block}/pool", 1, 8),
            f"{block}": plain(
                "Concatenate", f"{block}/one", f"{block}/tall", f"{block}/after", dim=3
            ),
        }
        last = block
    layers |= {"pool": pool(last, 8, 1, kind="AvgPool"), "fc": inner("pool", 10)}
    return network("inception", 17, 3, layers)


def mobile():
    """Depthwise convolutions in the given network, with global pooling before the classifier."""
    layers = {
        "stem": conv("data", 3, 16, stride=2),
        "dw1": conv("stem", 3, 16, groups=16),
        "pw1": conv("dw1", 1, 32),
        "dw2": conv("pw1", 5, 32, groups=32, stride=2),
        "pw2": conv("dw2", 1, 32),
        "pool": pool("pw2", 4, 1, kind="AvgPool"),
        "fc": conv("pool", 1, 10, activation_fn=None),
        "softmax": plain("Softmax", "fc"),
    }
    return network("mobile", 16, 3, layers)


def stacked():
    """Convolutions in a row that may all be skipped, VGG-like."""
    layers = {
        "conv1": conv("data", 3, 16),
        "conv2": conv("conv1", 3, 16),
        "conv3": conv("conv2", 3, 16),
        "conv4": conv("conv3", 3, 16),
        "pool": pool("conv4", 2, 2),
        "conv5": conv("pool", 3, 32),
        "conv6": conv("conv5", 3, 32),
        "fc": inner("conv6", 10),
    }
    return network("stacked", 8, 3, layers)


def dense():
    """Every layer reads the concatenation of all before it, DenseNet-like."""
    layers = {"stem": conv("data", 3, 16)}
    last = "stem"
    for block in range(4):
        layers |= {
            f"grow{block}": conv(last, 3, 16),
            f"cat{block}": plain("Concatenate", last, f"grow{block}", dim=3),
        }
        last = f"cat{block}"
    layers |= {"pool": pool(last, 8, 8), "fc": inner("pool", 10)}
    return network("dense", 8, 3, layers)


def odd():
    """What is not freely edited: flattening, fixed reshapes, groups, upsampling, even kernels."""
    layers = {
        "conv1": conv("data", 4, 16),
        "conv2": conv("conv1", 3, 24, padding=[1, 1], groups=2),
        "down": conv("conv2", 2, 16, stride=2, padding="VALID"),
        "up": plain("UpSampling2D", "down", ksize=[1, 2, 2, 1]),
        "cat": plain("Concatenate", "conv1", "up", dim=3),
        "fixed": conv("cat", 3, 8),
        "reshape": plain("Reshape", "fixed", output_shape=[-1, 16, 4, 8]),
        "conv3": conv("reshape", 3, 16, padding="VALID"),
        "flat": plain("Reshape", "conv3", output_shape=[-1, 448]),
        "fc1": inner("flat", 24),
        "side": plain("Dropout", "fc1", dropout_keep_prob=0.5),
        "fc2": inner("fc1", 10),
        "softmax": plain("Softmax", "fc2", num_classes=10),
    }
    return network("odd", 8, 3, layers)


def nested():
    """A residual block inside another, whose sums tie a concatenation's width."""
    layers = {
        "stem": conv("data", 3, 16),
        "a": conv("stem", 3, 16),
        "b": conv("a", 3, 16),
        "inner": plain("Elementwise", "a", "b"),
        "c": conv("inner", 3, 16),
        "outer": plain("Elementwise", "stem", "c"),
        "left": conv("outer", 3, 8),
        "right": conv("outer", 1, 8),
        "cat": plain("Concatenate", "left", "right", dim=3),
        "tied": plain("Elementwise", "outer", "cat"),
        "end": conv("tied", 3, 16),
        "pool": pool("end", 8, 1, kind="AvgPool"),
        "fc": inner("pool", 10),
    }
    return network("nested", 8, 3, layers)


ALL = {
    function.__name__: function
    for function in (
        chain,
        dense_like,
        residual,
        inception,
        mobile,
        stacked,
        dense,
        odd,
        nested,
    )
}

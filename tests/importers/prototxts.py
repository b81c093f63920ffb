"""Published networks in Caffe's text, written out layer by layer."""


def layer(name, kind, bottoms, top=None, rest=""):
    bottoms = [bottoms] if isinstance(bottoms, str) else bottoms
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top or name}" {rest} }}\n'


def conv(name, bottom, outputs, kernel, *, pad=0, stride=1, group=1, bias=True):
    rest = (
        f"param {{ lr_mult: 1 }} convolution_param {{ num_output: {outputs} kernel_size: {kernel} "
        f"pad: {pad} stride: {stride} group: {group} bias_term: {str(bias).lower()} "
        'weight_filler { type: "gaussian" std: 0.01 } }'
    )
    return layer(name, "Convolution", bottom, rest=rest)


def relu(bottom):
    return layer(f"relu_{bottom}", "ReLU", bottom, bottom)


def pool(name, bottom, kernel, stride, *, pad=0, method="MAX"):
    rest = f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    return layer(name, "Pooling", bottom, rest=rest)


def dense(name, bottom, outputs):
    rest = f"inner_product_param {{ num_output: {outputs} }}"
    return layer(name, "InnerProduct", bottom, rest=rest)


def lrn(name, bottom):
    return layer(name, "LRN", bottom, rest="lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")


def inputs(*shape):
    dims = " ".join(f"dim: {size}" for size in shape)
    shape = f"input_param {{ shape: {{ {dims} }} }}"
    return f'layer {{ name: "data" type: "Input" top: "data" {shape} }}\n'


def dropped(bottom):
    rest = "dropout_param { dropout_ratio: 0.5 }"
    return layer(f"drop_{bottom}", "Dropout", bottom, bottom, rest)


# Caffe's examples/mnist/lenet.prototxt.
LENET = "".join(
    [
        'name: "LeNet"\n',
        inputs(64, 1, 28, 28),
        conv("conv1", "data", 20, 5),
        pool("pool1", "conv1", 2, 2),
        conv("conv2", "pool1", 50, 5),
        pool("pool2", "conv2", 2, 2),
        dense("ip1", "pool2", 500),
        relu("ip1"),
        dense("ip2", "ip1", 10),
        layer("prob", "Softmax", "ip2"),
    ]
)

# Caffe's models/bvlc_alexnet/deploy.prototxt, with the inputs of its first versions.
ALEXNET = "".join(
    [
        'name: "AlexNet"\ninput: "data"\n',
        "input_dim: 10\ninput_dim: 3 # channels\ninput_dim: 227\ninput_dim: 227\n",
        conv("conv1", "data", 96, 11, stride=4) + relu("conv1"),
        lrn("norm1", "conv1") + pool("pool1", "norm1", 3, 2),
        conv("conv2", "pool1", 256, 5, pad=2, group=2) + relu("conv2"),
        lrn("norm2", "conv2") + pool("pool2", "norm2", 3, 2),
        conv("conv3", "pool2", 384, 3, pad=1) + relu("conv3"),
        conv("conv4", "conv3", 384, 3, pad=1, group=2) + relu("conv4"),
        conv("conv5", "conv4", 256, 3, pad=1, group=2) + relu("conv5"),
        pool("pool5", "conv5", 3, 2),
        dense("fc6", "pool5", 4096) + relu("fc6") + dropped("fc6"),
        dense("fc7", "fc6", 4096) + relu("fc7") + dropped("fc7"),
        dense("fc8", "fc7", 1000),
        layer("prob", "Softmax", "fc8"),
    ]
)


def _inception(name, bottom, sizes):
    """Szegedy et al. 2015, table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj."""
    one, reduce3, three, reduce5, five, project = sizes
    parts = [
        conv(f"{name}/1x1", bottom, one, 1) + relu(f"{name}/1x1"),
        conv(f"{name}/3x3_reduce", bottom, reduce3, 1) + relu(f"{name}/3x3_reduce"),
        conv(f"{name}/3x3", f"{name}/3x3_reduce", three, 3, pad=1) + relu(f"{name}/3x3"),
        conv(f"{name}/5x5_reduce", bottom, reduce5, 1) + relu(f"{name}/5x5_reduce"),
        conv(f"{name}/5x5", f"{name}/5x5_reduce", five, 5, pad=2) + relu(f"{name}/5x5"),
        pool(f"{name}/pool", bottom, 3, 1, pad=1),
        conv(f"{name}/proj", f"{name}/pool", project, 1) + relu(f"{name}/proj"),
    ]
    ends = [f"{name}/{end}" for end in ("1x1", "3x3", "5x5", "proj")]
    return "".join(parts) + layer(f"{name}/output", "Concat", ends)


# The stem of Caffe's models/bvlc_googlenet, one module per stage.
GOOGLENET = "".join(
    [
        'name: "GoogLeNet, one module per stage"\n',
        'input: "data" input_shape { dim: 10 dim: 3 dim: 224 dim: 224 }\n',
        conv("conv1", "data", 64, 7, pad=3, stride=2) + relu("conv1"),
        pool("pool1", "conv1", 3, 2) + lrn("norm1", "pool1"),
        conv("conv2r", "norm1", 64, 1) + relu("conv2r"),
        conv("conv2", "conv2r", 192, 3, pad=1) + relu("conv2") + lrn("norm2", "conv2"),
        pool("pool2", "norm2", 3, 2),
        _inception("3a", "pool2", (64, 96, 128, 16, 32, 32)),
        pool("pool3", "3a/output", 3, 2),
        _inception("4a", "pool3", (192, 96, 208, 16, 48, 64)),
        pool("pool4", "4a/output", 3, 2),
        _inception("5a", "pool4", (256, 160, 320, 32, 128, 128)),
        pool("pool5", "5a/output", 7, 1, method="AVE"),
        dropped("pool5") + dense("classifier", "pool5", 1000),
        layer("prob", "Softmax", "classifier"),
    ]
)

# The first two stages of VGG-16 (Simonyan and Zisserman 2015), in the text of its publication.
OLD_VGG = """
name: "VGG"
input: "data"
input_dim: 10 input_dim: 3 input_dim: 224 input_dim: 224
layers { bottom: "data" top: "conv1_1" name: "conv1_1" type: CONVOLUTION
  convolution_param { num_output: 64 pad: 1 kernel_size: 3 } }
layers { bottom: "conv1_1" top: "conv1_1" name: "relu1_1" type: RELU }
layers { bottom: "conv1_1" top: "conv1_2" name: "conv1_2" type: CONVOLUTION
  blobs_lr: 1 blobs_lr: 2 convolution_param { num_output: 64 pad: 1 kernel_size: 3 } }
layers { bottom: "conv1_2" top: "conv1_2" name: "relu1_2" type: RELU }
layers { bottom: "conv1_2" top: "pool1" name: "pool1" type: POOLING
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layers { bottom: "pool1" top: "fc8" name: "fc8" type: INNER_PRODUCT
  inner_product_param { num_output: 10 } }
layers { bottom: "fc8" top: "fc8" name: "drop" type: DROPOUT dropout_param { dropout_ratio: 0.4 } }
layers { bottom: "fc8" top: "prob" name: "prob" type: SOFTMAX }
"""


def _normalized(name, bottom, outputs, kernel, **options):
    return (
        conv(name, bottom, outputs, kernel, bias=False, **options)
        + layer(
            f"bn_{name}", "BatchNorm", name, name, "batch_norm_param { use_global_stats: true }"
        )
        + layer(f"scale_{name}", "Scale", name, name, "scale_param { bias_term: true }")
    )


# The first block of ResNet-50's stage two (He et al. 2016), as in the authors' prototxt.
RESNET_BLOCK = "".join(
    [
        'name: "block"\n',
        inputs(4, 64, 56, 56),
        _normalized("branch1", "data", 256, 1),
        _normalized("branch2a", "data", 64, 1) + relu("branch2a"),
        _normalized("branch2b", "branch2a", 64, 3, pad=1) + relu("branch2b"),
        _normalized("branch2c", "branch2b", 256, 1),
        layer("sum", "Eltwise", ["branch1", "branch2c"]) + relu("sum"),
        layer("pool", "Pooling", "sum", rest="pooling_param { pool: AVE global_pooling: true }"),
    ]
)

# A training file in the manner of Caffe's examples: both phases, labels, losses.
TRAINING = """
name: "training"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 32 mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }
  data_param { source: "train_lmdb" batch_size: 100 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 32 mean_value: 104 mean_value: 117 mean_value: 123 }
  data_param { source: "test_lmdb" batch_size: 50 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 32 pad: 2 kernel_size: 5 stride: 1 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "pool" top: "pool" }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" include { phase: TRAIN } }
layer { name: "mean" type: "Pooling" bottom: "pool" top: "mean" exclude { phase: TRAIN }
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "mean" top: "fc"
  inner_product_param { num_output: 10 bias_term: false } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""

"""Names of the kinds of layers, which files and flags state figures by."""

KINDS = (
    "convolution",
    "grouped_convolution",
    "depthwise_convolution",
    "inner_product",
    "pooling",
    "normalisation",
    "attention",
    "feed_forward",
    "embedding",
    "elementwise",
    "free",
)

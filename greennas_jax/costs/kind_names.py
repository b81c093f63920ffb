"""Names of the kinds of layers that efficiencies, power models and calibration are stated for."""

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

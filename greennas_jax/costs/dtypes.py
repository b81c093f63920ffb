"""Number formats in which a network is computed and held."""

DTYPES = ("fp32", "tf32", "bf16", "fp16", "int8")
# tf32 is how a matrix unit rounds; in memory it is fp32.
ELEMENT_BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "int8": 1}

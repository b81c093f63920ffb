"""Networks as code and files that others run: Flax source, safetensors, ONNX."""

"""The format ``onnx``."""

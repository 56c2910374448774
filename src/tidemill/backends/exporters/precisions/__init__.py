"""Smaller forms of an ONNX graph: weights in 16 bits, and arithmetic in 8."""

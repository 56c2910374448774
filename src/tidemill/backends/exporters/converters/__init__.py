"""What the ONNX exporter knows of each framework."""

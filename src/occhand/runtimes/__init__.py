"""What runs a network: PyTorch, its compiler, ONNX Runtime or OpenVINO, behind one call."""

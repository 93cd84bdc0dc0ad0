"""Prediction on any recording: windows, streaming decisions, output formats, an HTML page, packed models and ONNX."""

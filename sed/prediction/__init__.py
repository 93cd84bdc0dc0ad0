"""Prediction on any recording: windows, streaming decisions, formats, the page, packed models and ONNX."""

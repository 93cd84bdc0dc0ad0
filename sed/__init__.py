"""Sound event detection with a pretrained Audio Spectrogram Transformer (AST-SED)."""

__version__ = "0.2.0"

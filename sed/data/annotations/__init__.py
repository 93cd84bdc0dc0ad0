"""Label files of other tools: one module per format, and the registry that recognises them by their content."""

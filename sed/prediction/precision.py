"""Lower precision for inference on a processor."""

from __future__ import annotations

from typing import Any

from sed.log import UserError


def lower(detector: Any, precision: str, device: str) -> Any:
    """The detector computing in `precision`; only float32 and, on a GPU, bfloat16 (by autocast) so far."""
    if precision == "float32" or (precision == "bfloat16" and device != "cpu"):
        return detector
    raise UserError(f"--precision {precision}: not on {device}")

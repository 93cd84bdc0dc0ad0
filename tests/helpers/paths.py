"""Paths of the repository and of the development kit: real recordings, annotations and scores that are not published.

Tests that need the kit are skipped without it.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIT = Path(os.environ.get("SED_KIT", ROOT.parent / "shared" / "kit"))

"""Options of post-processing as a command line gives them."""

import argparse

from sed.config import Parser
from sed.evaluation.postprocessing.options import add_arguments


def post_processing_options(*arguments: str) -> argparse.Namespace:
    """Parse a command line that has only these options."""
    parser = Parser("test")
    add_arguments(parser)
    return parser.parse_args(arguments)

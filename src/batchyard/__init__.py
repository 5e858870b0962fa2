"""Batchyard: AWS Batch on your own machines."""

from batchyard.version import VERSION as __version__

__all__ = ["__version__"]

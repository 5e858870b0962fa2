"""Batchyard: AWS Batch on your own machines."""

from batchyard.version import VERSION

__version__ = VERSION
__all__ = ["__version__"]

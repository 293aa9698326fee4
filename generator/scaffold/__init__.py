"""Start a PyTorch training project you own."""

__version__ = "0.4.0"

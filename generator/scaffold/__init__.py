"""Start a PyTorch training project you own."""

__version__ = "0.5.1"

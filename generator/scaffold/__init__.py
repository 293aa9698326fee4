"""Start a PyTorch training project you own."""

__version__ = "0.6.2"

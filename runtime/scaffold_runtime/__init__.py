"""The runtime under every Scaffold project."""

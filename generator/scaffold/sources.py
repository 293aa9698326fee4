"""Where releases come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from scaffold import archive, releases
from scaffold.answers import Record
from scaffold.errors import ScaffoldError
from scaffold.releases import Release


@dataclass(frozen=True)
class Source:
    """Releases that belong together."""

    history: Path

    def versions(self) -> list[str]:
        """List the versions, oldest first."""
        return releases.versions(self.history)

    def newest(self) -> Release:
        """Read the newest release."""
        return releases.newest(self.history)

    def read(self, version: str) -> Release:
        """Read one release; one that is newer than all, or does not exist, is refused."""
        known = self.versions()
        well_formed = re.fullmatch(r"\d+\.\d+\.\d+", version, re.ASCII)
        if known and well_formed and archive.order(version) > archive.order(known[-1]):
            newest = f"the newest that this tool has is {known[-1]}"
            raise ScaffoldError(
                f"there is no release {version} here, {newest}; install a newer one"
            )
        return releases.read(version, self.history)


def of(record: Record | None = None, history: Path | None = None) -> Source:
    """
    Return the releases that a project belongs to.

    Args:
        record: The project's; without one, what new projects are made from.
        history: Where the releases lie; by default those of this installation.
    """
    return Source(history or releases.history_folder())

"""A team's own folder of templates, small, and what it goes through."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from updating import LINES

COPIER = """\
_subdirectory: project
_envops:
  undefined: jinja2.StrictUndefined
_exclude:
  - "{% if not docs %}/DOCS.md{% endif %}"
project_name:
  type: str
  help: Its name
  default: "{{ suggested_name }}"
docs:
  type: bool
  help: Whether it has documentation
  default: true
"""
FILES = {
    "copier.yml": COPIER,
    "base/DOCS.md": "Read this.\n",
    "mine/template.yml": "summary: Ours\nexpect: little\n",
    "mine/train.py": LINES,
    "mine/README.md.jinja": "# {{ markdown(project_name) }}\n",
}


class Team:
    """A folder of templates; a repository as soon as something is committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path: str, text: str) -> None:
        """Write one of its files."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def tag(self, tag: str = "") -> str:
        """Commit everything, tag it if a name is given, and return the commit."""
        top = self.folder if not (self.folder.parent / ".git").exists() else self.folder.parent
        if not (top / ".git").exists():
            git(top, "init", "--quiet")
        git(top, "add", "--all")
        git(top, "commit", "--quiet", "--allow-empty", "--message", f"State {tag}")
        if tag:
            git(top, "tag", tag)
        return git(top, "rev-parse", "HEAD").strip()

    def moves_on(self, tag: str = "") -> str:
        """Change a line of `train.py`, commit and tag that."""
        self.write("mine/train.py", LINES.replace("line 18\n", "line 18, better\n"))
        return self.tag(tag)


def git(folder: Path, *arguments: str) -> str:
    """Run git as the user would."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, "GIT_EDITOR": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def everything(folder: Path) -> dict[str, bytes]:
    """Return whatever lies below a folder, repositories left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts[:-1]
    }

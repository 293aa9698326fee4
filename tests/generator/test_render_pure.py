"""Rendering is pure: a release, a template and answers give the same bytes, whoever asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaffold import releases
from scaffold.releases import Release

RENDER_ALL = """
import hashlib, json, os, sys
from pathlib import Path
from scaffold import plans, releases, render
from scaffold.answers import Record
os.umask(int(sys.argv[2], 8))
history, found = Path(sys.argv[1]), {}
for version in releases.versions(history):
    release = releases.read(version, history)
    for template in render.templates(release):
        answers = render.ask(release, template, {"author": "Z\\u00f6e \\u4f60"}, "digits")
        for path, file in plans.rendered(Record(template, version, answers), release).items():
            digest = hashlib.sha256(file.content).hexdigest()
            found[f"{version} {template} {path}"] = [digest, file.executable]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_every_release_renders_to_the_same_bytes_anywhere(repository: Path, tmp_path: Path) -> None:
    """Home, language, time zone, umask, folder, hash seed and Copier's settings change nothing."""
    history = tmp_path / "history"
    history.mkdir()
    for version in releases.versions(repository / releases.HISTORY):
        releases.write(releases.read(version, repository / releases.HISTORY), history)
    releases.write(Release("1000.0.0", releases.working_tree(repository)), history)
    settings = tmp_path / "settings.yml"
    settings.write_text("defaults: {author: Eve, description: Hers, ci: false}\ntrust: ['/']\n")
    (tmp_path / "elsewhere").mkdir()

    here = rendered(history, repository, "022", LC_ALL="C.UTF-8", TZ="UTC", PYTHONHASHSEED="1")
    there = rendered(
        history, tmp_path / "elsewhere", "077", LC_ALL="C", TZ="Asia/Tokyo", PYTHONHASHSEED="2",
        HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), TMPDIR=str(tmp_path / "elsewhere"),
        COPIER_SETTINGS_PATH=str(settings), PATH="/usr/bin:/bin", LANGUAGE="de", USER="eve",
    )  # fmt: skip
    assert here == there
    assert any(path.startswith("1000.0.0 ") for path in here)


def rendered(history: Path, folder: Path, umask: str, **environment: str) -> dict[str, object]:
    """Render all releases in a process of its own; return the sha256 of every file."""
    done = subprocess.run(
        [sys.executable, "-c", RENDER_ALL, str(history), umask],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result

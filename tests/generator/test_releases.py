"""Releases: written once, small, and checked whenever they are read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from scaffold import releases, render
from scaffold.errors import ScaffoldError
from scaffold.releases import File, Release

FIRST = {"templates/a.txt": File(b"one"), "runtime/scaffold_runtime/run.sh": File(b"two", True)}
SECOND = FIRST | {"templates/a.txt": File(b"three"), "templates/same.txt": File(b"two")}
THIRD = SECOND | {"templates/b.txt": File(b"one")}


def test_a_release_is_read_back_as_it_was_written(history: Path) -> None:
    """Contents, paths and modes come back, also those whose contents lie in an earlier zip."""
    assert releases.read("0.1.0", history).files == FIRST
    assert releases.read("0.9.0", history).files == SECOND
    assert releases.newest(history) == Release("0.10.0", THIRD)


def test_versions_are_in_order(history: Path) -> None:
    """0.10.0 comes after 0.9.0, and files that are no release are none."""
    (history / "notes.zip").touch()
    assert releases.versions(history) == ["0.1.0", "0.9.0", "0.10.0"]


def test_a_release_holds_only_what_no_earlier_one_holds(history: Path) -> None:
    """Contents are stored once in the whole history, whatever the path."""
    names = [zipfile.ZipFile(history / f"{version}.zip").namelist() for version in versions()]
    assert [len(held) - 1 for held in names] == [2, 1, 0]
    assert {held[0] for held in names} == {"manifest.json"}


def test_the_same_files_give_the_same_bytes(history: Path, tmp_path: Path) -> None:
    """A release depends on its files and on the releases before it, not on when and where."""
    again = tmp_path / "again"
    again.mkdir()
    write_all(again, reverse=True)
    for version in versions():
        assert (history / f"{version}.zip").read_bytes() == (again / f"{version}.zip").read_bytes()
    # Its manifest holds the sha256 of the zip before it, and so on back to the first.
    newest = (history / "0.10.0.zip").read_bytes()
    assert (
        hashlib.sha256(newest).hexdigest()
        == "1d38f9d5e89ad9faee131577b7039be7ba09db8bdb76007efca71ca55cf6c757"
    )


def test_a_release_is_never_written_over(history: Path) -> None:
    """A version that is there stays as it is, and nothing is left beside it."""
    before = (history / "0.10.0.zip").read_bytes()
    with pytest.raises(FileExistsError):
        releases.write(Release("0.10.0", FIRST), history)
    assert (history / "0.10.0.zip").read_bytes() == before
    assert len(list(history.iterdir())) == 3


@pytest.mark.parametrize("version", ["0.1.0", "0.9.0", "0.10.0"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_damaged_zip_is_named_in_one_line(history: Path, version: str, part: float) -> None:
    """One changed byte in any zip of the chain is found, and the line names the file."""
    path = history / f"{version}.zip"
    data = bytearray(path.read_bytes())
    data[int(len(data) * part)] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ScaffoldError, match=f"{version}.zip' is damaged"):
        releases.newest(history)


def test_an_older_zip_that_was_written_anew_is_found(history: Path, tmp_path: Path) -> None:
    """A sound zip that is not the one its successor was built on is refused."""
    other = tmp_path / "other"
    other.mkdir()
    releases.write(Release("0.1.0", FIRST | {"templates/more.txt": File(b"more")}), other)
    shutil.copy(other / "0.1.0.zip", history)
    with pytest.raises(ScaffoldError, match=r"0\.1\.0\.zip' is damaged: it is not the file"):
        releases.newest(history)


def test_a_missing_older_zip_is_named(history: Path) -> None:
    """A history with a gap is refused with the name of what is missing."""
    (history / "0.9.0.zip").unlink()
    with pytest.raises(ScaffoldError, match=r"0\.9\.0\.zip"):
        releases.newest(history)


@pytest.mark.parametrize("path", ["../out.txt", "/out.txt", "templates/../../out.txt"])
def test_a_release_with_a_path_out_of_its_folder_is_refused(tmp_path: Path, path: str) -> None:
    """No file of a release can come to lie outside of where it is unpacked."""
    releases.write(Release("0.1.0", {path: File(b"out")}), tmp_path)
    with pytest.raises(ScaffoldError, match="is damaged: it lists"):
        releases.newest(tmp_path)


def test_an_unknown_release_is_refused_with_the_nearest(history: Path) -> None:
    """A version that is not there is one line, with the nearest that is."""
    with pytest.raises(ScaffoldError, match=r"no release '0\.9'; did you mean '0\.9\.0'"):
        releases.read("0.9", history)


def test_a_release_of_a_checkout_holds_its_templates_and_runtime(checkout: Path) -> None:
    """Files that git tracks or would track are released, with their modes; nothing else is."""
    (checkout / "templates/new.sh").write_text("new")
    (checkout / "templates/new.sh").chmod(0o775)
    (checkout / "templates/ignored.pyc").write_text("ignored")
    (checkout / "runtime/pyproject.toml").write_text("not in projects")
    (checkout / "templates/gone.txt").unlink()
    releases.release("0.1.0", checkout)
    assert releases.newest(checkout / releases.HISTORY).files == {
        "templates/copier.yml": File(b"{}"),
        "templates/new.sh": File(b"new", executable=True),
        "runtime/scaffold_runtime/__init__.py": File(b""),
    }


def test_a_release_without_changes_is_refused(checkout: Path) -> None:
    """A version is for something: what changed is listed, and where nothing did there is none."""
    releases.release("0.1.0", checkout)
    assert releases.differences(checkout) == []
    with pytest.raises(ScaffoldError, match=r"nothing to release: .* 0\.1\.0"):
        releases.release("0.2.0", checkout)
    (checkout / "templates/copier.yml").chmod(0o755)
    assert releases.differences(checkout) == ["templates/copier.yml"]
    releases.release("0.2.0", checkout)


@pytest.mark.parametrize(
    ("version", "wrong"),
    [
        ("1.0", "is not a version"),
        ("01.0.0", "is not a version"),
        ("1.0.0rc1", "is not a version"),
        ("../1.0.0", "is not a version"),
        ("0.1.0", "is not above the newest release, 0.2.0"),
        ("0.2.0", "is not above the newest release, 0.2.0"),
        ("0.3.0", "CHANGELOG.md has no heading '## 0.3.0'"),
    ],
)
def test_a_version_that_cannot_follow_is_refused(checkout: Path, version: str, wrong: str) -> None:
    """A release's version is new, above the newest, and in the changelog."""
    releases.release("0.2.0", checkout)
    (checkout / "templates/copier.yml").write_text("[]")
    with pytest.raises(ScaffoldError, match=wrong):
        releases.release(version, checkout)
    assert releases.versions(checkout / releases.HISTORY) == ["0.2.0"]


def test_a_path_that_two_folders_have_is_refused() -> None:
    """Base, template and runtime never say the same file twice, rendered or not."""
    files = {"templates/base/a.txt.jinja": File(b""), "templates/one/a.txt": File(b"")}
    with pytest.raises(ScaffoldError, match=r"'a\.txt' of 'one' lies in two places"):
        render.project_files(Release("0.1.0", files), "one")


# Copier leaves the listing of a folder open when it gives up.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("templates/base/a.jinja", "{{ nobody_said }}"),
        ("templates/base/a.jinja", "{% if %}"),
        ("templates/copier.yml", "_tasks: [touch /tmp/ran]\n_subdirectory: project"),
        ("templates/copier.yml", "_jinja_extensions: [os]\n_subdirectory: project"),
    ],
)
def test_a_faulty_template_is_one_line(
    small_files: dict[str, File], tmp_path: Path, path: str, content: str
) -> None:
    """A name without a value, a slip in the syntax or anything that needs trust is one line."""
    release = Release("0.1.0", {**small_files, path: File(content.encode())})
    answers = {"project_name": "a", "description": "b", "author": "c"}
    with pytest.raises(
        ScaffoldError, match="template 'supervised' cannot be rendered: "
    ) as refusal:
        render.render(release, "supervised", answers, tmp_path)
    assert "\n" not in str(refusal.value)


# Copier leaves the listing of a folder open when it gives up.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_slip_in_the_syntax_is_told_with_its_place(
    small_files: dict[str, File], tmp_path: Path
) -> None:
    """The file as it lies in the template, and the line."""
    slip = {"templates/supervised/a.md.jinja": File(b"one\n{{ 1 | nothing }}\n")}
    answers = {"project_name": "a", "description": "b", "author": "c"}
    with pytest.raises(ScaffoldError, match=r"rendered: a\.md\.jinja, line 2: No filter"):
        render.render(Release("0.1.0", {**small_files, **slip}), "supervised", answers, tmp_path)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Three releases."""
    folder = tmp_path / "history"
    folder.mkdir()
    write_all(folder)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small repository of the form of ours, without a release."""
    folder = tmp_path / "checkout"
    (folder / releases.HISTORY).mkdir(parents=True)
    (folder / "runtime/scaffold_runtime").mkdir(parents=True)
    (folder / "runtime/scaffold_runtime/__init__.py").touch()
    (folder / "templates/copier.yml").write_text("{}")
    (folder / "templates/gone.txt").touch()
    (folder / "CHANGELOG.md").write_text(
        "# Changes\n\n## 0.1.0\n\n## 0.2.0 \u2014 2026\n\n## 0.3.0.1\n"
    )
    (folder / ".gitignore").write_text("*.pyc\n")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "."], cwd=folder, check=True)
    return folder


def versions() -> list[str]:
    return ["0.1.0", "0.9.0", "0.10.0"]


def write_all(history: Path, *, reverse: bool = False) -> None:
    for version, files in zip(versions(), (FIRST, SECOND, THIRD), strict=True):
        ordered = dict(reversed(files.items())) if reverse else files
        path = releases.write(Release(version, ordered), history)
        os.utime(path, (0, 0))
        assert json.loads(zipfile.ZipFile(path).read("manifest.json"))["version"] == version

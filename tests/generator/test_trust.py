"""Hostile templates: each would make a file outside of the project, or run something."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from teams import COPIER, FILES, Team, everything, git

from scaffold import project, releases, updates
from scaffold.errors import ScaffoldError
from scaffold.releases import File, Release
from scaffold.sources import Given

CODE = {
    "_tasks": "['touch {evil}']",
    "_jinja_extensions": "['evil.Extension']",
}
MODULE = "import pathlib\npathlib.Path({evil!r}).touch()\n"


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that must not come to be."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "evil"


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path / "team")


def new(small: Path, *, trust: bool = False, source: str = "team") -> Path:
    told = Given(source, trust)
    return project.create("project", "mine", defaults=True, history=small, told=told).folder


@pytest.mark.parametrize("setting", CODE)
def test_programs_of_a_template_are_refused(
    small: Path, team: Team, evil: Path, setting: str
) -> None:
    """Tasks and extensions of Jinja are named in one line, and nothing is run."""
    team.write("copier.yml", f"{COPIER}{setting}: {CODE[setting].format(evil=evil)}\n")
    team.write("evil.py", MODULE.format(evil=str(evil)))
    with pytest.raises(ScaffoldError, match=f"run programs .{setting}.*only with --trust"):
        new(small)
    assert not evil.exists()
    assert not Path("project").exists()


def test_migrations_are_refused_from_everybody(small: Path, team: Team, evil: Path) -> None:
    """An update is a merge: what Copier would run in one is not silently left out."""
    team.write("copier.yml", f"{COPIER}_migrations: ['touch {evil}']\n")
    with pytest.raises(ScaffoldError, match=r"_migrations.* has no meaning here"):
        new(small, trust=True)
    assert not evil.exists()


def test_tasks_run_where_they_are_trusted(small: Path, team: Team, evil: Path) -> None:
    """With --trust the tasks run in the new project, once."""
    team.write("copier.yml", f"{COPIER}_tasks: ['echo ran >> {evil}; touch made']\n")
    folder = new(small, trust=True)
    assert evil.read_text() == "ran\n"
    assert (folder / "made").exists()


def test_trust_is_not_recorded(small: Path, team: Team, evil: Path) -> None:
    """A project cannot bring trust with it: each command is told anew."""
    team.write("copier.yml", f"{COPIER}_tasks: ['touch {evil}']\n")
    folder = new(small, trust=True)
    evil.unlink()
    with pytest.raises(ScaffoldError, match="only with --trust"):
        updates.compare(folder, small)
    assert not evil.exists()
    updates.compare(folder, small, Given(None, trust=True))
    assert evil.exists()


def test_tasks_that_came_with_a_newer_release_are_refused(
    small: Path, team: Team, evil: Path
) -> None:
    """An update is as careful as a new project."""
    team.tag("1.0.0")
    folder = new(small)
    team.write("copier.yml", f"{COPIER}_tasks: ['touch {evil}']\n")
    team.tag("1.1.0")
    before = everything(folder)
    with pytest.raises(ScaffoldError, match="only with --trust"):
        updates.update(folder, history=small)
    assert not evil.exists()
    assert everything(folder) == before


@pytest.mark.parametrize("committed", [False, True], ids=["folder", "repository"])
@pytest.mark.parametrize("link", ["mine/train.py", "base/inside", "copier.yml", "base"])
def test_links_are_refused(small: Path, team: Team, evil: Path, link: str, committed: bool) -> None:
    """A link could bring any file of this machine into a project; one line names it."""
    (team.folder / "real").mkdir()
    if link == "base":
        (team.folder / "base").rename(team.folder / "real" / "base")
    (team.folder / link).unlink(missing_ok=True)
    (team.folder / link).symlink_to("/etc/passwd" if link != "base" else "real/base")
    if committed:
        team.tag("1.0.0")
    with pytest.raises(ScaffoldError, match=f"'{link}' in .* is a link"):
        new(small)


def test_a_runtime_behind_a_link_is_refused(
    small: Path, team: Team, evil: Path, tmp_path: Path
) -> None:
    """A folder that is a link leads outside, too, where the templates have one of their own."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret.py").write_text("SECRET = 1\n")
    (tmp_path / "outer" / "runtime").mkdir(parents=True)
    (tmp_path / "outer" / "runtime" / "scaffold_runtime").symlink_to(tmp_path / "other")
    team.folder.rename(tmp_path / "outer" / "templates")
    with pytest.raises(ScaffoldError, match=r"'runtime/scaffold_runtime' in .* is a link"):
        new(small, source="outer")


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("templates/mine/.git/hooks/post-commit", "would be git's own"),
        ("templates/base/.GIT/config", "would be git's own"),
        ("templates/mine/../../../evil", "is damaged: it lists"),
        ("/tmp/evil", "is damaged: it lists"),
        ("templates/mine/{{ '..' }}/evil", "has braces in its name"),
        ("templates/mine/a\nb", "is no path"),
        ("templates/mine/.scaffold.yml", "is written by Scaffold itself"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(
    small: Path, team: Team, evil: Path, path: str, wrong: str
) -> None:
    """A zip can list any path; those that no project may have are named, and nothing is made."""
    plain = {f"templates/{name}": File(text.encode()) for name, text in FILES.items()}
    (team.folder / "history").mkdir()
    hostile = Release("1.0.0", plain | {path: File(b"touch evil\n", executable=True)})
    releases.write(hostile, team.folder / "history")
    with pytest.raises(ScaffoldError, match=wrong):
        new(small)
    assert not evil.exists()
    assert not Path("project").exists()


def test_a_repository_is_read_without_checking_it_out(
    scaffold: Any, team: Team, evil: Path, tmp_path: Path
) -> None:
    """Neither its hooks nor the filters of the user's settings run on what it holds."""
    team.write(".gitattributes", "* filter=evil\n")
    team.tag("1.0.0")
    for hook in ("post-checkout", "post-upload-pack", "pre-receive", "reference-transaction"):
        path = team.folder / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {evil}\n")
        path.chmod(0o755)
    settings = tmp_path / "settings"
    settings.write_text(f'[filter "evil"]\n\tsmudge = "touch {evil}; cat"\n\trequired = true\n')
    new = ("new", "project", "--template", "mine", "--no-git", "--from", "team")
    assert scaffold(*new, GIT_CONFIG_GLOBAL=str(settings)).returncode == 0
    assert not evil.exists()


def test_no_submodule_is_fetched(small: Path, team: Team, evil: Path, tmp_path: Path) -> None:
    """A submodule among the templates is refused, not followed."""
    other = Team(tmp_path / "other")
    commit = other.tag()
    git(team.folder, "init", "--quiet")
    entry = f"160000,{commit},mine/sub"
    git(team.folder, "update-index", "--add", "--cacheinfo", entry)
    git(team.folder, "add", *FILES)
    git(team.folder, "commit", "--quiet", "--message", "With it")
    with pytest.raises(ScaffoldError, match=r"'mine/sub' in .* is a submodule"):
        new(small)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Copier's.
@pytest.mark.parametrize(
    "jinja",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ toml.__globals__['re'].sys.modules['os'].system('touch evil') }}",
        "{{ cycler.__init__.__globals__.os.system('touch evil') }}",
        "{% include '/etc/passwd' %}",
        "{% include '../../../../../../../../etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
def test_jinja_gets_out_of_nothing(small: Path, team: Team, evil: Path, jinja: str) -> None:
    """Jinja runs in a sandbox: neither Python's insides nor other files can be reached."""
    team.write("mine/README.md.jinja", jinja)
    with pytest.raises(ScaffoldError, match="cannot be rendered"):
        new(small)
    assert not evil.exists()


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("_external_data: {x: ../../secret.yml}", "'_external_data', which has no meaning"),
        ("_preserve_symlinks: true", "'_preserve_symlinks', which has no meaning"),
        ("_subdirectory: ..", "needs the line `_subdirectory: project`"),
        ("more: !include /etc/passwd", "is no YAML"),
        ("more: {type: yaml, help: x, default: []}", "'more' needs a `type`"),
        ("more: {type: str, help: x, default: '', secret: true}", "'more' is secret"),
        ("more: {type: str, help: x}", "'more' needs a `default`"),
        ("more: {type: str, default: x}", "'more' needs a `help`"),
        ("toml: {type: str, help: x, default: ''}", "'toml' has a name that cannot be used"),
        ("- 1", "is no YAML"),
    ],
)
def test_settings_and_questions_are_known_ones(
    small: Path, team: Team, evil: Path, line: str, wrong: str
) -> None:
    """What Scaffold cannot keep its promises with is refused in one line."""
    team.write("copier.yml", f"{COPIER}{line}\n")
    with pytest.raises(ScaffoldError, match=wrong) as caught:
        new(small)
    assert "\n" not in str(caught.value)


def test_nobody_is_asked_for_a_password(scaffold: Any, evil: Path, tmp_path: Path) -> None:
    """The programs that would ask are not run, and ssh is told not to."""
    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\ntouch {evil}\n")
    ask.chmod(0o755)
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/ssh-got\nexit 255\n')
    ssh.chmod(0o755)
    asking = {"GIT_ASKPASS": str(ask), "SSH_ASKPASS": str(ask)}
    path = f"{ssh.parent}:{os.environ['PATH']}"
    done = scaffold("list", "--from", "git@nowhere:x", PATH=path, **asking)
    assert "cannot read the repository 'git@nowhere:x'" in done.stderr
    assert "BatchMode=yes" in (tmp_path / "ssh-got").read_text()
    assert not evil.exists()

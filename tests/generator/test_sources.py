"""Templates of a team's own: where their releases come from, and updates to them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from teams import COPIER, LINES, Team, everything, git

from scaffold import answers, project, releases, reports, updates
from scaffold.answers import Record
from scaffold.errors import ScaffoldError
from scaffold.releases import File, Release
from scaffold.sources import Given

BETTER = LINES.replace("line 18\n", "line 18, better\n")


class User:
    """Somebody who makes a project of a team's templates, and edits it."""

    def __init__(self, history: Path, folder: Path) -> None:
        self.history, self.folder = history, folder

    def new(self, source: str, version: str | None = None) -> project.Created:
        return project.create(
            str(self.folder), "mine", defaults=True, version=version, history=self.history,
            told=Given(source),
        )  # fmt: skip

    def update(self, *settings: str, source: str | None = None) -> updates.Updated | None:
        told = Given(source)
        return updates.update(self.folder, None, settings, history=self.history, told=told)

    def status(self) -> str:
        comparison = updates.compare(self.folder, self.history)
        return reports.status(comparison)

    @property
    def record(self) -> Record:
        return answers.read(self.folder)

    def read(self, path: str) -> str:
        return (self.folder / path).read_text()

    def edits(self) -> None:
        """Change a line of `train.py`, and commit it."""
        text = self.read("train.py").replace("line 2\n", "line 2, mine\n")
        (self.folder / "train.py").write_text(text)
        git(self.folder, "commit", "--quiet", "--all", "--message", "Mine")


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path / "team")


@pytest.fixture
def user(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.chdir(tmp_path)
    return User(small, tmp_path / "project")


def test_a_project_of_a_folder_is_pinned_to_what_it_holds(team: Team, user: User) -> None:
    """The record names the folder, its content as the version, and the runtime that ours lent."""
    made = user.new("team")
    record = user.record
    assert sorted(everything(user.folder)) == [
        *(".scaffold.yml", "DOCS.md", "README.md", "scaffold_runtime/__init__.py", "train.py"),
    ]
    assert (record.source, record.commit, record.runtime) == ("../team", "", "0.3.0")
    assert record.version.startswith("content-")
    assert "tag it" in made.notes[-1]
    assert git(user.folder, "log", "--format=%s").startswith("Start from content-")


def test_files_beside_the_templates_are_none_of_their_content(team: Team, user: User) -> None:
    """A page about the templates, caches and tests of them make no other version."""
    user.new("team")
    team.write("README.md", "About these.\n")
    team.write("tests/test_them.py", "pass\n")
    team.write("mine/__pycache__/train.pyc", "")
    assert user.status().endswith("Up to date.")


def test_an_answer_can_be_changed_where_there_are_no_versions(team: Team, user: User) -> None:
    """A folder that did not change is a base, so `--set` works."""
    user.new("team")
    user.update("docs=no")
    assert not (user.folder / "DOCS.md").exists()


def test_a_folder_that_changed_without_versions_is_refused(team: Team, user: User) -> None:
    """Nobody knows what it was: one line says so and what to do, nothing is changed."""
    user.new("team")
    team.write("mine/train.py", BETTER)
    before = everything(user.folder)
    with pytest.raises(ScaffoldError, match=r"'\.\./team' have changed, from content-.*tag"):
        user.update()
    assert everything(user.folder) == before


def test_a_folder_that_was_tagged_before_it_changed_is_a_base(team: Team, user: User) -> None:
    """A project made of a folder without versions goes on with the tags it gets later."""
    user.new("team")
    user.edits()
    team.tag("1.0.0")
    team.moves_on("1.1.0")
    user.update()
    assert user.read("train.py") == BETTER.replace("line 2\n", "line 2, mine\n")
    assert user.record.version == "1.1.0"


def test_tags_are_the_history_of_a_repository(team: Team, user: User) -> None:
    """A new project is of the newest tag, whatever is committed or lies there after it."""
    team.tag("v1.2.0")
    commit = team.moves_on("1.10.0")
    git(team.folder, "tag", "nightly")
    team.write("mine/train.py", "no version yet\n")
    team.tag()
    made = user.new("team")
    assert (user.record.version, user.record.commit) == ("1.10.0", commit)
    assert user.read("train.py") == BETTER
    assert made.notes == ()


def test_tags_that_are_no_versions_are_named(team: Team, user: User) -> None:
    """What looks like a version and is passed over is said when a project is made."""
    team.tag("1.0")
    for tag in ("release-1.1.0", "1.0.0-rc1", "v2", "nightly", "v1.0.0"):
        git(team.folder, "tag", tag)
    made = user.new("team")
    assert user.record.version == "1.0.0"
    assert made.notes == (
        "Tags that are no versions were passed over: 1.0, 1.0.0-rc1, release-1.1.0 and others. "
        "A version is 1.2.0 or v1.2.0.",
    )


def test_no_update_goes_back_by_itself(team: Team, user: User) -> None:
    """Where the newest tag is older than the project, one line says so; --to goes there."""
    team.tag("1.0.0")
    team.moves_on("1.1.0")
    user.new("team")
    git(team.folder, "tag", "--delete", "1.1.0")
    wrong = r"project is of release 1\.1\.0, and the newest of '\.\./team' is 1\.0\.0.*--to 1\.0\.0"
    for command in (user.status, user.update):
        with pytest.raises(ScaffoldError, match=wrong):
            command()
    assert user.update("docs=no") is not None
    assert (user.record.version, user.read("train.py")) == ("1.1.0", BETTER)
    updates.update(user.folder, "1.0.0", history=user.history)
    assert (user.record.version, user.read("train.py")) == ("1.0.0", LINES)


def test_a_commit_beside_the_templates_is_no_release(tmp_path: Path, user: User) -> None:
    """In a larger repository without tags, only what changes the templates is an update."""
    (tmp_path / "tools").mkdir()
    git(tmp_path / "tools", "init", "--quiet")
    team = Team(tmp_path / "tools" / "team")
    first = team.tag()
    user.new("tools/team")
    (tmp_path / "tools" / "other.txt").write_text("other\n")
    last = team.tag()
    assert user.status().endswith("Up to date.")
    assert user.update() is None
    user.update("docs=no")
    assert user.record.commit == first
    updates.update(user.folder, last, history=user.history)
    assert user.record.commit == last
    team.moves_on()
    assert "the newest is" in user.status()
    user.update()
    assert user.read("train.py") == BETTER


def test_an_update_from_tag_to_tag_keeps_edits(team: Team, user: User) -> None:
    """`new --release` takes an earlier tag; status, diff and update see the newer one."""
    team.tag("v1.0.0")
    user.new("team", "1.0.0")
    assert user.status().endswith("Up to date.")
    team.moves_on("v1.1.0")
    user.edits()
    comparison = updates.compare(user.folder, user.history)
    assert reports.is_behind(comparison.plan)
    assert "release 1.0.0; the newest is 1.1.0" in reports.status(comparison)
    assert "+line 18, better" in updates.patch(user.folder, history=user.history)
    user.update()
    assert user.read("train.py") == BETTER.replace("line 2\n", "line 2, mine\n")
    subject = git(user.folder, "log", "-1", "--format=%s").strip()
    assert subject == "Update from 1.0.0 to 1.1.0 of ../team, template mine"
    assert user.update() is None


def test_a_tag_that_moved_does_not_move_the_base(team: Team, user: User) -> None:
    """The base is the commit that the project was made from, whatever its tag is now."""
    team.tag("1.0.0")
    user.new("team")
    user.edits()
    team.moves_on()
    git(team.folder, "tag", "--force", "1.0.0")
    assert "the newest is 1.0.0" in user.status()
    user.update()
    assert user.read("train.py") == BETTER.replace("line 2\n", "line 2, mine\n")


def test_without_tags_the_last_commit_is_the_release(team: Team, user: User) -> None:
    """The commit is pinned and serves as base, also when branches have left it behind."""
    first = team.tag()
    user.new("team")
    assert (user.record.version, user.record.commit) == (first[:12], first)
    user.edits()
    second = team.moves_on()
    user.update()
    assert user.read("train.py") == BETTER.replace("line 2\n", "line 2, mine\n")
    assert user.record.commit == second


def test_a_commit_that_is_gone_is_named(team: Team, user: User) -> None:
    """A rewritten repository has no base for an update: one line names the commit."""
    first = team.tag()
    user.new("team")
    shutil.rmtree(team.folder / ".git")
    team.moves_on()
    with pytest.raises(ScaffoldError, match=f"has no commit {first} any more"):
        user.update()


def test_a_history_is_taken_before_tags(team: Team, user: User) -> None:
    """Zips in `history/` are the releases, here and in a repository at an address."""
    team.tag("9.0.0")
    release(team, "1.0.0")
    user.new("team")
    assert (user.record.version, user.record.commit) == ("1.0.0", "")
    team.write("mine/train.py", BETTER)
    release(team, "1.1.0")
    team.tag("9.1.0")
    user.update(source=team.folder.as_uri())
    assert user.record.version == "1.1.0"
    assert user.read("train.py") == BETTER


def test_a_repository_at_an_address_is_pinned_with_it(team: Team, user: User) -> None:
    """An address is recorded as it was given, and is all that an update needs."""
    team.tag("1.0.0")
    address = team.folder.as_uri()
    user.new(address)
    assert user.record.source == address
    team.moves_on("1.1.0")
    user.update()
    assert user.read("train.py") == BETTER


def test_templates_may_lie_in_a_folder_of_a_repository(tmp_path: Path, user: User) -> None:
    """The tags of the repository around them are their history."""
    (tmp_path / "tools").mkdir()
    git(tmp_path / "tools", "init", "--quiet")
    team = Team(tmp_path / "tools" / "team")
    team.tag("1.0.0")
    user.new("tools/team")
    team.moves_on("1.1.0")
    user.update()
    assert user.read("train.py") == BETTER


def test_a_folder_that_a_repository_does_not_hold_is_a_plain_one(
    tmp_path: Path, team: Team, user: User
) -> None:
    """The commits of a repository around it that ignores it say nothing of it."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("*\n")
    git(tmp_path, "add", "--force", ".gitignore")
    git(tmp_path, "commit", "--quiet", "--message", "Home")
    user.new("team")
    assert user.record.version.startswith("content-")


def test_a_teams_own_runtime_is_taken(team: Team, user: User) -> None:
    """A folder with its own `runtime/scaffold_runtime` gets nothing of ours."""
    team.write("runtime/scaffold_runtime/__init__.py", "THEIRS = True\n")
    user.new("team")
    assert user.read("scaffold_runtime/__init__.py") == "THEIRS = True\n"
    assert user.record.runtime == ""


@pytest.mark.parametrize("trust", [True, False])
def test_a_runtime_may_be_left_out_in_part(team: Team, user: User, trust: bool) -> None:
    """What `_exclude` names of the runtime is not in the project; the rest is, with its modes."""
    team.write("copier.yml", COPIER.replace("  - ", "  - scaffold_runtime/loggers/\n  - "))
    for path in ("__init__.py", "tool.sh", "loggers/__init__.py"):
        team.write(f"runtime/scaffold_runtime/{path}", "")
    (team.folder / "runtime" / "scaffold_runtime" / "tool.sh").chmod(0o755)
    told = Given("team", trust)
    project.create(str(user.folder), "mine", defaults=True, history=user.history, told=told)
    runtime = user.folder / "scaffold_runtime"
    assert sorted(everything(runtime)) == ["__init__.py", "tool.sh"]
    assert [os.access(runtime / name, os.X_OK) for name in ("__init__.py", "tool.sh")] == [0, 1]


def test_a_lent_runtime_is_updated_with_the_tool(
    team: Team, user: User, small_files: Any, tmp_path: Path
) -> None:
    """The runtime of the record is the base; a newer tool brings its newer runtime."""
    team.tag("1.0.0")
    user.new("team")
    newer = tmp_path / "newer"
    shutil.copytree(user.history, newer)
    runtime = {"runtime/scaffold_runtime/__init__.py": File(b"NEWER = True\n")}
    releases.write(Release("0.4.0", {**small_files, **runtime}), newer)
    user.history = newer
    assert "the newest is 1.0.0 with the runtime of Scaffold 0.4.0" in user.status()
    user.update()
    assert user.read("scaffold_runtime/__init__.py") == "NEWER = True\n"
    assert user.record.runtime == "0.4.0"
    subject = git(user.folder, "log", "-1", "--format=%s").strip()
    assert subject == "Update to the runtime of Scaffold 0.4.0, template mine"


def test_a_folder_that_moved_is_given_anew(team: Team, user: User, tmp_path: Path) -> None:
    """One line says how; `--from` is then recorded, as seen from the project."""
    team.tag("1.0.0")
    user.new("team")
    (tmp_path / "elsewhere").mkdir()
    team.folder.rename(tmp_path / "elsewhere" / "team")
    with pytest.raises(ScaffoldError, match=r"no folder '\.\./team'.*--from PATH_OR_GIT_URL"):
        user.status()
    user.update(source="elsewhere/team")
    assert user.record.source == "../elsewhere/team"
    assert user.status().endswith("Up to date.")


def test_an_absolute_path_is_recorded_as_given(team: Team, user: User) -> None:
    """Whoever gives an absolute path gets that one."""
    user.new(str(team.folder))
    assert user.record.source == str(team.folder)


def test_a_project_of_ours_is_not_made_another(team: Team, user: User) -> None:
    """A team's templates are no base for what was made of ours."""
    project.create(str(user.folder), "supervised", defaults=True, history=user.history)
    with pytest.raises(ScaffoldError, match="leave --from out"):
        user.update(source="team")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("missing", "there is no folder 'missing'"),
        ("", "--from is empty"),
        ("project-less", "there are no templates in 'project-less'"),
        ("-u./evil", "neither the path of a folder nor an address"),
        ("ext::sh -c touch% evil", "no address that is read from"),
        ("--upload-pack=touch evil:x", "no address of a repository"),
        ("ssh://-oProxyCommand=touch/x", "no address of a repository"),
        ("git@-oProxyCommand=touch:x", "no address of a repository"),
        ("ftp://127.0.0.1/x", "there are: file, git, http, https, ssh"),
        ("https://ada:secret@127.0.0.1/x", "'https://127.0.0.1/x' was given with a name or"),
        ("https://secret@127.0.0.1/x", "'https://127.0.0.1/x' was given with a name or"),
        ("http://127.0.0.1:1/x", "cannot read the repository 'http://127.0.0.1:1/x'"),
        ("file:///nowhere/at/all", "cannot read the repository 'file:///nowhere/at/all'"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    scaffold: Any, tmp_path: Path, source: str, line: str
) -> None:
    """Neither a wrong address nor a failing network shows more, or leaves anything."""
    (tmp_path / "project-less").mkdir()
    done = scaffold("new", "project", "--template", "mine", "--defaults", "--from", source)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert line in done.stderr
    assert "secret" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["project-less"]


def test_a_release_that_is_not_there_is_named_with_the_nearest(team: Team, user: User) -> None:
    """The line says which there is."""
    team.tag("1.0.0")
    with pytest.raises(ScaffoldError, match=r"no release '1.0.1' of 'team'; did you mean '1.0.0'"):
        user.new("team", "1.0.1")


def test_the_command_takes_from_everywhere(scaffold: Any, team: Team, tmp_path: Path) -> None:
    """list, show, new, status, diff and update all take --from."""
    team.tag("1.0.0")
    origin = ("--from", "team")
    assert scaffold("list", *origin).stdout == "mine  Ours\n"
    assert "    DOCS.md\n" in scaffold("show", "mine", *origin).stdout
    made = scaffold("new", "project", "--template", "mine", *origin)
    assert made.stdout.startswith("Made project from the template mine of team, release 1.0.0.\n")
    team.moves_on("1.1.0")
    team.folder.rename(tmp_path / "moved")
    inside, moved = tmp_path / "project", ("--from", "../moved")
    assert scaffold("status", cwd=inside).returncode == 2
    assert scaffold("status", *moved, cwd=inside).returncode == 1
    assert "+line 18, better" in scaffold("diff", *moved, cwd=inside).stdout
    assert scaffold("update", *moved, cwd=inside).returncode == 0
    assert scaffold("status", cwd=inside).returncode == 0
    wrong = scaffold("new", "other", "--template", "mime", "--from", "moved")
    assert "did you mean 'mine'? (scaffold list --from moved shows all)" in wrong.stderr


def release(team: Team, version: str) -> None:
    """Write the team's folder as it lies as a release of its own."""
    files = {
        f"templates/{path}": File(content)
        for path, content in everything(team.folder).items()
        if not path.startswith("history/")
    }
    (team.folder / "history").mkdir(exist_ok=True)
    releases.write(Release(version, files), team.folder / "history")

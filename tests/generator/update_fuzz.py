"""
Update random projects to random templates, and compare with what git makes of the same trees.

    make update-fuzz CASES=5000

A case is a template, what somebody made of the project, and what became of the
template; all of it follows from the number of the case. Three things are checked:
the result is that of `git merge`; every line and every binary file that the user
wrote is in the result or in a conflict; what neither side touched is as it was.
What the user removed is left out of the comparison: it stays removed, whatever
became of it, where git would show a conflict.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

from scaffold import landing, merge, obstacles, reports, repository, scratch, workshop
from scaffold.errors import ScaffoldError
from scaffold.merge import Merged
from scaffold.releases import File

Content = tuple[str, bytes]  # The mode, as git writes it, and what lies in the file or link.
Tree = dict[str, Content]
TEXT, PROGRAM, LINK = "100644", "100755", "120000"
NAMES = (
    "train.py", "model.py", "data.py", "README.md", "tool.sh", "lib/a.py", "lib/b.py",
    "lib/deep/c.py", "lib/deep/d.py", "data/one.bin", "data/two.bin", "\u00fc b/\u00e9.txt",
)  # fmt: skip
NEW_NAMES = (
    "new.py", "lib/new.py", "core/new.py", "core/a.py", "core/model.py", "main.py", "data",
    "lib/deep", "train.py/part.py", "other/deep/x.bin", "\u4f60 'it'.txt", "lib2/a.py",
)  # fmt: skip
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    chosen = parser.parse_args()
    began, outcomes, failed = time.process_time(), [], 0
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        for number in range(chosen.first, chosen.first + chosen.cases):
            try:
                outcomes.append(place.check(number))
            except (AssertionError, ScaffoldError) as error:
                failed += 1
                print(f"case {number}: {error}", flush=True)
    conflicted = sum(outcomes)
    print(
        f"{chosen.cases} cases, {conflicted} with conflicts, {failed} failed; "
        f"{cpu_time() - began:.0f} s CPU time"
    )
    return 1 if failed else 0


class Place:
    """A repository in which one case after the other is played."""

    def __init__(self, folder: Path, *options: str) -> None:
        """
        Args:
            folder: An empty folder.
            options: For `git merge`.
        """
        self.options = options
        self.top = folder / "top"
        self.git("init", "--quiet", "--initial-branch=main", str(self.top), at=folder)

    def check(self, number: int) -> bool:
        """Play one case; say whether it had conflicts."""
        case = Case(number)
        old, mine, new = self.import_(case)
        gone = self.removed(old, mine, case.prefix)
        moved = self.moved(old, new, gone, case.prefix)

        self.check_out(mine)
        before = files_of(self.top)
        merged = self.update(case)
        result, index, conflicted = nameless(files_of(self.top)), *self.index()
        case.assert_nothing_lost(result, list(conflicted.values()))
        case.assert_untouched(result)
        if merged.conflicts:
            self.git(*reports.way_back(merged).split()[1:])
            assert files_of(self.top) == before, "it was not taken back"

        old, mine, new = self.import_(case, gone, moved)
        clean = self.merge(mine, new)
        assert clean == (not merged.conflicts), "conflicts are not those of git merge"
        assert nameless(files_of(self.top)) == result, "files are not those of git merge"
        theirs = self.index()
        assert index == theirs[0], "the index is not that of git merge"
        assert without_names(conflicted) == without_names(theirs[1]), "conflicts differ"
        return not clean

    def check_out(self, commit: str) -> None:
        self.git("reset", "--quiet", "--hard", commit)  # Ends what a case has begun, too.
        self.git("clean", "-ffdxq")

    def update(self, case: Case) -> Merged:
        around = repository.around(self.top / case.prefix)
        with workshop.opened(around) as folder:
            tree = scratch.make(folder / "scratch", around, own_objects=False)
            merge.take_last_commit(tree)
            old, new = ({p: as_file(c) for p, c in t.items()} for t in (case.old, case.new))
            merged = merge.merge(tree, old, new, "The update")
            for forbidding in (obstacles.in_the_way, obstacles.hidden_edits, obstacles.unwritable):
                assert forbidding(around, merged) == [], forbidding.__name__
            landing.land(tree, merged, folder, "The update", commit=True)
        return merged

    def import_(
        self,
        case: Case,
        gone: frozenset[str] = frozenset(),
        moved: frozenset[str] = frozenset(),
    ) -> list[str]:
        """Make commits of a case's trees, some files left out; the first is the others' parent."""
        trees = {
            "old": without(case.old, gone),
            "mine": case.mine,
            "new": without(case.new, gone | moved),
        }
        commits = (written(case.prefix, name, tree) for name, tree in trees.items())
        self.git("fast-import", "--quiet", "--force", given=b"".join(commits))
        return self.git("rev-parse", *(f"refs/case/{name}" for name in trees)).split()

    def removed(self, old: str, mine: str, prefix: str) -> frozenset[str]:
        """Name the files that the user removed, as git sees it."""
        listed = self.git("diff", "-M", "--diff-filter=D", "--name-only", "-z", old, mine)
        return frozenset(path[len(prefix) :] for path in listed.split("\0")[:-1])

    def moved(self, old: str, new: str, gone: frozenset[str], prefix: str) -> frozenset[str]:
        """Name where the template moved files that the user removed."""
        listed = self.git("diff", "-M", "--diff-filter=R", "--name-status", "-z", old, new)
        parts = listed.split("\0")[:-1]
        pairs = zip(parts[1::3], parts[2::3], strict=True)
        return frozenset(to[len(prefix) :] for path, to in pairs if path[len(prefix) :] in gone)

    def merge(self, mine: str, new: str) -> bool:
        """Let git merge; where that fails, as in 2811 and 4785, without following moved folders."""
        for settings in ((), ("-c", "merge.directoryRenames=false")):
            self.check_out(mine)
            done = subprocess.run(
                ["git", *IDENTITY, *settings, "merge", *self.options, "--quiet", "--no-edit", new],
                cwd=self.top, capture_output=True, check=False,
            )  # fmt: skip
            if done.returncode in (0, 1):
                break
            (self.top / ".git" / "index.lock").unlink(missing_ok=True)  # Of a git that crashed.
        return done.returncode == 0

    def index(self) -> tuple[list[str], dict[str, bytes]]:
        """List what git merged, and for every file in conflict the versions it has."""
        # Git before 2.34 has `NAME` in the index where it wrote `NAME~SIDE`.
        untracked = self.git("ls-files", "--others", "-z").split("\0")[:-1]
        beside = {path.rpartition("~")[0]: path for path in untracked}
        merged, conflicted = [], {}
        for line in self.git("ls-files", "--stage", "-z").split("\0")[:-1]:
            mode, name, stage, path = line.replace("\t", " ", 1).split(" ", 3)
            path = beside.get(path, path)
            if stage == "0":
                merged.append(line)
            else:
                blob = self.git("cat-file", "blob", name)
                conflicted[f"{mode} {stage} {path}"] = blob.encode("utf-8", "surrogateescape")
        return merged, conflicted

    def git(self, *arguments: str, at: Path | None = None, given: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *IDENTITY, "-c", "core.quotePath=false", *arguments],
            cwd=at or self.top, input=given, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (arguments, done.stderr.decode())
        return done.stdout.decode("utf-8", "surrogateescape")


class Case:
    """A template, what a user made of it, and what became of it."""

    def __init__(self, number: int) -> None:
        self.chance = random.Random(number)
        self.numbers = count()
        self.prefix = self.chance.choice(["", "", "projects/my own/"])
        self.old = {name: self.content(name) for name in self.sample(NAMES, 3, len(NAMES))}
        self.user, self.mine = "mine", dict(self.old)
        self.edit(self.mine)
        self.user, self.new = "theirs", dict(self.old)
        self.edit(self.new)

    def edit(self, tree: Tree) -> None:
        """Change a tree as somebody might."""
        kinds: list[Callable[[Tree], None]] = [
            self.change_lines, self.change_lines, self.change_lines, self.rename, self.remove,
            self.add, self.move_folder, self.change_mode, self.replace, self.rename_and_change,
        ]  # fmt: skip
        if self.user == "mine":
            kinds.append(self.link)
        for _ in range(self.chance.randint(0, 5)):
            if tree:
                self.chance.choice(kinds)(tree)

    def change_lines(self, tree: Tree, path: str = "") -> None:
        path = path or self.chance.choice(sorted(tree))
        mode, content = tree[path]
        if mode == LINK or b"\0" in content:
            return
        lines = content.splitlines(keepends=True)
        for _ in range(self.chance.randint(1, 4)):
            at = self.chance.randint(0, len(lines))
            length = self.chance.choice([0, 1, 1, 3])  # Lines that go.
            come = self.chance.choice([0, 1, 1, 2])
            lines[at : at + length] = [self.line(self.user) for _ in range(come)]
        tree[path] = mode, b"".join(lines)

    def rename(self, tree: Tree) -> None:
        path = self.chance.choice(sorted(tree))
        put(tree, self.new_name(), tree.pop(path))

    def rename_and_change(self, tree: Tree) -> None:
        path, name = self.chance.choice(sorted(tree)), self.new_name()
        put(tree, name, tree.pop(path))
        self.change_lines(tree, name)

    def remove(self, tree: Tree) -> None:
        tree.pop(self.chance.choice(sorted(tree)))

    def add(self, tree: Tree) -> None:
        put(tree, self.new_name(), self.content(self.new_name(), self.user))

    def move_folder(self, tree: Tree) -> None:
        folder, to = self.chance.choice(["lib/", "lib/deep/", "data/"]), self.new_name() + "/"
        inside = {path: tree.pop(path) for path in list(tree) if path.startswith(folder)}
        for path, content in inside.items():
            put(tree, to + path[len(folder) :], content)

    def change_mode(self, tree: Tree) -> None:
        path = self.chance.choice(sorted(tree))
        mode, content = tree[path]
        if mode != LINK:
            tree[path] = PROGRAM if mode == TEXT else TEXT, content

    def replace(self, tree: Tree) -> None:
        path = self.chance.choice(sorted(tree))
        tree[path] = tree[path][0], self.content(path, self.user)[1]
        if tree[path][0] == LINK:
            tree[path] = TEXT, tree[path][1]

    def link(self, tree: Tree) -> None:
        put(
            tree,
            self.chance.choice([*NEW_NAMES, *NAMES]),
            (LINK, b"nowhere/" + self.line("mine")[:-1]),
        )

    def content(self, name: str, user: str = "old") -> Content:
        if name.endswith(".bin"):
            return TEXT, b"\0" + self.chance.randbytes(self.chance.randint(20, 200))
        lines = [self.line(user) for _ in range(self.chance.randint(0, 30))]
        return (PROGRAM if name.endswith(".sh") else TEXT), b"".join(lines)

    def line(self, user: str) -> bytes:
        if self.chance.random() < 0.1 and user != "mine":
            return self.chance.choice([b"\n", b"    return\n", b"import torch\n"])
        rest = self.chance.choice(["x", "y = 1", "for z in a:"])
        return f"{user} {next(self.numbers)} {rest}\n".encode()

    def new_name(self) -> str:
        return self.chance.choice([*NEW_NAMES, *NEW_NAMES, *NAMES])

    def sample(self, names: tuple[str, ...], fewest: int, most: int) -> list[str]:
        return self.chance.sample(names, self.chance.randint(fewest, most))

    def assert_nothing_lost(self, result: Mapping[str, Content], blobs: list[bytes]) -> None:
        """What the user wrote, moved, linked and removed is in the result or in a conflict."""
        everything = [content for _, content in result.values()] + blobs
        lines = {line for content in everything for line in content.splitlines()}
        olds = [content for _, content in self.old.values()]
        theirs = [content for path, (_, content) in self.new.items() if path not in self.old]
        for path, (mode, content) in self.mine.items():
            if self.old.get(path) == (mode, content):
                continue
            if (b"\0" in content or mode == LINK) and content not in olds:
                assert content in everything, f"the file {path} is lost"
            if path not in self.old and content in olds and self.is_left_alone(content):
                assert content in everything, f"{path}, which was moved, is lost"
            if self.old.get(path) == self.new.get(path) and path in self.old:
                kept = [m for p, (m, c) in result.items() if c == content]
                assert mode in kept or content in blobs, f"the mode of {path} is lost"
            for line in content.splitlines():
                assert not line.startswith(b"mine") or line in lines, f"{line!r} of {path} is lost"
        for path in self.old.keys() - self.mine.keys():
            file = result.get(self.prefix + path)
            if file and file[1] == self.old[path][1] and path in self.new and file[1]:
                assert file[1] in theirs, f"{path} was removed and is there again"

    def is_left_alone(self, content: bytes) -> bool:
        """Say whether the template has all files with this content as they were."""
        same = {path: file for path, file in self.old.items() if file[1] == content}
        return all(self.new.get(path) == file for path, file in same.items())

    def assert_untouched(self, result: Mapping[str, Content]) -> None:
        """What is the same in all three trees is in the result as it was."""
        for path, content in self.old.items():
            if self.mine.get(path) == content == self.new.get(path):
                assert result.get(self.prefix + path) == content, f"{path} was touched"


def written(prefix: str, name: str, tree: Tree) -> bytes:
    """Write a commit of a tree, below files of the repository's own, for `git fast-import`."""
    lines = [f"commit refs/case/{name}\ncommitter A <a@b> 0 +0000\ndata 0\n".encode()]
    lines += [b"from refs/case/old\n"] if name != "old" else []
    lines += [b"deleteall\n"]
    files = {prefix + path: content for path, content in tree.items()}
    files |= {"around.txt": (TEXT, b"around\n")} if prefix else {}
    for path, (mode, content) in files.items():
        lines.append(f'M {mode} inline "{path}"\ndata {len(content)}\n'.encode() + content + b"\n")
    return b"".join(lines)


def without(tree: Tree, paths: frozenset[str]) -> Tree:
    return {path: content for path, content in tree.items() if path not in paths}


def put(tree: Tree, path: str, content: Content) -> None:
    """Put a file into a tree; what is in the way, above or below, goes."""
    for other in list(tree):
        if other.startswith(f"{path}/") or path.startswith(f"{other}/"):
            tree.pop(other)
    tree[path] = content


def files_of(folder: Path) -> dict[str, Content]:
    """Read all files below a folder, but those of git."""
    found = {}
    for at, folders, names in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in names + [name for name in folders if Path(at, name).is_symlink()]:
            path = Path(at, name)
            if path.is_symlink():
                content = LINK, os.fsencode(path.readlink())
            else:
                content = (PROGRAM if os.access(path, os.X_OK) else TEXT), path.read_bytes()
            found[path.relative_to(folder).as_posix()] = content
    return found


def nameless(files: Mapping[str, Content]) -> dict[str, Content]:
    """Take out what a conflict calls the two sides: it depends on the names of commits."""
    contents = without_names({path: content for path, (_, content) in files.items()})
    modes = {re.sub("~[^/]*", "~", path): mode for path, (mode, _) in files.items()}
    return {path: (modes[path], content) for path, content in contents.items()}


def without_names(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        re.sub("~[^/]*", "~", path): re.sub(rb"(?m)^([<>|]{7}).*$", rb"\1", content)
        for path, content in contents.items()
    }


def as_file(content: Content) -> File:
    return File(content[1], content[0] == PROGRAM)


def cpu_time() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    sys.exit(main())

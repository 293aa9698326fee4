"""The command `scaffold`: what can be typed, and what comes back. No logic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from scaffold import __version__, exits
from scaffold.errors import ScaffoldError

From = Annotated[
    str | None,
    typer.Option("--from", metavar="PATH_OR_GIT_URL", help="Where a team's own templates are."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Let a team's templates run programs, if they ask for it.")
]

app = typer.Typer(
    name="scaffold",
    help="Start a PyTorch training project you own.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> NoReturn:
    """Run the command line."""
    exits.run(app)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"scaffold {__version__}")
        raise typer.Exit


@app.callback()
def _scaffold(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Start a PyTorch training project you own."""


@app.command()
def new(
    path: Annotated[
        str | None, typer.Argument(help="The folder to make; by default my-TEMPLATE.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to make; `scaffold list` shows all.")
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Answer a question; may be given repeatedly."),
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask nothing: take the defaults.")
    ] = False,
    release: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Take an earlier release.")
    ] = None,
    source: From = None,
    trust: Trust = False,
    no_git: Annotated[
        bool, typer.Option("--no-git", help="Make no git repository of the folder.")
    ] = False,
) -> None:
    """Make a project from a template."""
    from scaffold import project
    from scaffold.sources import Given

    made = project.create(
        path,
        template,
        set or (),
        defaults=defaults,
        repository=not no_git,
        version=release,
        told=Given(source, trust),
    )
    print(project.created(made))


@app.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="Write it for programs.")] = False,
    source: From = None,
    trust: Trust = False,
) -> int:
    """
    Show what you and the template changed, and what would conflict; 1 if behind.

    Where they cannot be compared, as without git, the releases are shown, and the status is 2.
    """
    from scaffold import reports, updates
    from scaffold.sources import Given

    told = Given(source, trust)
    try:
        comparison = updates.compare(Path.cwd(), told=told)
    except ScaffoldError as error:
        print(reports.known(Path.cwd(), told, str(error), as_json=json), end="")
        raise
    print(reports.status_as_json(comparison) if json else reports.status(comparison))
    return int(reports.is_behind(comparison.plan))


@app.command()
def diff(
    stat: Annotated[bool, typer.Option("--stat", help="Show only how much, file by file.")] = False,
    source: From = None,
    trust: Trust = False,
) -> None:
    """Show what an update would change, as a patch; nothing is written."""
    from scaffold import updates
    from scaffold.sources import Given

    patch = updates.patch(Path.cwd(), stat=stat, told=Given(source, trust))
    sys.stdout.buffer.write(patch.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


@app.command()
def update(
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Take this release, not the newest.")
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Change an answer; may be given repeatedly. Without --to the release stays.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    no_commit: Annotated[
        bool, typer.Option("--no-commit", help="Leave the commit to you.")
    ] = False,
    source: From = None,
    trust: Trust = False,
) -> int:
    """Bring a newer release or other answers into the project; 1 if there are conflicts."""
    from scaffold import reports, updates
    from scaffold.sources import Given

    done = updates.update(
        Path.cwd(),
        to,
        set or (),
        dry_run=dry_run,
        commit=not no_commit,
        told=Given(source, trust),
    )
    print(reports.updated(done, dry_run=dry_run, commit=not no_commit))
    return int(done is not None and bool(done.merged.conflicts))


@app.command("list")
def list_(source: From = None, trust: Trust = False) -> None:
    """Show the templates with a line each."""
    from scaffold import project
    from scaffold.sources import Given

    print(project.catalogue(told=Given(source, trust)))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The name of a template.")],
    source: From = None,
    trust: Trust = False,
) -> None:
    """Show a template's files, questions and defaults."""
    from scaffold import project
    from scaffold.sources import Given

    print(project.describe(name, told=Given(source, trust)))


@app.command()
def check(
    path: Annotated[str, typer.Argument(help="The folder of templates.")],
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help="Check only this one.")
    ] = None,
    no_tests: Annotated[
        bool, typer.Option("--no-tests", help="Do not run the tests of what is rendered.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the projects that fail, and say where.")
    ] = False,
    trust: Trust = False,
) -> int:
    """
    Render templates with every combination of answers and run their tests; 1 if any fail.

    This is for whoever edits templates: it executes the tests that they bring,
    so give it only templates that you trust.
    """
    from scaffold import checks

    failed = False
    for outcome in checks.check(Path(path), template, tests=not no_tests, trust=trust, keep=keep):
        print(outcome, flush=True)
        failed |= bool(outcome.faults)
    return int(failed)


@app.command()
def release(version: Annotated[str, typer.Argument(help="The new version, as in 1.2.0.")]) -> None:
    """Write templates and runtime as a release (for maintainers, in a checkout)."""
    from scaffold import project

    print(project.release(version))

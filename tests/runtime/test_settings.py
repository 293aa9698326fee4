"""Settings: from options and files through one parser, and back into a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from crash import driver
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scaffold_runtime import UserError, parse_settings, plain_settings
from scaffold_runtime.settings import Amount, Count, Share, Size, read_settings, write_settings

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
RunProgram = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Settings:
    run: str = "first"  # Results go to runs/<run>.
    resume: bool = False
    evaluate: Literal["valid", "test"] | None = None
    seed: Count = 0
    max_epochs: Size = 3
    lr: Amount = 1e-3
    dropout: Share = 0.5
    augment: bool = True
    widths: tuple[int, ...] = (8, 16)
    tags: tuple[str, ...] = ()
    note: str | None = None


# --- Options --------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ("", {}),
        ("--lr 0.1", {"lr": 0.1}),
        ("--lr=0.1", {"lr": 0.1}),
        ("--lr 1e-4", {"lr": 1e-4}),
        ("--max-epochs 5", {"max_epochs": 5}),
        ("--max_epochs 5", {"max_epochs": 5}),
        ("--lr 0.1 --lr 0.2", {"lr": 0.2}),
        ("--resume", {"resume": True}),
        ("--resume --no-resume", {}),
        ("--no-augment", {"augment": False}),
        ("--evaluate test", {"evaluate": "test"}),
        ("--widths 4", {"widths": (4,)}),
        ("--widths 4 5 6 --seed 1", {"widths": (4, 5, 6), "seed": 1}),
        ("--run=--help", {"run": "--help"}),
    ],
)
def test_an_option_sets_a_setting(options: str, changed: dict[str, Any]) -> None:
    """With a space or an equals sign, dashes or underscores, `--no-` for false; the last wins."""
    assert parse_settings(Settings, options.split()) == Settings(**changed)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--see 3", "there is no option --see; did you mean --seed?"),
        ("--max-epoch 3", "there is no option --max-epoch; did you mean --max-epochs?"),
        ("--no-augmentt", "there is no option --no-augmentt; did you mean --no-augment?"),
        ("--quite-other 1", "there is no option --quite-other; --help lists all"),
        ("--no-seed", "there is no option --no-seed"),
        ("--lr much", "lr must be a number, not 'much'"),
        ("--lr", "--lr"),
        ("--seed 1.5", "seed must be a whole number, not '1.5'"),
        ("--lr it's", """lr must be a number, not \"it's\""""),
        ("--evaluate tset", "'tset'"),
        ("--resume true", "true"),
        ("extra", "extra"),
        ("-x", "-x"),
        ("--seed -1", "seed must be at least 0, not -1"),
        ("--max-epochs 0", "max_epochs must be at least 1, not 0"),
        ("--lr -0.1", "lr must be at least 0, not -0.1"),
        ("--lr nan", "lr must be at least 0, not nan"),
        ("--dropout 1.5", "dropout must be from 0 to 1, not 1.5"),
        ("--config", "--config needs the name of a YAML file"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(options: str, complaint: str) -> None:
    """The line names the option, and the nearest that exists where there is one."""
    line = refusal(options.split())

    assert complaint in line
    assert "\n" not in line
    assert "│" not in line


# --- Files ----------------------------------------------------------------


def test_a_later_file_wins_and_an_option_wins_over_files(
    write: Callable[[str, str], str],
) -> None:
    """The option wherever it stands, the file for what only it sets."""
    one = write("one.yaml", "lr: 0.1\nseed: 1\nresume: false\nwidths: [1, 2]")
    two = write("two.yaml", "lr: 0.2\nmax_epochs: 7\naugment: false")
    expected = Settings(seed=1, lr=0.5, max_epochs=7, augment=True, widths=(1, 2))

    for options in (
        ["--config", one, "--config", two, "--lr", "0.5", "--augment"],
        ["--lr", "0.5", "--augment", "--config", one, f"--config={two}"],
        ["--config", one, "--augment", "--lr=0.5", "--config", two],
    ):
        assert parse_settings(Settings, options) == expected
    assert parse_settings(Settings, ["--config", two, "--config", one]).lr == 0.1


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        ("", {}),
        ("# nothing but a comment", {}),
        ("lr: 1e-3", {"lr": 1e-3}),  # YAML 1.1 takes this for a text.
        ("lr: 1", {"lr": 1.0}),
        ("run: --resume", {"run": "--resume"}),
        ("run: 'null'", {"run": "null"}),
        ("note: null", {}),
        ("evaluate: null", {}),
        ("widths: []", {"widths": ()}),
        ("widths: [-1, 2]", {"widths": (-1, 2)}),
        ("note: 'a = b # c'", {"note": "a = b # c"}),
    ],
)
def test_a_value_in_a_file_is_taken_as_it_is(
    write: Callable[[str, str], str], content: str, changed: dict[str, Any]
) -> None:
    """Also when it looks like an option, or like nothing."""
    assert parse_settings(Settings, ["--config", write("a.yaml", content)]) == Settings(**changed)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("sede: 3", "there is no setting 'sede'; did you mean seed?"),
        ("quite_other: 3", "there is no setting 'quite_other'; --help lists all"),
        ("1: 2", "there is no setting 1"),
        ("max-epochs: 2", "there is no setting 'max-epochs'; did you mean max_epochs?"),
        ("seed: 1.0", "seed must be a whole number, not '1.0'"),
        ("seed: much", "seed must be a whole number"),
        ("seed: true", "seed cannot be True"),
        ("seed: null", "seed cannot be None"),
        ("seed: [1]", "seed cannot be [1]"),
        ("run: null", "run cannot be None"),
        ("run: {a: 1}", "run cannot be {'a': 1}"),
        ("run: yes", "run cannot be True"),
        ("resume: 1", "resume must be true or false, not 1"),
        ("resume: 'true'", "resume must be true or false, not 'true'"),
        ("widths: [1, a]", "--widths"),
        ("evaluate: tset", "'tset'"),
        ("lr: -1", "lr must be at least 0, not -1"),
        ("dropout: 2", "dropout must be from 0 to 1, not 2"),
        ("lr: .nan", "lr must be at least 0, not nan"),
        ("- lr", "must hold lines of the form `name: value`"),
        ("tags: [--seed=x]\nseed: 3", "tags cannot hold '--seed=x': it looks like an option"),
        ("lr: [", "is not YAML: while parsing a flow node (line 1), expected the node content"),
        ("run: 'a\nlr: 1", "is not YAML: while scanning a quoted scalar (line 1)"),
        ("lr: 1\n---\nlr: 2", "a single document in the stream (line 1), but found another"),
        ("run: 2024-13-45", "is not YAML: month must be in 1..12"),
        ("lr: !!python/name:os.system", "is not YAML"),
        ("lr: \0", "is not YAML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_it(
    write: Callable[[str, str], str], content: str, complaint: str
) -> None:
    """Also when an option would have won over the wrong value."""
    file = write("wrong.yaml", content)
    for options in (["--config", file], ["--config", file, "--seed", "1", "--lr", "1"]):
        line = refusal(options)

        assert line.startswith(file)
        assert complaint in line
        assert "\n" not in line


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, a folder, or no text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\xff")
    for name in ("missing.yaml", ".", "binary"):
        line = refusal(["--config", str(tmp_path / name)])

        assert line.startswith(f"{tmp_path / name} cannot be read: ")
        assert "\n" not in line


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(values={"note": "\x85"})  # A line break that only YAML knows.
@given(
    values=st.fixed_dictionaries(
        {
            "run": TEXTS
            | st.sampled_from(["--help", "-h", "null", "1e3", "yes", "[1]", "--", "="]),
            "seed": st.integers(0, 2**63 - 1),
            "lr": st.floats(0, allow_nan=False, allow_infinity=False),
            "dropout": st.floats(0, 1),
            "augment": st.booleans(),
            "widths": st.lists(st.integers()).map(tuple),
            "note": st.none() | TEXTS.filter(lambda text: text != "None"),
        }
    )
)
def test_a_config_that_was_written_gives_the_same_settings(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    """Whatever the values are, given back to --config."""
    written, file = Settings(**values), tmp_path / "config.yaml"
    write_settings(file, written)

    assert parse_settings(Settings, ["--config", str(file)]) == written


def test_a_file_can_be_read_by_itself(write: Callable[[str, str], str]) -> None:
    """As a project does that loads a finished run, whatever the command line is."""
    file = Path(write("config.yaml", "seed: 4\nwidths: [1]"))

    assert read_settings(Settings, file) == Settings(seed=4, widths=(1,))
    with pytest.raises(UserError, match=r"missing\.yaml cannot be read"):
        read_settings(Settings, Path("missing.yaml"))


def test_a_config_holds_what_a_run_is_and_not_what_it_was_asked(tmp_path: Path) -> None:
    """Resuming and evaluating are done once; in the file they would be done again."""
    asked = Settings(resume=True, evaluate="test", seed=5)
    write_settings(tmp_path / "config.yaml", asked)
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())

    assert {"resume", "evaluate"} & written.keys() == set()
    assert {"resume", "evaluate"} & plain_settings(asked).keys() == set()
    assert list(written)[:2] == ["run", "seed"]


# --- Runs that go on ------------------------------------------------------


@pytest.mark.parametrize("action", ["--resume", "--evaluate=test"])
def test_a_run_that_goes_on_keeps_its_settings(
    write: Callable[[str, str], str], action: str
) -> None:
    """They need not be given again; of those that may change, an option wins."""
    write("runs/mine/config.yaml", "run: mine\nseed: 7\nlr: 0.5\nmax_epochs: 4")
    plain = parse_settings(Settings, ["--run", "mine", action])
    longer = parse_settings(Settings, [action, "--max-epochs", "9", "--run", "mine", "--seed=7"])

    assert (plain.run, plain.seed, plain.lr, plain.max_epochs) == ("mine", 7, 0.5, 4)
    assert (longer.seed, longer.max_epochs) == (7, 9)


def test_a_run_cannot_go_on_as_another(write: Callable[[str, str], str]) -> None:
    """A setting that its weights or data depend on is refused, and says where it stands."""
    write("runs/mine/config.yaml", "run: mine\nlr: 0.5")
    other = write("other.yaml", "lr: 0.25")
    for options in (["--lr", "0.25"], ["--config", other]):
        line = refusal(["--run", "mine", "--resume", *options])
        own = str(Path("runs", "mine", "config.yaml"))

        assert line.startswith(
            f"lr is 0.5 in {own}, not 0.25, and cannot change when a run goes on"
        )


def test_a_fresh_run_takes_nothing_from_an_older_one(write: Callable[[str, str], str]) -> None:
    """Without --resume the folder of that name is not looked at."""
    write("runs/mine/config.yaml", "run: mine\nseed: 7")

    assert parse_settings(Settings, ["--run", "mine"]).seed == 0


def test_a_damaged_config_of_the_run_is_named(write: Callable[[str, str], str]) -> None:
    """Resuming does not quietly go on with defaults."""
    write("runs/mine/config.yaml", "seed: [")

    assert refusal(["--run", "mine", "--resume"]).startswith(
        f"{Path('runs', 'mine', 'config.yaml')} is not YAML"
    )


# --- As a program ---------------------------------------------------------

PROGRAM = '''"""A program for tests."""

from dataclasses import dataclass

from scaffold_runtime import UserError, launch
from scaffold_runtime.settings import Amount, Count


@dataclass(frozen=True)
class Settings:
    seed: Count = 0  # Decides everything.
    rate: Amount = 0.1
    ending: str = ""


def main(settings):
    print("ran with", settings.seed)
    if settings.ending == "mistake":
        raise UserError("that cannot be")
    if settings.ending == "ctrl-c":
        raise KeyboardInterrupt
    if settings.ending == "denied":
        raise PermissionError(13, "Permission denied", "some/file")
    if settings.ending == "bug":
        raise RuntimeError("a bug of ours")
    if settings.ending == "no file":
        raise ConnectionError("a bug of ours")


launch(main, Settings)
'''


@pytest.mark.parametrize(
    ("arguments", "status", "output", "complaint"),
    [
        (["--seed", "3"], 0, "ran with 3\n", ""),
        (["--sed", "3"], 2, "", "program.py: there is no option --sed; did you mean --seed?\n"),
        (["--rate", "-3"], 2, "", "program.py: rate must be at least 0, not -3.0\n"),
        (["--ending", "mistake"], 2, "ran with 0\n", "program.py: that cannot be\n"),
        (["--ending", "ctrl-c"], 130, "ran with 0\n", "program.py: stopped\n"),
        (["--ending", "denied"], 2, "ran with 0\n", "program.py: some/file: permission denied\n"),
    ],
)
def test_a_mistake_is_one_line_and_a_status(
    run_program: RunProgram, arguments: list[str], status: int, output: str, complaint: str
) -> None:
    """2 for what was asked wrongly, 130 for Ctrl-C, and never a traceback."""
    ended = run_program(*arguments)

    assert (ended.returncode, ended.stdout, ended.stderr) == (status, output, complaint)


@pytest.mark.parametrize("ending", ["bug", "no file"])
def test_a_bug_keeps_its_traceback(run_program: RunProgram, ending: str) -> None:
    """It is nobody's mistake at the keyboard, and must be found."""
    ended = run_program("--ending", ending)

    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "a bug of ours" in ended.stderr


def test_a_reader_that_left_is_no_mistake(tmp_path: Path) -> None:
    """`| head` has seen enough: nothing is said, and the status is that of SIGPIPE."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    reading, writing = os.pipe()
    os.close(reading)

    ended = subprocess.run(
        [sys.executable, str(program)],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
    )
    os.close(writing)

    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, b"")


def test_help_shows_settings_with_their_comments(run_program: RunProgram) -> None:
    """And what the program is; nothing is run, and that is no mistake."""
    ended = run_program("--help")

    assert (ended.returncode, ended.stderr) == (0, "")
    for text in ("A program for tests.", "--seed", "Decides everything."):
        assert text in ended.stdout
    assert "ran with" not in ended.stdout


# --- Helpers --------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Write a file below a folder of this test's own, which is the working directory."""
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, content: str) -> str:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return name

    return write_file


def refusal(options: list[str]) -> str:
    """Return the line with which options are refused."""
    with pytest.raises(UserError) as error:
        parse_settings(Settings, options)
    return str(error.value)


@pytest.fixture
def run_program(forks: driver.ForkServer, tmp_path: Path) -> RunProgram:
    """Run the program in a process of its own."""
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    environment = {"PYTHONPATH": str(RUNTIME), "COLUMNS": "60"}
    return lambda *options: forks.completed(["program.py", *options], tmp_path, environment)

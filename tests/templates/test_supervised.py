"""The supervised project at work, through its command line."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pexpect
import pytest
import torch
import yaml
from PIL import Image
from templates.conftest import Python, Trained

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ("--width", "8", "--max-epochs", "3")


# --- The default run ------------------------------------------------------


@pytest.mark.slow
def test_the_default_run_reaches_what_scaffold_new_says(trained: Trained) -> None:
    """The test accuracy is the stated one, or falls short of it within the stated tolerance."""
    template = REPOSITORY / "templates" / "supervised"
    about = yaml.safe_load((template / "template.yml").read_text())
    stated = about["reached"]
    in_words = f"{stated['value']:.1%}".replace("%", " %")

    reached = re.search(r"test accuracy ([0-9.]+) with", trained.ended.stdout)

    assert reached, trained.ended.stdout + trained.ended.stderr
    assert float(reached[1]) >= stated["value"] - stated["tolerance"]
    assert in_words in about["expect"]
    assert in_words in (template / "README.md.jinja").read_text()


@pytest.mark.slow
def test_a_run_says_a_line_for_each_epoch_and_where_its_results_are(trained: Trained) -> None:
    """The last lines name the accuracy, the best checkpoint and the report, which exist."""
    lines = trained.ended.stdout.splitlines()
    last = " ".join(lines[-2:])

    epochs = [line for line in lines if re.match(r"epoch +\d+/40  \|  train .*  \|  valid ", line)]

    assert len(epochs) == len(set(epochs)) >= 20
    assert "test accuracy" in last
    for path in re.findall(r"runs/\S+", last):
        assert (trained.project / path).exists()


@pytest.mark.slow
def test_a_run_fills_its_folder(trained: Trained) -> None:
    """Settings, log, metrics, checkpoints, figures and report are where the README says."""
    folder = trained.project / "runs" / "first"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    assert {"config.yaml", "log.txt", "metrics.jsonl", "report.html"} <= names
    assert {"checkpoints/last.pt", "figures/curves.png", "figures/confusion_matrix.png"} <= names
    assert any(name.startswith("checkpoints/best_") for name in names)
    assert all(list(line)[:3] == ["split", "epoch", "iteration"] for line in metrics)
    assert (folder / "log.txt").read_text() == trained.ended.stdout


@pytest.mark.slow
def test_the_report_needs_nothing_but_itself(trained: Trained) -> None:
    """Every picture is inside the page, and nothing in it is fetched from elsewhere."""
    page = PageSources()
    page.feed((trained.project / "runs" / "first" / "report.html").read_text())

    assert len(page.sources) >= 2
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)


@pytest.mark.slow
def test_a_run_is_not_overwritten(trained: Trained, python: Python) -> None:
    """Its name again is refused in one line that says what to do, and nothing changes."""
    folder = trained.project / "runs" / "first"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    ended = python(trained.project, "train.py")

    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "train.py: runs/first exists: choose another name with --run, go on with --resume, "
        "or begin again with --overwrite"
    ]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.slow
def test_a_picture_of_a_digit_is_recognised(trained: Trained, python: Python) -> None:
    """`predict.py` reads a picture with dark ink on paper, many times as large as the data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2.4))
    figure.text(0.5, 0.5, "0", ha="center", va="center", size=110)
    figure.savefig(trained.project / "zero.png")

    ended = python(trained.project, "predict.py", "zero.png")

    assert re.fullmatch(r'zero\.png: Predicted: "0" \(\d+\.\d%\)\n', ended.stdout), ended


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name a picture or a CSV file, or ask for test samples with --sample 5"),
        (["missing.png"], "missing.png cannot be read as a picture"),
        (["README.md"], "README.md cannot be read as a picture"),
        (["--run", "other", "--sample", "1"], "there is no run 'other' here; there are: first"),
    ],
)
def test_what_cannot_be_predicted_is_refused(
    trained: Trained, python: Python, arguments: list[str], complaint: str
) -> None:
    """A picture or a run that is not there gets one line and a status."""
    ended = python(trained.project, "predict.py", *arguments)

    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


# --- Other data sets ------------------------------------------------------


def test_fashion_mnist_needs_a_download_or_the_files(
    supervised: Path, python: Python, monkeypatch: pytest.MonkeyPatch, surroundings: dict[str, str]
) -> None:
    """Without a network one line names the address and the folder, and no run has begun."""
    monkeypatch.setitem(surroundings, "SCAFFOLD_MIRROR", "http://127.0.0.1:9")

    ended = python(supervised, "train.py", "--dataset", "fashion-mnist", "--cache", "downloads")

    assert ended.returncode == 2
    assert "http://127.0.0.1:9/fashion-mnist/train-images-idx3-ubyte.gz" in ended.stderr
    assert "put the file into downloads/fashion-mnist by hand" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (supervised / "runs").exists()


@pytest.mark.slow
def test_the_quickstart_is_what_its_options_say(supervised: Path, python: Python) -> None:
    """The README's options make the network and optimizer of PyTorch's quickstart, and train it."""
    readme = (supervised / "README.md").read_text()
    options = readme.partition("--run quickstart")[2].partition("```")[0].replace("\\\n", " ")
    (supervised / "small.py").write_text(SMALL_FASHION_MNIST)

    ended = python(supervised, "small.py", *options.split(), "--cache", "downloads")

    assert ended.returncode == 0, ended.stderr
    layers = re.findall(r"Linear\(in_features=(\d+), out_features=(\d+)", ended.stdout)
    assert layers == [("784", "512"), ("512", "512"), ("512", "10")]
    assert "SGD 0.001 0.0 0.0 False" in ended.stdout
    assert len(re.findall(r"^epoch ", ended.stdout, re.MULTILINE)) == 5
    assert (supervised / "runs" / "first" / "report.html").exists()


# Puts four small files where downloads are kept, with their checksums, and trains on them.
SMALL_FASHION_MNIST = """
import gzip, hashlib, struct
from pathlib import Path
import numpy as np
import choices, train
from scaffold_runtime import launch
from scaffold_runtime.data.published import SOURCES

folder = Path("downloads/fashion-mnist")
folder.mkdir(parents=True)
sums = SOURCES["fashion-mnist"].sha256
for name in sums:
    shape = ((600,) if "train" in name else (50,)) + ((28, 28) if "images" in name else ())
    values = np.random.default_rng(0).integers(0, 10, shape, dtype=np.uint8)
    header = struct.pack(f">2x2B{len(shape)}I", 8, len(shape), *shape)
    (folder / name).write_bytes(gzip.compress(header + values.tobytes()))
    sums[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()

make_optimizer = choices.make_optimizer

def show(settings, model):
    optimizer = make_optimizer(settings, model)
    group = optimizer.param_groups[0]
    chosen = [group[name] for name in ("lr", "momentum", "weight_decay", "nesterov")]
    print(model, type(optimizer).__name__, *chosen)
    return optimizer

choices.make_optimizer = show
launch(train.main, train.Settings)
"""


@pytest.mark.slow
def test_a_folder_of_pictures_is_learned_and_predicted(supervised: Path, python: Python) -> None:
    """Two classes that differ in colour alone are told apart, also where the folder has gone."""
    for color in ("red", "green"):
        (supervised / "pictures" / color).mkdir(parents=True)
        for number in range(20):
            picture = Image.new("RGB", (12, 10 + number % 3), color)
            picture.save(supervised / "pictures" / color / f"{number}.png")
    data = ("--dataset", "image-folder", "--path", "pictures", "--image-size", "8")

    linear = ("--model", "linear", "--max-epochs", "3", "--lr", "0.1")
    ended = python(supervised, "train.py", *data, *linear)
    (supervised / "pictures").rename(supervised / "new")
    said = python(supervised, "predict.py", "new/red/3.png", "new/green/3.png")

    assert "test accuracy 1.0000" in ended.stdout, ended.stderr
    assert re.findall(r'Predicted: "(\w+)"', said.stdout) == ["red", "green"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cnn", "mlp", "resnet", "linear"])
def test_every_model_takes_every_size(supervised: Path, python: Python, model: str) -> None:
    """Digits scaled to 12 x 12 pixels go through a batch of everything."""
    settings = ("--model", model, "--image-size", "12", "--ema", "0.9", "--precision", "bf16")

    ended = python(supervised, "train.py", "--fast-dev-run", *settings)

    assert ended.returncode == 0, ended.stderr


# --- Runs of a few epochs -------------------------------------------------


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(
    supervised: Path, python: Python, surroundings: dict[str, str]
) -> None:
    """Kill -9 around its second checkpoint, resume, and every weight is as if nothing had been."""
    settings = ("--width", "8", "--max-epochs", "6")
    python(supervised, "train.py", "--run", "unbroken", *settings)

    kill_after_epoch(2, supervised, surroundings, "--run", "killed", *settings)
    resumed = python(supervised, "train.py", "--run", "killed", "--resume")

    assert resumed.returncode == 0, resumed.stderr
    ours, theirs = (weights(supervised / "runs" / run) for run in ("killed", "unbroken"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_metrics_after_a_resume_are_those_of_an_unbroken_run(
    supervised: Path, python: Python, surroundings: dict[str, str]
) -> None:
    """No line of `metrics.jsonl` is missing or written twice."""
    settings = ("--width", "8", "--max-epochs", "5")
    python(supervised, "train.py", "--run", "unbroken", *settings)

    kill_after_epoch(2, supervised, surroundings, "--run", "killed", *settings)
    python(supervised, "train.py", "--run", "killed", "--resume")

    ours, theirs = (
        (supervised / "runs" / run / "metrics.jsonl").read_text() for run in ("killed", "unbroken")
    )
    assert ours == theirs


@pytest.mark.slow
def test_a_finished_run_can_be_made_longer(supervised: Path, python: Python) -> None:
    """`--resume --max-epochs 5` trains the two epochs more, with the run's own settings."""
    python(supervised, "train.py", *SMALL)

    ended = python(supervised, "train.py", "--resume", "--max-epochs", "5")

    epochs = [line for line in ended.stdout.splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in epochs] == ["4/5", "5/5"]
    assert yaml.safe_load((supervised / "runs/first/config.yaml").read_text())["width"] == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--resume", "--lr", "0.1"), "lr is 0.004 in runs/first/config.yaml, not 0.1"),
        (("--evaluate", "test", "--seed", "1"), "seed is 0 in runs/first/config.yaml, not 1"),
        (("--resume", "--max-epochs", "10"), "max_epochs is 10, but the run has reached "),
        (("--resume", "--overwrite"), "--resume and --overwrite exclude each other"),
    ],
)
def test_a_run_is_not_made_another_by_going_on(
    trained: Trained, python: Python, arguments: tuple[str, ...], complaint: str
) -> None:
    """What would train on other data, or falsify the record, is refused and changes nothing."""
    config = trained.project / "runs" / "first" / "config.yaml"
    before = config.read_text()

    ended = python(trained.project, "train.py", *arguments)

    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert config.read_text() == before


@pytest.mark.slow
@pytest.mark.parametrize("every", ["2", "50"])
def test_the_last_epoch_is_validated(supervised: Path, python: Python, every: str) -> None:
    """Also when it is between two validations, or the run shorter than the interval."""
    ended = python(supervised, "train.py", *SMALL, "--validate-every", every)

    assert ended.returncode == 0, ended.stderr
    assert "epoch 3/3" in ended.stdout


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_stop_the_run(
    supervised: Path, surroundings: dict[str, str]
) -> None:
    """With its output in a pipe that is closed after a line, a run goes on to its end."""
    command = f"{sys.executable} train.py {' '.join(SMALL)} | head -1"

    subprocess.run(command, shell=True, cwd=supervised, env=surroundings, check=True)

    assert (supervised / "runs" / "first" / "report.html").exists()


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(supervised: Path, surroundings: dict[str, str]) -> None:
    """The message names the run, the status is 130, and there is no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-u", "train.py", "--run", "mine", "--width", "8"],
        cwd=supervised,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("epoch  3/"):
        pass
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate()

    assert process.returncode == 130
    assert complaint == (
        "train.py: stopped by SIGINT; `python train.py --run mine --resume` goes on from the last "
        "checkpoint\n"
    )


@pytest.mark.slow
def test_a_run_can_be_evaluated_and_begun_again(supervised: Path, python: Python) -> None:
    """`--evaluate test` gives the run's accuracy again; `--overwrite` begins it anew."""
    first = python(supervised, "train.py", *SMALL).stdout

    again = python(supervised, "train.py", "--evaluate", "test").stdout
    anew = python(supervised, "train.py", "--overwrite", *SMALL).stdout

    assert again.splitlines()[-1] == first.splitlines()[-2]
    assert [line for line in anew.splitlines() if line.startswith("epoch")] == [
        line for line in first.splitlines() if line.startswith("epoch")
    ]


def test_a_fast_dev_run_writes_nothing(supervised: Path, python: Python) -> None:
    """`--fast-dev-run` goes through everything in a moment and leaves the folder as it was."""
    before = {path for path in supervised.rglob("*") if "__pycache__" not in path.parts}

    ended = python(supervised, "train.py", "--fast-dev-run")

    assert ended.returncode == 0, ended.stderr
    assert "test accuracy" in ended.stdout
    assert {path for path in supervised.rglob("*") if "__pycache__" not in path.parts} == before


@pytest.mark.slow
def test_an_option_wins_over_a_file_wherever_it_stands(supervised: Path, python: Python) -> None:
    """Of two files the later wins, and an option over both; the run's config.yaml says so."""
    (supervised / "one.yaml").write_text("width: 9\nmax_epochs: 1\nlr: 1e-3\n")
    (supervised / "two.yaml").write_text("width: 10\n")

    python(supervised, "train.py", "--lr", "0.5", "--config", "one.yaml", "--config", "two.yaml")

    settings = yaml.safe_load((supervised / "runs/first/config.yaml").read_text())
    assert (settings["width"], settings["max_epochs"], settings["lr"]) == (10, 1, 0.5)


@pytest.mark.slow
def test_a_progress_bar_is_not_broken_by_lines(supervised: Path) -> None:
    """On a terminal each epoch has a bar, and every printed line stands alone on its row."""
    terminal = pexpect.spawn(
        sys.executable, ["train.py", *SMALL], cwd=supervised, encoding="utf-8", timeout=120
    )
    shown = terminal.read()

    drawn = set(re.findall(r"epoch \d/3: +\d+%", shown))
    rows = [row.rsplit("\r", 1)[-1].strip() for row in shown.replace("\r\n", "\n").split("\n")]
    epochs = [row for row in rows if "valid loss" in row]

    assert {bar.split(":")[0] for bar in drawn} == {"epoch 1/3", "epoch 2/3", "epoch 3/3"}
    assert len(epochs) == 3
    assert all(re.fullmatch(r"epoch \d/3  \|  train .*accuracy [0-9.]+", row) for row in epochs)


def kill_after_epoch(
    epoch: int, project: Path, surroundings: dict[str, str], *arguments: str
) -> None:
    """Start a run and kill it with SIGKILL as soon as it says that an epoch is over."""
    process = subprocess.Popen(
        [sys.executable, "-u", "train.py", *arguments],
        cwd=project,
        env=surroundings,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"epoch {epoch}/"):
            break
    time.sleep(0.02)  # Into its checkpoint, or the next epoch.
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a run's last checkpoint, read without our code."""
    model: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.pt", weights_only=True)[
        "parts"
    ]["model"]
    return model


class PageSources(HTMLParser):
    """Whatever a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]

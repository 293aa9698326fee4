"""What this project promises beside what every run does; some tests train a little."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SMALL

import baselines
import data
import sample
import train
from model import loss_of, make_evaluator, make_model, write_text
from report import report_text
from scaffold_runtime import (
    UserError,
    create_supervised_tbptt_trainer,
    read_checkpoint,
    read_json_lines,
)

SETTINGS = train.Settings(**SMALL)


@pytest.fixture(autouse=True)
def without_a_report(monkeypatch):
    """Its baselines and its text take longer than a small run; tests of it put it back."""
    monkeypatch.setattr(train, "report_text", lambda *_: None)


# --- Learning -------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_learns(cell):
    """Some epochs of a module bring the bits for a byte of its unseen rest from 8 to below 3."""
    of_all = {**SMALL, "max_epochs": 8, "validate_every": 8, "limit_valid_batches": 0}
    reached = train.main(train.Settings(**of_all, cell=cell))

    assert reached["bits"] < 3


@pytest.mark.parametrize(
    "limits",
    [
        {"limit_train_batches": 10, "max_epochs": 3, "batch_windows": 7},  # Of 23 batches.
        {"limit_train_batches": 500, "max_epochs": 1, "batch_windows": 7},
        {"overfit_batches": 2, "batch_windows": 1},
    ],
)
def test_the_learning_rate_ends_with_the_run(limits):
    """It is 0 after the last window, and not before: limits and a short last batch are counted."""
    train.main(train.Settings(**{**SMALL, **limits}, log_every=1))

    rates = [
        line["lr"] for line in read_json_lines(Path("runs/first/metrics.jsonl")) if "lr" in line
    ]
    assert rates[-1] == 0
    assert rates[-2] > 0


def test_no_clip_norm_sets_no_limit():
    """With 0 a run learns as below a limit that nothing reaches, and not as below a low one."""
    none, high, low = (
        train.main(train.Settings(**SMALL, run=f"clip-{norm}", clip_norm=norm))
        for norm in (0.0, 1e6, 1e-2)
    )

    assert none == high != low


def test_a_run_that_diverges_fails():
    """It ends in one line that says what to try, and does not pass for a finished one."""
    with pytest.raises(UserError, match=r"not finite at iteration \d+: try a lower --lr"):
        train.main(train.Settings(**SMALL, lr=1e30))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_report_compares(cell, monkeypatch):
    """The page names every baseline, has each test file, a text and its sha256."""
    monkeypatch.setattr(train, "report_text", report_text)
    train.main(train.Settings(**SMALL, cell=cell))
    page = Path("runs/first/report.html").read_text()

    for expected in (
        "unigram",
        "5-gram",
        "xz -9",
        "learning as it reads",
        "argparse.py",
        "sha256",
        "def ",
    ):
        assert expected in page
    assert "per character" not in page  # Of ASCII each is a byte.


def test_hidden_state_goes_from_batch_to_batch():
    """What a run that learns nothing carries is the state after a stream read as a whole."""
    settings = train.Settings(**{**SMALL, "max_epochs": 1}, lr=0.0, weight_decay=0.0)
    train.main(settings)
    parts = read_checkpoint(Path("runs/first/checkpoints/last.pt"))["parts"]
    model = make_model(settings)
    model.load_state_dict(parts["model"])

    _, expected = model(torch.cat([x for x, _ in data.make_data(settings).train[:8]]))

    torch.testing.assert_close(parts["trainer"]["hidden"], expected)


def test_a_gradient_ends_at_the_edge_of_its_window():
    """What a window learns does not depend on how the state before it came about."""
    model = make_model(SETTINGS)
    before, window, following = (torch.randint(data.SYMBOLS, (16, 2)) for _ in range(3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    trainer = create_supervised_tbptt_trainer(model, optimizer, loss_of, tbptt_step=16)
    x, y = torch.cat([before, window]), torch.cat([window, following])

    trainer.run([(x, y)])  # The gradients of its last window are still there.
    learned = [each.grad.clone() for each in model.parameters()]
    with torch.no_grad():
        _, hidden = model(before)
    model.zero_grad()
    loss_of(model(window, hidden)[0], following).backward()

    for gradient, parameter in zip(learned, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


# --- The model ------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_reading_in_windows_is_reading_at_once(cell):
    """With its hidden state carried, a model scores a text in windows as it does as a whole."""
    model = make_model(train.Settings(**SMALL, cell=cell, layers=2)).eval()
    symbols = torch.randint(data.SYMBOLS, (50, 3))

    whole, _ = model(symbols)
    hidden, parts = None, []
    for window in symbols.split(16):
        scores, hidden = model(window, hidden)
        parts.append(scores)

    torch.testing.assert_close(torch.cat(parts), whole)


def test_files_side_by_side_are_measured_as_each_alone():
    """Bits of files of different lengths are those of all their bytes, and of nothing else."""
    model = make_model(SETTINGS)
    files = {"long": b"import this\n" * 50, "short": b"x = 1\n"}

    together = make_evaluator(model, torch.device("cpu")).run(list(data.read_side_by_side(files)))
    nats = 0.0
    for text in files.values():
        symbols = data.to_symbols(data.BEFORE + text)[:, None]
        scores, _ = model.eval()(symbols[:-1])
        nats += loss_of(scores, symbols[1:]).item() * len(text)

    total = sum(map(len, files.values()))
    assert together.metrics["bits"] == pytest.approx(nats / np.log(2) / total)


# --- Text and streams -----------------------------------------------------


def test_a_stream_goes_on_in_the_next_batch():
    """Joined over all batches, the streams are the text; targets are one byte ahead."""
    text = bytes(range(101))

    batches = data.cut_into_streams(text, streams=4, length=8)
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))

    assert [len(each) for each, _ in batches] == [8, 8, 8, 1]
    assert x.t().flatten().tolist() == list(range(100))
    assert y.t().flatten().tolist() == list(range(1, 101))


def test_no_file_is_in_two_splits():
    """Train, validation and test are of different modules, all of them there."""
    texts = data.read_standard_library()
    names = [name for split in texts for name in split]

    assert len(names) == len(set(names)) == 42
    assert all(text for split in texts for text in split.values())


def test_own_text_is_trained_on():
    """With `text`, files of one's own are split by place, and nothing of them is lost."""
    Path("own.txt").write_bytes(b"To be, or not to be?\r\n" * 400)

    texts = data.make_data(train.Settings(text=("own.txt",))).texts

    whole = b"".join(split["own.txt"] for split in texts)
    assert whole == b"To be, or not to be?\n" * 400
    assert [len(split["own.txt"]) for split in texts] == [6720, 840, 840]


def test_a_run_does_not_go_on_with_another_text():
    """A text that has changed is refused in one line, to train on and to be measured on."""
    own = Path("own.txt")
    own.write_text("To be, or not to be?\n" * 400)
    settings = {**SMALL, "text": ("own.txt",), "batch_size": 2}
    train.main(train.Settings(**settings))
    own.write_text("To be, or not to bee?\n" * 400)

    for asked in ({"resume": True}, {"evaluate": "test"}):
        with pytest.raises(UserError, match="the text has changed since the run began") as refused:
            train.main(train.Settings(**settings, **asked))
        assert "\n" not in str(refused.value)


def test_workers_are_refused():
    """The text is in memory; who asks for processes that load it is told so."""
    with pytest.raises(UserError, match="--num-workers must be 0"):
        train.main(train.Settings(**SMALL, num_workers=2))
    assert not Path("runs").exists()


def test_bits_of_a_character_are_given_where_it_is_no_byte(monkeypatch):
    """For text with letters of several bytes, on the terminal and on the page."""
    monkeypatch.setattr(train, "report_text", report_text)
    text = "Schön wär's, und öde wär's auch.\n"
    Path("own.txt").write_text(text * 200, encoding="utf-8")
    settings = {**SMALL, "text": ("own.txt",), "max_epochs": 1, "batch_size": 2}

    bits = train.main(train.Settings(**settings))["bits"]

    tested = Path("own.txt").read_bytes()[-740:]
    expected = f"{bits * len(tested) / len(tested.decode('utf-8', 'replace')):.4f}"
    assert f"test bits per character {expected}" in Path("runs/first/log.txt").read_text()
    assert expected in Path("runs/first/report.html").read_text()


@pytest.mark.parametrize(
    ("text", "complaint"), [("missing.txt", "cannot be read: no such file"), ("short.txt", "5 byt")]
)
def test_text_that_cannot_be_used_is_refused(text, complaint):
    """A file that is not there, or too short, is named before a run is begun."""
    Path("short.txt").write_text("short")

    with pytest.raises(UserError, match=complaint):
        train.main(train.Settings(text=(text,)))
    assert not Path("runs").exists()


# --- Baselines ------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 5])
def test_probabilities_of_an_n_gram_sum_to_one(order):
    """After contexts seen and unseen, all bytes together have probability 1, and none has 0."""
    text = data.read_standard_library().test["cmd.py"]
    model = baselines.NGram(text, order)

    for context in (b"self", b"retu", b"~~~~", b"\xff\x00ab"):
        p = [model.probabilities(context + bytes([byte]))[-1] for byte in range(256)]
        assert sum(p) == pytest.approx(1)
        assert min(p) > 0


def test_a_unigram_needs_the_entropy():
    """On the text it counted, the unigram's bits are the entropy of the counts."""
    text = bytes(random.Random(0).choices(b"abcd", [8, 4, 2, 2], k=100_000))
    shares = np.bincount(np.frombuffer(text, np.uint8)) / len(text)
    entropy = -sum(share * np.log2(share) for share in shares if share)

    assert baselines.NGram(text, order=1).bits(text) == pytest.approx(entropy, abs=1e-3)


def test_longer_contexts_help():
    """A 5-gram needs fewer bits for source code than a bigram, and that fewer than a unigram."""
    texts = data.read_standard_library()
    bits = [
        baselines.NGram(texts.train["argparse.py"], order).bits(texts.test["cmd.py"])
        for order in (1, 2, 5)
    ]

    assert bits == sorted(bits, reverse=True)


# --- Writing --------------------------------------------------------------


def test_the_best_checkpoint_writes(capsys):
    """`sample.py --prompt` prints the prompt and goes on; the same seed writes the same."""
    train.main(SETTINGS)
    capsys.readouterr()
    asked = {"prompt": "déf \udcff", "length": 40, "top_k": 20}

    printed = []
    for seed in (1, 1, 2):
        sample.main(sample.Settings(**asked, seed=seed))
        printed.append(capsys.readouterr().out)

    assert printed[0].startswith("déf \N{REPLACEMENT CHARACTER}")
    assert printed[0] == printed[1] != printed[2]


def test_without_temperature_the_likeliest_is_taken():
    """At temperature 0, and from the one likeliest byte, the text does not depend on the seed."""
    model = make_model(SETTINGS)

    greedy = write_text(model, b"def ", 20, temperature=0)

    assert len(greedy) == 20
    assert write_text(model, b"def ", 20, temperature=2.0, top_k=1) == greedy


def test_bits_are_logged_for_all_splits():
    """`metrics.jsonl` has the bits per byte of training, validation and, at the end, the test."""
    train.main(SETTINGS)

    splits = {line["split"] for line in read_json_lines(Path("runs/first/metrics.jsonl"))}
    assert splits == {"train", "valid", "test"}

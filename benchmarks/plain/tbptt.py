"""
The tbptt template's task, written plainly in one file without the runtime.

    python benchmarks/plain/tbptt.py --max-epochs 2

An LSTM with a convolution over the last bytes, on the source of the standard library, by
truncated back-propagation through time; loss and bits every ten batches in metrics.jsonl,
validation and a checkpoint each epoch, the best one kept. No settings but these, no other
text, no resume, no baselines, no report.
"""

from __future__ import annotations

import argparse
import json
import math
import sysconfig
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

TRAIN = """
    argparse bdb codecs compileall configparser difflib email/header http/client http/server
    logging/__init__ logging/handlers mailbox optparse pickle plistlib pprint profile pstats shutil
    smtplib socket socketserver subprocess tarfile trace unittest/case urllib/request weakref
    xmlrpc/client
"""
VALID = "copy filecmp queue sched tracemalloc"
TEST = "cmd csv fileinput json/decoder poplib selectors textwrap timeit"
STREAMS, STEP, WINDOWS, HIDDEN, EMBEDDING, CONTEXT = 16, 32, 16, 128, 32, 5


def read(names: str) -> list[bytes]:
    library = Path(sysconfig.get_path("stdlib"))
    return [(library / f"{name}.py").read_bytes() for name in names.split()]


def to_symbols(text: bytes) -> Tensor:
    return torch.frombuffer(bytearray(text), dtype=torch.uint8).long()


class LanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, EMBEDDING)
        self.look = nn.Conv1d(EMBEDDING, HIDDEN, CONTEXT)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN)
        self.score = nn.Linear(2 * HIDDEN, 256)
        for name, bias in self.lstm.named_parameters():
            if name.startswith("bias"):
                bias.data[HIDDEN : 2 * HIDDEN] = 1.0 if name.startswith("bias_ih") else 0.0

    def forward(self, symbols, before, memory):
        read = torch.cat([before, symbols])
        seen = F.gelu(self.look(self.embed(read).permute(1, 2, 0))).permute(2, 0, 1)
        remembered, memory = self.lstm(seen, memory)
        return self.score(torch.cat([remembered, seen], dim=-1)), read[len(symbols) :], memory


@torch.no_grad()
def measure(model: nn.Module, files: list[bytes]) -> float:
    """Return the bits for a byte of all files, each read from its first byte to its last."""
    model.eval()
    padded = nn.utils.rnn.pad_sequence(
        [to_symbols(b"\n" + text) for text in files], padding_value=-100
    )
    before, memory = torch.zeros(CONTEXT - 1, len(files), dtype=torch.long), None
    nats = torch.zeros((), dtype=torch.float64)
    for x, y in zip(padded[:-1].clamp(min=0).split(256), padded[1:].split(256), strict=True):
        scores, before, memory = model(x, before, memory)
        nats += F.cross_entropy(scores.movedim(-1, 1), y, reduction="none").sum(dtype=torch.float64)
    return nats.item() / math.log(2) / sum(map(len, files))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-epochs", type=int, default=2)
    max_epochs = parser.parse_args().max_epochs
    torch.manual_seed(0)
    folder = Path("runs")
    folder.mkdir()

    text = to_symbols(b"".join(read(TRAIN)))
    steps = (len(text) - 1) // STREAMS
    x, y = (part[: steps * STREAMS].view(STREAMS, steps).t() for part in (text, text[1:]))
    batches = list(zip(x.split(STEP * WINDOWS), y.split(STEP * WINDOWS), strict=True))
    valid, test = read(VALID), read(TEST)

    model = LanguageModel()
    optimizer = torch.optim.AdamW(model.parameters(), 1.5e-2, (0.9, 0.99), fused=True)
    total = max_epochs * len(batches) * WINDOWS
    rise = round(0.05 * total)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min((step - rise) / (total - rise), 1.0)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    best, iteration = math.inf, 0
    with (folder / "metrics.jsonl").open("w") as log:
        for epoch in range(1, max_epochs + 1):
            before, memory = torch.zeros(CONTEXT - 1, STREAMS, dtype=torch.long), None
            average = None
            for x, y in tqdm(batches, leave=False, disable=None):
                model.train()
                mean = torch.zeros(())
                for window, following in zip(x.split(STEP), y.split(STEP), strict=True):
                    if memory is not None:
                        memory = tuple(part.detach() for part in memory)
                    scores, before, memory = model(window, before, memory)
                    loss = F.cross_entropy(scores.flatten(0, 1), following.flatten())
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    scheduler.step()
                    mean += loss.detach() * (len(window) / len(x))
                average = mean if average is None else 0.9 * average + 0.1 * mean
                iteration += 1
                if not math.isfinite(mean):
                    raise SystemExit(f"the loss is {mean} in iteration {iteration}")
                if iteration % 10 == 0:
                    nats = float(average)
                    line = {"iteration": iteration, "loss": nats, "bits": nats / math.log(2)}
                    log.write(json.dumps({"split": "train", "epoch": epoch, **line}) + "\n")
            bits = measure(model, valid)
            line = {"split": "valid", "epoch": epoch, "iteration": iteration, "bits": bits}
            log.write(json.dumps(line) + "\n")
            print(f"epoch {epoch}/{max_epochs}: valid bits {bits:.4f}")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state, folder / "last.pt")
            if bits < best:
                best = bits
                torch.save(model.state_dict(), folder / "best.pt")

    model.load_state_dict(torch.load(folder / "best.pt", weights_only=True))
    print(f"test bits {measure(model, test):.4f}")


if __name__ == "__main__":
    main()

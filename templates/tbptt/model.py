"""The model, which gives scores to the byte that comes next; how it is measured and writes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data import NOT_THERE, SYMBOLS, Batch
from scaffold_runtime import BitsPerCharacter, Engine, to_device
from scaffold_runtime.device import map_tensors

if TYPE_CHECKING:
    from train import Settings


def make_model(settings: Settings) -> LanguageModel:
    """Make the model that the settings name."""
    names = ("cell", "context", "embedding", "hidden", "layers", "dropout")
    return LanguageModel(*(getattr(settings, name) for name in names))


class LanguageModel(nn.Module):
    """
    Scores of the next symbol, out of what the last few show and what a recurrent net remembers.

    A convolution looks at the embeddings of the last `context` symbols. What it finds
    goes into the recurrent layers and, beside what these remember, into the scores: so
    short-range patterns need not be learned through time.
    """

    def __init__(
        self, cell: str, context: int, embedding: int, hidden: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        recurrent = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        between = dropout if layers > 1 else 0.0  # After the last layer it is applied below.
        self.context = context
        self.embed = nn.Embedding(SYMBOLS, embedding)
        self.look = nn.Conv1d(embedding, hidden, context)
        self.recurrent = recurrent(hidden, hidden, layers, dropout=between)
        self.drop = nn.Dropout(dropout)
        self.score = nn.Linear(2 * hidden, SYMBOLS)
        if cell == "lstm":
            remember_at_first(self.recurrent)

    def forward(self, symbols: Tensor, hidden: Any = None) -> tuple[Tensor, Any]:
        """
        Return the scores after each symbol, and the hidden state after the last.

        Symbols are `(time, streams)`, scores `(time, streams, SYMBOLS)`. The hidden state
        is the last `context - 1` symbols and the state of the recurrent layers, `(layers,
        streams, hidden)`, of an LSTM a pair of these; None is zeros.
        """
        nothing = symbols.new_zeros(self.context - 1, symbols.shape[1]), None
        before, memory = nothing if hidden is None else hidden
        read = torch.cat([before, symbols])
        seen = F.gelu(self.look(self.embed(read).permute(1, 2, 0))).permute(2, 0, 1)
        remembered, memory = self.recurrent(seen, memory)
        scores = self.score(self.drop(torch.cat([remembered, seen], dim=-1)))
        return scores, (read[len(symbols) :], memory)


def remember_at_first(lstm: nn.LSTM) -> None:
    """Open the forget gates: their biases begin at 1 (Jozefowicz et al., 2015, section 2.2)."""
    for name, bias in lstm.named_parameters():
        if name.startswith("bias"):
            _, forget, _, _ = bias.data.chunk(4)  # Input, forget, cell, output.
            forget.fill_(1.0 if name.startswith("bias_ih") else 0.0)


def loss_of(scores: Tensor, symbols: Tensor) -> Tensor:
    """Return the mean negative log likelihood, in nats, of the symbols that followed."""
    return F.cross_entropy(scores.flatten(0, 1), symbols.flatten())


def make_evaluator(model: nn.Module, device: torch.device) -> Engine:
    """Make an engine that reads texts from their first byte to their last and counts the bits."""

    @torch.no_grad()
    def evaluation_step(evaluator: Engine, batch: Any) -> Any:
        model.eval()
        symbols, following = to_device(batch, device)
        hidden = None if evaluator.state.iteration == 1 else evaluator.state.hidden
        scores, evaluator.state.hidden = model(symbols, hidden)
        return scores.movedim(-1, 1), following

    evaluator = Engine(evaluation_step)
    BitsPerCharacter(ignore_index=NOT_THERE).attach(evaluator, "bits")
    return evaluator


def measure_while_learning(
    model: LanguageModel, batches: list[Batch], step: int, lr: float
) -> float:
    """
    Return the bits for a byte when the model learns on as it reads (Krause et al., 2018).

    Each window is measured before the weights are updated by it, with Adam without
    momentum. The model itself stays as it is.

    Args:
        model: Knows what it has learned in training.
        batches: The whole text, from its first byte to its last.
        step: Bytes of each stream in a window.
        lr: The learning rate.
    """
    model = copy.deepcopy(model).train()  # On a GPU, only so cuDNN gives gradients.
    model.drop.p = model.recurrent.dropout = 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr, betas=(0.0, 0.99))
    device = next(model.parameters()).device
    bits, hidden = BitsPerCharacter(), None
    for symbols, following in to_device(batches, device):
        for part in zip(symbols.split(step), following.split(step), strict=True):
            hidden = map_tensors(Tensor.detach, hidden)
            scores, hidden = model(part[0], hidden)
            bits.update((scores.detach().movedim(-1, 1), part[1]))
            optimizer.zero_grad()
            loss_of(scores, part[1]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return bits.compute()


@torch.no_grad()
def write_text(
    model: nn.Module, prompt: bytes, length: int, temperature: float = 1.0, top_k: int = 0
) -> bytes:
    """
    Go on with a text, byte by byte, and return what is new.

    Args:
        model: A `LanguageModel`.
        prompt: What it reads before; at least one byte.
        length: Bytes to write.
        temperature: Divides the scores: below 1 the likely bytes become likelier; 0 always
            takes the likeliest.
        top_k: Draw from so many of the likeliest bytes alone; 0 draws from all.
    """
    model.eval()
    device = next(model.parameters()).device
    symbols, hidden, written = torch.tensor([*prompt], device=device)[:, None], None, []
    for _ in range(length):
        scores, hidden = model(symbols, hidden)
        symbols = draw(scores[-1, 0], temperature, top_k).view(1, 1)
        written.append(symbols)
    return bytes(int(symbol) for symbol in written)


def draw(scores: Tensor, temperature: float, top_k: int) -> Tensor:
    """Draw a symbol by the scores of all of them."""
    if temperature == 0:
        return scores.argmax()
    kept, symbols = scores.topk(min(top_k, SYMBOLS) or SYMBOLS)
    return symbols[torch.multinomial((kept / temperature).softmax(dim=0), 1)]

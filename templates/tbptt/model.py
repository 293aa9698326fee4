"""The model: from the bytes read so far to scores of the byte that comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from data import SYMBOLS

if TYPE_CHECKING:
    from train import Settings


def make_model(settings: Settings) -> LanguageModel:
    """Make the model that the settings name."""
    return LanguageModel(
        settings.cell, settings.embedding, settings.hidden, settings.layers, settings.dropout
    )


class LanguageModel(nn.Module):
    """Embedding, recurrent layers, and a linear layer to the scores of all symbols."""

    def __init__(
        self, cell: str, embedding: int, hidden: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        recurrent = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        between = dropout if layers > 1 else 0.0  # After the last one it is applied here.
        self.embed = nn.Embedding(SYMBOLS, embedding)
        self.recurrent = recurrent(embedding, hidden, layers, dropout=between)
        self.drop = nn.Dropout(dropout)
        self.score = nn.Linear(hidden, SYMBOLS)
        if cell == "lstm":
            self.remember_at_first()

    def forward(self, symbols: Tensor, hidden: Any = None) -> tuple[Tensor, Any]:
        """
        Return the scores after each symbol, and the hidden state after the last.

        Symbols are `(time, streams)`, scores `(time, streams, SYMBOLS)`. The hidden
        state is `(layers, streams, hidden)`, for an LSTM a pair of these; None is zeros.
        """
        states, hidden = self.recurrent(self.embed(symbols), hidden)
        return self.score(self.drop(states)), hidden

    def remember_at_first(self) -> None:
        """Open the forget gates: their biases begin at 1 (Jozefowicz et al., 2015)."""
        for name, bias in self.recurrent.named_parameters():
            if name.startswith("bias"):
                _, forget, _, _ = bias.data.chunk(4)  # Input, forget, cell, output.
                forget.fill_(1.0 if name.startswith("bias_ih") else 0.0)

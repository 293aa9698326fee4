"""
Write text with the best checkpoint of a run.

    python sample.py --prompt "def "                         # go on with this
    python sample.py --prompt "class " --temperature 0.5     # more of the likely
    python sample.py --length 2000 --top-k 20 --seed 1       # draw from the 20 likeliest bytes
"""

from __future__ import annotations

from dataclasses import dataclass

from data import BEFORE
from model import make_model, write_text
from scaffold_runtime import Fingerprint, launch, restore_best, seed_everything
from scaffold_runtime.run_folder import find_run
from scaffold_runtime.settings import Amount, Count, read_settings
from train import Settings as TrainSettings


@dataclass(frozen=True)
class Settings:
    prompt: str = ""  # What the text begins with.
    length: Count = 500  # Bytes to write.
    temperature: Amount = 0.8  # 1 draws by the model's probabilities; 0 takes the likeliest.
    top_k: Count = 0  # Draw from so many of the likeliest bytes; 0 draws from all.
    seed: Count = 0  # Another seed writes another text.
    run: str = "first"  # The run whose best checkpoint writes.


def main(settings: Settings) -> None:
    """Print the prompt and what the model makes of it."""
    folder = find_run(settings.run)
    model = make_model(read_settings(TrainSettings, folder / "config.yaml"))
    restore_best(folder / "checkpoints", {"model": model, "text": Fingerprint()})
    seed_everything(settings.seed)
    # A prompt that is no text of Unicode, as a terminal may give it, is read byte by byte.
    prompt = settings.prompt.encode("utf-8", "surrogateescape")
    written = write_text(
        model, BEFORE + prompt, settings.length, settings.temperature, settings.top_k
    )
    print((prompt + written).decode("utf-8", "replace"))


if __name__ == "__main__":
    launch(main, Settings)

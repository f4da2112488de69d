"""Trains the demo model from random weights: `make demo-model`. Owns schedule, checkpoints and the loss curve.

One core is enough, in about an hour. It can be ended at any time and goes on where it was: a checkpoint holds weights
and the optimizers' state, and which rows come next follows from the step's number.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from baton.demo.export import write_model
from baton.demo.lessons import KINDS, NUM_ROWS, ROW_TOKENS, Lessons, read_lessons
from baton.demo.llama import DemoLlama, Shape

SEED = 7
STEPS = 1240
WARM_UP, FLOOR = 60, 0.02
MATRIX_RATE, OTHER_RATE = 5e-3, 4e-3
DECAY = 0.1
SAVED_EVERY, LOOKED_EVERY = 100, 200
FOLDER = Path(".baton/demo-model")


class Trainer:
    """The model, its two optimizers (Muon for the layers' matrices, AdamW for the rest), and how far they are."""

    def __init__(self, shape: Shape, lessons: Lessons, steps: int) -> None:
        torch.manual_seed(SEED)
        self.lessons = lessons
        self.steps = steps
        self.model = DemoLlama(shape)
        self.run = torch.compile(self.model)
        matrices, others = _sorted_out(self.model)
        self.optimizers = (
            torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0),
        )
        self.step = 0
        self.seconds = 0.0

    def learn(self) -> float:
        """One step; the loss before it."""
        share = _rate(self.step, self.steps)
        for optimizer, rate in zip(self.optimizers, (MATRIX_RATE, OTHER_RATE), strict=True):
            optimizer.param_groups[0]["lr"] = rate * share
        loss = self._loss(self.run, *map(torch.from_numpy, self.lessons.step(self.step)))
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()  # type: ignore[no-untyped-call]
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return float(loss.detach())

    @torch.no_grad()
    def look(self) -> dict[str, float]:
        """The loss on what was kept back, by kind."""
        return {kind: float(self._loss(self.model, *map(torch.from_numpy, self.lessons.look(kind)))) for kind in KINDS}

    def _loss(self, run: Callable[[Tensor, Tensor], Tensor], ids: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return run(ids, targets)

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        tensors = {f"model.{name}": weight for name, weight in self.model.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{index}.{name}": value for name, value in state.items()}
        tensors |= {"step": torch.tensor(self.step), "seconds": torch.tensor(self.seconds)}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        tensors = load_file(path)
        self.step, self.seconds = int(tensors.pop("step")), float(tensors.pop("seconds"))
        weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        self.model.load_state_dict(weights)
        for number, optimizer in enumerate(self.optimizers):
            states: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith(f"optimizer.{number}."):
                    _, _, index, field = name.split(".")
                    states.setdefault(int(index), {})[field] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": states})


def _sorted_out(model: DemoLlama) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The layers' matrices, and everything else."""
    matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and "layers" in name]
    return matrices, [weight for name, weight in model.named_parameters() if weight.ndim != 2 or "layers" not in name]


def _rate(step: int, steps: int) -> float:
    """The share of the learning rate: a short way up, then half a cosine down."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, steps - WARM_UP)
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m baton.demo.train", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where checkpoint, curve and model go")
    parser.add_argument("--steps", type=int, default=STEPS, help="how many steps the whole schedule has")
    parser.add_argument("--until", type=int, default=sys.maxsize, help="end after this step, to go on another time")
    parser.add_argument("--threads", type=int, default=1, help="threads that compute")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    shape = Shape()
    kept = given.folder / "tokenizer.json"
    lessons = read_lessons(shape.vocab, SEED, Tokenizer.from_file(str(kept)) if kept.is_file() else None)
    lessons.tokenizer.save(str(kept))
    trainer = Trainer(shape, lessons, given.steps)
    checkpoint, curve = given.folder / "checkpoint.safetensors", given.folder / "loss.csv"
    if checkpoint.is_file():
        trainer.load(checkpoint)
    else:
        curve.write_text(",".join(["step", "tokens", "seconds", "loss", *KINDS]) + "\n")
    _train(trainer, given.folder, min(given.steps, given.until), checkpoint, curve)


def _train(trainer: Trainer, folder: Path, until: int, checkpoint: Path, curve: Path) -> None:
    began, mean = time.monotonic() - trainer.seconds, 0.0
    tokens = NUM_ROWS * ROW_TOKENS
    while trainer.step < until:
        loss = trainer.learn()
        mean = loss if not mean else 0.95 * mean + 0.05 * loss
        trainer.seconds = time.monotonic() - began
        last = trainer.step == until
        if trainer.step % 20 == 0 or last:
            looked = trainer.look() if trainer.step % LOOKED_EVERY == 0 or last else {}
            row = [trainer.step, trainer.step * tokens, f"{trainer.seconds:.0f}", f"{mean:.4f}"]
            row += [f"{looked[kind]:.4f}" if looked else "" for kind in KINDS]
            with curve.open("a") as file:
                file.write(",".join(map(str, row)) + "\n")
            sys.stdout.write(
                f"step {trainer.step} of {trainer.steps}, {trainer.seconds:.0f} s, loss {mean:.3f} {looked or ''}\n"
            )
            sys.stdout.flush()
        if trainer.step % SAVED_EVERY == 0 or last:
            trainer.save(checkpoint)
            write_model(folder / "model", trainer.model, trainer.lessons.tokenizer)


if __name__ == "__main__":
    main()

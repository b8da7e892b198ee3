"""Training an Id-CLIP: read it from top to bottom (torch).

    train(preset("compact"), [Path("coco-pfs")], Path("run"))

What is learned, the translator and the prompts, learns from symmetric InfoNCE over a batch of
pictures and texts in which [TOK] stands for who is in the picture (Messina et al., ECIR 2025).
The logit scale is fixed. In `out` appear log.jsonl, TensorBoard's events, curves.png, and the
checkpoints best/ (by the sum of text-to-image recalls on the validation split) and last/, which
also holds what it takes to go on: the same options then lead to the same weights as a run that was
never interrupted, bit by bit on a CPU.
"""

# torch is not seen by mypy, so its classes and decorators are of any type.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"
from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .checkpoints import Checkpoint, checkpoint_folder, extra_tensors, load_learned, save
from .errors import ModelUnavailable, UnreadableImage, VidsearchError
from .losses import entity_loss, info_nce
from .metrics import InvalidVectors
from .model import IdCLIP, trained_parameters
from .prompts import TOK
from .train_check import KS, SUM, recalls
from .train_data import PhotoSet, Question, draw, load_photos, named, order, questions
from .train_features import ImageSide, Pictures, image_side, pictures
from .train_log import Journal
from .train_ranks import ALONE, Ranks
from .train_stop import Stop, Stopped, stop_signals
from .training_options import HEAD, InvalidOptions, Options

BEST, LAST, STATE, CONSTANT = "best", "last", "training", "constant"
BAD_BATCH = "bad_batch.json"
FREE = {"device", "compile"}  # may differ when a run goes on: they change speed, hardly the result

Say = Callable[[str], None]
Show = Callable[[int, int, str], None]


class NotFinite(VidsearchError):
    """The loss or its gradient is no number any more; the message names the batch."""


def train(
    options: Options,
    data: Sequence[Path],
    out: Path,
    *,
    resume: bool = False,
    ranks: Ranks = ALONE,
    say: Say = lambda line: None,
    show: Show = lambda done, of, what: None,
) -> dict[str, float]:
    """Train on the data sets `data` (COCO-PFS folders); returns the best validation's recalls.

    `resume` goes on with the run in `out`. `say` is told what is worth reading, `show` how far it
    is. Raises `InvalidOptions`, `BadDataset`, `ModelUnavailable`, `NotFinite`, `Stopped` after
    SIGINT or SIGTERM, and `VidsearchError` where a file cannot be written.
    """
    # What may go wrong goes wrong now: device, folder, data, model.
    device = device_of(options)
    stored = _stored_run(out, options, resume)
    lessons, exam = load_photos(data, "train"), load_photos(data, "validation")
    if (exam.face_model, exam.face_dim) != (lessons.face_model, lessons.face_dim):
        raise VidsearchError(f"{data[0]}: the splits have vectors of different face models")
    if min(options.batch, len(lessons)) < ranks.size:
        raise InvalidOptions(f"a batch of {options.batch} has no share for {ranks.size} processes")
    batches = [order(len(lessons), options.batch, options.seed, e) for e in range(options.epochs)]
    per_epoch, total = len(batches[0]), sum(map(len, batches))
    about = _about(options, data, lessons, exam)
    _same_data(out, stored, about)
    model = make_model(options, lessons, device)

    # The optimiser: AdamW on the little that is learned.
    learned = list(trained_parameters(model))
    optimiser = torch.optim.AdamW(learned, lr=options.lr, weight_decay=options.weight_decay)
    run = Run(options, model, optimiser, out, about, ranks)
    if stored:
        run.restore()
    say(
        f"{model.name}: {sum(map(torch.numel, learned)):,} values learn from {len(lessons)} "
        f"pictures of {len(set(lessons.identities))} people; {len(exam)} pictures of "
        f"{len(set(exam.identities))} others check it; {per_epoch} steps in each of "
        f"{options.epochs} epochs, on {device}"
    )
    if lessons.left_out:
        say(f"{lessons.left_out} pictures of people in a validation or test split are left out")

    with stop_signals() as stop, Journal(out, run.step, say, on=ranks.first) as journal:
        # The image side: what no gradient needs is computed once.
        side = image_side(model)
        look = Looking(run, side, journal, stop, say, show)
        seen, checked = look.at(lessons, "train"), look.at(exam, "validation")
        asked = questions(exam, options.validation_captions)
        if options.negatives == "all":
            if not side.whole:
                raise InvalidOptions(f"{model.name}: its pictures' vectors change in training")
            run.all_images = seen.table
        if options.compile:
            _compile(model, side)

        # The loop.
        due = {round((i + 1) * per_epoch / options.validations) for i in range(options.validations)}
        if not run.step:
            run.validate(side, checked, asked, journal, say)
        try:
            for batch in _batches(run, lessons, seen, batches):
                began = time.monotonic()
                rate = run.set_rate(total)
                loss, gradient = run.learn(side, batch, lessons)
                run.step += 1
                journal.write(
                    "step",
                    run.step,
                    epoch=batch.epoch,
                    loss=loss,
                    rate=rate,
                    gradient=gradient,
                    seconds=time.monotonic() - began,
                )
                show(run.step, total, f"epoch {batch.epoch + 1}, loss {loss:.3f}")
                place = run.step - batch.epoch * per_epoch
                if place in due:
                    run.validate(side, checked, asked, journal, say)
                journal.draw_now_and_then()
                run.stop_if_asked(stop)
        except (NotFinite, UnreadableImage) as error:
            if ranks.size == 1 or isinstance(error, NotFinite):  # else the others know nothing
                run.save(LAST)
            raise
    say(f"done: {out / BEST} has the best, a sum of recalls of {run.best:.4f}")
    return dict(Checkpoint.read(out / BEST).metrics)


# --- before the loop -----------------------------------------------------------------------------


def device_of(options: Options) -> str:
    """Where it is trained. Raises `InvalidOptions` where that is not here."""
    gpu = torch.cuda.is_available()
    if options.device == "auto":
        return "cuda" if gpu else "cpu"
    if options.device.startswith("cuda") and not gpu:
        raise InvalidOptions(
            f"{options.model} is to be trained on a GPU, and torch finds none here; --device cpu "
            "trains without (slowly), --preset compact is made for that"
        )
    return options.device


def make_model(options: Options, lessons: PhotoSet, device: str) -> IdCLIP:
    """A new model for the face vectors of the data; the seed decides how it begins."""
    torch.manual_seed(options.seed)
    model = IdCLIP(
        options.model,
        options.pretrained or None,
        face_dim=lessons.face_dim,
        face_model=lessons.face_model,
        prompts=options.prompts,
        text_prompts=options.text_prompts,
        tokens=options.tokens,
        device=device,
    )
    if options.unlock == HEAD:
        model.unlock_head()
    model.logit_scale.fill_(math.log(options.logit_scale))
    return model.train()


def stored_options(out: Path) -> Options:
    """Those of the run in `out`. Raises `ModelUnavailable` where there is none."""
    training = Checkpoint.read(out / LAST).training
    return Options(**{name: training[name] for name in Options().as_data() if name in training})


def _stored_run(out: Path, options: Options, resume: bool) -> Checkpoint | None:
    """The last checkpoint of a run that goes on; None for a new one."""
    for name in (BEST, LAST):
        checkpoint_folder(out / name)  # brings back one whose writing was cut short
    if not resume:
        if (out / LAST).exists() or (out / BEST).exists():
            raise VidsearchError(f"{out}: holds a run; add --resume, or choose another --out")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VidsearchError(f"{out}: cannot be made: {error.strerror}") from error
        return None
    before = stored_options(out).as_data()
    changed = [
        f"{name} was {before[name]!r}, now {value!r}"
        for name, value in options.as_data().items()
        if value != before[name] and name not in FREE
    ]
    if changed:
        raise InvalidOptions(
            f"{out}: goes on only with the options it was begun with; {'; '.join(changed)}"
        )
    return Checkpoint.read(out / LAST)


def _same_data(out: Path, stored: Checkpoint | None, about: dict[str, Any]) -> None:
    if stored and stored.data != about["data"]:
        raise VidsearchError(
            f"{out}: was trained on {dict(stored.data)}, not on {about['data']}; give the same "
            "--data in the same order, or begin anew in another --out"
        )


def _about(
    options: Options, data: Sequence[Path], lessons: PhotoSet, exam: PhotoSet
) -> dict[str, Any]:
    """What a checkpoint says of its data and options; no paths, which would tell of a machine."""
    return {
        "data": {
            "sets": ", ".join(root.resolve().name for root in data),
            "fingerprint": lessons.fingerprint,
            "training pictures": len(lessons),
            "training people": len(set(lessons.identities)),
            "validation pictures": len(exam),
            "validation people": len(set(exam.identities)),
        },
        "training": options.as_data(),
    }


@dataclass(frozen=True, eq=False)
class Looking:
    """Computing what is constant of the pictures, said and logged."""

    run: Run
    side: ImageSide
    journal: Journal
    stop: Stop
    say: Say
    show: Show

    def at(self, photos: PhotoSet, split: str) -> Pictures:
        """The pictures of a split."""
        run = self.run

        def show(done: int, of: int) -> None:
            self.show(done, of, f"pictures of the {split} split")
            if self.stop.signum and run.ranks.size == 1:
                raise Stopped("stopped while looking at pictures: begin again", self.stop.signum)

        file = run.out / CONSTANT / split
        found = pictures(run.model, self.side, photos, file, run.ranks, show)
        if found.seconds:
            times = run.options.epochs
            if split == "validation":
                times *= run.options.validations
            saved = (times - 1) * found.seconds
            self.say(
                f"{split}: {len(photos)} pictures looked at once in {found.seconds:.1f} s, not "
                f"{times} times: saves {saved:.0f} s"
            )
            self.journal.write(
                "constant", run.step, split=split, seconds=found.seconds, saved_seconds=saved
            )
        return found


def _compile(model: IdCLIP, side: ImageSide) -> None:
    """Compile, in place, the towers that the loop calls, but for the token table and its hook."""
    backbone = model.backbone.model
    if not side.constant:
        backbone.visual.compile()
    layers = getattr(getattr(backbone, "text", backbone), "transformer", None)
    if layers is not None and all(
        part is not model.backbone.token_embedding for part in layers.modules()
    ):
        layers.compile()


# --- the loop ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Batch:
    """This process's share `mine` of the rows [B]: texts, faces [b, F], what `ImageSide` takes."""

    epoch: int
    rows: NDArray[np.int64]
    mine: slice
    texts: list[str]
    faces: NDArray[np.float32]
    images: Tensor


def _batches(
    run: Run, lessons: PhotoSet, seen: Pictures, epochs: Sequence[Sequence[NDArray[np.int64]]]
) -> Iterator[Batch]:
    """All that are still to come."""
    seed, ranks = run.options.seed, run.ranks
    flat = [(epoch, rows) for epoch, batches in enumerate(epochs) for rows in batches][run.step :]
    shares = [rows[ranks.share(len(rows))] for _, rows in flat]
    for (epoch, rows), own, images in zip(flat, shares, seen.batches(shares), strict=True):
        drawn = [draw(lessons.photos[row], seed, epoch, int(row)) for row in own]
        texts, faces = [text for text, _ in drawn], np.stack([face for _, face in drawn])
        yield Batch(epoch, rows, ranks.share(len(rows)), texts, faces, images)


@dataclass(eq=False)
class Run:
    """A model on its way: `step` steps are done, `best` is the best sum of recalls so far."""

    options: Options
    model: IdCLIP
    optimiser: torch.optim.AdamW
    out: Path
    about: dict[str, Any]
    ranks: Ranks
    step: int = 0
    best: float = -1.0
    all_images: Tensor | None = None
    """The vectors [N, D] of all training pictures, where a text is to find its own among them."""

    def set_rate(self, total: int) -> float:
        """The learning rate of the next step, of `total`: warmed up, then constant or cosine."""
        options = self.options
        warm = options.warmup * total
        rate = options.lr
        if self.step < warm:
            rate *= min(1.0, (self.step + 1) / warm)
        elif options.schedule == "cosine":
            rate *= (1 + math.cos(math.pi * (self.step - warm) / (total - warm))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def learn(self, side: ImageSide, batch: Batch, lessons: PhotoSet) -> tuple[float, float]:
        """One step; returns the loss of the whole batch and the norm of its gradient.

        InfoNCE over parts of a batch would be another loss, with fewer negatives. So where the
        batch goes through the towers in parts, or on several devices, all vectors are computed
        first, the loss of all gives each vector its gradient, and the parts are computed again to
        pass it on (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited
        Setup", RepL4NLP 2021). The result is that of the whole batch; it costs a forward pass.
        """
        parts = _parts(len(batch.texts), self.options.accumulate)
        again = len(parts) > 1
        with torch.set_grad_enabled(not again):
            found = [self._vectors(side, batch, part) for part in parts]
        leaves = [
            self.ranks.whole(torch.cat(column).detach(), len(batch.rows)).requires_grad_()
            for column in zip(*found, strict=True)
        ]
        loss = self._loss(leaves, batch, lessons)
        if not torch.isfinite(loss):
            raise self._not_finite("loss", batch, lessons, leaves)
        own = [leaf[batch.mine] for leaf in torch.autograd.grad(loss, leaves)]
        self.optimiser.zero_grad()
        for part, vectors in zip(parts, found, strict=True):
            passed = self._vectors(side, batch, part) if again else vectors
            pairs = [(v, g[part]) for v, g in zip(passed, own, strict=True) if v.requires_grad]
            torch.autograd.backward([v for v, _ in pairs], [g for _, g in pairs])
        gradients = [self.ranks.sum(weight.grad) for weight in trained_parameters(self.model)]
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        if not torch.isfinite(norm):
            raise self._not_finite("gradient", batch, lessons, leaves)
        self.optimiser.step()
        return float(loss.detach()), float(norm)

    def _vectors(self, side: ImageSide, batch: Batch, part: slice) -> list[Tensor]:
        """Unit vectors [b, D] of pictures and texts; of the people alone, where these count."""
        faces = list(batch.faces[part][:, None])
        with self._precision():
            found = [side.vectors(batch.images[part])]
            found.append(self.model.encode_text(*self.model.read(batch.texts[part], faces)))
            if self.options.entity_weight:
                alone = self.model.read([TOK] * len(faces), faces)
                found.append(self.model.encode_text(*alone))
        return found

    def _loss(self, vectors: Sequence[Tensor], batch: Batch, lessons: PhotoSet) -> Tensor:
        images, texts = vectors[:2]
        scale = self.model.logit_scale.exp()
        if self.all_images is None:
            loss = info_nce(images, texts, scale)
        else:
            loss = info_nce_among(images, texts, self.all_images, batch.rows, scale)
        if self.options.entity_weight:
            who = torch.from_numpy(lessons.identities[batch.rows]).to(images.device)
            loss = loss + self.options.entity_weight * entity_loss(images, vectors[2], who, scale)
        return loss

    def _not_finite(
        self, what: str, batch: Batch, lessons: PhotoSet, vectors: Sequence[Tensor]
    ) -> NotFinite:
        """Names the batch: the rows whose own vectors are no numbers, or all of them."""
        # Each process knows the texts of its share; what is drawn can be drawn again.
        texts = [
            draw(lessons.photos[row], self.options.seed, batch.epoch, int(row))[0]
            for row in batch.rows
        ]
        every = list(named(lessons, batch.rows.tolist(), texts))
        finite = torch.stack([torch.isfinite(v).all(1) for v in vectors]).all(0).tolist()
        guilty = [entry for entry, good in zip(every, finite, strict=True) if not good] or every
        file = self.out / BAD_BATCH
        if self.ranks.first:
            file.write_text(json.dumps({"step": self.step + 1, "batch": every}, indent=1), "utf-8")
        some = "; ".join(f'{entry["picture"]} ("{entry["text"]}")' for entry in guilty[:3])
        more = f" and {len(guilty) - 3} more" if len(guilty) > 3 else ""
        return NotFinite(
            f"the {what} of step {self.step + 1} is not finite, with {some}{more}; the whole batch "
            f"is in {file}, the weights before it in {self.out / LAST}. Look at these pictures, or "
            "begin anew with a lower --lr or --precision fp32"
        )

    # --- validation and checkpoints ---

    def validate(
        self,
        side: ImageSide,
        checked: Pictures,
        asked: Sequence[Question],
        journal: Journal,
        say: Say,
    ) -> None:
        """Measure on the validation split; keep what is best, and what is last."""
        began = time.monotonic()
        self.model.eval()
        try:
            with torch.no_grad(), self._precision():
                metrics = recalls(self.model, side, checked, asked, self.ranks)
        except InvalidVectors as error:  # and what was saved before stays as it is
            raise VidsearchError(
                f"after step {self.step} the model's vectors of the validation split are no "
                f"numbers any more ({error}): begin anew with a lower --lr or --precision fp32"
            ) from error
        self.model.train()
        total = metrics[SUM]
        seconds = time.monotonic() - began
        journal.write("validation", self.step, **metrics, seconds=seconds)
        figures = "  ".join(f"R@{k} {100 * metrics[f'R@{k}']:.1f}" for k in KS)
        better = self.step > 0 and total > self.best
        say(f"step {self.step}: {figures} % ({seconds:.1f} s){'  best so far' if better else ''}")
        if better:
            self.best = total
            self.save(BEST, metrics)
        if self.step:
            self.save(LAST, metrics)

    def save(self, name: str, metrics: dict[str, float] | None = None) -> None:
        """Write best or last; the last one with what it takes to go on."""
        if self.ranks.first:
            extra = {STATE: self._state()} if name == LAST else None
            about = {**self.about, "training": {**self.about["training"], "step": self.step}}
            save(self.model, self.out / name, extra=extra, metrics=metrics or {}, **about)
        self.ranks.wait()

    def restore(self) -> None:
        """Go on where last/ was saved."""
        folder = self.out / LAST
        load_learned(self.model, folder)
        state = extra_tensors(folder, STATE)
        try:
            self.step, self.best = int(state.pop("step")), float(state.pop("best"))
            torch.set_rng_state(state.pop("random.cpu"))
            gpu = state.pop("random.gpu", None)
            if gpu is not None and torch.cuda.is_available():
                torch.cuda.set_rng_state(gpu)
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in state.items():
                number, _, of = key.partition(".")
                moments.setdefault(int(number), {})[of] = value
            groups = self.optimiser.state_dict()["param_groups"]
            self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        except (KeyError, ValueError, RuntimeError) as error:
            raise ModelUnavailable(f"{folder}: the run cannot go on from it: {error}") from error

    def stop_if_asked(self, stop: Stop) -> None:
        """Save and leave, where any of the processes got a signal."""
        signum = self.ranks.largest(stop.signum, self.model.device)
        if signum:
            self.save(LAST)
            raise Stopped(
                f"stopped after step {self.step}, saved in {self.out / LAST}; the same command "
                "with --resume goes on to the same result",
                signum,
            )

    def _state(self) -> dict[str, Tensor]:
        state = {
            "step": torch.tensor(self.step),
            "best": torch.tensor(self.best, dtype=torch.float64),
            "random.cpu": torch.get_rng_state(),
        }
        if self.model.device.startswith("cuda"):
            state["random.gpu"] = torch.cuda.get_rng_state()
        for number, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"{number}.{of}": value for of, value in moments.items()}
        return state

    def _precision(self) -> Any:
        kind = "cuda" if self.model.device.startswith("cuda") else "cpu"
        wanted = self.options.precision
        half = wanted == "bf16" or (wanted == "auto" and kind == "cuda")
        return torch.autocast(kind, torch.bfloat16, enabled=half)


def info_nce_among(
    images: Tensor, texts: Tensor, every: Tensor, rows: NDArray[np.int64], scale: Tensor
) -> Tensor:
    """`info_nce`, but a text finds its picture among all of them, `every` [N, D].

    `rows` says which of them are the batch's. It costs nothing where they are constants, and puts
    what is hardest to tell apart, one photo with other people's faces, into every comparison.
    """
    own = torch.from_numpy(rows).to(texts.device)
    there = functional.cross_entropy(scale * texts @ every.T, own)
    back = functional.cross_entropy(
        scale * images @ texts.T, torch.arange(len(own), device=own.device)
    )
    return (there + back) / 2


def _parts(length: int, number: int) -> list[slice]:
    """Of about equal size; at most one for each row."""
    number = min(number, length)
    return [slice(length * i // number, length * (i + 1) // number) for i in range(number)]

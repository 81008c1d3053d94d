"""What happens between epochs: the best network, saved models, checkpoints, when to stop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from accelerate import Accelerator
from attrs import field
from attrs import frozen

from toolkit.errors import UsageError
from toolkit.run import Run
from toolkit_recipes.config import as_dict
from toolkit_recipes.dbnet.model_files import ARTIFACTS
from toolkit_recipes.dbnet.model_files import STATE
from toolkit_recipes.dbnet.model_files import load_network
from toolkit_recipes.dbnet.model_files import save_network
from toolkit_recipes.dbnet.network import DBNet
from toolkit_recipes.dbnet.pages import Pages
from toolkit_recipes.dbnet.presets import DbnetConfig
from toolkit_recipes.dbnet.trainer import Trainer
from toolkit_recipes.model_source import model_folder
from toolkit_recipes.storage import Checkpoint
from toolkit_recipes.storage import Checkpoints
from toolkit_recipes.storage import Tensors
from toolkit_recipes.storage import content_key
from toolkit_recipes.storage import from_main_process
from toolkit_recipes.storage import read_checkpoint
from toolkit_recipes.storage import write_checkpoint
from toolkit_recipes.tracking import TrackingConfig


@frozen
class Progress:
    """Where training stands; survives in a checkpoint."""

    step: int = 0
    """Steps that are over."""
    hmeans: tuple[float, ...] = ()
    """val/hmean after each epoch."""
    is_over: bool = False
    seconds_before: float = field(default=0.0, eq=False)
    """Time that earlier attempts took until their last checkpoint."""
    since: float = field(factory=time.monotonic, eq=False)
    """When this attempt began, by this process's clock."""

    @property
    def seconds(self) -> float:
        """Time that training has taken until now, without what was done twice or not at all."""
        return self.seconds_before + time.monotonic() - self.since

    @property
    def epoch(self) -> int:
        """Epochs that are over."""
        return len(self.hmeans)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the highest val/hmean, the first of equals; 0 before any.

        As long as nothing was found at all, it is the last one: patience begins with the first
        text that is found.
        """
        return self.hmeans.index(max(self.hmeans)) + 1 if any(self.hmeans) else self.epoch

    def saved(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "step": self.step,
            "hmeans": self.hmeans,
            "is_over": self.is_over,
            "seconds_before": self.seconds,
        }

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Progress:
        """Read what :meth:`saved` returned and JSON changed."""
        return cls(**dict(saved) | {"hmeans": tuple(saved["hmeans"])})

    def after_step(self) -> Progress:
        """Return what holds after one more step."""
        return attrs.evolve(self, step=self.step + 1)

    def after_epoch(self, hmean: float, epochs: int, patience: int) -> Progress:
        """Return what holds after one more epoch; training is over at its end or out of patience.

        Args:
            hmean: val/hmean of the epoch.
            epochs: most epochs.
            patience: epochs without a higher hmean before stopping.
        """
        then = attrs.evolve(self, hmeans=(*self.hmeans, hmean))
        out_of_patience = then.epoch - then.best_epoch >= patience
        return attrs.evolve(then, is_over=then.epoch >= epochs or out_of_patience)

    def is_among_best(self, count: int) -> bool:
        """Whether fewer than ``count`` earlier epochs were at least as good as the last one."""
        return sum(hmean >= self.hmeans[-1] for hmean in self.hmeans[:-1]) < count


@frozen(eq=False)
class Keeper:
    """Keeps what a run learns: a checkpoint to go on from, and models to be used.

    Args:
        run: gets the models as artifacts.
        checkpoints: the last state.
        config: of the run.
    """

    run: Run
    checkpoints: Checkpoints
    config: DbnetConfig

    @classmethod
    def create(
        cls, run: Run, accelerator: Accelerator, config: DbnetConfig, pages: Pages
    ) -> Keeper:
        """Keep checkpoints in the run's folder, found again by what they were made from."""
        folder = from_main_process(accelerator, str(run.dir) if run.dir else None)
        names = [[page.name for page in part] for part in (pages.train, pages.val)]
        shape = [accelerator.mixed_precision, accelerator.num_processes]
        key = content_key(as_dict(_what_shapes(config)), names, shape)
        home = Path(folder) / "checkpoints" if folder else None
        return cls(run, Checkpoints(home, key, accelerator), config)

    def restore(self, trainer: Trainer) -> tuple[Progress, Tensors]:
        """Go back to the last checkpoint, or take what training starts from out of a kept model.

        Returns:
            Where training stands, and the best weights.

        Raises:
            UsageError: the run has a checkpoint, but of another configuration, or the kept model
                can't be gone on from or is of another network.
        """
        checkpoint = self.checkpoints.load()
        if checkpoint is None:
            self.checkpoints.refuse_others()
            if self.config.model.weights is not None:
                trainer.network.load_state_dict(_weights(self.config.model.weights, self.config))
            if self.config.training.start_from is None:
                return Progress(), {}
            steps = trainer.schedule.steps // self.config.training.epochs
            checkpoint = _kept(self.config.training.start_from, self.config, steps)
        trainer.restore(checkpoint.weights, checkpoint.optimizer)
        return Progress.restored(checkpoint.progress), checkpoint.best

    def end_epoch(
        self,
        trainer: Trainer,
        before: Progress,
        best: Tensors,
        figures: Mapping[str, float],
    ) -> tuple[Progress, Tensors]:
        """Keep what an epoch has brought.

        A model becomes an artifact ``model-epoch-01`` ... of the run where it is among the
        ``training.keep`` best so far, or the last one. Its aliases say what it was then:
        ``latest``, and ``best`` where none before was better; the run's tags ``latest_model`` and
        ``best_model`` name those of the whole run.

        Args:
            trainer: after the epoch's steps.
            before: progress with the epoch's steps, but not yet its end.
            best: weights of the best network before.
            figures: of the validation.

        Returns:
            Progress and best weights after the epoch.
        """
        training = self.config.training
        progress = before.after_epoch(figures["hmean"], training.epochs, training.patience)
        network = trainer.best_guess
        if progress.best_epoch == progress.epoch:
            best = _copied(network)
        checkpoint = Checkpoint(
            trainer.weights(), best, trainer.optimizer_state(), progress.saved()
        )
        if progress.is_among_best(training.keep) or progress.is_over:
            self._keep_model(network, progress, figures, checkpoint)
        self.checkpoints.save(checkpoint)
        return progress, best

    def _keep_model(
        self,
        network: DBNet,
        progress: Progress,
        figures: Mapping[str, float],
        checkpoint: Checkpoint,
    ) -> None:
        if not self.checkpoints.accelerator.is_main_process:
            return
        name = f"model-epoch-{progress.epoch:02}"
        is_best = progress.best_epoch == progress.epoch
        with tempfile.TemporaryDirectory() as folder:
            save_network(Path(folder) / name, network, self.config, figures)
            write_checkpoint(
                attrs.evolve(checkpoint, best={}) if is_best else checkpoint,
                Path(folder) / name / STATE,
            )
            self.run.log_artifacts(
                Path(folder) / name,
                name,
                name=name,
                type="model",
                aliases=["latest", "best"] if is_best else ["latest"],
                move=True,
            )
        self.run.set_tags({"latest_model": name} | ({"best_model": name} if is_best else {}))


def _kept(model: str, config: DbnetConfig, steps: int) -> Checkpoint:
    """Read what training goes on from.

    Args:
        model: folder, or folder or id of its run.
        config: that training goes on with.
        steps: of each epoch.

    Raises:
        UsageError: it isn't there, is of another network, optimizer or size of pages, its
            epochs had other steps, or it has had all of them.
    """
    where = f"training.start_from={model}"
    with model_folder(model, ARTIFACTS, "training.start_from") as folder:
        saved = load_network(folder)
        if not (folder / STATE).is_dir():
            raise UsageError(f"{where}: has no {STATE}/, so it can be used, but not gone on from")
        checkpoint = read_checkpoint(folder / STATE)
    training = config.training
    for key, was, wanted in (
        ("model", saved.config.model, config.model),
        ("training.optimizer", saved.config.training.optimizer, training.optimizer),
        ("training.ema", saved.config.training.ema, training.ema),
        ("evaluation.long_side", saved.config.evaluation.long_side, config.evaluation.long_side),
    ):
        if was != wanted:
            raise UsageError(f"{where}: was trained with {key} {was}, not {wanted}; give the same")
    progress = Progress.restored(checkpoint.progress)
    if progress.step != progress.epoch * steps:
        raise UsageError(
            f"{where}: its epochs had {progress.step // progress.epoch} steps, and now have {steps}"
            ": other pages or another batch size; give the same, or begin a training with its "
            f"weights, model.weights={model}"
        )
    if progress.epoch >= training.epochs:
        raise UsageError(
            f"{where}: has had {progress.epoch} epochs; give more than that as training.epochs"
        )
    return attrs.evolve(
        checkpoint,
        best=checkpoint.best or _copied(saved.network),
        progress=attrs.evolve(progress, is_over=False).saved(),
    )


def _weights(model: str, config: DbnetConfig) -> Tensors:
    """Read the weights that a new training begins with.

    Raises:
        UsageError: they aren't there or are of another network, or training goes on from a model.
    """
    where = f"model.weights={model}"
    if config.training.start_from is not None:
        raise UsageError(
            f"{where}: and training.start_from goes on with weights of its own; give one of them"
        )
    with model_folder(model, ARTIFACTS, "model.weights") as folder:
        saved = load_network(folder)
    for name in ("backbone", "width", "neck_channels", "scale_fusion"):
        was, wanted = getattr(saved.config.model, name), getattr(config.model, name)
        if was != wanted:
            raise UsageError(f"{where}: has model.{name}={was}, not {wanted}; give the same")
    return _copied(saved.network)


def _copied(network: DBNet) -> Tensors:
    return {name: value.cpu().clone() for name, value in network.state_dict().items()}


def _what_shapes(config: DbnetConfig) -> DbnetConfig:
    """Return the configuration without what doesn't change the weights that are kept."""
    return attrs.evolve(
        config,
        log_interval=1,
        threads=0,
        tracking=TrackingConfig(),
        data=attrs.evolve(config.data, workers=0, test=None),
        training=attrs.evolve(config.training, keep=1),
        evaluation=attrs.evolve(config.evaluation, drawn_pages=0),
    )

# SPDX-License-Identifier: Apache-2.0
"""The training loop: read it from `Trainer.fit` on."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtperception.atomic_write import remove_left_in
from mtperception.data.transforms import Targets
from mtperception.pipeline import normalize
from mtperception.tasks import TASKS, metric_of
from mtperception.training.averaging import averaged
from mtperception.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    named,
)
from mtperception.training.config import ConfigError, TrainConfig
from mtperception.training.config_file import config_from_dict, config_to_dict
from mtperception.training.distributed import global_sum, parallel, rank, share_buffers, wait_for_all
from mtperception.training.divergence import ADVICE, DivergedError, check_losses, check_weights
from mtperception.training.examples import Batches, BatchLoader, TrainingSet
from mtperception.training.objective import Objective
from mtperception.training.optimization import freeze
from mtperception.training.precision import DTYPES, keep_precision, precision_advice
from mtperception.training.record import Record
from mtperception.training.starting_point import build_network, new_network
from mtperception.training.updates import Updates
from mtperception.training.validation import Validator, is_best

logger = logging.getLogger(__name__)
LAST, BEST = 'last.safetensors', 'best.safetensors'
FREE = {'device', 'workers', 'checkpoint_minutes'}
"""Keys of the configuration that may change when a run resumes."""
Report = Callable[[int, int, str], None]


class Trainer:
    """One run: a network, what it learns from, and how far it has come.

    Args:
        config: decides everything.
        out: folder of the run; if it holds a checkpoint, the run resumes from there.
        device: to train on.

    Raises:
        ConfigError, DatasetError: if something that the configuration names is not there or does not fit.
        CheckpointError: if `out` holds a run of another configuration or on other images.
    """

    def __init__(self, config: TrainConfig, out: Path, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        keep_precision(config.precision)
        self.config = config
        self.out = out
        self.device = device
        self.examples = TrainingSet(config)
        self.batches = Batches(self.examples.per_epoch, config.batch_size, config.seed, self.examples.keys)
        self.validator = Validator(config, device)
        resumes = (out / LAST).exists()
        self.network = new_network(config) if resumes else build_network(config)
        self.objective = Objective(config, self.network, self.examples.class_counts).to(device)
        self.network = self.network.to(device, memory_format=torch.channels_last)
        freeze(self.network, config)
        self.average = averaged(self.network, config.average_decay)
        self.updates = Updates(self.network, self.objective.weighting, config, device)
        self.steps = 0
        self.saved: int | None = None
        """The step of the last checkpoint."""
        self.epoch_losses = self._no_losses()
        """By the name of a loss: its sum over the epoch, and how often there was one."""
        self.metrics: dict[str, float] = {}
        """Metrics of the current weights; empty if they were not measured."""
        self.protocol: dict[str, Any] = {}
        self.best: float | None = None
        if rank() == 0:
            remove_left_in(out)
            if advice := precision_advice(config.precision, device):
                logger.warning('%s', advice)
            self._name_what_is_not_held_back()
        if resumes:
            self._resume(Checkpoint.read(out / LAST))
        elif (out / BEST).exists():
            self._refuse_others(Checkpoint.read(out / BEST), BEST)
        self.record = Record(out, config, self.steps, self.epoch)
        self.model = parallel(self.network, device)

    def fit(self, report: Report = lambda done, total, text: None) -> None:
        """Train to the last epoch, writing checkpoints, records and validation results on the way.

        Args:
            report: called after each step with the steps done, their total number, and what to show.
        """
        cuda = self.device.type == 'cuda'
        loader = BatchLoader(self.examples, self.batches, self.config.workers, pin_memory=cuda)
        saved = time.monotonic()
        latest = self.metrics
        while self.epoch < self.config.epochs:
            self.record.begin_epoch(self.steps)
            for images, targets, annotated in loader:
                losses = self.step(images, targets, annotated)
                self.batches.done += 1
                report(self.steps, self.total_steps, _text(self.epoch, losses, latest))
                if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                    self.save(LAST)
                    saved = time.monotonic()
            self.end_epoch()
            saved = time.monotonic()
            latest = self.metrics or latest
        self.record.close()

    def _name_what_is_not_held_back(self) -> None:
        for data, truth in zip(self.config.validation, self.validator.datasets, strict=True):
            shared = self.examples.shared_with(data, truth.ids)
            if shared:
                logger.warning(
                    'validation on %s %s: the run learns from %d of its %d images, so its metrics promise too much for '
                    'others: expected a split or folds that `data` leaves out',
                    *(data.dataset, data.root, shared, len(truth)),
                )

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.batches.epoch

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.batches.per_epoch

    def step(self, images: torch.Tensor, targets: Targets, annotated: Mapping[str, int]) -> dict[str, float]:
        """Learn from one batch.

        Args:
            images: uint8 N,3,H,W: this process's share.
            targets: of this process's images, see `data.transforms.collate`.
            annotated: by task, how many of them have its annotation.

        Returns:
            Losses by name, over the batch of all processes: of the outputs that it has annotations for, and against
            extra targets.

        Raises:
            ConfigError: if the network cannot learn from as few images at a time.
            DivergedError: if a loss or a gradient is not finite.
        """
        self._seed_dropout()
        self.updates.set_learning_rates(self.steps, self.total_steps)
        count, annotated = self._over_all_processes(len(images), annotated)
        losses = self._losses(images, targets, annotated)
        values = {output: float(loss.detach()) for output, loss in losses.items()}
        try:
            self._update(losses, values, count, self.objective.supervised(annotated, count))
        except DivergedError as error:
            raise self._diverged(error) from error
        share_buffers(self.network)
        self.average.update_parameters(self.network)
        self.metrics, self.protocol = {}, {}
        self.steps += 1
        for output, value in values.items():
            if math.isfinite(value):
                self.epoch_losses[output][0] += value
                self.epoch_losses[output][1] += 1
        self.record.step(self.steps, values)
        return values

    def _seed_dropout(self) -> None:
        """Each step of each process has its own random numbers, also after the run was resumed."""
        step = np.random.SeedSequence((self.config.seed, self.steps, rank()))
        torch.manual_seed(int(step.generate_state(1, np.uint64)[0]))

    def _update(
        self, losses: Mapping[str, torch.Tensor], values: Mapping[str, float], images: int, annotated: Mapping[str, int]
    ) -> None:
        """Let the weights follow the losses of a batch; raises DivergedError, with the weights as they were."""
        if not self.updates.tolerates_overflow:
            check_losses(values)
        total = self.objective.total(losses) if losses else None
        if total is not None and total.requires_grad:  # it may reach frozen weights alone
            self.updates.add(total, annotated)
        self.updates.step(images, annotated)

    def _diverged(self, error: DivergedError) -> DivergedError:
        """The same error, with where it was and what to do."""
        last = self.out / LAST
        kept = f'{last} is of step {self.saved}' if self.saved is not None else 'there is no checkpoint yet'
        place = f'step {self.steps + 1} (epoch {self.epoch + 1} of {self.config.epochs})'
        return DivergedError(f'{place}: {error}: expected finite numbers. Training stopped; {kept}. {ADVICE}')

    def _over_all_processes(self, images: int, annotated: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        """Images in the batch of all processes, and how many of them are annotated, by task."""
        counts = torch.tensor([images, *(annotated[task] for task in self.config.tasks)], device=self.device)
        total, *by_task = global_sum(counts).tolist()
        return total, dict(zip(self.config.tasks, by_task, strict=True))

    def _losses(self, images: torch.Tensor, targets: Targets, annotated: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Loss of each output that has annotations in the batch of all processes, and those against extra targets."""
        if not any(self.objective.supervised(annotated, len(images)).values()):
            return {}
        images = images.to(self.device, non_blocking=True)
        normalized = normalize(images.permute(0, 2, 3, 1)).contiguous(memory_format=torch.channels_last)
        precision = DTYPES[self.config.precision]
        with torch.autocast(self.device.type, precision, enabled=precision != torch.float32):
            outputs = self._outputs(normalized)
            extra = self.objective.extra_targets(images, normalized, self.network, self.average.module, self.steps)
        return self.objective(outputs, extra, targets, annotated)

    def _outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        try:
            return self.model(images)
        except ValueError as error:
            if len(images) > 1:
                raise
            # Batch norm has nothing to normalise where a network pools an image to one value per channel.
            raise ConfigError(
                f'batch_size {self.config.batch_size}, one image per process: {self.config.network.name} cannot learn '
                f'from one image at a time ({error}): choose a larger batch_size, or batch_norm=frozen'
            ) from error

    def end_epoch(self) -> None:
        """Count the epoch, tell the weighting, validate if it is time, write the checkpoints.

        Raises:
            ConfigError: if no image had annotations for anything.
        """
        if self.epoch == 0:
            self._check_annotations()
        means = {output: total / count for output, (total, count) in self.epoch_losses.items() if count}
        self.objective.weighting.end_epoch(means)
        self.epoch_losses = self._no_losses()
        self.batches.epoch += 1
        self.batches.done = 0
        improved = False
        if self.validator and (self.epoch % self.config.validate_every == 0 or self.epoch == self.config.epochs):
            improved = self._validate()
        self.record.epoch(self.epoch, self.steps, means, self.metrics)
        if improved:
            self.save(BEST)  # first: killed in between, the run measures and writes it again
        self.save(LAST)

    def _check_annotations(self) -> None:
        """Name what the first epoch had no annotation for; raises ConfigError if that is everything."""
        objective = self.objective
        learnt = {name for name, (_, count) in self.epoch_losses.items() if count}
        missing = {task for name, task in objective.outputs.items() if name not in learnt} - objective.taught
        if missing and not learnt:
            raise ConfigError(f'data: no image is annotated with {" or ".join(sorted(missing))}: nothing can be learnt')
        if missing and rank() == 0:
            logger.warning('no image of the first epoch is annotated with %s: not trained', ', '.join(sorted(missing)))

    def _no_losses(self) -> dict[str, list[float]]:
        return {name: [0.0, 0] for name in self.objective.names}

    def _validate(self) -> bool:
        """Measure the averaged weights; whether they are the best so far. The first process does it for all."""
        if rank() == 0:
            self.metrics, self.protocol = self.validator.measure(self.average.module)
            self.record.pictures(self.steps, self.validator.pictures(self.average.module))
        value = self.metrics.get(self.config.select_by)
        if rank() == 0 and value is None:
            found = ', '.join(self.metrics)
            logger.warning('no %s: select_by is %s, measured are %s', BEST, self.config.select_by, found)
        elif rank() == 0 and math.isnan(value):
            logger.warning(
                '%s could not be measured: no pixel to compare; not a candidate for %s', self.config.select_by, BEST
            )
        improved = value is not None and is_best(self.config.select_by, value, self.best)
        if improved:
            self.best = value
        wait_for_all()
        return improved

    def save(self, name: str) -> None:
        """Write a checkpoint into the run's folder; the first process does it.

        Raises:
            DivergedError: if the weights are not finite; the checkpoint that was there is kept.
        """
        try:
            check_weights(self.network.state_dict())
        except DivergedError as error:
            raise self._diverged(error) from error
        self.saved = self.steps
        if rank():
            return
        tensors = named('network', self.network.state_dict()) | named('average', self.average.module.state_dict())
        tensors |= named('weighting', self.objective.weighting.state_dict()) | self.updates.tensors()
        scalars = {
            'epoch': self.epoch,
            'batches_done': self.batches.done,
            'steps': self.steps,
            'averaged': int(self.average.n_averaged),
            'epoch_losses': self.epoch_losses,
            'metrics': self.metrics,
            'protocol': self.protocol,
            'best': self.best,
            'config': config_to_dict(self.config),
            'images': self.examples.digest,
            **self.updates.scalars(),
        }
        Checkpoint(tensors, scalars).write(self.out / name)

    def _refuse_others(self, checkpoint: Checkpoint, name: str) -> None:
        """Raise CheckpointError for a checkpoint of another configuration, or on other images."""
        config, earlier = (
            config_to_dict(each) for each in (self.config, config_from_dict(checkpoint.scalars['config']))
        )
        changed = [key for key in config if key not in FREE and config[key] != earlier[key]]
        if changed:
            raise CheckpointError(
                f'{self.out / name} differs from this configuration in: {", ".join(changed)}. Restore it, or use a new '
                '--out'
            )
        if checkpoint.scalars.get('images') != self.examples.digest:
            raise CheckpointError(
                f'{self.out / name} learnt from other images than there are now: restore the lists of the data sets, '
                'or use a new --out'
            )

    def _resume(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint of the same configuration and the same images."""
        state = checkpoint.scalars
        self._refuse_others(checkpoint, LAST)
        self.network.load_state_dict(checkpoint.group('network'))
        self.average.module.load_state_dict(checkpoint.group('average'))
        self.average.n_averaged.fill_(state['averaged'])
        self.objective.weighting.load_state_dict(checkpoint.group('weighting'))
        self.updates.restore(checkpoint)
        self.batches.epoch, self.batches.done, self.steps = state['epoch'], state['batches_done'], state['steps']
        self.saved = self.steps
        self.epoch_losses = state['epoch_losses']
        self.metrics, self.protocol, self.best = state['metrics'], state['protocol'], state['best']
        logger.info('resuming after %d of %d steps', self.steps, self.total_steps)


def _text(epoch: int, losses: Mapping[str, float], metrics: Mapping[str, float]) -> str:
    parts = [f'epoch {epoch + 1}', *(f'{output} {loss:.3f}' for output, loss in losses.items())]
    names = (task.main_metric for task in TASKS.values() if not task.about)
    parts += [f'{name} {metric_of(name).format(metrics[name])}' for name in names if name in metrics]
    return ', '.join(parts)

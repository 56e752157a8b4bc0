"""The training loop, from a recipe to weights, in the order in which things happen.

Everything random in step s is drawn from generators seeded with (seed, s, chunk): a step does not know of those before it but through
weights, moments and averages. So these and the step's number are all that a checkpoint holds, and a run that was killed ends with the
weights of one that was not: bit for bit on a CPU in fp32, but for rounding on a GPU, some of whose sums have no order.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor

from occhand import __version__
from occhand.data.datasets import HandDataset
from occhand.data.loader import Batch, CropDataset, Places, load_batches, name_dead_worker
from occhand.data.shards import sha256_of
from occhand.metrics.functional import pa_mpjpe, root_relative_mpjpe
from occhand.models.checkpoint import load_checkpoint, load_imagenet_trunk, save_checkpoint
from occhand.models.config import config_to_json
from occhand.models.fuse import quicken_training
from occhand.models.handgcat import HandGCAT
from occhand.models.presets import create_model
from occhand.recipes import Losses, Network, Recipe, recipe_to_json
from occhand.run_folder import BEST, CHECKPOINT, FINAL, RunLog, begin_run, check_same_run, data_manifest, load_state, save_state
from occhand.training_data import HeldOut, RunOptions, open_training, open_validation, recipe_hand
from occhand.types import ModelInput

if TYPE_CHECKING:
    from lightning_fabric import Fabric


Progress = Callable[[int, int, str], None]
"""Told of steps done, steps in all, and a line of figures."""


class NotFiniteError(ValueError):
    """Training that went astray, in one line: at which step, over which samples, the next move."""


@dataclass
class State:
    """What a checkpoint holds."""

    model: Any
    """As Fabric wraps it."""
    optimiser: Any
    averaged: Network | None
    """With the moving average of the weights."""
    step: int = 0
    best: float = math.inf
    """Validation error of the weights in `BEST`, mm."""

    @property
    def weights(self) -> Network:
        """The network to validate and to keep."""
        return self.model.module if self.averaged is None else self.averaged


def train(
    recipe: Recipe,
    data: str,
    out: Path,
    options: RunOptions,
    resume: bool = False,
    progress: Progress = lambda step, steps, line: None,
) -> Path:
    """Train a network.

    On several devices: start it with torchrun or srun, one process per device.

    Args:
        recipe: What and how.
        data: Where the data set lies, or `open-train` to generate it on the way (slow).
        out: Folder of the run: checkpoints, logs, config.
        options: Of this run.
        resume: Go on from the last checkpoint in `out`; a run without one yet begins.
        progress: Told after every step, in the first process.

    Returns:
        The file of the final weights, as `load_checkpoint` reads it.

    Raises:
        ValueError: Data that cannot be used, a run that cannot be resumed so, an `out` that holds another run, a GPU that is too small.
        NotFiniteError: Loss or gradient is not finite; the last checkpoint stays.
        OSError: A checkpoint cannot be written; the last one stays.
    """
    fabric = launch(options)
    crops, held_out = open_training(recipe, data, options), open_validation(recipe, data, options)
    steps = total_steps(recipe, crops, options, fabric.world_size)
    state = start(fabric, recipe, options)
    chunks = options.accumulate * fabric.world_size
    config, manifest = resolved_config(recipe, options, state.weights, chunks), data_manifest(crops.samples)
    if resume and (out / CHECKPOINT).is_file():
        check_same_run(out, config, manifest)
        restore(state, load_state(out / CHECKPOINT), out / CHECKPOINT)
    elif fabric.is_global_zero:
        begin_run(out, config, manifest)
    log = RunLog(out, state.step) if fabric.is_global_zero else None

    places = Places(recipe.batch, chunks, state.step, steps, fabric.global_rank, fabric.world_size)
    batches = load_batches(crops, places, options.workers)
    began = time.monotonic()
    first_step, seen = state.step, recipe.batch * chunks
    with name_dead_worker(crops):
        while state.step < steps:
            rate = recipe.lr * recipe.schedule(state.step * seen / len(crops), recipe.epochs)
            try:
                terms, norm = training_step(fabric, recipe, options, state, batches, crops, rate)
            except torch.OutOfMemoryError as error:
                raise ValueError(
                    f"Step {state.step + 1} does not fit into the memory of {fabric.device}. Start again in another folder with a smaller "
                    "--batch and as much more --accumulate."
                ) from error
            state.step += 1
            is_last = state.step == steps
            speed = (state.step - first_step) * seen / (time.monotonic() - began)
            if state.step % options.log_every == 0 or is_last or state.step == first_step + 1:
                figures = {f"loss/{name}": float(cast(Tensor, fabric.all_reduce(term))) for name, term in terms.items()}
                if log is not None:
                    log.write(state.step, figures | {"lr": rate, "gradient_norm": norm, "crops_per_second": speed})
            if fabric.is_global_zero:
                best = "" if math.isinf(state.best) else f", best {state.best:.2f} mm"
                progress(state.step, steps, f"loss {figures['loss/total']:.3g}, {speed:.0f} crops/s{best}")
            if held_out is not None and (state.step % options.validate_every == 0 or is_last):
                errors = validate(fabric, recipe, options, state.weights, held_out)
                if log is not None:
                    log.write(state.step, {f"val/{name}": value for name, value in errors.items()})
                    if errors["pa_mpjpe_mm"] < state.best:
                        write_weights(state, out / BEST, recipe, crops.samples)
                state.best = min(state.best, errors["pa_mpjpe_mm"])
            if fabric.is_global_zero and (state.step % options.checkpoint_every == 0 or is_last):
                save_state(out / CHECKPOINT, snapshot(state), state.step)
    if log is not None:
        write_weights(state, out / FINAL, recipe, crops.samples)
        log.close()
    fabric.barrier()
    return out / FINAL


def training_step(
    fabric: Fabric,
    recipe: Recipe,
    options: RunOptions,
    state: State,
    batches: Iterator[Batch],
    crops: CropDataset,
    rate: float,
) -> tuple[dict[str, Tensor], float]:
    """One step of the optimiser.

    Returns:
        The terms of the loss, over all passes of this process, and the norm of the gradient before it was cut.

    Raises:
        NotFiniteError: Loss or gradient is not finite; the weights are as they were.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.model.train()
    state.optimiser.zero_grad()
    sums: dict[str, Tensor] = {}
    seen: list[int] = []
    for number in range(options.accumulate):
        batch = next(batches)
        seen += batch.positions
        chunk = number * fabric.world_size + fabric.global_rank
        generator = _seed_everything(options.seed, state.step, chunk)
        joints_in = recipe.joints_in(batch.crop, generator) if isinstance(state.weights, HandGCAT) else None
        crop, joints_in = fabric.to_device((batch.crop, joints_in))
        crop = crop._replace(image=crop.image.contiguous(memory_format=torch.channels_last))
        with fabric.no_backward_sync(state.model, enabled=number < options.accumulate - 1):
            losses = recipe.loss(state.model, crop, joints_in, generator)
            if not bool(losses.total.isfinite()):
                _stop_on(f"The loss is {losses.total.item()}", state.step, seen, crops, _terms(losses))
            fabric.backward(losses.total / options.accumulate)
        for name, term in _terms(losses).items():
            sums[name] = sums.get(name, 0) + term / options.accumulate
    norm = fabric.clip_gradients(state.model, state.optimiser, max_norm=recipe.clip or math.inf, error_if_nonfinite=False)
    assert norm is not None  # it is for a list of norms alone
    if not bool(norm.isfinite()):
        _stop_on(f"The gradient's norm is {norm.item()}", state.step, seen, crops, sums)
    state.optimiser.step()
    if state.averaged is not None and recipe.ema is not None:
        _average(state.averaged, state.model.module, min(recipe.ema, (1 + state.step) / (10 + state.step)))
    return sums, float(norm)


@torch.no_grad()
def validate(fabric: Fabric, recipe: Recipe, options: RunOptions, network: Network, held_out: HeldOut) -> dict[str, float]:
    """Errors on held-out samples: Procrustes-aligned and root-relative joints in mm, 2D joints in parts of the crop.

    2D joints that the network takes carry the recipe's errors, always the same.
    """
    if fabric.world_size > 1:  # each process has its own statistics of batch norm; the first one's are kept
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)
    was_training = network.training
    network.eval()
    sums = torch.zeros(4, dtype=torch.float64, device=fabric.device)
    for number, batch in enumerate(held_out.batches(options.workers)):
        if number % fabric.world_size != fabric.global_rank:
            continue
        generator = torch.Generator().manual_seed(number)
        joints_in = (recipe.val_joints_in or recipe.joints_in)(batch, generator) if isinstance(network, HandGCAT) else None
        crop, joints_in = fabric.to_device((batch, joints_in))
        with fabric.autocast():
            output = network(ModelInput(crop.image.contiguous(memory_format=torch.channels_last), joints_in))
        joints, truth = output.joints.double(), crop.joints_cam.double()
        sums[0] += pa_mpjpe(joints, truth).sum()
        sums[1] += root_relative_mpjpe(joints, truth).sum()
        sums[2] += (output.joints_crop.double() - crop.joints_crop.double()).norm(dim=-1).mean(-1).sum()
        sums[3] += len(joints)
    network.train(was_training)
    aligned, root_relative, in_crop, count = cast(Tensor, fabric.all_reduce(sums, reduce_op="sum")).tolist()
    return {
        "pa_mpjpe_mm": 1e3 * aligned / count,
        "root_relative_mpjpe_mm": 1e3 * root_relative / count,
        "joints_crop_error": in_crop / count,
    }


def total_steps(recipe: Recipe, crops: CropDataset, options: RunOptions, processes: int) -> int:
    """Steps of the optimiser in a whole run; an epoch's last step may take its missing crops from the next."""
    return max(1, int(recipe.epochs * len(crops) / (recipe.batch * options.accumulate * processes)))


def launch(options: RunOptions) -> Fabric:
    """Fabric on the devices that torchrun or SLURM gave this process; else on one.

    Raises:
        ImportError: The extra for training is not installed.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
    except ImportError:
        raise ImportError("Training needs Lightning Fabric and TensorBoard. Run: pip install 'occhand[train]'") from None
    devices, nodes = 1, 1
    if TorchElasticEnvironment.detect():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    elif SLURMEnvironment.detect():
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        devices = int(os.environ["SLURM_NTASKS"]) // nodes
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    is_parallel = devices * nodes > 1
    fabric = Fabric(
        accelerator=accelerator,
        strategy="ddp" if is_parallel else "auto",
        devices=devices,
        num_nodes=nodes,
        precision=options.precision,
    )
    if is_parallel:
        fabric.launch()
    return fabric


def start(fabric: Fabric, recipe: Recipe, options: RunOptions) -> State:
    """Network, optimiser and average before the first step; the same in every process."""
    _seed_everything(options.seed)
    network = create_model(recipe.model, recipe_hand(recipe, options))
    if recipe.imagenet:
        load_imagenet_trunk(network, options.imagenet)
    if options.start_from is not None:
        network = _started_from(options.start_from, network)
    network = quicken_training(network)
    kind = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
    optimiser = kind(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    averaged = None if recipe.ema is None else deepcopy(network).to(fabric.device).requires_grad_(False)
    model, optimiser = fabric.setup(network, optimiser)
    return State(model, optimiser, averaged)


def _started_from(path: Path, network: Network) -> Network:
    """The network with the weights of a file.

    Raises:
        ValueError: The file holds another network.
    """
    found = load_checkpoint(path, network.hand)
    if found.config != network.config:
        raise ValueError(f"{path} holds another network than the recipe trains. Start from weights of the recipe's own network.")
    return found.train()


def snapshot(state: State) -> dict[str, Any]:
    """All that `restore` needs, as tensors and plain values.

    Raises:
        NotFiniteError: Weights that are not finite, which must not take the place of good ones.
    """
    weights = state.model.module.state_dict()
    broken = [key for key, value in weights.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if broken:
        raise NotFiniteError(f"After step {state.step} the weights {', '.join(broken[:3])} are not finite. The last checkpoint stays.")
    return {
        "version": __version__,
        "step": state.step,
        "best": state.best,
        "model": weights,
        "optimiser": state.optimiser.state_dict(),
        "averaged": None if state.averaged is None else state.averaged.state_dict(),
    }


def restore(state: State, found: dict[str, Any], path: Path) -> None:
    """Put a snapshot back.

    Raises:
        ValueError: It does not fit the run.
    """
    rates = [dict(group, params=None) for group in state.optimiser.param_groups]
    try:
        step, best = found["step"], found["best"]
        if not isinstance(step, int) or step < 0 or not isinstance(best, float):
            raise TypeError("its step is no count")
        state.model.module.load_state_dict(found["model"])
        state.optimiser.load_state_dict(found["optimiser"])
        if state.averaged is not None:
            state.averaged.load_state_dict(found["averaged"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{path} does not fit this run ({type(error).__name__}: {reason}). Start again in another folder.") from error
    for group, rate in zip(state.optimiser.param_groups, rates, strict=True):  # from the recipe, not from the file
        group.update({name: value for name, value in rate.items() if name != "params"})
    state.step, state.best = step, best


def resolved_config(recipe: Recipe, options: RunOptions, network: Network, chunks: int) -> dict[str, Any]:
    """All that decides the weights, as plain values. How a step's chunks are split over processes and passes is left open."""
    run = {
        "seed": options.seed,
        "precision": options.precision,
        "hand": options.hand,
        "chunks_per_step": chunks,
        "samples": options.samples,
        **{name: sha256_of(path) for name in ("start_from", "imagenet") if (path := getattr(options, name)) is not None},
    }
    return {"version": __version__, "recipe": recipe_to_json(recipe), "network": config_to_json(network.config), "run": run}


def write_weights(state: State, path: Path, recipe: Recipe, samples: HandDataset) -> None:
    """The network's weights as `load_checkpoint` reads them."""
    save_checkpoint(state.weights, path, str(samples), recipe.licence)


def _seed_everything(*numbers: int) -> torch.Generator:
    """Seed torch's own generator, for layers that draw, and give another for what the loop draws itself."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))
    return torch.Generator().manual_seed(int(np.random.SeedSequence([*numbers, 1]).generate_state(1, np.uint64)[0]))


@torch.no_grad()
def _average(averaged: Network, network: Network, decay: float) -> None:
    torch._foreach_lerp_(list(averaged.parameters()), [p.detach() for p in network.parameters()], 1 - decay)
    for kept, new in zip(averaged.buffers(), network.buffers(), strict=True):
        kept.copy_(new)


def _terms(losses: Losses) -> dict[str, Tensor]:
    return {"total": losses.total.detach()} | {name: term.detach() for name, term in losses._asdict().items()}


def _stop_on(what: str, step: int, positions: list[int], crops: CropDataset, terms: dict[str, Tensor]) -> NoReturn:
    names = ", ".join(crops.name_of(crops.index_of(position)) for position in positions[:8]) + (", ..." if len(positions) > 8 else "")
    parts = ", ".join(f"{name} {float(term):.3g}" for name, term in terms.items())
    raise NotFiniteError(
        f"{what} at step {step + 1} ({parts}), over samples {names}. The weights before it are kept in the last checkpoint. Look at these "
        "samples, or take a lower learning rate or gradient clipping."
    )

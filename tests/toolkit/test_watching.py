from __future__ import annotations

import copy
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import toolkit
from tests.toolkit.recording import Script
from tests.toolkit.watched import NAMES
from tests.toolkit.watched import backward
from tests.toolkit.watched import histograms
from tests.toolkit.watched import network
from tests.toolkit.watched import sgd
from tests.toolkit.watched import steps_of
from tests.toolkit.watched import train
from tests.toolkit.watched import untimed
from tests.toolkit.watched import weight
from toolkit.errors import InvalidValueError
from toolkit.errors import UsageError
from toolkit.events import Histogram
from toolkit.events import Media
from toolkit.journal import Follower
from toolkit.recorder import LastSteps
from toolkit.run import Run
from toolkit.rundir import RunDir
from toolkit.watching import named_parameters

torch = pytest.importorskip("torch", reason="watching a model needs PyTorch")


@pytest.fixture
def script(run_dir: RunDir) -> Iterator[Script]:
    """A script that has just started its run, and ends it with the test."""
    made = Script(run_dir)
    yield made
    made.run.end()
    made.writer.close()


@pytest.fixture
def one_process() -> Iterator[None]:
    """A process group of this process alone."""
    distributed = torch.distributed
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def hooks() -> int:
    """How many functions PyTorch calls before each step of any optimizer."""
    from torch.optim.optimizer import _global_optimizer_pre_hooks

    return len(_global_optimizer_pre_hooks)


def test_all_of_a_model(script: Script) -> None:
    """A step records each gradient and parameter once, as the optimizer finds them."""
    model = network()
    script.run.watch(model, every=1)
    backward(model)
    before = {name: copy.deepcopy(p) for name, p in model.named_parameters()}
    gradients = {name: copy.deepcopy(p.grad) for name, p in model.named_parameters()}
    sgd(model).step()
    found = {event.key: event for event in histograms(script.events())}

    assert sorted(found) == sorted(f"{k}/{n}" for k in ("gradients", "parameters") for n in NAMES)
    for kind, tensors in (("gradients", gradients), ("parameters", before)):
        for name, tensor in tensors.items():
            script.run.log_histogram("direct", tensor)
            direct = histograms(script.events())[-1]
            assert untimed(found[f"{kind}/{name}"]) == untimed(direct)
    assert {event.step for event in found.values()} == {0}


@pytest.mark.parametrize(
    ("what", "kinds"),
    [
        ("all", {"gradients", "parameters"}),
        ("gradients", {"gradients"}),
        ("parameters", {"parameters"}),
    ],
)
def test_what(script: Script, what: Any, kinds: set[str]) -> None:
    """Gradients, parameters, or both."""
    model = network()
    script.run.watch(model, every=1, what=what)
    train(model, sgd(model), 1)

    assert {event.key.split("/")[0] for event in histograms(script.events())} == kinds


@pytest.mark.parametrize(
    ("every", "first_step", "expected"),
    [(1, 0, [0, 1, 2, 3, 4, 5, 6]), (3, 0, [0, 3, 6]), (3, 10, [12, 15]), (100, 0, [0])],
)
def test_every(script: Script, every: int, first_step: int, expected: list[int]) -> None:
    """Steps are counted from ``first_step``; those that ``every`` divides are recorded."""
    model = network()
    script.run.watch(model, every=every, first_step=first_step)
    train(model, sgd(model), 7)

    assert steps_of(script.events(), "gradients/0.weight") == expected
    assert steps_of(script.events(), "parameters/0.weight") == expected


def test_what_fails_while_recording(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    """It is reported with where it happened, and training goes on."""
    model = weight(torch.ones(2))
    model.unreadable = torch.nn.Parameter(torch.ones(2, device="meta"))
    script.run.watch(model, every=1)
    optimizer = sgd(model)
    for _ in range(2):
        model.w.grad = torch.ones(2)
        optimizer.step()

    assert model.w.tolist() == pytest.approx([0.8, 0.8])
    said = capsys.readouterr().err
    assert said.startswith("toolkit: watch: can't record a histogram: ")
    assert "meta" in said
    assert said.count("Traceback") == 1


def test_accelerate(script: Script) -> None:
    """What accelerate has prepared is watched alike, and counts optimizer steps, not batches."""
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = network()
    plain = sgd(model)
    data = torch.utils.data.DataLoader(torch.randn(16, 3), batch_size=4)
    model, optimizer, loader = accelerator.prepare(model, plain, data)
    script.run.watch(model, every=1, what="gradients")
    for batch in loader:
        with accelerator.accumulate(model):
            accelerator.backward(model(batch).square().mean())
            optimizer.step()
            optimizer.zero_grad()

    assert steps_of(script.events(), "gradients/0.weight") == [0, 1]


def test_several_optimizers(script: Script) -> None:
    """Each parameter is recorded with the steps of its own optimizer."""
    model = network()
    script.run.watch(model, every=2, what="parameters")
    first, last = sgd(model[0]), sgd(model[2])
    for step in range(4):
        backward(model, step)
        first.step()
        if step % 2:
            last.step()

    assert steps_of(script.events(), "parameters/0.bias") == [0, 2]
    assert steps_of(script.events(), "parameters/2.bias") == [0]
    assert steps_of(script.events(), "parameters/1.bias") == []


def test_an_optimizer_after_another(script: Script) -> None:
    """One that goes on with the same parameters goes on counting."""
    model = network()
    script.run.watch(model, every=2, what="parameters")
    train(model, sgd(model), 3)
    gc.collect()
    train(model, torch.optim.AdamW(model.parameters()), 3)

    assert steps_of(script.events(), "parameters/0.bias") == [0, 2, 4]


def test_optimizers_of_other_models(script: Script) -> None:
    """They are not recorded and not counted."""
    model, other = network(), network()
    script.run.watch(model, every=2, what="gradients")
    ours, theirs = sgd(model), sgd(other)
    for step in range(3):
        backward(other, step)
        theirs.step()
        train(model, ours, 1)

    assert len(histograms(script.events())) == 2 * len(NAMES)


def test_only_others_made_steps(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that no optimizer holds is pointed out when its watch closes."""
    watch = script.run.watch(network(), every=1)
    other = network()
    train(other, sgd(other), 1)
    watch.close()

    assert script.events() == []
    assert "no optimizer that made a step holds a parameter" in capsys.readouterr().err


def test_shared_parameters(script: Script) -> None:
    """One that a model uses twice is recorded once."""
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 3, bias=False)
    )
    model[1].weight = model[0].weight
    script.run.watch(model, every=1)
    train(model, sgd(model), 1)

    keys = [event.key for event in histograms(script.events())]
    assert keys == ["gradients/0.weight", "parameters/0.weight"]


def compiled(model: Any) -> Any:
    """The model as torch.compile wraps it, with no compiler needed."""
    return torch.compile(model, backend="eager")


WRAPPERS: list[Callable[[Any], Any]] = [
    lambda model: model,
    compiled,
    torch.nn.DataParallel,
    torch.nn.parallel.DistributedDataParallel,
    lambda model: compiled(torch.nn.parallel.DistributedDataParallel(model)),
    lambda model: torch.nn.parallel.DistributedDataParallel(compiled(model)),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_names_of_wrapped_models(
    script: Script, one_process: None, wrap: Callable[[Any], Any]
) -> None:
    """Wrapped or compiled, as a whole or in parts, parameters keep their plain names."""
    model = network()
    wrapped = wrap(model)
    model[2] = wrap(model[2])
    script.run.watch(wrapped, every=1, what="parameters")
    sgd(model).step()

    keys = [event.key for event in histograms(script.events())]
    assert keys == [f"parameters/{name}" for name in NAMES]


def test_parts_that_are_called_module() -> None:
    """A user's own ``module`` stays in the name."""
    model = torch.nn.Module()
    model.module = torch.nn.Module()
    model.module.module = torch.nn.Linear(1, 1, bias=False)

    assert list(named_parameters(torch.nn.DataParallel(model))) == ["module.module.weight"]


def test_parameters_spread_over_processes(script: Script, one_process: None) -> None:
    """This process's part of them is recorded."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import distribute_tensor

    mesh = init_device_mesh("cpu", (1,))
    model = weight(torch.ones(1))
    model.w = torch.nn.Parameter(distribute_tensor(torch.arange(4.0), mesh))
    script.run.watch(model, every=1)
    (model.w * 2).sum().backward()
    sgd(model).step()
    gradients, parameters = histograms(script.events())

    assert sum(gradients.counts) == 4
    assert (parameters.edges[0], parameters.edges[-1]) == (0.0, 3.0)


def test_names_of_models(script: Script) -> None:
    """Two models can be told apart by a name."""
    one, two = network(1), network(2)
    script.run.watch(one, every=1, name="generator")
    script.run.watch(two, every=1, name="critic")
    train(one, sgd(one), 1)

    keys = {event.key for event in histograms(script.events())}
    assert "gradients/generator/0.weight" in keys
    assert not any("critic" in key for key in keys)


def test_two_watches_of_one_name(script: Script) -> None:
    """What would be recorded twice is refused, until the first watch is closed."""
    model = network()
    first = script.run.watch(model)
    with pytest.raises(UsageError, match=r"0\.bias is watched already: close .*name="):
        script.run.watch(network())
    first.close()
    script.run.watch(model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "resnet"}, "expected a torch.nn.Module, got str 'resnet'"),
        ({"model": torch.nn.ReLU()}, "ReLU has no parameters"),
        ({"every": 0}, "every must be 1 or more steps, got 0"),
        ({"every": 2.5}, "every must be 1 or more steps, got 2.5"),
        ({"first_step": -1}, "first_step must be 0 or more, got -1"),
        ({"what": "weights"}, "what must be one of all, gradients, parameters, got 'weights'"),
        ({"bins": 513}, "bins must be 1 to 512, got 513"),
        ({"name": "../x"}, "watch name '../x' must be relative"),
    ],
)
def test_wrong_arguments(script: Script, given: dict[str, Any], message: str) -> None:
    """They are refused at the call, and nothing is left behind."""
    before = hooks()
    with pytest.raises(InvalidValueError, match=message):
        script.run.watch(**({"model": network()} | given))

    assert hooks() == before


def test_a_resumed_run(run_dir: RunDir) -> None:
    """What an earlier attempt recorded is passed over; counting starts where it is told to."""
    before: dict[tuple[type[Media], str], int]
    before = {(Histogram, f"gradients/{name}"): 4 for name in NAMES}
    script = Script(run_dir, LastSteps(media=before))
    model = network()
    with script.run.watch(model, every=2, what="gradients", first_step=3):
        train(model, sgd(model), 6)
    script.writer.close()

    assert steps_of(script.events(), "gradients/0.weight") == [6, 8]
    assert script.run.passed_over == len(NAMES)


def test_closing(script: Script) -> None:
    """Closed, or left as a context manager, a watch records no more and leaves no hook."""
    before, model = hooks(), network()
    optimizer = sgd(model)
    with script.run.watch(model, every=1) as watch:
        assert not watch.is_closed
        assert hooks() == before + 1
        train(model, optimizer, 1)
    count = len(script.events())
    train(model, optimizer, 1)
    watch.close()

    assert watch.is_closed
    assert hooks() == before
    assert len(script.events()) == count


def test_the_end_of_the_run(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    """It closes the watch: training may go on, and the model is let go."""
    before, model = hooks(), network()
    optimizer = sgd(model)
    script.run.watch(model, every=1)
    train(model, optimizer, 1)
    count = len(script.events())
    script.run.end()
    train(model, optimizer, 1)
    gone = weakref.ref(model)
    del model, optimizer
    gc.collect()

    assert gone() is None
    assert hooks() == before
    assert len(script.events()) == count
    assert capsys.readouterr().err == ""
    with pytest.raises(UsageError, match="is over"):
        script.run.watch(network())


def test_where_nothing_is_recorded() -> None:
    """A rank other than 0, or a disabled run, gets a closed watch and no hook."""
    before = hooks()
    with Run("the-id", None, lambda status: None).watch(network()) as watch:
        assert watch.is_closed
        assert hooks() == before


def test_forked_children(script: Script) -> None:
    """They train without recording."""
    model = network()
    optimizer = sgd(model)
    script.run.watch(model, every=1)
    child = os.fork()
    if child == 0:
        optimizer.step()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

    assert script.events() == []


def test_from_start_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run as users start it has the histograms in its journal."""
    monkeypatch.setenv("TOOLKIT_SYSTEM_INTERVAL", "0")
    monkeypatch.delenv("RANK", raising=False)
    model = network()
    with toolkit.start_run(runs_dir=tmp_path) as run:
        run.watch(model, every=2)
        train(model, sgd(model), 4)
    assert run.dir
    events = list(Follower(RunDir(run.dir).journal).read().events)

    assert steps_of(events, "gradients/0.weight") == [0, 2]
    assert steps_of(events, "parameters/2.bias") == [0, 2]


def test_pytorch_is_left_alone() -> None:
    """Starting a run, and all that needs no model, imports no PyTorch."""
    code = "import sys, toolkit, toolkit.run, toolkit.watching; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

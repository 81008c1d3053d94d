from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolkit.recording import Script
from tests.toolkit.watched import NAMES
from tests.toolkit.watched import backward
from tests.toolkit.watched import histograms
from tests.toolkit.watched import network
from tests.toolkit.watched import sgd
from tests.toolkit.watched import steps_of
from tests.toolkit.watched import untimed
from tests.toolkit.watched import weight
from toolkit.rundir import RunDir

torch = pytest.importorskip("torch", reason="watching a model needs PyTorch")


@pytest.fixture
def script(run_dir: RunDir) -> Iterator[Script]:
    """A script that has just started its run, and ends it with the test."""
    made = Script(run_dir)
    yield made
    made.run.end()
    made.writer.close()


VALUES = st.one_of(
    st.floats(-4, 4, width=16),
    st.floats(width=32),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-45, 3e38, -3e38, 7.0]),
)
TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@given(
    values=st.lists(VALUES, min_size=1, max_size=60),
    dtype=st.sampled_from(TYPES),
    bins=st.sampled_from([1, 2, 7, 64, 512]),
)
def test_as_log_histogram(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], dtype: Any, bins: int
) -> None:
    """Any values give the histogram that log_histogram makes of them."""
    run_dir = RunDir(tmp_path_factory.mktemp("run"))
    run_dir.journal.mkdir()
    script = Script(run_dir)
    model = weight(torch.tensor(values, dtype=torch.float64).to(dtype))
    script.run.log_histogram("direct", model.w, bins=bins)
    with script.run.watch(model, every=1, bins=bins):
        model.w.grad = torch.zeros_like(model.w)
        sgd(model).step()
    script.writer.close()
    direct, _, watched = histograms(script.events())

    assert watched.key == "parameters/w"
    assert untimed(watched) == untimed(direct)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [3 << 16, (1 << 16) + 3])
def test_many_values(script: Script, dtype: Any, size: int) -> None:
    """Tensors that are counted in several pieces, and not in their order in memory, likewise."""
    torch.manual_seed(0)
    tensor = torch.randn(size // 3, 3).to(dtype)
    tensor[5, 0], tensor[-1, -1] = math.nan, -math.inf
    model = weight(tensor.t())
    script.run.log_histogram("direct", model.w)
    with script.run.watch(model, every=1, what="parameters"):
        sgd(model).step()
    direct, watched = histograms(script.events())

    assert untimed(watched) == untimed(direct)
    assert watched.not_finite == 2


def test_the_device_is_not_waited_for(script: Script) -> None:
    """Nothing that is done for each tensor needs to know values or sizes on the device."""
    from torch.utils._python_dispatch import TorchDispatchMode

    done: set[str] = set()

    class Noting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, function: Any, *given: Any) -> Any:
            done.add(function.overloadpacket.__name__)
            _, args, kwargs = given
            return function(*args, **(kwargs or {}))

    model = network()
    optimizer = sgd(model)
    script.run.watch(model, every=1)
    backward(model)
    with Noting():  # type: ignore[no-untyped-call]
        optimizer.step()

    assert "index_add_" in done
    assert not done & {"_local_scalar_dense", "nonzero", "masked_select", "bincount", "_unique2"}
    assert len(histograms(script.events())) == 2 * len(NAMES)


def test_gradients_that_are_not_finite(script: Script) -> None:
    """They are counted apart, and change nothing for the parameter."""
    model = weight([1.0, 2.0, 3.0])
    script.run.watch(model, every=1)
    model.w.grad = torch.tensor([math.nan, math.inf, 0.5])
    sgd(model).step()
    gradients, parameters = histograms(script.events())

    assert (gradients.not_finite, sum(gradients.counts)) == (2, 1)
    assert (parameters.not_finite, sum(parameters.counts)) == (0, 3)


def test_values_that_no_histogram_can_have(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are reported once, by their name; everything else is recorded."""
    model = weight(torch.tensor([1e301, 1.0], dtype=torch.float64))
    model.v = torch.nn.Parameter(torch.ones(2))
    watch = script.run.watch(model, every=1, what="parameters")
    optimizer = sgd(model)
    optimizer.step()
    optimizer.step()

    assert steps_of(script.events(), "parameters/v") == [0, 1]
    assert steps_of(script.events(), "parameters/w") == []
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "histogram 'parameters/w': values must be -1e300 to 1e300" in said
    watch.close()
    assert "2 problems in all" in capsys.readouterr().err


def test_accumulated_gradients(script: Script) -> None:
    """Several backward passes for one step are one histogram, of their sum."""
    model = network()
    script.run.watch(model, every=1, what="gradients")
    optimizer = sgd(model)
    for _ in range(2):
        for seed in range(3):
            backward(model, seed)
        expected = model[0].weight.grad.clone()
        optimizer.step()
        optimizer.zero_grad()
    script.run.log_histogram("direct", expected)
    events = histograms(script.events())

    assert steps_of(script.events(), "gradients/0.weight") == [0, 1]
    last = [event for event in events if event.key == "gradients/0.weight"][-1]
    assert untimed(last) == untimed(events[-1])


def test_clipped_gradients(script: Script) -> None:
    """They are recorded as clipped."""
    model = weight(torch.zeros(3))
    script.run.watch(model, every=1, what="gradients")
    model.w.grad = torch.tensor([30.0, 0.0, 40.0])
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    sgd(model).step()

    assert script.only().edges[-1] == pytest.approx(4.0)


@pytest.mark.parametrize("fused", [False, True])
def test_scaled_gradients(script: Script, fused: bool) -> None:
    """The scale that keeps fp16 gradients in range is taken out, also of fused optimizers'."""
    model = weight(torch.zeros(3))
    script.run.watch(model, every=1, what="gradients")
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=fused)
    scaler.scale((model.w * torch.tensor([1.0, 2.0, 3.0])).sum()).backward()
    scaler.step(optimizer)

    assert (script.only().edges[0], script.only().edges[-1]) == (1.0, 3.0)
    assert model.w.tolist() == [-1.0, -2.0, -3.0]


def test_what_has_no_gradient(script: Script) -> None:
    """A parameter without a gradient has no histogram of one; one without values has none."""
    model = weight(torch.ones(2))
    model.unused = torch.nn.Parameter(torch.ones(2))
    model.empty = torch.nn.Parameter(torch.ones(0))
    model.complex = torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))
    script.run.watch(model, every=1)
    model.w.grad = torch.ones(2)
    model.empty.grad = torch.ones(0)
    sgd(model).step()

    keys = [event.key for event in histograms(script.events())]
    assert keys == ["gradients/w", "parameters/w", "parameters/unused"]


def test_sparse_gradients(script: Script) -> None:
    """Those of the rows that were used are recorded, summed; the other rows are no zeros."""
    torch.manual_seed(0)
    model = torch.nn.Embedding(1000, 4, sparse=True)
    script.run.watch(model, every=1, what="gradients")
    model(torch.tensor([3, 3, 7])).sum().backward()
    sgd(model).step()
    event = script.only()

    assert (event.edges[0], event.edges[-1]) == (1.0, 2.0)
    assert (event.counts[0], event.counts[-1]) == (4.0, 4.0)

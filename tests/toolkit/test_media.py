from __future__ import annotations

import io
import math
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolkit.recording import Script
from toolkit import media
from toolkit.errors import InvalidValueError
from toolkit.errors import UsageError
from toolkit.events import ConfusionMatrix
from toolkit.events import Figure
from toolkit.events import Histogram
from toolkit.events import Image
from toolkit.recorder import LastSteps
from toolkit.redact import MASK
from toolkit.rundir import RunDir

np = pytest.importorskip("numpy", reason="pictures and histograms need NumPy")
pillow = pytest.importorskip("PIL.Image", reason="pictures need Pillow")


@pytest.fixture
def script(run_dir: RunDir) -> Iterator[Script]:
    """A script that has just started its run."""
    made = Script(run_dir)
    yield made
    made.writer.close()


def pixels(content: bytes) -> Any:
    """What a PNG file shows."""
    image = pillow.open(io.BytesIO(content))
    assert image.format == "PNG"
    return np.asarray(image)


GREY = np.arange(30, dtype=np.uint8).reshape(5, 6)
COLOURS = np.arange(90, dtype=np.uint8).reshape(5, 6, 3)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GREY, GREY),
        (GREY[..., None], GREY),
        (COLOURS, COLOURS),
        (COLOURS.transpose(2, 0, 1), COLOURS),
        (np.dstack([COLOURS, GREY]), np.dstack([COLOURS, GREY])),
        (GREY.astype(np.int64), GREY),
        (GREY > 5, (GREY > 5) * 255),
        (GREY / 255, GREY),
        ((GREY / 255).astype(np.float32), GREY),
        (GREY.tolist(), GREY),
        (np.array([[-1.0, 0.0, 3.0]]), np.array([[0, 64, 255]])),
        (np.array([[np.nan, 0.5, np.inf]]), np.array([[0, 128, 255]])),
        (np.full((1, 2), np.nan), np.zeros((1, 2))),
        (pillow.fromarray(COLOURS), COLOURS),
        (pillow.fromarray(COLOURS).convert("CMYK").convert("RGB"), COLOURS),
    ],
)
def test_images(image: Any, expected: Any) -> None:
    """Arrays of every documented shape and type, lists, and PIL's images become the same PNG."""
    assert pixels(media.image_file("k", image)).tolist() == expected.tolist()


def test_tensors() -> None:
    """Tensors, channels first, of types that NumPy doesn't have, with gradients."""
    torch = pytest.importorskip("torch")
    planes = torch.tensor((COLOURS / 255).transpose(2, 0, 1)).to(torch.bfloat16).requires_grad_()

    found = pixels(media.image_file("k", planes)).astype(int)
    assert np.abs(found - COLOURS).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "F"])
def test_modes_of_pil(mode: str) -> None:
    """An image of any mode can be recorded."""
    image = pillow.new(mode, (2, 2))
    assert pixels(media.image_file("k", image)).shape[:2] == (2, 2)


def test_a_picture_of_a_series(script: Script) -> None:
    """It has key, step, time and caption; its file lies in the run."""
    script.run.log_image(GREY, key="val/pages", step=np.int64(3), timestamp=1500, caption="page 1")
    event = script.only()

    assert event == Image(1.5, "val/pages", event.path, 3, "page 1")
    assert event.path.startswith("files/")
    assert event.path.endswith("/pages.png")
    assert pixels(script.file(event).read_bytes()).tolist() == GREY.tolist()


@pytest.mark.parametrize(("suffix", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_a_picture_by_itself(script: Script, suffix: str, kind: str) -> None:
    """Its name is its path among the artifacts, and the format is what the name says."""
    script.run.log_image(COLOURS, f"plots/page.{suffix}", caption="c")
    event = script.only()

    assert event == Figure(event.time, f"plots/page.{suffix}", event.path, None, "c")
    with pillow.open(script.file(event)) as image:
        assert image.format == kind


def test_a_png_file_is_kept_as_it_is(script: Script, tmp_path: Path) -> None:
    """Byte for byte; another format is converted; both go by content, not by name."""
    named_wrong, other = tmp_path / "a.jpg", tmp_path / "b.png"
    pillow.fromarray(GREY).save(named_wrong, format="PNG")
    pillow.fromarray(GREY).save(other, format="BMP")
    script.run.log_image(str(named_wrong), key="k")
    script.run.log_image(other, key="k")
    first, second = script.events()

    assert script.file(first).read_bytes() == named_wrong.read_bytes()
    assert pixels(script.file(second).read_bytes()).tolist() == GREY.tolist()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(3), r"image 'v/k': expected H x W.* got shape \(3,\)"),
        (np.zeros((5, 6, 2)), r"image 'v/k': .* got shape \(5, 6, 2\)"),
        (np.zeros((0, 5)), r"image 'v/k': .* got shape \(0, 5\)"),
        (np.array([[-1]]), "image 'v/k': whole numbers must be 0 to 255, got -1 to -1"),
        (np.array([[256]]), "image 'v/k': whole numbers must be 0 to 255"),
        (np.array([["a"]]), "image 'v/k': expected numbers"),
        (None, "image 'v/k': "),
        ([[1], [1, 2]], "image 'v/k': can't read list"),
    ],
)
def test_what_is_no_image(script: Script, image: Any, message: str) -> None:
    """It is refused at the call, with the key and what was given."""
    with pytest.raises(InvalidValueError, match=message):
        script.run.log_image(image, key="v/k")

    assert script.events() == []


def test_files_that_are_no_images(script: Script, tmp_path: Path) -> None:
    """A file that is missing or something else is named."""
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UsageError, match=r"image 'k': there is no file .*absent\.png"):
        script.run.log_image(tmp_path / "absent.png", key="k")
    with pytest.raises(InvalidValueError, match=r"image 'k': .*notes\.txt is not an image"):
        script.run.log_image(tmp_path / "notes.txt", key="k")
    with pytest.raises(InvalidValueError, match=r"'a\.xyz': no image format has the suffix"):
        script.run.log_image(GREY, "a.xyz")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"step": 1},
        {"artifact_file": "a.png", "key": "k"},
        {"artifact_file": "a.png", "step": 1},
        {"artifact_file": "a.png", "timestamp": 1},
    ],
)
def test_either_a_file_or_a_series(script: Script, arguments: dict[str, Any]) -> None:
    """As with MLflow, a picture is a file or a step of a series; anything else is refused."""
    with pytest.raises(InvalidValueError, match="either artifact_file alone, or key"):
        script.run.log_image(GREY, **arguments)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", "a/", "", 3])
def test_names_stay_inside(script: Script, name: Any) -> None:
    """No name or key leads out of the run, or names nothing."""
    calls: list[Callable[[], None]] = [
        lambda: script.run.log_table({"a": [1]}, name),
        lambda: script.run.log_image(GREY, key=name),
        lambda: script.run.log_image(GREY, name),
        lambda: script.run.log_histogram(name, [1.0]),
        lambda: script.run.log_confusion_matrix(name, ["a"], [[1]]),
    ]
    for call in calls:
        with pytest.raises(InvalidValueError, match=repr(name) if name else "must be relative"):
            call()

    assert script.events() == []


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("jpg", b"\xff")],
)
def test_figures_of_matplotlib(script: Script, suffix: str, start: bytes) -> None:
    """The suffix says the format; what else the library is to know is passed on."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    figure.subplots().plot([1, 3, 2])
    script.run.log_figure(figure, f"plots/a.{suffix}", step=2, save_kwargs={"dpi": 20})
    event = script.only()

    assert event == Figure(event.time, f"plots/a.{suffix}", event.path, 2)
    assert script.file(event).read_bytes().startswith(start)


class Page:
    """A figure that writes itself as a page, as Plotly's do."""

    write_html = None

    def to_html(self, include_plotlyjs: str) -> str:
        """The page."""
        return f"<html>é {include_plotlyjs}</html>"

    def to_image(self, format: str) -> bytes:  # noqa: A002 - Plotly's name for it
        """The picture."""
        return format.encode()


def test_figures_of_plotly(script: Script) -> None:
    """A page takes its script from the net, as MLflow has it, unless it's told otherwise."""
    script.run.log_figure(Page(), "a.html")
    script.run.log_figure(Page(), "b.html", save_kwargs={"include_plotlyjs": "all"})
    script.run.log_figure(Page(), "c.png")

    kept = [script.file(event).read_text() for event in script.events()]
    assert kept == ["<html>é cdn</html>", "<html>é all</html>", "png"]


@pytest.mark.parametrize("name", ["a.xyz", "a"])
def test_figures_in_unknown_formats(script: Script, name: str) -> None:
    """A suffix that the library doesn't write is an error that names the figure."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    with pytest.raises(InvalidValueError, match=f"figure '{name}': can't be written"):
        script.run.log_figure(figure, name)


def test_what_is_no_figure(script: Script) -> None:
    """What neither library made is refused."""
    with pytest.raises(InvalidValueError, match=r"figure 'a\.png': expected a Matplotlib"):
        script.run.log_figure([1], "a.png")


def test_histogram(script: Script) -> None:
    """Counts are those of equal bins over the finite values, whatever the shape."""
    values = [[0.0, 1.0, 2.0], [4.0, math.nan, -math.inf]]
    script.run.log_histogram("grad/w", values, 7, bins=4)
    event = script.only()

    assert event == Histogram(
        event.time, "grad/w", (0.0, 1.0, 2.0, 3.0, 4.0), (1.0, 1.0, 1.0, 1.0), 7, 2
    )


@given(st.lists(st.floats() | st.integers(-(2**53), 2**53), max_size=40), st.integers(1, 64))
def test_histograms_count_every_value(values: list[float], bins: int) -> None:
    """Each value is in a bin or not finite, and edges rise, however small or large they are."""
    finite = [value for value in values if math.isfinite(value)]
    if any(abs(value) > 1e300 for value in finite):
        with pytest.raises(InvalidValueError, match="'k': values must be -1e300 to 1e300"):
            media.histogram("k", values, bins)
        return
    edges, counts, not_finite = media.histogram("k", values, bins)

    assert (len(edges), len(counts)) == (bins + 1, bins)
    assert sum(counts) + not_finite == len(values)
    assert all(low < high for low, high in pairwise(edges))
    assert not finite or (edges[0] <= min(finite) and max(finite) <= edges[-1])


@pytest.mark.parametrize("values", [1e17, 1e300, 5e-324, -0.0, 3])
def test_histogram_of_one_value(values: float) -> None:
    """Values that are all the same are in one bin."""
    _, counts, _ = media.histogram("k", [values] * 5, 64)

    assert sorted(counts)[-2:] == [0.0, 5.0]


def test_histogram_of_a_tensor() -> None:
    """Of any type that has numbers."""
    torch = pytest.importorskip("torch")
    for kind in (torch.bfloat16, torch.float16, torch.int8, torch.bool):
        assert media.histogram("k", torch.tensor([0, 1, 1]).to(kind), 2)[1] == (1.0, 2.0)


@pytest.mark.parametrize(
    ("values", "bins", "message"),
    [
        (["a"], 4, "histogram 'k': expected real numbers"),
        ([1j], 4, "histogram 'k': expected real numbers"),
        (None, 4, "histogram 'k': expected real numbers"),
        ([[1], [1, 2]], 4, "histogram 'k': can't read list"),
        ([1.0], 0, "histogram 'k': bins must be 1 to 512, got 0"),
        ([1.0], 513, "histogram 'k': bins must be 1 to 512, got 513"),
    ],
)
def test_what_is_no_histogram(script: Script, values: Any, bins: int, message: str) -> None:
    """It is refused at the call, with the key and what was given."""
    with pytest.raises(InvalidValueError, match=message):
        script.run.log_histogram("k", values, bins=bins)


@pytest.mark.parametrize(
    "counts", [[[3, 0], [1, 2]], ((3.0, 0.0), (1.0, 2.0)), np.array([[3, 0], [1, 2]])]
)
def test_confusion_matrix(script: Script, counts: Any) -> None:
    """Rows are the actual classes; counts may be lists or arrays, of whole numbers of any type."""
    script.run.log_confusion_matrix("test/confusion_matrix", np.array(["a", "b"]), counts, step=1)
    event = script.only()

    assert event == ConfusionMatrix(
        event.time, "test/confusion_matrix", ("a", "b"), ((3, 0), (1, 2)), 1
    )


@pytest.mark.parametrize(
    ("labels", "counts", "message"),
    [
        (["a", "b"], [[1]], "confusion matrix 'm': 2 labels .* got 1 x 1"),
        (["a", "b"], [[1, 2], [3]], "confusion matrix 'm': 2 labels need"),
        (["a"], [[0.5]], "confusion matrix 'm': counts are whole numbers from 0, got float 0.5"),
        (["a"], [[-1]], "confusion matrix 'm': counts are whole .* int -1"),
        (["a"], [[math.nan]], "confusion matrix 'm': counts are whole"),
        (["a"], [[math.inf]], "confusion matrix 'm': counts are whole"),
        (["a"], [["1"]], "confusion matrix 'm': counts are whole .* str '1'"),
        (["a", "a"], [[1, 2], [3, 4]], r"confusion matrix 'm': labels come twice: \['a'\]"),
        ([], [], "confusion matrix 'm': 0 labels"),
    ],
)
def test_what_is_no_confusion_matrix(
    script: Script, labels: Any, counts: Any, message: str
) -> None:
    """It is refused at the call, with the name and what is wrong."""
    with pytest.raises(InvalidValueError, match=message):
        script.run.log_confusion_matrix("m", labels, counts)


def test_secrets_are_masked(script: Script) -> None:
    """In captions and labels."""
    secret = "hf_" + "a1B2" * 10
    script.run.log_image(GREY, key="k", caption=f"from {secret}")
    script.run.log_confusion_matrix("m", [secret, "b"], [[1, 0], [0, 1]])
    image, matrix = script.events()

    assert isinstance(image, Image)
    assert isinstance(matrix, ConfusionMatrix)
    assert (image.caption, matrix.labels) == (f"from {MASK}", (MASK, "b"))


def test_replayed_steps_are_passed_over(run_dir: RunDir) -> None:
    """After a resume, each series goes on where it was; a series of another kind is another."""
    last: dict[Any, int] = {(Image, "k"): 1, (Histogram, "k"): 2, (ConfusionMatrix, "m"): 0}
    script = Script(run_dir, LastSteps(media=last))
    for step in range(4):
        script.run.log_image(GREY, key="k", step=step)
        script.run.log_histogram("k", [1.0], step)
        script.run.log_confusion_matrix("m", ["a"], [[1]], step)
        script.run.log_figure(Page(), "k.html", step=step)
    script.writer.close()

    steps: dict[type, list[int | None]] = {}
    for event in script.events():
        steps.setdefault(type(event), []).append(event.step)  # type: ignore[union-attr]
    assert steps == {
        Image: [2, 3],
        Histogram: [3],
        ConfusionMatrix: [1, 2, 3],
        Figure: [0, 1, 2, 3],
    }
    assert script.run.passed_over == 6


@pytest.mark.parametrize(
    ("missing", "call", "message"),
    [
        ("numpy", "run.log_histogram('k', [1.0])", "histogram 'k': .* needs NumPy: pip install"),
        ("PIL", "run.log_image([[1]], key='k')", "log_image needs Pillow .* pip install"),
    ],
)
def test_what_is_not_installed_is_named(
    run_dir: RunDir, missing: str, call: str, message: str
) -> None:
    """The error says what to install; a PNG file needs neither."""
    code = f"""
import sys
from pathlib import Path
sys.modules[{missing!r}] = None  # as if it were not installed
from toolkit.journal import SegmentWriter
from toolkit.recorder import LastSteps, Recorder
from toolkit.run import Run
from toolkit.rundir import RunDir
run_dir = RunDir(Path(sys.argv[1]))
writer = SegmentWriter.create(run_dir.journal, "owner")
run = Run("id", Recorder(run_dir, writer, LastSteps()), lambda status: None)
run.log_image(sys.argv[2], key="k")
{call}
"""
    picture = run_dir.path / "a.png"
    pillow.fromarray(GREY).save(picture)
    done = subprocess.run(
        [sys.executable, "-c", code, str(run_dir.path), str(picture)],
        capture_output=True,
        text=True,
        check=False,
    )

    *_, said = done.stderr.strip().splitlines()
    assert said.startswith("toolkit.errors.UsageError: ")
    with pytest.raises(UsageError, match=message):
        raise UsageError(said)

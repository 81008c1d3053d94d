"""Keys that MLflow refuses are mapped by one rule, without collisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_mlflow.keys import MAX_KEY_LENGTH
from toolkit_mlflow.keys import ORIGINAL_PREFIX
from toolkit_mlflow.keys import Keys
from toolkit_mlflow.keys import accepted
from toolkit_mlflow.keys import accepted_path

ANY_KEY = st.one_of(
    st.text(),
    st.text(alphabet="ab/. _@\n", max_size=12),
    st.text(alphabet="é/x", min_size=200, max_size=300),
    st.sampled_from(
        ["", ".", "..", "..a", "/", "//", "a//b", "/a", "a/", "a/./b", "a/../b", "a\n"]
    ),
)


def is_valid(key: str) -> bool:
    """Whether MLflow itself takes the key for a metric, a param and a tag."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils import validation

    try:
        validation._validate_metric(key, 1.0, 0, 0)  # type: ignore[no-untyped-call]
        validation._validate_param(key, "x")  # type: ignore[no-untyped-call]
        validation._validate_tag(key, "x")  # type: ignore[no-untyped-call]
    except MlflowException:
        return False
    return True


@given(ANY_KEY)
def test_every_key_is_accepted(key: str) -> None:
    """Whatever the key, MLflow accepts what stands for it, and the tag that keeps the original."""
    assert is_valid(accepted(key))
    assert accepted(key) == key or is_valid(ORIGINAL_PREFIX + accepted(key))


@given(ANY_KEY)
def test_a_valid_key_stays(key: str) -> None:
    """What MLflow accepts is itself; except a line break at the end, which MLflow overlooks."""
    if is_valid(key) and not key.endswith("\n"):
        assert accepted(key) == key


@given(st.lists(ANY_KEY, unique=True))
def test_two_keys_never_become_one(keys: list[str]) -> None:
    """Different keys stay different, also when they differ in refused characters only."""
    assert len({accepted(key) for key in keys}) == len(keys)


def test_keys_that_differ_at_the_end_only_stay_apart() -> None:
    """Cutting a long key loses nothing: the hash is of the whole."""
    long = "x" * MAX_KEY_LENGTH
    assert accepted(long) == long
    assert accepted(f"{long}1") != accepted(f"{long}2")
    assert len(accepted(f"{long}1")) < MAX_KEY_LENGTH


@pytest.mark.parametrize(
    ("key", "stem"),
    [
        ("P@1", "P_1-"),
        ("f(x)=y", "f_x__y-"),
        ("/train//loss", "_/train/_/loss-"),
        ("../up", "__/up-"),
        ("", "_-"),
    ],
)
def test_a_mapped_key_can_still_be_read(key: str, stem: str) -> None:
    """What MLflow accepts stays in its place; ten digits follow."""
    assert accepted(key).startswith(stem)
    assert len(accepted(key)) == len(stem) + 10


def test_the_original_is_kept_once() -> None:
    """A mapped key comes with the tag that keeps the original; a valid one comes without."""
    keys = Keys()
    assert keys["loss"] == "loss"
    assert keys["P@1"] == keys["P@1"] == accepted("P@1")
    assert keys.unsaid == {f"toolkit.key.{accepted('P@1')}": "P@1"}


@given(st.text(alphabet="ab/.#?%\\\n @é", min_size=1, max_size=12))
def test_a_path_can_be_asked_for(path: str) -> None:
    """A file's name keeps all but what an address can't carry and what leads out of the folder."""
    mapped = accepted_path(path)
    assert not set(mapped) & set("#?%\\\n")
    assert not {"", ".", ".."} & set(mapped.split("/"))
    assert accepted_path("models/épôque @1 (best).pt") == "models/épôque @1 (best).pt"

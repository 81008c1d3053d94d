"""Rules about metrics, params, tags and summaries."""

from __future__ import annotations

from toolkit.events import Metrics
from toolkit.testing.comparing import brief
from toolkit.testing.comparing import expect_values
from toolkit.testing.harness import expect
from toolkit.testing.rules import need
from toolkit.testing.rules import rule
from toolkit.testing.whole import Whole


class ValueRules(Whole):
    """Names and numbers arrive as they were told, however odd."""

    @rule
    def test_order(self) -> None:
        """Every point of a metric arrives, once, in the order of the events."""
        self.expect_curves("order")

    @rule
    def test_equal_steps(self) -> None:
        """Several points of a metric at one step are all kept."""
        self.expect_curves("equal steps")

    @rule
    def test_equal_values(self) -> None:
        """A point is kept though its value is that of the point before."""
        self.expect_curves("equal values")

    @rule
    def test_steps_that_go_back(self) -> None:
        """A step that is smaller than the one before is kept."""
        self.expect_curves("steps that go back")

    @rule
    def test_negative_and_large_steps(self) -> None:
        """Steps below zero and beyond 32 bits are kept."""
        self.expect_curves("negative steps", "large steps")

    @rule
    def test_metrics_without_a_step(self) -> None:
        """A metric without a step is kept, and told from one at step 0."""
        self.expect_curves("no step")
        need(self.keeps_missing_steps, "takes a metric without a step for one at step 0")

    @rule
    def test_times(self) -> None:
        """A point has the time of its event, not that of its telling."""
        events: list[Metrics] = self.exhibit("order")
        points = self.whole().holds("metrics").get("curves/order", ())
        for event, point in zip(events, points, strict=False):
            if point.time is None:
                need(False, "keeps no times of metrics")
            is_right = abs(point.time - event.time) <= self.time_resolution
            expect(is_right, f"time of the point at step {event.step}", event.time, point.time)

    @rule
    def test_nan(self) -> None:
        """NaN stays NaN, and is not left out."""
        self.exhibit("nan")
        need(self.keeps_nan, "does not keep NaN")
        self.expect_curves("nan")

    @rule
    def test_infinities(self) -> None:
        """Both infinities stay what they are."""
        self.exhibit("infinities")
        need(self.keeps_infinities, "does not keep infinities")
        self.expect_curves("infinities")

    @rule
    def test_doubles(self) -> None:
        """Metrics keep all 64 bits: tiny, huge, and every digit."""
        self.exhibit("doubles")
        need(self.keeps_doubles, "keeps 32 bits of a metric")
        self.expect_curves("doubles")

    @rule
    def test_whole_numbers(self) -> None:
        """Zero, negative and large whole numbers keep their values."""
        self.expect_curves("whole numbers")

    @rule
    def test_unicode_keys(self) -> None:
        """Keys of metrics may hold any letters, and a slash."""
        self.expect_curves("unicode keys")

    @rule
    def test_odd_keys(self) -> None:
        """A key that the backend refuses is mapped, and the original can still be read there."""
        self.expect_curves("odd keys")

    @rule
    def test_similar_keys(self) -> None:
        """Two keys never become one, however alike they are."""
        self.expect_curves("similar keys")

    @rule
    def test_long_keys(self) -> None:
        """Keys of 300 characters that differ in the last one stay apart."""
        self.expect_curves("long keys")

    @rule
    def test_many_keys(self) -> None:
        """An event with hundreds of metrics arrives whole."""
        self.expect_curves("many keys")

    @rule
    def test_nothing(self) -> None:
        """Events without any values change nothing, and are no errors."""
        self.exhibit("nothing")

    @rule
    def test_nested_params(self) -> None:
        """Params keep their nesting, or get dotted keys."""
        self.expect_params("nested params")

    @rule
    def test_kinds_of_params(self) -> None:
        """Params may be booleans, numbers and texts of any letters and lines."""
        self.expect_params("kinds of params")

    @rule
    def test_odd_params(self) -> None:
        """None, a list, an empty mapping and an empty key are params like others."""
        self.expect_params("odd params")

    @rule
    def test_huge_params(self) -> None:
        """Whole numbers beyond 64 bits keep every digit as params."""
        self.expect_params("huge params")

    @rule
    def test_odd_keys_of_params(self) -> None:
        """A param's key that the backend refuses can still be read there."""
        self.expect_params("odd keys of params")

    @rule
    def test_long_params(self) -> None:
        """A long param is kept whole, or as far as the backend's stated limit."""
        (event,) = self.exhibit("long params")
        expected = {"long": event.values["long"][: self.longest_param]}
        expect_values("param", expected, self.whole().holds("params"))

    @rule
    def test_changed_params(self) -> None:
        """A param told again shows its latest value, and those beside it stay."""
        self.exhibit("changed params")
        expected = {"changed": {"lr": 0.25, "seed": 1}}
        expect_values("param", expected, self.whole().holds("params"))

    @rule
    def test_tags(self) -> None:
        """Tags keep their keys and texts, whatever the letters and lines."""
        self.expect_tags("tags")

    @rule
    def test_changed_tags(self) -> None:
        """A later tag replaces an earlier one of its key, and no other."""
        self.exhibit("changed tags")
        expect_values("tag", {"again": "2", "stays": "1"}, self.whole().holds("tags"))

    @rule
    def test_many_tags(self) -> None:
        """An event with hundreds of tags arrives whole."""
        self.expect_tags("many tags")

    @rule
    def test_long_tags(self) -> None:
        """A long tag is kept whole, or as far as the backend's stated limit."""
        (event,) = self.exhibit("long tags")
        expected = {"long": event.values["long"][: self.longest_tag]}
        expect_values("tag", expected, self.whole().holds("tags"))

    @rule
    def test_summary(self) -> None:
        """A summary's numbers and texts arrive, nested or with dotted keys."""
        (event,) = self.exhibit("summary")
        expect_values("summary", event.values, self.whole().holds("summary"))

    @rule
    def test_changed_summary(self) -> None:
        """A later result replaces an earlier one of its key."""
        *_, last = self.exhibit("changed summary")
        expect_values("summary", last.values, self.whole().holds("summary"))

    @rule
    def test_odd_summary(self) -> None:
        """A NaN that is spelled out, a truth and None are taken as results."""
        (event,) = self.exhibit("odd summary")
        found = self.whole().holds("summary")
        for key in event.values:
            expect(key in found, f"summary {key!r}", "some value", f"none in {brief(found)}")

    def expect_params(self, name: str) -> None:
        """Complain unless the params of this group are there."""
        (event,) = self.exhibit(name)
        expect_values("param", event.values, self.whole().holds("params"))

    def expect_tags(self, name: str) -> None:
        """Complain unless the tags of this group are there."""
        (event,) = self.exhibit(name)
        expect_values("tag", event.values, self.whole().holds("tags"))

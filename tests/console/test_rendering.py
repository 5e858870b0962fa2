"""What templates say of times, amounts and states."""

import re

import pytest

from batchyard.console import rendering
from batchyard.console.rendering import ENVIRONMENT, ago, duration, last_part, mib, state_class, when
from batchyard.core.model.records import Status


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "–"),
        (-5, "0 ms"),
        (0, "0 ms"),
        (999, "999 ms"),
        (3120, "3.1 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (724_000, "12 min 4 s"),
        (3 * 3_600_000, "3 h"),
        (2 * 86_400_000 + 3 * 3_600_000 + 5, "2 d 3 h"),
    ],
)
def test_durations_have_their_two_largest_units(milliseconds: int | None, text: str) -> None:
    assert duration(milliseconds) == text


def test_moments_are_in_utc_and_machines_can_read_them() -> None:
    shown = when(1_700_000_000_123)
    assert 'datetime="2023-11-14T22:13:20.123Z"' in shown
    assert 'title="2023-11-14 22:13:20 UTC"' in shown
    assert ">2023-11-14 22:13:20 UTC<" in shown
    assert ">1 min<" in ago(1_700_000_000_000, 1_700_000_060_000)
    assert when(0) == when(None) == "–"
    assert "9999-12-31" in when(10**17)


def test_amounts_and_names() -> None:
    assert [mib(512), mib(1024), mib(1536), mib(None)] == ["512 MiB", "1 GiB", "1.5 GiB", "–"]
    assert last_part("arn:aws:batch:us-east-1:123456789012:job-queue/hi") == "hi"
    assert last_part("hi") == "hi"


def test_each_state_has_a_class_and_a_shape() -> None:
    layout = (rendering.HERE / "templates/layout.html").read_text()
    css = (rendering.STATIC / "console.css").read_text()
    for status in Status:
        assert f'id="i-{state_class(status)}"' in layout
        assert f".s-{state_class(status)} " in css
    assert state_class("VALID") == "succeeded"
    assert state_class("anything else") == "pending"


def test_templates_escape_what_they_show() -> None:
    text = ENVIRONMENT.from_string("{{ name }}").render(name="<script>alert('x')</script>")
    assert text == "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"


def test_no_template_has_scripts_or_styles_of_its_own() -> None:
    """They would not run: the policy of the console allows files alone."""
    templates = [*rendering.HERE.glob("templates/*.html"), *rendering.HERE.glob("pages/*.html")]
    assert len(templates) > 3
    for path in templates:
        text = path.read_text()
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", text), path.name
        assert "|safe" not in text, path.name

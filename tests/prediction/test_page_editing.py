"""Corrections on predict's page in a real Chromium: by mouse, keys and fingers, exported and read back."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile
from chromium import browser, needs_chromium

from sed.data.events import read_named
from sed.data.tables import Event, read_events_tsv
from sed.prediction.decisions import Detection
from sed.prediction.page import Page, PageSink
from sed.prediction.recording import Result

pytestmark = needs_chromium
LABELS = ["Dog", "<b>Cat</b>", "a&b"]
GIVEN = [Event(1.0, 2.5, "Dog"), Event(3.1234, 4.0, "<b>Cat</b>"), Event(5.0, 7.0, "a&b"), Event(8.0, 8.5, "Dog")]
NAMES = ["one.wav", "<i>two & 2.wav"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


def write_page(path, seed=0):
    """Write a page of two recordings of ten seconds; `seed`: of their posteriors.

    It shows the test's folder as its text `about`, since the browser keeps corrections by what a page shows, and would
    restore those of an earlier test.
    """
    file = io.StringIO()
    page = Page(file, str(path.parent))
    for name in NAMES:
        sink = PageSink(page, rate=8000, feature_seconds=0.02, frame_seconds=0.02, labels=LABELS, thresholds=[0.5] * 3)
        sink.audio(np.random.default_rng(0).normal(0, 0.01, 80000).astype(np.float32))
        sink.logmel(np.random.default_rng(0).normal(size=(500, 8)))
        sink.processed(np.random.default_rng(seed).random((500, 3)).astype(np.float32))
        sink.finish(Result(f"a/{name}", 10.0, [Detection(e, 0.75) for e in GIVEN], np.zeros(3)))
    page.close()
    path.write_text(file.getvalue(), encoding="utf-8")
    return path


@pytest.fixture
def page(tmp_path):
    return write_page(tmp_path / "page.html")


def on_page(chromium, number=0):
    """Return the events of a recording that the page would export: all but the rejected ones."""
    script = f"(r => r.editing.right().map(e => [e[0], e[1], r.labels[e[2]]]))(recordings[{number}])"
    return [Event(*event) for event in chromium.js(script)]


def test_sound_is_decoded_without_the_encoders_delay_and_stays_at_the_cursor(chromium, page):
    """Chromium plays an MP3 late by this delay after a jump, so borders set by ear would be late."""
    chromium.open(page)
    chromium.call("Page.setBypassCSP", enabled=True)  # to fetch what the player plays
    chromium.load(page)
    chromium.js("recordings[0].seek(3.25)")
    chromium.until("recordings[0].player.readyState > 0 && recordings[0].audio === 'audio/wav'")
    assert chromium.js("recordings[0].now()") == pytest.approx(3.25, abs=1e-3)
    text = chromium.js(
        "fetch(recordings[0].player.src).then(answer => answer.blob()).then(blob => new Promise(done => {"
        " const reader = new FileReader(); reader.onload = () => done(reader.result); reader.readAsDataURL(blob); }))"
    )
    kind, data = text.split(",")
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert kind == "data:audio/wav;base64" and rate == 8000
    written = np.random.default_rng(0).normal(0, 0.01, 80000)
    lags = np.correlate(sound[: 40000 + 1000], written[1000:40000], "valid")
    assert lags.argmax() == 1000  # MP3's delay is 1105 samples
    assert len(sound) >= len(written)  # encoders pad the end


def border(chromium, event, side):
    """Return a point on an event's border, as pixels (x, y) of the window.

    event: index among the recording's events; side: 0 for the onset, 1 for the offset. Any height within the lane of
    the event's label would do.
    """
    chromium.js("recordings[0].main.scrollIntoView({block: 'center'})")
    chromium.frames()
    return tuple(
        chromium.js(
            f"(r => {{ const e = r.all[{event}], b = r.main.getBoundingClientRect();"
            f" return [b.x + r.x(e[{side}]), b.y + r.top + (r.lane.get(e[2]) + 0.7) * r.height] }})(recordings[0])"
        )
    )


def width(chromium, seconds):
    """Return the width of a number of seconds in the picture, in pixels."""
    return chromium.js(f"recordings[0].plot / (recordings[0].end - recordings[0].begin) * {seconds}")


def export(chromium, name="corrected.tsv", button="document.querySelector('#export button')"):
    (chromium.downloads / name).unlink(missing_ok=True)
    chromium.tap(button)
    return chromium.downloaded(name)


def test_untouched_events_are_exported_as_predict_writes_them(chromium, page):
    chromium.open(page)
    chromium.js("document.querySelector('#export select').value = 'all'")
    kept = read_events_tsv(export(chromium))
    expected = [Event(round(e.onset, 3), e.offset, e.label) for e in GIVEN]
    assert kept == {"one": expected, "<i>two & 2": expected}
    assert not [url for url in chromium.requests() if not url.startswith(("file:", "data:", "blob:"))]


@pytest.mark.thorough
def test_keys_correct_and_what_is_exported_reads_back_equal(chromium, page):
    chromium.open(page)
    chromium.js("recordings[0].section.focus(), recordings[0].seek(0)")
    # n plays the next event. The first is accepted and the second rejected. The third's onset is moved by 20 ms and its
    # offset by twice 20 ms. While the fourth plays, an event is added at the cursor.
    for key in "na" + "nx" + "n.>>" + "ne":
        chromium.key(key)
    chromium.js("recordings[0].player.pause(), recordings[0].seek(9.25)")
    chromium.key("]")  # moves the added event's offset to the cursor, which stays there while the player is paused
    chromium.key("r")
    found = on_page(chromium)
    added = next(e for e in found if e.offset == 9.25)
    assert added.label == "Dog" and 8 <= added.onset < 8.6  # the fourth plays from 8 s to 8.5 s
    assert sorted(set(found) - {added}) == [GIVEN[0], Event(5.02, 7.04, "a&b"), GIVEN[3]]
    read = read_events_tsv(export(chromium))
    assert read == {"one": found}
    assert read_named(chromium.downloads / "corrected.tsv")["one.wav"] == found
    audacity = export(chromium, "one.txt", "[...recordings[0].editing.bar.querySelectorAll('button')].at(-1)")
    assert read_named(audacity) == {"one": found}
    states = chromium.js("recordings[0].all.map(e => e.state)")
    assert sorted(states) == ["", "accepted", "added", "changed", "rejected"]
    for _ in range(4):  # undo: reviewed, the offset at 9.25 s, the added event, the second `>`
        chromium.key("u")
        assert chromium.js("recordings[0].editing.reviewed") is False
    assert [e for e in on_page(chromium) if e.label == "a&b"] == [Event(5.02, 7.02, "a&b")]


@pytest.mark.thorough
@pytest.mark.parametrize("touch", [False, True])
def test_borders_are_dragged_by_mouse_and_on_a_phone(chromium, page, touch):
    size = {"width": 390, "height": 844} if touch else {}
    chromium.open(page, touch=touch, **size)
    assert chromium.js("document.documentElement.scrollWidth <= innerWidth")
    chromium.tap("recordings[0].list.querySelectorAll('button')[2]", touch=touch)
    chromium.js("recordings[0].player.pause()")
    assert chromium.js("recordings[0].editing.selected[0]") == 5
    x, y = border(chromium, 2, 1)
    chromium.drag((x, y), (x + width(chromium, 1.5), y), touch=touch)
    x, y = border(chromium, 2, 0)
    # a pointer that starts 2 pixels beside the border still catches it, and moves it to where the pointer ends
    chromium.drag((x + 2, y), (x - width(chromium, 0.5), y), touch=touch)
    moved = on_page(chromium)[2]
    assert moved.onset == pytest.approx(4.5, abs=0.02) and moved.offset == pytest.approx(8.5, abs=0.02)
    assert chromium.js("recordings[0].begin") == 0  # the picture has not moved with the borders
    if touch:
        sizes = chromium.js("[...recordings[0].editing.bar.querySelectorAll('button')].map(b => b.offsetHeight)")
        assert min(sizes) >= 44  # CSS pixels, the least size of a target in WCAG 2.5.5
    chromium.tap("recordings[0].editing.done", touch=touch)
    assert read_events_tsv(export(chromium))["one"] == on_page(chromium)


@pytest.mark.thorough
def test_fields_change_label_and_times_and_nothing_is_lost_on_reload(chromium, page):
    chromium.open(page)
    chromium.tap("recordings[1].list.querySelectorAll('button')[0]")
    chromium.js("recordings[1].player.pause()")
    chromium.answer = "my\tnew, <label>"  # to the prompt of "new label ...", the entry of the list without a value
    chromium.js("(e => { e.label.value = ''; e.label.onchange() })(recordings[1].editing)")
    chromium.js("(e => { e.times[1].value = '3.3334'; e.times[1].onchange() })(recordings[1].editing)")
    chromium.js("(e => { e.times[0].value = '99'; e.times[0].onchange() })(recordings[1].editing)")
    # An onset after the offset is set to 10 ms, the shortest length of an event, before it.
    found = on_page(chromium, 1)
    assert Event(3.323, 3.333, "my new <label>") in found and len(found) == 4
    chromium.tap("recordings[1].editing.done")
    chromium.load(page)
    assert on_page(chromium, 1) == found and on_page(chromium) == [e._replace(onset=round(e.onset, 3)) for e in GIVEN]
    assert "restored" in chromium.js("document.querySelector('#export .note').textContent")
    assert read_events_tsv(export(chromium)) == {"<i>two & 2": found}
    assert not chromium.js("document.querySelectorAll('main b, main i').length")  # names and labels are text
    chromium.tap("document.querySelectorAll('#export button')[1]")  # discard, after a question
    chromium.load(page)
    assert on_page(chromium, 1) == on_page(chromium, 0)


@pytest.mark.thorough
def test_corrections_are_not_restored_on_the_page_of_another_recording_of_the_same_name(chromium, page):
    chromium.open(page)
    chromium.js("recordings[0].editing.review(true)")
    chromium.load(write_page(page.with_name("other.html"), seed=1))
    assert chromium.js("recordings[0].editing.reviewed") is False
    chromium.load(page)
    assert chromium.js("recordings[0].editing.reviewed") is True


def test_a_recording_without_any_event_is_exported_by_its_name(chromium, page):
    chromium.open(page)
    chromium.js("for (const v of recordings[0].all) (e => { e.select(v); e.mark('rejected') })(recordings[0].editing)")
    chromium.js("recordings[0].editing.review(true)")
    assert export(chromium).read_text(encoding="utf-8") == "filename\tonset\toffset\tevent_label\none.wav\t\t\t\n"


def test_a_browser_that_keeps_nothing_asks_before_the_page_is_left(chromium, page):
    chromium.open(page)
    asks = "(e => !window.dispatchEvent(e))(new Event('beforeunload', {cancelable: true}))"
    chromium.js("recordings[0].editing.review(true)")
    assert not chromium.js(asks)  # kept: nothing is lost
    chromium.js("Storage.prototype.setItem = () => { throw new Error('full') }")
    chromium.js("recordings[0].editing.review(false)")
    assert chromium.js(asks)
    assert "keeps nothing" in chromium.js("document.querySelector('#export .note').textContent")
    chromium.js("document.querySelector('#export button').click()")  # no recording is reviewed: nothing is exported
    assert chromium.js(asks)
    chromium.js("recordings[1].editing.review(true)")
    export(chromium)
    assert chromium.js(asks)  # the corrections of the other recording are not exported
    chromium.js("document.querySelector('#export select').value = 'all'")
    chromium.js("document.querySelector('#export button').click()")
    assert not chromium.js(asks)


def test_keys_correct_an_event_that_was_clicked_in_the_list(chromium, page):
    chromium.open(page)
    given = on_page(chromium)
    chromium.tap("recordings[0].list.querySelectorAll('button')[1]")
    chromium.js("recordings[0].player.pause()")
    chromium.key("x")
    assert on_page(chromium) == [given[0], *given[2:]]
    chromium.key("e")
    chromium.tap("recordings[0].editing.reject")  # removes the added event, and thereby hides this button
    chromium.key("u")  # the event is there again
    chromium.key("u")
    chromium.tap("recordings[0].editing.back")  # undoes all, and is then disabled
    chromium.key("r")
    assert on_page(chromium) == given and chromium.js("recordings[0].editing.reviewed")


def test_a_name_typed_in_the_list_of_labels_only_changes_the_label(chromium, page):
    chromium.open(page)
    given = on_page(chromium)
    chromium.js("recordings[0].section.focus(), recordings[0].editing.select(recordings[0].all[1])")
    for key in ["l", *"a&b"]:  # `a` alone finds the label; in the recording it would accept the event
        chromium.key(key)
    for key in "rex":  # no label begins like this
        chromium.key(key)
    assert on_page(chromium) == [given[0], given[1]._replace(label="a&b"), *given[2:]]
    assert chromium.js("recordings[0].editing.past.length") == 1
    for key in ["Escape", "r"]:
        chromium.key(key)
    assert chromium.js("recordings[0].editing.reviewed")


def test_counts_are_those_of_the_events_that_are_exported(chromium, page):
    """Recordings, contents and filters count rejected events as little as the export does, also after a reload."""
    chromium.open(page)
    chromium.js("recordings[0].section.focus(), recordings[0].editing.select(recordings[0].all[0])")
    counts = (
        "[recordings[0].section.querySelector('.note').textContent.split(' · ')[1],"
        " document.querySelector('#links a').textContent.split(' · ')[1], document.getElementById('count').textContent]"
    )
    assert chromium.js(counts) == ["4 events", "4 events", "8 events in 2 recordings"]
    for key in "xee":
        chromium.key(key)
    assert len(on_page(chromium)) == 5
    for _ in range(2):
        assert chromium.js(counts) == ["5 events", "5 events", "9 events in 2 recordings"]
        chromium.load(page)
    chromium.js("for (const v of recordings[0].all) (e => { e.select(v); e.mark('rejected') })(recordings[0].editing)")
    chromium.tap("document.getElementById('only')")
    assert not chromium.js("recordings[0].section.hidden")  # it is not reviewed yet


def test_brackets_that_need_a_modifier_put_a_border_at_the_cursor(chromium, page):
    """German and French keyboards have them with AltGr, which is Ctrl and Alt to Windows, or with Option (Alt)."""
    chromium.open(page)
    chromium.js("recordings[0].section.focus(), recordings[0].editing.select(recordings[0].all[2])")
    for key, modifiers, cursor in [("[", 3, 5.5), ("]", 1, 6.5), ("x", 1, 0), ("x", 2, 0), ("[", 2, 0), ("]", 4, 0)]:
        chromium.js(f"recordings[0].player.removeAttribute('src'), recordings[0].seek({cursor})")
        chromium.key(key, modifiers=modifiers)
    assert on_page(chromium)[2] == Event(5.5, 6.5, "a&b")


def test_the_filter_offers_the_labels_of_corrections_also_after_a_reload(chromium, page):
    chromium.open(page)
    chromium.answer = "fox"
    chromium.js(
        "(e => { e.select(recordings[0].all[0]); e.label.value = ''; e.label.onchange() })(recordings[0].editing)"
    )
    for _ in range(2):
        labels = chromium.js("[...document.getElementById('label').options].map(o => o.value)")
        assert labels == ["", "<b>Cat</b>", "Dog", "a&b", "fox"]
        chromium.load(page)
    chromium.js("(s => { s.value = 'fox'; s.oninput() })(document.getElementById('label'))")
    assert chromium.js("document.getElementById('count').textContent") == "1 event in 2 recordings"

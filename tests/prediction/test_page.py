import base64
import io
import json
import re

import numpy as np
import pytest
import soundfile
from chromium import browser, needs_chromium

from sed.data.tables import Event
from sed.evaluation.postprocessing.options import options_of, resolve
from sed.prediction.decisions import Detection
from sed.prediction.page import TILE, Page, PageSink, Shrinking, legend, palette, png
from sed.prediction.recording import Result

LABELS = ["Dog", "<script>alert(1)</script>", "a&b"]


def page_of(seconds, name="x.wav", rate=16000):
    file = io.StringIO()
    page = Page(file, "a model")
    sink = PageSink(page, rate=rate, feature_seconds=0.01, frame_seconds=0.01, labels=LABELS, thresholds=[0.5] * 3)
    frames = round(seconds * 100)
    rng = np.random.default_rng(0)
    audio = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    for part in np.array_split(audio, 7):
        sink.audio(part)
    for part in np.array_split(rng.normal(size=(frames, 16)), 5):
        sink.logmel(part)
    levels = rng.random((frames, 3)).astype(np.float32)
    for part in np.array_split(levels, 3):
        sink.processed(part)
    detections, tags, suppressed = [Detection(Event(0.1, 0.4, LABELS[1]), 0.75)], [0.9, 0.1, 0.6], [0.2, 0, 1.26]
    sink.finish(Result(name, seconds, detections, np.array(tags), np.array(suppressed)))
    page.close()
    return file.getvalue(), audio, levels


def block(text, name):
    return re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', text, re.S).group(1)


def test_everything_is_in_the_page_and_nothing_is_outside():
    text, audio, levels = page_of(2.0, name="<b>x</b>.wav")
    info = json.loads(block(text, "info-0"))
    assert info["name"] == "<b>x</b>.wav" and info["labels"] == LABELS and info["duration"] == 2.0
    assert info["events"] == [[0.1, 0.4, 1, 0.75]] and info["tags"] == ["Dog", "a&b"]
    assert info["suppressed"] == [["a&b", 1.3]]  # little of Dog: a filter's trimming
    assert "<b>x" not in text and "<script>alert" not in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//|url\(|@import|fetch\(|XMLHttp""", text)
    assert "default-src 'none'" in text
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(block(text, "audio-0"))))
    assert rate == 16000 and np.abs(sound - audio).max() < 1e-4
    shown = np.frombuffer(base64.b64decode(block(text, "posteriors-0")), np.uint8).reshape(-1, 3)
    assert info["column_seconds"] == 0.02
    np.testing.assert_array_less(np.abs(shown / 255 - levels.reshape(-1, 2, 3).max(1)), 1 / 255)


def test_a_long_recording_is_mp3_and_its_pictures_are_tiles():
    text, audio, _ = page_of(75.0)
    info = json.loads(block(text, "info-0"))
    assert info["audio"] == "audio/mpeg"
    sound, _ = soundfile.read(io.BytesIO(base64.b64decode(block(text, "audio-0"))))
    # 0.25 s: MP3 has a delay and whole frames only
    assert abs(len(sound) - len(audio)) < 4000 and len(block(text, "audio-0")) < len(audio)
    assert [(t["from"], t["to"]) for t in info["tiles"]] == [(0, TILE / 100), (TILE / 100, 75)]


def test_the_legend_names_the_steps_in_words_and_says_why_numbers_may_be_below_the_threshold():
    text = legend(resolve(options_of(post_processing="paper"), LABELS))
    assert "posteriors after weak masking (no frame above its clip's posterior), then median filter (" in text
    assert "weak_mask" not in text and "which may be below the threshold" in text
    assert "a curve that weak masking keeps on the line is none" in text
    median, none = (legend(resolve(options_of(post_processing=steps), LABELS)) for steps in ("median", "none"))
    assert "weak masking" not in median + none and "Curves: posteriors. Dotted" in none and "below" not in none


@pytest.mark.parametrize("count", [1, 99, 100, 101, 5000, 12345])
@pytest.mark.parametrize("step", [1, 37, 400])
def test_shrinking_keeps_the_extent_and_the_peaks(count, step):
    values = np.random.default_rng(count).random((count, 2)).astype(np.float16).astype(np.float32)
    kept = Shrinking(100, 0.01, np.max)
    for at in range(0, count, step):
        kept.add(values[at : at + step])
    array = kept.array()
    factor = round(kept.seconds / 0.01)
    assert len(array) <= 101 and len(array) == -(-count // factor)
    padded = np.full((len(array) * factor, 2), -1, np.float32)
    padded[:count] = values
    np.testing.assert_array_equal(array, padded.reshape(-1, factor, 2).max(1))


def test_png_is_read_back():
    image = pytest.importorskip("PIL.Image")
    level = np.random.default_rng(0).integers(0, 256, (5, 9), np.uint8)
    read = image.open(io.BytesIO(png(level)))
    colours = np.frombuffer(palette(), np.uint8).reshape(256, 3)
    np.testing.assert_array_equal(np.asarray(read.convert("RGB")), colours[level])


@pytest.mark.parametrize("kind", ["varied", "noise"])
def test_a_minute_of_thirty_classes_takes_less_than_a_megabyte(kind):
    rng = np.random.default_rng(0)
    file, labels = io.StringIO(), [f"class {k}" for k in range(30)]
    page = Page(file, "a model")
    sink = PageSink(page, rate=16000, feature_seconds=0.01, frame_seconds=0.01, labels=labels, thresholds=[0.5] * 30)
    smooth = np.cumsum(rng.normal(size=(6000, 128)), 0) * 0.1 + rng.normal(size=(6000, 128)) * 0.3  # as log-mel varies
    sink.audio(rng.normal(0, 0.1, 60 * 16000).astype(np.float32))
    sink.logmel(smooth if kind == "varied" else rng.normal(size=(6000, 128)))
    sink.processed(rng.random((6000, 30)).astype(np.float32))
    sink.finish(Result("x.wav", 60.0, [], np.zeros(30)))
    page.close()
    info = json.loads(block(file.getvalue(), "info-0"))
    assert info["tiles"][0]["from"] == 0 and info["tiles"][-1]["to"] == pytest.approx(60)
    assert len(file.getvalue()) < 1_000_000


LONG = ["Donaudampfschifffahrtsgesellschaftskapitänsmütze", "Emergency vehicle: ambulance siren, two rooms away"]
# what does not fit: elements beyond the window's right edge, texts cut by their button, times or scores in two lines
LOOK = """(() => {
    const all = [...document.querySelectorAll("body *")].filter(e => e.getClientRects().length);
    const texts = list => list.map(e => `${e.tagName} ${e.textContent.slice(0, 40)}`);
    return {
        width: document.documentElement.scrollWidth,
        events: document.querySelectorAll(".events button").length,
        beyond: texts(all.filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)),
        cut: texts(all.filter(e => e.tagName === "BUTTON" && e.scrollWidth > e.clientWidth)),
        broken: texts(all.filter(e => /when|score/.test(e.className) && e.clientHeight > 40)),
    };
})()"""


DRAWN = """(() => {
    const texts = [], draw = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
        texts.push(text);
        draw.call(this, text, ...place);
    };
    recordings[0].paint();
    return texts;
})()"""


@pytest.mark.thorough
@needs_chromium
def test_a_page_without_events_says_what_to_do_and_thresholds_are_written_at_their_lines(tmp_path):
    file = io.StringIO()
    page = Page(file, "a model")
    thresholds = {"labels": LABELS, "thresholds": [0.5, 0.25, 1 / 3]}
    sink = PageSink(page, rate=16000, feature_seconds=0.01, frame_seconds=0.02, **thresholds)
    sink.audio(np.zeros(16000, np.float32))
    sink.logmel(np.zeros((100, 16)))
    sink.processed(np.tile(np.float32([0.4, 0.22, 0.1]), (50, 1)))
    sink.finish(Result("x.wav", 1.0, [], np.zeros(3)))
    text = "no events. Options that give events: --threshold 0.2 (<b> 1); --threshold 0.2 --no-centre-events (a&b 2)"
    page.close(text, {"x.wav": "--threshold 0.2 (a&b 2)"})
    path = tmp_path / "page.html"
    path.write_text(file.getvalue(), encoding="utf-8")
    with browser(tmp_path) as chromium:
        for width in (1200, 360):
            chromium.open(path, width=width, height=740)
            assert {"0.5", "0.25", "0.33"} <= set(chromium.js(DRAWN))
            advice = chromium.js("document.getElementById('advice').innerText")
            assert advice == text
            codes = chromium.js("[...document.querySelectorAll('#advice code')].map(e => e.textContent)")
            assert codes == ["--threshold 0.2", "--threshold 0.2 --no-centre-events"]
            nearest = chromium.js("document.querySelector('.events').innerText")
            assert (
                nearest
                == f"no events: nearest is {LABELS[1]}, 0.22 at a threshold of 0.25; tried: --threshold 0.2 (a&b 2)"
            )
            assert chromium.js(LOOK)["beyond"] == []


@pytest.mark.thorough
@needs_chromium
def test_twelve_recordings_of_thirty_long_classes_fit_a_phone_and_ask_for_nothing(tmp_path):
    rng, file = np.random.default_rng(0), io.StringIO()
    labels = [f"{LONG[k % 2]} {k}" for k in range(30)]
    page = Page(file, "a model")
    options = {"feature_seconds": 0.01, "frame_seconds": 0.02, "labels": labels, "thresholds": [0.5] * 30}
    for i in range(12):
        sink = PageSink(page, rate=16000, **options)
        sink.audio(rng.normal(0, 0.1, 3 * 16000).astype(np.float32))
        sink.logmel(rng.normal(size=(300, 32)))
        sink.processed(rng.random((150, 30)).astype(np.float32))
        found = [Detection(Event(0.1 * k, 0.1 * k + 0.5, labels[k]), 0.9) for k in range(i, 24)]
        sink.finish(Result(f"folder/{'a_long_name_of_a_recorder_' * 4}{i}.wav", 3.0, found, np.ones(30)))
    page.close()
    path = tmp_path / "page.html"
    path.write_text(file.getvalue(), encoding="utf-8")
    with browser(tmp_path) as chromium:
        chromium.open(path, width=360, height=740, touch=True)
        seen = chromium.js(LOOK)
        outside = [address for address in chromium.requests() if not address.startswith(("data:", "blob:"))]
    assert outside == [path.as_uri()]
    assert seen == {"width": 360, "events": sum(24 - i for i in range(12)), "beyond": [], "cut": [], "broken": []}


@pytest.mark.thorough
@needs_chromium
@pytest.mark.parametrize(
    ("names", "links"),
    [
        (["/data/a.wav", "b.wav", "-"], ["/data/a.wav", "b.wav", "-"]),
        (["/a.wav", "/data/b.wav"], ["a.wav", "data/b.wav"]),
        (["rec/1/a.wav", "rec/2/b.wav"], ["1/a.wav", "2/b.wav"]),
        ([], []),
    ],
)
def test_recordings_are_listed_by_their_paths_below_the_folder_of_all(tmp_path, names, links):
    file = io.StringIO()
    page = Page(file, "a model")
    for name in names:
        sink = PageSink(page, rate=16000, feature_seconds=0.01, frame_seconds=0.02, labels=LABELS, thresholds=[0.5] * 3)
        sink.audio(np.zeros(16000, np.float32))
        sink.finish(Result(name, 1.0, []))
    page.close()
    path = tmp_path / "page.html"
    path.write_text(file.getvalue(), encoding="utf-8")
    with browser(tmp_path) as chromium:
        chromium.open(path)
        shown = chromium.js("[...document.querySelectorAll('nav a')].map(a => a.textContent)")
        assert shown == [f"{link} · 0 events" for link in links]
        assert chromium.js("document.getElementById('count').textContent").startswith(f"0 events in {len(names)} rec")


@pytest.mark.thorough
@needs_chromium
def test_times_that_round_up_to_a_minute_are_written_as_minutes(tmp_path):
    file = io.StringIO()
    Page(file, "a model").close()
    path = tmp_path / "page.html"
    path.write_text(file.getvalue(), encoding="utf-8")
    with browser(tmp_path) as chromium:
        chromium.open(path)
        written = chromium.js("[clock(59.999), clock(3599.996), clock(9.99), clock(61, 0)]")
    assert written == ["1:00.00", "1:00:00.00", "0:09.99", "1:01"]

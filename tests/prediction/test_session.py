import errno
import io
import json
import os
import re
import shutil
import sys
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from tiny_model import LABELS, save_tiny, sounds, write_sounds

from sed.bin import predict
from sed.checkpoints.checkpoint import load_detector
from sed.data.audio import read_audio
from sed.data.directory import write_scp
from sed.data.scores import read_scores
from sed.data.store import FeatureWriter
from sed.data.tables import Event, read_events_tsv, write_durations_tsv
from sed.prediction import session, window_settings
from sed.prediction.live import read_pcm
from sed.prediction.sources import read_recording
from sed.prediction.window_settings import WindowSettings


def call(monkeypatch, *args, stdin=None):
    """Run the entry point in this process; return its exit status."""
    if stdin is not None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin.open("rb")))
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, args), "--threads", "1"])
    with pytest.raises(SystemExit) as done:
        predict.main()
    return done.value.code


def stage5(monkeypatch, experiment, wavs, folder):
    """Run stages 2 (by its functions) and 5 (by its commands) on the clips; return their scores and events."""
    from sed.bin import infer, score

    model = load_detector(experiment)
    dump = folder / "dump" / "validation"
    dump.mkdir(parents=True)
    clips = sorted(wav.stem for wav in wavs)
    paths = {wav.stem: wav for wav in wavs}
    front_end = model.front_end
    with FeatureWriter(
        dump / "feats.1.h5", clips=clips, frames=front_end.clip_frames, bins=front_end.mel_bins,
        front_end=front_end.params(),
    ) as writer:  # fmt: skip
        for clip in clips:
            writer.write(front_end(torch.from_numpy(read_audio(paths[clip], front_end.sample_rate))[None])[0].numpy())
    write_scp(dump / "feats.scp", {clip: f"feats.1.h5:{row}" for row, clip in enumerate(clips)})
    write_durations_tsv(dump / "durations.tsv", {clip: soundfile.info(paths[clip]).duration for clip in clips})
    (dump / "events.tsv").write_text(f"filename\tonset\toffset\tevent_label\n{clips[0]}.wav\t0.1\t0.4\tDog\n")
    scores = folder / "scores.h5"
    for module, args in (
        (infer, ["--model", experiment, "--device", "cpu", dump, scores]),
        (score, [scores, "--ground-truth", dump / "events.tsv", "--durations", dump / "durations.tsv",
                 "--out", folder / "result.json", "--jobs", "1"]),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, args)])
        with pytest.raises(SystemExit) as done:
            module.main()
        assert done.value.code == 0
    return read_scores(scores), read_events_tsv(folder / "events.tsv")


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["experiment", "crnn_experiment"])
def test_clips_come_out_as_stage_5_has_them(tmp_path, monkeypatch, request, kind):
    experiment = request.getfixturevalue(kind)
    folder = tmp_path / "audio"
    folder.mkdir()
    wavs = [
        write_sounds(folder / f"clip{i}_{seconds}.wav", seconds, rate, seed=i)
        for i, (seconds, rate) in enumerate([(10, 16000), (10, 44100), (9.993, 16000), (3.337, 22050), (0.3, 8000)])
    ]
    scores, events = stage5(monkeypatch, experiment, wavs, tmp_path / "stage5")
    out = tmp_path / "out"
    args = ["--model", experiment, "--device", "cpu", "--format", "tsv,csv", "--out-dir", out, "--batch-size", "3"]
    assert call(monkeypatch, *args, folder) == 0
    found = {}
    for row, clip in enumerate(scores.clips):
        posteriors = np.loadtxt(out / f"{clip}.csv", delimiter=",", skiprows=1, usecols=range(3, 7))
        # mostly 1e-6; a rounding error that moves a log-mel value by a step of float16 shows in these stretched logits
        np.testing.assert_allclose(posteriors, scores.frame[row], atol=1e-4)
        found.update(read_events_tsv(out / f"{clip}.tsv"))
    assert {clip: sorted(rows) for clip, rows in found.items()} == {
        clip: sorted(rows) for clip, rows in events.items() if rows
    }
    assert sum(map(len, found.values())) > 5


def test_the_result_of_an_experiment_decides_how_it_predicts_unless_options_do(tmp_path, monkeypatch, capsys):
    experiment = save_tiny(tmp_path / "model")
    write_sounds(tmp_path / "x.wav", 6)
    results = experiment / "validation"
    results.mkdir()
    post = {"steps": ["median"], "median_seconds": dict.fromkeys(LABELS, 1.5)}
    thresholds = dict(zip(LABELS, [0.3, 0.4, 0.6, 0.99], strict=True))
    (results / "result.json").write_text(json.dumps({"post_processing": post, "threshold": thresholds}))
    asked, origins = [], []
    for options in (
        [],
        ["--post-processing", "median", "--median", "1.5", "--threshold", "Dog=.3,Speech=.4,<script>=.6,a&b=.99"],
        ["--threshold", "0.05"],
    ):
        assert call(monkeypatch, "--model", experiment, *options, tmp_path / "x.wav") == 0
        printed = capsys.readouterr()
        asked.append(printed.out)
        origins.append(printed.err.partition(f"post-processing of {results / 'result.json'}")[2].partition("\n")[0])
    assert asked[0] == asked[1] != asked[2]
    assert origins == ["", ", changed by --post-processing, --median, --threshold", ", changed by --threshold"]


@pytest.mark.thorough
def test_the_log_states_windows_chosen_for_the_model_only_where_they_are_used(tmp_path, monkeypatch, capsys):
    experiment, wav = save_tiny(tmp_path / "model"), write_sounds(tmp_path / "x.wav", 6)
    window_settings.write(experiment / "windows.json", WindowSettings(overlap=0.5, tuned_on={"recordings": 1}), {})
    (tmp_path / "pcm").write_bytes(bytes(64000))
    stated = []
    for options in ([wav], ["--overlap", "0", wav], ["--no-centre-events", wav], ["--live", "--live-rate", 16000]):
        assert call(monkeypatch, "--model", experiment, *options, stdin=tmp_path / "pcm") == 0
        stated.append("chosen for this model: windows overlap by 0.5 s" in capsys.readouterr().err)
    assert stated == [True, False, False, False]


@pytest.fixture(scope="module")
def of_other_settings(tmp_path_factory):
    """An experiment whose result.json has no option's default, and a recording."""
    folder = tmp_path_factory.mktemp("settings")
    experiment = save_tiny(folder / "model")
    (experiment / "validation").mkdir()
    post = {
        "steps": ["median", "maximum"],
        "median_seconds": dict.fromkeys(LABELS, 1.5),
        "maximum_seconds": dict.fromkeys(LABELS, 0.5),
    }
    result = {"post_processing": post, "threshold": dict.fromkeys(LABELS, 0.3)}
    (experiment / "validation" / "result.json").write_text(json.dumps(result))
    return experiment, write_sounds(folder / "x.wav", 6)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("option", "default", "the_same"),
    [("threshold", "0.5", "0.50"), ("median", "paper", "0.32"), ("maximum", "0", "*=0")],
)
def test_an_option_given_with_its_default_value_wins_over_the_model(
    of_other_settings, monkeypatch, capsys, option, default, the_same
):
    experiment, recording = of_other_settings
    outputs = []
    for options in ([f"--{option}", default], [f"--{option}", the_same], []):
        assert call(monkeypatch, "--model", experiment, *options, recording) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.thorough
def test_the_options_of_the_advice_give_the_events_that_it_names(tmp_path, experiment, monkeypatch, capsys):
    write_sounds(tmp_path / "x.wav", 14)
    page = tmp_path / "page.html"
    args = ("--model", experiment, "--html", page)
    assert call(monkeypatch, *args, "--threshold", "1", tmp_path / "x.wav") == 0
    out, err = capsys.readouterr()
    line = next(line for line in err.splitlines() if "no events; the highest posteriors were " in line)
    assert out.count("\n") == 1 and " after weak masking and median filter, and " in line
    assert advice_data(page)["advice"] in line and advice_data(page)["found"][str(tmp_path / "x.wav")] in line
    options = re.findall(r"(--threshold [0-9.]+[a-z- ]*) \(([^)]+)\)", line)
    assert options
    for option, named in options:
        assert call(monkeypatch, *args, *option.split(), tmp_path / "x.wav") == 0
        out, err = capsys.readouterr()
        found = Counter(row.split("\t")[3] for row in out.splitlines()[1:])
        assert ", ".join(f"{label} {count}" for label, count in found.most_common()) == named and "no events" not in err
        assert set(found) <= set(LABELS)
        assert advice_data(page) == {"advice": "", "found": {}, "unread": []}


def advice_data(page):
    """Return what a page has to say of recordings without events, and of those that could not be read."""
    return json.loads(page.read_text(encoding="utf-8").split('id="advice-data">')[1].split("</script>")[0])


@pytest.mark.thorough
def test_bad_recordings_are_named_at_the_end_and_the_others_done(tmp_path, experiment, monkeypatch, capsys):
    write_sounds(tmp_path / "a.wav", 2)
    (tmp_path / "b.wav").write_text("text")
    write_sounds(tmp_path / "c.flac", 12)
    soundfile.write(tmp_path / "d.wav", np.zeros(100), 16000)
    soundfile.write(tmp_path / "e.wav", np.zeros(0), 16000)
    whole = write_sounds(tmp_path / "f.wav", 12).read_bytes()
    (tmp_path / "f.wav").write_bytes(whole[: len(whole) // 2])
    page = tmp_path / "page.html"
    args = ("--model", experiment, "--format", "jsonl", "--html", page, tmp_path, tmp_path / "missing.wav")
    assert call(monkeypatch, *args) == 1
    out, err = capsys.readouterr()
    assert {json.loads(line)["filename"].rsplit("/", 1)[1] for line in out.splitlines()} == {"a.wav", "c.flac"}
    problems = [line for line in err.splitlines() if line.startswith(str(tmp_path))]
    assert sorted(line.split(":")[0].rsplit("/", 1)[1] for line in problems) == [
        "b.wav", "d.wav", "e.wav", "f.wav", "missing.wav",
    ]  # fmt: skip
    assert "2 of" in err and "5 could not be read" in err and "Traceback" not in err
    assert sorted(advice_data(page)["unread"]) == sorted(problems), "the page said to have all of them"


def test_formats_whose_outputs_would_have_one_name_are_refused(tmp_path, experiment, monkeypatch, capsys):
    for name in ("a", "a.events"):
        write_sounds(tmp_path / f"{name}.wav", 2)
    args = ("--model", experiment, "--out-dir", tmp_path / "out", tmp_path)
    assert call(monkeypatch, *args, "--format", "tsv,events-tsv") == 2
    assert "two outputs are named a.events.tsv" in capsys.readouterr().err
    assert call(monkeypatch, *args, "--format", "tsv,events-csv") == 0
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_recording_whose_output_would_have_too_long_a_name_is_refused_before_any_work(
    tmp_path, experiment, monkeypatch, capsys
):
    for name in ("a", "b" * 248):
        write_sounds(tmp_path / f"{name}.wav", 2)
    args = ("--model", experiment, "--out-dir", tmp_path / "out", tmp_path)
    assert call(monkeypatch, *args, "--format", "events-tsv") == 2
    assert "bb.events.tsv: an output's name of more than 255 bytes" in capsys.readouterr().err
    assert call(monkeypatch, *args, "--format", "tsv") == 0


def test_labels_beside_their_recordings_are_not_replaced(tmp_path, experiment, monkeypatch, capsys):
    for name in "abc":
        write_sounds(tmp_path / f"{name}.wav", 2)
    for name in "ac":
        (tmp_path / f"{name}.txt").write_text("0.1\t0.5\tCat\n")
    args = ("--model", experiment, "--out-dir", tmp_path)
    assert call(monkeypatch, *args, "--format", "tsv,audacity", tmp_path) == 2
    assert "a.txt: a label file that is beside its recording already, as 1 more" in capsys.readouterr().err
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "c.txt").read_text() == "0.1\t0.5\tCat\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "a.wav", "b.wav", "c.txt", "c.wav"]
    assert call(monkeypatch, *args, "--format", "audacity", tmp_path / "b.wav") == 0
    for _ in range(2):  # a table of detections is replaced
        assert call(monkeypatch, *args, "--format", "tsv", tmp_path) == 0


def test_a_fault_of_the_disk_is_one_of_its_recording(tmp_path, experiment, monkeypatch, capsys):
    def faulty(name, rate):
        if name.endswith("b.wav"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return read_recording(name, rate)

    monkeypatch.setattr(session, "read_recording", faulty)
    for name in "abc":
        write_sounds(tmp_path / f"{name}.wav", 2)
    assert call(monkeypatch, "--model", experiment, "--format", "jsonl", tmp_path) == 1
    out, err = capsys.readouterr()
    assert {json.loads(line)["filename"].rsplit("/", 1)[1] for line in out.splitlines()} == {"a.wav", "c.wav"}
    assert err.splitlines()[-1] == f"{tmp_path / 'b.wav'}: input/output error (check the disk)"


@pytest.mark.thorough
def test_nothing_is_left_of_a_recording_that_breaks_off(tmp_path, experiment, monkeypatch):
    audio = sounds(40)
    audio[-100] = np.nan
    soundfile.write(tmp_path / "x.wav", audio, 16000, subtype="FLOAT")
    out = tmp_path / "out"
    args = ("--model", experiment, "--batch-size", 1, "--format", "tsv,csv", "--out-dir", out, tmp_path / "x.wav")
    assert call(monkeypatch, *args) == 1
    assert list(out.iterdir()) == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name,kind,channels,rate",
    [
        ("x.wav", "PCM_U8", 1, 8000),
        ("x.wav", "PCM_16", 1, 11025),
        ("x.wav", "PCM_24", 6, 48000),
        ("x.wav", "PCM_32", 2, 96000),
        ("x.wav", "DOUBLE", 1, 22050),
        ("x.wav", "FLOAT", 2, 192000),
        ("x.flac", "PCM_16", 2, 44100),
        ("x.ogg", "VORBIS", 1, 32000),
        ("x.mp3", "MPEG_LAYER_III", 2, 44100),
    ],
)
def test_formats_give_the_posteriors_of_the_plain_file(
    tmp_path, experiment, monkeypatch, capsys, name, kind, channels, rate
):
    write_sounds(tmp_path / "plain.wav", 4, rate, subtype="FLOAT")
    write_sounds(tmp_path / name, 4, rate, channels=channels, subtype=kind)
    found = []
    for path in (tmp_path / "plain.wav", tmp_path / name):
        assert call(monkeypatch, "--model", experiment, "--format", "csv", path) == 0
        rows = capsys.readouterr().out.splitlines()[1:]
        found.append(np.array([line.split(",")[3:] for line in rows], float)[:400])  # 4 s; later posteriors are 0
    assert np.abs(found[0] - found[1]).mean() < (0.1 if kind in ("PCM_U8", "VORBIS", "MPEG_LAYER_III") else 1e-3)


@pytest.mark.parametrize(
    "audio", [np.zeros(48000), np.full(48000, 0.5), np.sign(np.sin(np.arange(48000) / 9)), np.zeros(800)]
)
def test_silence_direct_current_and_clipping_are_predicted_on(tmp_path, experiment, monkeypatch, capsys, audio):
    soundfile.write(tmp_path / "x.wav", audio, 16000)
    assert call(monkeypatch, "--model", experiment, "--format", "csv", tmp_path / "x.wav") == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 1001 and "nan" not in "".join(rows)


@pytest.mark.thorough
def test_live_gives_the_events_as_they_end(tmp_path, experiment, monkeypatch, capsys):
    audio = sounds(13)
    live = ("--model", experiment, "--live", "--format", "jsonl")

    def events(data, *options):
        (tmp_path / "pcm").write_bytes(data)
        code = call(monkeypatch, *live, *options, stdin=tmp_path / "pcm")
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    pcm = (audio * 32767).astype("<i2").tobytes()
    code, rows, err = events(pcm)
    assert code == 0 and "latency: an event is printed at most" in err
    assert len(rows) > 3 and all(0 <= row["onset"] < row["offset"] <= 13.01 for row in rows)
    assert [row["offset"] for row in rows] == pytest.approx(sorted(row["offset"] for row in rows), abs=1.5)
    code, again, err = events(pcm + b"\x00")
    assert code == 1 and "ended inside a sample" in err and again == rows
    stereo = np.repeat(audio[:, None], 2, 1).astype("<f4").tobytes()
    code, again, _ = events(stereo, "--live-kind", "f32", "--live-channels", 2)
    assert code == 0 and abs(len(again) - len(rows)) <= 2
    code, again, err = events(b"")
    assert code == 1 and not again and "no samples" in err


@pytest.mark.thorough
def test_the_events_of_an_interrupted_stream_stay(tmp_path, experiment, monkeypatch):
    """Ctrl-C is how most streams end."""
    (tmp_path / "pcm").write_bytes((sounds(13) * 32767).astype("<i2").tobytes())
    live = ("--model", experiment, "--live", "--format", "jsonl", "--out", tmp_path / "new" / "events.jsonl")
    assert call(monkeypatch, *live, stdin=tmp_path / "pcm") == 0
    rows = (tmp_path / "new" / "events.jsonl").read_text().splitlines()

    def until_interrupted(*args):
        yield from read_pcm(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "read_pcm", until_interrupted)
    assert call(monkeypatch, *live, stdin=tmp_path / "pcm") == 130
    found = (tmp_path / "new" / "events.jsonl").read_text().splitlines()
    assert 3 < len(found) < len(rows) and found == rows[: len(found)]


@pytest.mark.thorough
@pytest.mark.parametrize("seconds", [3.3371, 12.403])
def test_no_event_of_a_stream_ends_after_it(tmp_path, experiment, monkeypatch, capsys, seconds):
    """A filter of a second carries events half a second on, and the last frame begins before the end."""
    pcm = (sounds(seconds) * 32767).astype("<i2")
    (tmp_path / "pcm").write_bytes(pcm.tobytes())
    for filters in (["none"], ["maximum", "--maximum", "1"]):
        options = ["--live", "--format", "jsonl", "--threshold", "0.3", "--post-processing", *filters]
        assert call(monkeypatch, "--model", experiment, *options, stdin=tmp_path / "pcm") == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert max(row["offset"] for row in rows) == len(pcm) / 16000
        assert all(row["onset"] < row["offset"] for row in rows)


@pytest.mark.parametrize("given, taken", [("3", 3), ("0", 7), ("4,2", 7), ("", 7), ("99999999999", 7)])
def test_an_impossible_number_of_threads_in_the_environment_is_ignored(monkeypatch, given, taken):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(predict, "free_processors", lambda: 7)
    assert predict._idle_threads() == taken


@pytest.mark.parametrize(
    "options,message",
    [
        ([], "either --model or --onnx"),
        (["--model", "nowhere", "x.wav"], "no such model"),
        (["--model", "MODEL"], "no recordings given"),
        (["--model", "MODEL", "--out", "x", "--html", "./x", "WAV"], ": x: two outputs would be written to"),
        (["--model", "MODEL", "--out", "x", "--html", "y", "--watch-state", "./y", "WAV"], "y: two outputs would be"),
        (["--model", "MODEL", "--format", "xml", "WAV"], "unknown"),
        (["--model", "MODEL", "--format", "tsv,vtt", "WAV"], "--out-dir"),
        (["--model", "MODEL", "--format", "vtt", "WAV", "WAV2"], "--out-dir"),
        (["--model", "MODEL", "--out", "x.tsv", "--out-dir", "out", "WAV"], "either --out or --out-dir"),
        (["--model", "MODEL", "--overlap", "9.5", "WAV"], "overlap by 0 to 9 s"),
        (["--model", "MODEL", "--threshold", "Cow=.5", "WAV"], "unknown label"),
        (["--model", "MODEL", "--live", "WAV"], "--live reads"),
        (["--model", "MODEL", "nowhere.wav"], "no such file"),
        (["--model", "MODEL", "--out", "WAV", "WAV2"], "a recording, which the output would replace"),
        (["--model", "MODEL", "--html", "WAV", "WAV2"], "a recording, which the output would replace"),
        (["--model", "MODEL", "--out", "WEIGHTS", "WAV"], "final.pt: a model, which the output would replace"),
    ],
)
def test_bad_usage_is_named_in_the_last_line(tmp_path, experiment, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    names = {
        "MODEL": experiment,
        "WAV": tmp_path / "x.wav",
        "WAV2": tmp_path / "y.wav",
        "WEIGHTS": tmp_path / "final.pt",
    }
    shutil.copy(experiment / "final.pt", tmp_path)
    write_sounds(tmp_path / "x.wav", 1)
    write_sounds(tmp_path / "y.wav", 1)
    assert call(monkeypatch, *(names.get(option, option) for option in options)) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("predict: ") and message in last


@pytest.mark.thorough
def test_printed_events_read_back_with_the_labels_of_the_model(tmp_path, experiment, monkeypatch, capsys):
    write_sounds(tmp_path / "x.wav", 31)
    assert call(monkeypatch, "--model", experiment, tmp_path / "x.wav") == 0
    (tmp_path / "x.tsv").write_text(capsys.readouterr().out)
    events = read_events_tsv(tmp_path / "x.tsv")["x"]
    assert len(events) > 5 and all(isinstance(event, Event) and event.label in LABELS for event in events)


def test_recordings_of_one_name_and_of_odd_ones_stay_apart_in_every_format(tmp_path, monkeypatch, experiment):
    folder = tmp_path / "audio"
    names = ["site1/rec.wav", "site2/rec.wav", "a\tb.wav", "k\udcfcche.wav", "e\u0301.wav"]
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_sounds(tmp_path / "x.wav", 2, seed=seed).rename(folder / name)
    out, args = tmp_path / "out", ["--model", experiment, "--device", "cpu", "--threshold", "0.01"]
    html = ["--html", tmp_path / "page.html"]
    assert call(monkeypatch, *args, "--format", "tsv,jsonl,csv,vtt", "--out-dir", out, *html, folder) == 0
    stems = {"site1_rec.wav", "site2_rec.wav", "a\\tb", "k\\udcfcche", "\xe9"}
    assert {path.name for path in out.glob("*.tsv")} == {f"{stem}.tsv" for stem in stems}
    assert len(list(out.iterdir())) == 4 * len(names)

    assert call(monkeypatch, *args, "--out", tmp_path / "all.tsv", folder) == 0
    rows = [line.split("\t") for line in (tmp_path / "all.tsv").read_text(encoding="utf-8").splitlines()]
    assert {len(row) for row in rows} == {4}
    shown = {"site1/rec.wav", "site2/rec.wav", "a\\tb.wav", "k\\udcfcche.wav", "\xe9.wav"}
    assert {row[0] for row in rows[1:]} == shown
    assert call(monkeypatch, *args, "--format", "jsonl", "--out", tmp_path / "all.jsonl", folder) == 0
    lines = (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["filename"] for line in lines} == {f"{folder}/{name}" for name in shown}
    infos = re.findall(r'id="info-\d+">(.*?)</script>', (tmp_path / "page.html").read_text(encoding="utf-8"))
    assert {json.loads(info)["name"] for info in infos} == {f"{folder}/{name}" for name in shown}

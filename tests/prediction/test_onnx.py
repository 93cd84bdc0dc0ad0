import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tiny_model
import torch
from attacks import attacked
from paths import ROOT
from resolved_configs import CONF, parse
from tiny_model import LABELS, sounds, write_sounds

from sed import __version__
from sed.bin import export_onnx, predict
from sed.compatibility import FORMAT
from sed.errors import UserError
from sed.evaluation.postprocessing.options import options_of
from sed.features.logmel import FrontEnd
from sed.prediction import onnx as onnx_module
from sed.prediction.model import open_model
from sed.prediction.onnx import KEY
from sed.prediction.predictor import TorchPredictor, predict_windows
from sed.prediction.windows import Join, WindowPlan

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def call(monkeypatch, module, *args):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, args)])
    with pytest.raises(SystemExit) as done:
        module.main()
    return done.value.code


@pytest.fixture(scope="module")
def exported(tmp_path_factory, experiment):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, export_onnx, "--threshold", "0.4", experiment, path) == 0
    return path


@pytest.mark.thorough
def test_any_batch_and_length_equal_torch(exported, experiment):
    from sed.prediction.onnx import OnnxPredictor

    model = open_model(experiment).model
    ours = TorchPredictor(detector=model.detector, front_end=model.front_end, labels=model.labels)
    theirs = OnnxPredictor(exported, threads=1)
    plan = WindowPlan.overlapping(samples=160000, frame_seconds=0.01, rate=16000, frames=1000)
    for seconds in (0.05, 1, 10, 10.01, 37):
        batch = np.stack([sounds(seconds, seed=seed) for seed in range(2)])
        frame, clip, _ = theirs.whole(batch)
        for row, audio in enumerate(batch):
            join, clips, parts = Join(plan, len(LABELS)), [], []
            for window in plan.cut([audio]):
                output = ours([window.samples])
                parts.append(join.add(window, output.frame[0], output.clip[0])[:, : len(LABELS)])
                clips.append(output.clip[0])
            count = round(seconds * 100)
            assert len(frame[row]) == len(np.concatenate(parts)) and (frame[row, count:] == 0).all()
            # pure tones beside near silence, and a random detector whose logits are stretched a hundredfold
            np.testing.assert_allclose(frame[row, :count], np.concatenate(parts)[:count], atol=5e-4)
            np.testing.assert_allclose(clip[row], np.max(clips, axis=0), atol=5e-4)
            # window by window, as `predict --onnx` runs it
            window = next(plan.cut([audio])).samples
            one, other = theirs([window]), ours([window])
            np.testing.assert_allclose(one.logmel[0](), other.logmel[0](), atol=0.02)


@pytest.mark.thorough
def test_the_program_in_the_manual_gets_the_posteriors_that_predict_writes(exported, tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs/use-a-model.md").read_text(encoding="utf-8")
    program = page.split("### An ONNX file in a program of your own\n\n```python\n")[1].split("```")[0]
    options = next(line for line in page.splitlines() if "`predict --format csv" in line).split("`predict ")[1]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kitchen.onnx").symlink_to(exported)
    soundfile.write(tmp_path / "clip.wav", sounds(23), 16000, subtype="FLOAT")
    variables: dict = {}
    exec(program, variables)
    assert capsys.readouterr().out.count(" at most ") == len(LABELS)
    command = ["--onnx", exported, *options.rstrip("`").split(), "clip.wav", "--out", "p.csv"]
    assert call(monkeypatch, predict, *command) == 0
    written = np.loadtxt(tmp_path / "p.csv", delimiter=",", skiprows=1, usecols=range(3, 3 + len(LABELS)))
    np.testing.assert_allclose(variables["frame"][0][: len(written)], written, atol=5e-4)
    assert len(written) >= 2300


@pytest.mark.thorough
@pytest.mark.parametrize("padding, wave_norm", [("raw", "peak"), ("silence", "centred_peak"), ("normalised", "none")])
def test_short_clips_are_padded_alike_everywhere(padding, wave_norm, tmp_path):
    """Padding equals an independent expression's: by `predict` in torch and in ONNX Runtime, and by stage 5."""
    from sed.evaluation.inference import posteriors
    from sed.prediction.onnx import OnnxPredictor

    options = f" --input-padding {padding} --wave-norm {wave_norm} --clip-seconds 2 --input-frames 224"
    experiment = tiny_model.save_tiny(tmp_path / "exp", options=options)
    path = tmp_path / "model.onnx"
    assert tiny_model.call(export_onnx, experiment, path) == 0
    model, audio = open_model(experiment).model, 0.1 * sounds(1.3)
    logmel = model.front_end(torch.from_numpy(audio)[None]).half()
    # the AST's mean -4.2677393 and twice its deviation, 9.1379948; the floor of log-mel, ln(2^-23) = -15.9423847
    fill = {"raw": (0 + 4.2677393) / 9.1379948, "silence": (-15.9423847 + 4.2677393) / 9.1379948, "normalised": 0.0}
    x = torch.full((1, 224, 128), fill[padding])
    x[:, : logmel.shape[1]] = (logmel.float() + 4.2677393) / 9.1379948
    with torch.no_grad():
        expected = model.detector(x)
    wanted = expected.logits[0].sigmoid().numpy()[:130]
    ours = TorchPredictor(detector=model.detector, front_end=model.front_end, labels=model.labels)([audio])
    np.testing.assert_allclose(ours.frame[0, :130], wanted, atol=5e-4)
    onnx = OnnxPredictor(path, threads=1)
    theirs = onnx([audio])
    np.testing.assert_allclose(theirs.frame[0, :130], wanted, atol=5e-4)
    stored = torch.cat([logmel, torch.full((1, 60, 128), 9.0)], 1).half()  # what lies beyond the clip is not read
    frame, clip = posteriors(model.detector, model.front_end, stored, torch.tensor([logmel.shape[1]]))
    np.testing.assert_allclose(frame[0, :130], wanted, atol=5e-4)
    np.testing.assert_allclose(clip, expected.clip.numpy(), atol=5e-4)
    long = np.concatenate([audio, 20 * sounds(2, seed=1)])  # each window of it has a level of its own
    plan = WindowPlan.overlapping(samples=32000, frame_seconds=0.01, rate=16000, frames=200)
    join, rows = Join(plan, len(LABELS)), []
    torch_predictor = TorchPredictor(detector=model.detector, front_end=model.front_end, labels=model.labels)
    for window in plan.cut([long]):
        output = torch_predictor([window.samples])
        rows.append(join.add(window, output.frame[0], output.clip[0])[:, : len(LABELS)])
    np.testing.assert_allclose(onnx.whole(long[None])[0][0, :330], np.concatenate(rows)[:330], atol=5e-4)


def test_weights_that_exceed_one_file_are_refused_at_once(tmp_path, experiment, monkeypatch, capsys):
    monkeypatch.setattr(onnx_module, "MOST", 1000)
    assert call(monkeypatch, export_onnx, experiment, tmp_path / "model.onnx") == 2
    assert "GB, an ONNX file at most 2 GB (use the model itself, by sed.load or predict)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_not_overwritten(experiment, monkeypatch, capsys):
    checkpoint = experiment / "final.pt"
    before = checkpoint.read_bytes()
    assert call(monkeypatch, export_onnx, checkpoint, checkpoint) == 2
    assert f"{checkpoint}: the file to write is named MODEL.onnx" in capsys.readouterr().err
    assert checkpoint.read_bytes() == before


ENCODERS = {
    "atst_frame": "--encoder atst_frame --atst-dim 24 --atst-depth 1 --atst-blocks 1 --atst-heads 2",
    "beats": "--encoder beats --beats-dim 32 --beats-patch-dim 16 --beats-depth 1 --beats-blocks 1 --beats-heads 2",
    "dasheng": "--encoder dasheng --dasheng-dim 24 --dasheng-depth 1 --dasheng-blocks 1 --dasheng-heads 2",
    "eat": "--encoder eat --eat-dim 24 --eat-depth 1 --eat-blocks 1 --eat-heads 2",
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", ENCODERS)
def test_every_transformer_is_exported_for_any_number_of_windows(name, tmp_path):
    from sed.prediction.onnx import OnnxPredictor

    experiment = tiny_model.save_tiny(
        tmp_path / "exp", options=f" {ENCODERS[name]} --clip-seconds 2 --input-frames 208"
    )
    path = tmp_path / "model.onnx"
    assert tiny_model.call(export_onnx, experiment, path) == 0
    model = open_model(experiment).model
    ours = TorchPredictor(detector=model.detector, front_end=model.front_end, labels=model.labels)
    theirs = OnnxPredictor(path, threads=1)
    for count in (1, 3):
        clips = [sounds(2, seed=seed) for seed in range(count)]
        np.testing.assert_allclose(theirs(clips).frame, ours(clips).frame, atol=2e-3)


FRONT_ENDS = sorted(path.name for path in CONF.glob("logmel*.yaml"))


@pytest.mark.thorough
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_every_front_end_is_exported(name, tmp_path):
    """Try recordings whose mirrored, faded or padded ends lie within a window, and one as long as a window."""
    from sed.prediction.onnx import OnnxPredictor

    settings = {**parse(CONF / name), "clip_seconds": 1.0}
    if settings["normaliser"] == "bins":
        bins = settings["mel_bins"]
        settings["norm_bins"] = ",".join(["-9.5"] * bins + ["4"] * bins)
    frames = FrontEnd.from_config(settings).clip_frames
    options = " ".join(f"--{key}={value}" for key, value in settings.items() if value != "")
    sizes = f" --input-frames {frames} --cnn-width 0.0625 --cnn-pools 2x2,2x2,1x2,1x2,1x2,1x2,1x1 "
    experiment = tiny_model.save_tiny(tmp_path / "exp", "crnn", options=sizes + options)
    path = tmp_path / "model.onnx"
    assert tiny_model.call(export_onnx, experiment, path) == 0
    model = open_model(experiment).model
    ours = TorchPredictor(detector=model.detector, front_end=model.front_end, labels=model.labels)
    theirs = OnnxPredictor(path, threads=1)
    for samples in (theirs.min_samples, 4321, 11111, 16000):
        audio = 0.3 * sounds(1)[:samples] + 0.01
        one, other = predict_windows(theirs, [audio]), predict_windows(ours, [audio])
        # most differ by less than 1e-4; of the shortest clip, minmax_bins scales a few nearly equal frames to 0..1
        np.testing.assert_allclose(one.frame, other.frame, atol=2e-3)
        np.testing.assert_allclose(one.clip, other.clip, atol=1e-3)
        assert one.logmel[0]().shape == other.logmel[0]().shape
        np.testing.assert_allclose(one.logmel[0](), other.logmel[0](), atol=0.07)  # a step of float16


@pytest.mark.thorough
def test_predict_without_torch_gives_the_same_events(exported, experiment, tmp_path, monkeypatch, capsys):
    write_sounds(tmp_path / "x.wav", 23, 44100, channels=2)
    assert call(monkeypatch, predict, "--model", experiment, "--threshold", "0.4", tmp_path / "x.wav") == 0
    events = capsys.readouterr().out
    code = f"""
import sys
sys.argv = ["predict", "--onnx", {str(exported)!r}, "--html", {str(tmp_path / "x.html")!r}, {str(tmp_path / "x.wav")!r}]
from sed.bin import predict
try:
    predict.main()
except SystemExit as done:
    assert done.code == 0
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == events and events.count("\n") > 5
    assert (tmp_path / "x.html").stat().st_size > 100_000


def test_options_that_an_exported_model_lacks_are_named(exported, log_lines):
    from sed.prediction.session import open_predictor

    def opened(**options):
        log_lines.clear()
        common = {"which": "teacher", "device": "auto", "precision": "float32"}
        open_predictor(model=None, onnx=str(exported), threads=1, options=options_of(), **{**common, **options})
        return list(log_lines)

    assert opened() == opened(device="cpu") == []
    for name, value in (("which", "student"), ("device", "cuda"), ("precision", "int8")):
        (line,) = opened(**{name: value})
        assert line.startswith(f"--{name} {value} is not used: ")


def test_a_file_of_a_newer_format_names_its_version(exported, tmp_path, capsys):
    import onnx

    proto = onnx.load(str(exported))
    facts = json.loads(proto.metadata_props[0].value)
    assert (facts["format"], facts["version"]) == (FORMAT, __version__)
    onnx.helper.set_model_props(proto, {KEY: json.dumps({"format": FORMAT + 1, "version": "9.1.0"})})
    onnx.save(proto, str(tmp_path / "newer.onnx"))
    (tmp_path / "x.wav").touch()
    assert tiny_model.call(predict, "--threads", 1, "--onnx", tmp_path / "newer.onnx", tmp_path / "x.wav") == 2
    said = capsys.readouterr().err
    assert "newer.onnx" in said and "version 9.1.0" in said and said.count("\n") == 1


def test_other_files_are_one_line(exported, tmp_path):
    from sed.prediction.onnx import OnnxPredictor

    (tmp_path / "text.onnx").write_text("text")
    (tmp_path / "half.onnx").write_bytes(exported.read_bytes()[:5000])
    for name in ("text.onnx", "half.onnx", "missing.onnx"):
        with pytest.raises(UserError, match=name) as error:
            OnnxPredictor(tmp_path / name, threads=1)
        assert "\n" not in str(error.value)


def test_fewer_than_min_samples_are_refused(exported):
    from sed.prediction.onnx import OnnxPredictor

    predictor = OnnxPredictor(exported, threads=1)
    predictor.whole(np.zeros((1, predictor.min_samples), np.float32))
    with pytest.raises(UserError, match="too few for the model"):
        predictor.whole(np.zeros((1, predictor.min_samples - 1), np.float32))


def test_the_file_says_nothing_of_the_machine(exported, experiment):
    data = exported.read_bytes()
    for word in (str(ROOT), str(experiment), str(exported.parent)):
        assert word.encode() not in data


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["front_end", "post_processing"])
def test_missing_facts_are_refused(exported, tmp_path, name):
    with pytest.raises(UserError, match=rf"model\.onnx: no {name}"):
        opened_with(exported, tmp_path, lambda facts: {key: facts[key] for key in facts if key != name})


@pytest.mark.thorough
@pytest.mark.parametrize(
    "change,message",
    [
        ({"frame_seconds": 0}, "frame_seconds is 0"),
        ({"frame_seconds": -0.01}, "frame_seconds is -0.01"),
        ({"frame_seconds": float("nan")}, "frame_seconds is nan"),
        ({"frame_seconds": 10**400}, "frame_seconds is 1000"),
        ({"frames": None}, "frames is None"),
        ({"front_end": None}, "front_end is null"),
        ({"front_end": {"front_end": ["kaldi"]}}, "front_end makes no sense"),
        ({"front_end": {"frame_length": 1e308}}, r"frame_length: 1e\+308 is out of range"),
        ({"bin_hertz": "low"}, "bin_hertz is"),
        ({"bin_hertz": [100, "high"]}, r"bin_hertz\[1\] is"),
        ({"labels": ["Dog", "Dog", "a", "b"]}, "'Dog' comes twice"),
        ({"labels": ["Dog", "", "a", "b"]}, "is not a name"),
        ({"labels": ["Dog", "a\0b", "a", "b"]}, "is not a name"),
    ],
)
def test_facts_without_sense_are_refused(exported, tmp_path, change, message):
    with pytest.raises(UserError, match=rf"model\.onnx: .*{message}"):
        opened_with(exported, tmp_path, lambda facts: facts | change)


def opened_with(exported, folder, change):
    """Open the model with changed facts."""
    import onnx

    from sed.prediction.onnx import OnnxPredictor

    proto = onnx.load(str(exported))
    facts = change(json.loads(proto.metadata_props[0].value))
    onnx.helper.set_model_props(proto, {KEY: json.dumps(facts)})
    onnx.save(proto, str(folder / "model.onnx"))
    return OnnxPredictor(folder / "model.onnx", threads=1)


def with_tensor_of(source, out, kind, count):
    """Write the model with one more node, which makes a tensor of `count` numbers that no optimiser can fold."""
    from onnx import helper, load, numpy_helper, save

    proto = load(str(source))
    graph = proto.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["own_frame" if name == "frame" else name for name in names]
    numbers = {"none": np.int64(0), "size": np.array([count]), "one": np.float32([1]), "start": np.int64(0),
               "step": np.int64(1), "first": np.array([0]), "nothing": np.float32(0)}  # fmt: skip
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), f"x_{key}") for key, value in numbers.items())
    makers = {
        "Expand": [helper.make_node("Expand", ["x_one", "x_dynamic"], ["x_huge"])],
        "ConstantOfShape": [helper.make_node("ConstantOfShape", ["x_dynamic"], ["x_huge"])],
        "Range": [
            helper.make_node("Squeeze", ["x_dynamic", "x_first"], ["x_end"]),
            helper.make_node("Range", ["x_start", "x_end", "x_step"], ["x_whole"]),
            helper.make_node("Cast", ["x_whole"], ["x_huge"], to=1),
        ],
    }
    graph.node.extend(
        [
            helper.make_node("Size", ["waveforms"], ["x_samples"]),
            helper.make_node("Mul", ["x_samples", "x_none"], ["x_zero"]),
            helper.make_node("Add", ["x_size", "x_zero"], ["x_dynamic"]),
            *makers[kind],
            helper.make_node("ReduceMin", ["x_huge"], ["x_least"], keepdims=0),
            helper.make_node("Mul", ["x_least", "x_nothing"], ["x_naught"]),
            helper.make_node("Add", ["own_frame", "x_naught"], ["frame"]),
        ]
    )
    save(proto, str(out))
    return out


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "count"), [("Expand", 6e8), ("ConstantOfShape", 6e8), ("Range", 2.6e8)])
def test_a_graph_that_asks_for_memory_without_end_is_refused(exported, tmp_path, kind, count):
    """Run in a child, whose peak memory is read.

    Its own limit (`attacks._limited`) would let tensors of these counts pass: they take over 2 GiB, but less than 4.
    """
    write_sounds(tmp_path / "a.wav", 1)
    honest = with_tensor_of(exported, tmp_path / "small.onnx", kind, 1000)
    huge = with_tensor_of(exported, tmp_path / "huge.onnx", kind, int(count))
    for path, code in ((honest, 0), (huge, 2)):
        ended = attacked("predict", ["--onnx", str(path), "--threads", "1", "a.wav"], place=tmp_path, scratch=tmp_path)
        assert ended.code == code and not ended.fault(), ended.text
        assert ended.memory < 2 << 30
        assert code == 0 or "it asks for more memory than such a model needs" in ended.text


@pytest.mark.thorough
def test_a_name_that_is_no_text_is_written_and_read(experiment, tmp_path):
    path = tmp_path / os.fsdecode(b"m\xff.onnx")
    assert tiny_model.call(export_onnx, experiment, path) == 0
    assert (
        tiny_model.call(predict, "--onnx", path, "--out", tmp_path / "e.tsv", write_sounds(tmp_path / "a.wav", 1)) == 0
    )

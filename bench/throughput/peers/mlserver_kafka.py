"""MLServer with its Kafka server; it writes its settings into a directory of its own and then becomes MLServer."""

import json
import os
import sys
import tempfile
from pathlib import Path

from job import BOOTSTRAP, INPUT, OUTPUT


def main() -> None:
    """Never returns."""
    directory = Path(tempfile.mkdtemp(prefix="bench-mlserver-"))
    settings = {
        "kafka_enabled": True, "kafka_servers": BOOTSTRAP, "kafka_topic_input": INPUT, "kafka_topic_output": OUTPUT,
        "http_port": 0, "grpc_port": 0, "metrics_port": 0, "parallel_workers": 0, "debug": False,
    }  # fmt: skip
    (directory / "settings.json").write_text(json.dumps(settings))
    model = {"name": "delay", "implementation": "mlserver_model.Onnx"}
    (directory / "model-settings.json").write_text(json.dumps(model))
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    start = "from mlserver.cli import main; main()"
    os.execvp(sys.executable, [sys.executable, "-c", start, "start", str(directory)])  # noqa: S606


if __name__ == "__main__":
    main()

"""A model for MLServer's Kafka server: V2 requests of one row, as producers would send them."""

from job import session
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Onnx(MLModel):
    """Scores what stands in the request."""

    async def load(self) -> bool:
        """Open the model."""
        self._session = session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One request."""
        arrays = {item.name: NumpyCodec.decode_input(item) for item in payload.inputs}
        [found] = self._session.run(None, arrays)
        output = NumpyCodec.encode_output("score", found[:, 1])
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])

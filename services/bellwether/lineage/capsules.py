"""A capsule's decision made again on this machine, with nothing but what is in the capsule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import msgspec

from bellwether.messages.capsule import MANIFEST, ONNX, Capsule
from bellwether.messages.market_data import Bars
from bellwether.messages.prediction import ReplayedDecision
from bellwether.models.serving import ServedModel
from bellwether.prediction.replay import again
from bellwether.runtime.call import Call
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.errors import RpcError
from bellwether.training.artifact import Manifest

T = TypeVar("T")


@dataclass(frozen=True)
class _Inside:
    """Stands in for a call of prediction: bars and model are those of a capsule."""

    capsule: Capsule
    context: Any
    model: ServedModel | None
    as_of: datetime | None = None

    def at(self, as_of: datetime) -> _Inside:
        return replace(self, as_of=as_of)

    async def request(self, peer: str, method: str, params: Any, result: type[T], **_: Any) -> T:
        del peer, result
        answers: Mapping[str, Any] = {"get_bars": self._bars, "predict": self._probability}
        found: T = answers[method](params)
        return found

    def _bars(self, asked: Any) -> Bars:
        kept = self.capsule.bars.get(asked.symbol)
        if kept is None:
            raise RpcError("NO_BARS", f"the capsule has no bars of {asked.symbol}")
        return Bars(asked.symbol, kept.bars, kept.revision)

    def _probability(self, asked: Any) -> Any:
        if self.model is None:
            raise RpcError("MODEL_NOT_FOUND", "the capsule has no model")
        return self.model.predict(asked.features, asked.symbol)


async def opened(capsule: Capsule, release: str | None = None) -> ReplayedDecision:
    """Return whether a capsule's decision comes out with the same bytes here; the capsule is verified already.

    Raises:
        RpcError: when its model cannot be asked.
    """
    model = None
    if capsule.model_version is not None:
        manifest = msgspec.json.decode(capsule.model[MANIFEST], type=Manifest)
        model = ServedModel(capsule.model_version, manifest, capsule.model[ONNX])
    version = ProcessConfig.from_environment().version if release is None else release
    context = SimpleNamespace(config=SimpleNamespace(version=version))
    inside = cast("Call", _Inside(capsule, context, model))
    return await again(capsule.decision_id, capsule.record.encode(), inside)

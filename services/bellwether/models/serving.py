"""One model in service: ONNX Runtime on one thread, one row per call, features by name."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime

from bellwether.messages.fields import from_fields
from bellwether.messages.models import ModelInfo, Probability, ProbabilityPart, ProbabilityParts
from bellwether.runtime.errors import RpcError
from bellwether.training.artifact import ONNX, ArtifactError, Manifest, read_artifact, read_file
from bellwether.training.calibration import log_odds
from bellwether.training.feature_table import TABLE, feature_version
from bellwether.training.reference import REFERENCE, Reference, linear_parts, novelty

_log = logging.getLogger(__name__)

SCORES = "probabilities"
MOST_SAID = 256
"""So many symbols' last rows are kept."""


def _features_now(manifest: Manifest) -> str:
    """Return the version of the model's features as this release computes them; empty where it has not all of them."""
    known = all(name in TABLE for name in manifest.features)
    return feature_version(tuple(manifest.features)) if known else ""


class ServedModel:
    """A verified model, ready to answer."""

    def __init__(self, version: str, manifest: Manifest, graph: bytes, reference: Reference | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # The arena would keep memory for large batches; there is one row per call.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        self.version = version
        self.manifest = manifest
        self.reference = reference
        self._names = tuple(manifest.features)
        self._wanted = frozenset(self._names)
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._said: dict[str | None, tuple[dict[str, float], Probability]] = {}

    @classmethod
    def open(cls, folder: Path) -> ServedModel:
        """Return the model of a registry folder.

        Raises:
            ArtifactError: when a hash is not what it should be.
        """
        manifest = read_artifact(folder)
        if manifest.feature_version and manifest.feature_version != _features_now(manifest):
            raise ArtifactError(
                f"{folder.name}: it learned from features of another definition ({manifest.feature_version[:12]}): "
                "train it again"
            )
        return cls(folder.name, manifest, read_file(folder, ONNX, manifest.files[ONNX]), _reference(folder, manifest))

    def predict(self, features: Mapping[str, float], symbol: str | None) -> Probability:
        """Return the calibrated probability for one row; each symbol's last one is kept: a session asks for it twice.

        Raises:
            RpcError: FEATURES_MISMATCH, naming what is missing, what is not known, or what is no finite number.
        """
        said = self._said.get(symbol)
        if said is not None and said[0] == features:
            return said[1]
        self._check(features)
        manifest = self.manifest
        probability = manifest.calibrator.probability(self._score(features), symbol)
        found = Probability(
            probability=probability,
            confidence=abs(probability - 0.5) * 2.0,
            model_name=manifest.name,
            version=self.version,
            horizon_sessions=manifest.horizon_sessions,
            base_rate=manifest.calibrator.base_rate(symbol),
            expires_on=manifest.expires_on,
        )
        if len(self._said) >= MOST_SAID:
            self._said.clear()
        self._said[symbol] = (dict(features), found)
        return found

    def parts(self, features: Mapping[str, float], symbol: str | None) -> ProbabilityParts:
        """Return what each feature did to the probability of one row, in log odds, the strongest first.

        Of a linear estimator these are exact and add up. Of another one each says by how much the log odds would be
        lower with the training median in the feature's place: such parts do not add up.

        Raises:
            RpcError: as `predict`.
        """
        said = log_odds(self.predict(features, symbol).probability)
        if self.reference is None:
            return ProbabilityParts("unknown", said, said, [], None)
        unlike = novelty(self.reference, features)
        found = linear_parts(self.reference, features, self.manifest.calibrator.slope)
        if found is not None:
            at_means = said - math.fsum(one.contribution for one in found)
            return ProbabilityParts("exact", said, at_means, _strongest_first(found), unlike)
        found = []
        for one in self.reference.features:
            without = self.predict({**features, one.name: one.median}, symbol).probability
            found.append(ProbabilityPart(one.name, features[one.name], one.median, said - log_odds(without)))
        middle = self.predict({one.name: one.median for one in self.reference.features}, symbol).probability
        return ProbabilityParts("replaced", said, log_odds(middle), _strongest_first(found), unlike)

    def novelty(self, features: Mapping[str, float]) -> float | None:
        """Return how unlike the training rows a row is, None where nothing is known of them."""
        return None if self.reference is None else novelty(self.reference, features)

    def _score(self, features: Mapping[str, float]) -> float:
        row = np.array([[features[name] for name in self._names]], dtype=np.float32)
        return float(self._session.run([SCORES], {self._input: row})[0][0, 1])

    def info(self) -> ModelInfo:
        """Return what callers need to know of it."""
        return from_fields(ModelInfo, self.manifest, model_name=self.manifest.name, version=self.version)

    def _check(self, features: Mapping[str, float]) -> None:
        given = features.keys()
        if given != self._wanted:
            missing = [name for name in self._names if name not in features]
            extra = sorted(given - self._wanted)
            parts = []
            if missing:
                parts.append(f"missing: {', '.join(missing)}")
            if extra:
                parts.append(f"not known to it: {', '.join(extra)}")
            words = f"model {self.manifest.name} wants {len(self._names)} features; {'; '.join(parts)}"
            raise RpcError("FEATURES_MISMATCH", words)
        for name in self._names:
            if not math.isfinite(features[name]):
                raise RpcError(
                    "FEATURES_MISMATCH", f"feature {name} is {features[name]}: a model takes finite numbers only"
                )


def _strongest_first(found: list[ProbabilityPart]) -> list[ProbabilityPart]:
    return sorted(found, key=lambda one: (-abs(one.contribution), one.feature))


def _reference(folder: Path, manifest: Manifest) -> Reference | None:
    """Return what stands beside a model about its training rows; None where an earlier release made it."""
    try:
        found = msgspec.json.decode((folder / REFERENCE).read_bytes(), type=Reference)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("%s is passed over: %s", folder / REFERENCE, error)
        return None
    return found if [one.name for one in found.features] == manifest.features else None

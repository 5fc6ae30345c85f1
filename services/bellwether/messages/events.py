"""Which data each event type carries."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from bellwether.messages.market_data import MarketDataUpdated
from bellwether.messages.monitoring import SystemAlert
from bellwether.messages.prediction import BuyRateAlert, PredictionGenerated, SellRateAlert
from bellwether.messages.quality import DataQualityAlert
from bellwether.messages.registry import ModelDemoted, ModelPromoted, ModelTrained
from bellwether.messages.scheduling import ReplayCompleted
from bellwether.messages.trading import HaltChanged, OrderEvent, OrderRefused

EVENTS: Mapping[str, type[msgspec.Struct]] = MappingProxyType(
    {
        "buy_rate_alert": BuyRateAlert,
        "data_quality_alert": DataQualityAlert,
        "halt_changed": HaltChanged,
        "market_data_updated": MarketDataUpdated,
        "model_demoted": ModelDemoted,
        "model_promoted": ModelPromoted,
        "model_trained": ModelTrained,
        "order_filled": OrderEvent,
        "order_queued": OrderEvent,
        "order_refused": OrderRefused,
        "prediction_generated": PredictionGenerated,
        "replay_completed": ReplayCompleted,
        "sell_rate_alert": SellRateAlert,
        "system_alert": SystemAlert,
    }
)

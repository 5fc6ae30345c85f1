from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData

from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.declaration import DeclarationHolder
from bellwether.spec.models import TradingSystem
from bellwether.storage.store import StoreError
from bellwether.topology import SERVICES

OWNERS = [row.name for row in SERVICES.values() if row.store is not None]


def context(owner: str, folder: Path, currency: str) -> ServiceContext:
    spec = {
        "market": {"calendar": "XNYS"},
        "symbols": ["AAPL"],
        "trading": {"mode": "simulated", "currency": currency},
    }
    document = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingSystem", "metadata": {"name": "demo"}}
    holder = DeclarationHolder(owner, TradingSystem.model_validate({**document, "spec": spec}))
    absent: Any = None
    return ServiceContext(SERVICES[owner], absent, absent, absent, holder, ProcessConfig(data_dir=folder))


@pytest.mark.parametrize("owner", OWNERS)
async def test_the_owner_of_a_store_does_not_read_on_what_another_declaration_began(tmp_path: Path, owner: str) -> None:
    await context(owner, tmp_path, "USD").open_store(MetaData()).close()
    with pytest.raises(StoreError, match=r"with other values: spec\.trading\.currency is JPY and was USD\. Declare"):
        context(owner, tmp_path, "JPY").open_store(MetaData())
    await context(owner, tmp_path, "USD").open_store(MetaData()).close()

"""Every fault of `make chaos`, short."""

import pytest

from chaos.faults import FAULTS, Fault


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_fault_keeps_its_class(fault: Fault) -> None:
    """No event is lost uncounted, none comes twice, and the order stays, whatever fails."""
    row = await fault(2.0)
    assert not row.broken, row
    assert row.emitted > 50

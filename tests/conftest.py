"""What every test may ask for."""

import pytest
from hypothesis import settings

# A machine that is busy with other tests is no reason to fail.
settings.register_profile("dpl", deadline=None)
settings.load_profile("dpl")


@pytest.fixture
def anyio_backend() -> str:
    """Our programs run on asyncio alone."""
    return "asyncio"

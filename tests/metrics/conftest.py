import pytest
import skimage.data


@pytest.fixture(scope="session")
def photo():
    """uint8 [128, 160, 3]: the middle of a photograph."""
    return skimage.data.astronaut()[40:168, 150:310]

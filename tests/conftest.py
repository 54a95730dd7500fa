"""For all tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the whole calls: they last minutes and need little of a core, so the others run beside them."""
    items.sort(key=lambda item: not item.path.name.startswith("test_calls"))

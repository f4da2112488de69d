"""Faults with real processes: kill, freeze, drain; every stream exact or a typed error, every block back."""

import pytest

pytest.register_assert_rewrite("tests.faults.references")

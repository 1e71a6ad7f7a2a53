"""The simulated driver, for what runs in a process of tests/cuda_engine.py."""

from cupy.cuda import driver as _driver

driver = _driver.library

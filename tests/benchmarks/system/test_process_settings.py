"""Settings of the process: each change is named and undone."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.planning.validation import import_method
from benchmarks.system.process_settings import ProcessSettings
from methods.contract.registry import MethodError

CHANGES: list[tuple[Callable[[], object], str]] = [
    (lambda: torch.set_num_threads(2), "torch's number of threads to 2"),
    (lambda: torch.set_default_dtype(torch.float64), "torch's default dtype to torch.float64"),
    (lambda: torch.set_default_device("meta"), "torch's default device to 'meta'"),
    (lambda: torch.set_grad_enabled(False), "torch's gradients to False"),
    (lambda: torch.use_deterministic_algorithms(False), "torch's deterministic algorithms to (False, False)"),
    (lambda: torch.autograd.set_detect_anomaly(True), "torch's anomaly detection to (True, True)"),
    (lambda: torch.set_flush_denormal(True), "torch's flushing of denormals to True"),
    (lambda: torch.set_autocast_enabled("cpu", True), "torch's autocast on cpu to True"),
    (lambda: torch.set_float32_matmul_precision("medium"), "torch's float32 matmul precision to 'medium'"),
    (lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"), "torch's float32 matmul precision to 'another value'"),
    (lambda: setattr(torch.backends.cudnn, "allow_tf32", True), "torch.backends.cudnn.conv.fp32_precision to 'tf32'"),
    (lambda: setattr(torch.backends.cudnn, "benchmark", True), "torch.backends.cudnn.benchmark to True"),
    (lambda: torch.backends.mkldnn.set_flags(False), "torch's use of MKL-DNN to False"),
    (lambda: np.seterr(over="raise"), "NumPy's handling of errors to "),
    (lambda: os.chdir(os.path.sep), "the working directory to '/'"),
    (lambda: os.environ.update(FSCIL_ANY="1"), "the environment variable FSCIL_ANY to '1'"),
    (lambda: os.environ.pop("PATH"), "the environment variable PATH to nothing"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=[told for _, told in CHANGES])
def test_a_change_is_named_and_undone(change: Callable[[], object], told: str) -> None:
    before = ProcessSettings()
    change()
    assert before.put_back()[0].startswith(told)
    assert ProcessSettings().values == before.values
    assert before.put_back() == []


def test_what_libraries_do_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their own environment variables stay; filters of warnings are put back without a word."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())
    before, filters = ProcessSettings(), list(warnings.filters)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", os.path.sep)
    warnings.simplefilter("error")
    assert before.put_back() == []
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == os.path.sep
    assert list(warnings.filters) == filters


def test_importing_a_method_changes_nothing(methods_in: Callable[[Path], None], tmp_path: Path) -> None:
    text = "import torch\nfrom methods.contract import SessionStrategy\ntorch.set_default_dtype(torch.float64)\n"
    (tmp_path / "double.py").write_text(f'{text}class Double(SessionStrategy):\n    title = "Double"\n')
    methods_in(tmp_path)
    with pytest.raises(MethodError, match=r"methods/double\.py: importing it sets torch's default dtype to torch\.float64; a method must"):
        import_method("double")
    assert torch.get_default_dtype() == torch.float32

"""Three methods against Avalanche's own strategies on one incremental session: LwF, Naive and Cumulative.

The comparison is fair where both do the same arithmetic, so: full batches (their order differs), no augmentation, a fresh
SGD with the same settings, and the network of ours, new head rows included, copied into theirs. Naive and Cumulative run
with batch norm training, as theirs always does. Avalanche's LwF leaves its teacher in training mode, so LwF is
compared on the network without batch norm or dropout, where the mode makes no difference.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline
from avalanche.benchmarks.utils import ConstantSequence, DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.benchmarks.utils.data_attribute import TaskLabels
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Cumulative, LwF, Naive
from torch import Tensor, nn

from benchmarks.running.runner import Contender, Runner
from benchmarks.system.settings import Settings
from methods.parts.network import Network
from protocols.schema import Augment, Protocol
from tests.methods.by_hand import plain
from tests.methods.runs import Start, identity_of, train_under

LR, EPOCHS, WEIGHT_DECAY = 0.1, 5, 1e-2
COMMON = (f"lr={LR}", f"epochs={EPOCHS}", f"weight_decay={WEIGHT_DECAY}", "batch=null", "new_row_std=0.05")


def unaugmented(tiny: Protocol, backbone: str) -> Protocol:
    """Tiny without its random crops; `mlp` reads 28 x 28."""
    data = tiny.data.model_copy(update={"size": 28 if backbone == "mlp" else 8})
    return tiny.model_copy(
        update={"augment": Augment(pad=0), "data": data, "backbone": tiny.backbone.model_copy(update={"name": backbone})}
    )


def ours(protocol: Protocol, settings: Settings, method: str, *overrides: str) -> tuple[Contender, Network, Network]:
    """The contender after session 1, its network before the session, and its network at the first step."""
    contender = Runner(protocol, settings).enter(identity_of(protocol, method, *COMMON, *overrides))
    contender.train(0, 0)
    before = copy.deepcopy(contender.strategy.model)
    first = train_under(contender, 1, Start()).network
    assert len(before.head.weight) == 6
    assert len(first.head.weight) == 8
    return contender, before, first


def experiences(contender: Contender) -> list[Any]:
    """Sessions 0 and 1 as Avalanche likes them: data sets of images, labels and task labels."""
    tensors, datasets = contender.seed_context.tensors, []
    for part in contender.seed_context.split.train[:2]:
        rows = torch.from_numpy(part)
        x, y = plain(contender, rows), tensors.labels[rows]
        attributes = [DataAttribute(y.tolist(), "targets"), TaskLabels(ConstantSequence(0, len(y)))]
        items = list(zip(x, y.tolist(), strict=True))
        datasets.append(TaskAwareSupervisedClassificationDataset([items], data_attributes=attributes))
    return list(with_classes_timeline(benchmark_from_datasets(train=datasets)).train_stream)


def stock(cls: type, before: Network, first: Network, sessions: list[Any], **settings: Any) -> Network:
    """Avalanche's strategy through the same two sessions: it too adopts the base model in no epochs, and gets our new rows."""
    model = copy.deepcopy(before)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY)
    size = sum(len(experience.dataset) for experience in sessions)
    strategy = cls(
        model=model,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=size,
        train_epochs=0,
        eval_mb_size=size,
        evaluator=EvaluationPlugin(),
        **settings,
    )
    strategy.train(sessions[0])
    strategy.train_epochs = EPOCHS
    for name in ("weight", "bias") if hasattr(first.head, "bias") else ("weight",):
        setattr(model.head, name, nn.Parameter(getattr(first.head, name).detach().clone()))
    for name, value in first.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), f"{name} does not start equal"
    strategy.train(sessions[1], reset_optimizer_state=True)
    return strategy.model


def distance(a: Network, b: Network) -> float:
    """Largest difference of any weight or statistic."""
    other: dict[str, Tensor] = dict(b.state_dict())
    assert a.state_dict().keys() == other.keys()
    return max(float((value - other[name]).abs().max()) for name, value in a.state_dict().items())


@pytest.mark.parametrize("backbone", ["conv2", "mlp"])
def test_ft_cnn_is_naive(backbone: str, tiny: Protocol, settings: Settings) -> None:
    contender, before, first = ours(unaugmented(tiny, backbone), settings, "ft_cnn")
    theirs = stock(Naive, before, first, experiences(contender))
    assert distance(contender.strategy.model, theirs) < 1e-5
    assert distance(contender.strategy.model, first) > 1e-2, "nothing was trained"


@pytest.mark.parametrize("backbone", ["conv2", "mlp"])
def test_joint_cnn_topic_is_cumulative(backbone: str, tiny: Protocol, settings: Settings) -> None:
    contender, before, first = ours(unaugmented(tiny, backbone), settings, "joint_cnn")
    theirs = stock(Cumulative, before, first, experiences(contender))
    assert distance(contender.strategy.model, theirs) < 2e-5
    assert distance(contender.strategy.model, first) > 1e-2, "nothing was trained"
    naive = stock(Naive, before, first, experiences(contender))
    assert distance(contender.strategy.model, naive) > 1e-3, "the base images make no difference"


@pytest.mark.parametrize(("weight", "temperature"), [(1.0, 2.0), (3.0, 4.0)])
def test_lwf_without_warm_up_is_avalanches(weight: float, temperature: float, tiny: Protocol, settings: Settings) -> None:
    """Theirs is the Kullback-Leibler divergence without T²: the same gradient as ours, which leaves the teacher's entropy in."""
    overrides = ("warmup_epochs=0", f"distill_weight={weight}", f"distill_temperature={temperature}")
    contender, before, first = ours(unaugmented(tiny, "mlp"), settings, "lwf", *overrides)
    sessions = experiences(contender)
    theirs = stock(LwF, before, first, sessions, alpha=weight, temperature=temperature)
    assert distance(contender.strategy.model, theirs) < 1e-5
    for other in ({"alpha": 0.0, "temperature": temperature}, {"alpha": weight, "temperature": temperature + 1}):
        assert distance(contender.strategy.model, stock(LwF, before, first, sessions, **other)) > 1e-3, f"{other} would do as well"

"""BiMC's equations by hand in two dimensions, the contract's promises on features with texts, and a whole run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.planning.plan import identities, make_request
from benchmarks.records.schema import Record
from benchmarks.running.audit import numbers_kept
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from benchmarks.tools.contract import CHECKS, Bench
from methods.bimc import BiMc
from methods.contract.texts import Texts
from tests.methods.by_hand import teach
from tests.methods.runs import identity_of, train_all
from tests.texts import CLASSES, DESCRIBED, WIDTH, protocol_with_texts, tensors_with_texts, write_texts

D = torch.float64
PROMPTS = [[3.0, 4.0], [0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]
DESCRIPTIONS = [[[2.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [0.0, 1.0]], [[1.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]
BASE = [[1.0, 0.0], [4.0, 3.0], [0.0, 2.0], [3.0, 4.0]]


def learner(base: int = 2, described: bool = True, **changes: Any) -> Any:
    """BiMC with two base classes in session 0, then one novel class a session, and the texts above."""
    made: Any = object.__new__(BiMc)
    made.config, made.session = BiMc.Config(**changes), 0
    spans = [range(base), range(base, base + 1), range(base + 1, base + 2)]
    made.model = SimpleNamespace(head=SimpleNamespace(weight=torch.zeros(base + 2, 2)))

    def texts() -> Texts:
        seen = spans[made.session].stop
        return Texts(torch.tensor(PROMPTS[:seen]), torch.tensor(DESCRIPTIONS[:seen]) if described else None)

    made.context = SimpleNamespace(
        sessions=SimpleNamespace(base=base, span=lambda session: spans[session]), images=SimpleNamespace(texts=texts)
    )
    return made


def near(found: Tensor, expected: Any) -> None:
    torch.testing.assert_close(found.double(), torch.as_tensor(expected, dtype=D), rtol=1e-5, atol=1e-6)


def test_base_classes_by_hand() -> None:
    """mu_T of class 0: .5 (.6, .8) + .5 ((1, 0) + (0, 1)) / 2 = (.55, .65); mu_I: ((1, 0) + (.8, .6)) / 2 = (.9, .3)."""
    made = teach(learner(beta=0.25), 0, BASE, [0, 0, 1, 1])
    near(made.image_means, [[0.9, 0.3], [0.3, 0.9]])
    near(made.rows[:2], [[0.25 * 0.55 + 0.75 * 0.9, 0.25 * 0.65 + 0.75 * 0.3], [0.75 * 0.3, 0.25 + 0.75 * 0.9]])
    x = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]])
    covariance = np.cov(x.T)
    near(made.covariance, covariance + np.trace(covariance) / 2 * np.eye(2))


def test_a_novel_class_by_hand() -> None:
    """Its mean (-1, 0) goes .1 of the way towards the base means, by softmax(16 cos); covariances weigh 2 classes to 1, gamma is 5."""
    made = teach(learner(beta=0.25), 0, BASE, [0, 0, 1, 1])
    before = made.covariance
    shots = [[-0.6, 0.8], [-0.6, -0.8]]
    teach(made, 1, shots, [2, 2])
    first, second = np.array([0.9, 0.3]), np.array([0.3, 0.9])
    cosines = 16 * np.array([-0.9, -0.3]) / math.sqrt(0.9)
    w = np.exp(cosines) / np.exp(cosines).sum()
    mean = 0.9 * np.array([-0.6, 0.0]) + 0.1 * (w[0] * first + w[1] * second)
    near(made.image_means[2], mean)
    of_text = 0.5 * np.array([1.0, 1.0]) / math.sqrt(2) + 0.5 * np.zeros(2)
    near(made.rows[2], 0.25 * of_text + 0.75 * mean)
    own = np.cov(np.array(shots).T)
    near(made.covariance, (2 * before.numpy() + own + 5 * np.trace(own) / 2 * np.eye(2)) / 3)


def test_novel_classes_are_drawn_to_base_classes_alone() -> None:
    """A class of session 2 with the shots that one of session 1 had gets the same mean: that one's mean, its likest, draws nobody."""
    made = teach(learner(beta=0.25, shift=0.5), 0, BASE, [0, 0, 1, 1])
    for session, label in ((1, 2), (2, 3)):
        teach(made, session, [[-0.6, 0.8], [-0.6, -0.8]], [label, label])
    w = 1 / (1 + math.exp(-16 * 0.6 / math.sqrt(0.9)))  # cosines -.9 and -.3 of (-1, 0), over the length of (.9, .3)
    near(made.image_means[2:], [[-0.3 + 0.5 * (0.9 * (1 - w) + 0.3 * w), 0.5 * (0.3 * (1 - w) + 0.9 * w)]] * 2)


def test_scores_by_hand() -> None:
    """Base classes have p_mu and p_cov, the novel one p_mu and p_nn; all are softmaxes over three classes."""
    made = learner(alpha=0.7, scale_mu=2.0, scale_cov=3.0, scale_nn=4.0)
    made.session, made.image_means = 1, torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=D)
    made.covariance = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=D)
    made.model.head.weight = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-5.0, 0.0]])
    made.descriptions = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]], [[0.6, 0.8], [-1.0, 0.0]]], dtype=D)
    x = np.array([0.6, 0.8])
    inverse = np.array([[2.0, -1.0], [-1.0, 2.0]]) / 3
    distances = [(x - mean) @ inverse @ (x - mean) for mean in made.image_means.numpy()]
    each = 2 * np.array([0.6, 0.8, -0.6]), -3 * np.array(distances) / 2, 4 * np.array([0.8, 0.8, 1])
    p_mu, p_cov, p_nn = (np.exp(scores) / np.exp(scores).sum() for scores in each)
    expected = 0.7 * p_mu + 0.3 * np.array([p_cov[0], p_cov[1], p_nn[2]])
    near(made.scores(torch.tensor([[3.0, 4.0]])), expected[None])
    near(made.scores(torch.tensor([[3.0, 4.0], [1.0, 0.0]]))[:1], expected[None])


def test_without_descriptions_the_prompt_is_the_one_description() -> None:
    made = teach(learner(described=False, beta=1.0), 0, BASE, [0, 0, 1, 1])
    near(made.rows[:2], [[0.6, 0.8], [0.0, 1.0]])
    near(made.descriptions, [[[0.6, 0.8]], [[0.0, 1.0]]])
    other = teach(learner(described=False, beta=1.0, text_share=0.9), 0, BASE, [0, 0, 1, 1])
    assert torch.equal(made.rows, other.rows)


def test_the_code_divides_means_by_their_lengths() -> None:
    made = teach(learner(unit_means=True, beta=0.5), 0, BASE, [0, 0, 1, 1])
    root = math.sqrt(0.9)
    near(made.image_means, [[0.9 / root, 0.3 / root], [0.3 / root, 0.9 / root]])
    near(made.rows[0], [0.5 * (0.3 + 0.5 / math.sqrt(2)) + 0.45 / root, 0.5 * (0.4 + 0.5 / math.sqrt(2)) + 0.15 / root])
    teach(made, 1, [[-0.6, 0.8], [-0.6, -0.8]], [2, 2])
    near(made.image_means[2].norm(), 1.0)


@pytest.mark.parametrize(("swapped", "beta"), [(False, 0.0), (True, 0.6)])
def test_beta_is_chosen_on_left_out_base_features(swapped: bool, beta: float) -> None:
    """Texts of length 1 on the axes, means of images on the axes, too. Where images are as they should be, no text is needed, and the
    smallest share wins. Where each class's images but the left-out ones are the other's, text must outweigh them: more than half."""
    made = learner(described=False, step=0.2, held_out=0.5)
    x = torch.eye(2, dtype=D).repeat_interleave(4, 0)
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    of_text = torch.eye(2, dtype=D)
    if swapped:
        torch.manual_seed(0)
        order = torch.randperm(8)
        rest = torch.cat([order[labels[order] == label][2:] for label in (0, 1)])
        x[rest] = 1 - x[rest]
    torch.manual_seed(0)
    assert made.chosen(x, labels, of_text) == beta


def test_beta_with_one_image_a_class_is_zero() -> None:
    """Nothing can be left out, so nothing speaks for the texts."""
    assert learner().chosen(torch.eye(2, dtype=D), torch.tensor([0, 1]), torch.eye(2, dtype=D)) == 0.0


# On data with texts


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    write_texts(folder, tensors_with_texts())
    return folder


@pytest.fixture
def runner(root: Path, results: Path) -> Runner:
    return Runner(protocol_with_texts(), Settings(root, results, "cpu", 1))


@pytest.mark.parametrize("promise", CHECKS.values(), ids=list(CHECKS))
def test_promise(promise: Callable[[Bench], None], runner: Runner, tmp_path: Path) -> None:
    """What tests/methods/test_contract.py asks of all others, on images."""
    protocol = runner.protocol
    promise(Bench(protocol, "bimc:default", lambda of, seed: identity_of(protocol, of, seed=seed), runner, tmp_path))


def run(root: Path, results: Path, seed: int = 0, **sessions: int) -> Record:
    protocol = protocol_with_texts()
    protocol = protocol.model_copy(update={"sessions": protocol.sessions.model_copy(update=sessions)})
    [identity] = identities(make_request(protocol, None, None, str(seed), "bimc", []))
    return Runner(protocol, Settings(root, results, "cpu", 1)).run(identity)[0]


def test_a_run_counts_what_it_keeps_and_says_its_beta(runner: Runner) -> None:
    contender = train_all(runner.enter(identity_of(runner.protocol, "bimc")))
    strategy = contender.strategy
    assert numbers_kept(strategy) == CLASSES * WIDTH + WIDTH * WIDTH + CLASSES * DESCRIBED * WIDTH
    record, _, _ = runner.run(identity_of(runner.protocol, "bimc"))
    betas = [session.log["beta"] for session in record.sessions]
    assert len(set(betas)) == 1 and 0 <= betas[0] <= 1
    correct, total = sum(record.sessions[-1].correct), sum(record.sessions[-1].total)
    assert correct / total > 0.8, "images and texts of a class lie around one direction"


def test_texts_decide(root: Path, results: Path, tmp_path: Path) -> None:
    """The same images with the texts of other classes are another run, and a worse one if texts alone decide."""
    tensors = tensors_with_texts()
    wrong = {**tensors, **{name: np.roll(tensors[name], 1, axis=0) for name in ("text", "descriptions")}}
    write_texts(tmp_path, wrong)
    right = []
    for folder in (root, tmp_path):
        protocol = protocol_with_texts()
        identity = identity_of(protocol, "bimc", "beta=1", "alpha=1")
        record = Runner(protocol, Settings(folder, tmp_path / "results", "cpu", 1)).run(identity)[0]
        right.append(sum(record.sessions[-1].correct) / sum(record.sessions[-1].total))
    assert right[0] > 0.8 and right[1] < 0.2


def test_neither_the_order_of_rows_nor_of_ids_matters(root: Path, results: Path, tmp_path: Path) -> None:
    tensors = tensors_with_texts()
    for part in ("train", "test"):
        order = np.random.default_rng(1).permutation(len(tensors[part]))
        tensors |= {name: tensors[name][order] for name in (part, f"{part}_labels", f"{part}_ids")}
    write_texts(tmp_path, tensors)
    first, other = run(root, results), run(tmp_path, tmp_path / "results")
    assert first.identity.images == other.identity.images and first.predictions_sha256 == other.predictions_sha256


def test_another_session_shifts_none_before_it(root: Path, results: Path) -> None:
    short, long = run(root, results, way=1, count=2), run(root, results, way=1, count=4)
    assert long.order[:8] == short.order
    assert long.sessions[:3] == short.sessions


def test_another_numbering_of_classes_changes_nothing() -> None:
    """Classes under other numbers, with their texts, learnt in the same order of arrival, have the same scores."""
    made = teach(learner(beta=0.5), 0, BASE, [0, 0, 1, 1])
    x = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    other = learner(beta=0.5)
    other.context.images.texts = lambda: Texts(torch.tensor(PROMPTS[1::-1]), torch.tensor(DESCRIPTIONS[1::-1]))
    teach(other, 0, BASE, [1, 1, 0, 0])
    for one in (made, other):
        one.model.head.weight = one.model.head.weight[:2]
    near(other.scores(x), made.scores(x).flip(1))

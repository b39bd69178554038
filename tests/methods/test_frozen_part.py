"""What a recipe's `trains` leaves frozen stays as it came, in the base session and after it; `stored_views` stores its outputs once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from benchmarks.base.features import tensors_sha256
from benchmarks.base.outputs import Outputs, part_key
from benchmarks.data.batches import Batches
from benchmarks.data.transforms import Transform
from benchmarks.planning.plan import identities, make_request
from benchmarks.running.contender import Contender
from benchmarks.running.runner import Runner
from benchmarks.system.settings import Settings
from methods.bases.cosine import Cosine
from methods.parts.expansion import window_means
from methods.parts.network import Network
from protocols.schema import BaseRecipe, Protocol
from tests.methods.runs import identity_of, train_all

Frozen = Callable[[str, int | None], Runner]
VARIANTS = [
    "ft_cnn:topic",
    "joint_cnn:balanced",
    "icarl:original",
    "eeil:topic",
    "ncm:original",
    "topic:al_mml",
    "lecnet:paper",
    "lwf:mammoth",
    "si:mammoth",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frozen")


@pytest.fixture
def frozen(tiny: Protocol, data_root: Path, folder: Path) -> Frozen:
    """frozen(trains, stored_views): runs of the tiny protocol under such a recipe."""

    def frozen(trains: str, stored_views: int | None) -> Runner:
        recipe = tiny.recipes["fast"].model_copy(update={"trains": trains, "stored_views": stored_views})
        return Runner(tiny.model_copy(update={"recipes": {"fast": recipe}}), Settings(data_root, folder, "cpu", 1))

    return frozen


def entered(runner: Runner, variant: str, *overrides: str, seed: int = 0) -> Contender:
    return runner.enter(identity_of(runner.protocol, variant, *overrides, seed=seed))


def halves(network: Network) -> tuple[str, str]:
    """Hashes of what is below the last block, and of the last block."""
    block = network.backbone.last_block.state_dict()
    above = {value.data_ptr() for value in block.values()}
    below = {name: value for name, value in network.backbone.state_dict().items() if value.data_ptr() not in above}
    return tensors_sha256(below), tensors_sha256(block)


@pytest.mark.parametrize("views", [2, None])
@pytest.mark.parametrize("trains", ["none", "last_block"])
def test_the_base_session_trains_no_more_than_the_recipe_says(trains: str, views: int | None, frozen: Frozen) -> None:
    runner = frozen(trains, views)
    contender = entered(runner, "ft_cnn:topic")
    start = contender.strategy.context.untrained_network()
    (below, block), (below_then, block_then) = halves(contender.strategy.model), halves(start)
    assert below == below_then
    assert (block == block_then) == (trains == "none")
    assert not torch.equal(contender.strategy.model.head.weight, start.head.weight)
    assert contender.strategy.model.given == "images"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("trains", ["none", "last_block"])
def test_no_session_trains_more(variant: str, trains: str, frozen: Frozen) -> None:
    """Weights and batch-norm statistics alike, whatever the method's own settings are."""
    runner = frozen(trains, 2)
    overrides = ["train_backbone=true"] if variant == "lecnet:paper" else []
    contender = entered(runner, variant, *overrides)
    below, block = halves(contender.strategy.model)
    train_all(contender)
    below_now, block_now = halves(contender.strategy.model)
    assert below_now == below
    assert (block_now == block) == (trains == "none")
    assert len(contender.test(2).correct) == 10


@pytest.mark.parametrize("variant", ["icarl:topic", "eeil:topic", "ncm:topic"])
def test_no_exemplar_of_the_base_is_needed(variant: str, frozen: Frozen) -> None:
    """In session 1 there is no anchor then, whose feature would be taken from what is stored."""
    assert len(train_all(entered(frozen("none", 2), variant, "base_exemplars=0")).test(2).correct) == 10


def test_stored_features_are_those_of_the_network(frozen: Frozen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of base images, of shots and of test images; and a session with frozen features computes none."""
    runner = frozen("none", 2)
    contender = entered(runner, "ft_cnn:topic")
    network, tensors, split = contender.strategy.model, contender.seed_context.tensors, contender.seed_context.split
    for session in (0, 1):
        contender.open(session)
        indices = torch.from_numpy(split.train[session])
        stored = contender.images.stored_features(indices, network)
        assert stored is not None
        with torch.no_grad():
            torch.testing.assert_close(stored, network.embed(contender.images.plain(indices)))
    known = contender.seed_context.evaluator.known(contender.strategy)
    with torch.no_grad():
        of_test = network.embed(runner.transform.normalise(tensors.test[torch.from_numpy(split.test[2])]))
    torch.testing.assert_close(known.features[2], of_test)

    def refuse(self: Network, images: Tensor) -> Tensor:
        raise AssertionError("computed again")

    monkeypatch.setattr(Network, "embed_lower", refuse)
    train_all(entered(runner, "icarl:topic"))
    assert contender.images.stored_features(indices, network) is not None


def test_a_method_that_trains_the_last_block_is_tested_from_what_lies_below(frozen: Frozen, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from the images, by a second network of the same weights; one that is changed below, or embeds in its own way, from the images."""
    contender = entered(frozen("last_block", 2), "ft_cnn:topic")
    train_all(contender)
    evaluator, strategy, split = contender.seed_context.evaluator, contender.strategy, contender.seed_context.split
    tensors, transform = contender.seed_context.tensors, contender.seed_context.evaluator.transform
    strategy.model.eval()
    with torch.no_grad():
        expected = strategy.model.embed(transform.normalise(tensors.test[torch.from_numpy(split.test[2])]))
    lower = Network.embed_lower
    monkeypatch.setattr(Network, "embed_lower", lambda self, images: pytest.fail("computed again"))
    known = evaluator.known(strategy)
    assert not known.features and known.maps is not None
    torch.testing.assert_close(evaluator.features(strategy, 2, known), expected)
    right = evaluator.evaluate(strategy, 2, known).correct
    monkeypatch.setattr(Network, "embed_lower", lower)
    evaluator._maps.clear()
    evaluator._features.clear()
    assert evaluator.evaluate(strategy, 2).correct == right
    assert contender.outputs is not None
    evaluator._maps[contender.outputs.key] = contender.outputs.test
    first = next(iter(strategy.model.backbone.parameters()))
    with torch.no_grad():
        first += 1.0
    assert evaluator.known(strategy).maps is None, "another network below"


def test_a_method_sees_stored_outputs_of_its_own_images_alone(frozen: Frozen) -> None:
    contender = entered(frozen("none", 2), "ft_cnn:topic")
    contender.open(1)
    shown = contender.images._outputs
    assert shown is not None and contender.outputs is not None
    assert shown.plain.shape[0] == shown.views.shape[1] == len(contender.shown) == 10
    assert torch.equal(shown.plain, contender.outputs.plain[contender.shown])
    network = contender.strategy.model
    assert shown.views_under(network.embed) is shown.views
    assert shown.views_under(network.embed_lower) is None, "of another part"
    assert shown.views_under(lambda images: images) is None
    network.pool = window_means
    assert shown.views_under(network.embed) is None, "pooled in another way"
    assert shown.features(torch.arange(2), network) is None


def test_outputs_are_computed_once_for_all_seeds_and_methods(frozen: Frozen, folder: Path) -> None:
    runner = frozen("none", 2)
    models = [entered(runner, variant, seed=seed).outputs for variant in ("ft_cnn:topic", "proto:raw_mean") for seed in (0, 1)]
    assert all(isinstance(model, Outputs) for model in models)
    # the backbone starts from random values of each seed; from weights of a file it would be one
    assert len({model.key for model in models if model is not None}) == 2
    own = {model.key for model in models if model is not None}
    assert all(key.endswith("mean_over_positions") for key in own)


def test_views_are_shown_in_turn_in_the_order_of_the_images(tiny: Protocol) -> None:
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 8, 8)
    stored = torch.stack([100.0 * view + torch.arange(6.0) for view in range(2)])
    transform = Transform(tiny.data, tiny.augment)
    batches = Batches(images, torch.arange(6), torch.arange(6), transform, 4, 0, "base", stored=stored)
    plain = Batches(images, torch.arange(6), torch.arange(6), transform, 4, 0, "base")
    for epoch in range(3):
        for (x, y, task), (_, expected, _) in zip(batches, plain, strict=True):
            assert torch.equal(y, expected), "the order of the images is that of an epoch without stored outputs"
            assert torch.equal(x, 100.0 * (epoch % 2) + y) and not task.any()


@pytest.mark.parametrize("more", [0, 1])
def test_an_image_that_is_there_several_times_is_shown_in_as_many_views(more: int, tiny: Protocol) -> None:
    """OrCo shows an image twice an epoch, ConCM ten times: not the same outputs again."""
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    stored = torch.stack([100.0 * view + torch.arange(3.0) for view in range(7)])
    transform, indices = Transform(tiny.data, tiny.augment), torch.tensor([0, 1, 2, 0, 1, 0])
    batches = Batches(images, torch.arange(3), indices, transform, 4, 0, "base", stored=stored, more=[transform] * more)
    for epoch in range(3):
        shown = [
            values for *views, labels, _ in batches for values in zip(labels.tolist(), *(view.tolist() for view in views), strict=True)
        ]
        for label, times in ((0, 3), (1, 2), (2, 1)):
            found = sorted(value for own, *values in shown if own == label for value in values)
            first, count = epoch, times * (1 + more)
            assert found == sorted(100.0 * ((first + view) % 7) + label for view in range(count))


def test_the_key_of_a_part_follows_what_it_depends_on(frozen: Frozen) -> None:
    network = entered(frozen("none", 2), "ft_cnn:topic").strategy.model
    whole, lower = part_key(network, "none"), part_key(network, "last_block")
    next(network.backbone.last_block.parameters()).data.add_(1)
    assert part_key(network, "last_block") == lower and part_key(network, "none") != whole
    next(network.backbone.parameters()).data.add_(1)
    assert part_key(network, "last_block") != lower


def test_a_recipe_that_stores_nothing_that_is_frozen_is_refused() -> None:
    with pytest.raises(ValidationError, match="trains must be none or last_block, and is all"):
        BaseRecipe(epochs=1, lr=0.1, stored_views=2)


def test_a_kind_that_changes_images_is_refused_in_one_line(frozen: Frozen, monkeypatch: pytest.MonkeyPatch) -> None:
    def turned(self: Any, views: list[Tensor], labels: Tensor) -> tuple[list[Tensor], Tensor]:
        return [torch.cat([view, view.rot90(1, (2, 3))]) for view in views], labels.repeat(2)

    monkeypatch.setattr(Cosine, "expand", turned)
    runner = frozen("none", None)
    with pytest.raises(ValueError, match="base kind cosine changes images; it goes with trains all only, and has trains none"):
        entered(runner, "proto:raw_mean@cosine")


def test_what_one_recipe_allows_another_may_refuse(tiny: Protocol, data_root: Path, tmp_path: Path) -> None:
    """One process runs studies of several recipes: the first one's answer is not the second one's."""
    fast = tiny.recipes["fast"]
    recipes = {"fast": fast, "kept": fast.model_copy(update={"trains": "none", "stored_views": 2})}
    runner = Runner(tiny.model_copy(update={"recipes": recipes}), Settings(data_root, tmp_path, "cpu", 1))
    allowed, refused = (identities(make_request(runner.protocol, name, None, "0", "proto@closer", []))[0] for name in recipes)
    runner.enter(allowed)
    with pytest.raises(ValueError, match="base kind closer shows 3 views of an image, and stored_views is 2"):
        runner.enter(refused)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("rotations", "base kind rotations changes images"),
        ("cosface", "base kind cosface changes images"),
        ("virtual", "base kind virtual changes images"),
        ("episodes", "base kind episodes changes images"),
    ],
)
def test_a_later_kind_that_needs_images_is_refused_before_the_first_is_trained(
    kind: str, said: str, tiny: Protocol, data_root: Path, tmp_path: Path
) -> None:
    recipe = tiny.recipes["fast"].model_copy(update={"bases": {kind: {"after": "cosine", "trains": "none"}}})
    runner = Runner(tiny.model_copy(update={"recipes": {"fast": recipe}}), Settings(data_root, tmp_path, "cpu", 1))
    with pytest.raises(ValueError, match=said):
        entered(runner, f"proto:raw_mean@{kind}")
    assert not list(tmp_path.rglob("*.safetensors"))

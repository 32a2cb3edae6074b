import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fama.errors import BadInput
from fama.selection.router.embedder import Embedder
from fama.selection.router.encoder import (
    DEFAULT_ENCODER,
    SegmentEncoder,
    encoder_fingerprint,
    encoder_path,
    fastest_type,
    group_sizes,
)
from fama.selection.router.features import Features, Segment
from fama.selection.router.kinds.encoder import EncoderPredictor
from fama.selection.router.manifest import EncoderShape, LoraShape, NetworkShape
from fama.selection.router.network import BUCKETS, NetworkInput, RouterNetwork, bucket_of, subset_logit
from tests.support.tiny_encoder import write_tiny_encoder
from training.data.examples import Example
from training.network.batches import Batch, Collate
from training.network.initialise import build_network
from training.network.module import RouterModule
from training.network.trained_encoder import chunk_table
from training.settings import TrainSettings

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def encoder(tiny: Path) -> SegmentEncoder:
    return SegmentEncoder(str(tiny), window=16).eval()


def test_the_default_encoder_is_found_in_its_package() -> None:
    path = Path(encoder_path(DEFAULT_ENCODER))
    assert json.loads((path / "config.json").read_text())["hidden_size"] == 384
    assert len(encoder_fingerprint(DEFAULT_ENCODER) or "") == 16
    assert encoder_path("some/hub-name") == "some/hub-name"
    assert encoder_fingerprint("some/hub-name") is None


def test_an_unusable_encoder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="cannot be loaded") as caught:
        SegmentEncoder(str(tmp_path), window=16)
    assert "\n" not in str(caught.value)


@given(st.lists(st.integers(1, 256), max_size=60).map(sorted), st.integers(1, 16))
def test_groups_are_of_like_length(lengths: list[int], most: int) -> None:
    sizes = group_sizes(lengths, most)
    assert sum(sizes) == len(lengths) and all(0 < size <= most for size in sizes)
    ends = np.cumsum([0, *sizes])
    groups = [lengths[a:b] for a, b in zip(ends, ends[1:], strict=False)]
    assert all(group[-1] <= 1.5 * group[0] + 8 for group in groups)
    assert group_sizes([10, 60, 256], 8) == [1, 1, 1] and group_sizes([100, 120, 150], 8) == [3]


def test_a_chunk_has_one_vector_whatever_goes_with_it(encoder: SegmentEncoder) -> None:
    texts = ["short", " ".join(f"word{n}" for n in range(12)), "a little longer than that"]
    ids, mask = encoder.pad([encoder.chunks([text])[0][0] for text in texts])
    with torch.inference_mode():
        together = encoder(ids, mask)
        alone = torch.cat([encoder(ids[n : n + 1], mask[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_long_texts_lose_no_token(encoder: SegmentEncoder) -> None:
    text = " ".join(f"word{n}" for n in range(60))
    (chunks,) = encoder.chunks([text])
    assert len(chunks) > 3
    assert all(len(chunk) <= 16 for chunk in chunks)
    special = set(encoder.tokenizer.all_special_ids)
    kept = [token for chunk in chunks for token in chunk if token not in special]
    assert kept == encoder.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_the_end_of_a_long_text_changes_its_embedding(encoder: SegmentEncoder) -> None:
    text = " ".join(f"word{n}" for n in range(60))
    first, second = Embedder(encoder).embed([text, text + " refund"])
    assert not np.allclose(first[-1], second[-1], atol=1e-3)


def test_embeddings_are_unit_vectors_and_ignore_padding(encoder: SegmentEncoder) -> None:
    alone = Embedder(encoder).embed(["hello"])[0]
    together = Embedder(encoder).embed(["hello", "a much longer text than the other"])[0]
    assert np.linalg.norm(alone, axis=1) == pytest.approx([1.0], abs=1e-5)
    assert alone == pytest.approx(together, abs=1e-5)


def test_bfloat16_is_used_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, expected in (({"avx512_bf16": True}, torch.bfloat16), ({"avx512_bf16": False}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert fastest_type() == expected


def test_vectors_in_bfloat16_are_nearly_those_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["I want to return order #W1234.", "- Be kind. " * 200]
    found = []
    for kind in (torch.bfloat16, torch.float32):
        monkeypatch.setattr("fama.selection.router.encoder.fastest_type", lambda kind=kind: kind)
        embedder = Embedder.load(EncoderShape(name=DEFAULT_ENCODER, window=64))
        assert next(embedder.encoder.parameters()).dtype == kind
        found.append(np.concatenate(embedder.embed(texts)))
    assert np.linalg.norm(found[0], axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (found[0] * found[1]).sum(axis=1).min() > 0.999


def test_a_text_is_encoded_once(encoder: SegmentEncoder) -> None:
    embedder = Embedder(encoder, entries=3)
    embedder.embed(["a", "b", "a"])
    assert embedder.encoded == 2
    embedder.embed(["a", "b", "c"])
    assert embedder.encoded == 3
    embedder.embed(["d"])
    embedder.embed(["b", "c"])
    assert embedder.encoded == 4
    embedder.embed(["a"])
    assert embedder.encoded == 5


def test_a_call_larger_than_the_cache_is_complete(encoder: SegmentEncoder) -> None:
    embedder = Embedder(encoder, entries=2)
    found = embedder.embed(["a", "b", "c", "d"])
    assert [len(vectors) for vectors in found] == [1, 1, 1, 1]
    assert embedder.embed([]) == []


def test_a_state_with_more_texts_than_the_cache_encodes_only_its_new_ones(encoder: SegmentEncoder) -> None:
    embedder = Embedder(encoder, entries=4)
    texts = [f"message {n}" for n in range(12)]
    embedder.embed(texts[:10])
    assert embedder.encoded == 10
    for size in (11, 12):
        embedder.embed(texts[:size])
        assert embedder.encoded == size


def test_adapters_train_alone_and_name_no_path(tiny: Path) -> None:
    encoder = SegmentEncoder(str(tiny), window=16, lora=LoraShape(rank=2, alpha=4, dropout=0.0))
    trained = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    config = {**encoder.adapter_config(), "base_model_name_or_path": "checked below"}
    assert encoder.adapter_config()["base_model_name_or_path"] == str(tiny)
    assert str(tiny) not in json.dumps(config)
    with pytest.raises(BadInput, match="lora.targets"):
        SegmentEncoder(str(tiny), window=16, lora=LoraShape(targets=("nowhere",)))


SHAPE = NetworkShape(embedding=8, evidence=3, helpers=3, categories=4, hidden=6, attention=2, dropout=0.0)


def batch(lengths: list[int], seed: int = 0) -> NetworkInput:
    random = torch.Generator().manual_seed(seed)
    longest, rows = max(lengths), len(lengths)
    return NetworkInput(
        embeddings=torch.randn(20, 8, generator=random),
        place=torch.randint(0, 20, (rows, longest), generator=random),
        mask=torch.tensor([[i < length for i in range(longest)] for length in lengths]),
        kinds=torch.randint(0, 5, (rows, longest), generator=random),
        buckets=torch.randint(0, BUCKETS, (rows, longest), generator=random),
        evidence=torch.randn(rows, 3, generator=random),
    )


def test_a_fresh_network_is_the_population_model() -> None:
    population = np.linspace(-1.0, 1.0, sum(SHAPE.head_sizes()))
    examples = [Example("t", Features((), (float(n), 1.0, -float(n)))) for n in range(4)]
    network = build_network(SHAPE, examples, population).eval()
    heads = network(batch([2, 5]))
    assert torch.allclose(heads.base, torch.full((2,), float(population[0])))
    assert torch.allclose(heads.utility, torch.tensor(population[1:4]).float().expand(2, 3))
    assert torch.allclose(heads.pair, torch.tensor(population[4:7]).float().expand(2, 3))
    assert torch.allclose(heads.token_utility, torch.tensor(population[8:]).float().expand(2, 3))
    assert network.evidence_mean.tolist() == pytest.approx([1.5, 1.0, -1.5])
    assert network.evidence_scale.tolist()[1] == 1.0


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    network = RouterNetwork(SHAPE).eval()
    torch.nn.init.normal_(network.heads.weight)
    torch.nn.init.normal_(network.attention.weight)
    long = batch([2, 5])
    short = NetworkInput(
        embeddings=long.embeddings,
        place=long.place[:1, :2],
        mask=long.mask[:1, :2],
        kinds=long.kinds[:1, :2],
        buckets=long.buckets[:1, :2],
        evidence=long.evidence[:1],
    )
    for a, b in zip(network(long), network(short), strict=True):
        assert torch.allclose(a[:1], b, atol=1e-5)


def test_a_state_without_text_is_finite() -> None:
    network = RouterNetwork(SHAPE).eval()
    empty = NetworkInput(
        torch.zeros(0, 8), torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0, dtype=torch.bool),
        torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 3),
    )  # fmt: skip
    assert all(torch.isfinite(head).all() for head in network(empty))


def test_subset_logit_by_hand() -> None:
    heads = RouterNetwork(SHAPE)(batch([1]))._replace(
        base=torch.tensor([0.5]), utility=torch.tensor([[1.0, 2.0, 4.0]]), pair=torch.tensor([[-0.1, -0.2, -0.4]])
    )
    logit = subset_logit(heads, torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 0.0]]))
    assert logit.item() == pytest.approx(0.5 + 1.0 + 4.0 - 0.2)


def test_buckets_grow_and_end() -> None:
    buckets = [bucket_of(position) for position in range(2000)]
    assert buckets[:9] == [0, 1, 2, 3, 4, 4, 5, 5, 6]
    assert all(0 <= b - a <= 1 for a, b in zip(buckets, buckets[1:], strict=False))
    assert buckets[-1] == BUCKETS - 1


def test_batches_share_chunks_and_agree_with_inference(encoder: SegmentEncoder) -> None:
    policy = Segment("policy", " ".join(f"rule{n}" for n in range(30)))
    features = [
        Features((policy, Segment("user", "where is it", 1), Segment("assistant", "which one", 0)), (0.1, 0.2, 0.3)),
        Features((policy, Segment("user", "cancel it", 0)), (0.3, 0.2, 0.1)),
    ]
    examples = [
        Example("a", features[0], subset=(True, False, True), success=True, tokens=100.0),
        Example("b", features[1], subset=(False, False, False), success=None),
    ]
    table = chunk_table(encoder, examples)
    made: Batch = Collate(encoder, table, 4, {id(examples[0]): 2.5})(examples)
    policy_chunks = len(encoder.chunks([policy.text])[0])
    assert len(made.vectors) == policy_chunks + 3
    assert made.mask.sum(dim=1).tolist() == [policy_chunks + 2, policy_chunks + 1]
    assert made.targets.pairs.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    assert made.targets.weight.tolist() == [2.5, 1.0] and made.targets.propensity.isnan().all()
    assert made.targets.success[0] == 1.0 and made.targets.success.isnan().tolist() == [False, True]
    assert made.targets.log_tokens[0].item() == pytest.approx(math.log(100.0))

    torch.manual_seed(1)
    shape = replace_shape(encoder.size)
    network = RouterNetwork(shape).eval()
    torch.nn.init.normal_(network.heads.weight)
    heads = network(NetworkInput(made.vectors, made.place, made.mask, made.kinds, made.buckets, made.evidence))
    predictor = EncoderPredictor(Embedder(encoder), network)
    masks = np.array([[True, False, True], [False, True, False]])
    for row, state in enumerate(features):
        raw = predictor.scores(state)(masks)
        expected = heads.base[row] + heads.utility[row, 0] + heads.utility[row, 2] + heads.pair[row, 1]
        assert raw.logit[0] == pytest.approx(expected.item(), abs=1e-4)
        assert raw.log_tokens[1] == pytest.approx(
            (heads.token_base[row] + heads.token_utility[row, 1]).item(), abs=1e-4
        )


def replace_shape(embedding: int) -> NetworkShape:
    return SHAPE.model_copy(update={"embedding": embedding})


def test_a_shared_prefix_is_not_encoded_again(encoder: SegmentEncoder) -> None:
    embedder = Embedder(encoder)
    torch.manual_seed(1)
    predictor = EncoderPredictor(embedder, RouterNetwork(replace_shape(encoder.size)))
    messages = [Segment("user", f"turn {n}", 0) for n in range(6)]
    for count in range(1, 7):
        shifted = tuple(replace(segment, position=count - 1 - n) for n, segment in enumerate(messages[:count]))
        predictor.scores(Features((Segment("policy", "the policy"), *shifted), (0.0, 0.0, 0.0)))
        assert embedder.encoded == count + 1


def test_policies_and_tools_of_a_trained_encoder_get_no_gradient_but_todays_vectors(tiny: Path) -> None:
    """They are encoded at the start of an epoch, as inference will encode them; messages go through with a gradient."""
    encoder = SegmentEncoder(str(tiny), 16, LoraShape(rank=2, alpha=4, dropout=0.0))
    policy, tool = Segment("policy", " ".join(f"rule{n}" for n in range(30))), Segment("tool", "find: finds")
    states = [Features((policy, tool, Segment("user", text, 0)), (0.0, 0.0, 0.0)) for text in ("where", "cancel it")]
    examples = [Example(str(n), f, subset=(True, False), success=bool(n)) for n, f in enumerate(states)]
    table = chunk_table(encoder, examples)
    frame = [window for text in (policy.text, tool.text) for window in encoder.chunks([text])[0]]
    assert table.windows[: table.frame] == frame and len(table.windows) == len(frame) + 2
    shape = SHAPE.model_copy(update={"embedding": encoder.size, "helpers": 2})
    settings = TrainSettings.model_validate({"kind": "encoder", "data": {"pool": ["DCE", "TSA"]}})
    module = RouterModule(encoder, RouterNetwork(shape), settings, frame).train()
    batch = Collate(encoder, table, 4, {})(examples)
    assert len(batch.ids) == 2 and batch.frame.tolist() == list(range(len(frame)))

    module.on_train_epoch_start()
    before = module.frame_vectors.clone()
    assert not module.frame_vectors.requires_grad and module.encoder.training
    vectors = module._vectors(batch)
    (encoded,) = Embedder(encoder).embed([policy.text])
    np.testing.assert_allclose(vectors[2 : 2 + len(encoded)].detach().numpy(), encoded, atol=1e-5)
    torch.autograd.backward(vectors[:2].square().mul(torch.arange(encoder.size)).sum())
    adapters = [p for p in encoder.parameters() if p.requires_grad]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in adapters)
    with torch.no_grad():
        for parameter in adapters:
            parameter.add_(0.1)
    assert torch.equal(module.frame_vectors, before)
    module.on_validation_epoch_start()
    assert not torch.equal(module.frame_vectors, before)

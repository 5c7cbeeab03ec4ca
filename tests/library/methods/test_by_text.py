"""The methods that look at the prompt's text: CDPruner, DART and SparseVLM, each against loops from the formula."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.given_features import features, of_row, select, with_newlines

from vtprune.errors import UserError
from vtprune.features import Text
from vtprune.methods import DART, CDPruner, Count, SparseVLM, SpectralBudget
from vtprune.ops.clustering import density_peaks
from vtprune.ops.indexing import mask_from_indices
from vtprune.stages import placed

COUNTS = (1, 2, 4, 5, 9, 13, 20, 31)
ONE_STAGE = {"layers": (2,)}


def ragged(given):
    """Of the second row one image is missing, of the third row every third token."""
    given.valid[1, 12:] = False
    given.valid[2, ::3] = False
    return replace(given, at_first=lambda: given.valid)


@pytest.fixture(params=["one image", "several images", "ragged"])
def given(request):
    return {
        "one image": lambda: features(6, 6, rows=3, seed=1),
        "several images": lambda: features(images=[(4, 5), (7, 2), (1, 3)], rows=3, seed=3),
        "ragged": lambda: ragged(features(images=[(3, 4), (5, 5)], rows=3, seed=5)),
    }[request.param]()


def tokens_of(given, row):
    return given.valid[row].nonzero().flatten().tolist()


def words_of(given, row):
    return given.text().after_image[row].nonzero().flatten().tolist()


def cosine(x, y):
    return float(x @ y / math.sqrt(float(x @ x)) / math.sqrt(float(y @ y)))


def check(method_of, reference, given, counts=COUNTS):
    for count in counts:
        expected = [reference(given, row, min(count, len(tokens_of(given, row)))) for row in range(3)]
        chosen = select(method_of(count), given)
        assert [sorted(row) for row in chosen] == [sorted(row) for row in expected]
        assert all(len(row) == len(set(row)) for row in chosen)


# ---- DART


def dart(given, row, count, pivots):
    norms, states = ([part[row].double().numpy() for part in parts] for parts in (given.last_keys(), given.final()))
    tokens = tokens_of(given, row)
    of_image = sorted(tokens, key=lambda token: -np.abs(norms[0][token]).sum())[: min(count, pivots[0])]
    of_text = sorted(words_of(given, row), key=lambda word: -np.abs(norms[1][word]).sum())[: pivots[1]]
    vectors = [states[0][token] for token in of_image] + [states[1][word] for word in of_text]
    chosen, left = list(of_image), count - len(of_image)
    for number, vector in enumerate(vectors):
        share = left // len(vectors) + (number < left % len(vectors))
        free = [token for token in tokens if token not in chosen]
        chosen += sorted(free, key=lambda token: cosine(states[0][token], vector))[:share]
    return chosen


@pytest.mark.parametrize("pivots", [(4, 4), (1, 0), (2, 9)])
def test_dart_equals_a_loop_written_from_the_description(given, pivots):
    check(lambda keep: DART(keep, 2, *pivots), lambda *of: dart(*of, pivots), given)


def test_dart_splits_the_budget_over_its_pivots():
    """68 of 576: 4 image pivots, and 8 for each of the 8 pivots, as the authors' code has it for 64."""
    given = features(24, 24, rows=1, seed=2)
    chosen = select(DART(68), given)[0]
    assert sorted(chosen) == sorted(dart(given, 0, 68, (4, 4)))
    similarity = torch.tensor([[cosine(x, p) for x in given.final()[0][0]] for p in given.final()[0][0, chosen[:4]]])
    similarity[:, chosen[:4]] = 2.0
    assert set(similarity[0].topk(8, largest=False).indices.tolist()) == set(chosen[4:12])


# ---- CDPruner


def cdpruner(given, row, count):
    """Greedy by the definition: the token with which the determinant of the kernel is largest."""
    tokens, x = tokens_of(given, row), given.embeddings()[row].double().numpy()
    words = [given.text().embeddings[row, word].double().numpy() for word in words_of(given, row)]
    relevance = {token: sum(cosine(x[token], word) for word in words) / len(words) for token in tokens}
    low, high = min(relevance.values()), max(relevance.values())
    quality = {token: (value - low + 1e-6) / (high - low) for token, value in relevance.items()}
    kernel = np.array([[quality[i] * cosine(x[i], x[j]) * quality[j] for j in tokens] for i in tokens])
    chosen = []
    while len(chosen) < count:
        free = [place for place in range(len(tokens)) if place not in chosen]
        logs = [np.linalg.slogdet(kernel[np.ix_([*chosen, place], [*chosen, place])])[1] for place in free]
        chosen.append(free[int(np.argmax(logs))])
    return [tokens[place] for place in chosen]


def test_cdpruner_enlarges_the_determinant_most(given):
    check(CDPruner, cdpruner, given, counts=(1, 2, 3, 5, 7))  # the kernel's rank is 8


def test_cdpruner_keeps_the_order_of_tokens_that_are_explained():
    given = features(4, 6, rows=2, seed=3)
    distinct = torch.eye(8)[:5]
    given = replace(given, embeddings=lambda: distinct[torch.arange(24) % 5].expand(2, -1, -1))
    for chosen in select(CDPruner(12), given):
        assert {token % 5 for token in chosen[:5]} == set(range(5))
        assert chosen[5:] == [token for token in range(24) if token not in chosen[:5]][:7]


def test_cdpruner_without_text_after_the_image_takes_the_text_before():
    given = features(4, 4, rows=1, seed=4)
    text = given.text()
    before = Text(text.ids[:, :2], text.embeddings[:, :2], text.present[:, :2], torch.zeros(1, 2, dtype=torch.bool))
    after = before._replace(after_image=torch.ones(1, 2, dtype=torch.bool))
    assert select(CDPruner(5), replace(given, text=lambda: before)) == select(
        CDPruner(5), replace(given, text=lambda: after)
    )


def test_cdpruner_of_equally_relevant_tokens_is_their_determinant_alone():
    given = features(4, 4, rows=1, seed=4)
    across = given.embeddings().clone()
    across[..., 0] = 0
    words = given.text()._replace(embeddings=torch.eye(8)[:1].expand(1, 7, -1))
    given = replace(given, embeddings=lambda: across, text=lambda: words)
    x = torch.nn.functional.normalize(across[0].double(), dim=-1)
    chosen = [0]  # all are equal at first
    while len(chosen) < 6:
        logs = [(torch.logdet((x @ x.T)[[*chosen, i]][:, [*chosen, i]]), -i) for i in range(16) if i not in chosen]
        chosen.append(-max(logs)[1])
    assert select(CDPruner(6), given) == [chosen]


# ---- SparseVLM


def clustered(points, count):
    """For each point, its centre, by density peaks. Of two points of one density, the first is the denser one."""
    distance = [[math.dist(x, y) / math.sqrt(len(x)) for y in points] for x in points]
    density = [math.exp(-sum(d * d for d in sorted(row)[:count]) / count) for row in distance]
    farthest = max(map(max, distance))
    places = range(len(points))
    denser = [[j for j in places if (density[j], -j) > (density[i], -i)] for i in places]
    peak = [density[i] * min([distance[i][j] for j in denser[i]], default=farthest) for i in places]
    centres = sorted(range(len(points)), key=lambda i: -peak[i])[:count]
    return [i if i in centres else min(centres, key=lambda c: distance[i][c]) for i in range(len(points))]


def sparsevlm(given, row, count, recycled):
    """(tokens that stay unchanged, for each token that becomes a mean the tokens of which)."""
    tokens, words = tokens_of(given, row), words_of(given, row)
    relevance = dict.fromkeys(words, 0.0)
    text, paid = given.text().embeddings[row].double(), given.paid_by_text()[row].double()
    for token in tokens:
        products = [math.exp(float(given.embeddings()[row, token].double() @ text[word])) for word in words]
        for word, product in zip(words, products, strict=True):
            relevance[word] += product / sum(products) / len(tokens)
    raters = [word for word in words if relevance[word] > 1 / len(words)]
    score = {token: sum(float(paid[word, token]) for word in raters) / len(raters) for token in tokens}
    order = sorted(tokens, key=lambda token: -score[token])
    pool = int((len(tokens) - count) * recycled) + 1 if recycled and count < len(tokens) else 0
    means = min(pool // 10 + 1, count // 2) if pool else 0
    if means == 0:
        return order[:count], {}
    rest = order[count - means :][:pool]
    points = [given.hidden()[row, token].double().tolist() for token in rest]
    joined = {}
    for token, centre in zip(rest, clustered(points, means), strict=True):
        joined.setdefault(rest[centre], []).append(token)
    return order[: count - means], joined


@pytest.mark.parametrize("recycled", [0.3, 0.0, 1.0])
def test_sparsevlm_equals_loops_written_from_the_description(given, recycled):
    for count in COUNTS:
        method = SparseVLM(count, recycled=recycled, **ONE_STAGE)
        counts = Count(count).count(given)
        chosen = method.select(given, counts)
        kept = mask_from_indices(chosen, given.valid.shape[1])
        into = method.merge(given, kept)
        for row in range(3):
            best, joined = sparsevlm(given, row, int(counts[row]), recycled)
            assert kept[row].nonzero().flatten().tolist() == sorted([*best, *joined])
            assert chosen[row, : len(best)].tolist() == best
            expected = [-1] * kept.shape[1]
            for centre, members in joined.items():
                for member in members:
                    expected[member] = centre
            assert expected == ([-1] * kept.shape[1] if into is None else into[row].tolist())


def test_sparsevlm_counts_means_as_the_authors_do():
    """576 to 300: 83 of the 276 dropped are clustered, and make nine means; there they come on top of 300."""
    method = SparseVLM(300)
    assert method._pool(576, 300) == 83
    assert method.clusters(576, 300) == 9
    assert [method.clusters(*pair) for pair in ((300, 300), (576, 1), (576, 10), (20, 19))] == [0, 0, 5, 1]


def test_sparsevlm_has_the_layers_of_the_authors_and_others_in_shallow_decoders():
    assert list(placed(SparseVLM(0.2), 32)) == [3, 7, 16]
    assert [list(placed(SparseVLM(0.2), depth)) for depth in (4, 5, 6, 8)] == [
        [1, 2, 3],
        [1, 2, 3],
        [1, 2, 3],
        [1, 2, 4],
    ]
    with pytest.raises(UserError, match="two stages before layer 2"):
        placed(SparseVLM(0.2, layers=(2, 2)), 8)


def test_sparsevlm_needs_text_after_the_image():
    given = features(4, 4)
    text = given.text()
    nothing = text._replace(after_image=text.after_image & torch.tensor([[True], [False]]))
    with pytest.raises(UserError, match="sparsevlm .*prompt 1"):
        select(SparseVLM(4), replace(given, text=lambda: nothing))


def test_one_word_rates_alone():
    given = features(4, 4, rows=1)
    text = given.text()
    one = text._replace(after_image=torch.arange(7)[None] == 3)
    chosen = select(SparseVLM(4, recycled=0, **ONE_STAGE), replace(given, text=lambda: one))
    assert chosen == [given.paid_by_text()[0, 3].topk(4).indices.tolist()]


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_density_peaks_equal_a_loop_over_points(count):
    points = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(count))
    valid = torch.ones(3, 20, dtype=torch.bool)
    valid[1, ::4] = False
    counts = torch.tensor([count, min(count, 15), 0])
    found = density_peaks(points, counts, valid)
    for row in (0, 1):
        index = valid[row].nonzero().flatten().tolist()
        expected = clustered(points[row][valid[row]].double().tolist(), int(counts[row]))
        assert found[row][valid[row]].tolist() == [index[centre] for centre in expected]
        assert (found[row][~valid[row]] == -1).all()
    assert (found[2] == -1).all()


def test_density_peaks_of_equal_points():
    points, valid = torch.ones(1, 6, 3) * 0.1, torch.ones(1, 6, dtype=torch.bool)
    assert density_peaks(points, torch.tensor([2]), valid).tolist() == [[0, 1, 0, 0, 0, 0]]


# ---- all


@pytest.mark.slow
@pytest.mark.parametrize("cls", [CDPruner, DART, SparseVLM], ids=lambda cls: cls.name)
def test_flat_pictures_batches_and_spectral_budgets(cls, given):
    flat = replace(
        given,
        embeddings=lambda: torch.full_like(given.embeddings(), 0.3),
        hidden=lambda: torch.full_like(given.hidden(), 0.3),
        final=lambda: (torch.full_like(given.final()[0], 0.3), given.final()[1]),
        last_keys=lambda: (torch.full_like(given.last_keys()[0], 0.3), given.last_keys()[1]),
        paid_by_text=lambda: torch.full_like(given.paid_by_text(), 0.1),
    )
    for which in (given, flat):
        for keep in (3, 0.3, 0.9, SpectralBudget(0.9)):
            method = cls(keep)
            expected = method.budget.count(which).tolist()
            chosen = select(method, which)
            assert [len(set(row)) for row in chosen] == [len(row) for row in chosen] == expected
            for row in range(3):
                assert which.valid[row, chosen[row]].all()
                assert select(cls(expected[row]), of_row(which, row)) == [chosen[row]]


def test_newlines_are_tokens_like_others_without_a_tower():
    given = with_newlines(features(images=[(3, 4), (5, 5)], rows=2, seed=4), image=1)
    assert [len(set(row)) for row in select(CDPruner(20), given)] == [20, 20]


@pytest.mark.parametrize("wrong", [{"image_pivots": 0}, {"text_pivots": -1}, {"image_pivots": 1.5}])
def test_wrong_parameters_of_dart_are_refused(wrong):
    with pytest.raises(UserError):
        DART(0.1, **wrong)


@pytest.mark.parametrize("wrong", [{"recycled": 1.5}, {"recycled": -0.1}, {"layers": ()}, {"layers": 3}])
def test_wrong_parameters_of_sparsevlm_are_refused(wrong):
    with pytest.raises(UserError):
        SparseVLM(0.1, **wrong)


@pytest.mark.parametrize("wrong", [{"clip": "a"}, {"tokenizer": "a"}, {"clip": 3, "tokenizer": "a"}])
def test_wrong_parameters_of_cdpruner_are_refused(wrong):
    with pytest.raises(UserError):
        CDPruner(0.1, **wrong)

"""What a function task is tried on: many inputs from a seed, with the cases that tell misconceptions apart."""

import numpy as np

from .tasks import find_task


def inputs(task_id: str, seed: int) -> list:
    """Return a list of argument lists for a function task; all arguments are plain (numbers, texts, arrays).

    The same seed gives the same inputs. A value task has none: an empty list.
    """
    task = find_task(task_id)
    rng = np.random.default_rng([int(seed), int(task.id[:2]), int(task.id[3:])])
    return _MAKERS[task.id](rng) if task.kind == "function" else []


def _names(rng):
    """01.2: file names of the set's scheme, irregular ones and namesakes included."""
    numbers = rng.choice(1500, 12, replace=False) + 1
    names = []
    for k, number in enumerate(numbers[:6]):
        films = rng.choice(4000, 3, replace=False) + 1
        names += [f"person{number}_bacteria_{films[0]}.jpeg", f"person{number}_bacteria_{films[1]}.jpeg"]
        if k % 2 == 0:
            names.append(f"person{number}_virus_{films[2]}.jpeg")
    names.append(f"person{numbers[0]}_virus_{rng.integers(4000, 5000)}_1.jpeg")
    for k, number in enumerate(numbers[6:]):
        names.append(f"IM-{number:04d}-0001.jpeg")
        names.append(f"IM-{number:04d}-0001-000{k + 2}.jpeg")
        if k % 2 == 0:
            names.append(f"NORMAL2-IM-{number:04d}-0001.jpeg")
    return [[str(name)] for name in rng.permutation(names)]


def _patients(rng, n, most):
    counts = rng.integers(1, most + 1, n)
    names = np.array([f"child{k}" for k in rng.permutation(9000)[:n]])
    return rng.permutation(np.repeat(names, counts))


def _splits(rng):
    """01.4: patients, share, seed; the last two repeat the first, once with the same seed and once with another."""
    cases = [[_patients(rng, int(n), int(most)), float(share), int(rng.integers(1, 1000))]
             for n, most, share in ((60, 4, 0.2), (40, 1, 0.25), (80, 8, 0.15), (30, 3, 0.4))]
    first = cases[0]
    return [*cases, [first[0].copy(), first[1], first[2]], [first[0].copy(), first[1], first[2] + 1]]


def _hashes(rng):
    """01.5: hashes and split of films, with copies inside train, inside test, and across."""
    cases = []
    for k, n in enumerate((40, 60, 90)):
        hashes = np.array([f"{value:08x}" for value in rng.choice(2**32, n, replace=False)])
        split = rng.permutation(np.repeat(["test", "train"], (n // 3, n - n // 3)))
        train, test = rng.permutation(np.flatnonzero(split == "train")), rng.permutation(np.flatnonzero(split == "test"))
        hashes[train[1]] = hashes[train[0]]
        hashes[test[1]] = hashes[test[0]]
        hashes[test[2]] = hashes[test[3]] = hashes[train[2]]  # two test films of one picture
        hashes[test[4]] = hashes[train[3]] = hashes[train[4]] = hashes[train[5]]
        hashes[test[5 : 5 + k]] = hashes[train[6 : 6 + k]]
        cases.append([hashes, split])
    return cases


def _pictures(rng):
    """02.3: stored films, uint8 [n, h, w]."""
    return [[rng.integers(0, 256, shape).astype(np.uint8)] for shape in ((3, 8, 8), (1, 6, 10), (5, 4, 4))]


def _features(rng):
    """02.4: train [n, d] and val [m, d] features; val lies elsewhere, and one feature never moves."""
    cases = []
    for n, m, d in ((40, 12, 5), (25, 25, 3), (60, 8, 7)):
        train = rng.normal(rng.normal(0, 3, d), rng.uniform(0.5, 4, d), (n, d))
        val = rng.normal(train.mean(0) + 1.5, 2.0, (m, d))
        train[:, -1], val[:, -1] = 0.5, 1.5  # never moves in training; another scanner in validation
        cases.append([train, val])
    return cases


def _labels(rng):
    """02.5: labels of unbalanced training films."""
    return [[rng.permutation(np.repeat([0, 1], counts))] for counts in ((30, 70), (80, 20), (13, 37), (50, 5))]


def _head(rng):
    """02.6: features and labels of training and validation films; many features, few films, so that a head learns by heart."""
    cases = []
    for n, m, d in ((60, 80, 25), (80, 60, 30), (70, 90, 20)):
        direction = rng.normal(0, 1, d) / np.sqrt(d)
        labels = [rng.permutation(np.repeat([0, 1], (k - 2 * k // 3, 2 * k // 3))) for k in (n, m)]
        parts = [rng.normal(0, 1, (len(y), d)) + 0.9 * np.outer(2 * y - 1, direction) for y in labels]
        cases.append([parts[0], labels[0], parts[1], labels[1]])
    return cases


def _batch(rng):
    """03.4: a batch [n, c] and a layer's stored mean, variance, gamma, beta, each [c]; one channel never varied."""
    cases = []
    for n, c in ((6, 3), (16, 4), (2, 5)):
        cases.append([rng.normal(2, 3, (n, c)), rng.normal(0, 1, c), rng.uniform(0.2, 6, c), rng.uniform(0.5, 2, c), rng.normal(0, 1, c)])
    cases[1][2][-1] = 0.0  # a channel that never varied
    cases[1][0][:, -1] = cases[1][1][-1] + 0.05  # and moves a little now
    return cases


def _steps(rng):
    """03.5: step, warmup, total, peak."""
    cases = []
    for warmup, total, peak in ((50, 500, 3e-4), (64, 400, 1e-3)):
        steps = [0, 1, warmup // 2, warmup - 1, warmup, *rng.integers(warmup + 1, total - 2, 12), total // 2, (total + warmup) // 2, total - 1]
        cases += [[int(step), warmup, total, peak] for step in steps]
    return cases


def _aucs(rng):
    """03.6: validation AUCs epoch by epoch, patience."""
    made = [[[0.80, 0.85, 0.84, 0.86, 0.85, 0.85, 0.84, 0.90], 3], [[0.70, 0.75, 0.80, 0.85], 2], [[0.90, 0.90, 0.90, 0.90, 0.95], 3],
            [[0.90, 0.89, 0.88, 0.87, 0.86], 1], [[0.60, 0.70, 0.65, 0.72, 0.71, 0.70, 0.74], 2]]
    for patience in (1, 2, 3):
        for _ in range(4):
            rise = 0.7 + 0.2 * (1 - np.exp(-np.arange(12) / rng.uniform(1, 4)))
            made.append([[round(float(v), 3) for v in rise + rng.normal(0, 0.02, 12)], patience])
    return made


def _scored(rng, n, decimals=2, spread=1.2, share=0.5):
    labels = rng.permutation(np.repeat([0, 1], (n - round(n * share), round(n * share))))
    logit = 0.8 * (2 * labels - 1) + rng.normal(0, spread, n) + 0.3
    return labels, np.round(1 / (1 + np.exp(-1.6 * logit)), decimals)


def _at(rng):
    """04.2: labels, probabilities, threshold; films of both classes lie exactly on it."""
    cases = []
    for n, threshold, share in ((60, 0.5, 0.6), (90, 0.3, 0.3), (120, 0.75, 0.7)):
        labels, probabilities = _scored(rng, n, share=share)
        for label in (0, 1):
            probabilities[rng.choice(np.flatnonzero(labels == label), 3, replace=False)] = threshold
        cases.append([labels, probabilities, threshold])
    return cases


def _ranked(rng):
    """04.3: labels, probabilities, with ties between the classes; the last model ranks the wrong way round."""
    cases = [list(_scored(rng, n, decimals=1, share=share)) for n, share in ((50, 0.5), (80, 0.3), (120, 0.65))]
    labels, probabilities = _scored(rng, 70, decimals=1)
    return [*cases, [1 - labels, probabilities]]


def _costly(rng):
    """04.4: labels, probabilities, cost of a missed pneumonia, cost of a false alarm; few steps, so that a tie costs, and none of them
    on the hundredths, where a grid of thresholds would hang on the last bit."""
    def beside(labels, probabilities):
        return labels, np.round(np.clip(probabilities - 0.003, 0.001, 1), 3)

    return [[*beside(*_scored(rng, n, share=share)), missed, alarm] for n, share, missed, alarm in
            ((120, 0.4, 10.0, 1.0), (150, 0.5, 1.0, 8.0), (200, 0.3, 30.0, 2.0), (160, 0.6, 3.0, 3.0))]


def _moved(rng):
    """04.6: probabilities, prevalence where the model learned, prevalence where it is used."""
    return [[np.round(rng.uniform(0.01, 0.99, 20), 3), then, now] for then, now in ((0.6, 0.05), (0.5, 0.1), (0.3, 0.7), (0.74, 0.62))]


_MAKERS = {
    "01.2": _names, "01.4": _splits, "01.5": _hashes, "02.3": _pictures, "02.4": _features, "02.5": _labels, "02.6": _head,
    "03.4": _batch, "03.5": _steps, "03.6": _aucs, "04.2": _at, "04.3": _ranked, "04.4": _costly, "04.6": _moved,
}

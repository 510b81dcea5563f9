import os
import pathlib
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from rotnet_keras import (
    FileError,
    InputError,
    align_maps,
    attach_head,
    cut,
    extract_features,
    join_blocks,
    plot_umap,
    two_conv_extractor,
    umap_points,
)
from rotnet_keras.viewing import maps


def test_map_keeps_groups_apart_and_repeats():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], 60)
    features = rng.normal(size=(120, 6)) + 30 * groups[:, None]
    points = umap_points(features, seed=2, cache=False)
    assert points.shape == (120, 2)
    np.testing.assert_array_equal(points, umap_points(features, seed=2, cache=False))
    centres = [points[groups == group].mean(axis=0) for group in (0, 1)]
    spread = max(points[groups == group].std(axis=0).max() for group in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread


def test_a_map_of_a_network_is_that_of_its_features(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 12, 12, 1), "uint8")
    extractor = two_conv_extractor((12, 12, 1))
    points = umap_points(extract_features(extractor, images), seed=3, cache=False)
    for model in (extractor, attach_head(extractor, 3)):
        ax = plot_umap(model, images, np.arange(9) % 2, seed=3, cache=tmp_path)
        drawn = np.concatenate([dots.get_offsets() for dots in ax.collections])
        np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(points, axis=0))
    assert len([*tmp_path.iterdir()]) == 1
    maps_of_block = cut(extractor, "pool2")
    with pytest.raises(InputError, match=r"model must give vectors \(B, D\), got .* output"):
        plot_umap(maps_of_block, images, np.arange(9))
    with pytest.raises(InputError, match="images must be 4 or more to be mapped, got 3"):
        plot_umap(extractor, images[:3], np.arange(3))


def test_map_of_the_fewest():
    assert umap_points(np.random.default_rng(0).normal(size=(4, 3))).shape == (4, 2)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            np.zeros((3, 5)),
            r"features must be \(N, D\) with N at least 4, got float64 of .*\(3, 5\)",
        ),
        (np.zeros(9), r"features must be \(N, D\) with N at least 4, got float64 of .*\(9,\)"),
        (np.full((9, 2), np.nan), "features must be finite, got nan to nan"),
    ],
)
def test_map_of_nothing(features, message):
    with pytest.raises(ValueError, match=message):
        umap_points(features)


@pytest.fixture
def laid_out(monkeypatch):
    """Stand in for UMAP's work, and count how often it was done."""
    done = []

    def lay_out(features, seed, settings):
        done.append((seed, settings["n_neighbors"]))
        return np.float32(features[:, :2] + seed)

    monkeypatch.setattr(maps, "_lay_out", lay_out)
    return done


def test_the_same_map_is_laid_out_once(laid_out, tmp_path):
    features = np.random.default_rng(0).normal(size=(9, 3))
    for _ in range(2):
        points = umap_points(features, seed=1, cache=tmp_path)
        np.testing.assert_array_equal(points, np.float32(features[:, :2] + 1))
    assert laid_out == [(1, 8)]
    umap_points(features, seed=2, cache=tmp_path)
    umap_points(features, seed=1, n_neighbors=3, cache=tmp_path)
    umap_points(features + 1, seed=1, cache=tmp_path)
    umap_points(features, seed=1, cache=tmp_path / "other")
    umap_points(features, seed=1, cache=False)
    assert laid_out == [(1, 8), (2, 8), (1, 3), (1, 8), (1, 8), (1, 8)]


class Opened:
    """Tells when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("opened",)


@pytest.mark.parametrize(
    "other",
    [
        b"torn",
        np.zeros((8, 2), "float32"),
        np.zeros((9, 2)),
        np.full((9, 2), np.nan, "float32"),
        np.array([Opened()]),
    ],
)
def test_what_is_no_map_is_laid_out_anew(laid_out, tmp_path, other, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features = np.random.default_rng(0).normal(size=(9, 3))
    umap_points(features, cache=tmp_path)
    (kept,) = tmp_path.rglob("*.npy")
    kept.write_bytes(other) if isinstance(other, bytes) else np.save(kept, other)
    for _ in range(2):
        points = umap_points(features, cache=tmp_path)
        np.testing.assert_array_equal(points, np.float32(features[:, :2]))
    assert len(laid_out) == 2
    assert not (tmp_path / "opened").exists()


def test_old_maps_make_room(laid_out, tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "LARGEST_CACHE", 450)  # each is 72 bytes and a header of 128
    old = tmp_path / "maps" / "joblib" / "output.pkl"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of version 0.1")
    for seed in range(3):
        umap_points(np.zeros((9, 3)), seed=seed, cache=tmp_path)
        newest = max(tmp_path.rglob("*.npy"), key=os.path.getmtime)
        os.utime(newest, (seed, seed))
    umap_points(np.zeros((9, 3)), seed=2, cache=tmp_path)
    umap_points(np.zeros((9, 3)), seed=0, cache=tmp_path)
    assert [seed for seed, _ in laid_out] == [0, 1, 2, 0]
    assert not old.exists()


@pytest.mark.parametrize("times", [2, 3, 20])
def test_repeated_rows_have_one_map(times):
    """On which UMAP by itself differs by many units from call to call."""
    rows = np.random.default_rng(0).normal(size=(180 // times, 6))
    features = np.repeat(rows, times, axis=0)
    first, again = (umap_points(features, seed=1, cache=False, n_epochs=30) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()


@pytest.mark.parametrize("shape", [(30, 4), (30, 1)])
def test_rows_that_are_all_the_same(shape):
    maps_of_them = [umap_points(np.ones(shape), cache=False) for _ in range(2)]
    np.testing.assert_array_equal(*maps_of_them)
    assert np.isfinite(maps_of_them[0]).all()


def test_a_start_that_umap_gives_up_is_another(monkeypatch):
    def fails(*_, **__):
        warnings.warn("Spectral initialisation failed! The eigenvector solver", stacklevel=1)
        return np.random.default_rng().normal(size=(60, 2))

    monkeypatch.setattr("umap.umap_.spectral_layout", fails)
    features = np.random.default_rng(0).normal(size=(60, 6))
    first, again = (umap_points(features, cache=False, n_epochs=20) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("kind", "exponent"), [("float32", 100), ("float64", 700), ("float32", -90)]
)
def test_the_size_of_features_means_nothing(kind, exponent):
    features = np.random.default_rng(0).normal(size=(60, 6)).astype("float32")
    features *= 2.0 ** -np.frexp(np.abs(features).max())[1]
    other = features.astype(kind) * np.array(2.0**exponent, kind)
    usual, unusual = (umap_points(x, cache=False, n_epochs=20) for x in (features, other))
    np.testing.assert_allclose(unusual, usual, atol=1e-3)


def test_where_maps_are_kept(laid_out, tmp_path, monkeypatch):
    features = np.zeros((9, 3))
    monkeypatch.setenv("ROTNET_KERAS_CACHE", str(tmp_path / "named"))
    umap_points(features)
    assert list((tmp_path / "named").rglob("*.npy"))
    monkeypatch.delenv("ROTNET_KERAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))
    umap_points(features)
    assert list((tmp_path / "users" / "rotnet_keras").rglob("*.npy"))
    monkeypatch.setenv("ROTNET_KERAS_CACHE", "/dev/null/nowhere")  # then it is made without one
    assert len(umap_points(features)) == 9
    with pytest.raises(OSError, match="must be a folder that can be written"):
        umap_points(features, cache="/dev/null/nowhere")


def test_a_user_without_a_home_gets_a_map(laid_out, tmp_path, monkeypatch):
    monkeypatch.delenv("ROTNET_KERAS_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def expanduser(path):
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(pathlib.Path, "expanduser", expanduser)
    assert len(umap_points(np.zeros((9, 3)))) == 9
    assert len(umap_points(np.zeros((9, 3)), cache=tmp_path)) == 9
    assert len(laid_out) == 2


def test_the_users_own_arrays_beside_ours_stay(laid_out, tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "LARGEST_CACHE", 0)
    np.save(tmp_path / "own.npy", np.zeros(3))
    umap_points(np.zeros((9, 3)), cache=tmp_path)
    assert list(tmp_path.rglob("*.npy")) == [tmp_path / "own.npy"]


def test_many_images_have_the_neighbours_that_a_look_at_all_finds(monkeypatch):
    features = np.random.default_rng(0).normal(size=(4200, 5)).astype("float32")
    given = maps._exact_neighbours(features, {"n_neighbors": 7, "n_jobs": 1})
    indices, distances = given["precomputed_knn"]
    np.testing.assert_array_equal(indices[:, 0], np.arange(4200))
    asked = features[17]
    nearest = np.argsort(np.linalg.norm(features - asked, axis=1))[:7]
    np.testing.assert_array_equal(indices[17], nearest)
    np.testing.assert_allclose(
        distances[17, 1:], np.sort(np.linalg.norm(features - asked, axis=1))[1:7], rtol=1e-4
    )
    assert maps._exact_neighbours(features[:4000], {"n_neighbors": 7}) == {}
    assert maps._exact_neighbours(features, {"n_neighbors": 7, "metric": "cosine"}) == {}


def test_real_classes_are_neighbours_on_the_map(splits):
    """Half a thousand images are more often beside their own class than chance, one in ten."""
    if splits.stand_in:
        pytest.skip("it is said of Fashion-MNIST, which cannot be had here")
    images, labels = splits.test.images[:5000], splits.test.labels[:5000]
    features = extract_features(join_blocks(two_conv_extractor(splits.image_shape), [2]), images)
    points = umap_points(features, n_epochs=50)
    beside = NearestNeighbors(n_neighbors=2).fit(points).kneighbors(points)[1][:, 1]
    assert (labels[beside] == labels).mean() > 0.5


turns = st.floats(0, 6.28)
numbers = st.floats(-100, 100, width=32)


@given(arrays("float64", (7, 2), elements=numbers), turns, st.booleans(), st.floats(0.1, 10))
def test_aligned_maps_differ_in_nothing_that_means_nothing(points, angle, mirrored, scale):
    points = points + np.random.default_rng(0).normal(size=(7, 2))  # never all in one place
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    other = scale * points @ turn + 5
    if mirrored:
        other[:, 0] *= -1
    first, second = align_maps([points, other])
    np.testing.assert_allclose(first, second, atol=1e-4)
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=1e-5)
    assert np.linalg.norm(first, axis=1).mean() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("kind", "size"), [("float16", 1000), ("float64", 1e200)])
def test_maps_whose_squares_are_too_large_are_aligned(kind, size):
    points = np.array([[0, 0], [1, 0], [0, 1]])
    small, large = align_maps([points, (size * points).astype(kind)])
    np.testing.assert_allclose(small, large, atol=1e-3)


def test_maps_in_one_place_and_maps_that_do_not_fit():
    (only,) = align_maps([np.ones((3, 2))])
    np.testing.assert_array_equal(only, np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"maps must be \(N, 2\), N at least 1 and the same, got"):
        align_maps([np.zeros((3, 2)), np.zeros((4, 2))])


@pytest.mark.slow
def test_a_map_that_another_process_has_drawn_is_found(monkeypatch):
    features = np.random.default_rng(5).normal(size=(60, 8)).astype("float32")
    assert maps.begin_map(features, seed=3).wait() == 0
    expected = umap_points(features, seed=3, cache=False)
    monkeypatch.setattr(maps, "_lay_out", None)  # nothing is laid out again
    np.testing.assert_array_equal(umap_points(features, seed=3), expected)


def test_no_process_draws_a_map_that_cannot_be_kept(monkeypatch):
    monkeypatch.setenv("ROTNET_KERAS_CACHE", "/dev/null/nowhere")
    assert maps.begin_map(np.zeros((9, 2)), seed=0) is None


@pytest.mark.parametrize(
    "settings", [{"n_neighbors": 2.5}, {"n_neighbors": 1}, {"n_components": 3}]
)
def test_settings_that_lay_out_nothing_flat(settings):
    with pytest.raises(
        InputError, match="settings must have a whole number of at least 2 as n_nei"
    ):
        umap_points(np.eye(6), cache=False, **settings)


def test_a_cache_in_the_home_of_nobody():
    with pytest.raises(FileError, match="cache must be a folder that can be written, got ~nobody-"):
        umap_points(np.eye(6), cache="~nobody-of-this-name/maps")

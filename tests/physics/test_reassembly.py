"""Merging a group: patches of one object come back, and patches that disagree are averaged as counted by hand."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho_mlf.physics.reassembly import reassemble

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=30)
GROUP = np.array([[0, 0], [0, 4], [4, 0], [4, 4]])


def noise(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def cut(object_, corners, N):
    return np.stack([object_[r : r + N, c : c + N] for r, c in corners])[None]


@given(
    st.sampled_from([8, 16, 18, 32]),
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=6),
    st.integers(0, 2**32 - 1),
)
@DETERMINISTIC
def test_patches_of_one_object_come_back(N, corners, seed):
    patches = cut(noise(N + 18, N + 18, seed=seed), np.array(corners) + 9, N)
    got = reassemble(torch.tensor(patches), np.array(corners)).numpy()
    assert np.all(np.abs(got - patches) <= 1e-3 * np.abs(patches))


@pytest.mark.parametrize(
    ("N", "offsets"), [(16, GROUP), (16, GROUP[[3, 0, 2, 1]] - 7), (18, GROUP * 3 // 4), (8, GROUP * 3)]
)
def test_patches_that_disagree_are_averaged_over_the_central_windows(N, offsets):
    """Counted pixel by pixel: `sum / (count + 0.001)` where a window reaches, the patch's own value elsewhere."""
    patches = noise(2, 4, N, N)
    first = (N - N // 2) // 2
    central = range(first, first + N // 2)
    expected = np.empty_like(patches)
    covered = np.zeros((4, N, N), bool)
    for c, r, q in np.ndindex(4, N, N):
        there = [(d, *(offsets[c] - offsets[d] + (r, q))) for d in range(4)]
        seen = [patches[:, d, y, x] for d, y, x in there if y in central and x in central]
        covered[c, r, q] = bool(seen)
        expected[:, c, r, q] = sum(seen) / (len(seen) + 0.001) if seen else patches[:, c, r, q] / 1.001
    assert covered.any()
    assert not covered.all()
    got = reassemble(torch.tensor(patches), offsets)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_fractional_offsets_are_translated_as_scipy_does():
    offsets = np.array([[0.0, 0.0], [0.25, 3.5], [4.0, 1.75]])
    N, S, first = 16, 20, 4
    patches = noise(1, 3, N, N)

    def shifted(image, by):
        return scipy.ndimage.shift(image, by, order=1, mode="grid-constant", prefilter=False)

    sums, count = np.zeros((S, S), complex), np.zeros((S, S))
    for c, offset in enumerate(offsets):
        window = np.zeros((S, S), complex)
        window[first : first + N // 2, first : first + N // 2] = patches[0, c, first : first + 8, first : first + 8]
        sums += shifted(window, offset)
        count += shifted((window != 0).astype(float), offset)
    for c, offset in enumerate(offsets):
        sum_c, count_c = (shifted(canvas, -offset)[:N, :N] for canvas in (sums, count))
        own = np.clip(1 - count_c, 0, None)
        expected = (sum_c + own * patches[0, c]) / (count_c + own + 0.001)
        got = reassemble(torch.tensor(patches), offsets)[0, c]
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=4))
@DETERMINISTIC
def test_a_constant_comes_back_at_any_offset(offsets):
    patches = torch.full((1, len(offsets), 16, 16), 2.0 - 1.0j)
    got = reassemble(patches, np.array(offsets))
    torch.testing.assert_close(got, patches, rtol=1.001e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128, torch.float32])
def test_dtype_is_kept_and_groups_do_not_mix(dtype):
    patches = torch.randn(3, 4, 16, 16, dtype=dtype, generator=torch.Generator().manual_seed(0))
    got = reassemble(patches, GROUP)
    assert got.dtype == dtype
    torch.testing.assert_close(got[1:2], reassemble(patches[1:2], GROUP), rtol=0, atol=0)


def test_gradient():
    patches = torch.tensor(noise(1, 3, 6, 6)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: reassemble(p, np.array([[0, 0], [1, 2], [0.5, 1.25]])), patches)


@pytest.mark.parametrize(
    ("shape", "offsets"), [((1, 4, 16, 18), GROUP), ((1, 3, 16, 16), GROUP), ((1, 4, 16, 16), GROUP[0])]
)
def test_wrong_shapes_are_refused(shape, offsets):
    with pytest.raises(ValueError, match="reassemble: "):
        reassemble(torch.zeros(shape), offsets)

"""The forward operator: object patch x probe, then Fraunhofer diffraction (orthonormal FFT).

Shapes: B batch, C channels (patches of a group), P incoherent probe modes, N patch side in px.
"""

from __future__ import annotations

import torch
from torch import Tensor


def exit_wave(object_BCNN: Tensor, probe: Tensor) -> Tensor:
    """psi = O * P for every probe mode.

    Args:
        object_BCNN: complex object patches in normalised units.
        probe: complex, always rank 5: (B or 1, C or 1, P, N, N), same dtype as the object.

    Returns:
        (B, C, P, N, N) complex.

    Raises:
        ValueError: a tensor of another rank, shape or dtype. Nothing broadcasts that is not a size-1 axis: a probe of
            shape (B, N, N) would otherwise put the batch on the mode axis and let patterns leak into each other.
    """
    if object_BCNN.ndim != 4 or not object_BCNN.is_complex():
        raise ValueError(f"object: must be complex (B, C, N, N), got {object_BCNN.dtype} {tuple(object_BCNN.shape)}")
    _check_probe(probe, tuple(object_BCNN.shape), object_BCNN.dtype)
    return object_BCNN.unsqueeze(2) * probe


def propagate(object_BCNN: Tensor, probe: Tensor) -> Tensor:
    """F(O) = FFT2(O * P) / N, the field on the detector of every mode: linear in O and energy conserving.

    Zero frequency at pixel (0, 0). Arguments and errors as for `exit_wave`.

    Returns:
        (B, C, P, N, N) complex.
    """
    return torch.fft.fft2(exit_wave(object_BCNN, probe), norm="ortho")


def adjoint(field_BCPNN: Tensor, probe: Tensor) -> Tensor:
    """F*(V) = sum over modes of conj(P) * N * IFFT2(V), the adjoint of `propagate` with respect to the object.

    <F(O), V> = <O, F*(V)> for every O and V.

    Args:
        field_BCPNN: complex field on the detector, zero frequency at pixel (0, 0).
        probe: as for `exit_wave`.

    Returns:
        (B, C, N, N) complex.

    Raises:
        ValueError: a tensor of another rank, shape or dtype.
    """
    if field_BCPNN.ndim != 5 or not field_BCPNN.is_complex():
        raise ValueError(f"field: must be complex (B, C, P, N, N), got {field_BCPNN.dtype} {tuple(field_BCPNN.shape)}")
    B, C, P, *NN = field_BCPNN.shape
    _check_probe(probe, (B, C, *NN), field_BCPNN.dtype)
    if probe.shape[2] != P:
        raise ValueError(f"field: has {P} modes, the probe {probe.shape[2]}")
    return (torch.fft.ifft2(field_BCPNN, norm="ortho") * probe.conj()).sum(dim=2)


def far_field_amplitude(object_BCNN: Tensor, probe: Tensor, gain: float | Tensor = 1.0) -> Tensor:
    """Predicted diffraction amplitude A = gain * fftshift(sqrt(sum over modes of |F(O)|^2)).

    Modes add up incoherently. The derivative where A = 0 is defined as 0 for any number of modes.

    Args:
        object_BCNN: complex object patches in normalised units.
        probe: as for `exit_wave`.
        gain: factor of the amplitude; 1 is the physics.

    Returns:
        (B, C, N, N) real, zero frequency at pixel (N // 2, N // 2).

    Raises:
        ValueError: as for `exit_wave`.
    """
    field_BCPNN = propagate(object_BCNN, probe)
    if field_BCPNN.shape[2] == 1:
        amplitude_BCNN = field_BCPNN.squeeze(2).abs()
    else:
        amplitude_BCNN = torch.linalg.vector_norm(field_BCPNN, dim=2)  # its gradient at 0 is 0, that of sqrt is not
    shifted_BCNN = torch.fft.fftshift(amplitude_BCNN, dim=(-2, -1))
    # A tensor is never compared with 1: that would wait for the device.
    return shifted_BCNN * gain if isinstance(gain, Tensor) or gain != 1.0 else shifted_BCNN


def _check_probe(probe: Tensor, object_shape: tuple[int, ...], dtype: torch.dtype) -> None:
    B, C, *NN = object_shape
    if probe.ndim != 5 or probe.shape[0] not in (1, B) or probe.shape[1] not in (1, C) or [*probe.shape[3:]] != NN:
        expected = f"({B} or 1, {C} or 1, P, {NN[0]}, {NN[1]})"
        raise ValueError(f"probe: must have shape {expected}, got {tuple(probe.shape)}")
    if probe.dtype != dtype:
        raise ValueError(f"probe: must be {dtype} like the object, got {probe.dtype}")

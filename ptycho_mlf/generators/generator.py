"""The network between a diffraction pattern and an object patch."""

from __future__ import annotations

from torch import Tensor, nn

from .heads import OutputHead, OutputMode
from .lifter import Lifter


class Generator(nn.Module):
    """Lifter, body, head: real (B, C, N, N) amplitudes -> complex (B, C, N, N) objects, both in normalised units.

    The body maps features to features and is what architectures differ in.
    """

    def __init__(self, N: int, channels: int, lifter: Lifter, body: nn.Module, head: OutputHead) -> None:
        super().__init__()
        self.N, self.channels = N, channels
        self.lifter = lifter
        self.body = body
        self.head = head

    @property
    def output_mode(self) -> OutputMode:
        """How the head makes complex numbers."""
        return self.head.output_mode

    def forward(self, amplitude_BCNN: Tensor) -> Tensor:
        """Predict object patches.

        Raises:
            ValueError: another shape than (B, C, N, N).
        """
        if amplitude_BCNN.ndim != 4 or amplitude_BCNN.shape[1:] != (self.channels, self.N, self.N):
            expected = f"(B, {self.channels}, {self.N}, {self.N})"
            raise ValueError(f"input {tuple(amplitude_BCNN.shape)}: this generator was built for {expected}")
        return self.head(self.body(self.lifter(amplitude_BCNN)))

"""An image made ready: turned, sampled, filtered, its frames aligned, with the table in step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperspy.signals import Signal2D

if TYPE_CHECKING:
    import numpy as np


class PreparedImage(Signal2D):
    """An image that can be turned, filtered and aligned without losing its table of atoms."""

    def rotate(
        self, angle: float | None = None, *, sublattice: str | None = None, order: int = 3
    ) -> PreparedImage:
        """Turn every frame about its middle, and the atoms with it.

        Parameters
        ----------
        angle
            Radians, counter-clockwise as displayed. If not given, that which lays the lattice
            vector nearer to the x axis along it.
        sublattice
            Whose lattice that is; the first of the table if not given.
        order
            Of the spline that samples the frames.

        Returns
        -------
        image
            float32, large enough for all of the frame; the corners are filled with the frame's
            mean. Lazy if the image is.

        Raises
        ------
        ValueError
            If the pixels are not square, or there is no lattice to read the angle from.
        """
        from hyperspy_rvae.signals.preparing import rotate

        return rotate(self, angle, sublattice, order)

    def upsample(self, factor: int, *, order: int = 3) -> PreparedImage:
        """Sample every frame more finely.

        Parameters
        ----------
        factor
            Pixels along x and along y for each of now.
        order
            Of the spline.

        Returns
        -------
        image
            float32; the axes say how fine it is, and the atoms follow them. Lazy if the image is.
            It holds no more than before: noise is spread over neighbouring pixels.
        """
        from hyperspy_rvae.signals.preparing import upsample

        return upsample(self, factor, order)

    def subtract_background(self, width: float) -> PreparedImage:
        """Subtract from every frame what varies slowly, and add the frame's mean.

        Parameters
        ----------
        width
            Standard deviation in pixels of the Gaussian mean that is subtracted; some distances
            between atoms.

        Returns
        -------
        image
            float32; the atoms stay where they are. Lazy if the image is.
        """
        from hyperspy_rvae.signals.preparing import subtract_background

        return subtract_background(self, width)

    def filter_band(self, fine: float, coarse: float) -> PreparedImage:
        """Filter every frame by the difference of two Gaussians in Fourier space, as temul.

        Parameters
        ----------
        fine, coarse
            Standard deviations in pixels of the Gaussians in real space: details finer than the
            one and variations coarser than the other are damped.

        Returns
        -------
        image
            float32, the mean of each frame kept; the atoms stay where they are. Lazy if the image
            is. Filtered neighbours share their noise, so positions are better refined on the
            image itself.
        """
        from hyperspy_rvae.signals.preparing import filter_band

        return filter_band(self, fine, coarse)

    def align_frames(
        self, shifts: np.ndarray | None = None, *, crop: bool = True, **kwargs: Any
    ) -> PreparedImage:
        """Align the frames of a movie rigidly by HyperSpy's ``align2D``, and the atoms with them.

        Parameters
        ----------
        shifts
            Drift of each frame, y and x in pixels, shape ``(frames, 2)``, as HyperSpy's
            ``estimate_shift2D`` gives it, which is called if they are not given.
        crop
            Whether to cut off what is not in every frame; otherwise it is 0.
        **kwargs
            Passed to ``estimate_shift2D``, such as ``sub_pixel_factor`` or ``roi``.

        Returns
        -------
        movie
            The atoms are moved by the same shifts; those that leave the frame are left out.
            ``mean()`` of it is the average frame, whose atoms are to be found anew.

        Raises
        ------
        ValueError
            If it is no movie along one axis, or the shifts are not one a frame.
        """
        from hyperspy_rvae.signals.preparing import align_frames

        return align_frames(self, shifts, crop, kwargs)

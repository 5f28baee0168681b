"""Lattices: what `stempede simulate columns` can be told, by one name each."""

from __future__ import annotations

from dataclasses import dataclass

from stempede.simulate.columns import Scene
from stempede.simulate.dot import Dot
from stempede.simulate.scan import Scan
from stempede.simulate.tilt_field import Tilt


@dataclass(frozen=True)
class Lattices:
    """A session of dots on CsPbX3 lattices, ``n_dots`` per frame, turned at random.

    Parameters
    ----------
    height_px, width_px, pixel_size_nm, dose
        The frame; dose in e/Å².
    n_dots, n_a, n_b, a_nm, b_nm, gamma_deg
        Dots, their B sites along a and b, their cell.
    rotation_deg
        Direction of a; 999 draws it for each dot.
    cut_corners, rounded, rim, missing_x, vacancies, thickness, thin_rim
        See ``dot.Dot``.
    tilt, tilt_deg, shell_deg, shell_layers, tilt_sd_deg, correlation_cells, wall
        See ``tilt_field.Tilt``; ``wall`` 999 is none.
    br_low, br_high, br_atoms
        Halide mixing along a.
    x_spread_pm, pbx_spread_pm, pbx_spread_deg
        Tilt that alternates along the beam.
    carbon, patches, amorphous
        Film texture, patches of thick film, patches without order.
    jitter_x_nm, jitter_y_nm, drift_y_nm, drift_x_nm
        Scan distortions within a frame.
    detector, gain, offset, read_noise
        ``counts`` or ``analog``.
    series, series_drift_nm
        Frames per series of fast scans of one and the same dots (0: every frame its own), and
        the drift from the first to the last of them.
    """

    height_px: int = 512
    width_px: int = 512
    pixel_size_nm: float = 0.015
    dose: float = 2000.0
    n_dots: int = 1
    n_a: int = 8
    n_b: int = 8
    a_nm: float = 0.6212
    b_nm: float = 0.6212
    gamma_deg: float = 90.0
    rotation_deg: float = 999.0
    cut_corners: int = 0
    rounded: int = 0
    rim: str = "full"
    missing_x: float = 0.0
    vacancies: int = 0
    thickness: float = 1.0
    thin_rim: float = 1.0
    tilt: str = "uniform"
    tilt_deg: float = 9.0
    shell_deg: float = 2.0
    shell_layers: int = 2
    tilt_sd_deg: float = 0.0
    correlation_cells: float = 2.0
    wall: float = 999.0
    br_low: float = 0.0
    br_high: float = 0.0
    br_atoms: int = 0
    x_spread_pm: float = 0.0
    pbx_spread_pm: float = 0.0
    pbx_spread_deg: float = 0.0
    carbon: float = 0.1
    patches: int = 0
    amorphous: int = 0
    jitter_x_nm: float = 0.008
    jitter_y_nm: float = 0.0024
    drift_y_nm: float = 0.0
    drift_x_nm: float = 0.0
    detector: str = "counts"
    gain: float = 37.0
    offset: float = 120.0
    read_noise: float = 0.25
    series: int = 0
    series_drift_nm: float = 1.0

    def scene(self) -> Scene:
        """Return the scene."""
        return Scene((self._dot(),) * self.n_dots, self._scan(), self.amorphous)

    def _dot(self) -> Dot:
        tilt = Tilt(
            self.tilt,
            self.tilt_deg,
            self.shell_deg,
            self.shell_layers,
            self.tilt_sd_deg,
            self.correlation_cells,
            None if self.wall >= 999 else self.wall,
        )
        return Dot(
            cells=(self.n_a, self.n_b),
            a_nm=self.a_nm,
            b_nm=self.b_nm,
            gamma_deg=self.gamma_deg,
            rotation_deg=None if self.rotation_deg >= 999 else self.rotation_deg,
            tilt=tilt,
            cut_corners=self.cut_corners,
            rounded=bool(self.rounded),
            rim=self.rim,
            missing_x=self.missing_x,
            vacancies=self.vacancies,
            thickness=self.thickness,
            thin_rim=self.thin_rim,
            br_low=self.br_low,
            br_high=self.br_high,
            br_atoms=self.br_atoms,
            x_spread_pm=self.x_spread_pm,
            pbx_spread_pm=self.pbx_spread_pm,
            pbx_spread_deg=self.pbx_spread_deg,
        )

    def _scan(self) -> Scan:
        return Scan(
            height_px=self.height_px,
            width_px=self.width_px,
            pixel_size_nm=self.pixel_size_nm,
            dose_e_per_A2=self.dose,
            carbon=self.carbon,
            patches=self.patches,
            jitter_x_nm=self.jitter_x_nm,
            jitter_y_nm=self.jitter_y_nm,
            drift_nm=(self.drift_y_nm, self.drift_x_nm),
            detector=self.detector,
            gain=self.gain,
            offset=self.offset,
            read_noise=self.read_noise,
        )

    def detector_facts(self) -> dict[str, float]:
        """Return what an instrument would tell of its detector and dose."""
        analog = self.detector == "analog"
        return {
            "dose_e_per_A2": self.dose,
            "gain_per_electron": self.gain if analog else 1.0,
            "offset": self.offset if analog else 0.0,
            "read_noise_electrons": self.read_noise if analog else 0.0,
        }

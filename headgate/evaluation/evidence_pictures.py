"""The pictures of the evidence page, each light and dark, as data URIs: the slow part of a page (seconds)."""

import base64
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from headgate.evaluation import load_pictures, pictures, shadow_pictures
from headgate.evaluation.evidence_record import Evidence
from headgate.evaluation.load_report import LoadReport
from headgate.release.shadow_report import ShadowReport

CSS_PIXELS_PER_INCH = 80

Picture = dict[str, Any]
Drawn = dict[str, list[Picture]]


def draw(evidence: Evidence) -> Drawn:
    """The page's pictures by section: reliability, load and shadow."""
    report = evidence.report
    models = [("Candidate", report.candidate), *([("Champion", report.champion)] if report.champion else [])]
    return {
        "reliability": [_picture("Reliability of the scores", pictures.reliability_figure, models)],
        "load": _load(evidence.load) if evidence.load else [],
        "shadow": _shadow(evidence.shadow) if evidence.shadow and evidence.shadow.labels else [],
    }


def _load(load: LoadReport) -> list[Picture]:
    figures = [("Latency", load_pictures.latency_figure), ("Latency by second", load_pictures.timeline_figure)]
    if load.stairs:
        figures.append(("Steps of rising rate", load_pictures.stairs_figure))
    return [_picture(shows, figure, load) for shows, figure in figures]


def _shadow(shadow: ShadowReport) -> list[Picture]:
    return [_picture("Answers of champion and candidate to the same requests", shadow_pictures.matrix_figure, shadow)]


def _picture(shows: str, figure: Callable[[Any, pictures.Theme], Figure], subject: Any) -> Picture:
    """Data URIs of one picture in both themes, and the width in CSS pixels at which its text is as large as the page's small text."""
    light, dark = pictures.png(figure(subject, "light")), pictures.png(figure(subject, "dark"))
    width = int.from_bytes(light[16:20]) * CSS_PIXELS_PER_INCH // pictures.DPI
    return {"shows": shows, "light": _data_uri(light), "dark": _data_uri(dark), "width": width}


def _data_uri(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"

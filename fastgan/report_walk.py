"""The report's section on z: a slider along precomputed samples, and Figure 3."""

from __future__ import annotations

from html import escape

from fastgan import report_parts as parts
from fastgan.memorisation_result import distance
from fastgan.report_inputs import FIGURE_3, Shown
from fastgan.walk import Walk

_TRACE_HEIGHT = 100  # units of the small plot, which is stretched to the slider's width


def walk_section(shown: Shown) -> str:
    """Return the slider, which the page's script brings to life, and Figure 3 below it."""
    found = []
    if shown.walk is not None and shown.walk_picture is not None:
        found.append(_slider(shown.walk, shown.walk_picture))
    content = shown.figures.get(FIGURE_3)
    if content is not None:
        caption = (
            "<b>After Figure 3 of the paper.</b> Each row is a straight line in z, in equal steps, "
            "from one drawn point to the next; the last row ends where the first began."
        )
        found.append(
            parts.picture(content, "Samples along straight lines in z", caption, kind="wide")
        )
    return "\n".join(found)


def _slider(walk: Walk, content: bytes) -> str:
    n_images = len(set(walk.nearest_images))
    lead = (
        f"A closed path of {walk.n_lines} straight lines in z, between points drawn and not "
        f"chosen. Each of its {walk.n_samples} steps is a sample of the generator, computed at "
        "that z: nothing is blended. Framed, the training image nearest to it."
    )
    numbers = {
        "lines": walk.n_lines,
        "steps": walk.n_steps,
        "height": walk.height,
        "width": walk.width,
        "nearest": " ".join(str(number) for number in walk.nearest_images),
        "distances": " ".join(distance(value) for value in walk.nearest_distances),
    }
    data = "".join(f' data-{name}="{escape(str(value))}"' for name, value in numbers.items())
    size = f'width="{walk.width}" height="{walk.height}"'
    points = "".join(
        f'<li><button type="button" data-frame="{line * walk.n_steps}" '
        f'aria-label="Go to drawn point {line + 1}"><canvas {size}></canvas></button></li>'
        for line in range(walk.n_lines)
    )
    return (
        f"{parts.paragraph(lead, 'lead')}"
        f'<div class="walk" id="walker"{data} hidden>'
        f'<img id="walk-sheet" src="{parts.data_address(content)}" alt="" hidden>'
        '<div class="walk-pictures">'
        f'<figure><canvas id="walk-sample" {size} role="img" aria-label="A sample"></canvas>'
        "<figcaption><b>Sample</b>, G(z)</figcaption></figure>"
        f'<figure><canvas id="walk-nearest" class="framed" {size} role="img" '
        'aria-label="The nearest training image"></canvas>'
        '<figcaption><b>Nearest training image</b> <span id="walk-image"></span></figcaption>'
        "</figure></div>"
        '<div class="walk-controls">'
        '<p class="walk-line"><label for="walk-range">Move along z</label>'
        '<output id="walk-says" for="walk-range"></output></p>'
        f"{_trace(walk)}"
        f'<input type="range" id="walk-range" min="0" max="{walk.n_samples - 1}" step="1" '
        'value="0">'
        f'<ol class="walk-points" aria-label="Drawn points">{points}</ol>'
        '<p class="walk-line"><button type="button" id="walk-play" aria-pressed="false">Play'
        "</button>"
        f'<span class="small">Curve: distance from sample to nearest training image, '
        f"{distance(min(walk.nearest_distances))} to {distance(max(walk.nearest_distances))}; "
        f"marks below it: where another image becomes the nearest ({n_images} different ones)."
        "</span></p>"
        "</div></div>"
        '<p class="small" id="walk-off">The slider along these lines needs scripts, which are off '
        "here; the same lines, in larger steps, are below.</p>"
    )


def _trace(walk: Walk) -> str:
    """Return the distances along the walk, above 0, as a small plot as wide as the slider."""
    top = max(walk.nearest_distances) or 1.0
    heights = [_TRACE_HEIGHT * (1 - 0.92 * value / top) for value in walk.nearest_distances]
    line = " ".join(f"{place},{height:.1f}" for place, height in enumerate(heights))
    images = walk.nearest_images
    jumps = "".join(
        f"M{place - 0.5} {_TRACE_HEIGHT}v-9"
        for place in range(1, walk.n_samples)
        if images[place] != images[place - 1]
    )
    end = walk.n_samples - 1
    return (
        f'<svg class="walk-trace" viewBox="0 0 {end} {_TRACE_HEIGHT}" preserveAspectRatio="none" '
        'role="img" aria-label="Distance from each sample to its nearest training image">'
        f'<path class="base" d="M0 {_TRACE_HEIGHT}H{end}"/>'
        f'<path class="jumps" d="{jumps}"/><polyline points="{line}"/>'
        f'<path class="here" id="walk-here" d="M0 0V{_TRACE_HEIGHT}"/></svg>'
    )

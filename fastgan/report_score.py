"""The report's score: the headline with its errors, Table 1, the published rows, sigma."""

from __future__ import annotations

from html import escape

from fastgan import report_parts as parts
from fastgan.curves import sigma_curve
from fastgan.published import N_SAMPLES_PUBLISHED, ReferenceResult
from fastgan.report_inputs import FIGURE_2, Shown
from fastgan.report_parts import SIGMA, error, number
from fastgan.scores import Evaluation, FoldEvaluation
from fastgan.table_1_result import Cell, Row, Table1

# The ends of the little plot beside the published scores, in nats
_PLOT_RANGE = {"MNIST": (0.0, 360.0), "TFD": (1800.0, 2300.0)}


def hero(shown: Shown) -> str:
    """Return the score beside Figure 2, or what is missing."""
    evaluation = shown.evaluation
    if evaluation is None:
        left = (
            '<div><p class="label">Mean log-likelihood of the test images</p>'
            '<p class="missing">Not evaluated yet: there is no evaluation in the run.</p></div>'
        )
    else:
        left = headline(evaluation)
    content = shown.figures.get(FIGURE_2)
    if content is None:
        right = '<p class="missing">Figure 2 is not drawn yet.</p>'
    else:
        caption = (
            "<b>After Figure 2 of the paper.</b> Samples drawn, not chosen, five a row. Framed "
            '<span class="swatch"></span> the training image nearest to the sample left of it '
            "(squared L2 distance): a sample that equals it would be memorised."
        )
        alt = "Four rows of five samples, each row ended by a framed training image"
        right = parts.picture(content, alt, caption)
    return f'<div class="hero">{left}{right}</div>'


def headline(evaluation: Evaluation | FoldEvaluation) -> str:
    """Return the score with its errors and what they are over."""
    if isinstance(evaluation, FoldEvaluation):
        label = "Mean log-likelihood of the test images, mean of the folds"
        rows, below = _errors_of_folds(evaluation), fold_table(evaluation)
    else:
        label, below = "Mean log-likelihood of the test images", ""
        rows = _errors(evaluation)
    listed = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in rows)
    return (
        f'<div><p class="label">{label}</p>'
        f'<p class="score"><strong>{number(evaluation.mean)}</strong>'
        '<span class="unit">nats</span></p>'
        f'<dl class="errors">{listed}</dl>{below}</div>'
    )


def _errors(evaluation: Evaluation) -> list[tuple[str, str]]:
    over_samples = ("± ?", "over model samples: one sample cannot tell")
    if evaluation.sample_standard_error is not None:
        over_samples = (
            f"± {error(evaluation.sample_standard_error)}",
            f"over the {evaluation.n_samples:,} model samples (jackknife, "
            f"{evaluation.n_blocks} blocks)",
        )
    edge = ", an end of the grid" if evaluation.at_edge else ""
    return [
        (
            f"± {error(evaluation.standard_error)}",
            f"over the {evaluation.n_test:,} test images (standard error)",
        ),
        over_samples,
        (
            f"{SIGMA} {evaluation.sigma:.4f}",
            f"chosen on {evaluation.n_validation:,} validation images{edge}",
        ),
    ]


def _errors_of_folds(evaluation: FoldEvaluation) -> list[tuple[str, str]]:
    n_folds = len(evaluation.folds)
    return [
        (
            f"± {error(evaluation.standard_error)}",
            f"across the {n_folds} folds: the standard deviation (ddof 0) of their means, divided "
            f"by the square root of {n_folds}",
        ),
        (
            f"{evaluation.n_samples:,}",
            f"samples of one model for every fold; {evaluation.n_test:,} test images in all",
        ),
    ]


def fold_table(evaluation: FoldEvaluation) -> str:
    """Return a small row for each fold."""
    rows = "".join(
        f'<tr><th scope="row">{place}</th>'
        f'<td class="number">{number(fold.mean)} ± {error(fold.standard_error)}</td>'
        f'<td class="number">{fold.sigma:.4g}</td>'
        f'<td class="number">{fold.n_test:,}</td></tr>'
        for place, fold in enumerate(evaluation.folds)
    )
    return (
        '<table class="folds"><caption>± over the test images of the fold</caption>'
        '<thead><tr><th scope="col">Fold</th><th scope="col" class="number">nats</th>'
        f'<th scope="col" class="number">{SIGMA}</th>'
        '<th scope="col" class="number">test images</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def comparison(shown: Shown) -> str:
    """Return Table 1 with this run's row, the published rows on a line, and what to know."""
    evaluation = shown.evaluation
    if evaluation is None or shown.table is None:
        return ""
    found = [table_1(shown.table)]
    column = evaluation.comparable_to
    if column is not None:
        found += [
            f"<h3>All published rows of the column {escape(column)}, ascending</h3>",
            results_table(evaluation, shown.recipe.name),
        ]
    found += ["<h3>What to know before comparing</h3>", parts.listed(evaluation.warnings())]
    return "\n".join(found)


def table_1(table: Table1) -> str:
    """Return the paper's Table 1 with own rows below; notes are numbered by the cells' marks."""
    columns = "".join(
        f'<th scope="col" class="number">{escape(column)}</th>' for column in table.columns
    )
    rows = "".join(_table_1_row(row) for row in (*table.published, *table.own))
    sources = dict.fromkeys(row.source.removeprefix("published: ") for row in table.published)
    below = f'<p class="small">Published rows: {escape("; ".join(sources))}.</p>'
    if table.notes:
        below += f'<ol class="small">{"".join(f"<li>{escape(n)}</li>" for n in table.notes)}</ol>'
    return (
        '<div class="scroll"><table class="table-1">'
        f"<caption>{escape(table.caption)}</caption>"
        f'<thead><tr><th scope="col">Model</th>{columns}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{below}"
    )


def _table_1_row(row: Row) -> str:
    def cell(value: Cell | None) -> str:
        if value is None:
            return '<td class="number none">\N{EM DASH}</td>'
        marks = f"<sup>{','.join(str(mark) for mark in value.marks)}</sup>" if value.marks else ""
        return f'<td class="number">{escape(value.text.replace("-", parts.MINUS))}{marks}</td>'

    kind, model = "", escape(row.model)
    if not row.is_published:
        kind, model = ' class="ours"', f"This run <small>{escape(row.model)}</small>"
    cells = "".join(cell(value) for value in row.cells)
    return f'<tr{kind}><th scope="row">{model}</th>{cells}</tr>'


def results_table(evaluation: Evaluation | FoldEvaluation, recipe_name: str) -> str:
    """Return the published rows with this run's among them, ascending."""
    column = evaluation.comparable_to
    if column is None:
        return ""
    rows: list[tuple[float, str]] = []
    for reference in evaluation.references:
        score = reference.score(column)
        if score is not None:
            rows.append((score.mean, _published_row(reference, column)))
    for mean, plus_minus, source in _own_scores(evaluation):
        row = (
            f'<tr class="ours"><td>This run, {escape(recipe_name)}</td>'
            f'<td class="number">{number(mean)} ± {error(plus_minus)}</td>'
            f'<td class="plot">{_dot(mean, plus_minus, column)}</td>'
            f'<td class="source">{escape(source)}</td></tr>'
        )
        rows.append((mean, row))
    body = "".join(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    return (
        '<table class="results"><thead><tr><th scope="col">Model</th>'
        f'<th scope="col" class="number">{escape(column)}, nats</th><th class="plot"></th>'
        f'<th scope="col">Source</th></tr></thead><tbody>{body}</tbody></table>'
    )


def _own_scores(evaluation: Evaluation | FoldEvaluation) -> list[tuple[float, float, str]]:
    """Return mean, error and what they rest on, of each number of samples evaluated."""
    if isinstance(evaluation, FoldEvaluation):
        source = f"{evaluation.n_samples:,} samples, ± across {len(evaluation.folds)} folds"
        return [(evaluation.mean, evaluation.standard_error, source)]
    found = []
    for score in evaluation.scores:
        source = f"{score.n_samples:,} samples, {SIGMA} {score.sigma:.4f}"
        if score.sample_standard_error is not None:
            source += f"; over samples ± {error(score.sample_standard_error)}"
        found.append((score.mean, score.standard_error, source))
    return found


def _published_row(reference: ReferenceResult, column: str) -> str:
    score = reference.score(column)
    if score is None:
        raise ValueError(f"column: {reference.model} has no score in {column!r}")
    tag = '<span class="tag">the paper</span>' if reference.of_the_paper else ""
    printed = f"<small>printed as {escape(score.printed)}</small>" if score.printed else ""
    return (
        f"<tr><td>{escape(reference.model)}{tag}</td>"
        f'<td class="number">{escape(str(score))}</td>'
        f'<td class="plot">{_dot(score.mean, score.standard_error or 0.0, column)}</td>'
        f'<td class="source">{escape(reference.source)}{printed}</td></tr>'
    )


def _dot(mean: float, plus_minus: float, column: str) -> str:
    """Return a dot with its error bar on the plot's range; nothing where it lies outside."""
    low, high = _PLOT_RANGE[column]
    if not low <= mean <= high:
        return ""
    left, middle, right = (
        100 * (min(max(value, low), high) - low) / (high - low)
        for value in (mean - plus_minus, mean, mean + plus_minus)
    )
    return (
        f'<span class="dot"><u style="left:{left:.2f}%;width:{right - left:.2f}%"></u>'
        f'<i style="left:{middle:.2f}%"></i></span>'
    )


def window(shown: Shown) -> str:
    """Return how sigma was chosen; of folds, each one's choice stands with its score."""
    evaluation = shown.evaluation
    if evaluation is None or isinstance(evaluation, FoldEvaluation):
        return ""
    arguments = (evaluation.sigmas, evaluation.validation_means, evaluation.sigma)
    light, dark = sigma_curve(*arguments), sigma_curve(*arguments, theme="dark")
    panel = parts.panel(light, dark, "Validation log-likelihood over the grid of sigma")
    variant = (
        "as the GMMN paper does it, on validation images chosen at random"
        if evaluation.sigma_variant == "gmmn"
        else "as the paper does it"
    )
    text = parts.paragraph(
        "Every sample carries a Gaussian of one standard deviation, sigma. "
        f"It is chosen {variant}: the best of {len(evaluation.sigmas)} values on "
        f"{evaluation.n_validation:,} validation images, "
        f"{number(evaluation.validation_log_likelihood)} nats there. No test image takes "
        "part, and the same draw of samples serves both."
    )
    if evaluation.at_edge:
        text += parts.note(
            "bad", "The chosen sigma is an end of its grid: a better one may lie outside."
        )
    return f'<div class="two"><div>{text}</div>{panel}</div>'


def score_in_words(evaluation: Evaluation | FoldEvaluation) -> str:
    """Return a sentence or two: the score, its error, and the paper's where it can be compared."""
    n_samples = evaluation.n_samples
    over = (
        f"across {len(evaluation.folds)} folds"
        if isinstance(evaluation, FoldEvaluation)
        else f"over the {evaluation.n_test:,} test images"
    )
    said = (
        f"{number(evaluation.mean)} ± {error(evaluation.standard_error)} nats a test image (± "
        f"{over}), by Parzen windows on {n_samples:,} samples."
    )
    column = evaluation.comparable_to
    if column is None:
        return f"{said} No score was published for {evaluation.dataset}."
    papers = [row for row in evaluation.references if row.model == "Adversarial nets"]
    if n_samples == N_SAMPLES_PUBLISHED and papers:
        return f"{said} The paper printed {papers[0].score(column)} for adversarial nets."
    return f"{said} Of another number of samples than the paper's: not comparable."

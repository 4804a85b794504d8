//! Draws why soft targets work: where cross-entropy has its minimum, and how it differs from
//! squared error.

use std::error::Error;
use std::path::Path;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::output::Decile;

/// Target and prediction: the same distance apart, not the same mistake.
pub const ERRORS: [[f64; 2]; 2] = [[0.4, 0.5], [0.89, 0.99]];

/// Plotters rounds to whole pixels: draw this much larger, and let the SVG scale it back.
const SCALE: u32 = 8;
const SIZE: (u32, u32) = (1120, 500);

type Area<'b> = DrawingArea<SVGBackend<'b>, plotters::coord::Shift>;
type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn Error>>;

const BLUE: RGBColor = RGBColor(0, 90, 160);
const GREEN: RGBColor = RGBColor(0, 130, 95);
const ORANGE: RGBColor = RGBColor(200, 85, 0);
const PURPLE: RGBColor = RGBColor(140, 60, 130);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(228, 228, 228);

fn cross_entropy(prediction: f64, target: f64) -> Result<f64, soft_bce::Error> {
    let mut logit = [0.0];
    soft_bce::logit(&[prediction], &mut logit)?;
    soft_bce::scalar::loss(logit[0], target)
}

/// What of the cross-entropy exceeds its minimum, which is where the prediction is the target.
pub fn excess(prediction: f64, target: f64) -> Result<f64, soft_bce::Error> {
    Ok(cross_entropy(prediction, target)? - cross_entropy(target, target)?)
}

pub fn squared_error(prediction: f64, target: f64) -> f64 {
    (prediction - target) * (prediction - target)
}

/// Writes the picture, and the directory it goes to.
pub fn draw(path: &Path) -> Drawn {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut svg = String::new();
    {
        let size = (SIZE.0 * SCALE, SIZE.1 * SCALE);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(540 * SCALE);
        draw_minima(&left)?;
        draw_errors(&right)?;
        root.present()?;
    }
    let drawn = format!("width=\"{}\" height=\"{}\"", SIZE.0 * SCALE, SIZE.1 * SCALE);
    let shown = format!("width=\"{}\" height=\"{}\"", SIZE.0, SIZE.1);
    std::fs::write(path, svg.replacen(&drawn, &shown, 1))?;
    Ok(())
}

/// Mean target over mean prediction, a point a decile: on the diagonal the model is right on average.
pub fn draw_calibration(path: &Path, deciles: &[Decile]) -> Drawn {
    let places = deciles.iter().flat_map(|of| [of.predicted, of.observed]);
    let top = places.fold(0.0, f64::max) * 1.05;
    if top <= 0.0 {
        return Err("every prediction and every target is 0".into());
    }
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (560, 560)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(20)
            .caption(
                "Calibration by decile of the prediction",
                ("sans-serif", 20),
            )
            .x_label_area_size(50)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..top, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .x_desc("mean prediction")
            .y_desc("mean target")
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (top, top)], INK))?;
        let points = deciles
            .iter()
            .map(|of| Circle::new((of.predicted, of.observed), 5, BLUE.filled()));
        chart.draw_series(points)?;
        root.present()?;
    }
    std::fs::write(path, svg)?;
    Ok(())
}

/// The loss over the prediction, for four targets.
fn draw_minima(area: &Area<'_>) -> Drawn {
    const CEILING: f64 = 3.0;
    let mut panel = panel(
        area,
        "Cross-entropy is least where \u{177} = y, soft targets included",
        "dots: the minimum, which is the entropy of y",
        (1.0, 1.0, CEILING),
        ["prediction \u{177}", "cross-entropy (nats)"],
    )?;
    for (target, colour, place, side) in [
        (0.0, BLUE, (0.91, 2.62), HPos::Right),
        (0.5, GREEN, (0.885, 1.22), HPos::Right),
        (0.89, ORANGE, (0.86, 0.46), HPos::Center),
        (1.0, PURPLE, (0.09, 2.62), HPos::Left),
    ] {
        let loss = |prediction| cross_entropy(prediction, target);
        panel.draw_series(LineSeries::new(curve(1.0, CEILING, loss)?, line(colour)))?;
        let least = (target, loss(target)?);
        panel.draw_series([Circle::new(least, 6 * SCALE, colour.filled())])?;
        label(&panel, format!("y = {target}"), place, side, colour)?;
    }
    Ok(())
}

/// What an error of up to 0.1 costs, for two targets: by cross-entropy, and squared.
fn draw_errors(area: &Area<'_>) -> Drawn {
    const CEILING: f64 = 0.18;
    const LABELS: f64 = 0.104;
    let mut panel = panel(
        area,
        "The same error of 0.1 is not the same mistake",
        "cross-entropy tells 0.89 \u{2192} 0.99 from 0.4 \u{2192} 0.5; squared error does not",
        (0.15, 0.1001, CEILING),
        ["error \u{177} \u{2212} y", "loss above its minimum"],
    )?;
    let mut longest = 0.0;
    for ([target, prediction], colour) in ERRORS.into_iter().zip([GREEN, ORANGE]) {
        longest = prediction - target;
        let loss = |error| excess(target + error, target);
        panel.draw_series(LineSeries::new(
            curve(longest, CEILING, loss)?,
            line(colour),
        ))?;
        let last = excess(prediction, target)?;
        panel.draw_series([Circle::new((longest, last), 5 * SCALE, colour.filled())])?;
        label(
            &panel,
            format!("{target} \u{2192} {prediction}: {last:.3}"),
            (LABELS, last),
            HPos::Left,
            colour,
        )?;
    }
    let square = |error| Ok(squared_error(error, 0.0));
    panel.draw_series(DashedLineSeries::new(
        curve(longest, CEILING, square)?,
        6 * SCALE,
        5 * SCALE,
        line(INK),
    ))?;
    let last = square(longest)?;
    panel.draw_series([Circle::new((longest, last), 5 * SCALE, INK.filled())])?;
    label(
        &panel,
        format!("squared, both: {last:.3}"),
        (LABELS, last),
        HPos::Left,
        INK,
    )
}

/// The axes from 0, the grid and the headings that both panels share.
fn panel<'a, 'b>(
    area: &Area<'b>,
    title: &str,
    subtitle: &str,
    (right, ticks, top): (f64, f64, f64),
    [horizontal, vertical]: [&str; 2],
) -> Result<Panel<'a, 'b>, Box<dyn Error>>
where
    'b: 'a,
{
    const LEFT: u32 = 62 * SCALE;
    let bold = font(18).style(FontStyle::Bold).color(&INK);
    let area = area.margin(14 * SCALE, 8 * SCALE, 10 * SCALE, 18 * SCALE);
    area.draw(&Text::new(title.to_owned(), (LEFT as i32, 0), bold))?;
    let below = (LEFT as i32, 26 * SCALE as i32);
    area.draw(&Text::new(subtitle.to_owned(), below, font(15).color(&INK)))?;
    let mut panel = ChartBuilder::on(&area)
        .margin_top(58 * SCALE)
        .x_label_area_size(48 * SCALE)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    panel
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(SCALE))
        .axis_style(INK.stroke_width(SCALE))
        .set_all_tick_mark_size(5 * SCALE)
        .x_labels(9)
        .x_label_formatter(&|place| {
            if *place <= ticks {
                format!("{place:.2}")
            } else {
                String::new()
            }
        })
        .y_labels(7)
        .x_desc(horizontal)
        .y_desc(vertical)
        .label_style(font(14).color(&INK))
        .axis_desc_style(font(15).color(&INK))
        .draw()?;
    Ok(panel)
}

/// A loss over [0, `end`], as far as it stays below `ceiling`; closer points towards both ends,
/// where cross-entropy is steep.
fn curve(
    end: f64,
    ceiling: f64,
    loss: impl Fn(f64) -> Result<f64, soft_bce::Error>,
) -> Result<Vec<(f64, f64)>, soft_bce::Error> {
    const STEPS: u32 = 240;
    let mut all = Vec::new();
    for step in 0..=STEPS {
        let part = f64::from(step) / f64::from(STEPS);
        let place = end * part * part * (3.0 - 2.0 * part);
        all.push((place, loss(place)?));
    }
    // Where the curve crosses the ceiling, end it there.
    let cut = |pair: &[(f64, f64)]| {
        let ((a, low), (b, high)) = (pair[0], pair[1]);
        let part = if high.is_finite() {
            (ceiling - low) / (high - low)
        } else {
            1.0
        };
        (a + (b - a) * part, ceiling)
    };
    let mut points = Vec::new();
    for pair in all.windows(2) {
        match [pair[0].1 <= ceiling, pair[1].1 <= ceiling] {
            [true, true] => points.extend([pair[0], pair[1]]),
            [true, false] => points.extend([pair[0], cut(pair)]),
            [false, true] => points.extend([cut(&[pair[1], pair[0]]), pair[1]]),
            [false, false] => {}
        }
    }
    points.dedup();
    Ok(points)
}

fn font(size: u32) -> FontDesc<'static> {
    ("sans-serif", size * SCALE).into_font()
}

fn line(colour: RGBColor) -> ShapeStyle {
    colour.stroke_width(2 * SCALE)
}

fn label(
    panel: &Panel<'_, '_>,
    text: String,
    place: (f64, f64),
    side: HPos,
    colour: RGBColor,
) -> Drawn {
    let style = font(15).color(&colour).pos(Pos::new(side, VPos::Center));
    panel.plotting_area().draw(&Text::new(text, place, style))?;
    Ok(())
}

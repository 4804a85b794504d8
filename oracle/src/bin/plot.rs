//! Draws the largest error in ULP against the logit, per function and type; and the gradients of
//! cross-entropy and of squared error.
//!
//! ```text
//! cargo run --release -p soft-bce-oracle --bin plot -- docs/accuracy
//! ```

use clap::Parser;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use rayon::prelude::*;
use soft_bce::{Bce, SquaredError};
use soft_bce_oracle::budget::{Mode, PICTURED, caption};
use soft_bce_oracle::check::{Checker, Requirement, Tally};
use soft_bce_oracle::corpus::{Random, numbers};
use soft_bce_oracle::fast::Batch;
use soft_bce_oracle::mpfr::Options;
use soft_bce_oracle::subject::{Element, Subject};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Writes gradients.svg, ulp-f32.svg and ulp-f64.svg; fails if a result misses its budget.
#[derive(Parser)]
struct Arguments {
    /// Where to.
    folder: PathBuf,
    /// Elements in each bin of logits.
    #[arg(long, default_value_t = 16384)]
    elements: usize,
    /// Seed of logits and targets.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const BINS: usize = 240;
const SIZE: (u32, u32) = (1200, 640);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const ERROR: RGBColor = RGBColor(0, 90, 160);
const BUDGET: RGBColor = RGBColor(200, 60, 0);

/// The axis: even near 0, logarithmic far from it.
fn place(z: f64) -> f64 {
    (4.0 * z).asinh()
}

fn logit(place: f64) -> f64 {
    place.sinh() / 4.0
}

fn target<F: Element>(z: F, random: &mut Random) -> F {
    match random.below(4) {
        0 => F::from_f64(random.below(5) as f64 / 4.0),
        1 => numbers::stationary_target(z),
        _ => F::from_f64(random.unit()),
    }
}

/// The largest error in each bin, by MPFR.
fn worst_by_bin<F: Element>(
    subject: &Subject,
    limit: f64,
    arguments: &Arguments,
) -> Result<Vec<Tally>, soft_bce::Error> {
    let width = 2.0 * place(limit) / BINS as f64;
    (0..BINS)
        .into_par_iter()
        .map(|bin| {
            let mut random = Random::new(arguments.seed.wrapping_mul(1 << 32) + bin as u64);
            let mut checker = Checker::<F>::new(subject.job);
            let z: Vec<F> = (0..arguments.elements)
                .map(|_| F::from_f64(logit((bin as f64 + random.unit()) * width - place(limit))))
                .collect();
            let t: Vec<F> = z.iter().map(|&z| target(z, &mut random)).collect();
            let mut computed = vec![F::from_f64(0.0); z.len()];
            subject.call(&z, &t, &[], &mut computed)?;
            checker.check(Batch {
                z: &z,
                t: &t,
                weights: &[],
                computed: &computed,
            });
            Ok(checker.finish())
        })
        .collect()
}

fn draw_panel<F: Element>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    subject: &Subject,
    limit: f64,
    worst: &[f64],
) -> Result<(), Box<dyn Error>> {
    let Requirement::Within(budget) = subject.job.requirement else {
        return Err("no budget in ULP".into());
    };
    let edge = place(limit);
    let highest = worst.iter().copied().fold(budget, f64::max) * 1.12;
    let mut chart = ChartBuilder::on(area)
        .caption(
            caption(subject.job.function, F::NAME)?,
            ("sans-serif", 17, &INK),
        )
        .margin(8)
        .x_label_area_size(44)
        .y_label_area_size(52)
        .build_cartesian_2d(-edge..edge, 0.0..highest)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .y_labels(6)
        .y_desc("largest error, ULP")
        .axis_desc_style(("sans-serif", 13, &INK))
        .label_style(("sans-serif", 13, &INK))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .draw()?;
    let width = 2.0 * edge / worst.len() as f64;
    chart.draw_series(worst.iter().enumerate().map(|(bin, &ulp)| {
        let left = bin as f64 * width - edge;
        Rectangle::new([(left, 0.0), (left + width, ulp)], ERROR.filled())
    }))?;
    chart.draw_series(LineSeries::new(
        [(-edge, budget), (edge, budget)],
        BUDGET.stroke_width(2),
    ))?;
    let text = |vertical| {
        ("sans-serif", 13)
            .into_font()
            .color(&INK)
            .pos(Pos::new(HPos::Center, vertical))
    };
    let magnitudes = [1.0_f64, 10.0, 100.0, 700.0];
    let ticks = magnitudes.into_iter().flat_map(|z| [z, -z]).chain([0.0]);
    for z in ticks.filter(|z| z.abs() < limit) {
        chart.plotting_area().draw(
            &(EmptyElement::at((place(z), 0.0))
                + PathElement::new([(0, 0), (0, 5)], INK)
                + Text::new(format!("{z}"), (0, 8), text(VPos::Top))),
        )?;
    }
    let title = Text::new("logit z", (0, 24), text(VPos::Top));
    chart
        .plotting_area()
        .draw(&(EmptyElement::at((0.0, 0.0)) + title))?;
    Ok(())
}

fn draw<F: Element>(
    limit: f64,
    arguments: &Arguments,
    path: &Path,
) -> Result<bool, Box<dyn Error>> {
    let mut kept = true;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(
        &format!(
            "{}: {} elements in each of {BINS} bins of the logit, soft and hard targets. Line: the budget.",
            F::NAME,
            arguments.elements
        ),
        ("sans-serif", 18).into_font().color(&INK),
    )?;
    for (function, area) in PICTURED.into_iter().zip(root.split_evenly((2, 3))) {
        let subject = Subject::new::<F>(function, Mode::Default, Options::PLAIN)?;
        let tallies = worst_by_bin::<F>(&subject, limit, arguments)?;
        let worst: Vec<f64> = tallies.iter().map(Tally::worst_ulp).collect();
        for tally in &tallies {
            if let Err(message) = tally.verdict() {
                println!("{} {}: {message}", function.name(), F::NAME);
                kept = false;
            }
        }
        draw_panel::<F>(&area, &subject, limit, &worst)?;
    }
    root.present()?;
    Ok(kept)
}

/// Both gradients at y = 1, where the logit should grow: squared error's is almost 0 also where the
/// prediction is most wrong.
fn draw_gradients(path: &Path) -> Result<(), Box<dyn Error>> {
    const LIMIT: i32 = 12;
    // In eighths: exact.
    let z: Vec<f64> = (-8 * LIMIT..=8 * LIMIT)
        .map(|eighths| f64::from(eighths) / 8.0)
        .collect();
    let t = vec![1.0; z.len()];
    let root = SVGBackend::new(path, (720, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "Gradient at the logit, target 1",
            ("sans-serif", 18).into_font().color(&INK),
        )
        .margin(10)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(-f64::from(LIMIT)..f64::from(LIMIT), -1.05..0.1)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(7)
        .x_desc("logit z")
        .y_desc("gradient")
        .axis_desc_style(("sans-serif", 13, &INK))
        .label_style(("sans-serif", 13, &INK))
        .x_label_formatter(&|x| format!("{x:.0}"))
        // 0 is −0 and more, in binary steps of 0.1.
        .y_label_formatter(&|y: &f64| format!("{:.1}", (10.0 * y).round() / 10.0 + 0.0))
        .draw()?;
    let mut gradient = vec![0.0; z.len()];
    for (squared, colour, label, place) in [
        (
            false,
            ERROR,
            "cross-entropy: \u{3c3}(z) \u{2212} 1",
            (-11.5, -0.93),
        ),
        (
            true,
            BUDGET,
            "squared error: 2 (\u{3c3}(z) \u{2212} 1) \u{3c3}(z) (1 \u{2212} \u{3c3}(z))",
            (-11.5, -0.17),
        ),
    ] {
        if squared {
            SquaredError::new().gradient(&z, &t, &mut gradient)?;
        } else {
            Bce::new().gradient(&z, &t, &mut gradient)?;
        }
        let points = z.iter().copied().zip(gradient.iter().copied());
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        let style = ("sans-serif", 14).into_font().color(&colour);
        chart
            .plotting_area()
            .draw(&Text::new(label, place, style))?;
    }
    root.present()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.folder)?;
    draw_gradients(&arguments.folder.join("gradients.svg"))?;
    // Beyond, every tail is 0.
    let single = draw::<f32>(115.0, &arguments, &arguments.folder.join("ulp-f32.svg"))?;
    let double = draw::<f64>(760.0, &arguments, &arguments.folder.join("ulp-f64.svg"))?;
    if single && double {
        Ok(())
    } else {
        Err("a result missed its budget".into())
    }
}

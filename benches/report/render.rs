//! Tables as Markdown, and the roofline.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use plotters::prelude::*;

pub enum Cell {
    Text(String),
    /// With so many decimals; nothing where it is NaN.
    Number(f64, usize),
}

impl Cell {
    fn markdown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(value, _) if value.is_nan() => String::new(),
            Self::Number(value, decimals) => format!("{value:.decimals$}"),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Rows of equal length under a head.
pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&cell| cell.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Columns of equal width.
    pub fn markdown(&self) -> String {
        let body: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::markdown).collect())
            .collect();
        let width = |column: usize| {
            let cells = body.iter().map(|row| row[column].len());
            cells.chain([self.head[column].len(), 3]).max().unwrap_or(3)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let rule = widths
            .iter()
            .map(|&width| "-".repeat(width - 1) + ":")
            .collect();
        let mut out = String::new();
        for row in [&self.head, &rule].into_iter().chain(&body) {
            out.push('|');
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(out, " {cell:>width$} |");
            }
            out.push('\n');
        }
        out
    }
}

/// A case in the roofline: multiply-adds per byte moved, and per nanosecond.
pub struct Point {
    pub backend: &'static str,
    pub operation: &'static str,
    pub intensity: f64,
    pub rate: f64,
}

/// What bounds the points: bytes, or multiply-adds, per nanosecond.
pub enum Roof {
    Bandwidth(String, f64),
    Peak(String, f64),
}

/// The axes hold all points; operations are named beside those of the fastest backend, which is the
/// last; the legend stands beside the plot.
pub fn roofline(path: &Path, points: &[Point], roofs: &[Roof]) -> Result<(), Box<dyn Error>> {
    const COLOURS: [RGBColor; 4] = [
        RGBColor(120, 120, 120),
        RGBColor(200, 120, 0),
        RGBColor(0, 110, 200),
        RGBColor(190, 0, 60),
    ];
    const ROOFS: [RGBColor; 4] = [
        RGBColor(140, 200, 60),
        RGBColor(0, 150, 80),
        COLOURS[2],
        COLOURS[3],
    ];
    let label = ("sans-serif", 13);
    let area = SVGBackend::new(path, (1000, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let (plot, legend) = area.split_horizontally(750);
    let tops = roofs.iter().filter_map(|roof| match roof {
        Roof::Peak(_, peak) => Some(*peak),
        Roof::Bandwidth(..) => None,
    });
    let rates = points.iter().map(|point| point.rate);
    let highest = rates.clone().chain(tops).fold(1.0, f64::max) * 1.5;
    let lowest = rates.fold(1.0, f64::min) / 1.5;
    let (least, most) = (0.5_f64, 5.0_f64);
    let mut chart = ChartBuilder::on(&plot)
        .caption(
            "f32, one thread, 16,384 elements, under the roofs of the same run",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d((least..most).log_scale(), (lowest..highest).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("multiply-adds per byte moved")
        .y_desc("multiply-adds per nanosecond")
        .label_style(label)
        .draw()?;

    let mut y = 40;
    let mut entry = |text: &str, mark: &dyn Fn(i32) -> DynElement<'static, _, (i32, i32)>| {
        legend.draw(&mark(y))?;
        legend.draw(&Text::new(text.to_owned(), (34, y - 7), label))?;
        y += 22;
        Ok::<(), Box<dyn Error>>(())
    };
    for (roof, colour) in roofs.iter().zip(ROOFS) {
        // As far as the axes go.
        let (text, line) = match roof {
            Roof::Peak(text, peak) => (text, [(least, *peak), (most, *peak)]),
            Roof::Bandwidth(text, bytes) => {
                let ends = [least.max(lowest / bytes), most.min(highest / bytes)];
                (text, ends.map(|x| (x, bytes * x)))
            }
        };
        let style = colour.stroke_width(2);
        chart.draw_series(LineSeries::new(line, style))?;
        entry(text, &|y| {
            PathElement::new([(4, y), (28, y)], style).into_dyn()
        })?;
    }
    let mut backends: Vec<&str> = points.iter().map(|point| point.backend).collect();
    backends.dedup();
    for (&backend, colour) in backends.iter().zip(COLOURS) {
        let of = points.iter().filter(|point| point.backend == backend);
        let at = |point: &Point| (point.intensity, point.rate);
        let dots = of
            .clone()
            .map(|point| Circle::new(at(point), 4, colour.filled()));
        chart.draw_series(dots)?;
        if backends.last() == Some(&backend) {
            let names = of.map(|point| {
                let name = Text::new(point.operation, (8, -6), label);
                EmptyElement::at(at(point)) + name
            });
            chart.draw_series(names)?;
        }
        entry(backend, &|y| {
            Circle::new((16, y), 4, colour.filled()).into_dyn()
        })?;
    }
    area.present()?;
    Ok(())
}

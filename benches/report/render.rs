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
    /// The line above it.
    pub title: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new(title: impl Into<String>, head: &[&str]) -> Self {
        Self {
            title: title.into(),
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
        let mut out = format!("{}\n\n", self.title);
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

/// A case in the roofline: operations per byte moved, 10^9 operations a second.
pub struct Point {
    pub backend: &'static str,
    pub n: usize,
    pub intensity: f64,
    pub rate: f64,
}

/// What bounds the points: 10^9 bytes a second, or 10^9 operations a second.
pub enum Roof {
    Bandwidth(String, f64),
    Peak(String, f64),
}

/// The axes hold all points and roofs; the legend stands beside them.
pub fn roofline(path: &Path, points: &[Point], roofs: &[Roof]) -> Result<(), Box<dyn Error>> {
    const LEGEND: u32 = 260;
    // Ends at powers of ten, which plotters would label twice within.
    const INTENSITIES: [f64; 2] = [1.0, 10.0];
    let label = ("sans-serif", 13);
    let area = SVGBackend::new(path, (1000, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let (plot, legend) = area.split_horizontally(1000 - LEGEND);

    let level = |roof: &Roof, x: f64| match roof {
        Roof::Bandwidth(_, bandwidth) => bandwidth * x,
        Roof::Peak(_, peak) => *peak,
    };
    let rates = points.iter().map(|point| point.rate);
    let tops = roofs.iter().filter_map(|roof| match roof {
        Roof::Peak(_, peak) => Some(*peak),
        Roof::Bandwidth(..) => None,
    });
    let highest = rates.clone().chain(tops).fold(1.0, f64::max) * 1.5;
    let lowest = rates.fold(1.0, f64::min) / 1.5;
    let intensities = points.iter().map(|point| point.intensity);
    let least = intensities.clone().fold(INTENSITIES[0], f64::min);
    let most = intensities.fold(INTENSITIES[1], f64::max);
    let mut chart = ChartBuilder::on(&plot)
        .caption(
            "f32, one thread: operations against the roofs of the same run",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d((least..most).log_scale(), (lowest..highest).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("operations per byte moved")
        .y_desc("10⁹ operations per second")
        .label_style(label)
        .draw()?;

    let mut y = 40;
    let mut entry = |text: &str, mark: &dyn Fn(i32) -> DynElement<'static, _, (i32, i32)>| {
        legend.draw(&mark(y))?;
        legend.draw(&Text::new(text.to_owned(), (34, y - 7), label))?;
        y += 22;
        Ok::<(), Box<dyn Error>>(())
    };
    const ROOFS: [RGBColor; 4] = [
        RGBColor(0, 150, 80),
        RGBColor(140, 200, 60),
        RGBColor(60, 60, 60),
        RGBColor(150, 150, 150),
    ];
    for (roof, colour) in roofs.iter().zip(ROOFS) {
        // As far as the axes go.
        let (text, [left, right]) = match roof {
            Roof::Bandwidth(text, bandwidth) => {
                let ends = [least.max(lowest / bandwidth), most.min(highest / bandwidth)];
                (text, ends)
            }
            Roof::Peak(text, _) => (text, [least, most]),
        };
        let line = [left, right].map(|x| (x, level(roof, x)));
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        entry(text, &|y| {
            PathElement::new([(4, y), (28, y)], colour.stroke_width(2)).into_dyn()
        })?;
    }
    let mut seen = Vec::new();
    for point in points {
        if !seen.contains(&(point.backend, point.n)) {
            seen.push((point.backend, point.n));
        }
    }
    for (backend, n) in seen {
        let (r, g, b) = match backend {
            "scalar" => (120, 120, 120),
            "wide" => (200, 120, 0),
            "avx2" => (0, 110, 200),
            _ => (190, 0, 60),
        };
        let style = ShapeStyle {
            color: RGBColor(r, g, b).into(),
            filled: n < 1 << 20,
            stroke_width: 1,
        };
        let of = points
            .iter()
            .filter(|point| (point.backend, point.n) == (backend, n));
        chart.draw_series(of.map(|point| Circle::new((point.intensity, point.rate), 4, style)))?;
        entry(&format!("{backend}, {n} elements"), &|y| {
            Circle::new((16, y), 4, style).into_dyn()
        })?;
    }
    area.present()?;
    Ok(())
}

//! The roofline.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

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

/// The axes hold all points; operations are named beside those of the last backend.
pub fn roofline(path: &Path, points: &[Point], roofs: &[Roof]) -> Result<(), Box<dyn Error>> {
    let label = ("sans-serif", 13);
    let area = SVGBackend::new(path, (900, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let most = points
        .iter()
        .map(|point| point.intensity)
        .fold(1.0, f64::max)
        * 1.3;
    let rates = points.iter().map(|point| point.rate);
    let tops = roofs.iter().map(|roof| match roof {
        Roof::Peak(_, peak) => *peak,
        Roof::Bandwidth(..) => 0.0,
    });
    let highest = rates.chain(tops).fold(1.0, f64::max) * 1.2;
    let title = "f32, one thread, 16,384 elements, under the roofs of the same run";
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..most, 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("multiply-adds per byte moved")
        .y_desc("multiply-adds per nanosecond")
        .label_style(label)
        .draw()?;
    for (i, roof) in roofs.iter().enumerate() {
        // As far as the axes go.
        let (text, line) = match roof {
            Roof::Peak(text, peak) => (text, [(0.0, *peak), (most, *peak)]),
            Roof::Bandwidth(text, bytes) => {
                let end = most.min(highest / bytes);
                (text, [(0.0, 0.0), (end, bytes * end)])
            }
        };
        let style = Palette99::pick(i).stroke_width(2);
        chart
            .draw_series(LineSeries::new(line, style))?
            .label(text)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    let mut backends: Vec<&str> = points.iter().map(|point| point.backend).collect();
    backends.dedup();
    for (i, &backend) in backends.iter().enumerate() {
        let style = Palette99::pick(i + roofs.len()).filled();
        let named = i + 1 == backends.len();
        let of = points.iter().filter(|point| point.backend == backend);
        let dots = of.map(|point| {
            let name = if named { point.operation } else { "" };
            // Below, where the point above has its name.
            let below = matches!(name, "gradient" | "sum_gradient_hessian");
            let at = (point.intensity, point.rate);
            EmptyElement::at(at)
                + Circle::new((0, 0), 4, style)
                + Text::new(name, (8, if below { 2 } else { -14 }), label)
        });
        chart
            .draw_series(dots)?
            .label(backend)
            .legend(move |(x, y)| Circle::new((x + 10, y), 4, style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .label_font(label)
        .draw()?;
    area.present()?;
    Ok(())
}

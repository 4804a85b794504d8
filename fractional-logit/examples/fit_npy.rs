//! Fits the matrix and the targets of two `.npy` files (C order, `f32` or `f64`), and prints seconds, coefficients and
//! a hash as JSON: what `docs/speed/fit_bench.py` times.
//!
//! ```sh
//! cargo run --release -p fractional-logit --example fit_npy -- X.npy t.npy [THREADS [fast|coefficients|errors|passes [columns|levels|clusters]]]
//! ```
//!
//! With `columns`, from a slice a column; with `levels` also that, the last of them the levels of a category; with `clusters`
//! the last of them are clusters.

use std::error::Error;
use std::time::Instant;

use fractional_logit::{Covariance, Data, Features, Model, Step, Value};
use serde_json::json;

/// The shape, the type and where the numbers start.
fn header(bytes: &[u8]) -> Result<(Vec<usize>, bool, usize), Box<dyn Error>> {
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = std::str::from_utf8(&bytes[10..10 + length])?;
    let single = text.contains("<f4");
    if !text.contains("'fortran_order': False") || !(single || text.contains("<f8")) {
        return Err("not in C order, or neither f32 nor f64".into());
    }
    let (_, shape) = text.split_once('(').ok_or("no shape")?;
    let (shape, _) = shape.split_once(')').ok_or("no shape")?;
    let shape = shape.split(',').filter(|of| !of.trim().is_empty());
    let shape = shape
        .map(|of| of.trim().parse::<usize>())
        .collect::<Result<_, _>>()?;
    Ok((shape, single, 10 + length))
}

fn numbers<T, const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|chunk| from(*chunk))
        .collect()
}

/// MiB of this process: now, and at most.
fn memory(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn fit<T: Value>(x: &[T], t: &[T], rows: usize, options: &[String]) -> Result<(), Box<dyn Error>> {
    let columns = x.len() / rows;
    let threads = options.first().map_or(Ok(1), |of| of.parse())?;
    let mode = options.get(1).map_or("errors", String::as_str);
    let mut model = Model::new().threads(threads).errors(mode == "errors");
    if mode == "fast" {
        model = model.tolerance(1e-9);
    }
    // In columns, to be fitted as they lie.
    let last = options.get(2).map_or("", String::as_str);
    let mut by_column: Vec<Vec<T>> = if options.get(2).is_some() {
        (0..columns)
            .map(|j| x.iter().skip(j).step_by(columns).copied().collect())
            .collect()
    } else {
        Vec::new()
    };
    let mut levels: Vec<u32> = Vec::new();
    let mut clusters: Vec<u64> = Vec::new();
    if ["levels", "clusters"].contains(&last) {
        let of_rows = by_column.pop().unwrap_or_default();
        levels.extend(of_rows.into_iter().map(|level| level.into() as u32));
        clusters.extend(levels.iter().map(|level| u64::from(*level)));
    }
    if last == "levels" {
        model = model.levels(levels.iter().max().map_or(0, |most| most + 1));
    }
    let slices: Vec<&[T]> = by_column.iter().map(Vec::as_slice).collect();
    let features = if slices.is_empty() {
        Features::rows(x, rows, columns)?
    } else {
        Features::columns(&slices, rows)?
    };
    let mut data = Data::new(features, t);
    match last {
        "levels" => data = data.levels(&levels),
        "clusters" => data = data.clusters(&clusters),
        _ => {}
    }
    if mode == "passes" {
        return passes(&model.errors(true), &data);
    }
    let before = memory("VmRSS");
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let start = Instant::now();
    let fit = model.fit(&data)?;
    let errors = fit.standard_errors(Covariance::Hc0);
    let wall = start.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "wall": wall, "extra_mib": memory("VmHWM") - before, "steps": fit.steps(),
            "coefficients": fit.coefficients(), "hc0": errors,
        })
    );
    Ok(())
}

/// How long each pass takes.
fn passes<T: Value>(model: &Model, data: &Data<'_, T>) -> Result<(), Box<dyn Error>> {
    let mut solver = model.solver(data.column_count())?;
    loop {
        let start = Instant::now();
        let state = model.evaluate(solver.task(), data)?;
        let wall = start.elapsed().as_secs_f64();
        let what: String = format!("{:?}", solver.task())
            .chars()
            .rev()
            .take(60)
            .collect();
        let what: String = what.chars().rev().collect();
        let start = Instant::now();
        let step = solver.step(&state)?;
        println!(
            "{wall:.4} s, then {:.4} s: ...{what}",
            start.elapsed().as_secs_f64()
        );
        if let Step::Done(_) = step {
            return Ok(());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [x, t, options @ ..] = &arguments[..] else {
        return Err(
            "X.npy t.npy [THREADS [fast|coefficients|errors|passes [columns|levels|clusters]]]"
                .into(),
        );
    };
    let (x, t) = (std::fs::read(x)?, std::fs::read(t)?);
    let ((shape, single, of_x), (_, _, of_t)) = (header(&x)?, header(&t)?);
    if single {
        let (a, b) = (
            numbers(&x[of_x..], f32::from_le_bytes),
            numbers(&t[of_t..], f32::from_le_bytes),
        );
        drop(x);
        fit(&a, &b, shape[0], options)
    } else {
        let (a, b) = (
            numbers(&x[of_x..], f64::from_le_bytes),
            numbers(&t[of_t..], f64::from_le_bytes),
        );
        drop(x);
        fit(&a, &b, shape[0], options)
    }
}

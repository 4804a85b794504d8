//! Fractional logit regression: a logistic model of targets that are fractions, fitted by Newton's
//! method on the sum, gradient and Hessian that soft-bce gives in one pass.
//!
//! Without arguments it fits 401(k) plan participation rates, checks the result against published
//! values, and fails where they differ. `--data` takes any other CSV file.

mod picture;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use fractional_logit::{Covariance, Fit, Model, Table};
use serde_json::Value;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/401k.csv");
const REFERENCE: &str = include_str!("../data/401k-reference.json");
const TARGET: &str = "prate";
/// The names of the terms in the reference, and what they are made of.
const TERMS: [(&str, &str); 6] = [
    ("mrate", "mrate"),
    ("ltotemp", "ln(totemp)"),
    ("ltotemp2", "ln(totemp)^2"),
    ("age", "age"),
    ("age2", "age^2"),
    ("sole", "sole"),
];
/// Six significant digits.
const AGREEMENT: f64 = 5e-7;

/// Fits a logistic model of a target that is a fraction, by cross-entropy.
#[derive(Parser)]
struct Arguments {
    /// CSV file with a header line [default: the 401(k) data, with the published values beside]
    #[arg(long, value_name = "FILE", requires_all = ["target", "features"])]
    data: Option<PathBuf>,
    /// Column with the targets, in [0, 1]
    #[arg(long, value_name = "COLUMN", requires = "data")]
    target: Option<String>,
    /// Regressors beside the constant: NAME, ln(NAME), NAME^N or ln(NAME)^N
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', requires = "data")]
    features: Vec<String>,
    /// Column with the weights of the rows, finite and not negative
    #[arg(long, value_name = "COLUMN", requires = "data")]
    weight: Option<String>,
    /// Where to draw why soft targets work [default: target/soft_targets.svg; none with --data]
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let defaults = TERMS.map(|(_, term)| term.to_owned());
    let (path, target, features) = match (&arguments.data, &arguments.target) {
        (Some(path), Some(target)) => (path.clone(), target.as_str(), &arguments.features[..]),
        _ => (from_here(Path::new(DATA)), TARGET, &defaults[..]),
    };
    let table = Table::read(&path, target, features, arguments.weight.as_deref())?;
    let fit = table.fit(&Model::new())?;

    print!("{}: {} rows", path.display(), table.targets.len());
    if table.unweighted_rows > 0 {
        print!(" ({} more have weight 0)", table.unweighted_rows);
    }
    println!(", target {target}, {} Newton steps", fit.steps());
    println!();
    let reference = match arguments.data {
        None => Some(serde_json::from_str::<Value>(REFERENCE)?),
        Some(_) => None,
    };
    match &reference {
        Some(reference) => print_beside_reference(&table, &fit, reference)?,
        None => print_coefficients(&table, &fit),
    }
    print_loss(&fit);
    print_calibration(&table, &fit)?;

    let svg = match (&arguments.svg, &arguments.data) {
        (Some(svg), _) => Some(svg.clone()),
        (None, None) => Some(PathBuf::from("target/soft_targets.svg")),
        (None, Some(_)) => None,
    };
    if let Some(svg) = svg {
        picture::draw(&svg).map_err(|error| format!("{}: {error}", svg.display()))?;
        print_soft_targets()?;
        println!("\nPicture: {}", svg.display());
    }
    Ok(())
}

/// The path as seen from the current directory, if it lies below it.
fn from_here(path: &Path) -> PathBuf {
    std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path)
        .to_owned()
}

fn print_coefficients(table: &Table, fit: &Fit) {
    let width = table
        .names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    println!(
        "{:width$}  {:>12}  {:>12}  {:>12}",
        "", "coefficient", "robust SE", "nonrobust SE"
    );
    let [robust, nonrobust] = errors(fit);
    for (term, name) in table.names.iter().enumerate() {
        println!(
            "{name:width$}  {:>12}  {:>12}  {:>12}",
            digits(fit.coefficients()[term]),
            digits(robust[term]),
            digits(nonrobust[term]),
        );
    }
}

/// Prints the estimates, each with the published value below it, and fails where they differ.
fn print_beside_reference(
    table: &Table,
    fit: &Fit,
    reference: &Value,
) -> Result<(), Box<dyn Error>> {
    let published = |path: &[&str]| -> Result<f64, String> {
        path.iter()
            .try_fold(reference, |value, key| value.get(key))
            .and_then(Value::as_f64)
            .ok_or_else(|| format!("the reference has no {}", path.join(".")))
    };
    let mut worst = 0.0_f64;
    let mut differences = Vec::new();
    let mut compare = |what: String, ours: f64, theirs: f64| {
        let difference = ((ours - theirs) / theirs).abs();
        worst = worst.max(difference);
        if difference.is_nan() || difference > AGREEMENT {
            differences.push(format!("{what}: {ours} here, {theirs} published"));
        }
    };

    println!(
        "{:12}  {:^26}  {:^26}  {:>19}",
        "", "coefficient", "robust SE (HC0)", "nonrobust SE"
    );
    println!(
        "{:12}{}",
        "",
        format!("  {:>12}  {:>12}", "here", "published").repeat(3)
    );
    let [robust, nonrobust] = errors(fit);
    let keys = std::iter::once("const").chain(TERMS.map(|(key, _)| key));
    for (term, key) in keys.enumerate() {
        let name = &table.names[term];
        print!("{name:12}");
        for (quantity, ours) in [
            ("coef", fit.coefficients()[term]),
            ("se_robust_hc0", robust[term]),
            ("se_nonrobust", nonrobust[term]),
        ] {
            let theirs = published(&[quantity, key])?;
            print!("  {:>12}  {:>12}", digits(ours), digits(theirs));
            compare(format!("{quantity} of {name}"), ours, theirs);
        }
        println!();
    }
    let rows = table.targets.len() as f64;
    compare(
        "mean loss".to_owned(),
        fit.sum_loss() / rows,
        published(&["mean_loss"])?,
    );
    compare(
        "sum of losses".to_owned(),
        fit.sum_loss(),
        published(&["sum_loss"])?,
    );

    if !differences.is_empty() {
        return Err(format!(
            "the fit differs from the published values:\n  {}",
            differences.join("\n  ")
        )
        .into());
    }
    println!("Largest relative difference from the published values: {worst:.1e}");
    Ok(())
}

fn errors(fit: &Fit) -> [Vec<f64>; 2] {
    [Covariance::Hc0, Covariance::Nonrobust].map(|of| fit.standard_errors(of).unwrap_or_default())
}

fn print_loss(fit: &Fit) {
    let (mean, excess) = (fit.mean_loss(), fit.mean_excess());
    println!();
    println!("Mean loss                {mean:.6} nats");
    println!(
        "  entropy of the targets {:.6}  the least that any prediction can reach",
        mean - excess
    );
    println!("  excess over it         {excess:.6}  what the model leaves unexplained");
}

/// Rows in ten groups by prediction: where the model is right on average, the means agree.
fn print_calibration(table: &Table, fit: &Fit) -> Result<(), Box<dyn Error>> {
    let predictions: Vec<f64> = table.predict(fit)?.iter().map(|row| row.mean()).collect();
    let mut order: Vec<usize> = (0..predictions.len()).collect();
    order.sort_by(|&a, &b| predictions[a].total_cmp(&predictions[b]));

    println!();
    println!("Calibration by decile of the prediction");
    println!("decile     n  mean predicted  mean target  difference");
    let rows = order.len();
    for decile in 0..10 {
        let group = &order[decile * rows / 10..(decile + 1) * rows / 10];
        if group.is_empty() {
            continue;
        }
        let weight: f64 = group.iter().map(|&row| table.weights[row]).sum();
        let mean = |values: &[f64]| {
            group
                .iter()
                .map(|&row| table.weights[row] * values[row])
                .sum::<f64>()
                / weight
        };
        let (predicted, observed) = (mean(&predictions), mean(&table.targets));
        println!(
            "{:6} {:5}  {predicted:14.4}  {observed:11.4}  {:+10.4}",
            decile + 1,
            group.len(),
            observed - predicted
        );
    }
    Ok(())
}

/// The same error twice: cross-entropy sees that 0.99 for 0.89 is the worse one.
fn print_soft_targets() -> Result<(), soft_bce::Error> {
    println!();
    println!("An error of 0.1         squared  cross-entropy above its minimum");
    for [target, prediction] in picture::ERRORS {
        println!(
            "target {target:.2}, said {prediction:.2}  {:.4}  {:.4}",
            picture::squared_error(prediction, target),
            picture::excess(prediction, target)?,
        );
    }
    Ok(())
}

/// Seven significant digits.
fn digits(value: f64) -> String {
    let magnitude = value.abs().log10().floor();
    if (-5.0..7.0).contains(&magnitude) {
        format!("{value:.*}", (6 - magnitude as i32) as usize)
    } else {
        format!("{value:.6e}")
    }
}

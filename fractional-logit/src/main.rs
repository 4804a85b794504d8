//! Fractional logit regression: a logistic model of targets that are fractions, fitted by Newton's
//! method on the sum, gradient and Hessian that soft-bce gives in one pass.
//!
//! Without arguments it fits 401(k) plan participation rates, checks the result against published
//! values, and fails where they differ. `--data` takes any other CSV file.

mod input;
mod lines;
mod output;
mod picture;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand, ValueEnum};
use fractional_logit::{Covariance, Fit, Model, WeightKind};
use indicatif::ProgressBar;
use serde_json::Value;

use input::{Format, Input, Roles, shown};
use output::{
    ERRORS, Judge, Report, Saved, VERSION, covariance_of, digits, hash, name_of, quality, quantile,
};

/// What is fitted without --data, as if it lay here by this name.
const DATA: (&str, &[u8]) = ("401k.csv", include_bytes!("../data/401k.csv"));
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
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    fit: FitArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Predicts the rows of a file with a saved model
    Predict(PredictArguments),
}

#[derive(clap::Args)]
struct FitArguments {
    /// CSV file with a header line, - for standard input [default: the 401(k) data, with the published values beside]
    #[arg(long, value_name = "FILE", requires = "target")]
    data: Option<PathBuf>,
    /// Column with the targets, in [0, 1], or counts with --trials or --failures
    #[arg(long, value_name = "COLUMN", requires = "data")]
    target: Option<String>,
    /// Regressors beside the constant: NAME, ln(NAME), sqrt(NAME), NAME^N, A:B, A*B or C(NAME) for categories
    #[arg(long, value_name = "A,B,C", requires = "data")]
    features: Option<String>,
    /// Column with the weights of the rows, finite and not negative
    #[arg(long, value_name = "COLUMN", requires = "data")]
    weight: Option<String>,
    /// What the weights say: a row stands for so many of the population, was seen so many times, or is the mean of
    /// so many observations. Errors depend on it
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Kind::Sampling)]
    weight_kind: Kind,
    /// Column with the number of trials, of which the target counts the successes
    #[arg(long, value_name = "COLUMN", conflicts_with = "failures")]
    trials: Option<String>,
    /// Column with the number of failures, where the target counts the successes
    #[arg(long, value_name = "COLUMN")]
    failures: Option<String>,
    /// Column that is added to the logit
    #[arg(long, value_name = "COLUMN")]
    offset: Option<String>,
    /// Column that names the cluster of a row: errors are then clustered
    #[arg(long, value_name = "COLUMN")]
    cluster: Option<String>,
    /// Without a constant
    #[arg(long)]
    no_constant: bool,
    /// Adds L/2 times the squared coefficients to the mean loss
    #[arg(
        long,
        value_name = "L",
        group = "penalty",
        allow_negative_numbers = true
    )]
    ridge: Option<f64>,
    /// Adds L times the absolute coefficients to the mean loss; `auto` finds the L that predicts best, by
    /// cross-validation over a path
    #[arg(
        long,
        value_name = "L",
        group = "penalty",
        allow_negative_numbers = true
    )]
    lasso: Option<String>,
    /// With --lasso auto: parts of the rows, each of which is predicted by a fit of the others [default: 10]
    #[arg(long, value_name = "K", requires = "lasso")]
    folds: Option<usize>,
    /// With --lasso: the share of L that goes to absolute coefficients, the rest to half their squares
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 1.0,
        requires = "lasso",
        allow_negative_numbers = true
    )]
    lasso_share: f64,
    /// With --ridge or --lasso: L is of each column divided by its standard deviation, so that units do not matter;
    /// coefficients are reported by the columns as they are, as glmnet does
    #[arg(long, conflicts_with = "firth")]
    standardize: bool,
    /// Firth's correction: less bias in small data, finite where features separate the targets
    #[arg(long, group = "penalty")]
    firth: bool,
    /// Standard errors [default: hc0, or clustered with --cluster]
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(ERRORS.map(|of| of.0)))]
    errors: Option<String>,
    /// Of the intervals
    #[arg(
        long,
        value_name = "LEVEL",
        default_value_t = 0.95,
        allow_negative_numbers = true
    )]
    level: f64,
    #[command(flatten)]
    format: Format,
    /// Files of more MiB are read once for each pass instead of kept in memory
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 1024,
        help_heading = "Input"
    )]
    memory: u64,
    /// Threads; the result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Evaluates the rows in so many parts, and prints a hash of coefficients and errors, which is the same for all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Writes the model, for `predict`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Draws the calibration
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Draws why soft targets work
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
}

#[derive(clap::Args)]
struct PredictArguments {
    /// What a fit wrote with --save
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// CSV file with the columns of the features, - for standard input
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Where the predictions go, as CSV [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Column with targets: says on standard error how well the predictions meet them
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Column with weights, for that; rows of weight 0 are left out, and counted
    #[arg(long, value_name = "COLUMN")]
    weight: Option<String>,
    /// Draws the calibration
    #[arg(long, value_name = "FILE", requires = "target")]
    calibration: Option<PathBuf>,
    /// Of the intervals
    #[arg(
        long,
        value_name = "LEVEL",
        default_value_t = 0.95,
        allow_negative_numbers = true
    )]
    level: f64,
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Sampling,
    Frequency,
    Analytic,
}

impl From<Kind> for WeightKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Sampling => Self::Sampling,
            Kind::Frequency => Self::Frequency,
            Kind::Analytic => Self::Analytic,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Command::Predict(arguments)) => predict(arguments),
        None => run(&arguments.fit),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard error. Where nobody listens there is no way to say so.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Writes to standard output. Who closed it has seen enough.
fn print(text: &str) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn write(path: &Path, contents: &str) -> Result<(), String> {
    std::fs::write(path, contents).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(arguments: &FitArguments) -> Result<(), Box<dyn Error>> {
    let level = arguments.level;
    check_level(level)?;
    let example = arguments.data.is_none();
    let path = arguments.data.as_deref().unwrap_or(Path::new(DATA.0));
    keep_inputs(
        &[arguments.data.as_deref()],
        &[
            ("--save", arguments.save.as_deref()),
            ("--calibration", arguments.calibration.as_deref()),
            ("--svg", arguments.svg.as_deref()),
        ],
    )?;
    if arguments
        .errors
        .as_deref()
        .is_some_and(|name| name.starts_with("clustered"))
        && arguments.cluster.is_none()
    {
        return Err(
            "clustered errors need --cluster COLUMN, which says what rows depend on each other"
                .into(),
        );
    }
    let target = arguments.target.as_deref().unwrap_or(TARGET);
    let formula = match &arguments.features {
        Some(features) => features.clone(),
        None if example => TERMS.map(|(_, term)| term).join(","),
        None => String::new(),
    };
    let roles = Roles {
        target: Some(target.to_owned()),
        formula,
        columns_only: arguments.firth || arguments.lasso.is_some(),
        trials: arguments.trials.clone(),
        failures: arguments.failures.clone(),
        weight: arguments.weight.clone(),
        offset: arguments.offset.clone(),
        cluster: arguments.cluster.clone(),
        ..Roles::default()
    };
    let mut model = Model::new()
        .intercept(!arguments.no_constant)
        .weight_kind(arguments.weight_kind.into())
        .standardize(arguments.standardize)
        .threads(arguments.threads.into());
    if arguments.standardize && arguments.ridge.is_none() && arguments.lasso.is_none() {
        return Err("--standardize needs a penalty: --ridge or --lasso".into());
    }
    if let Some(ridge) = arguments.ridge {
        model = model.ridge(ridge);
    }
    if arguments.firth {
        model = model.firth();
    }

    let mut input = Input::open(
        path,
        example.then_some(DATA.1),
        arguments.format.clone(),
        roles,
        arguments.memory << 20,
    )?;
    let mut path_text = String::new();
    match arguments.lasso.as_deref() {
        None => {}
        Some("auto") => {
            let folds = arguments.folds.unwrap_or(10);
            let path = input.cross_validate(&model, arguments.lasso_share, folds)?;
            model = model.elastic_net(path.points[path.best].lambda, arguments.lasso_share);
            path_text = output::path(&path);
        }
        Some(_) if arguments.folds.is_some() => {
            return Err(
                "--folds needs --lasso auto: there is nothing to choose with a number".into(),
            );
        }
        Some(lasso) => {
            let lambda = lasso
                .parse()
                .map_err(|_| format!("--lasso is `{lasso}`: a number or `auto`"))?;
            model = model.elastic_net(lambda, arguments.lasso_share);
        }
    }
    // Shown on a terminal only.
    let progress = ProgressBar::new_spinner();
    let fit = input.fit(
        &model,
        arguments.partitions.unwrap_or(1) as usize,
        &mut |pass| {
            progress.set_message(format!("pass {pass} over the rows"));
            progress.tick();
        },
    );
    progress.finish_and_clear();
    let fit = fit?;
    let covariance = match &arguments.errors {
        Some(name) => covariance_of(name).unwrap_or_default(),
        None if arguments.cluster.is_some() => Covariance::Clustered,
        None => Covariance::Hc0,
    };
    if fit.standard_errors(covariance).is_none() {
        let name = name_of(covariance);
        return Err(format!("{name} errors need more rows than coefficients").into());
    }
    let quality = quality(&mut input, &fit)?;
    if let Some(path) = &arguments.save {
        let saved = Saved {
            version: VERSION,
            target: target.to_owned(),
            features: input.features().to_vec(),
            levels_of: input.levels_of(),
            offset: arguments.offset.clone(),
            errors: name_of(covariance).to_owned(),
            fit: fit.clone(),
        };
        write(path, &serde_json::to_string(&saved)?)?;
    }
    if let Some(path) = &arguments.calibration {
        picture::draw_calibration(path, &quality.deciles)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(svg) = &arguments.svg {
        picture::draw(svg).map_err(|error| format!("{}: {error}", svg.display()))?;
    }
    let report = Report {
        input: &input,
        target,
        fit: &fit,
        covariance,
        kind: arguments
            .weight
            .as_ref()
            .map(|_| arguments.weight_kind.into()),
        level,
        quality: &quality,
    };
    if arguments.json {
        return print(&format!("{:#}\n", report.json()));
    }
    let mut text = report.head();
    text += &path_text;
    text.push('\n');
    if example {
        let reference: Value = serde_json::from_str(REFERENCE)?;
        text += &beside_reference(&input.names(), &fit, &reference)?;
        text.push('\n');
    }
    text += &report.coefficients();
    text += &report.effects();
    text += &quality.text();
    if arguments.partitions.is_some() {
        text += &format!(
            "\nHash of coefficients and errors: {:016x}\n",
            hash(&fit, covariance)
        );
    }
    if let Some(svg) = &arguments.svg {
        text += &soft_targets()?;
        text += &format!("\nPicture: {}\n", svg.display());
    }
    print(&text)
}

fn check_level(level: f64) -> Result<(), String> {
    if level > 0.0 && level < 1.0 {
        Ok(())
    } else {
        Err(format!("--level is {level} and must be between 0 and 1"))
    }
}

fn predict(arguments: &PredictArguments) -> Result<(), Box<dyn Error>> {
    check_level(arguments.level)?;
    let at = |path: &Path, message: String| format!("{}: {message}", path.display());
    keep_inputs(
        &[Some(&arguments.model), Some(&arguments.data)],
        &[
            ("--out", arguments.out.as_deref()),
            ("--calibration", arguments.calibration.as_deref()),
        ],
    )?;
    let text = std::fs::read_to_string(&arguments.model)
        .map_err(|error| at(&arguments.model, error.to_string()))?;
    let saved: Saved = serde_json::from_str(&text).map_err(|error| {
        at(
            &arguments.model,
            format!("not a model that --save wrote: {error}"),
        )
    })?;
    if saved.version != VERSION {
        let message = format!(
            "a model of version {}, and this program reads {VERSION}",
            saved.version
        );
        return Err(at(&arguments.model, message).into());
    }
    let roles = Roles {
        target: arguments.target.clone(),
        features: saved.features,
        levels_of: saved.levels_of,
        weight: arguments.weight.clone(),
        offset: saved.offset,
        ..Roles::default()
    };
    let columns: usize = roles.features.iter().map(|of| of.names().len()).sum();
    let expected = saved.fit.coefficients().len() - usize::from(saved.fit.has_intercept());
    if columns != expected {
        let message = format!(
            "not a model that --save wrote: features of {columns} columns, and coefficients of {expected}"
        );
        return Err(at(&arguments.model, message).into());
    }
    let Some(covariance) = covariance_of(&saved.errors) else {
        let message = format!("not a model that --save wrote: errors `{}`", saved.errors);
        return Err(at(&arguments.model, message).into());
    };
    let mut input = Input::stream(&arguments.data, arguments.format.clone(), roles);
    let times = quantile(arguments.level);
    let destination = Destination::open(arguments.out.as_deref())?;
    let mut rows = csv::Writer::from_writer(destination.writer()?);
    let header = ["line", "prediction", "lower", "upper", "logit", "logit_se"];
    let mut is_started = false;
    // Shown on a terminal only.
    let progress = ProgressBar::new_spinner();
    let mut problem = None;
    let mut judge = Judge::default();
    let written = input.pass(&mut |chunk| -> Result<(), Box<dyn Error>> {
        let predictions = chunk.with_features(|x| {
            let (levels, offset) = (chunk.levels(), chunk.offset());
            saved.fit.predict_at_levels(&x, levels, offset, covariance)
        })?;
        let predictions = match predictions {
            Ok(predictions) => predictions,
            Err(error) => {
                // Of a row of this chunk.
                let line = match error {
                    fractional_logit::Error::Value { row, .. } => Some(chunk.line(row as usize)),
                    _ => None,
                };
                problem = Some((error, line));
                return Err("".into()); // what to say follows
            }
        };
        if !std::mem::replace(&mut is_started, true) {
            rows.write_record(header)?;
        }
        for (row, prediction) in predictions.iter().enumerate() {
            let (lower, upper) = prediction.interval(times);
            let numbers = [
                prediction.mean(),
                lower,
                upper,
                prediction.logit,
                prediction.standard_error,
            ];
            let line = [chunk.line(row).to_string()].into_iter();
            rows.write_record(line.chain(numbers.map(shown)))?;
        }
        if arguments.target.is_some() {
            judge.see(chunk, predictions.iter().map(|of| of.logit));
        }
        if let Some(last) = chunk.rows().checked_sub(1) {
            progress.set_message(format!("line {}", chunk.line(last)));
            progress.tick();
        }
        Ok(())
    });
    progress.finish_and_clear();
    if let Some((error, line)) = problem {
        return Err(input.explain(&error, line).into());
    }
    if written.is_ok() && !is_started {
        rows.write_record(header)?;
    }
    let flushed = written.and_then(|()| Ok(rows.flush()?));
    drop(rows);
    match flushed {
        Err(error) if is_broken_pipe(&*error) => return Ok(()),
        other => other?,
    }
    destination.keep()?;
    for (rows, which) in [
        (input.missing_rows, "with missing values"),
        (input.unweighted_rows, "of weight 0"),
    ] {
        if rows > 0 {
            say(&format!("{rows} rows {which} are left out\n"));
        }
    }
    if arguments.target.is_some() {
        let quality = judge.quality()?;
        say(&quality.text());
        if let Some(path) = &arguments.calibration {
            picture::draw_calibration(path, &quality.deciles)
                .map_err(|error| at(path, error.to_string()))?;
        }
    }
    Ok(())
}

/// Whoever read standard output has seen enough.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let is_broken = |error: &std::io::Error| error.kind() == ErrorKind::BrokenPipe;
    let of_csv = error.downcast_ref::<csv::Error>().map(csv::Error::kind);
    match of_csv {
        Some(csv::ErrorKind::Io(error)) => is_broken(error),
        _ => error.downcast_ref().is_some_and(is_broken),
    }
}

/// Where predictions go: a file that takes its name when it is whole, something that is no file, or standard output.
struct Destination<'a> {
    path: Option<&'a Path>,
    unfinished: Option<PathBuf>,
}

impl<'a> Destination<'a> {
    fn open(path: Option<&'a Path>) -> Result<Self, String> {
        let is_file = |path: &&Path| std::fs::metadata(path).map_or(true, |of| of.is_file());
        let unfinished = match path.filter(is_file) {
            None => None,
            Some(path) => {
                let mut name = path
                    .file_name()
                    .ok_or_else(|| format!("{}: no name of a file", path.display()))?
                    .to_owned();
                name.push(".unfinished");
                Some(path.with_file_name(name))
            }
        };
        Ok(Self { path, unfinished })
    }

    fn writer(&self) -> Result<Box<dyn std::io::Write>, String> {
        let Some(path) = self.path else {
            return Ok(Box::new(std::io::stdout()));
        };
        let file = std::fs::File::create(self.unfinished.as_deref().unwrap_or(path));
        Ok(Box::new(
            file.map_err(|error| format!("{}: {error}", path.display()))?,
        ))
    }

    fn keep(mut self) -> Result<(), String> {
        let (Some(unfinished), Some(path)) = (&self.unfinished, self.path) else {
            return Ok(());
        };
        std::fs::rename(unfinished, path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        self.unfinished = None;
        Ok(())
    }
}

impl Drop for Destination<'_> {
    fn drop(&mut self) {
        if let Some(unfinished) = &self.unfinished {
            // Of a prediction that failed; whether it is there does not matter.
            let _ = std::fs::remove_file(unfinished);
        }
    }
}

/// Refuses to write over what is read, or twice to one file.
fn keep_inputs(inputs: &[Option<&Path>], outputs: &[(&str, Option<&Path>)]) -> Result<(), String> {
    // Of a file that is yet to be made, its directory decides.
    let place = |path: &Path| -> Option<PathBuf> {
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let made = || Some(directory.canonicalize().ok()?.join(path.file_name()?));
        path.canonicalize().ok().or_else(made)
    };
    let mut taken: Vec<PathBuf> = inputs
        .iter()
        .flatten()
        .filter_map(|path| place(path))
        .collect();
    for (option, path) in outputs {
        let Some(path) = path else { continue };
        let Some(place) = place(path) else { continue };
        if taken.contains(&place) {
            return Err(format!(
                "{option} {}: this file is read, or written by another option, and would be overwritten",
                path.display()
            ));
        }
        taken.push(place);
    }
    Ok(())
}

/// The estimates, each with the published value beside it.
///
/// # Errors
/// Where they differ.
fn beside_reference(
    names: &[String],
    fit: &Fit,
    reference: &Value,
) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
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

    let _ = writeln!(
        text,
        "{:12}  {:^26}  {:^26}  {:>19}\n{:12}{}",
        "",
        "coefficient",
        "robust SE (HC0)",
        "nonrobust SE",
        "",
        format!("  {:>12}  {:>12}", "here", "published").repeat(3)
    );
    let [robust, nonrobust] = errors(fit);
    let keys = std::iter::once("const").chain(TERMS.map(|(key, _)| key));
    for (term, key) in keys.enumerate() {
        let name = term
            .checked_sub(1)
            .map_or("const", |feature| &names[feature]);
        let _ = write!(text, "{name:12}");
        for (quantity, ours) in [
            ("coef", fit.coefficients()[term]),
            ("se_robust_hc0", robust[term]),
            ("se_nonrobust", nonrobust[term]),
        ] {
            let theirs = published(&[quantity, key])?;
            let _ = write!(text, "  {:>12}  {:>12}", digits(ours), digits(theirs));
            compare(format!("{quantity} of {name}"), ours, theirs);
        }
        text.push('\n');
    }
    compare(
        "mean loss".to_owned(),
        fit.mean_loss(),
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
    let _ = writeln!(
        text,
        "Largest relative difference from the published values: {worst:.1e}"
    );
    Ok(text)
}

fn errors(fit: &Fit) -> [Vec<f64>; 2] {
    [Covariance::Hc0, Covariance::Nonrobust].map(|of| fit.standard_errors(of).unwrap_or_default())
}

/// The same error twice: cross-entropy sees that 0.99 for 0.89 is the worse one.
fn soft_targets() -> Result<String, soft_bce::Error> {
    let mut text =
        "\nAn error of 0.1         squared  cross-entropy above its minimum\n".to_owned();
    for [target, prediction] in picture::ERRORS {
        let _ = writeln!(
            text,
            "target {target:.2}, said {prediction:.2}  {:.4}  {:.4}",
            picture::squared_error(prediction, target),
            picture::excess(prediction, target)?,
        );
    }
    Ok(text)
}

//! Reads a CSV file into a design matrix, targets and weights, and says where whatever it cannot
//! use stands.

use std::fmt;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};
use soft_bce::Bce;

use crate::error::{Error, Place};
use crate::{Covariance, Data, Features, Fit, Model, Prediction};

/// What is wrong with the data, and where.
#[derive(Debug)]
pub struct Problem {
    file: PathBuf,
    line: Option<u64>,
    column: Option<String>,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ": column `{column}`")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Problem {}

/// A regressor: a column, its logarithm, or an integer power of either.
struct Term {
    name: String,
    column: usize,
    logarithm: bool,
    power: i32,
}

impl Term {
    fn evaluate(&self, value: f64) -> Result<f64, String> {
        if self.logarithm && value <= 0.0 {
            return Err(format!("ln({value}) is undefined, in `{}`", self.name));
        }
        let base = if self.logarithm { value.ln() } else { value };
        let result = base.powi(self.power);
        if result.is_finite() {
            Ok(result)
        } else {
            Err(format!("`{}` overflows at {value}", self.name))
        }
    }
}

/// The rows that take part in the fit.
pub struct Table {
    path: PathBuf,
    target: String,
    /// The line of the file that each row starts on.
    lines: Vec<u64>,
    /// `const`, then the features as the user wrote them.
    pub names: Vec<String>,
    /// The columns of the file that the features come from; none for the constant.
    columns: Vec<Option<String>>,
    /// One a feature.
    design: Vec<Vec<f64>>,
    /// In [0, 1].
    pub targets: Vec<f64>,
    /// Positive and finite; 1 where no column was named.
    pub weights: Vec<f64>,
    /// Rows left out because their weight is zero.
    pub unweighted_rows: usize,
}

impl Table {
    /// Reads `target`, `features` and, if given, `weight` from the CSV file at `path`, which has a
    /// header line. A feature is `NAME`, `ln(NAME)`, `NAME^N` or `ln(NAME)^N`.
    ///
    /// # Errors
    ///
    /// Whatever cannot be used, by line and column: a missing column, a field that is no finite number,
    /// a target outside [0, 1], a negative weight; fewer rows of positive weight than the fit needs, or
    /// targets that are all 0 or all 1.
    pub fn read(
        path: &Path,
        target: &str,
        features: &[String],
        weight: Option<&str>,
    ) -> Result<Self, Problem> {
        let fail = |line, column: Option<&str>, message: String| Problem {
            file: path.to_owned(),
            line,
            column: column.map(str::to_owned),
            message,
        };
        let malformed = |error: csv::Error| {
            let line = error.position().map(|position| position.line());
            match error.kind() {
                csv::ErrorKind::UnequalLengths {
                    expected_len, len, ..
                } => fail(
                    line,
                    None,
                    format!("{len} fields, but the header has {expected_len}"),
                ),
                csv::ErrorKind::Utf8 { err, .. } => fail(
                    line,
                    None,
                    format!("field {} is not valid UTF-8", err.field() + 1),
                ),
                csv::ErrorKind::Io(error) => fail(line, None, error.to_string()),
                _ => fail(line, None, error.to_string()),
            }
        };

        let mut reader = ReaderBuilder::new()
            .trim(Trim::All)
            .from_path(path)
            .map_err(malformed)?;
        let header = reader.headers().map_err(malformed)?.clone();
        let find = |name: &str| -> Result<usize, Problem> {
            let mut places = (0..header.len()).filter(|&place| &header[place] == name);
            match (places.next(), places.next()) {
                (Some(place), None) => Ok(place),
                (Some(_), Some(_)) => Err(fail(
                    Some(1),
                    Some(name),
                    "stands in the header more than once".to_owned(),
                )),
                (None, _) => Err(fail(
                    Some(1),
                    Some(name),
                    format!("not in the header, which has: {}", list(header.iter())),
                )),
            }
        };
        let target_column = find(target)?;
        let weight_column = weight.map(find).transpose()?;
        let mut terms = Vec::with_capacity(features.len());
        for feature in features {
            terms.push(parse_term(feature, &header, &find)?);
        }

        let mut lines = Vec::new();
        let mut targets = Vec::new();
        let mut weights = Vec::new();
        let mut values = Vec::new();
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(malformed)? {
            let line = record.position().map_or(0, |position| position.line());
            let number = |column: usize| {
                parse_number(&record[column])
                    .map_err(|message| fail(Some(line), Some(&header[column]), message))
            };
            targets.push(number(target_column)?);
            weights.push(weight_column.map_or(Ok(1.0), number)?);
            for term in &terms {
                let value = term.evaluate(number(term.column)?);
                values
                    .push(value.map_err(|message| {
                        fail(Some(line), Some(&header[term.column]), message)
                    })?);
            }
            lines.push(line);
        }

        // The library checks targets and weights; its index leads back to the line.
        let zeros = vec![0.0; targets.len()];
        match Bce::<f64>::new().weights(&weights).sum(&zeros, &targets) {
            Err(soft_bce::Error::TargetOutOfRange { index, .. }) => {
                let message = format!("target {} is outside [0, 1]", targets[index]);
                return Err(fail(Some(lines[index]), Some(target), message));
            }
            Err(soft_bce::Error::InvalidWeight { index, .. }) => {
                let message = format!("weight {} is negative", weights[index]);
                return Err(fail(Some(lines[index]), weight, message));
            }
            Err(other) => return Err(fail(None, None, other.to_string())),
            Ok(_) => {}
        }

        let used: Vec<usize> = (0..lines.len()).filter(|&row| weights[row] > 0.0).collect();
        let keep = |column: &[f64]| used.iter().map(|&row| column[row]).collect::<Vec<f64>>();
        let table = Self {
            path: path.to_owned(),
            target: target.to_owned(),
            names: std::iter::once("const".to_owned())
                .chain(terms.iter().map(|term| term.name.clone()))
                .collect(),
            columns: std::iter::once(None)
                .chain(
                    terms
                        .iter()
                        .map(|term| Some(header[term.column].to_owned())),
                )
                .collect(),
            design: (0..terms.len())
                .map(|term| {
                    let values = used.iter().map(|&row| values[row * terms.len() + term]);
                    values.collect()
                })
                .collect(),
            targets: keep(&targets),
            weights: keep(&weights),
            unweighted_rows: lines.len() - used.len(),
            lines: used.iter().map(|&row| lines[row]).collect(),
        };
        Ok(table)
    }

    /// Fits the model to the rows.
    ///
    /// # Errors
    /// Where there is no fit, with the line and the column that it is about.
    pub fn fit(&self, model: &Model) -> Result<Fit, Problem> {
        let columns: Vec<&[f64]> = self.design.iter().map(Vec::as_slice).collect();
        let features = Features::columns(&columns, self.targets.len());
        let features = features.map_err(|error| self.explain(&error.into()))?;
        let data = Data::new(features, &self.targets).weights(&self.weights);
        model.fit(&data).map_err(|error| self.explain(&error))
    }

    /// Predicts the rows.
    ///
    /// # Errors
    /// A logit beyond the range of `f64`.
    pub fn predict(&self, fit: &Fit) -> Result<Vec<Prediction>, Problem> {
        let columns: Vec<&[f64]> = self.design.iter().map(Vec::as_slice).collect();
        let features = Features::columns(&columns, self.targets.len());
        let features = features.map_err(|error| self.explain(&error.into()))?;
        let predictions = fit.predict(&features, None, Covariance::Hc0);
        predictions.map_err(|error| self.explain(&error))
    }

    /// The error in the words of the file.
    fn explain(&self, error: &Error) -> Problem {
        match error {
            Error::Collinear {
                column,
                constant,
                combination,
            } => {
                let name = &self.names[column + 1];
                let mut terms = Vec::new();
                if *constant != 0.0 {
                    terms.push(format!("{constant:.6} * const"));
                }
                let products = combination.iter();
                terms.extend(
                    products.map(|(of, share)| format!("{share:.6} * {}", self.names[of + 1])),
                );
                if terms.is_empty() {
                    terms.push("0".to_owned());
                }
                let made_up = terms.join(" + ");
                let message = format!("singular design: in every row `{name}` = {made_up}");
                self.problem(None, Some(column + 1), message)
            }
            Error::Separation {
                columns,
                rows,
                first_row,
            } => {
                let names: Vec<&str> = columns
                    .iter()
                    .map(|of| self.names[of + 1].as_str())
                    .collect();
                let message = format!(
                    "separation: the features predict the targets of {rows} rows, this one first, as exactly 0 or 1, so \
                     that the coefficients of {} grow without limit and no finite fit exists",
                    list(names.into_iter())
                );
                let column = columns.first().map(|column| column + 1);
                self.problem(Some(*first_row as usize), column, message)
            }
            Error::NoConvergence { steps, column } => {
                let message =
                    format!("no convergence in {steps} steps; this coefficient moves most");
                self.problem(None, column.map(|column| column + 1), message)
            }
            Error::Value {
                of: Place::Feature(column),
                row,
                value,
                expected,
            } => {
                let message = format!("{value} is not {expected}");
                self.problem(Some(*row as usize), Some(column + 1), message)
            }
            Error::OneClass { .. } => Problem {
                column: Some(self.target.clone()),
                ..self.problem(None, None, error.to_string())
            },
            other => self.problem(None, None, other.to_string()),
        }
    }

    /// A problem with `row` of the design or with one of its terms.
    fn problem(&self, row: Option<usize>, term: Option<usize>, message: String) -> Problem {
        Problem {
            file: self.path.clone(),
            line: row.map(|row| self.lines[row]),
            column: term.and_then(|term| self.columns[term].clone()),
            message,
        }
    }
}

/// `NAME`, `ln(NAME)`, `NAME^N` or `ln(NAME)^N`; a column of exactly that name comes first.
fn parse_term(
    text: &str,
    header: &StringRecord,
    find: &impl Fn(&str) -> Result<usize, Problem>,
) -> Result<Term, Problem> {
    let text = text.trim();
    let is_column = |name: &str| header.iter().any(|column| column == name);
    let (base, power) = match text.rsplit_once('^') {
        Some((base, power)) if !is_column(text) => match power.trim().parse::<u8>() {
            Ok(power) if power > 0 => (base.trim(), i32::from(power)),
            _ => (text, 1),
        },
        _ => (text, 1),
    };
    let inner = base
        .strip_prefix("ln(")
        .and_then(|rest| rest.strip_suffix(')'));
    let (name, logarithm) = match inner {
        Some(inner) if !is_column(base) => (inner.trim(), true),
        _ => (base, false),
    };
    Ok(Term {
        name: text.to_owned(),
        column: find(name)?,
        logarithm,
        power,
    })
}

fn parse_number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("`{text}` is not a finite number")),
        Err(_) if text.is_empty() => Err("empty, where a number is needed".to_owned()),
        Err(_) => Err(format!("`{text}` is not a number")),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

//! What is said of a fit: as text, as JSON, and as a model that predicts later.

use std::fmt::Write;

use fractional_logit::{Covariance, Effect, Fit, Path, WeightKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::erf::erfc;

use crate::input::{Chunk, Feature, Input, Problem, shown};

/// A fit, with what is needed to predict from a file.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    /// Of the format.
    pub version: u32,
    pub target: String,
    pub features: Vec<Feature>,
    /// The one whose levels have no columns.
    #[serde(default)]
    pub levels_of: Option<usize>,
    /// The column of the offset.
    pub offset: Option<String>,
    pub errors: String,
    pub fit: Fit,
}

pub const VERSION: u32 = 1;

/// A decile of the predictions.
pub struct Decile {
    pub rows: usize,
    pub predicted: f64,
    pub observed: f64,
}

/// How well predictions meet targets.
pub struct Quality {
    pub mean_loss: f64,
    pub excess: f64,
    pub brier: f64,
    pub deviance_explained: Option<f64>,
    pub deciles: Vec<Decile>,
}

/// A fit and how it is to be told.
pub struct Report<'a> {
    pub input: &'a Input,
    pub target: &'a str,
    pub fit: &'a Fit,
    pub covariance: Covariance,
    pub kind: Option<WeightKind>,
    pub level: f64,
    pub quality: &'a Quality,
}

/// By the names of the command line.
pub const ERRORS: [(&str, Covariance); 6] = [
    ("hc0", Covariance::Hc0),
    ("hc1", Covariance::Hc1),
    ("clustered", Covariance::Clustered),
    ("clustered-small", Covariance::ClusteredSmallSample),
    ("nonrobust", Covariance::Nonrobust),
    ("quasi", Covariance::Quasi),
];

pub fn name_of(covariance: Covariance) -> &'static str {
    let known = ERRORS.iter().find(|of| of.1 == covariance);
    known.map_or("hc0", |of| of.0)
}

pub fn covariance_of(name: &str) -> Option<Covariance> {
    let known = ERRORS.iter().find(|of| of.0 == name);
    known.map(|of| of.1)
}

/// Predictions against their targets, chunk by chunk.
#[derive(Default)]
pub struct Judge {
    logits: Vec<f64>,
    targets: Vec<f64>,
    weights: Vec<f64>,
}

impl Judge {
    pub fn see(&mut self, chunk: &Chunk, logits: impl IntoIterator<Item = f64>) {
        self.logits.extend(logits);
        for row in 0..chunk.rows() {
            let (target, weight) = chunk.fraction(row);
            self.targets.push(target);
            self.weights.push(weight);
        }
    }

    /// # Errors
    /// None that is known of: the values have been checked.
    pub fn quality(self) -> Result<Quality, soft_bce::Error> {
        let Self {
            logits,
            targets,
            weights,
        } = self;
        let bce = soft_bce::Bce::new().weights(&weights);
        let mut predictions = vec![0.0; logits.len()];
        soft_bce::sigmoid(&logits, &mut predictions)?;
        let total: f64 = weights.iter().sum();
        let mean = weights
            .iter()
            .zip(&targets)
            .map(|(w, t)| w * t)
            .sum::<f64>()
            / total;
        let mut of_mean = [0.0];
        soft_bce::logit(&[mean.clamp(0.0, 1.0)], &mut of_mean)?;
        let of_mean = vec![of_mean[0]; logits.len()];
        let excess = bce.excess().mean(&logits, &targets)?;
        let excess_of_mean = bce.excess().mean(&of_mean, &targets)?;
        let squares = predictions.iter().zip(&targets).zip(&weights);
        let brier = squares
            .map(|((p, t), w)| w * (p - t) * (p - t))
            .sum::<f64>()
            / total;

        let mut order: Vec<usize> = (0..predictions.len()).collect();
        order.sort_by(|&a, &b| predictions[a].total_cmp(&predictions[b]));
        let rows = order.len();
        let deciles = (0..10).filter_map(|decile| {
            let group = &order[decile * rows / 10..(decile + 1) * rows / 10];
            let weight: f64 = group.iter().map(|&row| weights[row]).sum();
            let mean = |values: &[f64]| {
                group
                    .iter()
                    .map(|&row| weights[row] * values[row])
                    .sum::<f64>()
                    / weight
            };
            (!group.is_empty()).then(|| Decile {
                rows: group.len(),
                predicted: mean(&predictions),
                observed: mean(&targets),
            })
        });
        Ok(Quality {
            mean_loss: bce.mean(&logits, &targets)?,
            excess,
            brier,
            deviance_explained: (excess_of_mean > 0.0).then(|| 1.0 - excess / excess_of_mean),
            deciles: deciles.collect(),
        })
    }
}

/// The predictions of all rows against their targets.
///
/// # Errors
/// Of the file.
pub fn quality(input: &mut Input, fit: &Fit) -> Result<Quality, Problem> {
    let mut judge = Judge::default();
    let mut failed = None;
    input.pass(&mut |chunk| -> Result<(), Problem> {
        match chunk.with_features(|x| fit.logits_at_levels(&x, chunk.levels(), chunk.offset())) {
            Ok(Ok(of_chunk)) => judge.see(chunk, of_chunk),
            Ok(Err(error)) => failed = Some(error.to_string()),
            Err(error) => failed = Some(error.to_string()),
        }
        Ok(())
    })?;
    if let Some(message) = failed {
        return Err(input.problem(None, None, message));
    }
    judge
        .quality()
        .map_err(|error| input.problem(None, None, error.to_string()))
}

/// Standard errors to either side that an interval of this level takes.
pub fn quantile(level: f64) -> f64 {
    // From below, where what is left of a level near 1 is not rounded away.
    -Normal::standard().inverse_cdf((1.0 - level) / 2.0)
}

fn p_value(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

impl Report<'_> {
    fn names(&self) -> Vec<String> {
        let constant = self.fit.has_intercept().then(|| "const".to_owned());
        constant.into_iter().chain(self.input.names()).collect()
    }

    fn errors(&self) -> Vec<f64> {
        let errors = self.fit.standard_errors(self.covariance);
        errors.unwrap_or_else(|| vec![f64::NAN; self.fit.coefficients().len()])
    }

    fn has_few_clusters(&self) -> bool {
        let clustered = [Covariance::Clustered, Covariance::ClusteredSmallSample];
        clustered.contains(&self.covariance) && self.fit.has_few_clusters()
    }

    /// NaN where nothing can be said.
    fn p_value(&self, z: f64) -> f64 {
        if self.has_few_clusters() {
            f64::NAN
        } else {
            p_value(z)
        }
    }

    fn label(&self) -> &'static str {
        match self.covariance {
            Covariance::Hc0 => "robust SE (HC0)",
            Covariance::Hc1 => "robust SE (HC1)",
            Covariance::Nonrobust => "nonrobust SE",
            Covariance::Quasi => "quasi SE",
            _ => "clustered SE",
        }
    }

    pub fn head(&self) -> String {
        let mut text = format!(
            "{}: {} rows",
            self.input.path().display(),
            self.fit.used_rows()
        );
        let left_out = [
            (self.input.unweighted_rows, "have weight 0"),
            (self.input.missing_rows, "have missing values"),
        ];
        for (rows, why) in left_out {
            if rows > 0 {
                text += &format!(" ({rows} more {why})");
            }
        }
        text += &format!(
            ", target {}, {} Newton steps\n",
            self.target,
            self.fit.steps()
        );
        if let Some(kind) = self.kind {
            text += match kind {
                WeightKind::Sampling => {
                    "Weights: sampling weights, a row stands for so many of the population (--weight-kind)\n"
                }
                WeightKind::Frequency => "Weights: frequencies, a row was seen so many times\n",
                WeightKind::Analytic => {
                    "Weights: analytic, a row is the mean of so many observations\n"
                }
            };
        }
        if let Some(clusters) = self.fit.clusters() {
            text += &format!("Clusters: {clusters}\n");
            if self.has_few_clusters() {
                text += "Warning: not more clusters than coefficients: clustered errors are too small, and p says nothing\n";
            }
        }
        if self.fit.is_penalised() {
            text +=
                "Penalised: coefficients are drawn towards 0, errors are those of that estimate\n";
        }
        text
    }

    /// Coefficients with errors, tests, intervals and odds ratios.
    pub fn coefficients(&self) -> String {
        let names = self.names();
        let width = names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        let level = format!("{} % interval", shown(100.0 * self.level));
        let label = self.label();
        let mut text = format!(
            "{:width$}  {:>12}  {label:>15}  {:>8}  {:>8}  {level:^26}  {:>12}\n",
            "", "coefficient", "z", "p", "odds ratio"
        );
        let times = quantile(self.level);
        let rows = self.fit.coefficients().iter().zip(self.errors());
        let mut unknown = false;
        for ((coefficient, error), name) in rows.zip(names) {
            let (z, half) = (coefficient / error, times * error);
            unknown |= error.is_nan();
            let shown_z = if z.is_nan() {
                "-".to_owned()
            } else {
                format!("{z:.3}")
            };
            let _ = writeln!(
                text,
                "{name:width$}  {:>12}  {:>15}  {shown_z:>8}  {:>8}  {:>12}  {:>12}  {:>12}",
                digits(*coefficient),
                digits(error),
                probability(self.p_value(z)),
                digits(coefficient - half),
                digits(coefficient + half),
                digits(coefficient.exp()),
            );
        }
        if unknown {
            text += "-: no error, as the residuals that would tell it are 0: of as many coefficients as rows, of a category of\n   \
                     one row, or where every target is met. --errors nonrobust does not need them\n";
        }
        text
    }

    /// By column; whether it is that of a step from 0 to 1.
    fn all_effects(&self) -> Vec<(String, Effect, bool)> {
        let slopes = self
            .fit
            .marginal_effects(self.covariance)
            .unwrap_or_default();
        let named = slopes.into_iter().zip(self.input.names()).enumerate();
        let effects = named.map(|(column, (slope, name))| {
            match self.fit.change_effect(column, self.covariance) {
                Some(change) => (name, change, true),
                None => (name, slope, false),
            }
        });
        effects.collect()
    }

    pub fn effects(&self) -> String {
        let effects = self.all_effects();
        if effects.is_empty() {
            return String::new();
        }
        let names = effects.iter().map(|of| of.0.chars().count() + 9);
        let width = names.max().unwrap_or(0).max(23);
        let mut text = format!(
            "\n{:width$}  {:>12}  {:>12}  {:>8}\n",
            "Average marginal effect", "effect", "SE", "p"
        );
        for (mut name, effect, is_change) in effects {
            if is_change {
                name += " (0 to 1)";
            }
            let _ = writeln!(
                text,
                "{name:width$}  {:>12}  {:>12}  {:>8}",
                digits(effect.effect),
                digits(effect.standard_error),
                probability(self.p_value(effect.effect / effect.standard_error)),
            );
        }
        text
    }

    /// Everything, for programs.
    pub fn json(&self) -> Value {
        let times = quantile(self.level);
        let rows = self.fit.coefficients().iter().zip(self.errors());
        let coefficients: Vec<Value> = rows
            .zip(self.names())
            .map(|((coefficient, error), name)| {
                json!({
                    "name": name,
                    "coefficient": coefficient,
                    "standard_error": error,
                    "z": coefficient / error,
                    "p": self.p_value(coefficient / error),
                    "lower": coefficient - times * error,
                    "upper": coefficient + times * error,
                    "odds_ratio": coefficient.exp(),
                })
            })
            .collect();
        let effects: Vec<Value> = self
            .all_effects()
            .iter()
            .map(|(name, of, is_change)| {
                json!({
                    "name": name,
                    "effect": of.effect,
                    "standard_error": of.standard_error,
                    "from_0_to_1": is_change,
                })
            })
            .collect();
        json!({
            "data": self.input.path().display().to_string(),
            "target": self.target,
            "rows": self.fit.used_rows(),
            "rows_of_weight_0": self.input.unweighted_rows,
            "rows_with_missing_values": self.input.missing_rows,
            "total_weight": self.fit.total_weight(),
            "clusters": self.fit.clusters(),
            "few_clusters": self.has_few_clusters(),
            "steps": self.fit.steps(),
            "errors": name_of(self.covariance),
            "level": self.level,
            "coefficients": coefficients,
            "covariance": self.fit.covariance(self.covariance),
            "marginal_effects": effects,
            "sum_loss": self.fit.sum_loss(),
            "dispersion": self.fit.dispersion(),
            "quality": self.quality.json(),
            "hash": format!("{:016x}", hash(self.fit, self.covariance)),
        })
    }
}

impl Quality {
    pub fn text(&self) -> String {
        let entropy = self.mean_loss - self.excess;
        let mut text = format!(
            "\nMean loss                {} nats\n  entropy of the targets {}  the least that any prediction can reach\n  \
             excess over it         {}  what the model leaves unexplained\n",
            significant(self.mean_loss, 6),
            significant(entropy.max(0.0), 6),
            significant(self.excess, 6),
        );
        if let Some(explained) = self.deviance_explained {
            text += &format!(
                "Deviance explained       {explained:.6}  of what the mean target leaves\n"
            );
        }
        text += &format!("Brier score              {}\n", significant(self.brier, 6));
        text += "\nCalibration by decile of the prediction\n";
        text += "decile     n  mean predicted  mean target  difference\n";
        for (number, decile) in self.deciles.iter().enumerate() {
            let _ = writeln!(
                text,
                "{:6} {:5}  {:>14}  {:>11}  {:>+10.1e}",
                number + 1,
                decile.rows,
                significant(decile.predicted, 4),
                significant(decile.observed, 4),
                decile.observed - decile.predicted
            );
        }
        text
    }

    pub fn json(&self) -> Value {
        let deciles: Vec<Value> = self
            .deciles
            .iter()
            .map(|of| json!({"rows": of.rows, "predicted": of.predicted, "observed": of.observed}))
            .collect();
        json!({
            "mean_loss": self.mean_loss,
            "excess": self.excess,
            "brier": self.brier,
            "deviance_explained": self.deviance_explained,
            "calibration": deciles,
        })
    }
}

/// The penalties that were tried.
pub fn path(path: &Path) -> String {
    let mut text = "\n      penalty  mean loss of rows left out            SE\n".to_owned();
    for (index, point) in path.points.iter().enumerate() {
        let remark = match index {
            _ if index == path.best => "  least: this one",
            _ if index == path.within_one_error => "  largest within an SE of the least",
            _ => "",
        };
        let _ = writeln!(
            text,
            "{:>13}  {:>26}  {:>12}{remark}",
            significant(point.lambda, 4),
            significant(point.mean_loss, 6),
            significant(point.standard_error, 3),
        );
    }
    text
}

/// FNV-1a over the bits of coefficients and covariance: the same whatever the order and the partition of the rows.
pub fn hash(fit: &Fit, covariance: Covariance) -> u64 {
    let numbers = fit.coefficients().iter().copied();
    let numbers = numbers.chain(fit.covariance(covariance).unwrap_or_default());
    let bytes = numbers.flat_map(|x| x.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Seven significant digits.
pub fn digits(value: f64) -> String {
    significant(value, 7)
}

fn significant(value: f64, count: i32) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    if value == 0.0 || value.is_infinite() {
        return format!("{value}");
    }
    let magnitude = value.abs().log10().floor();
    if (-5.0..7.0).contains(&magnitude) {
        let decimals = (count - 1 - magnitude as i32).max(0);
        format!("{value:.*}", decimals as usize)
    } else {
        format!("{value:.*e}", (count - 1) as usize)
    }
}

fn probability(p: f64) -> String {
    if p.is_nan() {
        "-".to_owned()
    } else if p == 0.0 {
        "0".to_owned()
    } else if p >= 1e-4 {
        format!("{p:.4}")
    } else {
        format!("{p:.1e}")
    }
}

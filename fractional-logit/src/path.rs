//! Which penalty predicts best: a path of them, judged on rows that the fit has not seen.

use soft_bce::linear::Features;

use crate::data::{Data, Value};
use crate::error::Error;
use crate::grid::mix;
use crate::model::Model;

/// Of the largest penalty to the least.
const SPAN: f64 = 1e-4;

/// A penalty, and how well its fits predict the rows that they have not seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathPoint {
    /// For [`Model::elastic_net`].
    pub lambda: f64,
    /// The mean loss of the rows that were left out.
    pub mean_loss: f64,
    /// Its standard error, from the folds.
    pub standard_error: f64,
}

/// A path of penalties, the largest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// From the least lambda that leaves no coefficient to its 10^-4.
    pub points: Vec<PathPoint>,
    /// The place of the least mean loss.
    pub best: usize,
    /// That of the largest lambda within a standard error of it: fewer coefficients, hardly worse.
    pub within_one_error: usize,
}

/// Judges `lambdas` penalties with this share of the lasso by cross-validation: the rows are split into `folds` by the rank of a
/// hash of what they hold, so that the result depends on no order; each fold is predicted by a fit of the others.
///
/// # Errors
/// See [`Error`]; [`Error::InvalidOption`] unless there are two folds and two lambdas, and a share above 0;
/// [`Error::TooFewRows`] if there are more folds than rows of positive weight.
///
/// ```
/// use fractional_logit::{Data, Features, Model, cross_validate};
/// let x: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 61) / 61.0).collect();
/// let t: Vec<f64> = x.chunks(2).map(|x| 0.2 + 0.6 * x[0]).collect();
/// let data = Data::new(Features::rows(&x, 30, 2)?, &t);
/// let path = cross_validate(&Model::new(), 1.0, &data, 5, 10)?;
/// let fit = Model::new().elastic_net(path.points[path.best].lambda, 1.0).fit(&data)?;
/// assert!(fit.coefficients()[1] > 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn cross_validate<T: Value>(
    model: &Model,
    lasso_share: f64,
    data: &Data<'_, T>,
    folds: usize,
    lambdas: usize,
) -> Result<Path, Error> {
    if folds < 2 || lambdas < 2 || lasso_share.is_nan() || lasso_share <= 0.0 {
        return Err(Error::InvalidOption {
            reason: "a path needs two folds, two lambdas and a share of the lasso above 0",
        });
    }
    if let Some(path) = without_removed(data, |data| {
        cross_validate(model, lasso_share, data, folds, lambdas)
    }) {
        return path;
    }
    if data.row_count() < folds {
        return Err(Error::TooFewRows {
            rows: data.row_count() as u64,
            needed: folds as u64,
        });
    }
    let of_all = largest_lambda(model, data)? / lasso_share;
    let (rows, columns) = (data.row_count(), data.features.column_count());
    let hashes: Vec<u64> = (0..rows)
        .map(|row| {
            let others = [data.weights, data.trials, data.offset];
            let others = others.into_iter().flatten().map(|of| of[row].into());
            let features = (0..columns).map(|j| data.features.get(row, j).map_or(0.0, T::into));
            let all = others.chain(features);
            all.fold(mix(data.targets[row].into(), 1), |hash, value| {
                mix(value, hash)
            })
        })
        .collect();
    // By rank, so that folds are of one size. Rows with the same hash are the same.
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by_key(|&row| hashes[row]);
    let mut fold_of = vec![0; rows];
    for (rank, row) in order.into_iter().enumerate() {
        fold_of[row] = rank % folds;
    }
    let weights: Vec<f64> = (0..rows)
        .map(|row| {
            let weight = data.weights.map_or(1.0, |of| of[row].into());
            weight * data.trials.map_or(1.0, |of| of[row].into())
        })
        .collect();
    let targets: Vec<f64> = (0..rows)
        .map(|row| {
            let trials: f64 = data.trials.map_or(1.0, |of| of[row].into());
            let target: f64 = data.targets[row].into();
            target / trials
        })
        .collect();
    let all: Vec<f64> = (0..lambdas)
        .map(|index| {
            let share = index as f64 / (lambdas - 1) as f64;
            of_all * libm::exp(share * libm::log(SPAN))
        })
        .collect();
    // Of each lambda, by fold.
    let mut losses = vec![Vec::with_capacity(folds); lambdas];
    for fold in 0..folds {
        let kept = |row: usize| fold_of[row] != fold;
        let of_fit: Vec<T> = (0..rows)
            .map(|row| match data.weights {
                _ if !kept(row) => T::narrow(0.0),
                Some(weights) => weights[row],
                None => T::narrow(1.0),
            })
            .collect();
        let of_rest: Vec<f64> = (0..rows)
            .map(|row| if kept(row) { 0.0 } else { weights[row] })
            .collect();
        let bce = soft_bce::Bce::new().weights(&of_rest);
        // Each fit starts where the one before it ended.
        let mut start = Vec::new();
        for (lambda, losses) in all.iter().zip(&mut losses) {
            let mut model = model.clone().elastic_net(*lambda, lasso_share);
            model.of_path = Some(start);
            let fit = model.fit(&data.weights(&of_fit))?;
            let logits = fit.logits(&data.features, data.offset)?;
            losses.push(bce.mean(&logits, &targets)?);
            start = fit.coefficients().to_vec();
        }
    }
    let mut points = Vec::with_capacity(lambdas);
    for (lambda, losses) in all.into_iter().zip(losses) {
        let count = folds as f64;
        let mean_loss = losses.iter().sum::<f64>() / count;
        let spread = losses
            .iter()
            .map(|loss| (loss - mean_loss) * (loss - mean_loss));
        let variance = spread.sum::<f64>() / (count - 1.0);
        points.push(PathPoint {
            lambda,
            mean_loss,
            standard_error: (variance / count).sqrt(),
        });
    }
    let least = |of: &PathPoint| of.mean_loss;
    let best = (0..lambdas)
        .min_by(|&a, &b| least(&points[a]).total_cmp(&least(&points[b])))
        .unwrap_or(0);
    let limit = points[best].mean_loss + points[best].standard_error;
    let within = points.iter().position(|of| of.mean_loss <= limit);
    Ok(Path {
        within_one_error: within.unwrap_or(best),
        best,
        points,
    })
}

/// `judge` of the rows alone that have a weight, if others have none: nothing in those is looked at.
fn without_removed<T: Value, R>(
    data: &Data<'_, T>,
    judge: impl FnOnce(&Data<'_, T>) -> Result<R, Error>,
) -> Option<Result<R, Error>> {
    let removed = |of: Option<&[T]>, row: usize| {
        of.is_some_and(|of| of.get(row).is_some_and(|of| (*of).into() == 0.0))
    };
    let kept: Vec<usize> = (0..data.row_count())
        .filter(|&row| !removed(data.weights, row) && !removed(data.trials, row))
        .collect();
    if kept.len() == data.row_count() || data.wrong_length().is_some() {
        return None;
    }
    let pick = |of: &[T]| kept.iter().map(|&row| of[row]).collect::<Vec<T>>();
    let columns: Vec<Vec<T>> = (0..data.features.column_count())
        .map(|column| {
            kept.iter()
                .filter_map(|&row| data.features.get(row, column))
                .collect()
        })
        .collect();
    let columns: Vec<&[T]> = columns.iter().map(Vec::as_slice).collect();
    let targets = pick(data.targets);
    let [trials, weights, offset] = [data.trials, data.weights, data.offset].map(|of| of.map(pick));
    let clusters: Option<Vec<u64>> = data
        .clusters
        .map(|of| kept.iter().map(|&row| of[row]).collect());
    let levels: Option<Vec<u32>> = data
        .levels
        .map(|of| kept.iter().map(|&row| of[row]).collect());
    let features = match Features::columns(&columns, kept.len()) {
        Ok(features) => features,
        Err(error) => return Some(Err(error.into())),
    };
    let of_kept = Data {
        features,
        targets: &targets,
        trials: trials.as_deref(),
        weights: weights.as_deref(),
        offset: offset.as_deref(),
        clusters: clusters.as_deref(),
        levels: levels.as_deref(),
        first_row: 0,
    };
    let number = |row: u64| data.first_row + kept.get(row as usize).map_or(row, |row| *row as u64);
    Some(judge(&of_kept).map_err(|error| match error {
        Error::Value {
            of,
            row,
            value,
            expected,
        } => Error::Value {
            of,
            row: number(row),
            value,
            expected,
        },
        Error::Separation {
            columns,
            rows,
            first_row,
        } => Error::Separation {
            columns,
            rows,
            first_row: number(first_row),
        },
        other => other,
    }))
}

/// The least penalty at which no coefficient but the constant is left: the largest mean gradient there.
fn largest_lambda<T: Value>(model: &Model, data: &Data<'_, T>) -> Result<f64, Error> {
    // A penalty beyond all gradients leaves none.
    let mut model = model.clone().elastic_net(1e100, 1.0);
    model.of_path = Some(Vec::new());
    let fit = model.fit(data)?;
    let logits = fit.logits(&data.features, data.offset)?;
    let columns = data.features.column_count();
    let mut sums = vec![soft_bce::LossSum::new(); columns];
    for (row, logit) in logits.into_iter().enumerate() {
        let weight: f64 = data.weights.map_or(1.0, |of| of[row].into());
        let trials: f64 = data.trials.map_or(1.0, |of| of[row].into());
        if weight * trials == 0.0 {
            continue;
        }
        let target: f64 = data.targets[row].into();
        let residual = soft_bce::scalar::gradient(logit, target / trials)?;
        for (column, sum) in sums.iter_mut().enumerate() {
            let x: f64 = data.features.get(row, column).map_or(0.0, T::into);
            sum.add(weight * trials * residual * x);
        }
    }
    let deviations = fit.deviations.iter().copied().chain(std::iter::repeat(1.0));
    // A column that does not vary has no gradient either.
    let largest = sums
        .iter()
        .zip(deviations)
        .map(|(sum, deviation)| sum.to_f64().abs() / deviation)
        .filter(|x| x.is_finite())
        .fold(0.0, f64::max);
    Ok(largest / fit.total_weight())
}

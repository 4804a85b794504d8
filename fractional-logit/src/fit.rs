//! The fractional logit: quasi-likelihood by Newton's method, with its standard errors.

use nalgebra::{Cholesky, DMatrix, DVector};
use soft_bce::Bce;

use crate::table::{Problem, Table};

/// Newton takes about 7 steps where there is an optimum; without one it would go on for ever.
const MOST_STEPS: usize = 60;
/// The last step moves no logit by more than this; convergence being quadratic, the error that
/// is left is of the order of its square.
const LOGIT_TOLERANCE: f64 = 1e-8;
/// Sine of the angle between a column and the columns before it, below which it is taken to lie
/// in their span.
const COLLINEAR: f64 = 1e-11;

/// A fitted model.
pub struct Fit {
    /// In the order of [`Table::names`].
    pub coefficients: Vec<f64>,
    /// Huber–White: right even where the variance is not s(1 − s), as with fractions it is not.
    pub robust_errors: Vec<f64>,
    /// As if the targets were draws of 0 and 1.
    pub nonrobust_errors: Vec<f64>,
    /// Of the rows of the table.
    pub logits: Vec<f64>,
    /// The weighted sum of the cross-entropy at the minimum.
    pub sum_loss: f64,
    /// Newton steps taken.
    pub steps: usize,
}

/// Minimises the weighted sum of the cross-entropy over the coefficients.
///
/// # Errors
///
/// Where there is no single finite minimum: a column that lies in the span of those before it, or
/// features that separate the targets. The [`Problem`] names the column and, if there is one, the line.
pub fn fit(table: &Table) -> Result<Fit, Problem> {
    let (rows, terms) = table.design.shape();
    let library = |error: soft_bce::Error| table.problem(None, None, error.to_string());
    let bce = Bce::<f64>::new().weights(&table.weights);

    // Work in an orthonormal basis of the columns: the Hessian is then as well conditioned as the
    // weights and the predictions allow, however badly the columns are scaled.
    let scales: Vec<f64> = table
        .design
        .column_iter()
        .map(|column| column.amax())
        .collect();
    let mut scaled = table.design.clone();
    for (mut column, &scale) in scaled.column_iter_mut().zip(&scales) {
        if scale > 0.0 {
            column.apply(|value| *value /= scale);
        }
    }
    let qr = scaled.qr();
    let (basis, triangle) = (qr.q(), qr.r());
    for term in 0..terms {
        if triangle[(term, term)].abs() <= COLLINEAR * triangle.column(term).norm() {
            return Err(collinear(table, &triangle, &scales, term));
        }
    }
    let singular = || table.problem(None, None, "the design is singular".to_owned());
    let to_terms = triangle.try_inverse().ok_or_else(singular)?;

    let mut position = DVector::zeros(terms);
    let mut logits = DVector::zeros(rows);
    let (mut gradient, mut hessian) = (DVector::zeros(rows), DVector::zeros(rows));
    let evaluate =
        |logits: &DVector<f64>, gradient: &mut DVector<f64>, hessian: &mut DVector<f64>| {
            bce.sum_gradient_hessian(
                logits.as_slice(),
                &table.targets,
                gradient.as_mut_slice(),
                hessian.as_mut_slice(),
            )
        };
    let mut sum_loss = evaluate(&logits, &mut gradient, &mut hessian).map_err(library)?;
    let mut move_of_logits = DVector::zeros(rows);
    let mut direction = DVector::zeros(terms);

    for steps in 1..=MOST_STEPS {
        let Some(curvature) = Cholesky::new(gram(&basis, &hessian)) else {
            break;
        };
        direction = -curvature.solve(&basis.tr_mul(&gradient));
        move_of_logits = &basis * &direction;
        let last = move_of_logits.amax() <= LOGIT_TOLERANCE;

        // Halve a step that overshoots. The loss is convex, so some length succeeds; at the
        // optimum rounding decides, and the full step is as good as any.
        let mut length = 1.0;
        let before = sum_loss;
        loop {
            let trial = &logits + &move_of_logits * length;
            sum_loss = evaluate(&trial, &mut gradient, &mut hessian).map_err(library)?;
            if last || sum_loss <= before * (1.0 + 1e-12) || length < 1e-6 {
                position += &direction * length;
                logits = trial;
                break;
            }
            length *= 0.5;
        }
        if !last {
            continue;
        }

        let bread = Cholesky::new(gram(&basis, &hessian))
            .ok_or_else(singular)?
            .inverse();
        let meat = gram(&basis, &gradient.component_mul(&gradient));
        let errors = |covariance: DMatrix<f64>| -> Vec<f64> {
            let covariance = &to_terms * covariance * to_terms.transpose();
            (0..terms)
                .map(|term| covariance[(term, term)].sqrt() / scales[term])
                .collect()
        };
        let coefficients = &to_terms * position;
        return Ok(Fit {
            coefficients: (0..terms)
                .map(|term| coefficients[term] / scales[term])
                .collect(),
            robust_errors: errors(&bread * meat * &bread),
            nonrobust_errors: errors(bread),
            logits: logits.as_slice().to_vec(),
            sum_loss,
            steps,
        });
    }
    Err(diverged(table, &(to_terms * direction), &move_of_logits))
}

/// Xᵀ diag(weights) X.
fn gram(matrix: &DMatrix<f64>, weights: &DVector<f64>) -> DMatrix<f64> {
    let mut weighted = matrix.clone();
    for mut column in weighted.column_iter_mut() {
        column.component_mul_assign(weights);
    }
    matrix.tr_mul(&weighted)
}

/// Says which of the columns before it make up the column `term`.
fn collinear(table: &Table, triangle: &DMatrix<f64>, scales: &[f64], term: usize) -> Problem {
    let name = &table.names[term];
    let before = triangle.view((0, 0), (term, term)).into_owned();
    let makeup = before
        .solve_upper_triangular(&triangle.view((0, term), (term, 1)).into_owned())
        .map(|shares| {
            (0..term)
                .filter(|&other| shares[(other, 0)].abs() > 1e-9)
                .map(|other| {
                    let share = shares[(other, 0)] * scales[term] / scales[other];
                    format!("{share:.6} * {}", table.names[other])
                })
                .collect::<Vec<_>>()
        })
        .unwrap_or_default();
    let makeup = if makeup.is_empty() {
        "0".to_owned()
    } else {
        makeup.join(" + ")
    };
    table.problem(
        None,
        Some(term),
        format!("singular design: in every row `{name}` = {makeup}"),
    )
}

/// Tells separation, where the optimum is at infinity, from other failures.
fn diverged(table: &Table, direction: &DVector<f64>, move_of_logits: &DVector<f64>) -> Problem {
    let noise = 1e-6 * move_of_logits.amax();
    let separates = noise > 0.0
        && table
            .targets
            .iter()
            .zip(move_of_logits)
            .all(|(&target, &change)| {
                (target == 1.0 || change <= noise) && (target == 0.0 || change >= -noise)
            });
    let runaway =
        (1..direction.len()).max_by(|&a, &b| direction[a].abs().total_cmp(&direction[b].abs()));
    if separates {
        let row = move_of_logits.iamax();
        let count = move_of_logits
            .iter()
            .filter(|change| change.abs() > noise)
            .count();
        table.problem(
            Some(row),
            runaway,
            format!(
                "separation: the features predict the targets of {count} rows, this one first, as \
                 exactly 0 or 1, so that coefficients grow without limit and no finite fit exists"
            ),
        )
    } else {
        table.problem(
            None,
            runaway,
            format!("no convergence in {MOST_STEPS} Newton steps; this coefficient moves most"),
        )
    }
}

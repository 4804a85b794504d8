//! The step of a lasso or elastic net: coordinate descent on the quadratic model of the loss.

use crate::error::Error;
use crate::pass::Point;
use crate::solve::{Double, Factors, Symmetric};

const MOST_SWEEPS: usize = 100_000;
/// A sweep that changes no coefficient by more than this share of the largest one is the last.
const TOLERANCE: f64 = 1e-13;

/// The step that minimises g'd + d'Hd/2 + sum of l_j |x_j + d_j|.
///
/// Coordinate descent (J. Friedman, T. Hastie, R. Tibshirani, *Regularization paths for generalized linear models
/// via coordinate descent*, J. Stat. Softw. 33, 2010) finds which coefficients are 0; the others are then solved for.
pub(crate) fn step(
    hessian: &Symmetric,
    gradient: &[Double],
    at: &Point,
    lasso: &[f64],
) -> Result<Vec<Double>, Error> {
    let width = gradient.len();
    let start: Vec<f64> = at.coefficients.iter().map(|x| x.to_f64()).collect();
    let rows: Vec<Vec<f64>> = (0..width)
        .map(|row| (0..width).map(|k| hessian.get(row, k).to_f64()).collect())
        .collect();
    let mut position = start.clone();
    let mut slope: Vec<f64> = gradient.iter().map(|x| x.to_f64()).collect();
    for _ in 0..MOST_SWEEPS {
        let (mut change, mut largest) = (0.0_f64, 0.0_f64);
        for index in 0..width {
            let curvature = rows[index][index];
            let pull = curvature * position[index] - slope[index];
            let shrunk = (pull.abs() - lasso[index]).max(0.0).copysign(pull);
            let to = if curvature > 0.0 {
                shrunk / curvature
            } else {
                0.0
            };
            let by = to - position[index];
            if by != 0.0 {
                position[index] = to;
                for (slope, element) in slope.iter_mut().zip(&rows[index]) {
                    *slope += by * element;
                }
            }
            change = change.max(by.abs());
            largest = largest.max(to.abs());
        }
        if change <= TOLERANCE * largest {
            break;
        }
    }

    // Those that are not 0, exactly, their signs given.
    let kept: Vec<usize> = (0..width)
        .filter(|&index| position[index] != 0.0 || lasso[index] == 0.0)
        .collect();
    let mut of_kept = Symmetric::zero(kept.len());
    let mut right = Vec::with_capacity(kept.len());
    for (row, &index) in kept.iter().enumerate() {
        for (column, &other) in kept.iter().enumerate().take(row + 1) {
            of_kept.set(row, column, hessian.get(index, other));
        }
        let sign = if position[index] == 0.0 {
            0.0
        } else {
            lasso[index].copysign(position[index])
        };
        let mut value = -(gradient[index] + Double::new(sign));
        for other in (0..width).filter(|other| !kept.contains(other)) {
            value = value + hessian.get(index, other) * at.coefficients[other];
        }
        right.push(value);
    }
    let mut step: Vec<Double> = at.coefficients.iter().map(|x| -*x).collect();
    let solved = Factors::new(&of_kept, 0.0).map(|factors| factors.solve(&right));
    match solved {
        Ok(solved) if keeps_signs(&kept, &solved, &position, at) => {
            for (&index, change) in kept.iter().zip(solved) {
                step[index] = change;
            }
        }
        // A coefficient on the verge of 0: as coordinate descent left it.
        _ => {
            for &index in &kept {
                step[index] = Double::new(position[index]) - at.coefficients[index];
            }
        }
    }
    if step.iter().all(|x| x.high.is_finite()) {
        Ok(step)
    } else {
        Err(Error::OutOfRange)
    }
}

fn keeps_signs(kept: &[usize], solved: &[Double], position: &[f64], at: &Point) -> bool {
    kept.iter().zip(solved).all(|(&index, change)| {
        let to = (at.coefficients[index] + *change).to_f64();
        position[index] == 0.0 || to * position[index] > 0.0
    })
}

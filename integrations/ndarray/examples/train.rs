//! A linear model of three labels, fitted by gradient descent to a teacher's probabilities: rows
//! have weights, labels a pos_weight each. Fails where it does not find the teacher.

use ndarray::{Array2, Axis, array};
use soft_bce_ndarray::{Bce, Error, map};

fn main() -> Result<(), Error> {
    let (rows, features) = (2_000, 4);
    // Spread evenly over the cube: multiples of logarithms, modulo 1.
    let design = Array2::from_shape_fn((rows, features), |(row, feature)| {
        4.0 * ((row as f64 * (feature as f64 + 2.0).ln()).fract() - 0.5)
    });
    let teacher = array![
        [1.0, -0.5, 0.25],
        [0.0, 2.0, -1.0],
        [-1.5, 0.5, 1.0],
        [0.5, 0.0, -0.25]
    ];
    let mut targets = Array2::zeros((rows, 3));
    map(soft_bce::sigmoid, &design.dot(&teacher), &mut targets)?;

    let row_weights: Vec<f64> = (0..rows).map(|row| 1.0 + (row % 3) as f64).collect();
    let bce = Bce::new().weights_along(Axis(0), &row_weights);
    let mut coefficients = Array2::zeros((features, 3));
    let mut gradient = Array2::zeros((rows, 3));
    for step in 0..=100 {
        let logits = design.dot(&coefficients);
        let loss = bce.mean_gradient(&logits, &targets, &mut gradient)?;
        if step % 25 == 0 {
            let excess = bce.clone().excess().mean(&logits, &targets)?;
            println!("step {step:3}: loss {loss:.6}, above the least possible {excess:.1e}");
        }
        coefficients -= &(design.t().dot(&gradient) * 6.0);
    }

    // A pos_weight shifts what a fit finds, as odds.
    let shifted = Bce::new().pos_weights(Axis(1), &[1.0, 2.0, 4.0]);
    println!(
        "with pos_weights: loss {:.6}",
        shifted.mean(&design.dot(&coefficients), &targets)?
    );
    let farthest = (&coefficients - &teacher).fold(0.0_f64, |most, error| most.max(error.abs()));
    println!("farthest coefficient from the teacher's: {farthest:.1e}");
    assert!(farthest < 1e-3, "the teacher was not found");
    Ok(())
}

//! Trains a model on soft targets: gradient descent on the mean cross-entropy. The targets are
//! fractions, shares of 0 and 1 included; the gradient by each logit is what backpropagation starts from.
//!
//!     cargo run --example train

use soft_bce::{Bce, Error, sigmoid};

/// What made the data: the weight of x and the bias.
const TRUTH: [f32; 2] = [2.0, -0.5];

fn logits(x: &[f32], [weight, bias]: [f32; 2], z: &mut [f32]) {
    for (z, x) in z.iter_mut().zip(x) {
        *z = weight * x + bias;
    }
}

fn main() -> Result<(), Error> {
    let x: Vec<f32> = (0..64).map(|i| i as f32 / 16.0 - 2.0).collect();
    let (mut z, mut t, mut gradient) = ([0.0; 64], [0.0; 64], [0.0; 64]);
    logits(&x, TRUTH, &mut z);
    sigmoid(&z, &mut t)?;

    let (bce, mut model) = (Bce::new(), [0.0; 2]);
    let mut loss = f64::INFINITY;
    for step in 0..400 {
        logits(&x, model, &mut z);
        // The gradient of the mean: no division by the number of rows is left to do.
        loss = bce.mean_gradient(&z, &t, &mut gradient)?;
        let by_weight: f32 = gradient.iter().zip(&x).map(|(g, x)| g * x).sum();
        let by_bias: f32 = gradient.iter().sum();
        model = [model[0] - 2.0 * by_weight, model[1] - 2.0 * by_bias];
        if step % 80 == 0 {
            println!("step {step:3}: mean loss {loss:.6}, model {model:?}");
        }
    }
    // The least that any model can reach is not 0 but the entropy of the targets.
    let excess = bce.excess().mean(&z, &t)?;
    println!("mean loss {loss:.6}, of which {excess:.1e} above the entropy of the targets");
    println!("model {model:?}, which the data were made with: {TRUTH:?}");
    assert!((0..2).all(|i| (model[i] - TRUTH[i]).abs() < 1e-3) && excess < 1e-6);
    Ok(())
}

//! Calibration: the temperature by which the logits of held-out predictions have to be divided, by Newton's
//! method in its inverse, in which the loss is convex.
//!
//!     cargo run --example temperature

use soft_bce::{Bce, Error};

fn main() -> Result<(), Error> {
    // A classifier that is too sure of itself: its logits, and the share of positives at each.
    let z = [-9.0_f64, -6.5, -4.0, -2.0, -0.5, 0.5, 1.5, 3.0, 5.0, 8.0];
    let t = [0.03, 0.06, 0.17, 0.28, 0.45, 0.56, 0.66, 0.79, 0.88, 0.96];
    let (mut gradient, mut hessian) = ([0.0; 10], [0.0; 10]);
    let mut inverse = 1.0_f64;
    for step in 0..20 {
        let bce = Bce::new().temperature(1.0 / inverse);
        let loss = bce.sum_gradient_hessian(&z, &t, &mut gradient, &mut hessian)?;

        // By the chain rule: z/T is z times the inverse, and the derivatives are those by z.
        let by_inverse = z.iter().zip(gradient).map(|(z, g)| z * g / inverse);
        let second = z
            .iter()
            .zip(hessian)
            .map(|(z, h)| z * z * h / inverse.powi(2));
        let newton = by_inverse.sum::<f64>() / second.sum::<f64>();
        let temperature = 1.0 / inverse;
        println!("step {step}: loss {loss:.9}, temperature {temperature:.9}");
        if newton.abs() < 1e-12 * inverse {
            assert!((2.0..3.0).contains(&temperature));
            return Ok(());
        }
        inverse -= newton.min(inverse / 2.0);
    }
    panic!("no minimum in twenty steps");
}

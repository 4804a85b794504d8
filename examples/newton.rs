//! Newton's method for a logistic model of fractions: loss, gradient and Hessian from one pass.
//! `fractional-logit/` does this for any table, with standard errors.
//!
//!     cargo run --example newton

use soft_bce::{Bce, Error};

fn main() -> Result<(), Error> {
    // The share of 20 seeds that germinated, by temperature above 10 degrees.
    let x = [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0];
    let t = [0.0, 0.05, 0.2, 0.35, 0.6, 0.85, 0.95, 1.0];
    let (mut z, mut gradient, mut hessian) = ([0.0; 8], [0.0; 8], [0.0; 8]);
    let (mut bias, mut slope) = (0.0, 0.0);
    for step in 0..10 {
        for (z, x) in z.iter_mut().zip(x) {
            *z = bias + slope * x;
        }
        let loss = Bce::new().sum_gradient_hessian(&z, &t, &mut gradient, &mut hessian)?;

        // By the chain rule: the gradient is X'g, the Hessian X' diag(h) X, X having the rows [1, x].
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0_f64, 0.0_f64, 0.0, 0.0, 0.0);
        for ((x, g), h) in x.iter().zip(gradient).zip(hessian) {
            (g0, g1) = (g0 + g, g1 + g * x);
            (h00, h01, h11) = (h00 + h, h01 + h * x, h11 + h * x * x);
        }
        println!(
            "step {step}: loss {loss:.9}, bias {bias:.9}, slope {slope:.9}, gradient {g0:.1e} {g1:.1e}"
        );
        if g0.abs().max(g1.abs()) < 1e-12 {
            return Ok(());
        }
        let determinant = h00 * h11 - h01 * h01;
        bias -= (h11 * g0 - h01 * g1) / determinant;
        slope -= (h00 * g1 - h01 * g0) / determinant;
    }
    panic!("no minimum in ten steps");
}

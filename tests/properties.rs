//! The mathematics of soft targets, as properties, and the worked numbers of the question
//! whether cross-entropy still works with them.

use proptest::prelude::*;
use soft_bce::{Bce, scalar};

/// The textbook formula.
fn textbook(z: f64, t: f64) -> f64 {
    let s = 1.0 / (1.0 + (-z).exp());
    -t * s.ln() - (1.0 - t) * (1.0 - s).ln()
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

/// The loss of predicting the probability p for the target t.
fn loss_of(p: f64, t: f64) -> f64 {
    scalar::loss(logit(p), t).unwrap()
}

proptest! {
    #[test]
    fn equals_the_textbook_formula(z in -20.0..20.0_f64, t in 0.0..=1.0_f64) {
        let expected = textbook(z, t);
        prop_assert!((scalar::loss(z, t).unwrap() - expected).abs() <= 1e-7 * (1.0 + expected));
    }

    #[test]
    fn convex_in_the_logit(a in -50.0..50.0_f64, b in -50.0..50.0_f64, t in 0.0..=1.0_f64) {
        let middle = scalar::loss((a + b) / 2.0, t).unwrap();
        let chord = (scalar::loss(a, t).unwrap() + scalar::loss(b, t).unwrap()) / 2.0;
        prop_assert!(middle <= chord * (1.0 + 1e-14) + 1e-300);
    }

    #[test]
    fn least_where_the_prediction_is_the_target(t in 0.001..0.999_f64, off in -5.0..5.0_f64) {
        let mut z = [0.0];
        soft_bce::logit(&[t], &mut z).unwrap();
        let least = scalar::loss(z[0], t).unwrap();
        prop_assert!(scalar::gradient(z[0], t).unwrap().abs() <= 1e-15);
        prop_assert!(scalar::loss(z[0] + off, t).unwrap() >= least * (1.0 - 1e-15));
        // And there it is the entropy of the target.
        let entropy = -t * t.ln() - (1.0 - t) * (1.0 - t).ln();
        prop_assert!((least - entropy).abs() <= 1e-14);
    }

    #[test]
    fn gradient_is_the_slope_of_the_loss(z in -30.0..30.0_f64, t in 0.0..=1.0_f64) {
        let h = 1e-5;
        let slope = (scalar::loss(z + h, t).unwrap() - scalar::loss(z - h, t).unwrap()) / (2.0 * h);
        prop_assert!((scalar::gradient(z, t).unwrap() - slope).abs() <= 1e-8);
    }

    #[test]
    fn hessian_is_the_slope_of_the_gradient(z in -30.0..30.0_f64) {
        let h = 1e-5;
        let at = |z| scalar::gradient(z, 0.0).unwrap();
        let slope = (at(z + h) - at(z - h)) / (2.0 * h);
        prop_assert!((scalar::hessian(z) - slope).abs() <= 1e-9);
    }

    /// Exact where 1 - t is: both sides are the same formula of the same numbers.
    #[test]
    fn symmetric(z in -800.0..800.0_f64, steps in 0..=1024_u32) {
        let t = f64::from(steps) / 1024.0;
        let (loss, mirrored) = (scalar::loss(z, t).unwrap(), scalar::loss(-z, 1.0 - t).unwrap());
        prop_assert!((loss - mirrored).abs() <= 4e-16 * loss);
        let (g, mirrored) = (scalar::gradient(z, t).unwrap(), scalar::gradient(-z, 1.0 - t).unwrap());
        prop_assert!((g + mirrored).abs() <= 4e-16);
    }

    /// Never negative, least at logit(t), the loss less the entropy, and with the same derivatives.
    #[test]
    fn excess_is_the_loss_above_the_entropy(z in -40.0..40.0_f64, t in 0.0..=1.0_f64, steps in -3..=3_i32) {
        let near = logit(t);
        let near = if near.is_finite() { near + f64::from(steps) * near.abs() * f64::EPSILON } else { z };
        let (mut excess, mut g, mut h) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        let (z, t) = ([z, near], [t; 2]);
        Bce::new().excess().loss(&z, &t, &mut excess).unwrap();
        let sum = Bce::new().excess().sum_gradient_hessian(&z, &t, &mut g, &mut h).unwrap();
        prop_assert_eq!(sum, excess[0] + excess[1]);
        let (mut plain_g, mut plain_h) = ([0.0; 2], [0.0; 2]);
        Bce::new().gradient_hessian(&z, &t, &mut plain_g, &mut plain_h).unwrap();
        prop_assert_eq!((g, h), (plain_g, plain_h));
        let entropy = |x: f64| if x == 0.0 { 0.0 } else { -x * x.ln() };
        let loss = scalar::loss(z[0], t[0]).unwrap();
        let least = entropy(t[0]) + entropy(1.0 - t[0]);
        prop_assert!(excess[0] >= 0.0 && excess[1] >= 0.0);
        prop_assert!((excess[0] - (loss - least)).abs() <= 4e-15 * (1.0 + loss));
        // s - t is a few ULP there, and the excess its square over 2 t (1 - t).
        prop_assert!(excess[1] * t[0] * (1.0 - t[0]) <= 1e-28);
    }

    #[test]
    fn options_follow_their_formulas(
        z in -20.0..20.0_f64, t in 0.0..=1.0_f64, p in 0.1..10.0_f64, alpha in 0.0..=1.0_f64, w in 0.0..5.0_f64,
    ) {
        let weights = [w];
        let bce = Bce::new().pos_weight(p).label_smoothing(alpha).weights(&weights);
        let smooth = (1.0 - alpha) * t + alpha / 2.0;
        let s = scalar::sigmoid(z);
        let positive = p * smooth;
        let expected = w * (positive * scalar::softplus(-z) + (1.0 - smooth) * scalar::softplus(z));
        let (mut g, mut h) = ([0.0], [0.0]);
        let sum = bce.sum_gradient_hessian(&[z], &[t], &mut g, &mut h).unwrap();
        let total = 1.0 - smooth + positive;
        prop_assert!((sum - expected).abs() <= 1e-14 * (1.0 + expected));
        prop_assert!((g[0] - w * (total * s - positive)).abs() <= 1e-14 * (1.0 + w * total));
        prop_assert!((h[0] - w * total * s * (1.0 - s)).abs() <= 1e-14 * (1.0 + w * total));
    }
}

#[test]
fn the_worked_numbers() {
    // L(0.5, 0.6): a target of 0.5 predicted as 0.6.
    assert!((loss_of(0.6, 0.5) - 0.713_558_177_820_073).abs() < 1e-15);
    // Going from 0.89 to 0.99 where 0.99 is right gains more than from 0.4 to 0.5 where 0.5 is.
    let near_one = loss_of(0.89, 0.99) - loss_of(0.99, 0.99);
    let middle = loss_of(0.4, 0.5) - loss_of(0.5, 0.5);
    assert!(near_one > 3.0 * middle, "{near_one} and {middle}");
    // The gradient by the prediction is larger there too; by the logit it is the difference, 0.1.
    let by_prediction = |p: f64, t: f64| (p - t) / (p * (1.0 - p));
    assert!(by_prediction(0.89, 0.99).abs() > 2.0 * by_prediction(0.4, 0.5).abs());
    for (p, t) in [(0.89, 0.99), (0.4, 0.5)] {
        assert!((scalar::gradient(logit(p), t).unwrap() + 0.1).abs() < 1e-15);
    }
}

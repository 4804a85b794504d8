//! The contract at its edges: limits, errors, what an error leaves behind, options.

use soft_bce::{Bce, Error, LossSum, scalar};

const INFINITY: f64 = f64::INFINITY;

#[test]
fn infinite_logits_give_the_limits() {
    for (z, t, loss, gradient) in [
        (INFINITY, 1.0, 0.0, 0.0),
        (INFINITY, 0.25, INFINITY, 0.75),
        (INFINITY, 0.0, INFINITY, 1.0),
        (-INFINITY, 0.0, 0.0, 0.0),
        (-INFINITY, 0.25, INFINITY, -0.25),
        (-INFINITY, 1.0, INFINITY, -1.0),
    ] {
        assert_eq!(scalar::loss(z, t), Ok(loss), "loss at {z}, {t}");
        assert_eq!(scalar::gradient(z, t), Ok(gradient), "gradient at {z}, {t}");
        assert_eq!(scalar::hessian(z), 0.0);
        let (z, t) = (z as f32, t as f32);
        assert_eq!(scalar::loss(z, t), Ok(loss as f32));
        assert_eq!(scalar::gradient(z, t), Ok(gradient as f32));
        assert_eq!(scalar::hessian(z), 0.0);
    }
    assert_eq!(scalar::sigmoid(INFINITY), 1.0);
    assert_eq!(scalar::sigmoid(-INFINITY), 0.0);
    assert_eq!(scalar::softplus(INFINITY), INFINITY);
    assert_eq!(scalar::softplus(-INFINITY), 0.0);
    assert_eq!(scalar::log_sigmoid(INFINITY), 0.0);
    assert_eq!(scalar::log_sigmoid(-INFINITY), -INFINITY);
}

#[test]
fn nan_logits_give_nan_there_and_in_sums() {
    let (z, t) = ([0.0, f32::NAN, 1.0], [0.5; 3]);
    let (mut g, mut h, mut loss) = ([7.0; 3], [7.0; 3], [7.0; 3]);
    let sum = Bce::new()
        .sum_gradient_hessian(&z, &t, &mut g, &mut h)
        .unwrap();
    Bce::new().loss(&z, &t, &mut loss).unwrap();
    assert!(sum.is_nan());
    for of in [g, h, loss] {
        assert!(!of[0].is_nan() && of[1].is_nan() && !of[2].is_nan());
    }
    assert!(scalar::sigmoid(f64::NAN).is_nan());
    assert!(scalar::softplus(f64::NAN).is_nan());
    assert!(scalar::log_sigmoid(f64::NAN).is_nan());
    assert!(scalar::hessian(f64::NAN).is_nan());
}

#[test]
fn extreme_finite_logits() {
    assert_eq!(scalar::loss(f32::MAX, 0.0), Ok(f32::MAX));
    assert_eq!(scalar::loss(f32::MAX, 1.0), Ok(0.0));
    assert_eq!(scalar::loss(f32::MIN, 1.0), Ok(f32::MAX));
    assert_eq!(scalar::loss(f64::MIN, 0.0), Ok(0.0));
    assert_eq!(scalar::gradient(f64::MAX, 0.0), Ok(1.0));
    for z in [0.0_f32, -0.0, f32::from_bits(1), -f32::from_bits(1)] {
        assert_eq!(scalar::loss(z, 0.5), Ok(std::f32::consts::LN_2));
        assert_eq!(scalar::gradient(z, 0.5), Ok(0.0));
        assert_eq!(scalar::hessian(z), 0.25);
    }
    // e^-100 in units of 2^-149, which is subnormal.
    assert_eq!(scalar::sigmoid(-100.0_f32).to_bits(), 27);
    assert_eq!(scalar::softplus(-100.0_f32).to_bits(), 27);
    assert_eq!(
        scalar::gradient(100.0_f32, 1.0).map(f32::to_bits),
        Ok(0x8000_0000 | 27)
    );
}

/// Calls every method that has outputs; they start as 7.
fn outputs_after(z: &[f64], t: &[f64], bce: Bce<'_, f64>, length: usize) -> Vec<(Error, Vec<f64>)> {
    let fresh = || vec![7.0; length];
    let mut all = Vec::new();
    let (mut a, mut b) = (fresh(), fresh());
    all.push((bce.loss(z, t, &mut a).unwrap_err(), a));
    a = fresh();
    all.push((bce.gradient(z, t, &mut a).unwrap_err(), a));
    a = fresh();
    all.push((bce.sum_gradient(z, t, &mut a).unwrap_err(), a));
    a = fresh();
    all.push((bce.mean_gradient(z, t, &mut a).unwrap_err(), a));
    a = fresh();
    let error = bce.gradient_hessian(z, t, &mut a, &mut b).unwrap_err();
    a.append(&mut b);
    all.push((error, a));
    (a, b) = (fresh(), fresh());
    let error = bce.sum_gradient_hessian(z, t, &mut a, &mut b).unwrap_err();
    a.append(&mut b);
    all.push((error, a));
    all
}

#[test]
fn the_first_bad_target_is_named_and_no_result_survives() {
    for length in [1, 2, 7, 16, 63, 64, 65, 511, 512, 700, 2000] {
        for index in [0, 1, length / 2, length - 1] {
            if index >= length {
                continue;
            }
            for value in [
                f64::NAN,
                1.0 + f64::EPSILON,
                -f64::from_bits(1),
                INFINITY,
                -1.0,
                2.0,
            ] {
                let z = vec![0.25; length];
                let mut t = vec![0.5; length];
                t[index] = value;
                t[length - 1] = if index < length - 1 { 3.0 } else { value };
                let named = |error: &Error| {
                    matches!(error, Error::TargetOutOfRange { index: i, value: v }
                        if *i == index && v.to_bits() == value.to_bits())
                };
                for (error, outputs) in outputs_after(&z, &t, Bce::new(), length)
                    .into_iter()
                    .chain(outputs_after(&z, &t, Bce::new().excess(), length))
                {
                    assert!(named(&error), "{error:?}, {index} of {length}");
                    assert!(outputs.iter().all(|x| x.is_nan()));
                }
                assert!(named(&Bce::new().sum(&z, &t).unwrap_err()));
                assert!(named(&Bce::new().mean(&z, &t).unwrap_err()));
                let mut in_place = z.clone();
                assert!(named(
                    &Bce::new().gradient_in_place(&mut in_place, &t).unwrap_err()
                ));
                assert_eq!(in_place, z);
                let mut sum = LossSum::new();
                sum.add(1.5);
                let before = sum.clone();
                assert!(named(&Bce::new().accumulate(&z, &t, &mut sum).unwrap_err()));
                assert_eq!(sum, before);
            }
        }
    }
}

#[test]
fn valid_targets_at_the_ends_pass() {
    let t = [0.0, -0.0, 1.0, f32::from_bits(1), 1.0 - f32::EPSILON / 2.0];
    assert!(Bce::new().sum(&[0.5; 5], &t).is_ok());
}

#[test]
fn bad_weights_are_named() {
    let (z, t) = ([0.0; 100], [0.5; 100]);
    for value in [f64::NAN, -1.0, INFINITY] {
        let mut w = [1.0; 100];
        w[93] = value;
        for (error, outputs) in outputs_after(&z, &t, Bce::new().weights(&w), 100) {
            assert!(
                matches!(error, Error::InvalidWeight { index: 93, .. }),
                "{error:?}"
            );
            assert!(outputs.iter().all(|x| x.is_nan()));
        }
    }
}

#[test]
fn lengths_that_differ_write_nothing() {
    let (z, t) = ([0.0; 8], [0.5; 8]);
    for (error, outputs) in outputs_after(&z, &t[..7], Bce::new(), 8)
        .into_iter()
        .chain(outputs_after(&z, &t, Bce::new(), 9))
        .chain(outputs_after(&z, &t, Bce::new().weights(&[1.0]), 8))
    {
        assert!(matches!(error, Error::LengthMismatch { expected: 8, .. }));
        assert!(outputs.iter().all(|&x| x == 7.0));
    }
    let mismatch = Err(Error::LengthMismatch {
        expected: 2,
        found: 1,
    });
    assert_eq!(soft_bce::sigmoid(&[0.0, 1.0], &mut [0.0]), mismatch);
    assert_eq!(soft_bce::logit(&[0.0, 1.0], &mut [0.0]), mismatch);
}

#[test]
fn options_out_of_range_are_named() {
    for p in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let error = Bce::new().pos_weight(p).sum(&[0.0], &[0.5]).unwrap_err();
        assert!(matches!(
            error,
            Error::InvalidOption {
                option: "pos_weight",
                ..
            }
        ));
    }
    for alpha in [-0.1, 1.1, f32::NAN] {
        let error = Bce::new()
            .label_smoothing(alpha)
            .sum(&[0.0], &[0.5])
            .unwrap_err();
        assert!(matches!(
            error,
            Error::InvalidOption {
                option: "label_smoothing",
                ..
            }
        ));
    }
}

/// The excess of `f64`; where `f32` has the same inputs, its excess is this one rounded.
fn excess_of(z: f64, t: f64) -> f64 {
    let (mut out, mut single) = ([7.0], [7.0]);
    let inputs = (z as f32, t as f32);
    Bce::new().excess().loss(&[z], &[t], &mut out).unwrap();
    Bce::new()
        .excess()
        .loss(&[inputs.0], &[inputs.1], &mut single)
        .unwrap();
    if (f64::from(inputs.0), f64::from(inputs.1)) == (z, t) {
        assert_eq!(single, [out[0] as f32], "{z}, {t}");
    }
    out[0]
}

#[test]
fn excess_has_the_limits_of_the_loss_and_is_zero_at_the_minimum() {
    for (z, t, excess) in [
        (0.0, 0.5, 0.0),
        (-0.0, 0.5, 0.0),
        (INFINITY, 1.0, 0.0),
        (INFINITY, 0.25, INFINITY),
        (INFINITY, 0.0, INFINITY),
        (-INFINITY, 0.0, 0.0),
        (-INFINITY, 0.25, INFINITY),
        (-INFINITY, 1.0, INFINITY),
    ] {
        assert_eq!(excess_of(z, t).to_bits(), f64::to_bits(excess), "{z}, {t}");
    }
    assert!(excess_of(f64::NAN, 0.5).is_nan());
    assert_eq!(excess_of(f64::MAX, 0.0), f64::MAX);
    assert_eq!(excess_of(f64::MIN, 0.0), 0.0);
}

#[test]
fn excess_of_hard_labels_is_the_loss() {
    for i in 0..4000_i32 {
        let z = f64::from(i - 2000) * 0.4;
        for t in [0.0, -0.0, 1.0] {
            assert_eq!(excess_of(z, t), scalar::loss(z, t).unwrap(), "{z}, {t}");
        }
    }
}

#[test]
fn excess_goes_with_weights_and_nothing_else() {
    let (z, t, weights) = ([1.0_f32, f32::NAN], [0.25, 0.5], [3.0, 0.0]);
    let alone = Bce::new().excess().sum(&z[..1], &t[..1]).unwrap();
    let weighted = Bce::new().weights(&weights).excess();
    assert_eq!(weighted.sum(&z, &t), Ok(f64::from(alone as f32 * 3.0)));
    assert_eq!(
        weighted.mean(&z, &t),
        Ok(f64::from(alone as f32 * 3.0) / 3.0)
    );

    for refused in [
        Bce::new().excess().pos_weight(2.0),
        Bce::new().label_smoothing(0.5).excess(),
        Bce::new().excess().exact(),
        Bce::new().exact().excess(),
    ] {
        let (mut g, mut h) = ([7.0_f32; 2], [7.0; 2]);
        for error in [
            refused.sum(&z, &t).unwrap_err(),
            refused.loss(&z, &t, &mut g).unwrap_err(),
            refused.gradient(&z, &t, &mut g).unwrap_err(),
            refused
                .gradient_hessian(&z, &t, &mut g, &mut h)
                .unwrap_err(),
        ] {
            assert!(
                matches!(error, Error::UnsupportedOptions { .. }),
                "{error:?}"
            );
        }
    }
}

#[test]
fn nothing_has_a_sum_but_no_mean() {
    let empty: [f32; 0] = [];
    assert_eq!(Bce::new().sum(&empty, &empty), Ok(0.0));
    assert_eq!(Bce::new().mean(&empty, &empty), Err(Error::Empty));
    assert_eq!(
        Bce::new().weights(&[0.0]).mean(&[1.0], &[0.5]),
        Err(Error::Empty)
    );
    assert_eq!(Bce::new().gradient(&empty, &empty, &mut []), Ok(()));
}

#[test]
fn a_weight_of_zero_removes_an_element() {
    let (z, t) = ([f64::NAN, INFINITY, 0.5], [0.5, 0.0, 0.25]);
    let weighted = Bce::new().weights(&[0.0, 0.0, 3.0]);
    let alone = scalar::loss(0.5, 0.25).unwrap();
    assert_eq!(weighted.sum(&z, &t), Ok(3.0 * alone));
    assert_eq!(weighted.mean(&z, &t), Ok(3.0 * alone / 3.0));
    let mut g = [7.0; 3];
    weighted.mean_gradient(&z, &t, &mut g).unwrap();
    assert_eq!(
        g,
        [0.0, 0.0, scalar::gradient(0.5, 0.25).unwrap() * 3.0 / 3.0]
    );
}

#[test]
fn logit_inverts_sigmoid() {
    for i in 1..1000 {
        let p = f64::from(i) / 1000.0;
        let mut z = [0.0];
        soft_bce::logit(&[p], &mut z).unwrap();
        assert!((z[0] - (p / (1.0 - p)).ln()).abs() <= 1e-14 * (1.0 + z[0].abs()));
        assert!((scalar::sigmoid(z[0]) - p).abs() <= 4e-16);
    }
    let error = soft_bce::logit(&[0.5, 1.5], &mut [0.0; 2]).unwrap_err();
    assert_eq!(
        error,
        Error::TargetOutOfRange {
            index: 1,
            value: 1.5
        }
    );
}

//! The contract at its edges: limits, errors, what an error leaves behind, options.

use soft_bce::{Backend, Bce, Error, LossSum, scalar};

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
                -INFINITY,
                -1.0,
                -2.0,
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

/// Masks: what stands in a removed element is not looked at, and a bad target behind it is found.
#[test]
fn a_removed_target_may_be_anything() {
    for backend in Backend::available() {
        for length in [2, 3, 16, 63, 64, 700, 2000] {
            for mask in [f32::NAN, 255.0, -100.0, f32::INFINITY, f32::NEG_INFINITY] {
                for zero in [0.0, -0.0] {
                    let z: Vec<f32> = (0..length).map(|i| i as f32 * 0.01 - 3.0).collect();
                    let (mut t, mut w) = (vec![0.25; length], vec![1.5; length]);
                    let removed = |i: usize| i % 7 == 1;
                    for i in (0..length).filter(|&i| removed(i)) {
                        (t[i], w[i]) = (mask, zero);
                    }
                    let bce = Bce::new().weights(&w).backend(backend).unwrap();
                    let kept: Vec<usize> = (0..length).filter(|&i| !removed(i)).collect();
                    let z_kept: Vec<f32> = kept.iter().map(|&i| z[i]).collect();
                    let w_kept = vec![1.5; kept.len()];
                    let t_kept = vec![0.25; kept.len()];
                    let alone = Bce::new().weights(&w_kept).backend(backend).unwrap();
                    let (mut g, mut h, mut loss) =
                        (vec![7.0; length], vec![7.0; length], vec![7.0; length]);
                    let mut g_kept = vec![7.0; kept.len()];
                    let sum = bce.sum_gradient_hessian(&z, &t, &mut g, &mut h).unwrap();
                    bce.loss(&z, &t, &mut loss).unwrap();
                    assert_eq!(Ok(sum), alone.sum_gradient(&z_kept, &t_kept, &mut g_kept));
                    for of in [&g, &h, &loss] {
                        let zeros = (0..length).filter(|&i| removed(i)).map(|i| of[i].to_bits());
                        assert!(zeros.eq((0..length).filter(|&i| removed(i)).map(|_| 0)));
                    }
                    assert!(kept.iter().map(|&i| g[i]).eq(g_kept.iter().copied()));
                    assert_eq!(bce.mean(&z, &t), alone.mean(&z_kept, &t_kept));
                    let mut in_place = z.clone();
                    bce.gradient_in_place(&mut in_place, &t).unwrap();
                    assert_eq!(in_place, g);
                    // The first that counts.
                    let last = *kept.last().unwrap();
                    t[last] = mask;
                    let error = bce.sum(&z, &t).unwrap_err();
                    assert!(
                        matches!(error, Error::TargetOutOfRange { index, .. } if index == last)
                    );
                    let error = bce.gradient_in_place(&mut in_place, &t).unwrap_err();
                    assert!(
                        matches!(error, Error::TargetOutOfRange { index, .. } if index == last)
                    );
                }
            }
        }
    }
}

/// -0 among the weights, at every place: it is 0.
#[test]
fn a_weight_of_minus_zero_is_zero() {
    for backend in Backend::available() {
        for length in [2, 3, 16, 64, 65, 700, 2000] {
            for at in [0, 1, length / 2, length - 1] {
                let mut w = vec![1.0_f64; length];
                w[at] = -0.0;
                let bce = Bce::new().weights(&w).backend(backend).unwrap();
                let (z, t) = (vec![0.0; length], vec![0.5; length]);
                let mut g = vec![7.0; length];
                let mean = std::f64::consts::LN_2;
                assert_eq!(bce.mean(&z, &t), Ok(mean), "{length}, {at}, {backend:?}");
                assert_eq!(bce.mean_gradient(&z, &t, &mut g), Ok(mean));
            }
            let w = vec![-0.0_f32; length];
            let bce = Bce::new().weights(&w).backend(backend).unwrap();
            let (z, t) = (vec![0.0; length], vec![0.5; length]);
            assert_eq!(bce.mean(&z, &t), Err(Error::Empty));
            assert_eq!(bce.sum(&z, &t).map(f64::to_bits), Ok(0));
        }
    }
}

/// A power of two times all weights changes no mean and no gradient of one, from the smallest to the
/// largest weights there are; nor do totals beyond the range of the type.
#[test]
fn means_do_not_depend_on_the_scale_of_the_weights() {
    macro_rules! check {
        ($real:ident, $exponents:expr) => {
            for length in [1, 4, 8, 63, 700] {
                let z: Vec<$real> = (0..length).map(|i| i as $real * 0.37 - 9.0).collect();
                let t: Vec<$real> = (0..length).map(|i| (i % 5) as $real / 4.0).collect();
                // Few digits, so that subnormal weights have them all.
                let w: Vec<$real> = (0..length).map(|i| (i % 3 + 5) as $real).collect();
                let mut gradient = vec![7.0; length];
                let mean = Bce::new()
                    .weights(&w)
                    .mean_gradient(&z, &t, &mut gradient)
                    .unwrap();
                for exponent in $exponents {
                    // In two steps: the power alone may be beyond the range.
                    let half = (2.0 as $real).powi(exponent / 2);
                    let scale = |w: &$real| w * half * (2.0 as $real).powi(exponent - exponent / 2);
                    let w: Vec<$real> = w.iter().map(scale).collect();
                    for backend in Backend::available() {
                        let bce = Bce::new().weights(&w).backend(backend).unwrap();
                        let mut scaled = vec![7.0; length];
                        let result = bce.mean_gradient(&z, &t, &mut scaled);
                        assert_eq!(result, Ok(mean), "2^{exponent}, {length}, {backend:?}");
                        // Subnormal results differ by the roundings of the weighted gradients.
                        let unit = $real::from_bits(1);
                        let same = |(a, b): (&$real, &$real)| {
                            a == b || (a - b).abs() <= 2.0 * unit && a.abs() <= $real::MIN_POSITIVE
                        };
                        assert!(
                            scaled.iter().zip(&gradient).all(same),
                            "2^{exponent}, {length}, {backend:?}"
                        );
                        assert_eq!(bce.mean(&z, &t), Ok(mean));
                    }
                }
            }
        };
    }
    // 2^-149 and 2^-1074 are the least; 7 2^125 and 7 2^1021 the largest that are finite.
    check!(f32, (-149..126).step_by(3).chain([125, -148]));
    check!(f64, (-1074..1022).step_by(21).chain([1021, -1073]));
}

/// A negative gradient that the division takes below the least number is +0 as well.
#[test]
fn the_zero_of_a_means_gradient_is_positive() {
    for backend in Backend::available() {
        for n in [4, 67, 1000] {
            let bce = Bce::new().backend(backend).unwrap();
            // 2^-149 over 4 or more.
            let (z, t, mut g) = (vec![-104.0_f32; n], vec![1e-45; n], vec![7.0; n]);
            bce.gradient(&z, &t, &mut g).unwrap();
            assert_eq!(g, vec![-1e-45; n]);
            for bce in [bce, bce.exact()] {
                bce.mean_gradient(&z, &t, &mut g).unwrap();
                assert!(
                    g.iter().all(|g| g.to_bits() == 0),
                    "{}, {n}",
                    backend.name()
                );
            }
        }
    }
}

#[test]
fn means_of_totals_beyond_the_range() {
    let mut g = [7.0_f32; 8];
    let bce = Bce::new().weights(&[1e38_f32; 8]);
    let mean = bce.mean_gradient(&[0.0; 8], &[1.0; 8], &mut g);
    assert_eq!(
        mean,
        Ok(f64::from(std::f32::consts::LN_2 * 1e38) / f64::from(1e38_f32))
    );
    assert_eq!(g, [-0.0625; 8]);
    let mut g = [7.0_f64; 4];
    let bce = Bce::new().weights(&[1e308; 4]);
    assert_eq!(bce.mean_gradient(&[40.0; 4], &[0.0; 4], &mut g), Ok(40.0));
    assert_eq!(g, [0.25; 4]);
    assert_eq!(bce.mean(&[40.0; 4], &[0.0; 4]), Ok(40.0));
    // Losses that overflow with their weights, beside a total that does not.
    let w = [1e10_f32, 2.0];
    let (z, mut g) = ([3e38, 1.0], [7.0_f32; 2]);
    let mean = Bce::new()
        .weights(&w)
        .mean_gradient(&z, &[0.0; 2], &mut g)
        .unwrap();
    let right = f64::from(3e38_f32) * 1e10 / (1e10 + 2.0);
    assert!((mean / right - 1.0).abs() < 1e-7, "{mean}");
    assert!(g.iter().all(|g| g.is_finite()));
    // But an infinite logit is one.
    let mean = Bce::new()
        .weights(&w)
        .mean(&[f32::INFINITY, 1.0], &[0.0; 2]);
    assert_eq!(mean, Ok(INFINITY));
}

/// A total below 1 is scaled up, but not so far that gradients or losses overflow.
#[test]
fn a_mean_overflows_only_where_its_values_do() {
    macro_rules! check {
        ($float:ty, $exponents:expr) => {
            let most = <$float>::MAX;
            for exponent in $exponents {
                for fraction in [1.0, 1.25, 1.75] {
                    let root = (2.0 as $float).powi(exponent / 2); // 2^exponent's inverse may overflow
                    let w = [fraction * root * root; 2];
                    let bce = Bce::new().weights(&w[..1]);
                    let mut g = [7.0];
                    let mean = bce.mean_gradient(&[most / 1.01], &[0.0], &mut g).unwrap();
                    assert!(
                        (mean / f64::from(most / 1.01) - 1.0).abs() < 1e-6,
                        "{w:?}: {mean}"
                    );
                    assert_eq!(g, [1.0]);
                    for q in [most / 1.01, most / 4.0, most / 64.0] {
                        let bce = Bce::new().weights(&w).pos_weight(q);
                        for bce in [bce, bce.row_weights(&[0.75])] {
                            // Neither do those beside a mean that is NaN or infinite.
                            for other in [-200.0, <$float>::NAN, <$float>::INFINITY] {
                                let mut g = [7.0; 2];
                                bce.mean_gradient(&[-200.0, other], &[1.0, 0.0], &mut g)
                                    .unwrap();
                                let error = (f64::from(g[0]) / f64::from(-q / 2.0) - 1.0).abs();
                                assert!(error < 1e-6, "{w:?}, {q:e}, {other}: {g:?}");
                            }
                        }
                    }
                }
            }
        };
    }
    check!(f32, [-140, -126, -60, -4, -2, 0, 2, 60, 70, 126]);
    check!(f64, [-1060, -1022, -500, -4, -2, 0, 2, 500, 520, 1022]);
}

/// The mean is the exact sum over the exact total weight, within 1 ULP: rounded once but for a hair.
#[test]
fn a_mean_is_rounded_once() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for round in 0..300 {
        let length = 1 + (next() % 1500) as usize;
        let mut uniform = || (next() >> 11) as f64 / 2f64.powi(53);
        let z: Vec<f64> = (0..length).map(|_| uniform() * 20.0 - 10.0).collect();
        let t: Vec<f64> = (0..length).map(|_| uniform()).collect();
        let w: Vec<f64> = (0..length).map(|_| uniform() * 3.0).collect();
        let mut losses = vec![0.0; length];
        let bce = if round % 2 == 0 {
            Bce::new()
        } else {
            Bce::new().weights(&w)
        };
        bce.loss(&z, &t, &mut losses).unwrap();
        let total: Vec<f64> = if round % 2 == 0 {
            vec![1.0; length]
        } else {
            w.clone()
        };
        let mean = bce.mean(&z, &t).unwrap();
        // mean total - sum, exact: a product is a sum of two numbers, by an FMA.
        let mut error = LossSum::new();
        for (w, loss) in total.iter().zip(&losses) {
            let product = mean * w;
            error.add_slice(&[product, mean.mul_add(*w, -product), -loss]);
        }
        let ulp = 2f64.powi((mean.to_bits() >> 52) as i32 - 1075);
        let bound = (0.5 + 2f64.powi(-20)) * ulp * total.iter().sum::<f64>();
        assert!(error.to_f64().abs() <= bound, "{round}");
    }
}

/// Whether a factor is 0 is for the inputs to say, not for products that underflow.
#[test]
fn limits_with_options_are_those_of_the_inputs() {
    macro_rules! check {
        ($real:ident, $least:expr) => {
            for backend in Backend::available() {
                let bce = Bce::<$real>::new().backend(backend).unwrap();
                for (p, alpha, t, at_plus, at_minus) in [
                    (1e-20, 0.0, 1e-30, true, true),
                    ($least, 0.0, $least, true, true),
                    ($least, 0.0, 0.0, true, false),
                    ($least, 0.0, 1.0, false, true),
                    ($real::MAX, 0.0, 1.0, false, true),
                    ($real::MAX, 0.0, 0.0, true, false),
                    (1.0, $least, 0.0, true, true),
                    (1.0, $least, 1.0, true, true),
                    ($least, $least, 0.0, true, true),
                    ($real::MAX, 1.0, 1.0, true, true),
                ] {
                    let bce = bce.pos_weight(p).label_smoothing(alpha);
                    for length in [1, 5, 70, 600] {
                        let mut loss = vec![7.0; length];
                        for (z, infinite) in [(INFINITY, at_plus), (-INFINITY, at_minus)] {
                            bce.loss(&vec![z as $real; length], &vec![t; length], &mut loss)
                                .unwrap();
                            let limit = if infinite { $real::INFINITY } else { 0.0 };
                            assert!(
                                loss.iter().all(|&x| x.to_bits() == limit.to_bits()),
                                "{z} {p} {alpha} {t}: {}",
                                loss[0]
                            );
                        }
                    }
                }
            }
        };
    }
    check!(f32, f32::from_bits(1));
    check!(f64, f64::from_bits(1));
}

/// 1 - t' from the smoothing and 1 - t, not from a rounded t': (alpha/2) 20 + log1p(e^-20).
#[test]
fn label_smoothing_keeps_its_digits_near_one() {
    let loss = |alpha, t: f32, z: f32| {
        let mut loss = [7.0];
        Bce::new()
            .label_smoothing(alpha)
            .loss(&[z], &[t], &mut loss)
            .unwrap();
        f64::from(loss[0])
    };
    for alpha in [1e-6_f32, 1e-9, 1e-3, 1e-30] {
        for (t, z) in [(1.0, 20.0), (0.0, -20.0)] {
            let right = f64::from(alpha) / 2.0 * 20.0 + (-20.0_f64).exp().ln_1p();
            assert!(
                (loss(alpha, t, z) / right - 1.0).abs() < 2e-7,
                "{alpha} {t}"
            );
        }
    }
}

#[test]
fn targets_within_the_tolerance_are_clamped() {
    let (one, most) = (1.0_f32, 1e-6_f32);
    for backend in Backend::available() {
        for length in [1, 7, 64, 255, 256, 257, 1000] {
            let z: Vec<f32> = (0..length).map(|i| i as f32 * 0.01 - 3.0).collect();
            let loose = [
                one.next_up(),
                1.000_000_1,
                -1e-9,
                -most,
                0.5,
                1.0 + 8.0 * f32::EPSILON,
            ];
            let t: Vec<f32> = (0..length).map(|i| loose[i % loose.len()]).collect();
            let clamped: Vec<f32> = t.iter().map(|t| t.clamp(0.0, 1.0)).collect();
            let w: Vec<f32> = (0..length).map(|i| i as f32 % 4.0 + 1.0).collect();
            let strict = Bce::new().backend(backend).unwrap();
            for strict in [
                strict,
                strict.weights(&w).pos_weight(2.0),
                strict.exact(),
                strict.excess(),
            ] {
                let bce = strict.target_tolerance(most);
                let (mut a, mut b) = (vec![7.0; length], vec![7.0; length]);
                let mut expected = (a.clone(), b.clone());
                let sum = bce.sum_gradient_hessian(&z, &t, &mut a, &mut b);
                let right =
                    strict.sum_gradient_hessian(&z, &clamped, &mut expected.0, &mut expected.1);
                assert_eq!((sum, &a, &b), (right, &expected.0, &expected.1));
                assert_eq!(bce.mean(&z, &t), strict.mean(&z, &clamped));
                assert_eq!(
                    bce.mean_gradient(&z, &t, &mut a),
                    strict.mean_gradient(&z, &clamped, &mut b)
                );
                assert_eq!(a, b);
                a.copy_from_slice(&z);
                bce.gradient_in_place(&mut a, &t).unwrap();
                assert_eq!(a, expected.0);
                let mut sums = (LossSum::new(), LossSum::new());
                bce.accumulate(&z, &t, &mut sums.0).unwrap();
                strict.accumulate(&z, &clamped, &mut sums.1).unwrap();
                assert_eq!(sums.0, sums.1);
                for beyond in [1.0 + 9.0 * f32::EPSILON, -most.next_up(), 2.0, f32::NAN] {
                    let mut t = t.clone();
                    t[length - 1] = beyond;
                    let error = bce.sum_gradient(&z, &t, &mut a).unwrap_err();
                    assert!(
                        matches!(error, Error::TargetOutOfRange { index, .. } if index == length - 1)
                    );
                    assert!(a.iter().all(|x| x.is_nan()));
                }
            }
        }
    }
    // However wide it is, not a unit further.
    for (tolerance, furthest) in [
        (1.0_f64.next_down(), 2.0_f64.next_down()),
        (2.0_f64.powi(53), 2.0_f64.powi(53)),
        (2.0_f64.powi(53) + 2.0, 2.0_f64.powi(53) + 2.0),
        (2.0_f64.powi(1000), 2.0_f64.powi(1000)),
    ] {
        let bce = Bce::new().target_tolerance(tolerance);
        assert!(bce.sum(&[0.0], &[furthest]).is_ok());
        assert!(bce.sum(&[0.0], &[furthest.next_up()]).is_err());
        assert!(bce.sum(&[0.0], &[-tolerance]).is_ok());
        assert!(bce.sum(&[0.0], &[-tolerance.next_up()]).is_err());
    }
    // And without it they are refused.
    for t in [one.next_up(), 1.000_000_1, -1e-9] {
        assert!(matches!(
            Bce::new().sum(&[0.0], &[t]),
            Err(Error::TargetOutOfRange { index: 0, .. })
        ));
    }
}

#[test]
fn accumulate_with_derivatives_is_accumulate_and_the_derivatives() {
    for length in [0, 1, 63, 64, 700] {
        let z: Vec<f64> = (0..length).map(|i| i as f64 * 0.05 - 9.0).collect();
        let t: Vec<f64> = (0..length).map(|i| (i % 5) as f64 / 4.0).collect();
        let bce = Bce::new().pos_weight(3.0);
        let (mut sum, mut g, mut h) = (LossSum::new(), vec![7.0; length], vec![7.0; length]);
        bce.accumulate(&z, &t, &mut sum).unwrap();
        bce.gradient_hessian(&z, &t, &mut g, &mut h).unwrap();
        let (mut sum_2, mut g_2, mut h_2) = (LossSum::new(), vec![7.0; length], vec![7.0; length]);
        bce.accumulate_gradient(&z, &t, &mut sum_2, &mut g_2)
            .unwrap();
        assert_eq!((&sum, &g), (&sum_2, &g_2));
        (sum_2, g_2) = (LossSum::new(), vec![7.0; length]);
        bce.accumulate_gradient_hessian(&z, &t, &mut sum_2, &mut g_2, &mut h_2)
            .unwrap();
        assert_eq!((sum, g, h), (sum_2, g_2, h_2));
    }
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

/// A weight that is not 0 counts, also where the scale of a mean of huge ones takes it to 0.
#[test]
fn logits_without_a_finite_loss_count_beside_huge_weights() {
    for backend in Backend::available() {
        let (w, mut g) = ([7e-323, 1.7e308], [7.0; 2]);
        let bce = Bce::new().backend(backend).unwrap().weights(&w);
        let mean = bce.mean_gradient(&[f64::NAN, 1.0], &[0.5; 2], &mut g);
        assert!(mean.unwrap().is_nan() && g[0].is_nan() && !g[1].is_nan());
        let mean = bce.mean_gradient(&[INFINITY, 1.0], &[0.5; 2], &mut g);
        assert_eq!(mean, Ok(INFINITY));
        assert!(g.iter().all(|g| g.is_finite()));
    }
}

/// Small weights are not lost beside huge ones, nor taken for larger ones, by the scale of the mean.
#[test]
fn small_weights_count_beside_huge_ones_as_they_are() {
    let near = |found: f64, right: f64, tolerance: f64, least: f64| {
        let most = right * tolerance + 2.0 * least;
        assert!(
            (found - right).abs() <= most,
            "{found:e} instead of {right:e}"
        );
    };
    for backend in Backend::available() {
        // Of each but the first the loss is 0.
        let mut g = [7.0_f32; 3];
        for w in [1e-45_f32, 1e-30, 0.7, 1.333_333_3, 5.123_456_7, 1e10, 1e38] {
            let (w, z) = ([w, 1e38, 3e38], [3e38, -200.0, -200.0]);
            let bce = Bce::new().backend(backend).unwrap().weights(&w);
            let total: f64 = w.iter().map(|&w| f64::from(w)).sum();
            let mean = bce.mean_gradient(&z, &[0.0; 3], &mut g).unwrap();
            let right = f64::from(w[0]) * f64::from(z[0]) / total;
            near(mean, right, 6.1e-8, f32::from_bits(1).into());
            let right = (f64::from(w[0]) / total) as f32;
            assert!(g[0].to_bits().abs_diff(right.to_bits()) <= 1, "{w:?} {g:?}");
            assert_eq!(g[1..], [0.0; 2]);
        }
        let mut g = [7.0; 3];
        for w in [5e-324, 1e-200, 0.7, 4.0 / 3.0, 5.123_456_789, 1e100, 1e307] {
            let (w, z) = ([w, 1e308, 1.7e308], [1e308, -800.0, -800.0]);
            let bce = Bce::new().backend(backend).unwrap().weights(&w);
            let total = w[0] / 1e10 + 1e298 + 1.7e298;
            let mean = bce.mean_gradient(&z, &[0.0; 3], &mut g).unwrap();
            near(mean, w[0] * (z[0] / 1e10 / total), 1e-15, f64::from_bits(1));
            let right = w[0] / total / 1e10;
            assert!(g[0].to_bits().abs_diff(right.to_bits()) <= 2, "{w:?} {g:?}");
            assert_eq!(g[1..], [0.0; 2]);
        }
    }
}

/// A gradient by the undivided logit may be as large as 1/T: times a weight it may be beyond the range,
/// divided by the total it is not.
#[test]
fn gradients_at_a_low_temperature_survive_their_weights() {
    for backend in Backend::available() {
        let (mut g, w) = ([7.0_f32; 2], [8e18, 1e18]);
        let bce = Bce::new().backend(backend).unwrap().temperature(1e-37);
        let bce = bce.weights(&w);
        let mean = bce.mean_gradient(&[0.0; 2], &[0.0; 2], &mut g).unwrap();
        assert!((mean / std::f64::consts::LN_2 - 1.0).abs() < 1e-7);
        assert!((g[0] / 4.444_444_4e36 - 1.0).abs() < 1e-6, "{g:?}");
        assert!((g[1] / 5.555_555_6e35 - 1.0).abs() < 1e-6, "{g:?}");
        let (mut g, w) = ([7.0_f64; 2], [8e150, 1e150]);
        let bce = Bce::new().backend(backend).unwrap().temperature(1e-307);
        let bce = bce.weights(&w).row_weights(&[1.0]);
        let mean = bce.mean_gradient(&[0.0; 2], &[1.0; 2], &mut g).unwrap();
        assert!((mean / std::f64::consts::LN_2 - 1.0).abs() < 1e-15);
        assert!(
            (g[0] / -4.444_444_444_444_444e306 - 1.0).abs() < 1e-14,
            "{g:?}"
        );
    }
}

//! Inputs that the crate has got wrong, each kind on every backend. Those in `known::PENDING` must
//! still fail, so that the list is true.

mod corpus;

use corpus::known::*;
use soft_bce::{Backend, Bce, Error, LossSum};
use std::f64::consts::LN_2;

type Check = fn(Backend);

const CASES: [(&str, Check); 7] = [
    (NEGATIVE_ZERO_WEIGHT, negative_zero_weight),
    (HUGE_TOTAL_WEIGHT, huge_total_weight),
    (TINY_POS_WEIGHT, tiny_pos_weight),
    (NO_TARGET_WITHOUT_WEIGHT, no_target_without_weight),
    (ONE_RULE_AFTER_ERRORS, one_rule_after_errors),
    (TINY_LABEL_SMOOTHING, tiny_label_smoothing),
    (SUM_BEYOND_F64, sum_beyond_f64),
];

#[test]
fn what_was_wrong_is_right_but_for_what_is_pending() {
    for name in PENDING {
        assert!(
            CASES.iter().any(|(case, _)| case == name),
            "{name}: no such case"
        );
    }
    // What is pending panics, and need not say so.
    std::panic::set_hook(Box::new(|_| ()));
    let mut wrong = Vec::new();
    for (name, check) in CASES {
        let failed: Vec<_> = Backend::available()
            .filter(|&backend| std::panic::catch_unwind(|| check(backend)).is_err())
            .map(Backend::name)
            .collect();
        println!("{name}: fails on {failed:?}, pending: {}", is_pending(name));
        if failed.is_empty() == is_pending(name) {
            wrong.push((name, failed));
        }
    }
    drop(std::panic::take_hook());
    assert!(
        wrong.is_empty(),
        "failed though not pending, or pending though mended: {wrong:?}"
    );
}

fn negative_zero_weight(backend: Backend) {
    for n in [2, 3, 8, 16, 64, 65, 500, 512, 513, 2000] {
        for at in [0, n / 2, n - 1] {
            let z = vec![0.0_f32; n];
            let mut w = vec![1.0; n];
            w[at] = -0.0;
            let bce = Bce::new().backend(backend).unwrap().weights(&w);
            let mut g = vec![7.0; n];
            let mean = f64::from(LN_2 as f32);
            assert_eq!(bce.mean(&z, &z), Ok(mean), "{n}, {at}");
            assert_eq!(bce.mean_gradient(&z, &z, &mut g), Ok(mean), "{n}, {at}");
            for (i, &g) in g.iter().enumerate() {
                let expected = if i == at {
                    0.0
                } else {
                    (0.5 / (n - 1) as f64) as f32
                };
                assert_eq!(g, expected, "{n}, {at}, {i}");
            }
        }
    }
}

fn huge_total_weight(backend: Backend) {
    let w = [1e38_f32; 8];
    let bce = Bce::new().backend(backend).unwrap().weights(&w);
    let mut g = [7.0; 8];
    let mean = bce.mean_gradient(&[0.0; 8], &[1.0; 8], &mut g).unwrap();
    assert!((mean / LN_2 - 1.0).abs() < 1e-6, "{mean}");
    assert_eq!(g, [-0.0625; 8]);

    let w = [1e308; 4];
    let bce = Bce::new().backend(backend).unwrap().weights(&w);
    let mut g = [7.0; 4];
    assert_eq!(bce.mean(&[40.0; 4], &[0.0; 4]), Ok(40.0));
    assert_eq!(bce.mean_gradient(&[40.0; 4], &[0.0; 4], &mut g), Ok(40.0));
    assert_eq!(g, [0.25; 4]);
}

fn tiny_pos_weight(backend: Backend) {
    let bce = Bce::new().backend(backend).unwrap();
    let single = bce.pos_weight(1e-20).sum(&[f32::NEG_INFINITY], &[1e-30]);
    assert_eq!(single, Ok(f64::INFINITY));
    let bce = Bce::new().backend(backend).unwrap();
    let double = bce.pos_weight(1e-300).sum(&[f64::NEG_INFINITY], &[1e-30]);
    assert_eq!(double, Ok(f64::INFINITY));
}

fn no_target_without_weight(backend: Backend) {
    let plain = Bce::new().backend(backend).unwrap();
    for t in corpus::numbers::no_targets::<f32>() {
        for w in [0.0, -0.0] {
            let (z, t, w) = ([0.5, 0.5], [1.0, t], [1.0, w]);
            let bce = plain.weights(&w);
            let alone = plain.sum(&z[..1], &t[..1]).unwrap();
            let (mut loss, mut g, mut h) = ([7.0; 2], [7.0; 2], [7.0; 2]);
            bce.loss(&z, &t, &mut loss).unwrap();
            assert_eq!(loss, [alone as f32, 0.0], "{t:?}");
            assert_eq!(bce.sum_gradient_hessian(&z, &t, &mut g, &mut h), Ok(alone));
            assert_eq!((g[1], h[1]), (0.0, 0.0));
            assert_eq!(bce.mean_gradient(&z, &t, &mut g), Ok(alone));
        }
    }
}

fn one_rule_after_errors(backend: Backend) {
    let plain = Bce::<f32>::new().backend(backend).unwrap();
    let (z, t, no_weights) = ([0.0; 2], [0.5; 2], [0.0; 2]);
    let all_nan = |g: &[f32]| assert!(g.iter().all(|g| g.is_nan()), "{g:?}");
    let mut g = [7.0; 2];
    let empty = plain.weights(&no_weights).mean_gradient(&z, &t, &mut g);
    assert_eq!(empty, Err(Error::Empty));
    all_nan(&g);
    for bce in [plain, plain.weights(&[1.0; 2])] {
        let mut g = [7.0; 2];
        let error = bce.pos_weight(-1.0).gradient(&z, &t, &mut g);
        assert!(matches!(error, Err(Error::InvalidOption { .. })));
        all_nan(&g);
    }
    let mut g = [4.0];
    let error = plain.mean_gradient(&[], &[5.0], &mut g).unwrap_err();
    assert!(matches!(error, Error::LengthMismatch { .. }), "{error:?}");
    all_nan(&g);
}

fn tiny_label_smoothing(backend: Backend) {
    let bce = Bce::new().backend(backend).unwrap().label_smoothing(1e-6);
    let mut loss = [7.0_f32];
    bce.loss(&[20.0], &[1.0], &mut loss).unwrap();
    // (α/2) 20 + log1p(e^-20), within the budget with options.
    let right = TINY_SMOOTHING_LOSS as f32;
    assert!(
        loss[0].to_bits().abs_diff(right.to_bits()) <= 5,
        "{} {right}",
        loss[0]
    );
}

fn sum_beyond_f64(_: Backend) {
    let mut sum = LossSum::new();
    sum.add(f64::MAX);
    for _ in 0..78 {
        let other = sum.clone();
        sum.merge(&other);
        assert_eq!(sum.to_f64(), f64::INFINITY);
    }
    // A count that has stopped, and the largest state.
    let mut bytes = LossSum::new().to_bytes();
    bytes[8..].fill(0xff);
    bytes[LossSum::BYTES - 1] = 0x7f;
    if let Ok(mut sum) = LossSum::from_bytes(&bytes) {
        sum.add(1.0);
        assert_eq!(sum.to_f64(), f64::INFINITY);
    }
}

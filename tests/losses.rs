//! Temperature, targets as logits, squared error, focal loss, probabilities: known values, limits, zeros,
//! the same bits everywhere, and errors. Accuracy is the oracle's.

mod corpus;

use corpus::{Element, Random, known, numbers};
use soft_bce::{Backend, Bce, Error, Focal, SquaredError, probability};

/// Student, teacher, their divergence and gradient: through a target that is rounded the first is off by 68 %.
fn teachers<T: Element>([z, u, excess, gradient]: [f64; 4], tolerance: f64) {
    for backend in Backend::available() {
        let bce = Bce::new().backend(backend).unwrap().logit_targets();
        let (z, u) = ([T::from_f64(z)], [T::from_f64(u)]);
        let (mut loss, mut found) = ([z[0]], [z[0]]);
        bce.excess()
            .loss_gradient(&z, &u, &mut loss, &mut found)
            .unwrap();
        assert!((loss[0].to_f64() / excess - 1.0).abs() < tolerance);
        assert!((found[0].to_f64() / gradient - 1.0).abs() < tolerance);
    }
}

#[test]
fn a_teacher_next_to_certainty_is_not_rounded() {
    let [single, double] = known::TEACHERS;
    teachers::<f32>(single, 1e-7);
    teachers::<f64>(double, 2e-15);
}

/// Logits of every kind.
fn logits<T: Element>() -> Vec<T> {
    let mut random = Random::new(3);
    let mut logits: Vec<T> = numbers::logits()
        .flat_map(|z: T| [z, z.negated()])
        .collect();
    logits.extend((0..300).map(|_| numbers::random_logit::<T>(&mut random)));
    logits.retain(|z| !z.to_f64().is_nan());
    logits
}

fn zeros_and_signs<T: Element>() {
    let logits = logits::<T>();
    let bce = Bce::new().logit_targets().excess();
    let (mut loss, mut g) = (logits.clone(), logits.clone());
    bce.loss_gradient(&logits, &logits, &mut loss, &mut g)
        .unwrap();
    assert!(loss.iter().chain(&g).all(|x| x.to_bits() == 0));
    for (i, &teacher) in logits.iter().enumerate() {
        let u = vec![teacher; logits.len()];
        let bce = bce.temperature(T::from_f64([1.0, 0.4, 3.0][i % 3]));
        bce.loss_gradient(&logits, &u, &mut loss, &mut g).unwrap();
        for ((z, loss), g) in logits.iter().zip(&loss).zip(&g) {
            assert!(loss.to_f64() >= 0.0, "{z:?} {teacher:?}: {loss:?}");
            let (z, u, g) = (z.to_f64(), teacher.to_f64(), g.to_f64());
            assert!(g == 0.0 || (g > 0.0) == (z > u), "{z:?} {u:?}: {g:?}");
            assert!(g != 0.0 || g.is_sign_positive());
        }
    }
}

#[test]
fn the_divergence_is_zero_at_the_teacher_and_never_negative() {
    zeros_and_signs::<f32>();
    zeros_and_signs::<f64>();
}

fn no_nan<T: Element>() {
    let mut random = Random::new(4);
    let logits = logits::<T>();
    let t: Vec<T> = logits
        .iter()
        .map(|&z| numbers::random_target(z, &mut random))
        .collect();
    let [mut a, mut b, mut c] = [(); 3].map(|()| logits.clone());
    let mut all_numbers = |bce: &Bce<'_, T>, hessian: bool| {
        for t in [
            &t,
            &vec![T::from_f64(0.0); t.len()],
            &vec![T::from_f64(1.0); t.len()],
        ] {
            if hessian {
                bce.loss_gradient_hessian(&logits, t, &mut a, &mut b, &mut c)
                    .unwrap();
                assert!(c.iter().all(|x| !x.to_f64().is_nan()));
            } else {
                bce.loss_gradient(&logits, t, &mut a, &mut b).unwrap();
            }
            assert!(a.iter().all(|x| x.to_f64() >= 0.0), "{bce:?}");
            assert!(b.iter().all(|x| !x.to_f64().is_nan()), "{bce:?}");
        }
    };
    for beta in [0.0, 0.25, 1.0, 1.5, 2.0, 40.0] {
        all_numbers(&Focal::new(T::from_f64(beta)), false);
    }
    all_numbers(&SquaredError::new(), true);
    for temperature in [1e-3, 0.5, 1.0, 30.0] {
        let temperature = T::from_f64(temperature);
        all_numbers(&SquaredError::new().temperature(temperature), true);
        all_numbers(
            &Focal::new(T::from_f64(2.0)).temperature(temperature),
            false,
        );
        all_numbers(&Bce::new().temperature(temperature), true);
        let smoothed = Bce::new()
            .label_smoothing(T::from_f64(0.1))
            .pos_weight(T::from_f64(3.0));
        all_numbers(&smoothed.temperature(temperature), true);
    }
}

#[test]
fn no_result_is_nan_at_any_logit() {
    no_nan::<f32>();
    no_nan::<f64>();
}

/// Losses next to the stationary point, where corrections count, are the same beside whatever else is wanted.
fn losses_beside_derivatives<T: Element>() {
    let mut logits = logits::<T>();
    logits.extend((-400..400).map(|i| T::from_f64(f64::from(i) * 0.017)));
    for temperature in [0.3, 1.0, 2.5] {
        let scaled = T::from_f64(temperature);
        let near = |step: i64| -> Vec<T> {
            let stationary = logits
                .iter()
                .map(|z| numbers::stationary_target(T::from_f64(z.to_f64() / temperature)));
            stationary
                .map(|t| numbers::clamp_target(t.step(step)))
                .collect()
        };
        let agree = |bce: &Bce<'_, T>, t: &[T], hessian: bool| {
            let [mut alone, mut beside, mut rest, mut hessians] = [(); 4].map(|()| logits.clone());
            bce.loss(&logits, t, &mut alone).unwrap();
            bce.loss_gradient(&logits, t, &mut beside, &mut rest)
                .unwrap();
            let bits = |of: &[T]| of.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&alone), bits(&beside), "{bce:?}");
            if hessian {
                bce.loss_gradient_hessian(&logits, t, &mut beside, &mut rest, &mut hessians)
                    .unwrap();
                assert_eq!(bits(&alone), bits(&beside), "{bce:?}");
            }
        };
        for step in [-1, 0, 1] {
            let t = near(step);
            agree(&Bce::new().temperature(scaled), &t, true);
            agree(&Bce::new().temperature(scaled).excess(), &t, true);
            agree(&SquaredError::new().temperature(scaled), &t, true);
            let focal = Focal::new(T::from_f64(2.0)).temperature(scaled);
            agree(&focal, &t, false);
            let teachers: Vec<T> = logits.iter().map(|u| u.step(step)).collect();
            let divergence = Bce::new().temperature(scaled).logit_targets();
            agree(&divergence, &teachers, true);
            agree(&divergence.excess(), &teachers, true);
        }
    }
}

#[test]
fn losses_do_not_depend_on_what_else_is_wanted() {
    losses_beside_derivatives::<f32>();
    losses_beside_derivatives::<f64>();
}

#[test]
fn a_focal_loss_of_exponent_zero_is_cross_entropy_to_the_bit() {
    let z = logits::<f32>();
    let t: Vec<f32> = (0..z.len()).map(|i| (i % 11) as f32 / 10.0).collect();
    let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| z.clone());
    Focal::new(0.0)
        .loss_gradient(&z, &t, &mut a, &mut b)
        .unwrap();
    Bce::new().loss_gradient(&z, &t, &mut c, &mut d).unwrap();
    let bits = |of: &[f32]| of.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!((bits(&a), bits(&b)), (bits(&c), bits(&d)));
}

/// Of optax 0.2.8: `sigmoid_focal_loss(z, t, alpha=None, gamma)` and its gradient in `float64`.
#[test]
fn the_focal_loss_of_hard_labels_is_optax_s() {
    let (z, t) = ([1.5, -0.5, 3.0, -7.0], [1.0, 0.0, 0.0, 1.0]);
    let theirs: [(f64, [f64; 4], Option<[f64; 4]>); 2] = [
        (
            2.0,
            [
                0.0067028469265756575,
                0.06757349051750364,
                2.766280441025262,
                6.988160899803445,
            ],
            Some([
                -0.017031105223235928,
                0.13793699735091441,
                1.1267498806348886,
                -1.0100024803723082,
            ]),
        ),
        (
            0.5,
            [
                0.08602623152991613,
                0.2912934651463975,
                2.9754183296501915,
                6.997721645388948,
            ],
            None,
        ),
    ];
    for (gamma, losses, gradients) in theirs {
        let (mut loss, mut gradient) = ([0.0; 4], [0.0; 4]);
        Focal::new(gamma)
            .loss_gradient(&z, &t, &mut loss, &mut gradient)
            .unwrap();
        let near = |ours: [f64; 4], theirs: [f64; 4]| {
            let mut both = ours.iter().zip(theirs);
            assert!(
                both.all(|(ours, theirs)| (ours / theirs - 1.0).abs() < 1e-14),
                "{ours:?} {theirs:?}"
            );
        };
        near(loss, losses);
        if let Some(gradients) = gradients {
            near(gradient, gradients);
        }
    }
}

#[test]
fn limits_at_infinite_logits() {
    let infinity = f64::INFINITY;
    let (z, u) = (
        [infinity, infinity, -infinity, -infinity, infinity],
        [infinity, 1000.0, -infinity, 0.0, -infinity],
    );
    let mut loss = [7.0; 5];
    let bce = Bce::new().logit_targets();
    for bce in [bce, bce.excess()] {
        bce.loss(&z, &u, &mut loss).unwrap();
        assert_eq!(loss, [0.0, infinity, 0.0, infinity, infinity]);
    }
    let mut g = [7.0; 5];
    bce.gradient(&z, &u, &mut g).unwrap();
    assert_eq!(g, [0.0, 0.0, 0.0, -0.5, 1.0]);
    let error = bce.sum(&[0.0, 0.0], &[1.0, f64::NAN]).unwrap_err();
    assert!(matches!(error, Error::TargetOutOfRange { index: 1, value } if value.is_nan()));
    assert_eq!(
        bce.weights(&[1.0, 0.0]).sum(&[0.0, 0.0], &[0.0, f64::NAN]),
        Ok(std::f64::consts::LN_2)
    );
    Focal::new(2.0)
        .gradient(&z, &[0.0, 1.0, 1.0, 0.25, 0.5], &mut g)
        .unwrap();
    assert_eq!(g, [1.0, 0.0, -1.0, -0.015625, 0.125]);
    SquaredError::new()
        .loss(&z, &[0.0, 1.0, 1.0, 0.25, 0.5], &mut loss)
        .unwrap();
    assert_eq!(loss, [1.0, 0.0, 1.0, 0.0625, 0.25]);
}

#[test]
fn probabilities_have_the_limits_and_bits_of_every_backend() {
    let infinity = f32::INFINITY;
    let y = [0.0, 1.0, 0.5, 0.0, 1.0, 0.5, 0.25];
    let p = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.25];
    let [mut loss, mut g] = [[7.0_f32; 7]; 2];
    probability::loss(&y, &p, &mut loss).unwrap();
    probability::gradient(&y, &p, &mut g).unwrap();
    assert_eq!(
        loss[..6],
        [0.0, infinity, infinity, infinity, 0.0, infinity]
    );
    assert_eq!(
        g,
        [1.0, -infinity, -infinity, infinity, -1.0, infinity, 0.0]
    );
    assert_eq!(probability::sum::<f64>(&[], &[]), Ok(0.0));
    assert_eq!(probability::mean::<f64>(&[], &[]), Err(Error::Empty));
    let error = probability::loss(&[2.0; 2], &[0.5, -0.1], &mut [7.0; 2]).unwrap_err();
    assert_eq!(
        error,
        Error::ProbabilityOutOfRange {
            index: 1,
            value: -0.1
        }
    );
    assert_eq!(
        error.to_string(),
        "probability -0.1 at index 1 is not in [0, 1]"
    );
    let mut out = [7.0_f64; 2];
    let error = probability::gradient(&[0.5, 2.0], &[0.5, 0.5], &mut out);
    assert_eq!(
        error,
        Err(Error::TargetOutOfRange {
            index: 1,
            value: 2.0
        })
    );
    assert!(out.iter().all(|x| x.is_nan()));
    let error = probability::loss(&[0.5], &[0.5; 2], &mut out[..1]);
    assert_eq!(
        error,
        Err(Error::LengthMismatch {
            argument: "p",
            expected: 1,
            found: 2
        })
    );
}

#[test]
fn options_that_exclude_each_other() {
    let unsupported = |bce: Bce<'_, f32>| {
        let error = bce.sum(&[0.0], &[0.5]).unwrap_err();
        assert!(matches!(error, Error::UnsupportedOptions { .. }), "{error}");
    };
    let teacher = Bce::new().logit_targets();
    unsupported(teacher.pos_weight(2.0));
    unsupported(teacher.pos_weights(&[2.0]));
    unsupported(teacher.label_smoothing(0.1));
    unsupported(teacher.target_tolerance(0.1));
    unsupported(teacher.exact());
    unsupported(Bce::new().temperature(2.0).exact());
    unsupported(SquaredError::new().excess());
    unsupported(SquaredError::new().label_smoothing(0.1));
    unsupported(Focal::new(1.0).pos_weight(2.0));
    let [mut g, mut h] = [[7.0_f32]; 2];
    let error = Focal::new(1.0)
        .gradient_hessian(&[0.0], &[0.5], &mut g, &mut h)
        .unwrap_err();
    assert!(matches!(error, Error::UnsupportedOptions { .. }));
    assert!(g[0].is_nan() && h[0].is_nan());
    for (bce, option) in [
        (Bce::new().temperature(0.0), "temperature"),
        (Bce::new().temperature(f32::INFINITY), "temperature"),
        (*Focal::new(-1.0), "beta"),
        (*Focal::new(f32::NAN), "beta"),
    ] {
        let error = bce.sum(&[0.0], &[0.5]).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { option: found, .. } if found == option));
    }
}

/// What hostile trials found wrong once.
#[test]
fn extremes_that_were_wrong() {
    let inf = f64::INFINITY;
    let refused = |result| assert!(matches!(result, Err(Error::UnsupportedOptions { .. })));
    refused(Focal::new(2.0).logit_targets().sum(&[1.0], &[0.5]));
    refused(SquaredError::new().logit_targets().sum(&[1.0], &[3.0]));

    // A power that underflows, beside an infinite loss or slope.
    for backend in Backend::available() {
        let [mut loss, mut g] = [[7.0], [7.0]];
        for (beta, z, t, right) in [
            (21.0, inf, 1.0 - f64::EPSILON / 2.0, inf),
            (1100.0, -inf, 0.5, inf),
            (1e300, 0.0, 0.500_000_000_000_1, 0.0),
            (f64::MAX, 1.0, 1.0, 0.0),
        ] {
            let focal = Focal::new(beta).backend(backend).unwrap();
            focal.loss_gradient(&[z], &[t], &mut loss, &mut g).unwrap();
            assert_eq!(loss, [right], "{beta}, {z}, {t}");
            assert!(g[0].is_finite(), "{beta}, {z}, {t}");
        }

        // The excess at a logit that the temperature leaves a remainder of; 50 digits by mpmath.
        let bce = Bce::new().backend(backend).unwrap().temperature(1.7);
        let (z, t) = ([-96.708_624_049_346_34], [2.952_030_083_013_317e-25]);
        bce.excess().loss(&z, &t, &mut loss).unwrap();
        assert!((loss[0] / 2.127_645_475_507_289_6e-26 - 1.0).abs() < 1e-14);

        // An excess that underflows from below: −0 would hide all others in a sum.
        let bce = bce.excess().temperature(1.486_317_106_930_600_5);
        let (z, t) = ([-1_090.263_106_489_804_4, 1.0], [2.6949e-319, 0.5]);
        bce.loss(&z[..1], &t[..1], &mut loss).unwrap();
        assert_eq!(loss[0].to_bits(), 0);
        assert_eq!(bce.sum(&z, &t), bce.sum(&z[1..], &t[1..]));

        // Logits whose difference is beyond the range.
        let bce = Bce::new().backend(backend).unwrap().logit_targets();
        bce.gradient(&[1.7], &[-1.7], &mut loss).unwrap();
        let huge = bce.temperature(1e308);
        huge.gradient(&[1.7e308], &[-1.7e308], &mut g).unwrap();
        assert!((g[0] * 1e308 / loss[0] - 1.0).abs() < 1e-15);

        // Only a zero removes an element.
        let weights = [-5e-324, 1.0, 1.0, 1.0];
        let bce = Bce::new().backend(backend).unwrap().weights(&weights);
        let error = bce.row_weights(&[0.25, 1.0]).sum(&[0.0; 4], &[0.5; 4]);
        assert!(matches!(error, Err(Error::InvalidWeight { index: 0, .. })));
        let negative = bce.weights(&[-5e-324]).row_weights(&[0.25]);
        let error = negative.mean(&[0.0], &[0.5]);
        assert!(matches!(error, Err(Error::InvalidWeight { index: 0, .. })));
    }

    let mut g = [7.0];
    probability::gradient(&[1.0], &[-0.0], &mut g).unwrap();
    assert_eq!(g, [-inf]);
    probability::loss(&[1.0], &[1.0], &mut g).unwrap();
    assert_eq!(g[0].to_bits(), 0);
}

/// Lengths, options, rows and classes, what excludes what, elements.
#[test]
fn errors_of_other_losses_come_in_order() {
    let invalid = |result: Result<f64, Error>, name: &str| match result {
        Err(Error::InvalidOption { option, .. }) => assert_eq!(option, name),
        other => panic!("{other:?}"),
    };
    let (z, nan) = ([0.0; 2], [f64::NAN]);
    let cold = Bce::new().temperature(0.0);
    invalid(cold.row_weights(&nan).sum(&z, &z), "temperature");
    invalid(cold.pos_weights(&nan).sum(&z, &z), "temperature");
    invalid(
        cold.pos_weight(2.0).pos_weights(&[1.0]).sum(&z, &z),
        "temperature",
    );
    invalid(Focal::new(-1.0).row_weights(&nan).sum(&z, &z), "beta");
    assert!(matches!(
        probability::loss(&[0.5], &[1.5], &mut z.clone()),
        Err(Error::LengthMismatch {
            argument: "loss",
            ..
        })
    ));
}

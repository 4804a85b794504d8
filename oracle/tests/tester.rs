//! The tester is tested: MPFR's rounding, the metric, the fast references, and every planted fault.

use rug::Float;
use soft_bce_oracle::budget::{self, Mode};
use soft_bce_oracle::cases::{self, Inputs};
use soft_bce_oracle::check::{
    Checker, Job, Requirement, SUBNORMAL_BUDGET, SUBNORMAL_LOSS_BUDGET, Tally,
};
use soft_bce_oracle::corpus::{self, Format as _, Random, numbers};
use soft_bce_oracle::fast::{Batch, Fast};
use soft_bce_oracle::fault::Fault;
use soft_bce_oracle::format::Format;
use soft_bce_oracle::mpfr::{Function, Input, Options, Truth, correctly_rounded, truth};
use soft_bce_oracle::ulp;

const SEED: u64 = 0x5eed;

fn plain(z: f64, t: f64) -> Input {
    Input { z, t, weight: 1.0 }
}

fn ulps<F: Format>(function: Function, z: f64, t: f64, computed: F) -> f64 {
    ulp::error(computed, &truth::<F>(function, plain(z, t), Options::PLAIN))
}

#[test]
fn conversion_from_mpfr_rounds_subnormals_once() {
    // 2^-149 is the smallest f32: a half of it is a tie to even zero, anything above goes up.
    let half = Float::with_val(200, Float::u_exp(1, -150));
    assert_eq!(f32::from_float(&half), 0.0);
    let above = Float::with_val(400, &half + Float::with_val(400, Float::u_exp(1, -400)));
    assert_eq!(corpus::Format::to_bits(f32::from_float(&above)), 1);
    let three_halves = Float::with_val(200, Float::u_exp(3, -150));
    assert_eq!(corpus::Format::to_bits(f32::from_float(&three_halves)), 2);
    let mut random = Random::new(SEED);
    for _ in 0..100_000 {
        // Against scaling to an integer and rounding that.
        let x = Float::with_val(60, random.unit() * 2.0_f64.powi(-126));
        let units = Float::with_val(60, &x << 149).to_f64().round_ties_even();
        assert_eq!(corpus::Format::to_bits(f32::from_float(&x)), units as u64);
    }
    let below_overflow = Float::with_val(200, Float::u_exp((1 << 25) - 1, 103));
    assert_eq!(
        f32::from_float(&below_overflow),
        f32::INFINITY,
        "a tie goes to the even neighbour, infinity"
    );
    assert_eq!(
        f32::from_float(&-Float::with_val(200, Float::u_exp(1, -300))).to_bits(),
        (-0.0_f32).to_bits()
    );
}

#[test]
fn known_values() {
    assert_eq!(
        correctly_rounded::<f64>(Function::Softplus, plain(0.0, 0.0), Options::PLAIN),
        std::f64::consts::LN_2
    );
    assert_eq!(
        correctly_rounded::<f64>(Function::Sigmoid, plain(-0.0, 0.0), Options::PLAIN),
        0.5
    );
    assert_eq!(
        correctly_rounded::<f64>(Function::Hessian, plain(0.0, 0.3), Options::PLAIN),
        0.25
    );
    assert_eq!(
        correctly_rounded::<f64>(Function::Gradient, plain(0.0, 0.5), Options::PLAIN),
        0.0
    );
    // -2.06e-9, where most libraries return 0.
    let tail = correctly_rounded::<f64>(Function::Gradient, plain(20.0, 1.0), Options::PLAIN);
    assert_eq!(tail, -2.061_153_618_190_203_7e-9);
    // ½ - 2^-26 lies half-way between two f32 and must terminate: ties to even.
    let tie = correctly_rounded::<f32>(
        Function::Gradient,
        plain(0.0, 2.0_f64.powi(-26)),
        Options::PLAIN,
    );
    assert_eq!(tie, 0.5);
    // sigmoid(z) - ½ at the smallest z: z/4 less a term 300 binades down, below the tie.
    let tiny = f64::from(f32::from_bits(2));
    let below_tie = correctly_rounded::<f32>(Function::Gradient, plain(tiny, 0.5), Options::PLAIN);
    assert_eq!(below_tie, 0.0);
    // 3 * (2^24/3 rounded up to odd) / 2^24 has 25 bits: above the midpoint by e^-48.
    let mut random = Random::new(SEED);
    for _ in 0..1000 {
        let (z, t): (f32, f32) = numbers::midpoint_pair(&mut random);
        let product = z.abs().to_f64()
            * if z > 0.0 {
                1.0 - t.to_f64()
            } else {
                t.to_f64()
            };
        let loss = correctly_rounded::<f32>(
            Function::Loss,
            plain(z.to_f64(), t.to_f64()),
            Options::PLAIN,
        );
        assert!(
            loss.to_f64() > product,
            "{z} {t}: the tie is broken upwards"
        );
        assert_eq!(
            loss.step(-1).to_f64() + loss.to_f64(),
            2.0 * product,
            "{z} {t} is a midpoint"
        );
    }
    // L(0.5, 0.6) of the crate's worked example: -0.5 ln 0.6 - 0.5 ln 0.4.
    let z = correctly_rounded::<f64>(Function::Logit, plain(0.6, 0.5), Options::PLAIN);
    let loss = correctly_rounded::<f64>(Function::Loss, plain(z, 0.5), Options::PLAIN);
    assert!((loss - (-0.5 * 0.6_f64.ln() - 0.5 * 0.4_f64.ln())).abs() < 1e-15);
    let options = Options {
        pos_weight: 3.0,
        label_smoothing: 0.1,
        excess: false,
    };
    let input = Input {
        z: 0.7,
        t: 0.2,
        weight: 2.0,
    };
    let (target, sigmoid) = (0.2 * 0.9 + 0.05, 1.0 / (1.0 + (-0.7_f64).exp()));
    let expected = 2.0 * (-3.0 * target * sigmoid.ln() - (1.0 - target) * (1.0 - sigmoid).ln());
    assert!(
        (correctly_rounded::<f64>(Function::Loss, input, options) / expected - 1.0).abs() < 1e-15
    );
    let gradient = 2.0 * ((1.0 - target) * sigmoid - 3.0 * target * (1.0 - sigmoid));
    assert!(
        (correctly_rounded::<f64>(Function::Gradient, input, options) - gradient).abs() < 1e-15
    );
    let hessian = 2.0 * (1.0 - target + 3.0 * target) * sigmoid * (1.0 - sigmoid);
    assert!(
        (correctly_rounded::<f64>(Function::Hessian, input, options) / hessian - 1.0).abs() < 1e-15
    );
    // The excess is nothing at the minimum and the Kullback-Leibler divergence elsewhere.
    let options = Options {
        excess: true,
        ..Options::PLAIN
    };
    let excess: f64 = correctly_rounded(Function::Loss, plain(0.7, 0.2), options);
    let expected = 0.2 * (0.2 / sigmoid).ln() + 0.8 * (0.8 / (1.0 - sigmoid)).ln();
    assert!((excess / expected - 1.0).abs() < 1e-14);
}

#[test]
fn metric_at_zero() {
    let infinity = f64::INFINITY;
    assert_eq!(ulps::<f32>(Function::Loss, infinity, 1.0, 0.0), 0.0);
    assert_eq!(
        ulps::<f32>(Function::Loss, infinity, 1.0, -0.0),
        infinity,
        "a zero of the wrong sign"
    );
    assert_eq!(
        ulps::<f32>(Function::Loss, infinity, 1.0, f32::NAN),
        infinity
    );
    assert_eq!(
        ulps::<f32>(Function::Loss, infinity, 1.0, f32::from_bits(3)),
        3.0
    );
    assert_eq!(
        ulps::<f32>(Function::Loss, infinity, 1.0, -f32::from_bits(3)),
        3.0,
        "never negative"
    );
    assert_eq!(
        ulps::<f32>(Function::LogSigmoid, infinity, 0.0, 0.0),
        infinity,
        "its limit is -0"
    );
    assert_eq!(ulps::<f32>(Function::LogSigmoid, infinity, 0.0, -0.0), 0.0);
    assert_eq!(ulps::<f64>(Function::Gradient, 0.0, 0.5, 0.0), 0.0);
    // A true value far below the subnormals: either neighbour is within one unit, but not -0.
    assert!(ulps::<f32>(Function::Sigmoid, -200.0, 0.0, 0.0) < 1e-30);
    assert!((ulps::<f32>(Function::Sigmoid, -200.0, 0.0, f32::from_bits(1)) - 1.0).abs() < 1e-30);
    assert_eq!(ulps::<f32>(Function::Sigmoid, -200.0, 0.0, -0.0), infinity);
}

#[test]
fn metric_at_nan_and_infinity() {
    let infinity = f64::INFINITY;
    assert_eq!(ulps::<f32>(Function::Loss, f64::NAN, 0.3, f32::NAN), 0.0);
    assert_eq!(ulps::<f32>(Function::Loss, f64::NAN, 0.3, 1.0), infinity);
    assert_eq!(
        ulps::<f32>(Function::Loss, f64::NAN, 0.3, f32::INFINITY),
        infinity
    );
    assert_eq!(ulps::<f32>(Function::Loss, 1.0, 0.3, f32::NAN), infinity);
    assert_eq!(
        ulps::<f32>(Function::Loss, infinity, 0.3, f32::INFINITY),
        0.0
    );
    assert_eq!(
        ulps::<f32>(Function::Loss, infinity, 0.3, f32::NEG_INFINITY),
        infinity
    );
    assert_eq!(
        ulps::<f32>(Function::Loss, infinity, 0.3, f32::MAX),
        infinity
    );
    assert_eq!(
        ulps::<f32>(Function::Sigmoid, 1.0, 0.0, f32::INFINITY),
        (2.0_f64.powi(128) - 0.7310585786300049) * 2.0_f64.powi(24)
    );
    // A true value that rounds to infinity.
    let input = Input {
        z: 3e38,
        t: 0.0,
        weight: 100.0,
    };
    let over = truth::<f32>(Function::Loss, input, Options::PLAIN);
    assert_eq!(ulp::error(f32::INFINITY, &over), 0.0);
    assert_eq!(ulp::error(f32::NEG_INFINITY, &over), infinity);
    assert!(ulp::error(f32::MAX, &over) > 1e6);
    // Just below overflow the largest number is right and infinity one ULP off.
    let top = Input {
        z: f64::from(f32::MAX),
        t: 0.0,
        weight: 1.0,
    };
    let top = truth::<f32>(Function::Softplus, top, Options::PLAIN);
    assert_eq!(
        (ulp::error(f32::MAX, &top), ulp::error(f32::INFINITY, &top)),
        (0.0, 1.0)
    );
}

#[test]
fn metric_at_binade_edges_and_among_subnormals() {
    // sigmoid(0) = ½ exactly: the neighbours are one ULP above and half a ULP below.
    assert_eq!(ulps::<f32>(Function::Sigmoid, 0.0, 0.0, 0.5), 0.0);
    assert_eq!(
        ulps::<f32>(Function::Sigmoid, 0.0, 0.0, 0.5_f32.step(1)),
        1.0
    );
    assert_eq!(
        ulps::<f32>(Function::Sigmoid, 0.0, 0.0, 0.5_f32.step(-1)),
        0.5
    );
    // A hair below ½ the finer ULP is the measure.
    let below = ulps::<f32>(Function::Sigmoid, -1e-30, 0.0, 0.5_f32.step(-1));
    assert!((below - 1.0).abs() < 1e-20, "{below}");
    // Subnormal: one unit is 2^-149 whatever the value.
    let right = correctly_rounded::<f32>(Function::Sigmoid, plain(-95.0, 0.0), Options::PLAIN);
    assert!(right > 0.0 && right < f32::MIN_POSITIVE);
    let (own, next) = (
        ulps(Function::Sigmoid, -95.0, 0.0, right),
        ulps(Function::Sigmoid, -95.0, 0.0, right.step(7)),
    );
    assert!(own <= 0.5 && (6.5..=7.5).contains(&next), "{own} {next}");
    assert!(
        ulps(Function::Sigmoid, -95.0, 0.0, 0.0_f32) > 1000.0,
        "flushed to zero"
    );
    // The gradient: of max(s, t) for a soft target, of itself for a hard one.
    let soft = ulps::<f32>(Function::Gradient, 20.0, 1.0_f64 - 2.0_f64.powi(-24), 0.0);
    assert!(soft < 1.0, "{soft}");
    assert!(ulps::<f32>(Function::Gradient, 20.0, 1.0, 0.0) > 1e6);
    assert_eq!(ulps::<f64>(Function::Gradient, 0.0, 0.5, f64::EPSILON), 2.0);
}

/// The fast references against MPFR, on results that are right and on results some ULP off.
fn compare_reference<F: Fast>(function: Function, options: Options, tolerance: f64) {
    let mut random = Random::new(SEED);
    let mut compared = 0;
    cases::for_each_batch::<F>(function, 80_000, SEED, |inputs| {
        let computed: Vec<F> = (0..inputs.z.len())
            .map(|i| {
                let input = input_of(inputs, i, options);
                correctly_rounded::<F>(function, input, options).step(random.below(7) as i64 - 3)
            })
            .collect();
        let weights = if options == Options::PLAIN {
            &[][..]
        } else {
            &inputs.weights
        };
        let mut errors = vec![0.0; computed.len()];
        let batch = Batch {
            z: &inputs.z,
            t: &inputs.t,
            weights,
            computed: &computed,
        };
        F::errors(function, options, batch, &mut errors);
        for (i, fast) in errors.into_iter().enumerate() {
            // Not judged; near overflow an infinity, which MPFR then decides.
            if fast.is_nan() || (fast.is_infinite() && computed[i].to_f64().is_infinite()) {
                continue;
            }
            let input = input_of(inputs, i, options);
            let slow = ulp::error(computed[i], &truth::<F>(function, input, options));
            // Within 2^-50 above a binade edge the fast reference uses the finer ULP.
            let tolerance = tolerance + slow * 1e-15;
            let close = fast == slow
                || (fast - slow).abs() <= tolerance
                || (fast - 2.0 * slow).abs() <= tolerance;
            assert!(
                close,
                "{function:?} {} {input:?} {:?}: {fast} against {slow}",
                F::NAME,
                computed[i]
            );
            compared += 1;
        }
    });
    assert!(
        compared > 30_000,
        "{function:?} {}: only {compared} compared",
        F::NAME
    );
}

fn input_of<F: Format>(inputs: &Inputs<F>, i: usize, options: Options) -> Input {
    let weight = if options == Options::PLAIN {
        1.0
    } else {
        inputs.weights[i].to_f64()
    };
    Input {
        z: inputs.z[i].to_f64(),
        t: inputs.t[i].to_f64(),
        weight,
    }
}

const OPTIONS: Options = Options {
    pos_weight: 2.5,
    label_smoothing: 0.125,
    excess: false,
};

#[test]
fn fast_references_agree_with_mpfr() {
    for function in Function::ALL {
        for options in [Options::PLAIN, OPTIONS] {
            if options == Options::PLAIN || function.takes_target() {
                compare_reference::<f32>(
                    function,
                    options,
                    f32::REFERENCE_ERROR * 2.0_f64.powi(25),
                );
                compare_reference::<f64>(
                    function,
                    options,
                    f64::REFERENCE_ERROR * 2.0_f64.powi(54),
                );
            }
        }
    }
}

/// The excess is checked without weights.
fn weighted(options: Options) -> Options {
    Options {
        excess: false,
        ..options
    }
}

/// Inputs with their correctly rounded results; but a gradient of zero is +0, except in the exact mode.
fn right_results<F: Fast>(job: Job) -> Vec<(Inputs<F>, Vec<F>)> {
    let Job {
        function,
        options,
        requirement,
    } = job;
    let positive_zero =
        function == Function::Gradient && requirement != Requirement::CorrectlyRounded;
    let mut batches = Vec::new();
    cases::for_each_batch::<F>(function, 24_000, SEED, |inputs| {
        let right = (0..inputs.z.len())
            .map(|i| {
                let input = input_of(inputs, i, weighted(options));
                let right: F = correctly_rounded(function, input, options);
                if positive_zero && right.to_f64() == 0.0 {
                    F::from_f64(0.0)
                } else {
                    right
                }
            })
            .collect();
        batches.push((inputs.clone(), right));
    });
    batches
}

/// Checks right results with a fault planted; `None` where it changed nothing.
fn check_with<F: Fast>(
    job: Job,
    batches: &[(Inputs<F>, Vec<F>)],
    fault: Option<Fault>,
) -> Option<Tally> {
    let mut checker = Checker::<F>::new(job);
    let mut changed = fault.is_none();
    for (inputs, right) in batches {
        let mut computed = right.clone();
        if let Some(fault) = fault {
            fault.plant(job.requirement, &mut computed);
        }
        let same = |a: &F, b: &F| {
            a.to_bits() == b.to_bits() || (a.to_f64().is_nan() && b.to_f64().is_nan())
        };
        changed |= !right.iter().zip(&computed).all(|(a, b)| same(a, b));
        let plain = weighted(job.options) == Options::PLAIN;
        checker.check(Batch {
            z: &inputs.z,
            t: &inputs.t,
            weights: if plain { &[] } else { &inputs.weights },
            computed: &computed,
        });
    }
    changed.then(|| checker.finish())
}

fn faults_turn_checks_red<F: Fast>(mode: Mode) {
    let mut effective = Vec::new();
    for function in Function::ALL {
        let Ok(requirement) = budget::requirement(function, F::NAME, mode) else {
            let partial = match mode {
                Mode::Exact => function == Function::Logit,
                Mode::Options => !function.takes_target(),
                Mode::Excess => function != Function::Loss,
                _ => false,
            };
            assert!(partial, "{function:?} has no budget");
            continue;
        };
        let job = Job {
            function,
            options: match mode {
                Mode::Default | Mode::Exact => Options::PLAIN,
                Mode::Options => OPTIONS,
                Mode::Excess => Options {
                    excess: true,
                    ..Options::PLAIN
                },
            },
            requirement,
        };
        let batches = right_results(job);
        let clean = check_with::<F>(job, &batches, None).unwrap_or_default();
        assert_eq!(
            clean.verdict(),
            Ok(()),
            "{function:?}: correctly rounded results pass"
        );
        assert!(
            clean.worst_ulp() <= 0.5,
            "{function:?}: {}",
            clean.worst_ulp()
        );
        for fault in Fault::ALL {
            // One place off is within budget, but where correct rounding is promised.
            if fault == Fault::OneUlp && requirement != Requirement::CorrectlyRounded {
                continue;
            }
            if let Some(tally) = check_with::<F>(job, &batches, Some(fault)) {
                assert!(
                    tally.verdict().is_err(),
                    "{function:?} {} {mode:?}: {fault:?} went unnoticed",
                    F::NAME
                );
                effective.push(fault);
            }
        }
    }
    for fault in Fault::ALL {
        let expected = fault != Fault::OneUlp || mode == Mode::Exact;
        assert_eq!(
            effective.contains(&fault),
            expected,
            "{fault:?} changed no result of any function"
        );
    }
}

#[test]
fn planted_faults_turn_f32_red() {
    faults_turn_checks_red::<f32>(Mode::Default);
}

#[test]
fn planted_faults_turn_f64_red() {
    faults_turn_checks_red::<f64>(Mode::Default);
}

#[test]
fn planted_faults_turn_exact_red() {
    faults_turn_checks_red::<f32>(Mode::Exact);
}

#[test]
fn planted_faults_turn_options_red() {
    faults_turn_checks_red::<f32>(Mode::Options);
    faults_turn_checks_red::<f64>(Mode::Options);
}

#[test]
fn planted_faults_turn_excess_red() {
    faults_turn_checks_red::<f32>(Mode::Excess);
    faults_turn_checks_red::<f64>(Mode::Excess);
}

/// What loss less entropy, in f64, is worth near the minimum.
#[test]
fn an_excess_that_cancels_is_noticed() {
    let options = Options {
        excess: true,
        ..Options::PLAIN
    };
    let (z, t) = (0.7_f64, 0.668);
    let (s, r) = (1.0 / (1.0 + (-z).exp()), 1.0 - t);
    let loss = (1.0 + z.exp()).ln() - t * z;
    let right = truth::<f64>(Function::Loss, plain(z, t), options);
    let divergence = t * (t / s).ln() + r * (r / (1.0 - s)).ln();
    assert!(ulp::error(loss + t * t.ln() + r * r.ln(), &right) > 100.0);
    assert!(ulp::error(divergence, &right) > 100.0);
    // And where the sigmoid is the target: nothing but 0 is right.
    let minimum = truth::<f64>(Function::Loss, plain(0.0, 0.5), options);
    assert_eq!(ulp::error(0.0, &minimum), 0.0);
    assert_eq!(ulp::error(-0.0, &minimum), f64::INFINITY);
    assert_eq!(ulp::error(f64::from_bits(5), &minimum), 5.0);
}

/// What options add to the metric: parts below the normal range count as the smallest normal number, but
/// for p t', and a loss that is infinite before its weight may be so after it.
#[test]
fn metric_with_options() {
    let options = |pos_weight, label_smoothing| Options {
        pos_weight,
        label_smoothing,
        excess: false,
    };
    let error = |input: Input, options, computed: f32| {
        ulp::error(computed, &truth::<f32>(Function::Loss, input, options))
    };
    let infinity = f64::INFINITY;
    let overflow = Input {
        z: 3e38,
        t: 0.5,
        weight: 1e-10,
    };
    let right = 1.5e28_f32;
    // (1 - t) z is finite, and so no excuse.
    assert!(error(overflow, options(1e5, 0.0), f32::INFINITY) > 1e6);
    assert!(error(overflow, options(1e5, 0.0), right) < 1e6);
    let overflow = Input {
        z: -3e38,
        ..overflow
    };
    assert_eq!(error(overflow, options(1e5, 0.0), f32::INFINITY), 0.0);
    assert_eq!(
        error(overflow, options(1e5, 0.0), f32::NEG_INFINITY),
        infinity
    );
    assert!(
        error(overflow, options(1e5, 0.0), right) > 1e6,
        "1.5e33 is right"
    );
    // The same without a weight is no excuse where the loss is finite.
    let finite = Input {
        z: -3e38,
        t: 0.5,
        weight: 1.0,
    };
    assert!(error(finite, options(1.5, 0.0), f32::INFINITY) > 1e6);
    // p t is nothing in f32, but it is not 0.
    let left = Input {
        z: -infinity,
        t: 1e-30,
        weight: 2.0,
    };
    assert_eq!(error(left, options(1e-30, 0.0), 0.0), infinity);
    assert_eq!(error(left, options(1e-30, 0.0), f32::INFINITY), 0.0);
    let none = Input { t: 0.0, ..left };
    assert_eq!(error(none, options(1e-30, 0.0), 0.0), 0.0);
    assert_eq!(error(none, options(1e-30, 1e-45), f32::INFINITY), 0.0);
    let right = Input {
        z: infinity,
        t: 1.0,
        weight: 1.0,
    };
    assert_eq!(error(right, options(1.0, 1e-45), f32::INFINITY), 0.0);
    assert_eq!(error(right, options(1.0, 0.0), 0.0), 0.0);
    // p t is subnormal, and times z counts like any other product.
    let large = Input {
        z: -1e30,
        t: 1e-30,
        weight: 1.0,
    };
    let right = correctly_rounded::<f32>(Function::Loss, large, options(1e-12, 0.0));
    let off = error(large, options(1e-12, 0.0), right.step(9));
    assert!((8.5..=9.5).contains(&off), "{off}");
    // A weight of less than 1 makes a subnormal result; its error is at most that of the smallest
    // normal number before the weight.
    let small = Input {
        z: -87.0,
        t: 0.0,
        weight: 2.0_f64.powi(-10),
    };
    let right = correctly_rounded::<f32>(Function::Loss, small, Options::PLAIN);
    assert!(right < f32::MIN_POSITIVE);
    let off = error(small, Options::PLAIN, right.step(7));
    assert!((6.5..=7.5).contains(&off), "{off}");
    // The true target is the one that counts: 1 - 0.7e-6, which f32 cannot tell from 1 - 0.715e-6.
    let hard = Input {
        z: 20.0,
        t: 1.0,
        weight: 1.0,
    };
    let right = correctly_rounded::<f32>(Function::Loss, hard, options(1.0, 1.4e-6));
    assert!((f64::from(right) / (0.7e-6 * 20.0 + 2.061_153_6e-9) - 1.0).abs() < 1e-6);
    let rounded = (1.0_f32 - 0.7e-6_f32 - 1.0).abs() * 20.0 + 2.061_153_6e-9;
    assert!(error(hard, options(1.0, 1.4e-6), rounded) > 1e5);
}

#[test]
fn nothing_checked_is_no_success() {
    assert!(Tally::default().verdict().is_err());
}

#[test]
fn truth_is_never_skipped_for_special_values() {
    for function in [
        Function::Loss,
        Function::Gradient,
        Function::Hessian,
        Function::Sigmoid,
        Function::Softplus,
    ] {
        for z in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
        ] {
            for t in [0.0, 0.5, 1.0, f64::from_bits(1)] {
                let truth = truth::<f64>(function, plain(z, t), Options::PLAIN);
                assert_eq!(
                    matches!(truth, Truth::Nan),
                    z.is_nan(),
                    "{function:?} {z} {t}"
                );
            }
        }
    }
}

#[test]
fn the_readme_has_the_table_of_budgets() {
    let readme = include_str!("../../README.md");
    let overview = budget::overview();
    assert!(overview.lines().count() > 7);
    assert!(readme.contains(&overview), "README.md lacks\n{overview}");
    let one_line = budget::DOCUMENT
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let sentence = format!(
        "within {SUBNORMAL_BUDGET} unit of the subnormal spacing, the loss within {SUBNORMAL_LOSS_BUDGET}"
    );
    assert!(one_line.contains(&sentence), "no {sentence:?}");
}

//! What happens where the caller has changed the floating-point environment. The crate promises
//! results for the default one alone; SECURITY.md says what is known of the others, from here:
//! `cargo test --test environment -- --nocapture` prints it.
#![cfg(target_arch = "x86_64")]

use soft_bce::{Backend, Bce, Error, Real};
use std::arch::asm;
use std::hint::black_box;

const DEFAULT: u32 = 0x1f80;
const ENVIRONMENTS: [(&str, u32); 6] = [
    ("default", DEFAULT),
    ("results flushed (FTZ)", DEFAULT | 1 << 15),
    (
        "operands flushed too (FTZ, DAZ)",
        DEFAULT | 1 << 15 | 1 << 6,
    ),
    ("rounded down", DEFAULT | 1 << 13),
    ("rounded up", DEFAULT | 2 << 13),
    ("rounded to zero", DEFAULT | 3 << 13),
];

/// Runs the call with MXCSR as given, and puts back the default.
#[inline(never)]
fn under<R>(control: u32, call: impl FnOnce() -> R) -> R {
    // SAFETY: loads the control register from memory that lives through the statement; exceptions
    // stay masked. The compiler takes the default for granted: the call is kept between the two
    // statements, its inputs and outputs are opaque to it, and the default is restored.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &control) };
    let result = black_box(call());
    // SAFETY: as above.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &DEFAULT) };
    result
}

/// The exception flags that the call raises, in the default environment.
#[inline(never)]
fn raised<R>(call: impl FnOnce() -> R) -> u32 {
    under(DEFAULT, || {
        black_box(call());
        let mut control = 0_u32;
        // SAFETY: stores the control register to memory that lives through the statement.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut control) };
        control & 0x3f
    })
}

/// Losses, gradients, Hessians, and their sum.
#[derive(Clone)]
struct Results {
    elements: Vec<f64>,
    sum: f64,
}

fn compute<T: Real + Into<f64>>(backend: Backend, control: u32, z: &[T], t: &[T]) -> Results {
    let bce = Bce::new().backend(backend).unwrap();
    let mut outputs = [(); 3].map(|()| z.to_vec());
    let sum = under(control, || {
        let (z, t) = black_box((z, t));
        let [loss, gradient, hessian] = &mut outputs;
        bce.loss(z, t, loss).unwrap();
        bce.sum_gradient_hessian(z, t, gradient, hessian).unwrap()
    });
    let elements = outputs.concat().into_iter().map(Into::into).collect();
    Results { elements, sum }
}

/// Logits from -`reach` to `reach`, targets of every kind.
fn inputs(reach: f64) -> (Vec<f64>, Vec<f64>) {
    const COUNT: usize = 4001;
    let z = |i: usize| (i as f64 / (COUNT - 1) as f64 - 0.5) * 2.0 * reach;
    let t = |i: usize| [0.0, 1.0, 0.5, 0.3, 1e-40][i % 5];
    ((0..COUNT).map(z).collect(), (0..COUNT).map(t).collect())
}

/// The largest differences: absolute, and relative where the magnitude is at least `small`.
fn differences(a: &Results, b: &Results, small: f64) -> (usize, f64, f64) {
    let pairs = a.elements.iter().zip(&b.elements);
    let differing = pairs.clone().filter(|(a, b)| a.to_bits() != b.to_bits());
    let absolute = pairs.clone().map(|(a, b)| (a - b).abs());
    let relative = pairs
        .filter(|(a, _)| a.abs() >= small)
        .map(|(a, b)| (a - b).abs() / a.abs());
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    (
        differing.count(),
        largest(&mut { absolute }),
        largest(&mut { relative }),
    )
}

fn report(kind: &str, small: f64, of: impl Fn(Backend, u32) -> Results) {
    let mut wrong = Vec::new();
    for (name, control) in ENVIRONMENTS {
        let default = of(Backend::Scalar, DEFAULT);
        let scalar = of(Backend::Scalar, control);
        for backend in Backend::available() {
            let results = of(backend, control);
            let (count, absolute, relative) = differences(&default, &results, small);
            let (apart, ..) = differences(&scalar, &results, small);
            println!(
                "{kind}, {name}, {}: {count} of {} differ from the default, by {absolute:.1e} at most, \
                 relatively by {relative:.1e} from {small:.0e} on; {apart} differ from scalar; sum {:.1e} off",
                backend.name(),
                results.elements.len(),
                ((results.sum - default.sum) / default.sum).abs(),
            );
            // No NaN and no infinity appears, and nothing is far off.
            let finite = results.elements.iter().all(|value| value.is_finite());
            if !finite || !results.sum.is_finite() || relative >= 1e-4 {
                wrong.push((name, backend.name()));
            }
            if control == DEFAULT {
                assert_eq!((count, apart), (0, 0));
            }
        }
    }
    assert!(wrong.is_empty(), "not finite or far off: {wrong:?}");
    // Restored: the same as before.
    let [before, after] = [(); 2].map(|()| of(Backend::detect(), DEFAULT));
    assert_eq!(differences(&before, &after, small).0, 0);
}

#[test]
fn results_stay_finite_and_close_f32() {
    let (z, t) = inputs(110.0);
    let single = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
    let (z, t) = (single(&z), single(&t));
    report("f32", 1e-30, |backend, control| {
        compute(backend, control, &z, &t)
    });
}

#[test]
fn results_stay_finite_and_close_f64() {
    let (z, t) = inputs(750.0);
    report("f64", 1e-290, |backend, control| {
        compute(backend, control, &z, &t)
    });
}

#[test]
fn errors_are_reported_all_the_same() {
    let mut accepted = Vec::new();
    for (name, control) in ENVIRONMENTS {
        for backend in Backend::available() {
            let bce = Bce::new().backend(backend).unwrap();
            for bad in [
                f32::NAN,
                1.0 + f32::EPSILON,
                -1.0,
                -2e-38,
                f32::INFINITY,
                -1e-45,
            ] {
                let z = [0.5_f32; 600];
                let mut t = [0.25; 600];
                t[577] = bad;
                let result = under(control, || black_box(bce).sum(&z, black_box(&t)));
                match result {
                    Err(Error::TargetOutOfRange { index: 577, value }) => {
                        assert!(value == f64::from(bad) || bad.is_nan() || bad == -1e-45);
                    }
                    // Flushed, a negative subnormal is -0, which is a target.
                    Ok(_) if bad == -1e-45 => accepted.push((name, backend.name())),
                    other => panic!("{name}, {}, {bad:e}: {other:?}", backend.name()),
                }
            }
        }
    }
    println!("-1e-45 is taken for a target: {accepted:?}");
    let flushing = "operands flushed too (FTZ, DAZ)";
    assert!(accepted.iter().all(|(name, _)| *name == flushing));
    assert_eq!(accepted.len(), Backend::available().count());
}

/// Logits up to 640 whose e^-|z| lacks nothing, by an earlier table of the kernel, and, by the present one, less than
/// 2^-1016 (found by solving where |e^r - 1| is above 2^-14; none there lacks less than 2^-1022): nothing hides e's square.
const HARD: [f64; 12] = [
    357.959_653_997_137_37,
    434.873_015_552_888_03,
    458.468_021_521_474_67,
    635.833_630_829_874_2,
    639.053_383_220_022_4,
    639.203_967_883_391_1,
    639.264_250_561_106,
    639.686_698_491_385_3,
    639.692_917_791_121_7,
    639.806_748_524_373,
    639.897_697_756_399_8,
    639.913_770_692_901_6,
];

/// As `Bce` documents: an embedder may trap the others.
#[test]
fn ordinary_logits_raise_no_flag_but_inexact() {
    const INEXACT: u32 = 1 << 5;
    fn check<T: Real + From<f32>>(name: &str, reach: impl Fn(Backend) -> f64, of: fn(f64) -> T) {
        for backend in Backend::available() {
            for reach in [1.0_f64, 20.0, 100.0, 180.0, 360.0, 640.0].map(|r| r.min(reach(backend)))
            {
                let (mut z, mut t) = inputs(reach);
                // Far apart, so that rests and elements alone are among them.
                let hard = HARD.iter().filter(|z| **z <= reach);
                for (i, &hard) in hard.flat_map(|z| [z; 3]).enumerate() {
                    z[97 * i] = if i % 2 == 0 { hard } else { -hard };
                }
                t.iter_mut().filter(|t| **t == 1e-40).for_each(|t| *t = 0.9);
                let [z, t] = [z, t].map(|list| list.into_iter().map(of).collect::<Vec<T>>());
                let plain = Bce::new().backend(backend).unwrap();
                let weighted = plain
                    .weights(&t)
                    .pos_weight(3.0.into())
                    .label_smoothing(0.125.into());
                let mut outputs = [(); 3].map(|()| z.clone());
                let [loss, gradient, hessian] = &mut outputs;
                for bce in [plain, weighted] {
                    // Whole spans, a rest, and elements alone.
                    for length in [z.len(), 67, 1] {
                        for start in (0..=z.len() - length).step_by(97) {
                            let (z, t) = (&z[start..start + length], &t[start..start + length]);
                            let bce = if length == 4001 { bce } else { plain };
                            let all = [
                                raised(|| bce.loss(z, t, &mut loss[..length])),
                                raised(|| bce.gradient(z, t, &mut gradient[..length])),
                                raised(|| bce.sum(z, t)),
                                raised(|| {
                                    let outputs = (&mut gradient[..length], &mut hessian[..length]);
                                    bce.sum_gradient_hessian(z, t, outputs.0, outputs.1)
                                }),
                            ];
                            assert!(
                                all.iter().all(|flags| flags & !INEXACT == 0),
                                "{name}, {}, |z| <= {reach}, {length} at {start}: {all:x?}",
                                backend.name()
                            );
                        }
                    }
                }
            }
        }
    }
    check::<f32>("f32", |_| 86.0, |x| x as f32);
    let reach = |backend: Backend| {
        if backend.name().contains("wide") {
            200.0
        } else {
            640.0
        }
    };
    check::<f64>("f64", reach, |x| x);
    // Flags are seen: this test can fail.
    let halved = raised(|| black_box(f64::MIN_POSITIVE * 1.1) * black_box(0.3));
    assert_eq!(halved & 1 << 4, 1 << 4);
}

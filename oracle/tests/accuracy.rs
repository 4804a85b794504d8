//! soft-bce within `src/accuracy.md`, on 10 million elements per function, type and mode, of the
//! excess on 300,000, and with options on 50,000 for each of 24 sets of them; and on what 100,000 steps of climbing
//! towards large errors lead to.
//!
//! `SEED=n` repeats a run, `CASES=n` sets its length, `ROW=name` chooses where it climbs, `PLANT=fault` shows it red.

use rug::Float;
use soft_bce_oracle::budget::Mode;
use soft_bce_oracle::cases;
use soft_bce_oracle::check::{Job, judge};
use soft_bce_oracle::corpus::{Format, Random, numbers};
use soft_bce_oracle::mpfr::{Function, Input, Options};
use soft_bce_oracle::search;
use soft_bce_oracle::subject::{Element, Subject};
use std::hash::{BuildHasher, RandomState};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    })
}

fn any_seed() -> u64 {
    RandomState::new().hash_one(0)
}

fn check<F: Element>(function: Function, mode: Mode, options: Options, cases: u64) {
    let seed = number("SEED").unwrap_or_else(any_seed);
    let subject = Subject::new::<F>(function, mode, options).expect("a budget");
    let tally = subject
        .check::<F>(number("CASES").unwrap_or(cases), seed)
        .expect("valid inputs");
    println!(
        "SEED={seed} {} {} {}: {} elements, {} by MPFR, worst {:?}",
        function.name(),
        F::NAME,
        mode.name(),
        tally.elements,
        tally.decided_by_mpfr,
        tally.worst,
    );
    if let Err(message) = tally.verdict() {
        panic!(
            "SEED={seed} {} {} {}, {:?}: {message}",
            function.name(),
            F::NAME,
            mode.name(),
            subject.job
        );
    }
}

macro_rules! without_options {
    ($($test:ident: $format:ty, $mode:ident, $function:ident;)*) => {$(
        #[test]
        fn $test() {
            check::<$format>(Function::$function, Mode::$mode, Options::PLAIN, 10_000_000);
        }
    )*};
}

without_options! {
    f32_loss: f32, Default, Loss;
    f32_gradient: f32, Default, Gradient;
    f32_hessian: f32, Default, Hessian;
    f32_sigmoid: f32, Default, Sigmoid;
    f32_log_sigmoid: f32, Default, LogSigmoid;
    f32_softplus: f32, Default, Softplus;
    f32_logit: f32, Default, Logit;
    f64_loss: f64, Default, Loss;
    f64_gradient: f64, Default, Gradient;
    f64_hessian: f64, Default, Hessian;
    f64_sigmoid: f64, Default, Sigmoid;
    f64_log_sigmoid: f64, Default, LogSigmoid;
    f64_softplus: f64, Default, Softplus;
    f64_logit: f64, Default, Logit;
    exact_loss: f32, Exact, Loss;
    exact_gradient: f32, Exact, Gradient;
    exact_hessian: f32, Exact, Hessian;
    exact_sigmoid: f32, Exact, Sigmoid;
    exact_log_sigmoid: f32, Exact, LogSigmoid;
    exact_softplus: f32, Exact, Softplus;
}

const EXCESS: Options = Options {
    excess: true,
    ..Options::PLAIN
};

/// There is no fast reference: MPFR decides each.
#[test]
fn f32_excess() {
    check::<f32>(Function::Loss, Mode::Excess, EXCESS, 300_000);
}

#[test]
fn f64_excess() {
    check::<f64>(Function::Loss, Mode::Excess, EXCESS, 300_000);
}

/// log1p(e^-|z|), sigmoid(-|z|) and s (1 - s), in this order.
fn parts<F: Element>(z: &[F]) -> [Vec<F>; 3] {
    let zeros = vec![F::from_f64(0.0); z.len()];
    let [mut log, mut tail, mut gradient, mut hessian] = std::array::from_fn(|_| zeros.clone());
    soft_bce::softplus(z, &mut log).expect("equal lengths");
    soft_bce::sigmoid(z, &mut tail).expect("equal lengths");
    soft_bce::Bce::new()
        .gradient_hessian(z, &zeros, &mut gradient, &mut hessian)
        .expect("valid targets");
    [log, tail, hessian]
}

/// What ARCHITECTURE.md derives the budgets with options from: the relative errors of the parts, in
/// units of 2^-24, for every f32 in [-87, -2^-24].
#[test]
fn f32_parts() {
    let mut worst = [0.0_f64; 3];
    let (first, last) = (2.0_f32.powi(-24).to_bits(), 87.0_f32.to_bits());
    for start in (first..=last).step_by(1 << 16) {
        let z: Vec<f32> = (start..(start + (1 << 16)).min(last + 1))
            .map(|bits| -f32::from_bits(bits))
            .collect();
        let [log, tail, hessian] = parts(&z);
        // Fixed-point sums of Hessians count on it.
        assert!(hessian.iter().all(|&hessian| hessian <= 0.25));
        for i in 0..z.len() {
            // std's are good to 2^-52.
            let e = f64::from(z[i]).exp();
            let s = e / (1.0 + e);
            for (worst, (part, right)) in worst.iter_mut().zip([
                (log[i], e.ln_1p()),
                (tail[i], s),
                (hessian[i], s / (1.0 + e)),
            ]) {
                *worst = worst.max((f64::from(part) / right - 1.0).abs());
            }
        }
    }
    let worst = worst.map(|error| error * 2.0_f64.powi(24));
    println!("log1p, sigmoid, Hessian: {worst:?}");
    let [log, tail, hessian] = worst;
    assert!(log < 3.0 && tail < 2.7 && hessian < 3.1);
}

/// The same of f64, in units of 2^-53, on a sample.
#[test]
fn f64_parts() {
    let mut random = Random::new(number("SEED").unwrap_or_else(any_seed));
    let mut worst = [0.0_f64; 3];
    for range in [1.0, 3.0, 20.0, 700.0] {
        let z: Vec<f64> = (0..100_000).map(|_| -random.unit() * range).collect();
        let [log, tail, hessian] = parts(&z);
        for i in 0..z.len() {
            let e = Float::with_val(128, z[i]).exp();
            let s = Float::with_val(128, &e / Float::with_val(128, 1 + &e));
            let product = Float::with_val(128, &s / Float::with_val(128, 1 + &e));
            for (worst, (part, right)) in
                worst
                    .iter_mut()
                    .zip([(log[i], e.ln_1p()), (tail[i], s), (hessian[i], product)])
            {
                let error = Float::with_val(128, part) / right - 1u32;
                *worst = worst.max(error.to_f64().abs());
            }
        }
    }
    let worst = worst.map(|error| error * 2.0_f64.powi(53));
    println!("log1p, sigmoid, Hessian: {worst:?}");
    let [log, tail, hessian] = worst;
    assert!(log < 2.0 && tail < 1.7 && hessian < 2.1);
}

/// With weights and none, one or both of the options that change the formula: the usual, the least
/// and the greatest, and any.
fn with_options<F: Element>(function: Function) {
    let seed = number("SEED").unwrap_or_else(any_seed);
    let mut random = Random::new(seed);
    let number = |value: f64| F::from_f64(value).to_f64();
    let largest = F::from_f64(f64::INFINITY).step(-1).to_f64();
    let mut sets = vec![
        (1.0, 0.0),
        (3.0, 0.0),
        (1.0, 0.1),
        (2.5, 0.1),
        (1.0, 1.0),
        (0.1, 1e-3),
    ];
    sets.extend([
        (largest, 0.0),
        (F::from_bits(1).to_f64(), 0.0),
        (2.0_f64.powi(<F as Format>::MIN_EXPONENT), 0.5),
        (2.0, 1e-30),
        (1.0, F::from_bits(3).to_f64()),
        (0.5, 1.0 - 2.0_f64.powi(-<F as Format>::PRECISION)),
    ]);
    while sets.len() < 24 {
        let spread = [4.0, f64::from(<F as Format>::MAX_EXPONENT)][sets.len() % 2];
        let pos_weight = (2.0 * random.unit() - 1.0) * spread;
        let smoothing = [random.unit(), (-random.unit() * 30.0).exp2(), 0.0][sets.len() % 3];
        sets.push((pos_weight.exp2(), smoothing));
    }
    for (pos_weight, label_smoothing) in sets {
        let options = Options {
            pos_weight: number(pos_weight),
            label_smoothing: number(label_smoothing),
            excess: false,
        };
        check::<F>(function, Mode::Options, options, 50_000);
    }
}

#[test]
fn f32_loss_with_options() {
    with_options::<f32>(Function::Loss);
}

#[test]
fn f32_gradient_with_options() {
    with_options::<f32>(Function::Gradient);
}

#[test]
fn f32_hessian_with_options() {
    with_options::<f32>(Function::Hessian);
}

#[test]
fn f64_loss_with_options() {
    with_options::<f64>(Function::Loss);
}

#[test]
fn f64_gradient_with_options() {
    with_options::<f64>(Function::Gradient);
}

#[test]
fn f64_hessian_with_options() {
    with_options::<f64>(Function::Hessian);
}

/// z, t, weight, pos_weight, label_smoothing.
type Climber = [f64; 5];

fn beside<F: Element>(mode: Mode, from: &Climber, random: &mut Random) -> Climber {
    let count = match mode {
        Mode::Options => 5,
        _ => 2,
    };
    let mut next = *from;
    let which = random.below(count) as usize;
    let moved = search::beside::<F>(from[which], random);
    next[which] = match which {
        0 => moved,
        1 | 4 => numbers::clamp_target(F::from_f64(moved)).to_f64(),
        _ => moved.abs(),
    };
    // A weight of nothing is a case of its own.
    let allowed =
        next[0].is_finite() && next[2].is_finite() && next[3] > 0.0 && next[3].is_finite();
    if allowed { next } else { *from }
}

fn anywhere<F: Element>(mode: Mode, random: &mut Random) -> Climber {
    let (z, t) = cases::random_pair::<F>(random);
    if mode != Mode::Options {
        return [z.to_f64(), t.to_f64(), 1.0, 1.0, 0.0];
    }
    let spread = [4.0, f64::from(<F as Format>::MAX_EXPONENT)][random.below(2) as usize];
    let pos_weight = ((2.0 * random.unit() - 1.0) * spread).exp2();
    let smoothing = [random.unit(), (-random.unit() * 30.0).exp2(), 0.0][random.below(3) as usize];
    let weight = numbers::random_weight::<F>(random);
    [
        z,
        t,
        weight,
        F::from_f64(pos_weight),
        F::from_f64(smoothing),
    ]
    .map(F::to_f64)
}

/// Infinite where the requirement is missed.
fn error<F: Element>(subject: Subject, climber: &Climber) -> f64 {
    let &[z, t, weight, pos_weight, label_smoothing] = climber;
    let options = Options {
        pos_weight,
        label_smoothing,
        ..subject.job.options
    };
    let subject = Subject {
        job: Job {
            options,
            ..subject.job
        },
        ..subject
    };
    // logit takes its probabilities from the targets.
    let z = if subject.job.function == Function::Logit {
        t
    } else {
        z
    };
    let number = F::from_f64;
    let mut out = [number(7.0)];
    let weights = [number(weight)];
    let weights = if subject.mode == Mode::Options {
        &weights[..]
    } else {
        &[]
    };
    subject
        .call(&[number(z)], &[number(t)], weights, &mut out)
        .expect("valid inputs");
    let (ulp, right) = judge(subject.job, Input { z, t, weight }, out[0]);
    if right { ulp } else { f64::INFINITY }
}

fn climb<F: Element>() {
    let seed = number("SEED").unwrap_or_else(any_seed);
    let mut random = Random::new(seed);
    let mut failed = Vec::new();
    let options = [Function::Loss, Function::Gradient, Function::Hessian]
        .map(|function| (Mode::Options, function));
    let rows = Function::ALL
        .map(|function| (Mode::Default, function))
        .into_iter()
        .chain(options)
        .chain([(Mode::Excess, Function::Loss)]);
    let wanted = std::env::var("ROW").unwrap_or_default();
    for (mode, function) in rows {
        let name = format!("{} {} {}", function.name(), F::NAME, mode.name());
        if !name.contains(&wanted) {
            continue;
        }
        let options = if mode == Mode::Excess {
            EXCESS
        } else {
            Options::PLAIN
        };
        let subject = Subject::new::<F>(function, mode, options).expect("a budget");
        let worst = search::climb(
            &mut random,
            number("CASES").unwrap_or(100_000),
            |random| anywhere::<F>(mode, random),
            |climber, random| beside::<F>(mode, climber, random),
            |climber| error::<F>(subject, climber),
        );
        println!("SEED={seed} climbing {name}: {worst:?}");
        failed.extend(
            worst
                .filter(|(ulp, _)| !ulp.is_finite())
                .map(|(_, climber)| (name, climber)),
        );
    }
    assert!(failed.is_empty(), "SEED={seed} {failed:#?}");
}

/// What long climbs found, next to the budgets.
#[test]
fn the_largest_known_errors() {
    use Function::{Gradient, Hessian, Loss};
    let found: [(Mode, Function, Climber); 10] = [
        (
            Mode::Default,
            Loss,
            [-13.366008, 2.542399e-8, 1.0, 1.0, 0.0],
        ),
        (
            Mode::Default,
            Gradient,
            [-7.8106265, 1.45519152e-11, 1.0, 1.0, 0.0],
        ),
        (
            Mode::Default,
            Gradient,
            [-4.849659442901611, 0.0007842269260436296, 1.0, 1.0, 0.0],
        ),
        (
            Mode::Options,
            Loss,
            [0.22189656, 6.6905004e-6, 1.694038, 117804.21, 0.0043240525],
        ),
        (
            Mode::Options,
            Loss,
            [-0.20612517, 1.6210728e-7, 9.797432e-5, 212303.23, 0.0],
        ),
        (
            Mode::Options,
            Gradient,
            [-10.386183, 0.18012421, 16204.26, 3.0815794e-5, 0.9999904],
        ),
        (
            Mode::Options,
            Gradient,
            [-11.086398, 0.0057692677, 522209.47, 1.5318394e-5, 0.9999845],
        ),
        (
            Mode::Options,
            Hessian,
            [12.471663, 1.3544418e-5, 518495.25, 32737.516, 0.06285842],
        ),
        (
            Mode::Options,
            Hessian,
            [-12.471663, 6.690513e-6, 16263.979, 117812.67, 0.00432595],
        ),
        (
            Mode::Options,
            Hessian,
            [6.9052205, 1.6347697e-7, 0.11786348, 214971.92, 0.0],
        ),
    ];
    for (mode, function, climber) in found {
        let subject = Subject::new::<f32>(function, mode, Options::PLAIN).expect("a budget");
        let climber = climber.map(|number| f64::from(number as f32));
        let ulp = error::<f32>(subject, &climber);
        println!("{} {}: {ulp}", function.name(), mode.name());
        assert!(
            ulp.is_finite(),
            "{} {}: {climber:?}",
            function.name(),
            mode.name()
        );
    }
}

#[test]
fn f32_climbing() {
    climb::<f32>();
}

#[test]
fn f64_climbing() {
    climb::<f64>();
}

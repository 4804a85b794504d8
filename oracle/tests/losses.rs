//! Temperature, targets as logits, other losses and probabilities within `src/accuracy.md`.
//!
//! Half of the inputs are random, the others what climbing towards large errors leads to.
//!
//! `SEED=n` repeats a run, `CASES=n` sets its length, `ROW=name` chooses, `PLANT=fault` shows it red.

use soft_bce_oracle::budget;
use soft_bce_oracle::check::Requirement;
use soft_bce_oracle::corpus::{Format, Random, numbers};
use soft_bce_oracle::fault::Fault;
use soft_bce_oracle::losses::{Input, Row, error, rows};
use soft_bce_oracle::search;
use soft_bce_oracle::subject::Element;
use std::hash::{BuildHasher, RandomState};

fn number(name: &str) -> Option<u64> {
    let parse = |text: String| {
        text.parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    std::env::var(name).ok().map(parse)
}

/// Modes, parameters, z and t of what was, in `f64`, more than is promised or nearly so, before q, s - t and s (1 - s) bore what
/// their roundings leave: 2.5 to 13.7 ULP.
const FOUND: [(&str, f64, f64, f64); 13] = [
    (
        "temperature",
        0.502_466_504_814_240_7,
        -356.188_672_050_997_3,
        0.0,
    ),
    (
        "temperature",
        0.718_410_907_864_571_2,
        509.240_065_852_380_5,
        0.0,
    ),
    (
        "temperature",
        16.590_357_514_818_482,
        -11_142.550_306_102_037,
        6.675221575521604e-308,
    ),
    (
        "logit_targets",
        0.310_212_731_722_671_1,
        317.126_070_938_318_6,
        219.885_901_880_305_17,
    ),
    (
        "logit_targets",
        43_128_819.414_006,
        -3.377_161_107_246_617,
        2.614_312_630_854_142_2,
    ),
    (
        "squared_error",
        0.267_854_733_177_725_73,
        -189.915_422_317_707,
        1.0,
    ),
    (
        "squared_error",
        0.713_979_852_658_153_4,
        506.275_119_903_043_7,
        0.117_591_460_125_395_79,
    ),
    (
        "squared_error",
        0.526_628_247_768_891_9,
        -373.450_559_482_959_6,
        0.999_999_999_996_880_4,
    ),
    // e^-|z/T| next to normal numbers, rounded to 53 bits and then to 52.
    (
        "squared_error",
        0.530_494_759_979_923_1,
        376.142_022_905_906_1,
        7.204_403_740_246_334_6e-12,
    ),
    (
        "logit_excess",
        1.7,
        8.645_774_060_950_961,
        6.790_209_897_767_817,
    ),
    (
        "logit_excess",
        1.0,
        -10.385_746_586_782_862,
        -9.637_132_560_790_613,
    ),
    (
        "probability",
        1.0,
        0.941_628_640_247_603_4,
        0.999_985_768_819_005_8,
    ),
    (
        "probability",
        1.0,
        0.266_626_543_787_441_16,
        0.074_495_620_156_681_97,
    ),
];

/// A logit such that quotients beyond the range are infinite logits.
fn within<F: Element>(x: F) -> F {
    if x.to_f64().abs() < 2.0_f64.powi(<F as Format>::MAX_EXPONENT - 3) {
        x
    } else {
        F::from_f64(3.0)
    }
}

/// z, and t of one of the kinds that the row takes; at times z/`parameter` is where e^-|z/T| becomes subnormal, at
/// times where its square does, and at times a logit such as others are.
fn element<F: Element>(row: &Row<F>, parameter: f64, random: &mut Random) -> (F, F) {
    let sign = [1.0, -1.0][random.below(2) as usize];
    let (from, to) = numbers::tail_range::<F>();
    let z = match random.below(8) {
        0 => F::from_f64(sign * parameter * (from + (to - from) * random.unit())),
        1 => F::from_f64(sign * parameter * (from + (to - from) * random.unit()) / 2.0),
        2 => F::from_f64(parameter * numbers::random_logit::<F>(random).to_f64()),
        _ => numbers::random_logit(random),
    };
    let z = within(z);
    if row.mode == "probability" {
        let p = numbers::random_target(z, random);
        let y = if random.below(4) == 0 {
            p
        } else {
            numbers::random_target(z, random)
        };
        let y = numbers::clamp_target(numbers::near(y, random.below(5) as i64 - 2));
        return (p, y);
    }
    if !row.teacher {
        let quotient = F::from_f64(z.to_f64() / parameter);
        let of = if row.mode == "focal" { z } else { quotient };
        return (z, numbers::random_target(of, random));
    }
    let u = match random.below(4) {
        0 => within(numbers::random_logit(random)),
        1 => within(numbers::near(z, random.below(9) as i64 - 4)),
        2 => F::from_f64(
            z.to_f64() + (2.0 * random.unit() - 1.0) * [1.0, 8.0][random.below(2) as usize],
        ),
        _ => {
            F::from_f64(z.to_f64() * (1.0 + (random.unit() - 0.5) * (-20.0 * random.unit()).exp2()))
        }
    };
    (z, u)
}

/// A temperature or an exponent.
fn parameter<F: Element>(row: &Row<F>, random: &mut Random) -> f64 {
    let value = match random.below(4) {
        0 => row.parameters[random.below(row.parameters.len() as u64) as usize],
        1 | 2 => 0.1 + 1.9 * random.unit(),
        _ if row.mode == "focal" => 20.0 * random.unit(),
        _ => {
            let exponent = f64::from(<F as Format>::MAX_EXPONENT) * (random.unit() - 0.5);
            (exponent * [0.1, 1.5][random.below(2) as usize]).exp2()
        }
    };
    F::from_f64(value).to_f64()
}

/// An input that the row takes, or nothing: below 2^-960 what a quotient leaves is subnormal.
fn allowed<F: Element>(row: &Row<F>, input: Input) -> Option<Input> {
    let Input { x, t, parameter } = input;
    if row.mode == "probability" || row.mode == "focal" {
        return Some(input);
    }
    let divisible = |x: f64| {
        F::PRECISION == 24 || parameter == 1.0 || x == 0.0 || x.abs() >= 2.0_f64.powi(-960)
    };
    // Beyond that the logit is infinite.
    let finite = (x / parameter).is_finite() && (!row.teacher || (t / parameter).is_finite());
    let taken = divisible(x) && divisible(parameter) && (!row.teacher || divisible(t));
    (finite && taken).then_some(input)
}

fn anywhere<F: Element>(row: &Row<F>, random: &mut Random) -> Input {
    loop {
        let parameter = parameter(row, random);
        let (x, t) = element::<F>(row, parameter, random);
        let (x, t) = (x.to_f64(), t.to_f64());
        if let Some(input) = allowed(row, Input { x, t, parameter }) {
            return input;
        }
    }
}

/// Another input, one or two numbers of which are others.
fn beside<F: Element>(row: &Row<F>, input: &Input, random: &mut Random) -> Input {
    let mut next = *input;
    let factor = (random.unit() * [1e-3, 1.0][random.below(2) as usize]).exp2();
    let times = |x: f64| within(F::from_f64(x * factor)).to_f64();
    match random.below(6) {
        0 | 1 => next.x = within(F::from_f64(search::beside::<F>(input.x, random))).to_f64(),
        2 => next.t = search::beside::<F>(input.t, random),
        3 => next.parameter = search::beside::<F>(input.parameter, random),
        4 => (next.x, next.t) = (times(input.x), times(input.t)),
        _ => (next.x, next.parameter) = (times(input.x), times(input.parameter)),
    }
    let target = |t: f64| numbers::clamp_target(F::from_f64(t)).to_f64();
    if row.mode == "probability" {
        next.x = target(next.x);
        next.parameter = 1.0;
    }
    if row.teacher {
        next.t = within(F::from_f64(next.t)).to_f64();
    } else {
        next.t = target(next.t);
    }
    if !next.parameter.is_normal() || next.parameter < 0.0 {
        next.parameter = input.parameter;
    }
    allowed(row, next).unwrap_or(*input)
}

fn check<F: Element>() {
    let seed = number("SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let count = number("CASES").unwrap_or(20_000);
    let wanted = std::env::var("ROW").unwrap_or_default();
    let mut random = Random::new(seed);
    let mut failed = Vec::new();
    for row in rows::<F>() {
        let name = format!("{} {} {:?}", F::NAME, row.mode, row.function);
        if !name.contains(&wanted) {
            continue;
        }
        let requirement =
            budget::named_requirement(row.function, F::NAME, row.mode).expect("a budget");
        let Requirement::Within(budget) = requirement else {
            panic!("a number of ULP")
        };
        // Of elements that share a parameter.
        let errors = |parameter: f64, elements: &[(F, F)]| -> Vec<(f64, Input)> {
            let (z, t): (Vec<F>, Vec<F>) = elements.iter().copied().unzip();
            let mut out = vec![F::from_f64(7.0); z.len()];
            let call = row.compute;
            call(row.function, F::from_f64(parameter), &z, &t, &mut out).expect("valid inputs");
            if let Some(fault) = Fault::from_environment() {
                fault.plant(requirement, &mut out);
            }
            let of = |((z, t), out): ((&F, &F), &F)| {
                let input = Input {
                    x: z.to_f64(),
                    t: t.to_f64(),
                    parameter,
                };
                (error(*out, &(row.truth)(row.function, input)), input)
            };
            z.iter().zip(&t).zip(&out).map(of).collect()
        };
        let mut worst = (0.0, None);
        let mut judge = |found: (f64, Input)| {
            // Written so that NaN stays.
            if found.0.is_nan() || found.0 > worst.0 {
                worst = (found.0, Some(found.1));
            }
        };
        for &parameter in row.parameters {
            let parameter = F::from_f64(parameter).to_f64();
            let half = count / 2 / row.parameters.len() as u64;
            let elements: Vec<(F, F)> = (0..half)
                .map(|_| element(&row, parameter, &mut random))
                .collect();
            errors(parameter, &elements)
                .into_iter()
                .for_each(&mut judge);
        }
        for &(_, parameter, z, t) in FOUND.iter().filter(|found| found.0 == row.mode) {
            let parameter = F::from_f64(parameter).to_f64();
            let element = (F::from_f64(z), F::from_f64(t));
            errors(parameter, &[element])
                .into_iter()
                .for_each(&mut judge);
        }
        let climbed = search::climb(
            &mut random,
            count / 2,
            |random| anywhere(&row, random),
            |input, random| beside(&row, input, random),
            |input| {
                let element = (F::from_f64(input.x), F::from_f64(input.t));
                errors(input.parameter, &[element])[0].0
            },
        );
        climbed.into_iter().for_each(&mut judge);
        let (ulp, what) = worst;
        println!("SEED={seed} {name}: {ulp:.4} of {budget}, {what:?}");
        // Written so that NaN fails.
        if ulp.is_nan() || ulp > budget {
            failed.push(format!("{name}: {ulp} of {budget} ULP, {what:?}"));
        }
    }
    assert!(failed.is_empty(), "SEED={seed} {failed:#?}");
}

#[test]
fn f32_losses() {
    check::<f32>();
}

#[test]
fn f64_losses() {
    check::<f64>();
}

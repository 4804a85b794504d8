//! Temperature, targets as logits, other losses and probabilities within `src/accuracy.md`.
//!
//! `SEED=n` repeats a run, `CASES=n` sets its length, `PLANT=fault` shows it red.

use soft_bce_oracle::budget;
use soft_bce_oracle::check::Requirement;
use soft_bce_oracle::corpus::{Format, Random, numbers};
use soft_bce_oracle::fault::Fault;
use soft_bce_oracle::losses::{Input, Row, error, rows};
use soft_bce_oracle::subject::Element;
use std::hash::{BuildHasher, RandomState};

fn number(name: &str) -> Option<u64> {
    let parse = |text: String| {
        text.parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    std::env::var(name).ok().map(parse)
}

/// Modes, parameters, z and t of the largest errors that searches have found in `f64`.
const FOUND: [(&str, f64, f64, f64); 6] = [
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
];

/// z, and t of one of the kinds that the row takes; at times z/`parameter` is where e^-|z/T| becomes subnormal.
fn element<F: Element>(row: &Row<F>, parameter: f64, random: &mut Random) -> (F, F) {
    let within = |x: F| {
        if x.to_f64().abs() < 2.0_f64.powi(<F as Format>::MAX_EXPONENT - 3) {
            x
        } else {
            F::from_f64(3.0)
        }
    };
    // Quotients beyond the range are infinite logits.
    let z = if random.below(8) == 0 {
        let (from, to) = numbers::tail_range::<F>();
        let sign = [1.0, -1.0][random.below(2) as usize];
        within(F::from_f64(
            sign * parameter * (from + (to - from) * random.unit()),
        ))
    } else {
        within(numbers::random_logit(random))
    };
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
        return (z, numbers::random_target(z, random));
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

fn check<F: Element>() {
    let seed = number("SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let count = number("CASES").unwrap_or(if F::PRECISION == 24 { 12_000 } else { 6_000 }) as usize;
    let mut random = Random::new(seed);
    let mut failed = Vec::new();
    for row in rows::<F>() {
        let requirement =
            budget::named_requirement(row.function, F::NAME, row.mode).expect("a budget");
        let Requirement::Within(budget) = requirement else {
            panic!("a number of ULP")
        };
        let (mut worst, mut what) = (0.0, String::new());
        let anywhere = 0.1 + 1.9 * random.unit();
        let found = FOUND.iter().filter(|found| found.0 == row.mode);
        let runs = row
            .parameters
            .iter()
            .chain(std::iter::once(&anywhere))
            .map(|&parameter| (parameter, None))
            .chain(found.map(|&(_, parameter, z, t)| (parameter, Some((z, t)))));
        for (parameter, found) in runs {
            let parameter = F::from_f64(parameter).to_f64();
            let (z, t): (Vec<F>, Vec<F>) = match found {
                Some((z, t)) => (vec![F::from_f64(z)], vec![F::from_f64(t)]),
                None => (0..count / (row.parameters.len() + 1))
                    .map(|_| element(&row, parameter, &mut random))
                    .unzip(),
            };
            let mut out = vec![F::from_f64(7.0); z.len()];
            let call = row.compute;
            call(row.function, F::from_f64(parameter), &z, &t, &mut out).expect("valid inputs");
            if let Some(fault) = Fault::from_environment() {
                fault.plant(requirement, &mut out);
            }
            for ((z, t), out) in z.iter().zip(&t).zip(&out) {
                let input = Input {
                    x: z.to_f64(),
                    t: t.to_f64(),
                    parameter,
                };
                let truth = (row.truth)(row.function, input);
                let ulp = error(*out, &truth);
                if ulp > worst || ulp.is_nan() {
                    worst = ulp;
                    what = format!("{input:?}: {out:?} instead of {:.20}", truth.value);
                }
            }
        }
        println!(
            "SEED={seed} {} {} {:?}: {worst:.4} of {budget}, {what}",
            F::NAME,
            row.mode,
            row.function
        );
        // Written so that NaN fails.
        if worst.is_nan() || worst > budget {
            failed.push(format!(
                "{} {} {:?}: {worst} of {budget} ULP, {what}",
                F::NAME,
                row.mode,
                row.function
            ));
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

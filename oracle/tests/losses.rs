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

/// z, and t of one of the kinds that the row takes.
fn element<F: Element>(row: &Row<F>, random: &mut Random) -> (F, F) {
    let within = |x: F| {
        if x.to_f64().abs() < 2.0_f64.powi(<F as Format>::MAX_EXPONENT - 3) {
            x
        } else {
            F::from_f64(3.0)
        }
    };
    // Quotients beyond the range are infinite logits.
    let z = within(numbers::random_logit(random));
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
        for &parameter in row.parameters {
            let parameter = F::from_f64(parameter).to_f64();
            let (z, t): (Vec<F>, Vec<F>) = (0..count / row.parameters.len())
                .map(|_| element(&row, &mut random))
                .unzip();
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

//! Temperature, targets as logits, other losses and probabilities within `src/accuracy.md`, against their
//! formulas as they stand, at a precision at which nothing that cancels matters.
//!
//! `SEED=n` repeats a run, `CASES=n` sets its length, `PLANT=fault` shows it red.

use rug::Float;
use soft_bce::{Bce, Focal, SquaredError, probability};
use soft_bce_oracle::budget;
use soft_bce_oracle::check::Requirement;
use soft_bce_oracle::corpus::{Format, Random, numbers};
use soft_bce_oracle::fault::Fault;
use soft_bce_oracle::mpfr::{Function, ulp_exponent};
use soft_bce_oracle::subject::Element;
use std::hash::{BuildHasher, RandomState};

/// Enough for z - u = 2^-1074, and its square, beside numbers near 1.
const PRECISION: u32 = 2560;
const OF_F32: u32 = 640;

fn number(name: &str) -> Option<u64> {
    let parse = |text: String| {
        text.parse()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    std::env::var(name).ok().map(parse)
}

/// A logit or probability, a target or teacher's logit, and the temperature or exponent.
#[derive(Clone, Copy, Debug)]
struct Input {
    x: f64,
    t: f64,
    parameter: f64,
}

/// A true value, and the number whose ULP measures the error.
struct Truth {
    value: Float,
    scale: Float,
}

/// What is computed of each element.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Result {
    Loss,
    Gradient,
    Hessian,
}

/// sigmoid(x), sigmoid(-x), softplus(x), softplus(-x).
fn logistic(x: &Float) -> [Float; 4] {
    let of = |x: &Float| -> [Float; 2] {
        let e = Float::with_val(x.prec(), -x.clone().abs()).exp();
        let small = Float::with_val(x.prec(), &e / (Float::with_val(x.prec(), 1) + &e));
        let log = e.clone().ln_1p();
        if *x < 0 {
            [small, log]
        } else {
            let large = Float::with_val(x.prec(), 1) / (e + 1u32);
            [large, log + x]
        }
    };
    let [s, plus] = of(x);
    let [complement, minus] = of(&Float::with_val(x.prec(), -x));
    [s, complement, plus, minus]
}

fn logit<F: Element>(input: f64, temperature: f64) -> Float {
    let precision = if F::PRECISION == 24 {
        OF_F32
    } else {
        PRECISION
    };
    Float::with_val(precision, input) / temperature
}

/// e^-|z/T| counts as the smallest normal number at least, and is divided by T.
fn at_least_normal<F: Element>(value: &Float, divisor: f64) -> Float {
    let least = 2.0_f64.powi(<F as Format>::MIN_EXPONENT) / divisor;
    value.clone().abs().max(&Float::with_val(64, least))
}

fn temperature<F: Element>(result: Result, input: Input) -> Truth {
    let Input { x, t, parameter } = input;
    let z = logit::<F>(x, parameter);
    let [s, complement, plus, minus] = logistic(&z);
    let of_t = Float::with_val(z.prec(), t);
    match result {
        Result::Loss => {
            let rest = Float::with_val(z.prec(), 1 - &of_t);
            let value = minus * of_t + plus * rest;
            let scale = at_least_normal::<F>(&value, 1.0);
            Truth { value, scale }
        }
        Result::Gradient => {
            let value = if t == 1.0 {
                -complement.clone()
            } else {
                s.clone() - &of_t
            };
            let scale = if t == 0.0 {
                s
            } else if t == 1.0 {
                complement
            } else {
                s.max(&of_t)
            };
            let scale = at_least_normal::<F>(&(scale / parameter), parameter.min(1.0));
            Truth {
                value: value / parameter,
                scale,
            }
        }
        Result::Hessian => {
            let value = s * complement / parameter / parameter;
            let scale = at_least_normal::<F>(&value, (parameter * parameter).min(1.0));
            Truth { value, scale }
        }
    }
}

/// The shares of the target count as the smallest normal number at least.
fn with_shares<F: Element>(value: &Float, z: &Float) -> Float {
    let least = Float::with_val(64, 2.0_f64.powi(<F as Format>::MIN_EXPONENT));
    let of_shares = least.clone() * z.clone().abs() + least;
    of_shares.max(&value.clone().abs())
}

fn logit_targets<F: Element>(result: Result, input: Input) -> Truth {
    let Input { x, t, parameter } = input;
    let z = logit::<F>(x, parameter);
    let u = logit::<F>(t, parameter);
    let [s, complement, plus, minus] = logistic(&z);
    let [r, r_complement, ..] = logistic(&u);
    match result {
        Result::Loss => {
            let value = minus * r + plus * r_complement;
            let scale = with_shares::<F>(&value, &z);
            Truth { value, scale }
        }
        Result::Gradient => {
            let value = (if x < 0.0 {
                s - r
            } else {
                r_complement - complement
            }) / parameter;
            let scale = at_least_normal::<F>(&value, parameter.min(1.0));
            Truth { value, scale }
        }
        Result::Hessian => temperature::<F>(result, input),
    }
}

fn logit_excess<F: Element>(_: Result, input: Input) -> Truth {
    let Input { x, t, parameter } = input;
    let z = logit::<F>(x, parameter);
    let u = logit::<F>(t, parameter);
    let [_, _, plus, minus] = logistic(&z);
    let [r, r_complement, of_plus, of_minus] = logistic(&u);
    let value = r * (minus - of_minus) + r_complement * (plus - of_plus);
    let scale = with_shares::<F>(&value, &z);
    Truth { value, scale }
}

fn squared_error<F: Element>(result: Result, input: Input) -> Truth {
    let Input { x, t, parameter } = input;
    let z = logit::<F>(x, parameter);
    let [s, complement, ..] = logistic(&z);
    let of_t = Float::with_val(z.prec(), t);
    let g = if t == 1.0 {
        -complement.clone()
    } else {
        s.clone() - &of_t
    };
    // What the error of s - t is measured by.
    let of_g = if t == 0.0 || t == 1.0 {
        g.clone().abs()
    } else {
        s.clone().max(&of_t)
    };
    let h = Float::with_val(z.prec(), &s * &complement);
    let (value, scale, divisor) = match result {
        Result::Loss => {
            // Where s and t agree, the square of s - t's error is left.
            let least = of_g.clone() * 2.0_f64.powi(-52);
            (g.clone() * &g, (g.clone().abs() + least) * &of_g, 1.0)
        }
        Result::Gradient => (2 * g.clone() * &h, 2 * of_g * &h, parameter),
        Result::Hessian => {
            let slope = complement - s;
            let value = 2 * h.clone() * (h.clone() + g * &slope);
            let scale = 2 * h.clone() * (h.clone() + of_g * slope.abs());
            (value, scale, parameter * parameter)
        }
    };
    let scale = at_least_normal::<F>(&(scale / divisor), divisor.min(1.0));
    Truth {
        value: value / divisor,
        scale,
    }
}

fn focal<F: Element>(result: Result, input: Input) -> Truth {
    let Input { x, t, parameter } = input;
    let z = logit::<F>(x, 1.0);
    let [s, complement, plus, minus] = logistic(&z);
    let of_t = Float::with_val(z.prec(), t);
    let g = if t == 1.0 {
        -complement.clone()
    } else {
        s.clone() - &of_t
    };
    let hard = t == 0.0 || t == 1.0;
    let of_g = if hard {
        g.clone().abs()
    } else {
        s.clone().max(&of_t)
    };
    let h = s * complement;
    let rest = Float::with_val(z.prec(), 1 - &of_t);
    let loss = minus * of_t + plus * rest;
    if g.is_zero() {
        return Truth {
            scale: at_least_normal::<F>(&g, 1.0),
            value: g,
        };
    }
    let beta = Float::with_val(z.prec(), parameter);
    let power = (g.clone().abs().ln() * &beta).exp();
    // The relative error of s - t counts beta times, and of the quotient by it once more.
    let relative = Float::with_val(z.prec(), &of_g / g.clone().abs()) * (1.0 + parameter);
    // What is below all of that is decided by the last place of t.
    let undecided = relative > 2.0_f64.powi(<F as Format>::PRECISION - 4);
    let factor = match result {
        Result::Loss => loss,
        _ => h * loss * &beta / &g + &g,
    };
    // The power counts as the smallest normal number at least.
    let value = Float::with_val(z.prec(), &power * &factor);
    let scale = at_least_normal::<F>(&power, 1.0) * factor.abs() * relative;
    let scale = at_least_normal::<F>(&scale, 1.0);
    if undecided {
        return Truth {
            scale: Float::with_val(64, f64::INFINITY),
            value,
        };
    }
    Truth { value, scale }
}

fn probabilities<F: Element>(result: Result, input: Input) -> Truth {
    let Input { x, t, .. } = input;
    let p = logit::<F>(x, 1.0);
    let y = Float::with_val(p.prec(), t);
    let (rest, of_y) = (
        Float::with_val(p.prec(), 1 - &p),
        Float::with_val(p.prec(), 1 - &y),
    );
    let zero_or = |factor: &Float, log: Float| {
        if factor.is_zero() {
            Float::new(factor.prec())
        } else {
            -log * factor
        }
    };
    let value = match result {
        Result::Loss => zero_or(&y, p.clone().ln()) + zero_or(&of_y, rest.ln()),
        _ if y.is_zero() => 1 / rest,
        _ if of_y.is_zero() => -1 / p,
        _ => (p.clone() - y) / p / rest,
    };
    let scale = at_least_normal::<F>(&value, 1.0);
    Truth { value, scale }
}

type Formula = fn(Result, Input) -> Truth;

/// One row of the table.
struct Row<F> {
    mode: &'static str,
    result: Result,
    parameters: &'static [f64],
    /// Whether t is a logit too.
    teacher: bool,
    truth: Formula,
    compute: fn(Result, f64, &[F], &[F], &mut [F]),
}

fn run<F: Element>(result: Result, bce: &Bce<'_, F>, z: &[F], t: &[F], out: &mut [F]) {
    let mut other = z.to_vec();
    match result {
        Result::Loss => bce.loss(z, t, out),
        Result::Gradient => bce.gradient(z, t, out),
        Result::Hessian => bce.gradient_hessian(z, t, &mut other, out),
    }
    .expect("valid inputs");
}

const TEMPERATURES: &[f64] = &[1.7, 0.3, 1.0, 20.0, 0.5];

fn rows<F: Element>() -> Vec<Row<F>> {
    let mut rows = Vec::new();
    let mut add = |mode, results: &[Result], parameters, truth, compute| {
        for &result in results {
            let teacher = mode == "logit_targets" || mode == "logit_excess";
            rows.push(Row {
                mode,
                result,
                parameters,
                teacher,
                truth,
                compute,
            });
        }
    };
    let all = [Result::Loss, Result::Gradient, Result::Hessian];
    add(
        "temperature",
        &all,
        TEMPERATURES,
        temperature::<F> as Formula,
        |result, parameter, z, t, out| {
            run(
                result,
                &Bce::new().temperature(F::from_f64(parameter)),
                z,
                t,
                out,
            );
        },
    );
    add(
        "logit_targets",
        &all,
        TEMPERATURES,
        logit_targets::<F>,
        |result, parameter, z, t, out| {
            let bce = Bce::new()
                .temperature(F::from_f64(parameter))
                .logit_targets();
            run(result, &bce, z, t, out);
        },
    );
    add(
        "logit_excess",
        &all[..1],
        TEMPERATURES,
        logit_excess::<F>,
        |result, parameter, z, t, out| {
            let bce = Bce::new()
                .temperature(F::from_f64(parameter))
                .logit_targets();
            run(result, &bce.excess(), z, t, out);
        },
    );
    add(
        "squared_error",
        &all,
        TEMPERATURES,
        squared_error::<F>,
        |result, parameter, z, t, out| {
            run(
                result,
                &SquaredError::new().temperature(F::from_f64(parameter)),
                z,
                t,
                out,
            );
        },
    );
    add(
        "focal",
        &all[..2],
        &[2.0, 0.5, 1.0, 5.0],
        focal::<F>,
        |result, parameter, z, t, out| {
            run(result, &Focal::new(F::from_f64(parameter)), z, t, out);
        },
    );
    add(
        "probability",
        &all[..2],
        &[1.0],
        probabilities::<F>,
        |result, _, p, y, out| {
            match result {
                Result::Loss => probability::loss(y, p, out),
                _ => probability::gradient(y, p, out),
            }
            .expect("valid inputs");
        },
    );
    rows
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
        let function = match row.result {
            Result::Loss => Function::Loss,
            Result::Gradient => Function::Gradient,
            Result::Hessian => Function::Hessian,
        };
        let requirement = budget::named_requirement(function, F::NAME, row.mode).expect("a budget");
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
            (row.compute)(row.result, parameter, &z, &t, &mut out);
            if let Some(fault) = Fault::from_environment() {
                fault.plant(requirement, &mut out);
            }
            for ((z, t), out) in z.iter().zip(&t).zip(&out) {
                let input = Input {
                    x: z.to_f64(),
                    t: t.to_f64(),
                    parameter,
                };
                let Truth { value, scale } = (row.truth)(row.result, input);
                let ulp = if scale.is_infinite() && !out.to_f64().is_nan() {
                    0.0
                } else {
                    error(*out, &value, &scale)
                };
                if ulp > worst || ulp.is_nan() {
                    worst = ulp;
                    what = format!("{input:?}: {out:?} instead of {:.20}", value);
                }
            }
        }
        println!(
            "SEED={seed} {} {} {:?}: {worst:.4} of {budget}, {what}",
            F::NAME,
            row.mode,
            row.result
        );
        // Written so that NaN fails.
        if worst.is_nan() || worst > budget {
            failed.push(format!(
                "{} {} {:?}: {worst} of {budget} ULP, {what}",
                F::NAME,
                row.mode,
                row.result
            ));
        }
    }
    assert!(failed.is_empty(), "SEED={seed} {failed:#?}");
}

/// The error in ULP of the scale; infinite for NaN, and for an infinity where the value does not round to it.
fn error<F: Element>(computed: F, value: &Float, scale: &Float) -> f64 {
    let found = computed.to_f64();
    let overflows = value.clone().abs() >= largest::<F>();
    if value.is_infinite() || overflows {
        let same = found.is_infinite() && (found < 0.0) == value.is_sign_negative();
        return if same { 0.0 } else { f64::INFINITY };
    }
    if !found.is_finite() {
        return f64::INFINITY;
    }
    let difference = (Float::with_val(value.prec(), found) - value).abs();
    (difference >> ulp_exponent::<F>(scale)).to_f64()
}

/// What rounds to infinity.
fn largest<F: Element>() -> Float {
    let last = Float::with_val(
        64,
        Float::u_exp(1, <F as Format>::MAX_EXPONENT - F::PRECISION),
    );
    Float::with_val(128, Float::u_exp(1, <F as Format>::MAX_EXPONENT + 1)) - last
}

#[test]
fn f32_losses() {
    check::<f32>();
}

#[test]
fn f64_losses() {
    check::<f64>();
}

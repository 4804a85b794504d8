//! Temperature, targets as logits, other losses and probabilities within `src/accuracy.md`, against their
//! formulas as they stand, at a precision at which nothing that cancels matters.

use crate::format::Format;
use crate::mpfr::{Function, ulp_exponent};
use rug::Float;
use soft_bce::{Bce, Error, Focal, Real, SquaredError, probability};

/// Enough for z - u = 2^-1074, and its square, beside numbers near 1.
const PRECISION: u32 = 2560;
const OF_F32: u32 = 640;
/// Enough if one of z/T and u/T is at least 2^-40: what cancels leaves 2^-93, and its square.
const ORDINARY: u32 = 384;

/// A logit or probability, a target or teacher's logit, and the temperature or exponent.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// z or p.
    pub x: f64,
    /// t, u or y.
    pub t: f64,
    /// T or beta.
    pub parameter: f64,
}

/// A true value, and the number whose ULP measures the error.
pub struct Truth {
    /// The value.
    pub value: Float,
    /// Infinite where nothing is promised.
    pub scale: Float,
}

/// sigmoid(x), sigmoid(-x), softplus(x), softplus(-x).
fn logistic(x: &Float) -> [Float; 4] {
    let magnitude = x.clone().abs();
    let e = Float::with_val(x.prec(), -&magnitude).exp();
    let large = 1 / Float::with_val(x.prec(), 1 + &e);
    let small = Float::with_val(x.prec(), &e * &large);
    let log = e.ln_1p();
    let far = Float::with_val(x.prec(), &log + magnitude);
    if *x < 0 {
        [small, large, log, far]
    } else {
        [large, small, far, log]
    }
}

fn precision<F: Format>(Input { x, t, parameter }: Input) -> u32 {
    if x.abs().max(t.abs()) / parameter.max(1.0) >= 2.0_f64.powi(-40) {
        ORDINARY
    } else if F::PRECISION == 24 {
        OF_F32
    } else {
        PRECISION
    }
}

/// z/T, exact to the precision that the input takes.
fn student<F: Format>(input: Input) -> Float {
    Float::with_val(precision::<F>(input), input.x) / input.parameter
}

/// u/T.
fn teacher<F: Format>(input: Input) -> Float {
    Float::with_val(precision::<F>(input), input.t) / input.parameter
}

/// e^-|z/T| counts as the smallest normal number at least, and is divided by T.
fn at_least_normal<F: Format>(value: &Float, divisor: f64) -> Float {
    let least = 2.0_f64.powi(F::MIN_EXPONENT) / divisor;
    value.clone().abs().max(&Float::with_val(64, least))
}

fn temperature<F: Format>(function: Function, input: Input) -> Truth {
    let Input { t, parameter, .. } = input;
    let z = student::<F>(input);
    let [s, complement, plus, minus] = logistic(&z);
    let of_t = Float::with_val(z.prec(), t);
    match function {
        Function::Loss => {
            let rest = Float::with_val(z.prec(), 1 - &of_t);
            let value = minus * of_t + plus * rest;
            let scale = at_least_normal::<F>(&value, 1.0);
            Truth { value, scale }
        }
        Function::Gradient => {
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
        _ => {
            let value = s * complement / parameter / parameter;
            let scale = at_least_normal::<F>(&value, (parameter * parameter).min(1.0));
            Truth { value, scale }
        }
    }
}

/// The shares of the target count as the smallest normal number at least.
fn with_shares<F: Format>(value: &Float, z: &Float) -> Float {
    let least = Float::with_val(64, 2.0_f64.powi(F::MIN_EXPONENT));
    let of_shares = least.clone() * z.clone().abs() + least;
    of_shares.max(&value.clone().abs())
}

fn logit_targets<F: Format>(function: Function, input: Input) -> Truth {
    let Input { x, parameter, .. } = input;
    let z = student::<F>(input);
    let u = teacher::<F>(input);
    let [s, complement, plus, minus] = logistic(&z);
    let [r, r_complement, ..] = logistic(&u);
    match function {
        Function::Loss => {
            let value = minus * r + plus * r_complement;
            let scale = with_shares::<F>(&value, &z);
            Truth { value, scale }
        }
        Function::Gradient => {
            let value = (if x < 0.0 {
                s - r
            } else {
                r_complement - complement
            }) / parameter;
            let scale = at_least_normal::<F>(&value, parameter.min(1.0));
            Truth { value, scale }
        }
        _ => temperature::<F>(function, input),
    }
}

fn logit_excess<F: Format>(_: Function, input: Input) -> Truth {
    let z = student::<F>(input);
    let u = teacher::<F>(input);
    let [_, _, plus, minus] = logistic(&z);
    let [r, r_complement, of_plus, of_minus] = logistic(&u);
    let value = r * (minus - of_minus) + r_complement * (plus - of_plus);
    let scale = with_shares::<F>(&value, &z);
    Truth { value, scale }
}

fn squared_error<F: Format>(function: Function, input: Input) -> Truth {
    let Input { t, parameter, .. } = input;
    let z = student::<F>(input);
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
    let (value, scale, times) = match function {
        Function::Loss => {
            // Where s and t agree, the square of s - t's error is left.
            let least = of_g.clone() * 2.0_f64.powi(-52);
            (g.clone() * &g, (g.clone().abs() + least) * &of_g, 0)
        }
        Function::Gradient => (2 * g.clone() * &h, 2 * of_g * &h, 1),
        _ => {
            let slope = complement - s;
            let value = 2 * h.clone() * (h.clone() + g * &slope);
            let scale = 2 * h.clone() * (h.clone() + of_g * slope.abs());
            (value, scale, 2)
        }
    };
    let divided = |value: Float| (0..times).fold(value, |value, _| value / parameter);
    let scale = at_least_normal::<F>(&divided(scale), parameter.min(1.0).powi(times));
    Truth {
        value: divided(value),
        scale,
    }
}

fn focal<F: Format>(function: Function, input: Input) -> Truth {
    let Input { x, t, parameter } = input;
    let z = Float::with_val(precision::<F>(input), x);
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
    let undecided = relative > 2.0_f64.powi(F::PRECISION - 4);
    let factor = match function {
        Function::Loss => loss,
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

fn probabilities<F: Format>(function: Function, input: Input) -> Truth {
    let Input { x, t, .. } = input;
    let p = Float::with_val(precision::<F>(input), x);
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
    let value = match function {
        Function::Loss => zero_or(&y, p.clone().ln()) + zero_or(&of_y, (-p).ln_1p()),
        _ if y.is_zero() => 1 / rest,
        _ if of_y.is_zero() => -1 / p,
        _ => (p.clone() - y) / p / rest,
    };
    let scale = at_least_normal::<F>(&value, 1.0);
    Truth { value, scale }
}

type Formula = fn(Function, Input) -> Truth;

/// One row of the table.
pub struct Row<F> {
    /// The mode's name there.
    pub mode: &'static str,
    /// Loss, gradient or Hessian.
    pub function: Function,
    /// Some temperatures or exponents.
    pub parameters: &'static [f64],
    /// Whether t is a logit too.
    pub teacher: bool,
    /// The formula.
    pub truth: Formula,
    /// The call under test.
    pub compute: Call<F>,
}

/// Of the row's function, with a parameter, z or p, and t or y.
type Call<F> = fn(Function, F, &[F], &[F], &mut [F]) -> Result<(), Error>;

fn run<F: Real>(
    function: Function,
    bce: &Bce<'_, F>,
    z: &[F],
    t: &[F],
    out: &mut [F],
) -> Result<(), Error> {
    match function {
        Function::Loss => bce.loss(z, t, out),
        Function::Gradient => bce.gradient(z, t, out),
        _ => bce.gradient_hessian(z, t, &mut z.to_vec(), out),
    }
}

const TEMPERATURES: &[f64] = &[1.7, 0.3, 1.0, 20.0, 0.5];

/// The rows of the further modes.
pub fn rows<F: Format + Real>() -> Vec<Row<F>> {
    let mut rows = Vec::new();
    let mut add = |mode, count, parameters, truth, compute| {
        let functions = [Function::Loss, Function::Gradient, Function::Hessian];
        for function in functions.into_iter().take(count) {
            rows.push(Row {
                mode,
                function,
                parameters,
                teacher: mode == "logit_targets" || mode == "logit_excess",
                truth,
                compute,
            });
        }
    };
    let by_temperature: Call<F> = |function, parameter, z, t, out| {
        run(function, &Bce::new().temperature(parameter), z, t, out)
    };
    add(
        "temperature",
        3,
        TEMPERATURES,
        temperature::<F> as Formula,
        by_temperature,
    );
    add(
        "logit_targets",
        3,
        TEMPERATURES,
        logit_targets::<F>,
        |function, parameter, z, t, out| {
            run(
                function,
                &Bce::new().temperature(parameter).logit_targets(),
                z,
                t,
                out,
            )
        },
    );
    add(
        "logit_excess",
        1,
        TEMPERATURES,
        logit_excess::<F>,
        |function, parameter, z, t, out| {
            let bce = Bce::new().temperature(parameter).logit_targets();
            run(function, &bce.excess(), z, t, out)
        },
    );
    add(
        "squared_error",
        3,
        TEMPERATURES,
        squared_error::<F>,
        |function, parameter, z, t, out| {
            run(
                function,
                &SquaredError::new().temperature(parameter),
                z,
                t,
                out,
            )
        },
    );
    add(
        "focal",
        2,
        &[2.0, 0.5, 1.0, 5.0],
        focal::<F>,
        |function, parameter, z, t, out| run(function, &Focal::new(parameter), z, t, out),
    );
    add(
        "probability",
        2,
        &[1.0],
        probabilities::<F>,
        |function, _, p, y, out| match function {
            Function::Loss => probability::loss(y, p, out),
            _ => probability::gradient(y, p, out),
        },
    );
    rows
}

/// The error in ULP of the scale; infinite for NaN, and for an infinity where the value does not round to it.
pub fn error<F: Format>(computed: F, Truth { value, scale }: &Truth) -> f64 {
    let found = computed.to_f64();
    if scale.is_infinite() && !found.is_nan() {
        return 0.0;
    }
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
fn largest<F: Format>() -> Float {
    let last = Float::with_val(64, Float::u_exp(1, F::MAX_EXPONENT - F::PRECISION));
    Float::with_val(128, Float::u_exp(1, F::MAX_EXPONENT + 1)) - last
}

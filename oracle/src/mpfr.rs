//! The formulas over MPFR, with an error bound, at a precision that is raised until it suffices.

use crate::format::Format;
use rug::Float;
use rug::ops::NegAssign;

/// A function of the crate under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "programs",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
pub enum Function {
    /// -t ln s - (1 - t) ln(1 - s), s = sigmoid(z).
    Loss,
    /// s - t.
    Gradient,
    /// s (1 - s).
    Hessian,
    /// 1 / (1 + exp(-z)).
    Sigmoid,
    /// ln(sigmoid(z)).
    LogSigmoid,
    /// ln(1 + exp(z)).
    Softplus,
    /// ln(p / (1 - p)); its argument p takes the place of z.
    Logit,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 7] = [
        Self::Loss,
        Self::Gradient,
        Self::Hessian,
        Self::Sigmoid,
        Self::LogSigmoid,
        Self::Softplus,
        Self::Logit,
    ];

    /// The name that the budget table uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Gradient => "gradient",
            Self::Hessian => "hessian",
            Self::Sigmoid => "sigmoid",
            Self::LogSigmoid => "log_sigmoid",
            Self::Softplus => "softplus",
            Self::Logit => "logit",
        }
    }

    /// Whether the result depends on the target, and so on the options.
    pub fn takes_target(self) -> bool {
        matches!(self, Self::Loss | Self::Gradient | Self::Hessian)
    }
}

/// The options of `Bce`, as they enter the formulas. The numbers are of the type under test.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "programs", derive(serde::Serialize))]
pub struct Options {
    /// The weight of the positive class.
    pub pos_weight: f64,
    /// Epsilon in t' = t (1 - epsilon) + epsilon / 2, the target at which the formulas are judged.
    pub label_smoothing: f64,
    /// Whether the loss is reported above its minimum over z.
    pub excess: bool,
}

impl Options {
    /// No option set.
    pub const PLAIN: Self = Self {
        pos_weight: 1.0,
        label_smoothing: 0.0,
        excess: false,
    };

    /// Whether the formulas have more factors than without options.
    fn shaped(self) -> bool {
        self.pos_weight != 1.0 || self.label_smoothing != 0.0
    }

    /// Whether an element of this weight is multiplied by anything.
    pub fn scales(self, weight: f64) -> bool {
        self.shaped() || weight != 1.0
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// One element: a logit (or a probability, for logit), a target, a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "programs", derive(serde::Serialize))]
pub struct Input {
    /// The logit, or the probability for [`Function::Logit`].
    pub z: f64,
    /// The target.
    pub t: f64,
    /// The weight of the element.
    pub weight: f64,
}

/// What a function should return.
#[derive(Clone, Debug)]
pub enum Truth {
    /// Not a number.
    Nan,
    /// An infinity.
    Infinity {
        /// Its sign.
        negative: bool,
    },
    /// Exactly zero.
    Zero {
        /// The sign that the limit has; of the gradient, +.
        negative: bool,
    },
    /// A finite number other than zero.
    Real(Real),
}

/// A finite true value.
#[derive(Clone, Debug)]
pub struct Real {
    /// An approximation.
    pub value: Float,
    /// The true value is at most this far from `value`; zero where `value` is exact.
    pub radius: Float,
    /// The number whose ULP measures the error: the value itself but for the gradient and the excess
    /// of a soft target, which cancel. Rounded down, so that a binade edge is judged strictly. With
    /// options, each of log1p(e^-|z|), the sigmoids, s (1 - s), the result before its weight and, in
    /// the loss, t' and 1 - t' counts as the smallest normal number at least.
    pub scale: Float,
    /// What a result that is infinite counts as: the power of two after the largest finite number, or
    /// that times the weight.
    pub infinity: Float,
    /// Whether infinity is right: the value rounds to it, or did before its weight.
    pub overflows: bool,
    /// Whether a result of zero has to have the sign of the value; of the gradient, in the exact mode alone.
    pub signed_zero: bool,
}

/// Beyond this |z|, exp(-|z|) is below every bit of every other term, and only its sign matters.
const EXP_CLAMP: f64 = 2000.0;
/// The share of the gradient, 2^-shift, whose ULP is the least that measures an excess: of f32, which
/// is computed in f64, and of f64.
const EXCESS_SLOPE_SHIFT: [i32; 2] = [24, 0];
const FIRST_PRECISION: u32 = 128;
/// Enough to hold any sum of products of three f64 exactly, and to resolve any that is not exact.
const LAST_PRECISION: u32 = 1 << 14;

/// The true value, certain to 2^-32 ULP of `F`.
pub fn truth<F: Format>(function: Function, input: Input, options: Options) -> Truth {
    refine::<F>(function, input, options, |real| {
        real.radius.is_zero() || floor_log2(&real.radius) <= ulp_exponent::<F>(&real.scale) - 32
    })
}

/// The correctly rounded result (nearest, ties to even), certain.
pub fn correctly_rounded<F: Format>(function: Function, input: Input, options: Options) -> F {
    let truth = refine::<F>(function, input, options, |real| {
        let below = Float::with_val(real.value.prec() + 8, &real.value - &real.radius);
        let above = Float::with_val(real.value.prec() + 8, &real.value + &real.radius);
        F::from_float(&below).to_bits() == F::from_float(&above).to_bits()
    });
    match truth {
        Truth::Nan => F::from_f64(f64::NAN),
        Truth::Infinity { negative } => F::from_f64(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }),
        Truth::Zero { negative } => F::from_f64(if negative { -0.0 } else { 0.0 }),
        Truth::Real(real) => F::from_float(&real.value),
    }
}

/// floor(log2 |x|) of a number other than zero.
pub fn floor_log2(x: &Float) -> i32 {
    x.get_exp().map_or(i32::MIN / 2, |exponent| exponent - 1)
}

/// log2 of the unit in the last place at `x`: the subnormal spacing where `x` is below the normals.
pub fn ulp_exponent<F: Format>(x: &Float) -> i32 {
    floor_log2(x).clamp(F::MIN_EXPONENT, F::MAX_EXPONENT) - (F::PRECISION - 1)
}

fn refine<F: Format>(
    function: Function,
    input: Input,
    options: Options,
    certain: impl Fn(&Real) -> bool,
) -> Truth {
    if let Some(limit) = limit(function, input, options) {
        return match limit {
            Truth::Real(real) => Truth::Real(weighted::<F>(real, function, input, options)),
            limit => limit,
        };
    }
    let mut precision = FIRST_PRECISION;
    loop {
        let real = evaluate::<F>(function, input, options, precision);
        let real = weighted::<F>(real, function, input, options);
        if certain(&real) || precision >= LAST_PRECISION {
            let zero = real.value.is_zero() && real.radius.is_zero();
            return if zero {
                Truth::Zero { negative: false }
            } else {
                Truth::Real(real)
            };
        }
        precision *= 2;
    }
}

/// Results that are not finite, the exact zeros at infinite arguments, and those of elements that a
/// weight of 0 removes, even where the logit is NaN.
fn limit(function: Function, input: Input, options: Options) -> Option<Truth> {
    let z = input.z;
    if function.takes_target() && input.weight == 0.0 {
        return Some(Truth::Zero { negative: false });
    }
    if z.is_nan() {
        return Some(Truth::Nan);
    }
    if function == Function::Logit {
        return match z {
            0.0 => Some(Truth::Infinity { negative: true }),
            0.5 => Some(Truth::Zero { negative: false }),
            1.0 => Some(Truth::Infinity { negative: false }),
            _ => None,
        };
    }
    let (for_negative, for_positive) = coefficients(input, options, FIRST_PRECISION);
    if function == Function::Loss && options.excess && z == 0.0 && for_negative == for_positive {
        return Some(Truth::Zero { negative: false });
    }
    if z.is_finite() {
        return None;
    }
    let up = z > 0.0;
    let zero = |negative| Truth::Zero { negative };
    let finite = |value: Float, scale: Float| {
        Truth::Real(Real {
            radius: Float::new(value.prec()),
            scale,
            signed_zero: function != Function::Gradient,
            ..relative(value, FIRST_PRECISION, 0.0)
        })
    };
    let factor = if up { &for_negative } else { &for_positive };
    Some(match function {
        Function::Sigmoid if up => {
            let one = Float::with_val(FIRST_PRECISION, 1);
            finite(one.clone(), one)
        }
        Function::Sigmoid | Function::Hessian => zero(false),
        Function::LogSigmoid if up => zero(true),
        Function::LogSigmoid => Truth::Infinity { negative: true },
        Function::Softplus if !up => zero(false),
        Function::Softplus => Truth::Infinity { negative: false },
        Function::Loss if factor.is_zero() => zero(false),
        Function::Loss => Truth::Infinity { negative: false },
        // The gradient's limit is a or -b.
        Function::Gradient if up && for_negative.is_zero() => zero(false),
        Function::Gradient if up => {
            let scale = Float::with_val(FIRST_PRECISION, &for_negative + &for_positive);
            finite(for_negative, scale)
        }
        Function::Gradient if for_positive.is_zero() => zero(false),
        Function::Gradient => {
            let scale = for_positive.clone();
            finite(-for_positive, scale)
        }
        Function::Logit => return None,
    })
}

/// The factors of softplus(z) and of softplus(-z) in the loss before its weight: a = 1 - t', b = p t'.
/// Sums and products of numbers that are not negative: good to a few units of the last place.
fn coefficients(input: Input, options: Options, precision: u32) -> (Float, Float) {
    let number = |x: f64| Float::with_val(precision.max(64), x);
    let kept: Float = 1 - number(options.label_smoothing);
    let moved = number(options.label_smoothing) / 2u32;
    let share = |of: Float| kept.clone() * of + &moved;
    (
        share(1 - number(input.t)),
        share(number(input.t)) * options.pos_weight,
    )
}

/// x, or the smallest normal number if that is larger and x is a part of a result with options.
fn at_least_normal<F: Format>(x: &Float, options: Options) -> Float {
    if options.shaped() && !x.is_zero() {
        x.clone()
            .max(&Float::with_val(x.prec(), smallest_normal::<F>()))
    } else {
        x.clone()
    }
}

fn smallest_normal<F: Format>() -> f64 {
    2.0_f64.powi(F::MIN_EXPONENT)
}

/// What the weight makes of a value, and of the scale that measures its error.
fn weighted<F: Format>(real: Real, function: Function, input: Input, options: Options) -> Real {
    let precision = real.value.prec();
    let infinity = Float::with_val(precision, Float::u_exp(1, F::MAX_EXPONENT + 1));
    let overflows = |value: &Float| F::from_float(value).to_f64().is_infinite();
    if !function.takes_target() || !options.scales(input.weight) {
        return Real {
            overflows: overflows(&real.value),
            infinity,
            ..real
        };
    }
    let value = real.value.clone() * input.weight;
    Real {
        overflows: overflows(&real.value) || overflows(&value),
        infinity: infinity * input.weight.min(1.0),
        scale: real
            .scale
            .max(&Float::with_val(precision, smallest_normal::<F>()))
            * input.weight,
        radius: real.radius * input.weight,
        value,
        ..real
    }
}

/// The value at one precision. Each term is good to a few units of its own last place, and the terms
/// are added up with their signs only where the function itself subtracts, so that the sum of their
/// magnitudes times 2^(7 - precision) bounds the error.
fn evaluate<F: Format>(function: Function, input: Input, options: Options, precision: u32) -> Real {
    let number = |x: f64| Float::with_val(precision, x);
    if function == Function::Logit {
        let p = number(input.z);
        // Near 1/2 the quotient form cancels: 2 atanh(2p - 1) there; 2p - 1 is exact.
        let value = if (0.25..=0.75).contains(&input.z) {
            (p * 2u32 - 1u32).atanh() * 2u32
        } else {
            p.clone().ln() - (-p).ln_1p()
        };
        return relative(value, precision, 1.0);
    }
    let z = number(input.z);
    let magnitude = z.clone().abs();
    let mut exponential = number(input.z.abs().min(EXP_CLAMP));
    exponential.neg_assign();
    exponential.exp_mut();
    let up = input.z > 0.0;
    let divisor = number(1.0) + &exponential;
    let at_least_normal = |x: &Float| at_least_normal::<F>(x, options);
    // The smaller of sigmoid(z) and sigmoid(-z).
    let tail = number(0.0) + &exponential / divisor.clone();
    let log = exponential.clone().ln_1p();
    match function {
        Function::Sigmoid if input.z == 0.0 => relative(number(0.5), precision, 0.0),
        Function::Sigmoid if up => relative(1 / divisor, precision, 1.0),
        Function::Sigmoid => relative(tail, precision, 1.0),
        Function::Softplus if up => relative(magnitude + log, precision, 1.0),
        Function::Softplus => relative(log, precision, 1.0),
        Function::LogSigmoid if up => relative(-log, precision, 1.0),
        Function::LogSigmoid => relative(-(magnitude + log), precision, 1.0),
        Function::Hessian => {
            let (a, b) = coefficients(input, options, precision);
            let radius = if input.z == 0.0 && precision >= LAST_PRECISION {
                0.0
            } else {
                1.0
            };
            let plain = tail / divisor;
            let scale = (number(0.0) + &a + &b) * at_least_normal(&plain);
            Real {
                scale: round_down(&scale),
                ..relative((a + b) * plain, precision, radius)
            }
        }
        Function::Loss => {
            let (a, b) = coefficients(input, options, precision);
            let sum = number(0.0) + &a + &b;
            let slope = if up { a.clone() } else { b.clone() };
            let loss = slope * magnitude.clone() + &sum * log.clone();
            if !options.excess || a.is_zero() || b.is_zero() {
                // A share of the target counts as the smallest normal number at least.
                let slope = if up {
                    at_least_normal(&a)
                } else if options.shaped() && !b.is_zero() {
                    b.max(&(number(smallest_normal::<F>()) * options.pos_weight))
                } else {
                    b
                };
                let scale = slope * magnitude + sum * at_least_normal(&log);
                return Real {
                    scale: round_down(&scale),
                    ..relative(loss, precision, 1.0)
                };
            }
            // The minimum, at sigmoid(z) = b / (a + b). The larger share's logarithm from the smaller:
            // a rounded share next to 1 tells nothing of it.
            let (small, large) = if a < b { (&a, &b) } else { (&b, &a) };
            let share = small.clone() / &sum;
            let least = -(share.clone().ln() * small + (-share).ln_1p() * large);
            let radius = (number(0.0) + &loss + &least) >> (precision as i32 - 9);
            let value = number(0.0) + &loss - least;
            // At the minimum the excess is flat: it moves by up to twice the gradient, or by the square
            // of the step, where the smaller of s and 1 - s moves by a step of 2^-53 of itself.
            let step = tail.clone() >> 53;
            let sigmoid = if up { 1 / divisor } else { tail };
            let rising = number(0.0) + &sum * sigmoid;
            let noise = (number(0.0) + &rising + &b) >> (precision as i32 - 7);
            let gradient = ((rising - b).abs() - noise).max(&number(0.0));
            let slope = (gradient + step) >> EXCESS_SLOPE_SHIFT[usize::from(F::PRECISION > 24)];
            let lower = number(0.0) + &value - &radius;
            Real {
                scale: lower.max(&slope),
                value: value.max(&number(0.0)),
                radius,
                ..relative(loss, precision, 1.0)
            }
        }
        Function::Gradient => {
            let (a, b) = coefficients(input, options, precision);
            if a.is_zero() || b.is_zero() {
                // One term only: no cancellation, and full relative precision is due.
                let other = 1 / divisor;
                let (small, large) = if up { (other, tail) } else { (tail, other) };
                let scale = if b.is_zero() {
                    at_least_normal(&small)
                } else {
                    b.clone() * at_least_normal(&large)
                };
                let value = if b.is_zero() { a * small } else { -(b * large) };
                return Real {
                    signed_zero: false,
                    scale: round_down(&scale),
                    ..relative(value, precision, 1.0)
                };
            }
            let sum = number(0.0) + &a + &b;
            let sigmoid = if up { 1 / divisor } else { tail };
            let strict = (number(0.0) + &a + &b) * at_least_normal(&sigmoid);
            let rising = sum * sigmoid;
            let exact = input.z == 0.0 && precision >= LAST_PRECISION;
            let mut radius = (number(0.0) + &rising + &b) >> (precision as i32 - 7);
            if exact {
                radius = number(0.0);
            }
            let strict = round_down(&strict);
            // A plain target is exact, even on a binade edge.
            let falling = if options.label_smoothing != 0.0 {
                let least = number(smallest_normal::<F>()) * options.pos_weight;
                round_down(&b.clone().max(&least))
            } else if options.shaped() {
                round_down(&b)
            } else {
                b.clone()
            };
            let scale = strict.max(&falling);
            let value = rising - b;
            Real {
                radius,
                scale,
                signed_zero: false,
                ..relative(value, precision, 1.0)
            }
        }
        Function::Logit => unreachable!("handled above"),
    }
}

fn relative(value: Float, precision: u32, units: f64) -> Real {
    let exact = units == 0.0;
    let radius = if exact {
        Float::new(precision)
    } else {
        value.clone().abs() >> (precision as i32 - 7)
    };
    let scale = if exact {
        value.clone().abs()
    } else {
        round_down(&value)
    };
    Real {
        infinity: Float::new(precision),
        overflows: false,
        value,
        radius,
        scale,
        signed_zero: true,
    }
}

/// A lower bound of |x|, for x good to 2^(8 - precision).
fn round_down(x: &Float) -> Float {
    let magnitude = x.clone().abs();
    let margin = magnitude.clone() >> (x.prec() as i32 - 8);
    magnitude - margin
}

//! Inputs shared by the targets: a few bytes choose floats at the edges, and lengths that meet
//! lanes, rests and spans.

use arbitrary::Arbitrary;
use soft_bce::{Bce, Error, LossSum};
use soft_bce_oracle::cases::stationary_target;
use soft_bce_oracle::fast::Fast;
use soft_bce_oracle::format::Format;
use std::f64::consts::LN_2;

// Included, since as a dependency capi/ would need the crate type `lib`, which costs it its
// link-time optimisation; `bce` is the crate's name there.
extern crate soft_bce as bce;
#[path = "../../capi/src/lib.rs"]
#[allow(unused_attributes)]
pub mod capi;

/// An element type of the crate. What calls the kernel is not generic, so that the kernel is
/// compiled once, here, and not with every target.
pub trait Real: soft_bce::Real + Fast {
    /// `bce.exact()`, where there is one.
    fn exact<'a>(bce: Bce<'a, Self>) -> Option<Bce<'a, Self>>;

    /// The number it returns, or 0. `GradientInPlace` finds the logits in the first output, and
    /// `Accumulate` adds to `sum`.
    fn run(
        operation: Operation,
        bce: Bce<'_, Self>,
        z: &[Self],
        t: &[Self],
        outputs: [&mut [Self]; 2],
        sum: &mut LossSum,
    ) -> Result<f64, Error>;

    /// None where the type lacks it.
    fn map(function: Function, from: &[Self], out: &mut [Self]) -> Option<Result<(), Error>>;
}

macro_rules! real {
    ($real:ident, |$bce:ident| $exact:expr, |$function:ident, $from:ident, $to:ident| $map_exactly:expr) => {
        impl Real for $real {
            fn exact<'a>($bce: Bce<'a, Self>) -> Option<Bce<'a, Self>> {
                $exact
            }

            #[inline(never)]
            fn run(
                operation: Operation,
                bce: Bce<'_, Self>,
                z: &[Self],
                t: &[Self],
                [first, second]: [&mut [Self]; 2],
                sum: &mut LossSum,
            ) -> Result<f64, Error> {
                let nothing = |()| 0.0;
                match operation {
                    Operation::Loss => bce.loss(z, t, first).map(nothing),
                    Operation::Sum => bce.sum(z, t),
                    Operation::Mean => bce.mean(z, t),
                    Operation::Gradient => bce.gradient(z, t, first).map(nothing),
                    Operation::GradientInPlace => bce.gradient_in_place(first, t).map(nothing),
                    Operation::SumGradient => bce.sum_gradient(z, t, first),
                    Operation::MeanGradient => bce.mean_gradient(z, t, first),
                    Operation::GradientHessian => {
                        bce.gradient_hessian(z, t, first, second).map(nothing)
                    }
                    Operation::SumGradientHessian => bce.sum_gradient_hessian(z, t, first, second),
                    Operation::Accumulate => bce.accumulate(z, t, sum).map(nothing),
                }
            }

            #[inline(never)]
            fn map(
                $function: Function,
                $from: &[Self],
                $to: &mut [Self],
            ) -> Option<Result<(), Error>> {
                Some(match $function {
                    Function::Sigmoid => soft_bce::sigmoid($from, $to),
                    Function::LogSigmoid => soft_bce::log_sigmoid($from, $to),
                    Function::Softplus => soft_bce::softplus($from, $to),
                    Function::Logit => soft_bce::logit($from, $to),
                    _ => return $map_exactly,
                })
            }
        }
    };
}

real!(f32, |bce| Some(bce.exact()), |function, from, to| Some(
    match function {
        Function::ExactSigmoid => soft_bce::exact::sigmoid(from, to),
        Function::ExactLogSigmoid => soft_bce::exact::log_sigmoid(from, to),
        _ => soft_bce::exact::softplus(from, to),
    }
));
real!(f64, |_bce| None, |function, from, to| None);

/// A function of one argument over slices.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub enum Function {
    Sigmoid,
    LogSigmoid,
    Softplus,
    Logit,
    ExactSigmoid,
    ExactLogSigmoid,
    ExactSoftplus,
}

/// The bits; all NaN are one, since payloads are not promised.
pub fn bits<F: Format>(values: &[F]) -> Vec<u64> {
    values.iter().map(|&value| bits_of(value)).collect()
}

pub fn bits_of<F: Format>(value: F) -> u64 {
    if value.to_f64().is_nan() {
        u64::MAX
    } else {
        value.to_bits()
    }
}

/// Where the kernel changes its method or its result changes its kind.
const EDGES: [f64; 38] = [
    0.0,
    1e-16,
    6e-8,
    1e-3,
    0.25,
    LN_2 / 2.0,
    0.5,
    LN_2,
    1.0,
    2.0,
    10.0,
    16.635_532,
    17.328_68,
    20.0,
    36.736_8,
    43.5,
    50.0,
    86.5,
    87.336_54,
    88.722_84,
    95.0,
    103.278_93,
    103.972_08,
    104.0,
    200.0,
    354.0,
    640.0,
    708.396_418_532_264,
    709.782_712_893_384,
    744.440_071_921_381,
    745.133_219_101_941,
    745.5,
    746.0,
    16_777_216.0,
    1e30,
    1e300,
    f64::INFINITY,
    f64::NAN,
];

/// An edge, or the smallest subnormal, the smallest normal or the largest finite number of `F`.
fn edge<F: Format>(choice: u8) -> F {
    match usize::from(choice) % (EDGES.len() + 3) {
        0 => F::from_bits(1),
        1 => F::from_f64(2.0_f64.powi(F::MIN_EXPONENT)),
        2 => F::from_f64(f64::INFINITY).step(-1),
        i => F::from_f64(EDGES[i - 3]),
    }
}

/// So many floats from `centre`, if it is finite.
fn near<F: Format>(centre: F, steps: i8) -> F {
    if steps == 0 || !centre.to_f64().is_finite() {
        centre
    } else {
        centre.step(steps.into())
    }
}

/// Any float, most often an interesting one.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Number {
    Near {
        edge: u8,
        steps: i8,
        negative: bool,
    },
    /// Next to a boundary of the reduction by multiples of ln 2.
    Reduction {
        half_steps: i16,
        steps: i8,
    },
    Ordinary(i16),
    Bits(u64),
}

impl Number {
    pub fn value<F: Format>(self) -> F {
        match self {
            Self::Near {
                edge: choice,
                steps,
                negative,
            } => {
                let magnitude = near(edge::<F>(choice), steps);
                let sign = if negative { -1.0 } else { 1.0 };
                F::from_f64(magnitude.to_f64() * sign)
            }
            Self::Reduction { half_steps, steps } => near(
                F::from_f64(f64::from(half_steps % 2200) * LN_2 / 2.0),
                steps,
            ),
            Self::Ordinary(steps) => F::from_f64(f64::from(steps) / 256.0),
            Self::Bits(bits) => F::from_bits(bits),
        }
    }
}

/// A target in [0, 1].
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Target {
    Unit(u16),
    Near {
        edge: u8,
        steps: i8,
    },
    /// So many floats from sigmoid(z), where the gradient cancels.
    Stationary(i8),
    Bits(u64),
}

impl Target {
    pub fn value<F: Format>(self, z: F) -> F {
        let any = match self {
            Self::Unit(steps) => F::from_f64(f64::from(steps) / 65535.0),
            Self::Near {
                edge: choice,
                steps,
            } => match choice % 8 {
                0 => F::from_f64(-0.0),
                1 => F::from_bits(1),
                2 => F::from_f64(2.0_f64.powi(F::MIN_EXPONENT)),
                quarters => near(F::from_f64(f64::from(quarters - 3) / 4.0), steps),
            },
            Self::Stationary(steps) => near(stationary_target(z), steps),
            Self::Bits(bits) => F::from_bits(bits % (F::from_f64(1.0).to_bits() + 1)),
        };
        let value = any.to_f64();
        F::from_f64(if value.is_nan() {
            0.5
        } else {
            value.clamp(0.0, 1.0)
        })
    }
}

/// A weight, finite and not negative.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Weight {
    Quarters(u8),
    Any(Number),
}

impl Weight {
    pub fn value<F: Format>(self) -> F {
        let value = match self {
            Self::Quarters(quarters) => f64::from(quarters) / 4.0,
            Self::Any(number) => number.value::<F>().to_f64().abs(),
        };
        F::from_f64(if value.is_finite() { value } else { 1.0 })
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Element {
    z: Number,
    t: Target,
    w: Weight,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Length {
    Short(u8),
    /// Spans of 512 elements, and a rest.
    Spans(u8, u8),
}

/// The arrays of a call: a pattern that repeats, and elements in any lane among it.
#[derive(Arbitrary, Debug)]
pub struct Elements {
    length: Length,
    offsets: [u8; 3],
    pattern: Vec<Element>,
    placed: Vec<(u16, Element)>,
}

impl Elements {
    pub fn arrays<F: Format>(&self) -> Arrays<F> {
        let length = match self.length {
            Length::Short(length) => usize::from(length),
            Length::Spans(spans, rest) => usize::from(spans % 3) * 512 + usize::from(rest),
        };
        let quiet = Element {
            z: Number::Ordinary(1),
            t: Target::Unit(1),
            w: Weight::Quarters(4),
        };
        let mut elements: Vec<Element> =
            self.pattern.iter().copied().cycle().take(length).collect();
        elements.resize(length, quiet);
        for &(at, element) in &self.placed {
            if length > 0 {
                elements[usize::from(at) % length] = element;
            }
        }
        let z: Vec<F> = elements.iter().map(|element| element.z.value()).collect();
        let t: Vec<F> = elements
            .iter()
            .zip(&z)
            .map(|(element, &z)| element.t.value(z))
            .collect();
        let w: Vec<F> = elements.iter().map(|element| element.w.value()).collect();
        let [for_z, for_t, for_w] = self.offsets;
        Arrays {
            z: Placed::new(&z, for_z),
            t: Placed::new(&t, for_t),
            w: Placed::new(&w, for_w),
        }
    }
}

pub struct Arrays<F> {
    pub z: Placed<F>,
    pub t: Placed<F>,
    pub w: Placed<F>,
}

/// An array at any alignment, that ends where its allocation ends, after others that a call must
/// not change.
#[derive(Clone)]
pub struct Placed<F> {
    all: Vec<F>,
    start: usize,
}

impl<F: Format> Placed<F> {
    pub fn new(values: &[F], offset: u8) -> Self {
        let start = usize::from(offset % 16);
        let mut all = Vec::with_capacity(start + values.len());
        all.resize(start, Self::other());
        all.extend_from_slice(values);
        Self { all, start }
    }

    /// What no function returns: a NaN with a payload.
    fn other() -> F {
        F::from_bits(F::from_f64(f64::INFINITY).to_bits() | 0x5a5a)
    }

    pub fn get(&self) -> &[F] {
        &self.all[self.start..]
    }

    pub fn get_mut(&mut self) -> &mut [F] {
        &mut self.all[self.start..]
    }

    pub fn assert_others_untouched(&self) {
        let other = Self::other().to_bits();
        assert!(self.all[..self.start].iter().all(|x| x.to_bits() == other));
    }
}

/// An entry point of `Bce`.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    Loss,
    Sum,
    Mean,
    Gradient,
    GradientInPlace,
    SumGradient,
    MeanGradient,
    GradientHessian,
    SumGradientHessian,
    Accumulate,
}

impl Operation {
    pub fn outputs(self) -> usize {
        match self {
            Self::Sum | Self::Mean | Self::Accumulate => 0,
            Self::GradientHessian | Self::SumGradientHessian => 2,
            _ => 1,
        }
    }

    pub fn is_mean(self) -> bool {
        matches!(self, Self::Mean | Self::MeanGradient)
    }
}

/// What a mean is divided by: the number of elements or the total weight, if there is one.
pub fn divisor<F: Format>(count: usize, weights: Option<&[F]>) -> Option<f64> {
    let divisor = match weights {
        None => count as f64,
        Some(weights) => exact_sum(weights.iter().map(|w| w.to_f64())).to_f64(),
    };
    (divisor > 0.0).then_some(divisor)
}

pub fn exact_sum(values: impl Iterator<Item = f64>) -> LossSum {
    let mut sum = LossSum::new();
    values.for_each(|value| sum.add(value));
    sum
}

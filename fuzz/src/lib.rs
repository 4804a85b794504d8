//! Inputs shared by the targets: a few bytes choose numbers of the corpus, lengths that meet lanes,
//! rests and spans, and options.

use arbitrary::{Arbitrary, Unstructured};
use soft_bce::{Bce, Focal, LossSum, SquaredError};
pub use soft_bce_oracle::corpus::{Element, Format, Function, Operation, numbers};
use soft_bce_oracle::fast::Fast;
use std::f64::consts::LN_2;

// Included, since as a dependency capi/ would need the crate type `lib`, which costs it its
// link-time optimisation; `bce` is the crate's name there.
extern crate soft_bce as bce;
#[path = "../../capi/src/lib.rs"]
#[allow(unused_attributes)]
pub mod capi;

/// An element type of the crate, with the oracle's reference.
pub trait Real: Element + Fast {}
impl Real for f32 {}
impl Real for f64 {}

fn one_of<T: Copy>(list: &[T], bytes: &mut Unstructured<'_>) -> arbitrary::Result<T> {
    // As a derived implementation has it.
    let choice = u64::from(u32::arbitrary(bytes)?) * list.len() as u64;
    Ok(list[(choice >> 32) as usize])
}

/// For fields of an input: `#[arbitrary(with = operation)]`.
pub fn operation(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Operation> {
    one_of(&Operation::ALL, bytes)
}

/// For fields of an input.
pub fn function(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Function> {
    one_of(&Function::ALL, bytes)
}

/// The bits; all NaN are one, since payloads are not promised.
pub fn bits<F: Format>(values: &[F]) -> Vec<u64> {
    values.iter().map(|&value| bits_of(value)).collect()
}

pub fn bits_of<F: Format>(value: F) -> u64 {
    value.comparable()
}

fn listed<T>(mut list: impl Iterator<Item = T> + Clone, choice: u8) -> T {
    let count = list.clone().count();
    list.nth(usize::from(choice) % count)
        .expect("below the count")
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
                let magnitude = numbers::near(listed(numbers::logits::<F>(), choice), steps.into());
                if negative {
                    magnitude.negated()
                } else {
                    magnitude
                }
            }
            Self::Reduction { half_steps, steps } => numbers::near(
                F::from_f64(f64::from(half_steps % 2200) * LN_2 / 2.0),
                steps.into(),
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
    /// So many floats from sigmoid(z), or from that at a temperature, where the gradient cancels.
    Stationary(i8),
    Bits(u64),
}

impl Target {
    pub fn value<F: Format>(self, z: F) -> F {
        numbers::clamp_target(match self {
            Self::Unit(steps) => F::from_f64(f64::from(steps) / 65535.0),
            Self::Near {
                edge: choice,
                steps,
            } => numbers::near(listed(numbers::targets(), choice), steps.into()),
            Self::Stationary(steps) => numbers::near(numbers::stationary_target(z), steps.into()),
            Self::Bits(bits) => F::from_bits(bits % (F::from_f64(1.0).to_bits() + 1)),
        })
    }
}

/// A weight, finite and not negative.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Weight {
    /// The highest choose from the corpus.
    Quarters(u8),
    Any(Number),
}

impl Weight {
    pub fn value<F: Format>(self) -> F {
        let value: F = match self {
            Self::Quarters(choice @ 200..) => listed(numbers::weights(), choice),
            Self::Quarters(quarters) => F::from_f64(f64::from(quarters) / 4.0),
            Self::Any(number) => F::from_f64(number.value::<F>().to_f64().abs()),
        };
        if value.to_f64().is_finite() {
            value
        } else {
            F::from_f64(1.0)
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Entry {
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
    pattern: Vec<Entry>,
    placed: Vec<(u16, Entry)>,
}

impl Elements {
    pub fn arrays<F: Format>(&self) -> Arrays<F> {
        self.arrays_at(1.0)
    }

    /// With stationary targets at a temperature.
    pub fn arrays_at<F: Format>(&self, temperature: f64) -> Arrays<F> {
        let length = match self.length {
            Length::Short(length) => usize::from(length),
            Length::Spans(spans, rest) => usize::from(spans % 3) * 512 + usize::from(rest),
        };
        let quiet = Entry {
            z: Number::Ordinary(1),
            t: Target::Unit(1),
            w: Weight::Quarters(4),
        };
        let mut elements: Vec<Entry> = self.pattern.iter().copied().cycle().take(length).collect();
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
            .map(|(element, &z)| element.t.value(F::from_f64(z.to_f64() / temperature)))
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

pub fn exact_sum(values: impl Iterator<Item = f64>) -> LossSum {
    let mut sum = LossSum::new();
    values.for_each(|value| sum.add(value));
    sum
}

/// A loss, and the form of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    CrossEntropy,
    SquaredError,
    Focal,
}

/// What a call is asked for.
#[derive(Arbitrary, Debug)]
pub struct Settings {
    loss: u8,
    /// Small: options that exclude each other are not left out.
    clash: u8,
    weighted: bool,
    pos_weight: Option<Number>,
    label_smoothing: Option<Number>,
    target_tolerance: Option<Number>,
    temperature: Option<Number>,
    beta: Number,
    rows: Option<(u8, Vec<Number>)>,
    classes: Option<(u8, Vec<Number>)>,
}

/// The same for one element type and number of elements.
#[derive(Clone, Debug)]
pub struct Options<F> {
    pub loss: Loss,
    pub exact: bool,
    pub excess: bool,
    pub logit_targets: bool,
    pub weighted: bool,
    pub pos_weight: Option<F>,
    pub label_smoothing: Option<F>,
    pub target_tolerance: Option<F>,
    pub temperature: Option<F>,
    pub beta: F,
    pub row_weights: Option<Vec<F>>,
    pub pos_weights: Option<Vec<F>>,
}

/// So many numbers, as a divisor of `length` by choice; rarely not one.
fn per_part<F: Format>((choice, numbers): &(u8, Vec<Number>), length: usize) -> Vec<F> {
    let divisors = (1..=length).filter(|&count| length.is_multiple_of(count));
    let divisors: Vec<usize> = divisors.collect();
    let count = match usize::from(*choice) {
        choice @ 250.. => choice - 250,
        choice if divisors.is_empty() => choice % 4,
        choice => divisors[choice % divisors.len()],
    };
    let numbers = numbers.iter().copied().cycle();
    let numbers = numbers.chain(std::iter::repeat(Number::Ordinary(192)));
    numbers.take(count).map(Number::value).collect()
}

/// The magnitude, or 1 where that is no number above 0.
fn positive<F: Format>(value: F) -> F {
    let value = value.to_f64().abs();
    let usable = value > 0.0 && value.is_finite();
    F::from_f64(if usable { value } else { 1.0 })
}

/// The magnitude, at most 1; of NaN, 1/2.
fn unit<F: Format>(value: F) -> F {
    numbers::clamp_target(F::from_f64(value.to_f64().abs()))
}

impl Settings {
    /// As drawn: anything may be wrong with it.
    pub fn options<F: Real>(&self, length: usize) -> Options<F> {
        let (loss, [exact, excess, logit_targets]) = match self.loss % 16 {
            0..5 => (Loss::CrossEntropy, [false, false, false]),
            5 => (Loss::CrossEntropy, [true, false, false]),
            6 | 7 => (Loss::CrossEntropy, [false, true, false]),
            8 | 9 => (Loss::CrossEntropy, [false, false, true]),
            10 => (Loss::CrossEntropy, [false, true, true]),
            11 | 12 => (Loss::SquaredError, [false; 3]),
            13 | 14 => (Loss::Focal, [false; 3]),
            _ => (Loss::Focal, [true; 3]),
        };
        let clash = self.clash < 32;
        let exact = exact && F::exact(Bce::new()).is_some();
        let plain = !exact && loss == Loss::CrossEntropy;
        let reshaped = clash || plain && !excess && !logit_targets;
        let value = |number: Option<Number>| number.map(Number::value);
        let parts = |of: &Option<(u8, Vec<Number>)>| of.as_ref().map(|of| per_part(of, length));
        let pos_weights = parts(&self.classes).filter(|_| reshaped);
        Options {
            loss,
            exact,
            excess,
            logit_targets,
            weighted: self.weighted && (clash || !exact),
            pos_weight: value(self.pos_weight)
                .filter(|_| reshaped && (clash || pos_weights.is_none())),
            label_smoothing: value(self.label_smoothing).filter(|_| reshaped),
            target_tolerance: value(self.target_tolerance).filter(|_| clash || !logit_targets),
            temperature: value(self.temperature).filter(|_| clash || !exact),
            beta: self.beta.value(),
            row_weights: parts(&self.rows).filter(|_| clash || !exact),
            pos_weights,
        }
    }

    /// Those of a call that nothing is wrong with. No weight of a row is above 1, so that no product
    /// with another overflows.
    pub fn valid<F: Real>(&self, length: usize) -> Options<F> {
        let settings = Self {
            loss: self.loss % 15,
            clash: u8::MAX,
            rows: self.rows.clone().map(|(count, of)| (count % 250, of)),
            classes: self.classes.clone().map(|(count, of)| (count % 250, of)),
            ..*self
        };
        let mut options = settings.options::<F>(length);
        options.pos_weight = options.pos_weight.map(positive);
        options.label_smoothing = options.label_smoothing.map(unit);
        options.target_tolerance = options.target_tolerance.map(positive);
        options.temperature = options.temperature.map(positive);
        options.beta = positive(options.beta);
        let rows = options.row_weights.iter_mut().flatten();
        rows.for_each(|weight| *weight = unit(*weight));
        let classes = options.pos_weights.iter_mut().flatten();
        classes.for_each(|weight| *weight = positive(*weight));
        options
    }
}

impl<F: Real> Options<F> {
    /// Those of `Bce::new()`.
    pub fn none() -> Self {
        Self {
            loss: Loss::CrossEntropy,
            exact: false,
            excess: false,
            logit_targets: false,
            weighted: false,
            pos_weight: None,
            label_smoothing: None,
            target_tolerance: None,
            temperature: None,
            beta: F::from_f64(0.0),
            row_weights: None,
            pos_weights: None,
        }
    }

    /// The call, with these weights of elements if there are any.
    pub fn bce<'a>(&'a self, weights: &'a [F]) -> Bce<'a, F> {
        let mut bce = match self.loss {
            Loss::CrossEntropy => Bce::new(),
            Loss::SquaredError => *SquaredError::new(),
            Loss::Focal => *Focal::new(self.beta),
        };
        if self.exact {
            bce = F::exact(bce).expect("dropped otherwise");
        }
        if self.excess {
            bce = bce.excess();
        }
        if self.logit_targets {
            bce = bce.logit_targets();
        }
        if self.weighted {
            bce = bce.weights(weights);
        }
        if let Some(p) = self.pos_weight {
            bce = bce.pos_weight(p);
        }
        if let Some(alpha) = self.label_smoothing {
            bce = bce.label_smoothing(alpha);
        }
        if let Some(tolerance) = self.target_tolerance {
            bce = bce.target_tolerance(tolerance);
        }
        if let Some(temperature) = self.temperature {
            bce = bce.temperature(temperature);
        }
        if let Some(rows) = &self.row_weights {
            bce = bce.row_weights(rows);
        }
        if let Some(classes) = &self.pos_weights {
            bce = bce.pos_weights(classes);
        }
        bce
    }

    pub fn is_weighted(&self) -> bool {
        self.weighted || self.row_weights.is_some()
    }

    /// The weight of the row of element i of `length`.
    fn row_weight(&self, i: usize, length: usize) -> f64 {
        let rows = self.row_weights.as_deref().unwrap_or(&[]);
        if rows.is_empty() {
            return 1.0;
        }
        rows[i / (length / rows.len())].to_f64()
    }

    /// Whether nothing of its row is looked at.
    pub fn row_is_removed(&self, i: usize, length: usize) -> bool {
        self.row_weight(i, length) == 0.0
    }

    /// The weight of element i of `length`, `own` its own.
    pub fn weight(&self, i: usize, length: usize, own: F) -> F {
        let own = if self.weighted { own.to_f64() } else { 1.0 };
        match self.row_weight(i, length) {
            0.0 => F::from_f64(0.0),
            row => F::from_f64(row * own),
        }
    }
}

/// Targets as logits: next to the student's, its neighbour's, or any target.
pub fn teachers<F: Format>(z: &[F], t: &[F]) -> Vec<F> {
    let teacher = |(i, &t): (usize, &F)| {
        let u = match t.to_bits() % 4 {
            0 => z[i],
            1 => numbers::near(z[i], t.to_bits() as i64 % 100),
            2 => z[(i + 1) % z.len()],
            _ => t,
        };
        if u.to_f64().is_nan() { t } else { u }
    };
    t.iter().enumerate().map(teacher).collect()
}

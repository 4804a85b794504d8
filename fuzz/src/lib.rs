//! Inputs shared by the targets: a few bytes choose numbers of the corpus, and lengths that meet
//! lanes, rests and spans.

use arbitrary::{Arbitrary, Unstructured};
use soft_bce::LossSum;
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
    /// So many floats from sigmoid(z), where the gradient cancels.
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

pub fn exact_sum(values: impl Iterator<Item = f64>) -> LossSum {
    let mut sum = LossSum::new();
    values.for_each(|value| sum.add(value));
    sum
}

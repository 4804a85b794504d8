//! Against the instruction on random and constructed triples; a billion of each type by
//!
//! ```text
//! cargo test --release --lib emulated -- --ignored --nocapture
//! ```

extern crate std;

use std::println;
use std::vec::Vec;

use super::*;
use crate::lane::fma::fma_by_f64;
use crate::lane::pair::Pair;
use crate::lane::{Float, Isa, Job};

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, count: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 1) as i64 % count
    }

    fn near(&mut self, center: i64, width: i64) -> i64 {
        center + self.below(2 * width + 1) - width
    }
}

/// The number of that sign, biased exponent and fraction, where it exists.
fn compose<T: Float>(negative: bool, exponent: i64, fraction: i64) -> T {
    let last = 2 * i64::from(T::MAX_EXPONENT) + 1;
    let magnitude = exponent.clamp(0, last) << T::FRACTION_BITS | fraction;
    let sign = if negative { T::SIGN_BIT.pattern() } else { 0 };
    T::of_pattern(sign | magnitude as u64)
}

/// A number of random bits, few bits, or a long run of ones.
fn number<T: Float>(random: &mut Random, exponent: i64) -> T {
    let bits = i64::from(T::FRACTION_BITS);
    let mask = (1 << bits) - 1;
    let (any, shift) = (random.below(mask + 1), random.below(bits));
    let fraction = match random.below(6) {
        0 => any & (mask << shift),
        1 => any | ((1 << shift) - 1),
        2 => 1 << shift,
        3 => 0,
        _ => any,
    };
    compose(random.below(2) == 0, exponent, fraction & mask)
}

/// Factors and addend, and whether `fma_cancelling` holds there.
fn triple<T: Float>(random: &mut Random, library: fn(T, T, T) -> T) -> ([T; 3], bool) {
    let (bits, bias) = (i64::from(T::FRACTION_BITS), i64::from(T::MAX_EXPONENT));
    let [e, f, g] = match random.below(10) {
        // What is rounded to an integer, or to one and a half.
        9 => {
            let e = random.near(bias, 10);
            let f = random.near(2 * bias - e, 18);
            let (a, mut b) = (number::<T>(random, e), number::<T>(random, f));
            if random.below(2) == 0 {
                let half = random.below(1 << 12) as f64 + 0.5;
                b = T::of_f64(half / a.as_f64());
            }
            return ([a, b, T::ROUNDER], false);
        }
        // Of every size, infinite and NaN.
        0 => [0; 3].map(|_| random.below(2 * bias + 2)),
        // Of similar size.
        1 | 2 => {
            let (e, f) = (random.near(bias, 40), random.near(bias, 40));
            [e, f, random.near(e + f - bias, bits + 4)]
        }
        // With results that are subnormal or nearly so.
        3 => {
            let e = random.below(2 * bias + 1);
            [e, random.near(bias - e, bits + 4), random.below(bits + 4)]
        }
        // Near overflow.
        4 => {
            let e = random.near(bias + bias / 2, bias / 2);
            [
                e,
                random.near(3 * bias - e, 2),
                2 * bias - random.below(bits + 2),
            ]
        }
        // The addend is minus the product, or a few units of the last place beside it.
        5 => {
            let top = random.below(16) == 0;
            let e = if top {
                2 * bias
            } else {
                random.below(2 * bias + 1)
            };
            let f = random.near(2 * bias - e, bias);
            let (a, b) = (number::<T>(random, e), number::<T>(random, f));
            let product = T::of_f64(a.as_f64() * b.as_f64());
            let beside = product.pattern().wrapping_add_signed(random.below(5) - 2);
            let addend = T::of_pattern(beside ^ T::SIGN_BIT.pattern());
            let size = product.as_f64().abs();
            let holds = size >= 4.0 * T::MIN_POSITIVE.as_f64()
                && size < T::INFINITY.as_f64()
                && addend.as_f64().is_finite();
            return ([a, b, addend], holds);
        }
        // Beside a midpoint of the product's neighbourhood, by the addend.
        6 => {
            let e = random.near(bias, bias / 2 - bits);
            let f = random.near(bias, bias / 2 - bits);
            let (a, b) = (number::<T>(random, e), number::<T>(random, f));
            let high = T::of_f64(a.as_f64() * b.as_f64());
            let minus = T::of_pattern(high.pattern() ^ T::SIGN_BIT.pattern());
            let exponent = i64::from(T::exponent(high.pattern() & !T::SIGN_BIT.pattern()));
            let half = compose::<T>(random.below(2) == 0, exponent + bias - bits - 1, 0);
            let addend = T::of_f64(half.as_f64() - library(a, b, minus).as_f64());
            let beside = addend.pattern().wrapping_add_signed(random.below(5) - 2);
            return ([a, b, T::of_pattern(beside)], false);
        }
        // Beside a midpoint, from subnormal sums to overflow: the product is half a unit of the
        // addend's last place, or a quarter, but for the rounding of an inverse or i^2 eps^2.
        kind => {
            let small = random.below(4) == 0;
            let g = random.below(if small { 4 } else { 2 * bias + 1 });
            let half = g.max(1) - bias - bits - 1 - random.below(2);
            let split = random.near(half / 2, 20);
            let size = random.below(bits);
            let i = random.below(1 << size);
            let factor = compose::<T>(false, bias, i);
            let other = if kind == 7 {
                T::of_f64(1.0 / factor.as_f64())
            } else {
                T::of_f64(2.0 - factor.as_f64())
            };
            let (mask, other) = ((1 << bits) - 1, other.pattern() as i64);
            let a = compose(random.below(2) == 0, bias + split, i);
            let exponent = (other >> bits) + half - split;
            let b = compose(random.below(2) == 0, exponent, other & mask);
            return ([a, b, number(random, g)], false);
        }
    };
    (
        [number(random, e), number(random, f), number(random, g)],
        false,
    )
}

/// Whether `fma_near` holds.
fn is_near<T: Float>([a, b, c]: [T; 3], result: T) -> bool {
    let [a, b, c] = [a, b, c].map(Float::as_f64);
    let size = result.as_f64().abs();
    if T::FRACTION_BITS == 23 {
        return size > T::MIN_POSITIVE.as_f64() && size < f64::INFINITY;
    }
    let [least, most] = [-960, 1000].map(|exponent| 2.0_f64.powi(exponent));
    (least..most).contains(&c.abs())
        && (a * b).abs() <= c.abs()
        && !a.is_subnormal()
        && !b.is_subnormal()
}

/// fma of an instruction set, lane by lane.
struct Fma<'a, T>([&'a [T]; 3], &'a mut [T]);

impl<T: Float> Job for Fma<'_, T> {
    type Output = ();
    fn run<I: Isa>(self, _: I) {
        let Self([a, b, c], results) = self;
        let width = <T::Lane<I>>::WIDTH;
        for (at, results) in results.chunks_mut(width).enumerate() {
            let [a, b, c] = [a, b, c].map(|of| <T::Lane<I>>::load(&of[at * width..]));
            a.fma(b, c).store(results);
        }
    }
}

/// By the instruction where this machine has it, else by the standard library.
fn reference<T: Float>(triples: [&[T]; 3], library: fn(T, T, T) -> T, results: &mut [T]) {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(isa) = crate::lane::x86::Avx2::detect() {
        return isa.run(Fma(triples, results));
    }
    let [a, b, c] = triples;
    for (at, result) in results.iter_mut().enumerate() {
        *result = library(a[at], b[at], c[at]);
    }
}

type Emulation<T> = (&'static str, fn(&[T; 8], &[T; 8], &[T; 8]) -> [T; 8]);

/// The vector emulations of fma and of `fma_cancelling`, and the others of fma.
fn compare<T: Float>(count: usize, library: fn(T, T, T) -> T, emulations: &[Emulation<T>]) {
    const BLOCK: usize = 1 << 12;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut compared, mut cancelling, mut near, mut rounded) = (0, 0, 0, 0);
    let mut triples = [(); 3].map(|()| Vec::from([T::ZERO; BLOCK]));
    let mut results = Vec::from([T::ZERO; BLOCK]);
    for _ in 0..count / BLOCK {
        let mut holds = [false; BLOCK];
        for (at, holds) in holds.iter_mut().enumerate() {
            let (triple, cancels) = triple(&mut random, library);
            for (to, from) in triples.iter_mut().zip(triple) {
                to[at] = from;
            }
            *holds = cancels;
        }
        let [a, b, c] = &triples;
        reference([a, b, c], library, &mut results);
        for at in (0..BLOCK).step_by(8) {
            let [a, b, c] = [a, b, c].map(|of| of[at..].first_chunk::<8>().unwrap());
            for (name, emulation) in emulations {
                let values = emulation(a, b, c);
                for (lane, (value, &right)) in values.iter().zip(&results[at..]).enumerate() {
                    let triple = [a[lane], b[lane], c[lane]];
                    if name.contains("cancelling") {
                        if !holds[at + lane] {
                            continue;
                        }
                        cancelling += 1;
                    } else if name.contains("near") {
                        if !is_near(triple, right) {
                            continue;
                        }
                        near += 1;
                    } else if name.contains("rounded product") {
                        let [a, b, c] = triple.map(Float::as_f64);
                        if c != T::ROUNDER.as_f64() || (a * b).abs() >= 1e6 {
                            continue;
                        }
                        rounded += 1;
                    }
                    let (value, right) = (value.as_f64(), right.as_f64());
                    let same = value.to_bits() == right.to_bits();
                    assert!(
                        same || value.is_nan() && right.is_nan(),
                        "{name}: {:e} * {:e} + {:e} is {right:e}, not {value:e}",
                        a[lane].as_f64(),
                        b[lane].as_f64(),
                        c[lane].as_f64(),
                    );
                }
            }
            compared += 8;
        }
    }
    println!("{compared} triples, {cancelling} cancelling, {near} near, {rounded} rounded");
    assert!(cancelling > count / 20 && near > count / 20 && rounded > count / 40);
}

fn compare_f32(count: usize) {
    let lanes: &[Emulation<f32>] = &[
        ("vector", |a, b, c| {
            let [a, b, c] = [a, b, c].map(|v| Doubled::of(f32x8::new(*v)));
            fma_f32(a, b, c).vector().to_array()
        }),
        ("cancelling vector", |a, b, c| {
            let [a, b, c] = [a, b, c].map(|v| Doubled::of(f32x8::new(*v)));
            fma_cancelling_f32(a, b, c).vector().to_array()
        }),
        ("near vector", |a, b, c| {
            let [a, b, c] = [a, b, c].map(|v| Doubled::of(f32x8::new(*v)));
            fma_near_f32(a, b, c).vector().to_array()
        }),
        ("rounded product", |a, b, _| {
            let [a, b] = [a, b].map(|v| Doubled::of(f32x8::new(*v)));
            round_product_f32(a, b).0.vector().to_array()
        }),
        ("scalar", |a, b, c| {
            core::array::from_fn(|i| a[i].fma(b[i], c[i]))
        }),
        ("four scalars", |a, b, c| fours(Lane::fma, [a, b, c])),
        ("four near scalars", |a, b, c| {
            fours(Lane::fma_near, [a, b, c])
        }),
        ("definition", |a, b, c| {
            core::array::from_fn(|i| fma_by_f64(a[i], b[i], c[i]))
        }),
    ];
    compare(count, f32::mul_add, lanes);
}

type Four<T> = Pair<Pair<T>>;

/// Both halves by four scalar lanes.
fn fours<T: Float + Lane<Real = T>>(
    f: impl Fn(Four<T>, Four<T>, Four<T>) -> Four<T>,
    triples: [&[T; 8]; 3],
) -> [T; 8] {
    let mut results = [T::ZERO; 8];
    for (at, results) in results.chunks_mut(4).enumerate() {
        let [a, b, c] = triples.map(|of| <Four<T>>::load(&of[at * 4..]));
        f(a, b, c).store(results);
    }
    results
}

/// Both halves by the same function.
fn halves(f: fn(f64x4, f64x4, f64x4) -> f64x4, triples: [&[f64; 8]; 3]) -> [f64; 8] {
    let mut results = [0.0; 8];
    for (at, results) in results.chunks_mut(4).enumerate() {
        let [a, b, c] = triples.map(|of| f64x4::load(&of[at * 4..]));
        f(a, b, c).store(results);
    }
    results
}

fn compare_f64(count: usize) {
    let lanes: &[Emulation<f64>] = &[
        ("vector", |a, b, c| halves(fma_f64, [a, b, c])),
        ("cancelling vector", |a, b, c| {
            halves(fma_cancelling_f64, [a, b, c])
        }),
        ("near vector", |a, b, c| halves(fma_near_f64, [a, b, c])),
        ("rounded product", |a, b, c| {
            halves(|a, b, _| round_product_f64(a, b).0, [a, b, c])
        }),
        ("scalar", |a, b, c| {
            core::array::from_fn(|i| a[i].fma(b[i], c[i]))
        }),
        ("four scalars", |a, b, c| fours(Lane::fma, [a, b, c])),
        ("four near scalars", |a, b, c| {
            fours(Lane::fma_near, [a, b, c])
        }),
        ("four cancelling scalars", |a, b, c| {
            fours(Lane::fma_cancelling, [a, b, c])
        }),
    ];
    compare(count, f64::mul_add, lanes);
}

#[test]
fn as_the_instruction() {
    compare_f32(2_000_000);
    compare_f64(2_000_000);
}

#[test]
#[ignore = "an hour or more; docs/accuracy/README.md has the command and when it last ran"]
fn as_the_instruction_a_billion_times() {
    compare_f32(1_000_000_000);
    compare_f64(1_000_000_000);
}

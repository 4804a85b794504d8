//! The exact sum of a call's losses.
//!
//! Adding each loss to the large accumulator would cost more than computing it.
//! Instead a span of up to `SPAN` losses is added up in `f64` lanes in a way that
//! no addition rounds, and the accumulator takes a few numbers a span.
//!
//! * `f32`: a sum of 2^n of them in `f64` is exact while their exponents spread
//!   over at most 53 - 24 - n bits; one maximum and one minimum tell.
//! * Otherwise every loss x < 2^E is cut at 2^q, q = E + n - 53: with
//!   c = 1.5 * 2^(q + 52), (x + c) - c is x rounded to a multiple of 2^q. 2^n such
//!   multiples add up exactly, and the remainders are exact and at most 2^(q - 1)
//!   (Rump, Ogita and Oishi, "Accurate floating-point summation", SIAM J. Sci.
//!   Comput. 31(1), 2008). If the spread
//!   allows, the remainders add up exactly as well. If not, those of `f32` losses
//!   are cut again, and `f64` losses go to the accumulator one by one.
//! * Subnormal `f32` losses are added up as integers: widening one costs a
//!   microcode assist of more than a hundred cycles on some CPUs.
//! * On microcontrollers each loss goes to the accumulator: no `f64` arithmetic,
//!   which is software there.

use crate::blocks::{SMALL, SPAN};
use crate::lane::{Constants, Isa, Job, Lane};
use crate::sum::LossSum;

const SPAN_LOG2: i32 = SPAN.ilog2() as i32;

/// Six cuts of 44 bits each (more for shorter spans) and the remainder: from 2^128
/// down to 2^-136, below which a sum of `SPAN` multiples of 2^-149 is exact.
const PARTS: usize = 7;

/// Two exact parts of a sum, until the large state is needed: from the second
/// span on; on microcontrollers the state alone.
#[derive(Default)]
pub(crate) struct Total {
    first: Option<[f64; 2]>,
    state: Option<LossSum>,
}

impl Total {
    /// Adds two exact partial sums.
    #[inline(always)]
    pub(crate) fn add(&mut self, parts: [f64; 2]) {
        if self.first.is_none() && self.state.is_none() {
            self.first = Some(parts);
        } else {
            self.add_to_state(parts);
        }
    }

    #[inline(never)]
    fn add_to_state(&mut self, parts: [f64; 2]) {
        let state = self.state();
        for part in parts {
            if part != 0.0 {
                state.add_exact(part, 0);
            }
        }
    }

    fn state(&mut self) -> &mut LossSum {
        let state = self.state.get_or_insert(const { LossSum::new() });
        if !SMALL {
            for part in self.first.take().into_iter().flatten() {
                state.add_exact(part, 0);
            }
        }
        state
    }

    /// The sum, correctly rounded.
    pub(crate) fn to_f64(&self) -> f64 {
        match (&self.state, self.first) {
            (Some(state), _) => state.to_f64(),
            (None, Some([high, low])) if !SMALL => high + low,
            (None, _) => 0.0,
        }
    }

    /// Adds the sum, of `count` losses, to `sum`.
    pub(crate) fn add_to(mut self, sum: &mut LossSum, count: usize) {
        self.state().add_exact(0.0, count as u64);
        if let Some(state) = &self.state {
            sum.merge(state);
        }
    }

    /// Adds the subnormal ones among the losses and leaves zeros in their place.
    #[cold]
    #[inline(never)]
    fn take_subnormals<T: Constants>(&mut self, losses: &mut [T]) {
        let mut sum = 0;
        for loss in losses {
            if loss.pattern() < T::MIN_POSITIVE.pattern() {
                sum += loss.pattern();
                *loss = T::ZERO;
            }
        }
        // Below 2^(23 + 9): exact.
        self.add_to_state([sum as f64 * f64::from_bits((1023 - 149) << 52), 0.0]);
    }

    /// Adds the parts of one cut.
    #[inline(always)]
    fn add_halves<L: Lane>(&mut self, losses: &[L::Real], cut_at: i32) {
        let mut sums = (L::Wide::splat(0.0), L::Wide::splat(0.0));
        for chunk in losses.chunks_exact(L::WIDTH) {
            let (first, second) = L::load_widened(chunk);
            let (upper, lower) = cut(first, cut_at);
            sums = (sums.0 + upper, sums.1 + lower);
            if L::HALVES == 2 {
                let (upper, lower) = cut(second, cut_at);
                sums = (sums.0 + upper, sums.1 + lower);
            }
        }
        self.add_to_state([sums.0.reduce_exact_sum(), sums.1.reduce_exact_sum()]);
    }

    /// Adds the parts of `N` - 1 cuts and the remainders, which must add up exactly.
    #[inline(always)]
    fn add_cuts<L: Lane, const N: usize>(&mut self, losses: &[L::Real], cut_at: i32) {
        let mut sums = [L::Wide::splat(0.0); N];
        for chunk in losses.chunks_exact(L::WIDTH) {
            let (lower, upper) = L::load_widened(chunk);
            sums = add_parts(lower, cut_at, sums);
            if L::HALVES == 2 {
                sums = add_parts(upper, cut_at, sums);
            }
        }
        for sum in sums {
            self.add_to_state([sum.reduce_exact_sum(), 0.0]);
        }
    }
}

/// Adds up to `SPAN` losses, none negative; a multiple of the lane's width.
pub(crate) struct AddLosses<'a, T> {
    pub(crate) total: &'a mut Total,
    pub(crate) losses: &'a mut [T],
}

/// The largest pattern, and the smallest of the patterns less 1: so 0, which is
/// no obstacle to an exact sum, is the largest.
#[inline(always)]
fn extremes<L: Lane>(
    losses: &[L::Real],
    (mut max, mut min): (L::Single, L::Single),
) -> (L::Single, L::Single) {
    let smallest = L::splat(L::Real::of_pattern(1));
    for chunk in losses.chunks_exact(L::WIDTH) {
        let losses = L::load(chunk);
        max = losses.max_bits_into(max);
        min = losses.sub_bits(smallest).min_bits_into(min);
    }
    (max, min)
}

#[inline(always)]
fn exact_sum<L: Lane>(losses: &[L::Real]) -> f64 {
    let mut sum = L::Wide::splat(0.0);
    for chunk in losses.chunks_exact(L::WIDTH) {
        let (lower, upper) = L::load_widened(chunk);
        sum = sum + lower;
        if L::HALVES == 2 {
            sum = sum + upper;
        }
    }
    sum.reduce_exact_sum()
}

impl<T: Constants> Job for AddLosses<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { total, losses } = self;
        if SMALL {
            let state = total.state();
            for loss in losses {
                state.add_exact(loss.as_f64(), 0);
            }
            return;
        }
        let wide = losses.len() / <T::WideLane<I>>::WIDTH * <T::WideLane<I>>::WIDTH;
        let (spans, rest) = losses.split_at_checked(wide).unwrap_or((&*losses, &[]));
        let zero = <T::Lane<I>>::splat(T::ZERO);
        let all_ones = zero.sub_bits(<T::Lane<I>>::splat(T::of_pattern(1)));
        let seen = extremes::<T::WideLane<I>>(spans, (zero, all_ones));
        let (max, min) = extremes::<T::Lane<I>>(rest, seen);
        let (max, min) = (max.reduce_max_bits(), min.reduce_min_bits());
        if max >= T::INFINITY.pattern() {
            // No finite loss matters any more.
            total.add([T::of_pattern(max).as_f64(), 0.0]);
            return;
        }
        // All losses are below 2^top, and multiples of 2^last.
        let top = T::exponent(max) + 1;
        let last = T::exponent(min) - T::FRACTION_BITS;
        let cut_at = top + SPAN_LOG2 - 53;
        let narrow = T::FRACTION_BITS < 52;
        if narrow && last >= cut_at {
            let mut sum = exact_sum::<T::WideLane<I>>(spans);
            if !rest.is_empty() {
                sum += exact_sum::<T::Lane<I>>(rest);
            }
            total.add([sum, 0.0]);
            return;
        }
        if narrow && min + 1 < T::MIN_POSITIVE.pattern() {
            total.take_subnormals(losses);
        }
        if top <= 1000 && last >= cut_at - 1 + SPAN_LOG2 - 53 {
            // The losses may just have changed, and `spans` with them.
            let (spans, rest) = losses.split_at_checked(wide).unwrap_or((&*losses, &[]));
            total.add_halves::<T::WideLane<I>>(spans, cut_at);
            total.add_halves::<T::Lane<I>>(rest, cut_at);
        } else if narrow {
            total.add_cuts::<T::Lane<I>, PARTS>(losses, cut_at);
        } else {
            let state = total.state();
            for loss in losses {
                state.add_exact(loss.as_f64(), 0);
            }
        }
    }
}

/// Adds the parts of each cut to their sum, and the remainder to the last.
#[inline(always)]
fn add_parts<W: Lane<Real = f64>, const N: usize>(
    mut whole: W,
    mut at: i32,
    mut sums: [W; N],
) -> [W; N] {
    for (i, sum) in sums.iter_mut().enumerate() {
        if i + 1 == N {
            *sum = *sum + whole;
        } else {
            let (upper, lower) = cut(whole, at);
            *sum = *sum + upper;
            whole = lower;
            at += SPAN_LOG2 - 53;
        }
    }
    sums
}

/// Rounds to multiples of 2^`at`; the parts add up to the whole. Below the
/// range of `f64` all of it is the first part.
#[inline(always)]
fn cut<W: Lane<Real = f64>>(whole: W, at: i32) -> (W, W) {
    let exponent = (at + 52).max(-1021);
    let cutter = W::splat(1.5 * f64::from_bits(((1023 + exponent) as u64) << 52));
    let upper = (whole + cutter) - cutter;
    (upper, whole - upper)
}

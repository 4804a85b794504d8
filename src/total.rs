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
//!   allows, the remainders add up exactly as well; if not they are cut again,
//!   and what is left after `CUTS` cuts goes to the accumulator one by one.

use crate::blocks::{MAX_WIDTH, SPAN};
use crate::lane::{Constants, Lane};
use crate::sum::LossSum;

const SPAN_LOG2: i32 = SPAN.ilog2() as i32;

/// Four cuts take 176 bits: all of an `f32`'s below 2^20, and most of an `f64`'s.
const CUTS: usize = 4;

/// Two exact parts of a sum, until the large state is needed: from the second
/// span on.
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
        for part in self.first.take().into_iter().flatten() {
            state.add_exact(part, 0);
        }
        state
    }

    /// The sum, correctly rounded.
    pub(crate) fn to_f64(&self) -> f64 {
        match (&self.state, self.first) {
            (Some(state), _) => state.to_f64(),
            (None, Some([high, low])) => high + low,
            (None, None) => 0.0,
        }
    }

    /// Adds the sum, of `count` losses, to `sum`.
    pub(crate) fn add_to(mut self, sum: &mut LossSum, count: usize) {
        self.state().add_exact(0.0, count as u64);
        if let Some(state) = &self.state {
            sum.merge(state);
        }
    }

    /// Adds up to `SPAN` losses, none negative; a multiple of the lane's width.
    #[inline(always)]
    pub(crate) fn add_losses<L: Lane>(&mut self, losses: &[L::Real]) {
        let smallest = L::splat(L::Real::of_pattern(1));
        let mut max = L::Single::splat(L::Real::ZERO);
        // Of the patterns less 1: so 0, which is no obstacle, is the largest.
        let mut min = max.sub_bits(L::Single::splat(L::Real::of_pattern(1)));
        let mut sum = L::Wide::splat(0.0);
        for chunk in losses.chunks_exact(L::WIDTH) {
            let losses = L::load(chunk);
            max = losses.max_bits_into(max);
            min = losses.sub_bits(smallest).min_bits_into(min);
            if L::Real::FRACTION_BITS < 52 {
                let (lower, upper) = losses.widen();
                sum = sum + lower;
                if L::HALVES == 2 {
                    sum = sum + upper;
                }
            }
        }
        let max = L::Real::exponent(max.reduce_max_bits());
        let min = L::Real::exponent(min.reduce_min_bits());
        // All losses are below 2^top, and multiples of 2^last.
        let (top, last) = (max + 1, min - L::Real::FRACTION_BITS);

        if max > L::Real::MAX_EXPONENT.min(1000) {
            for loss in losses {
                self.add_to_state([loss.as_f64(), 0.0]);
            }
            return;
        }
        let cut_at = top + SPAN_LOG2 - 53;
        if L::Real::FRACTION_BITS < 52 && last >= cut_at {
            self.add([sum.reduce_exact_sum(), 0.0]);
        } else if last >= cut_at - 1 + SPAN_LOG2 - 53 {
            let mut sums = [L::Wide::splat(0.0); 2];
            for chunk in losses.chunks_exact(L::WIDTH) {
                let (lower, upper) = L::load(chunk).widen();
                add_parts(lower, cut_at, &mut sums);
                if L::HALVES == 2 {
                    add_parts(upper, cut_at, &mut sums);
                }
            }
            let [upper, lower] = sums;
            self.add([upper.reduce_exact_sum(), lower.reduce_exact_sum()]);
        } else {
            self.add_spread::<L>(losses, cut_at);
        }
    }

    /// For exponents that spread too far for one cut.
    #[inline(always)]
    fn add_spread<L: Lane>(&mut self, losses: &[L::Real], cut_at: i32) {
        let mut sums = [L::Wide::splat(0.0); CUTS];
        for chunk in losses.chunks_exact(L::WIDTH) {
            let (lower, upper) = L::load(chunk).widen();
            self.add_cuts(lower, cut_at, &mut sums);
            if L::HALVES == 2 {
                self.add_cuts(upper, cut_at, &mut sums);
            }
        }
        for sum in sums {
            self.add_to_state([sum.reduce_exact_sum(), 0.0]);
        }
    }

    /// Adds the parts of each cut to their sum, and what is left by itself.
    #[inline(always)]
    fn add_cuts<W: Lane<Real = f64>>(&mut self, mut whole: W, mut at: i32, sums: &mut [W; CUTS]) {
        for sum in sums {
            let (upper, lower) = cut(whole, at);
            *sum = *sum + upper;
            whole = lower;
            at += SPAN_LOG2 - 53;
        }
        if W::any(whole.abs().greater(W::splat(0.0))) {
            let mut elements = [0.0; MAX_WIDTH];
            whole.store(&mut elements);
            for pair in elements.as_chunks().0 {
                self.add_to_state(*pair);
            }
        }
    }
}

#[inline(always)]
fn add_parts<W: Lane<Real = f64>>(whole: W, at: i32, sums: &mut [W; 2]) {
    let (upper, lower) = cut(whole, at);
    *sums = [sums[0] + upper, sums[1] + lower];
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

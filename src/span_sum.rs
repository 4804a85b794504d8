//! The exact sum of a call's losses.
//!
//! Adding each loss to the large accumulator would cost more than computing it.
//! Instead a span of losses is added up in `f64` lanes in a way that
//! no addition rounds, and the accumulator takes a few numbers a span.
//!
//! * `f32`: a sum of 2^n of them in `f64` is exact while their exponents spread
//!   over at most 53 - 24 - n bits; one maximum and one minimum tell.
//! * Otherwise every loss x < 2^E is cut at 2^q, q = E + n - 53: with
//!   c = 1.5 * 2^(q + 52), (x + c) - c is x rounded to a multiple of 2^q. 2^n such
//!   multiples add up exactly, and the remainders are exact and at most 2^(q - 1)
//!   (Rump, Ogita and Oishi, "Accurate floating-point summation", SIAM J. Sci.
//!   Comput. 31(1), 2008). If the spread
//!   allows, the remainders add up exactly as well. If not, they are cut again:
//!   `f32` losses up to four times more, `f64` losses until nothing is left.
//! * Subnormal losses are added up as integers: widening one, and cutting one by
//!   subtractions, costs a microcode assist of more than a hundred cycles on some
//!   CPUs; for the same reason small `f64` losses are scaled up before they are cut.
//! * Losses of all magnitudes go one by one to integers, each of 32 binary exponents (Neal, "Fast exact
//!   summation using small and large superaccumulators", arXiv:1505.05571, 2015), those of `f32`,
//!   if cuts do not do, to `f64` sums of 16.
//! * On microcontrollers each loss goes to the accumulator: no `f64` arithmetic,
//!   which is software there.

use core::hint::black_box;

use crate::lane::{FIRMWARE, Float, Isa, Job, Lane, MAX_WIDTH};
use crate::sum::{BINS, Double, LossSum};

/// The parts of `f64` losses below 2^LOW may be subnormal, and cost an assist each.
const LOW: i32 = -800;

/// Cuts and what they leave, if `f32`: from 2^28 down to 2^-149, and from 2^116. What needs more goes to bins.
const PARTS: usize = 4;
const MOST_PARTS: usize = 6;

/// Sums of each bin of `f32` losses, so that not so many of one size wait for each other.
pub(crate) const FEW: usize = 4;

struct Bins {
    /// On microcontrollers, which have none, as small as can be.
    bins: [u64; if FIRMWARE { 0 } else { BINS }],
    /// How many losses they have taken.
    count: usize,
    /// What adds them, for programs that have losses for them.
    merge: fn(&mut LossSum, &Bins),
}

/// How many losses bins take: of each less than 2^52 and 2^32.
const MOST_BINNED: usize = 1 << 11;

/// As many cuts of `f64` losses take less time than bins.
const MOST_LEVELS: i32 = 7;

/// An exact sum: an integer of spans in the window, two parts of one other span, and the
/// large state for what comes then; on microcontrollers the state alone.
#[derive(Default)]
pub struct SpanSum {
    /// In units of 2^`unit`, which is the same for all calls on a type.
    integer: i128,
    unit: i32,
    has_first: bool,
    high: f64,
    low: f64,
    state: Option<LossSum>,
    /// In units of 2^(32 index - 1074), beside a state: moving them there takes as long as a block's losses.
    bins: Option<Bins>,
}

impl SpanSum {
    /// Adds an exact sum of values of type `T`, in two parts.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add<T: Float>(&mut self, high: f64, low: f64) {
        if self.has_first || self.state.is_some() || self.integer != 0 {
            self.add_second(high, low, unit::<T>());
        } else {
            self.has_first = true;
            self.high = high;
            self.low = low;
        }
    }

    /// As integers in units of 2^`unit` where they are such, which is a tenth of the work.
    #[inline(never)]
    fn add_second(&mut self, high: f64, low: f64, unit: i32) {
        if self.has_first {
            self.has_first = false;
            self.add_units(self.high, unit);
            self.add_units(self.low, unit);
        }
        self.add_units(high, unit);
        self.add_units(low, unit);
    }

    #[inline(never)]
    fn add_units(&mut self, part: f64, unit: i32) {
        match units(part, unit) {
            Some(integer) => self.add_integer(integer, unit),
            None => add_part(self.state(), part),
        }
    }

    /// Adds integer * 2^unit.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_integer(&mut self, integer: i128, unit: i32) {
        // Each is below 2^111.
        if self.integer.unsigned_abs() >> 120 != 0 {
            self.state();
        }
        self.integer += integer;
        self.unit = unit;
    }

    #[inline(never)]
    fn state(&mut self) -> &mut LossSum {
        let state = self.state.get_or_insert(const { LossSum::new() });
        if !FIRMWARE {
            if self.has_first {
                self.has_first = false;
                add_part(state, self.high);
                add_part(state, self.low);
            }
            if self.integer != 0 {
                let negative = self.integer < 0;
                let mut position = (self.unit + 1074) as u64;
                let mut rest = self.integer.unsigned_abs();
                while rest != 0 {
                    state.add_shifted(u64::from(rest as u32), position, negative);
                    rest >>= 32;
                    position += 32;
                }
                self.integer = 0;
            }
        }
        state
    }

    /// `state` with all that was added.
    fn whole_state(&mut self) -> &mut LossSum {
        if let (Some(bins), Some(state)) = (&self.bins, &mut self.state) {
            (bins.merge)(state, bins);
        }
        self.bins = None;
        self.state()
    }

    /// The sum, twice as precise as `f64`.
    pub(crate) fn double(&mut self) -> Double {
        match (&self.state, self.has_first) {
            (None, false) => {
                let high = self.integer as f64;
                let low = (self.integer - high as i128) as f64;
                let unit = power_of_two(self.unit);
                Double::sum(high * unit, low * unit)
            }
            (None, true) if self.integer == 0 && !FIRMWARE => Double::sum(self.high, self.low),
            _ => self.whole_state().to_double(),
        }
    }

    /// The sum, correctly rounded.
    pub(crate) fn nearest(&mut self) -> f64 {
        match (&self.state, self.has_first) {
            (None, false) => rounded(self.integer, self.unit),
            (None, true) if self.integer == 0 && !FIRMWARE => self.high + self.low,
            _ => self.whole_state().to_f64(),
        }
    }

    /// The sum as that of `count` values.
    pub(crate) fn into_state(mut self, count: usize) -> LossSum {
        self.whole_state().add_exact(0.0, count as u64);
        self.state.unwrap_or_default()
    }

    /// Adds the subnormal ones among the losses and leaves zeros in their place.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn take_subnormals<L: Lane>(&mut self, losses: &mut [L::Real]) {
        let zero = L::splat(L::Real::ZERO);
        let normal = L::splat(L::Real::MIN_POSITIVE);
        let mut patterns = zero;
        for chunk in losses.chunks_exact_mut(L::WIDTH) {
            let losses = L::load(chunk);
            let subnormal = normal.greater(losses);
            let taken = L::select(subnormal, losses, zero);
            patterns = patterns.add_bits(taken);
            // Exact. Compilers would make a store under a mask of a selection, which is slow on some CPUs.
            (losses - taken).store(chunk);
        }
        // Even a lane of one element stays below 2^(23 + 9) or 2^(52 + 9).
        let mut sums = [L::Real::ZERO; MAX_WIDTH];
        patterns.store(&mut sums);
        let sum = sums.into_iter().map(Float::pattern).sum();
        self.state().add_shifted(sum, lowest::<L::Real>(), false);
    }

    /// Cuts off the upper parts and adds them up, until nothing is left. For losses
    /// that are normal or 0.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_levels<L: Lane>(&mut self, losses: &mut [L::Real], mut top: i32) {
        // Scaled up, so that no part becomes subnormal.
        const SCALE: i32 = 200;
        const UP: f64 = f64::from_bits(((1023 + SCALE) as u64) << 52);
        let zero = <L::Wide as Lane>::splat(0.0);
        let mut unit = 1.0;
        loop {
            if top < LOW && unit == 1.0 {
                for chunk in losses.chunks_exact_mut(L::WIDTH) {
                    let scaled = L::load_widened(chunk).0 * <L::Wide as Lane>::splat(UP);
                    L::narrow(scaled, zero).store(chunk);
                }
                top += SCALE;
                unit = 1.0 / UP;
            }
            let mut sum = zero;
            // An upper bound is enough, and cheaper than a maximum.
            let mut left = zero;
            let cut_at = top + L::Real::SPAN_LOG2 - 53;
            for chunk in losses.chunks_exact_mut(L::WIDTH) {
                let (upper, lower) = cut(L::load_widened(chunk).0, cut_at);
                sum = sum + upper;
                left = left.or_bits(lower);
                L::narrow(lower, zero).store(chunk);
            }
            add_part(self.state(), sum.reduce_exact_sum() * unit);
            let left = left.abs().reduce_max_bits();
            if left == 0 {
                return;
            }
            top = cut_at.min(f64::exponent(left) + 1);
        }
    }

    /// Adds up to a span of losses, one by one, whatever their magnitudes.
    #[inline(never)]
    fn add_bins<T: Float>(&mut self, losses: &[T]) {
        if T::FRACTION_BITS < 32 {
            return self.add_few_bins(losses);
        }
        // What bins go to in the end.
        self.state();
        if matches!(&self.bins, Some(bins) if bins.count + losses.len() > MOST_BINNED) {
            self.whole_state();
        }
        let Bins { bins, count, .. } = self.bins.get_or_insert(Bins {
            bins: [0; _],
            count: 0,
            merge: |state, bins| state.merge(&LossSum::of_bins(&bins.bins)),
        });
        *count += losses.len();
        let lowest = lowest::<T>();
        for loss in losses {
            let pattern = loss.pattern();
            // Subnormal numbers have the scale of the least normal ones.
            let exponent = (pattern >> T::FRACTION_BITS).saturating_sub(1);
            let significand = pattern - (exponent << T::FRACTION_BITS);
            let position = exponent + lowest;
            let (bin, shift) = ((position >> 5) as usize & 63, position & 31);
            bins[bin] += (significand << shift) & 0xffff_ffff;
            bins[bin + 1] += significand >> (32 - shift);
        }
    }

    /// The same of `f32`: a sum of 512 of 16 exponents is exact in `f64`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_few_bins<T: Float>(&mut self, losses: &[T]) {
        let mut bins = [[0.0; FEW]; 16];
        for losses in losses.as_chunks::<FEW>().0 {
            for (sum, loss) in losses.iter().enumerate() {
                let bin = (loss.pattern() >> (T::FRACTION_BITS + 4)) as usize;
                bins[bin & 15][sum] += loss.as_f64();
            }
        }
        let state = self.state();
        // Not unrolled.
        for [a, b, c, d] in black_box(&bins[..]) {
            let sum = (a + b) + (c + d);
            if sum != 0.0 {
                add_part(state, sum);
            }
        }
    }

    /// Adds the parts of `N` - 1 cuts and the remainders, which must add up exactly.
    ///
    /// Accumulators begin at the numbers that cut, and 128 additions keep them in their binades: lanes have four elements
    /// or more. Half of the additions are FMAs, for which some CPUs have other ports.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_cuts<L: Lane, const N: usize>(&mut self, losses: &[L::Real], cut_at: i32) {
        // Compilers would make an addition of an FMA by 1.
        let one = L::Wide::splat(black_box(1.0));
        let zero = L::Wide::splat(0.0);
        let mut starts = [zero; N];
        let mut at = cut_at;
        for start in starts.iter_mut().take(N - 1) {
            *start = cutter(at);
            at -= 53 - L::Real::SPAN_LOG2;
        }
        let mut sums = starts;
        let mut rests = [zero; N];
        // And zeros behind them, for what is left of the last.
        for at in (0..losses.len() + N / 2 * L::WIDTH).step_by(L::WIDTH) {
            let (mut lower, mut upper) = (zero, zero);
            if let Some(losses) = losses.get(at..at + L::WIDTH) {
                (lower, upper) = L::load_widened(losses);
            }
            add_parts(lower, one, &mut rests, &mut sums);
            add_parts(upper, one, &mut rests, &mut sums);
        }
        let mut parts = sums;
        for (part, start) in parts.iter_mut().zip(starts) {
            *part = *part - start;
        }
        let state = self.state();
        // As slices of a length that is not known, so that one call is compiled, not N.
        for part in black_box(&parts[..]) {
            add_part(state, part.reduce_exact_sum());
        }
    }
}

/// The exact sum of losses from spans whose |z| are small, without a pass of its own.
///
/// Where |z| <= `WINDOW_LIMIT` every loss is a multiple of 2^`UNIT` and below 2^`TOP`, so
/// that an accumulator which starts at C = 1.5 * 2^(UNIT + 52) takes 2^(UNIT + 51 - TOP) of
/// them without rounding, and without leaving its binade: its pattern less that of C is
/// their sum as an integer. Patterns add up as integers, and become numbers at the end.
///
/// `f64` losses have more bits than that: what the first accumulator did not take is a
/// multiple of 2^`LOW_UNIT` and goes, exactly, to a second one (Demmel and Nguyen, "Parallel
/// reproducible summation", IEEE TC 64(7), 2015).
#[derive(Clone, Copy)]
pub(crate) struct Window<L: Lane> {
    high: L::Wide,
    low: L::Wide,
    high_total: L::Wide,
    low_total: L::Wide,
    spans: u32,
}

impl<L: Lane> Window<L> {
    /// An accumulator's additions in a span, or in one that lacks a group and ends with up
    /// to three single vectors.
    const ADDITIONS: usize = L::HALVES * ((1 << L::Real::SPAN_LOG2) / L::WIDTH + 2);
    const START: f64 = start(L::Real::WINDOW_UNIT - L::SPREAD_LOG2);
    const LOW_START: f64 = start(L::Real::WINDOW_LOW_UNIT);
    /// An accumulator's pattern moves by at most 2^51 in a span, and there are up to 32 of them.
    const MOST_SPANS: u32 = 1 << 6;

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn new() -> Self {
        let zero = L::Wide::splat(0.0);
        Self {
            high: L::Wide::splat(Self::START),
            low: L::Wide::splat(Self::LOW_START),
            high_total: zero,
            low_total: zero,
            spans: 0,
        }
    }

    /// Whether a span with this largest pattern of -|z| fits.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn holds(minus_a: L::Single) -> bool {
        Self::ADDITIONS <= L::Real::WINDOW_ADDITIONS
            && !minus_a.may_exceed(-L::Single::splat(L::Real::WINDOW_LIMIT))
    }

    /// Adds losses as `spread` returns them.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn add(&mut self, (lower, upper): (L::Wide, L::Wide)) {
        if L::Real::FRACTION_BITS < 52 {
            self.high = self.high + lower;
            if L::HALVES == 2 {
                self.high = self.high + upper;
            }
        } else {
            let high = self.high + lower;
            self.low = self.low + (lower - (high - self.high));
            self.high = high;
        }
    }

    /// For `short_sum` alone.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn short() -> Self {
        let zero = L::Wide::splat(0.0);
        let mut window = Self::new();
        if L::Real::FRACTION_BITS < 52 {
            window.high = zero;
        }
        window.low = zero;
        window
    }

    /// The sum of one vector of losses up to `WINDOW_LIMIT`, as `widen` returns them, correctly rounded.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn sum_of_one((lower, upper): (L::Wide, L::Wide)) -> f64 {
        if L::HALVES == 2 {
            return (lower + upper).reduce_exact_sum();
        }
        if L::Real::FRACTION_BITS < 52 {
            return lower.reduce_exact_sum();
        }
        let start = L::Wide::splat(Self::START);
        let high = (lower + start) - start;
        high.reduce_exact_sum() + (lower - high).reduce_exact_sum()
    }

    /// The sum of at most a span of losses up to `SHORT_SUM_LIMIT`, of which an accumulator has taken at most 32,
    /// correctly rounded: every partial sum is exact but the last.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn short_sum(self) -> f64 {
        if L::Real::FRACTION_BITS < 52 {
            return self.high.reduce_exact_sum() * power_of_two(L::SPREAD_LOG2);
        }
        let high = self.high - L::Wide::splat(Self::START);
        high.reduce_exact_sum() + self.low.reduce_exact_sum()
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn end_span(&mut self, sum: &mut SpanSum) {
        let start = L::Wide::splat(Self::START);
        self.high_total = self.high_total.add_bits(self.high.sub_bits(start));
        self.high = start;
        if L::Real::FRACTION_BITS == 52 {
            let start = L::Wide::splat(Self::LOW_START);
            self.low_total = self.low_total.add_bits(self.low.sub_bits(start));
            self.low = start;
        }
        self.spans += 1;
        if self.spans == Self::MOST_SPANS {
            self.flush(sum);
        }
    }

    /// Moves everything to `sum`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn flush(&mut self, sum: &mut SpanSum) {
        if self.spans == 0 {
            return;
        }
        let mut integer = i128::from(self.high_total.reduce_add_bits());
        if L::Real::FRACTION_BITS == 52 {
            integer <<= L::Real::WINDOW_UNIT - L::Real::WINDOW_LOW_UNIT;
            integer += i128::from(self.low_total.reduce_add_bits());
        }
        sum.add_integer(integer, unit::<L::Real>());
        *self = Self::new();
    }
}

/// Not inlined: it is code that few calls need.
#[inline(never)]
fn add_part(state: &mut LossSum, part: f64) {
    state.add_exact(part, 0);
}

/// The unit of a type's smallest losses is 2^-1074 times 2 to this power.
const fn lowest<T: Float>() -> u64 {
    (1074 + 1 - T::MAX_EXPONENT - T::FRACTION_BITS) as u64
}

/// The exponent of the unit of a type's integers.
const fn unit<T: Float>() -> i32 {
    if T::FRACTION_BITS == 52 {
        T::WINDOW_LOW_UNIT
    } else {
        T::WINDOW_UNIT
    }
}

/// A number as a multiple of 2^unit below 2^111, if it is one.
fn units(number: f64, unit: i32) -> Option<i128> {
    let bits = number.to_bits();
    let exponent = (bits >> 52) as i32 & 0x7ff;
    if exponent == 0 {
        return (number == 0.0).then_some(0);
    }
    let significand = bits & ((1 << 52) - 1) | 1 << 52;
    let zeros = significand.trailing_zeros();
    let odd = significand >> zeros;
    let shift = exponent - (1023 + 52) + zeros as i32 - unit;
    // Neither infinity nor NaN.
    if !(0..=111 - 53).contains(&shift) {
        return None;
    }
    let magnitude = i128::from(odd) << shift;
    Some(if number < 0.0 { -magnitude } else { magnitude })
}

/// integer * 2^unit, rounded once.
fn rounded(integer: i128, unit: i32) -> f64 {
    let rounded = match i64::try_from(integer) {
        Ok(integer) => integer as f64,
        Err(_) => integer as f64,
    };
    rounded * power_of_two(unit)
}

/// The number in the middle of the binade whose unit in the last place is 2^`unit`.
const fn start(unit: i32) -> f64 {
    1.5 * power_of_two(unit + 52)
}

const fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

/// Adds up to a span of losses, none negative; a multiple of a group's width, and of `FEW`.
pub(crate) struct AddLosses<'a, T> {
    pub(crate) sum: &'a mut SpanSum,
    pub(crate) losses: &'a mut [T],
}

/// The largest pattern, and the smallest of the patterns less 1: so 0, which is
/// no obstacle to an exact sum, is the largest.
#[cfg_attr(not(debug_assertions), inline(always))]
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

#[cfg_attr(not(debug_assertions), inline(always))]
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

/// The sums of the upper and of the lower parts of one cut.
#[cfg_attr(not(debug_assertions), inline(always))]
fn halves<L: Lane>(losses: &[L::Real], cut_at: i32) -> (f64, f64) {
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
    (sums.0.reduce_exact_sum(), sums.1.reduce_exact_sum())
}

impl<T: Float> Job for AddLosses<'_, T> {
    type Output = ();

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) {
        let Self { sum: total, losses } = self;
        if FIRMWARE {
            let state = total.state();
            for loss in losses {
                state.add_exact(loss.as_f64(), 0);
            }
            return;
        }
        let zero = <T::Lane<I>>::splat(T::ZERO);
        let all_ones = zero.sub_bits(<T::Lane<I>>::splat(T::of_pattern(1)));
        let (max, min) = extremes::<T::GroupLane<I>>(losses, (zero, all_ones));
        let (max, min) = (max.reduce_max_bits(), min.reduce_min_bits());
        if max >= T::INFINITY.pattern() {
            // No finite loss matters any more.
            total.add::<T>(T::of_pattern(max).as_f64(), 0.0);
            return;
        }
        // All losses are below 2^top, and multiples of 2^last.
        let top = T::exponent(max) + 1;
        let last = T::exponent(min) - T::FRACTION_BITS;
        let cut_at = top + T::SPAN_LOG2 - 53;
        let narrow = T::FRACTION_BITS < 52;
        if narrow && last >= cut_at {
            total.add::<T>(exact_sum::<T::GroupLane<I>>(losses), 0.0);
            return;
        }
        if top > 1000 {
            let state = total.state();
            for loss in losses {
                add_part(state, loss.as_f64());
            }
            return;
        }
        // The last places that this many parts reach down to, of which the last is what cuts leave.
        let step = 53 - T::SPAN_LOG2;
        let reached = |parts: i32| top - 1 - step * parts;
        let cuts_hold = last >= reached(if narrow { PARTS as i32 } else { MOST_LEVELS });
        let normal = T::MIN_POSITIVE.pattern();
        // What emulates FMA has losses that take longer than bins, and needs no other way.
        if !I::FAST || !narrow && !cuts_hold && max >= normal {
            total.add_bins(losses);
            return;
        }
        if min < normal - 1 {
            total.take_subnormals::<T::Lane<I>>(losses);
            if max < normal {
                return;
            }
        }
        if narrow && last >= reached(2) {
            total.add_cuts::<T::Lane<I>, 2>(losses, cut_at);
        } else if !narrow && top >= LOW && last >= reached(2) {
            let (upper, lower) = halves::<T::GroupLane<I>>(losses, cut_at);
            total.add::<T>(upper, lower);
        } else if !narrow {
            total.add_levels::<T::Lane<I>>(losses, top);
        } else if cuts_hold {
            total.add_cuts::<T::Lane<I>, PARTS>(losses, cut_at);
        } else if last >= reached(MOST_PARTS as i32) {
            total.add_cuts::<T::Lane<I>, MOST_PARTS>(losses, cut_at);
        } else {
            total.add_bins(losses);
        }
    }
}

/// Adds the part of the first cut to its sum, and those of further cuts of what they left of vectors before, so that
/// no operation waits for many others. `one` is 1.
#[cfg_attr(not(debug_assertions), inline(always))]
fn add_parts<W: Lane<Real = f64>, const N: usize>(
    whole: W,
    one: W,
    rests: &mut [W; N],
    sums: &mut [W; N],
) {
    for i in (0..N).rev() {
        let whole = if i == 0 { whole } else { rests[i - 1] };
        if i + 1 == N {
            sums[i] = sums[i] + whole;
        } else {
            // Half of these additions are FMAs, for which CPUs have other ports.
            let next = if i % 2 == 0 {
                whole.fma(one, sums[i])
            } else {
                sums[i] + whole
            };
            rests[i] = (next - sums[i]).neg_fma(one, whole);
            sums[i] = next;
        }
    }
}

/// Rounds to multiples of 2^`at`; the parts add up to the whole. Below the
/// range of `f64` all of it is the first part.
#[cfg_attr(not(debug_assertions), inline(always))]
fn cut<W: Lane<Real = f64>>(whole: W, at: i32) -> (W, W) {
    let cutter = cutter::<W>(at);
    let upper = (whole + cutter) - cutter;
    (upper, whole - upper)
}

/// Adding it rounds to multiples of 2^`at`.
#[cfg_attr(not(debug_assertions), inline(always))]
fn cutter<W: Lane<Real = f64>>(at: i32) -> W {
    let exponent = (at + 52).max(-1022);
    W::splat(1.5 * f64::from_bits(((1023 + exponent) as u64) << 52))
}

/// Adds any number of values of one sign, by their magnitudes; NaN is of both signs.
pub(crate) struct AddValues<'a, T> {
    pub(crate) sum: &'a mut SpanSum,
    pub(crate) values: &'a [T],
    pub(crate) negative: bool,
}

impl<T: Float> Job for AddValues<'_, T> {
    /// Whether there were values of the other sign.
    type Output = bool;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, isa: I) -> bool {
        let width = <T::Lane<I>>::WIDTH;
        let zero = <T::Lane<I>>::splat(T::ZERO);
        let sign = <T::Lane<I>>::splat(if self.negative { T::SIGN_BIT } else { T::ZERO });
        let mut others = zero;
        let mut buffer = T::SPAN;
        let buffer = buffer.as_mut();
        for values in self.values.chunks(buffer.len()) {
            let group = <T::GroupLane<I>>::WIDTH.max(FEW);
            let length = values.len().next_multiple_of(group);
            let losses = buffer.get_mut(..length).unwrap_or(&mut []);
            for at in (0..length).step_by(width) {
                let value = <T::Lane<I>>::load(values.get(at..).unwrap_or(&[])).xor_bits(sign);
                let other = zero.greater(value);
                others = <T::Lane<I>>::select(other, value, others);
                // Not -0, nor a NaN with a sign.
                let value = <T::Lane<I>>::select(other, zero, value).abs();
                value.store(losses.get_mut(at..).unwrap_or(&mut []));
            }
            isa.run(AddLosses {
                sum: self.sum,
                losses,
            });
        }
        others.exceeds_bits(zero)
    }
}

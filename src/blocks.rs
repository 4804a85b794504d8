//! The walk over slices.
//!
//! Blocks of `BLOCK` elements go through the fast kernel, which also keeps the
//! largest |z| and the largest target as bit patterns: one integer maximum each
//! tells, once per block, whether anything in it needs the full kernel or is not
//! a valid target (a negative or NaN pattern is larger than that of 1). A block
//! that fails is done again with the full kernel, before anything is overwritten
//! that it needs. The rest of fewer elements than a lane holds takes the full
//! kernel and partial loads, so that there is no scalar loop.

use crate::error::Error;
use crate::kernel::Pointwise;
use crate::lane::{Constants, Isa, Job, Lane};
use crate::sum::LossSum;

/// Elements per block. A power of two; its logarithm enters the exactness of the
/// block sums. 256: 128 cost 3 % more, 512 and more gained nothing.
pub(crate) const BLOCK: usize = 256;
pub(crate) const BLOCK_LOG2: u32 = BLOCK.ilog2();

/// How far ahead of the loads lines are asked for, in bytes.
const PREFETCH_BYTES: usize = 2048;

/// Outputs of at least this size are stored past the caches.
const STREAM_BYTES: usize = 16 << 20;

pub(crate) const LOSS: u8 = 1;
pub(crate) const GRADIENT: u8 = 2;
pub(crate) const HESSIAN: u8 = 4;
pub(crate) const SUM: u8 = 8;
/// With `GRADIENT`: divided by `Outputs::divisor`.
pub(crate) const DIVIDE: u8 = 16;

/// The inputs of a call; `t` and `weights` are as long as `z` or not used.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) t: &'a [T],
    pub(crate) weights: Option<&'a [T]>,
}

/// The outputs of a call; those that `WHAT` names are as long as the inputs.
pub(crate) struct Outputs<'a, T> {
    pub(crate) loss: &'a mut [T],
    pub(crate) gradient: &'a mut [T],
    pub(crate) hessian: &'a mut [T],
    /// Gradient and Hessian are divided by it, where there is one.
    pub(crate) divisor: Option<T>,
}

impl<T> Default for Outputs<'_, T> {
    fn default() -> Self {
        Self {
            loss: &mut [],
            gradient: &mut [],
            hessian: &mut [],
            divisor: None,
        }
    }
}

/// What a block tells besides its outputs: extremes as bit patterns, and sums.
struct Seen<L: Lane> {
    minus_a: L,
    target: L,
    weight: L,
    loss_max: L,
    loss_min: L,
    sums: (L::Wide, L::Wide),
}

impl<L: Lane> Seen<L> {
    #[inline(always)]
    fn nothing() -> Self {
        let zero = L::splat(L::Real::ZERO);
        let wide_zero = L::Wide::splat(0.0);
        Self {
            minus_a: zero,
            target: zero,
            weight: zero,
            loss_max: zero,
            loss_min: L::splat(L::Real::MAX),
            sums: (wide_zero, wide_zero),
        }
    }

    /// Whether some |z| is NaN or too large for the fast kernel.
    #[inline(always)]
    fn beyond_fast_limit(&self) -> bool {
        let limit = L::Real::SIGN_BIT.pattern() | L::Real::FAST_LIMIT.pattern();
        self.minus_a.reduce_max_bits() > limit
    }

    /// Whether some target or weight may be invalid; -0 gives false alarms.
    #[inline(always)]
    fn suspect(&self) -> bool {
        self.target.reduce_max_bits() > L::Real::ONE.pattern()
            || self.weight.reduce_max_bits() > L::Real::MAX.pattern()
    }

    /// Whether the order of the additions in `sums` cannot have mattered.
    #[inline(always)]
    fn sums_are_exact(&self) -> bool {
        L::Real::block_sum_is_exact(
            L::Real::of_pattern(self.loss_max.reduce_max_bits()),
            L::Real::of_pattern(self.loss_min.reduce_min_bits()),
        )
    }
}

/// The exact sum of a call's losses. The large state exists from the second
/// block on only.
#[derive(Default)]
pub(crate) struct Total {
    first: Option<[f64; 2]>,
    state: Option<LossSum>,
}

impl Total {
    /// Adds two exact partial sums.
    #[inline(always)]
    fn add(&mut self, parts: [f64; 2]) {
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

    /// Adds every element of a lane by itself.
    #[inline(always)]
    fn add_each<L: Lane>(&mut self, losses: L) {
        let mut elements = [L::Real::ZERO; 16];
        losses.store(&mut elements);
        for pair in elements.as_chunks().0 {
            let [a, b] = *pair;
            self.add_to_state([a.as_f64(), b.as_f64()]);
        }
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
}

/// One call, generic over the instruction set.
pub(crate) struct Walk<'a, T: Constants, P, const WHAT: u8> {
    pub(crate) function: P,
    pub(crate) inputs: Inputs<'a, T>,
    pub(crate) outputs: Outputs<'a, T>,
    pub(crate) total: &'a mut Total,
}

/// The part of `from` from `start` on.
#[inline(always)]
fn rest<T>(from: &[T], start: usize) -> &[T] {
    from.get(start..).unwrap_or(&[])
}

#[inline(always)]
fn rest_mut<T>(from: &mut [T], start: usize) -> &mut [T] {
    from.get_mut(start..).unwrap_or(&mut [])
}

#[inline(always)]
fn part<T>(from: &[T], start: usize, length: usize) -> &[T] {
    let from = rest(from, start);
    from.get(..length).unwrap_or(from)
}

#[inline(always)]
fn part_mut<T>(from: &mut [T], start: usize, length: usize) -> &mut [T] {
    let from = rest_mut(from, start);
    if length < from.len() {
        from.get_mut(..length).unwrap_or(&mut [])
    } else {
        from
    }
}

#[inline(always)]
fn put<L: Lane>(value: L, to: &mut [L::Real], stream: bool) {
    if stream {
        value.stream(to)
    } else {
        value.store(to)
    }
}

/// value * weight; 0 where the weight is, whatever the value.
#[inline(always)]
fn weigh<L: Lane>(value: L, weight: L) -> L {
    let zero = L::splat(L::Real::ZERO);
    L::select(weight.equal(zero), zero, value * weight)
}

impl<T: Constants, P: Pointwise<T>, const WHAT: u8> Walk<'_, T, P, WHAT> {
    /// Applies the function to one block. `FULL` blocks may have any length,
    /// others a multiple of the lane's width.
    #[inline(always)]
    fn block<I: Isa, const FULL: bool>(
        &mut self,
        isa: I,
        start: usize,
        length: usize,
        stream: bool,
        each: bool,
    ) -> Seen<T::Lane<I>> {
        let width = <T::Lane<I>>::WIDTH;
        let zero = <T::Lane<I>>::splat(T::ZERO);
        let largest = <T::Lane<I>>::splat(T::MAX);
        let sign_bit = <T::Lane<I>>::splat(T::SIGN_BIT);
        let divisor = <T::Lane<I>>::splat(self.outputs.divisor.unwrap_or(T::ONE));
        let z_block = part(self.inputs.z, start, length);
        let t_block = part(self.inputs.t, start, length);
        let w_block = self
            .inputs
            .weights
            .map(|weights| part(weights, start, length));
        let loss_block = part_mut(self.outputs.loss, start, length);
        let gradient_block = part_mut(self.outputs.gradient, start, length);
        let hessian_block = part_mut(self.outputs.hessian, start, length);

        let mut seen = Seen::<T::Lane<I>>::nothing();
        let mut at = 0;
        while at < z_block.len() {
            let here = rest(z_block, at);
            isa.prefetch(here, PREFETCH_BYTES / size_of::<T>());
            let z = <T::Lane<I>>::load(here);
            seen.minus_a = seen.minus_a.max_bits(z.or_bits(sign_bit));
            let mut t = z;
            if P::READS_TARGET {
                let here = rest(t_block, at);
                isa.prefetch(here, PREFETCH_BYTES / size_of::<T>());
                t = <T::Lane<I>>::load(here);
                seen.target = seen.target.max_bits(t);
            }
            let mut point = self.function.at::<T::Lane<I>, FULL>(z, t);
            if P::OPTIONS
                && let Some(w_block) = w_block
            {
                let here = rest(w_block, at);
                isa.prefetch(here, PREFETCH_BYTES / size_of::<T>());
                let weight = <T::Lane<I>>::load(here);
                seen.weight = seen.weight.max_bits(weight);
                point.loss = weigh(point.loss, weight);
                point.gradient = weigh(point.gradient, weight);
                point.hessian = weigh(point.hessian, weight);
            }
            if WHAT & SUM != 0 {
                let mut loss = point.loss;
                let mut smallest = loss;
                if FULL {
                    let real = <T::Lane<I>>::first(z_block.len() - at);
                    loss = <T::Lane<I>>::select(real, loss, zero);
                }
                if FULL || P::OPTIONS {
                    smallest = <T::Lane<I>>::select(loss.equal(zero), largest, loss);
                }
                seen.loss_max = seen.loss_max.max_bits(loss);
                seen.loss_min = seen.loss_min.min_bits(smallest);
                if FULL && each {
                    self.total.add_each(loss);
                } else {
                    T::accumulate(loss, &mut seen.sums);
                }
            }
            if WHAT & LOSS != 0 {
                put(point.loss, rest_mut(loss_block, at), stream);
            }
            if WHAT & GRADIENT != 0 {
                let mut gradient = point.gradient;
                if WHAT & DIVIDE != 0 {
                    gradient = gradient / divisor;
                }
                put(gradient, rest_mut(gradient_block, at), stream);
            }
            if WHAT & HESSIAN != 0 {
                put(point.hessian, rest_mut(hessian_block, at), stream);
            }
            at += width;
        }
        seen
    }

    /// The first invalid target or weight of a suspect block.
    #[cold]
    fn invalid(&self, start: usize, length: usize) -> Option<Error> {
        for index in start..start + length {
            if P::READS_TARGET
                && let Some(&target) = self.inputs.t.get(index)
            {
                if !(target >= T::ZERO && target <= T::ONE) {
                    return Some(Error::TargetOutOfRange {
                        index,
                        value: target.as_f64(),
                    });
                }
            }
            if P::OPTIONS
                && let Some(&weight) = self.inputs.weights.and_then(|w| w.get(index))
            {
                if !(weight >= T::ZERO && weight <= T::MAX) {
                    return Some(Error::InvalidWeight {
                        index,
                        value: weight.as_f64(),
                    });
                }
            }
        }
        None
    }

    /// No element of an output survives an error: all become NaN.
    #[cold]
    fn poison(&mut self) {
        for output in [
            &mut self.outputs.loss,
            &mut self.outputs.gradient,
            &mut self.outputs.hessian,
        ] {
            output.fill(T::NAN);
        }
    }

    /// Elements before the first output's address is aligned for streaming, or
    /// nothing where the outputs are too small to leave the caches.
    #[inline(always)]
    fn stream_head<I: Isa>(&self) -> Option<usize> {
        let outputs = [
            &*self.outputs.loss,
            &*self.outputs.gradient,
            &*self.outputs.hessian,
        ];
        let bytes = outputs
            .iter()
            .map(|output| size_of_val(*output))
            .sum::<usize>();
        if bytes < STREAM_BYTES || I::STREAM_ALIGNMENT == 1 {
            return None;
        }
        let first = outputs.iter().find(|output| !output.is_empty())?;
        let misaligned = first.as_ptr().addr() % I::STREAM_ALIGNMENT;
        Some((I::STREAM_ALIGNMENT - misaligned) % I::STREAM_ALIGNMENT / size_of::<T>())
    }
}

impl<T: Constants, P: Pointwise<T>, const WHAT: u8> Job for Walk<'_, T, P, WHAT> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) -> Result<(), Error> {
        let count = self.inputs.z.len();
        let width = <T::Lane<I>>::WIDTH;
        let head = self.stream_head::<I>();
        let stream = head.is_some();
        let head = head.unwrap_or(0);

        let mut start = 0;
        let mut full = false;
        let mut each = false;
        while start < count {
            let left = count - start;
            let length = if start < head {
                (head - start).min(left).min(BLOCK)
            } else if left < width {
                left
            } else {
                (left - left % width).min(BLOCK)
            };
            let mut fast = !full && length % width == 0;
            let seen = loop {
                let seen = if fast {
                    self.block::<I, false>(isa, start, length, stream, false)
                } else {
                    self.block::<I, true>(isa, start, length, stream, each)
                };
                let beyond = seen.beyond_fast_limit();
                let inexact = WHAT & SUM != 0 && !seen.sums_are_exact();
                full = beyond || inexact;
                if (fast && full) || (inexact && !each) {
                    each = inexact;
                    fast = false;
                    continue;
                }
                break seen;
            };
            if (P::READS_TARGET || P::OPTIONS) && seen.suspect() {
                if let Some(error) = self.invalid(start, length) {
                    self.poison();
                    return Err(error);
                }
            }
            if WHAT & SUM != 0 {
                if each {
                    each = full;
                } else {
                    self.total.add(T::block_sums::<T::Lane<I>>(seen.sums));
                }
            }
            start += length;
        }
        if stream {
            isa.fence();
        }
        Ok(())
    }
}

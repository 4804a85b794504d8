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

/// The widest lane's elements.
const MAX_WIDTH: usize = 32;

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
struct Extremes<L: Lane> {
    minus_a: L,
    target: L,
    weight: L,
    loss_max: L,
    loss_min: L,
    sums: (L::Wide, L::Wide),
}

/// What follows from them.
struct Seen {
    /// Some |z| is NaN or too large for the fast kernel.
    beyond: bool,
    /// Some target or weight may be invalid; -0 gives false alarms.
    suspect: bool,
    /// The order of the additions cannot have mattered to the sums.
    exact: bool,
    sums: [f64; 2],
}

impl<L: Lane> Extremes<L> {
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

    /// Where `loss_max` was not kept, it follows from |z|: the plain loss is at
    /// most |z| + ln 2.
    #[inline(always)]
    fn judge(self, kept: bool) -> Seen {
        let (one, max) = (L::splat(L::Real::ONE), L::splat(L::Real::MAX));
        let loss_max = if kept {
            self.loss_max
        } else {
            self.minus_a.abs() + one
        };
        Seen {
            beyond: self.minus_a.exceeds_bits(-L::splat(L::Real::FAST_LIMIT)),
            suspect: self.target.exceeds_bits(one) || self.weight.exceeds_bits(max),
            exact: L::Real::block_sum_is_exact(loss_max, self.loss_min),
            sums: L::Real::block_sums::<L>(self.sums),
        }
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
        const { assert!(L::WIDTH <= MAX_WIDTH) };
        let mut elements = [L::Real::ZERO; MAX_WIDTH];
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

impl<'a, T: Constants> Inputs<'a, T> {
    #[inline(always)]
    fn part(&self, start: usize, length: usize) -> Self {
        let part = |of: &'a [T]| of.get(start..start + length).unwrap_or(&[]);
        Self {
            z: part(self.z),
            t: part(self.t),
            weights: self.weights.map(part),
        }
    }
}

impl<T: Constants> Outputs<'_, T> {
    #[inline(always)]
    fn part(&mut self, start: usize, length: usize) -> Outputs<'_, T> {
        let range = start..start + length;
        Outputs {
            loss: self.loss.get_mut(range.clone()).unwrap_or(&mut []),
            gradient: self.gradient.get_mut(range.clone()).unwrap_or(&mut []),
            hessian: self.hessian.get_mut(range).unwrap_or(&mut []),
            divisor: self.divisor,
        }
    }
}

/// value * weight; 0 where the weight is, whatever the value.
#[inline(always)]
fn weigh<L: Lane>(value: L, weight: L) -> L {
    let zero = L::splat(L::Real::ZERO);
    L::select(weight.equal(zero), zero, value * weight)
}

/// How a block's results are treated.
struct Mode<'a> {
    /// Outputs go past the caches.
    stream: bool,
    /// Losses are added to it one by one.
    each: Option<&'a mut Total>,
    /// Elements from here on are padding (full kernel only).
    real: usize,
}

/// Applies the function to one block of a multiple of `L::WIDTH` elements.
#[inline(always)]
fn block<I: Isa, L: Lane, P: Pointwise<L::Real>, const WHAT: u8, const FULL: bool>(
    isa: I,
    function: P,
    inputs: Inputs<'_, L::Real>,
    outputs: Outputs<'_, L::Real>,
    mut mode: Mode<'_>,
) -> Seen {
    let zero = L::splat(L::Real::ZERO);
    let sign_bit = L::splat(L::Real::SIGN_BIT);
    let divisor = L::splat(outputs.divisor.unwrap_or(L::Real::ONE));
    let ahead = PREFETCH_BYTES / size_of::<L::Real>();
    let mut seen = Extremes::<L::Single>::nothing();

    let mut t_chunks = inputs.t.chunks_exact(L::WIDTH);
    let mut w_chunks = inputs.weights.unwrap_or(&[]).chunks_exact(L::WIDTH);
    let mut loss_chunks = outputs.loss.chunks_exact_mut(L::WIDTH);
    let mut gradient_chunks = outputs.gradient.chunks_exact_mut(L::WIDTH);
    let mut hessian_chunks = outputs.hessian.chunks_exact_mut(L::WIDTH);
    for (index, z_chunk) in inputs.z.chunks_exact(L::WIDTH).enumerate() {
        isa.prefetch(z_chunk, ahead);
        let z = L::load(z_chunk);
        z.or_bits(sign_bit)
            .for_each_single(|minus_a| seen.minus_a = seen.minus_a.max_bits(minus_a));
        let mut t = z;
        if P::READS_TARGET {
            let Some(chunk) = t_chunks.next() else { break };
            isa.prefetch(chunk, ahead);
            t = L::load(chunk);
            t.for_each_single(|t| seen.target = seen.target.max_bits(t));
        }
        let mut point = function.at::<L, FULL>(z, t);
        if P::OPTIONS
            && let Some(chunk) = w_chunks.next()
        {
            isa.prefetch(chunk, ahead);
            let weight = L::load(chunk);
            weight.for_each_single(|weight| seen.weight = seen.weight.max_bits(weight));
            point.loss = weigh(point.loss, weight);
            point.gradient = weigh(point.gradient, weight);
            point.hessian = weigh(point.hessian, weight);
        }
        if WHAT & SUM != 0 {
            let mut loss = point.loss;
            let mut smallest = loss;
            if FULL {
                let real = L::first(mode.real.saturating_sub(index * L::WIDTH));
                loss = L::select(real, loss, zero);
            }
            if FULL || P::OPTIONS {
                smallest = L::select(loss.equal(zero), L::splat(L::Real::MAX), loss);
            }
            smallest.for_each_single(|least| seen.loss_min = seen.loss_min.min_bits(least));
            loss.for_each_single(|loss| {
                if FULL || P::OPTIONS {
                    seen.loss_max = seen.loss_max.max_bits(loss);
                }
                match &mut mode.each {
                    Some(total) if FULL => total.add_each(loss),
                    _ => L::Real::accumulate(loss, &mut seen.sums),
                }
            });
        }
        if WHAT & LOSS != 0 {
            let Some(chunk) = loss_chunks.next() else {
                break;
            };
            put(point.loss, chunk, mode.stream);
        }
        if WHAT & GRADIENT != 0 {
            let Some(chunk) = gradient_chunks.next() else {
                break;
            };
            let divided = if WHAT & DIVIDE != 0 {
                point.gradient / divisor
            } else {
                point.gradient
            };
            put(divided, chunk, mode.stream);
        }
        if WHAT & HESSIAN != 0 {
            let Some(chunk) = hessian_chunks.next() else {
                break;
            };
            put(point.hessian, chunk, mode.stream);
        }
    }
    seen.judge(FULL || P::OPTIONS)
}

#[inline(always)]
fn put<L: Lane>(value: L, to: &mut [L::Real], stream: bool) {
    if stream {
        value.stream(to)
    } else {
        value.store(to)
    }
}

/// Room for less than a wide lane of one slice's elements, and zeros behind them.
struct Padded<T>([T; MAX_WIDTH]);

impl<T: Constants> Padded<T> {
    /// By vector loads, so that vector loads of the copy can be forwarded from it.
    #[inline(always)]
    fn of<L: Lane<Real = T>>(from: &[T]) -> Self {
        let mut padded = Self([T::ZERO; MAX_WIDTH]);
        for (to, from) in padded.0.chunks_mut(L::WIDTH).zip(from.chunks(L::WIDTH)) {
            L::load(from).store(to);
        }
        padded
    }

    #[inline(always)]
    fn copy_to<L: Lane<Real = T>>(&self, to: &mut [T]) {
        for (from, to) in self.0.chunks(L::WIDTH).zip(to.chunks_mut(L::WIDTH)) {
            L::load(from).store(to);
        }
    }
}

impl<T: Constants, P: Pointwise<T>, const WHAT: u8> Walk<'_, T, P, WHAT> {
    /// Fewer elements than a wide lane holds.
    #[inline(always)]
    fn rest<I: Isa>(&mut self, isa: I, start: usize, length: usize, each: bool) -> Seen {
        let width = <T::Lane<I>>::WIDTH;
        let padded = length.next_multiple_of(width);
        let inputs = self.inputs.part(start, length);
        let z = Padded::of::<T::Lane<I>>(inputs.z);
        let t = Padded::of::<T::Lane<I>>(inputs.t);
        let weights = inputs.weights.map(Padded::of::<T::Lane<I>>);
        let mut outputs = [const { Padded([T::ZERO; MAX_WIDTH]) }; 3];
        let [loss, gradient, hessian] = &mut outputs;
        let seen = block::<I, T::Lane<I>, P, WHAT, true>(
            isa,
            self.function,
            Inputs {
                z: &z.0,
                t: &t.0,
                weights: weights.as_ref().map(|w| &w.0[..]),
            }
            .part(0, padded),
            Outputs {
                loss: &mut loss.0,
                gradient: &mut gradient.0,
                hessian: &mut hessian.0,
                divisor: self.outputs.divisor,
            }
            .part(0, padded),
            Mode {
                stream: false,
                each: each.then_some(&mut *self.total),
                real: length,
            },
        );
        let to = self.outputs.part(start, length);
        if WHAT & LOSS != 0 {
            loss.copy_to::<T::Lane<I>>(to.loss);
        }
        if WHAT & GRADIENT != 0 {
            gradient.copy_to::<T::Lane<I>>(to.gradient);
        }
        if WHAT & HESSIAN != 0 {
            hessian.copy_to::<T::Lane<I>>(to.hessian);
        }
        seen
    }

    /// The first invalid target or weight of a suspect block.
    #[cold]
    fn invalid(&self, start: usize, length: usize) -> Option<Error> {
        let Inputs { t, weights, .. } = self.inputs.part(start, length);
        let mut weights = weights.map(<[T]>::iter);
        for (offset, &target) in t.iter().enumerate() {
            let index = start + offset;
            let value = target.as_f64();
            if P::READS_TARGET && !(0.0..=1.0).contains(&value) {
                return Some(Error::TargetOutOfRange { index, value });
            }
            let weight = weights.as_mut().and_then(Iterator::next);
            let value = weight.map_or(1.0, |weight| weight.as_f64());
            if P::OPTIONS && !(0.0..f64::INFINITY).contains(&value) {
                return Some(Error::InvalidWeight { index, value });
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
        let bytes = outputs.iter().map(|o| size_of_val(*o)).sum::<usize>();
        if WHAT & (LOSS | GRADIENT | HESSIAN) == 0
            || bytes < STREAM_BYTES
            || I::STREAM_ALIGNMENT == 1
        {
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
        let width = <T::WideLane<I>>::WIDTH;
        let head = self.stream_head::<I>();
        let stream = head.is_some();
        let head = head.unwrap_or(0).min(count);

        let mut start = 0;
        let mut full = false;
        let mut each = false;
        while start < count {
            let left = count - start;
            let length = if start < head {
                (head - start).min(width - 1)
            } else if left < width {
                left
            } else {
                left.min(BLOCK) / width * width
            };
            let seen = loop {
                let whole = length >= width;
                let seen = if !whole {
                    self.rest(isa, start, length, each)
                } else {
                    let inputs = self.inputs.part(start, length);
                    let outputs = self.outputs.part(start, length);
                    if full {
                        let each = each.then_some(&mut *self.total);
                        let mode = Mode {
                            stream,
                            each,
                            real: length,
                        };
                        block::<I, T::Lane<I>, P, WHAT, true>(
                            isa,
                            self.function,
                            inputs,
                            outputs,
                            mode,
                        )
                    } else {
                        let mode = Mode {
                            stream,
                            each: None,
                            real: length,
                        };
                        block::<I, T::WideLane<I>, P, WHAT, false>(
                            isa,
                            self.function,
                            inputs,
                            outputs,
                            mode,
                        )
                    }
                };
                let inexact = WHAT & SUM != 0 && !seen.exact;
                let done = (full || !whole || !seen.beyond) && (each || !inexact);
                full = seen.beyond || inexact;
                each = inexact;
                if done {
                    break seen;
                }
            };
            if (P::READS_TARGET || P::OPTIONS)
                && seen.suspect
                && let Some(error) = self.invalid(start, length)
            {
                self.poison();
                return Err(error);
            }
            if WHAT & SUM != 0 && !each {
                self.total.add(seen.sums);
            }
            start += length;
        }
        if stream {
            isa.fence();
        }
        Ok(())
    }
}

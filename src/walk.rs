//! The walk over slices.
//!
//! A span's e^-|z| are computed first, into a buffer that stays in the first-level
//! cache, then everything else, a group of vectors at a time: neither loop's chain of
//! operations is longer than what a CPU's schedulers look past. The first loop also
//! keeps the largest |z|, the second the largest target and weight, as bit patterns: one
//! integer maximum each tells, once per span, whether anything in it needs the full
//! kernel or is not a valid target (a negative or NaN pattern is larger than that of 1).
//! Losses to be summed go to a buffer, and from there to the exact sum.
//!
//! What is left goes through `Remainder`, which takes any number of elements, vector
//! by vector with partial loads and stores: short calls, the rest behind the last
//! group, and what needs the full kernel. With `f32` losses and no option the main loop takes those too, without
//! their e^-|z|, which are added afterwards: `Beyond`.

use core::marker::PhantomData;

use crate::error::Error;
use crate::kernel::{Begun, ExpNeg, Plain, Point, Pointwise, Wanted, keep_constants, nan_like};
use crate::lane::{
    Aligned, FIRMWARE, Float, Isa, Job, Lane, MAX_WIDTH, SPAN_BYTES, SPAN_ROOM, ShortJob,
};
use crate::span_sum::{AddLosses, FEW, SpanSum, Window};

/// How far ahead of the loads lines are asked for, in bytes.
/// 1 to 8 KiB are the same within the noise, less or none is slower (ARCHITECTURE.md).
const PREFETCH_BYTES: usize = 2048;

const LINE: usize = 64;

/// Outputs of at least this size are stored past the caches.
const STREAM_BYTES: usize = 16 << 20;

/// Elements that `Remainder` takes at a time.
const BLOCK: usize = if FIRMWARE { 16 } else { 64 };

/// Calls of at most so many elements have shorter buffers (of `f32`), since those of a span take 30 ns to clear.
const SHORT_ROOM: usize = 2 * MAIN_LOOP;

/// Calls of fewer elements are `Remainder`'s, which needs no buffers.
pub(crate) const MAIN_LOOP: usize = 64;

/// The targets of a call: as many as logits, or one for all.
#[derive(Clone, Copy)]
pub(crate) enum Targets<'a, T> {
    Each(&'a [T]),
    All(T),
    /// Given as logits: any number.
    Logits(&'a [T]),
}

impl<'a, T> Targets<'a, T> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn each(self) -> Option<&'a [T]> {
        match self {
            Self::Each(t) | Self::Logits(t) => Some(t),
            Self::All(_) => None,
        }
    }
}

/// The inputs of a call; slices are as long as `z`.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a, T> {
    pub(crate) z: &'a [T],
    pub(crate) t: Targets<'a, T>,
    pub(crate) weights: Option<&'a [T]>,
    /// Multiplies the weights twice, in means of extreme ones: a power of two.
    pub(crate) weight_scale: Option<T>,
    /// Weights of the positive class, an element each, for functions that have one.
    pub(crate) pos_weights: Option<&'a [T]>,
    /// The place of the first element in the whole call.
    pub(crate) start: usize,
}

impl<'a, T: Copy> Inputs<'a, T> {
    pub(crate) const fn new(z: &'a [T], t: Targets<'a, T>, weights: Option<&'a [T]>) -> Self {
        Self {
            z,
            t,
            weights,
            weight_scale: None,
            pos_weights: None,
            start: 0,
        }
    }

    /// The first `length` elements, or as many as there are; the others remain.
    pub(crate) fn take(&mut self, length: usize) -> Self {
        let take = |from: &mut &'a [T]| {
            let (first, rest) = from.split_at(length.min(from.len()));
            *from = rest;
            first
        };
        let start = self.start;
        self.start += length.min(self.z.len());
        Self {
            start,
            z: take(&mut self.z),
            t: match &mut self.t {
                Targets::Each(t) => Targets::Each(take(t)),
                Targets::Logits(t) => Targets::Logits(take(t)),
                Targets::All(t) => Targets::All(*t),
            },
            weights: self.weights.as_mut().map(take),
            pos_weights: self.pos_weights.as_mut().map(take),
            ..*self
        }
    }
}

/// What becomes of the sign of losses and gradients.
#[derive(Clone, Copy, PartialEq)]
pub enum Sign {
    Kept,
    Cleared,
    Flipped,
}

impl Sign {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of<L: Lane>(self, mut point: Point<L>) -> Point<L> {
        match self {
            Self::Kept => {}
            Self::Cleared => point.gradient = point.gradient.abs(),
            Self::Flipped => point.loss = -point.loss,
        }
        point
    }
}

/// The outputs of a call; those that are wanted are as long as the inputs.
pub struct Outputs<'a, T> {
    pub(crate) loss: &'a mut [T],
    pub(crate) gradient: &'a mut [T],
    pub(crate) hessian: &'a mut [T],
    /// The gradient is divided by it, where there is one.
    pub(crate) divisor: Option<T>,
    pub(crate) sign: Sign,
}

impl<T> Default for Outputs<'_, T> {
    fn default() -> Self {
        Self {
            loss: &mut [],
            gradient: &mut [],
            hessian: &mut [],
            divisor: None,
            sign: Sign::Kept,
        }
    }
}

impl<'a, T: Float> Outputs<'a, T> {
    pub(crate) fn reborrow(&mut self) -> Outputs<'_, T> {
        Outputs {
            loss: self.loss,
            gradient: self.gradient,
            hessian: self.hessian,
            ..*self
        }
    }

    /// Those that have as many elements. Its lengths are not read again: a compiler would read and write them beside
    /// the pointers, 16 bytes at a time (see `entry::Run`).
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn of_length(&mut self, length: usize) -> Outputs<'_, T> {
        Outputs {
            loss: self.loss.get_mut(..length).unwrap_or(&mut []),
            gradient: self.gradient.get_mut(..length).unwrap_or(&mut []),
            hessian: self.hessian.get_mut(..length).unwrap_or(&mut []),
            ..*self
        }
    }

    /// The first `length` elements, or as many as there are; the others remain.
    pub(crate) fn take(&mut self, length: usize) -> Outputs<'a, T> {
        let take = |from: &mut &'a mut [T]| {
            let all = core::mem::take(from);
            let (first, rest) = all.split_at_mut(length.min(all.len()));
            *from = rest;
            first
        };
        Outputs {
            loss: take(&mut self.loss),
            gradient: take(&mut self.gradient),
            hessian: take(&mut self.hessian),
            ..*self
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn poison(&mut self) {
        poison([self.loss, self.gradient, self.hessian]);
    }
}

/// No element survives an error: all become NaN.
#[cold]
#[inline(never)]
fn poison<T: Float>(outputs: [&mut [T]; 3]) {
    for output in outputs {
        output.fill(T::NAN);
    }
}

/// What a call reads, writes and adds to.
pub(crate) struct Slices<'a, T> {
    pub(crate) wanted: Wanted,
    pub(crate) inputs: Inputs<'a, T>,
    pub(crate) outputs: Outputs<'a, T>,
    /// Takes the losses, if `wanted` says so.
    pub(crate) sum: &'a mut SpanSum,
}

impl<T: Float> Slices<'_, T> {
    /// The first invalid target or weight in a range. A weight of 0 removes its target.
    #[cold]
    #[inline(never)]
    pub(crate) fn check(&self, start: usize, length: usize) -> Result<(), Error> {
        let range = start..start + length;
        if let (Targets::Each(t), None) = (self.inputs.t, self.inputs.weights) {
            // Most often nothing is wrong: -0, of which there may be many. Without a branch, for vectors.
            let mut valid = true;
            for &t in t.get(range.clone()).unwrap_or(&[]) {
                valid &= (t >= T::ZERO) & (t <= T::ONE);
            }
            if valid {
                return Ok(());
            }
        }
        for index in range {
            let weight = self.inputs.weights.and_then(|weights| weights.get(index));
            let weight = weight.map_or(1.0, |weight| weight.as_f64());
            let logits = matches!(self.inputs.t, Targets::Logits(_));
            if let Some(t) = self.inputs.t.each()
                && let Some(value) = t.get(index).map(|t| t.as_f64())
                && !((0.0..=1.0).contains(&value) || logits && !value.is_nan())
                && weight != 0.0
            {
                return Err(Error::TargetOutOfRange { index, value });
            }
            if !(0.0..f64::INFINITY).contains(&weight) {
                return Err(Error::InvalidWeight {
                    index,
                    value: weight,
                });
            }
        }
        Ok(())
    }
}

/// The largest bit patterns, or what tells of those that are too large, of -|z|, where it was not looked
/// at before, of targets and of weights.
struct Extremes<L> {
    minus_a: L,
    target: L,
    weight: L,
}

impl<L: Lane> Extremes<L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn nothing() -> Self {
        let zero = L::splat(L::Real::ZERO);
        Self {
            minus_a: zero,
            target: zero,
            weight: zero,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn see_logits<G: Lane<Real = L::Real, Single = L>>(&mut self, z: G) {
        let minus_a = z.or_bits(G::splat(L::Real::SIGN_BIT));
        self.minus_a = minus_a.max_upper_into(self.minus_a);
    }

    /// Without maxima: what is above 1 has an overflow, or a sign.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn see_targets<M: Lane<Real = L::Real, Single = L>>(&mut self, t: M) {
        if L::MAX_BITS_IS_ONE {
            self.target = t.max_bits_into(self.target);
        } else {
            let beyond = M::splat(M::Real::ONE).sub_bits(t);
            self.target = t.or_bits(beyond).or_bits_into(self.target);
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn note<M: Lane<Real = L::Real, Single = L>>(&mut self, target: M, weight: Option<M>) {
        let mut target = target;
        if let Some(weight) = weight {
            self.weight = weight.max_bits_into(self.weight);
            // A weight of 0 removes an element, whatever its target.
            let zero = M::splat(M::Real::ZERO);
            target = M::select(weight.equal(zero), zero, target);
        }
        self.see_targets(target);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn targets_are_suspect(&self) -> bool {
        let most = if L::MAX_BITS_IS_ONE {
            L::Real::ONE
        } else {
            L::Real::of_pattern(u64::MAX >> 1)
        };
        self.target.exceeds_bits(L::splat(most))
    }

    /// Whether some target or weight may be invalid; -0 gives false alarms.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn are_suspect(&self) -> bool {
        self.targets_are_suspect() || self.weight.exceeds_bits(L::splat(L::Real::MAX))
    }
}

/// Whether the largest pattern of -|z| is beyond the fast kernel: NaN or too large.
#[cfg_attr(not(debug_assertions), inline(always))]
fn exceeds_fast_limit<L: Lane>(minus_a: L) -> bool {
    minus_a.may_exceed(-L::splat(L::Real::FAST_LIMIT))
}

/// Whether the parts of an emulated FMA may be subnormal, which would raise underflow: of `f64`, whose single lane
/// does without such parts.
#[cfg_attr(not(debug_assertions), inline(always))]
fn exceeds_full_limit<L: Lane>(minus_a: L) -> bool {
    L::Real::COMPENSATED && minus_a.may_exceed(-L::splat(L::Real::EMULATED_LIMIT))
}

/// False for NaN.
#[cfg_attr(not(debug_assertions), inline(always))]
fn is_within_fast_limit<L: Lane>(z: L) -> L::Mask {
    let minus_a = z.or_bits(L::splat(L::Real::SIGN_BIT));
    let below = L::Real::of_pattern(L::Real::FAST_LIMIT.pattern() + 1);
    minus_a.greater(-L::splat(below))
}

/// The largest patterns of -|z|. Asked for before the fast kernel is, since that would
/// take an assist for every subnormal number it makes.
#[cfg_attr(not(debug_assertions), inline(always))]
fn largest_minus_a<I: Isa, T: Float>(z: &[T]) -> T::Lane<I> {
    let mut seen = Extremes::<T::Lane<I>>::nothing();
    for chunk in z.chunks(<T::Lane<I>>::WIDTH) {
        seen.see_logits(<T::Lane<I>>::load(chunk));
    }
    seen.minus_a
}

/// value * weight; 0 where the weight is, whatever the value.
#[cfg_attr(not(debug_assertions), inline(always))]
fn weigh<L: Lane>(value: L, weight: L) -> L {
    let zero = L::splat(L::Real::ZERO);
    L::select(weight.equal(zero), zero, value * weight)
}

/// `weigh` of loss and gradient, times the square of `scale`, below 1. A large weight is scaled before
/// it could make a product overflow, a small one as part of the product, since it might underflow
/// itself: beside a large value, or an infinite one, it still counts.
struct WeighDown<L: Lane> {
    values: [L; 2],
    weight: L,
    scale: L::Real,
}

impl<L: Lane> Job for WeighDown<L> {
    type Output = [L; 2];

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> [L; 2] {
        let Self { weight, scale, .. } = self;
        let (zero, one) = (L::splat(L::Real::ZERO), L::splat(L::Real::ONE));
        let scale = L::splat(scale);
        let first = one.greater(weight);
        let factor = L::select(first, weight, weight * scale);
        let again = one.greater(factor);
        let factor = L::select(again, factor, factor * scale);
        let first = L::select(first, scale, one);
        let again = L::select(again, scale, one);
        let removed = weight.equal(zero);
        let [loss, gradient] = self.values;
        let infinite = loss.greater(L::splat(L::Real::MAX));
        let loss = L::select(infinite, loss, loss * factor * first * again);
        let gradient = gradient * factor * first * again;
        [
            L::select(removed, zero, loss),
            L::select(removed, zero, gradient),
        ]
    }
}

/// The elements of a lane from `at` on: `WIDTH` of them if `WHOLE`, else those in front of
/// `end`, which otherwise does not matter.
///
/// An option, not an empty slice for want of elements: a compiler that knows their number leaves the
/// masked form of loads and stores out.
#[cfg_attr(not(debug_assertions), inline(always))]
fn elements<L: Lane, const WHOLE: bool>(
    of: &[L::Real],
    at: usize,
    end: usize,
) -> Option<&[L::Real]> {
    of.get(at..if WHOLE { at + L::WIDTH } else { end })
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn elements_mut<L: Lane, const WHOLE: bool>(
    of: &mut [L::Real],
    at: usize,
    end: usize,
) -> Option<&mut [L::Real]> {
    of.get_mut(at..if WHOLE { at + L::WIDTH } else { end })
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn put<L: Lane>(value: L, to: &mut [L::Real], stream: bool) {
    // Asked once: what follows in a group is aligned, too.
    if stream && to.as_ptr().addr().is_multiple_of(LINE) {
        value.stream(to);
    } else {
        value.store(to);
    }
}

/// Of outputs that are large together, how many elements the first has before a cache line begins.
#[cold]
#[inline(never)]
fn elements_before_line<T>(outputs: &Outputs<'_, T>) -> Option<usize> {
    let outputs = [&*outputs.loss, &*outputs.gradient, &*outputs.hessian];
    let bytes = outputs.iter().map(|o| size_of_val(*o)).sum::<usize>();
    let first = outputs.iter().find(|output| !output.is_empty())?;
    let before = first.as_ptr().addr().wrapping_neg() % LINE;
    (bytes >= STREAM_BYTES).then_some(before / size_of::<T>())
}

/// 0 for what is a number.
#[cfg_attr(not(debug_assertions), inline(always))]
fn nan_alone<L: Lane>(t: L) -> L {
    L::select(t.equal(t), L::splat(L::Real::ZERO), t)
}

/// Everything about one lane of elements but e^-|z|. Losses to be summed go to `losses`, zeros
/// for elements that are missing.
#[cfg_attr(not(debug_assertions), inline(always))]
fn finish<
    L: Lane,
    P: Pointwise<L::Real>,
    const FULL: bool,
    const WHOLE: bool,
    const LOSSES: bool,
    const DERIVATIVES: bool,
>(
    function: P,
    slices: &mut Slices<'_, L::Real>,
    (at, end): (usize, usize),
    exp: ExpNeg<L>,
    losses: &mut [L::Real],
    seen: &mut Extremes<L::Single>,
    stream: bool,
) -> Option<()> {
    let Slices {
        wanted,
        inputs,
        outputs,
        ..
    } = slices;
    let wanted = match (LOSSES, DERIVATIVES) {
        (true, true) => *wanted,
        (true, false) => wanted.losses_alone(),
        (false, _) => wanted.derivatives_alone(),
    };
    let z = L::load(elements::<L, WHOLE>(inputs.z, at, end)?);
    let weight = match inputs.weights {
        Some(weights) => Some(L::load(elements::<L, WHOLE>(weights, at, end)?)),
        None => None,
    };
    let t = match inputs.t {
        Targets::Each(t) => {
            let t = L::load(elements::<L, WHOLE>(t, at, end)?);
            seen.note(t, weight);
            t
        }
        Targets::Logits(t) => {
            let t = L::load(elements::<L, WHOLE>(t, at, end)?);
            seen.note(nan_alone(t), weight);
            t
        }
        Targets::All(t) => L::splat(t),
    };
    let pos_weight = match inputs.pos_weights {
        Some(weights) => Some(L::load(elements::<L, WHOLE>(weights, at, end)?)),
        None => None,
    };
    let computed = if LOSSES && !DERIVATIVES {
        // Less to choose.
        wanted.and(Wanted::SUM)
    } else {
        wanted
    };
    let mut point = function.finish_each::<L, FULL>(z, t, pos_weight, exp, computed);
    if let Some(weight) = weight {
        // Means have no Hessians.
        match inputs.weight_scale {
            Some(scale) if scale < L::Real::ONE => {
                let values = [point.loss, point.gradient];
                [point.loss, point.gradient] = weight.run_outlined(WeighDown {
                    values,
                    weight,
                    scale,
                });
            }
            scale => {
                let weight = match scale {
                    Some(scale) => weight * L::splat(scale) * L::splat(scale),
                    None => weight,
                };
                if LOSSES {
                    point.loss = weigh(point.loss, weight);
                }
                if !LOSSES || wanted.derivatives() {
                    point.gradient = weigh(point.gradient, weight);
                    point.hessian = weigh(point.hessian, weight);
                }
            }
        }
        // Not -0.
        point.gradient = point.gradient + L::splat(L::Real::ZERO);
    }
    point = outputs.sign.of(point);
    if wanted.has(Wanted::SUM) {
        let mut summed = point.loss;
        if !WHOLE {
            let present = L::first(end - at);
            summed = L::select(present, summed, L::splat(L::Real::ZERO));
        }
        summed.store(losses);
    }
    if wanted.has(Wanted::LOSS) {
        put(
            point.loss,
            elements_mut::<L, WHOLE>(outputs.loss, at, end)?,
            stream,
        );
    }
    if wanted.has(Wanted::GRADIENT) {
        if let Some(divisor) = outputs.divisor {
            point.gradient = point.gradient / L::splat(divisor) + L::splat(L::Real::ZERO);
        }
        let to = elements_mut::<L, WHOLE>(outputs.gradient, at, end)?;
        put(point.gradient, to, stream);
    }
    if wanted.has(Wanted::HESSIAN) {
        let to = elements_mut::<L, WHOLE>(outputs.hessian, at, end)?;
        put(point.hessian, to, stream);
    }
    Some(())
}

/// Any number of elements without buffers: those in front of `end`, from `start` on.
pub(crate) struct Remainder<'a, 'b, T, P> {
    pub(crate) function: P,
    pub(crate) slices: &'b mut Slices<'a, T>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl<T: Float, P: Pointwise<T>> Remainder<'_, '_, T, P> {
    /// e^-|z| of the lane at `at`, if it counts.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exp<L: Lane<Real = T>, const FULL: bool, const WHOLE: bool>(
        &self,
        (at, end): (usize, usize),
    ) -> Option<ExpNeg<L>> {
        if !P::OF_EXP {
            return Some(ExpNeg::nothing());
        }
        let z = elements::<L, WHOLE>(self.slices.inputs.z, at, end)?;
        Some(ExpNeg::of::<FULL>(L::load(z)))
    }

    /// The lane at `at`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn lane<L: Lane<Real = T>, const FULL: bool, const WHOLE: bool>(
        &mut self,
        (at, end): (usize, usize),
        made: Option<ExpNeg<L>>,
        losses: &mut [T],
        seen: &mut Extremes<L::Single>,
    ) -> Option<()> {
        let exp = match made {
            Some(made) => made,
            None => self.exp::<L, FULL, WHOLE>((at, end))?,
        };
        finish::<L, P, FULL, WHOLE, true, true>(
            self.function,
            self.slices,
            (at, end),
            exp,
            losses,
            seen,
            false,
        )
    }

    /// Up to `BLOCK` elements by one form.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn block<I: Isa, L: Lane<Real = T>, const FULL: bool>(
        &mut self,
        isa: I,
        (start, end): (usize, usize),
        windowed: bool,
    ) -> Result<(), Error> {
        let mut losses = Aligned([T::ZERO; BLOCK]);
        let losses = &mut losses.0;
        let mut seen = Extremes::nothing();
        // Emulated, one chain is longer than what a CPU looks past: as many side by side as there is code for. `f64`, by
        // twice as many operations, has enough of them.
        let apart = !I::FAST && !FIRMWARE && P::OF_EXP && !T::COMPENSATED;
        let mut e = Aligned([T::ZERO; BLOCK]);
        let mut low = e;
        if apart {
            let width = <T::GroupLane<I>>::WIDTH;
            let places = (start..end).step_by(width);
            let buffers =
                e.0.chunks_exact_mut(width)
                    .zip(low.0.chunks_exact_mut(width));
            for (at, (e, low)) in places.zip(buffers) {
                let Some(exp) = self.exp::<T::GroupLane<I>, FULL, false>((at, end)) else {
                    break;
                };
                exp.e.store(e);
                if FULL {
                    exp.low.store(low);
                }
            }
        }
        for at in (start..end).step_by(L::WIDTH) {
            let losses = losses.get_mut(at - start..).unwrap_or(&mut []);
            let mut made = None;
            if apart {
                let mut exp = ExpNeg::nothing();
                let place = at - start..at - start + L::WIDTH;
                exp.e = L::load(e.0.get(place.clone()).unwrap_or(&[]));
                if FULL {
                    exp.low = L::load(low.0.get(place).unwrap_or(&[]));
                }
                made = Some(exp);
            }
            if self
                .lane::<L, FULL, false>((at, end), made, losses, &mut seen)
                .is_none()
            {
                break;
            }
        }
        if seen.are_suspect() {
            self.slices.check(start, end - start)?;
        }
        if self.slices.wanted.has(Wanted::SUM) {
            // What is missing are zeros.
            let width = const {
                let width = <T::GroupLane<I>>::WIDTH;
                let width = if width < FEW { FEW } else { width };
                assert!(BLOCK.is_multiple_of(width));
                width
            };
            let losses = losses.get_mut(..(end - start).next_multiple_of(width));
            let losses = losses.unwrap_or(&mut []);
            if windowed {
                let mut window = Window::<T::Lane<I>>::new();
                for losses in losses.chunks_exact(<T::Lane<I>>::WIDTH) {
                    window.add(<T::Lane<I>>::load_spread(losses));
                }
                window.end_span(self.slices.sum);
                window.flush(self.slices.sum);
            } else {
                isa.run(AddLosses {
                    sum: self.slices.sum,
                    losses,
                });
            }
        }
        Ok(())
    }
}

impl<T: Float, P: Pointwise<T>> Job for Remainder<'_, '_, T, P> {
    type Output = Result<(), Error>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(mut self, isa: I) -> Result<(), Error> {
        let (mut start, end) = (self.start, self.end);
        while start < end {
            let block = (start, end.min(start + BLOCK));
            let z = self.slices.inputs.z.get(block.0..block.1).unwrap_or(&[]);
            let minus_a = largest_minus_a::<I, T>(z);
            // The full kernel alone gives the same bits.
            if I::FAST && P::FAST_REMAINDER && !exceeds_fast_limit(minus_a) {
                let windowed = P::IN_WINDOW
                    && self.slices.inputs.weights.is_none()
                    && Window::<T::FinishLane<I>>::holds(minus_a);
                self.block::<I, T::Lane<I>, false>(isa, block, windowed)?;
            } else if I::FAST || P::ABREAST && !exceeds_full_limit(minus_a) {
                // Without a fast form, lanes side by side for what most programs ask for.
                self.block::<I, T::FullLane<I>, true>(isa, block, false)?;
            } else {
                self.block::<I, T::Lane<I>, true>(isa, block, false)?;
            }
            start = block.1;
        }
        Ok(())
    }
}

/// Calls of at most so many elements are `Short`, if they can be: what the second-level cache holds.
pub(crate) const SHORT: usize = 16 * SHORT_BLOCK;
const SHORT_BLOCK: usize = 1024;

/// Whether all slices that count have as many elements as the logits.
#[cfg_attr(not(debug_assertions), inline(always))]
fn lengths_agree<T>(wanted: Wanted, z: &[T], t: &[T], outputs: &[&mut [T]; 3]) -> bool {
    let [loss, gradient, hessian] = outputs;
    let end = z.len();
    t.len() == end
        && (!wanted.has(Wanted::LOSS) || loss.len() == end)
        && (!wanted.has(Wanted::GRADIENT) || gradient.len() == end)
        && (!wanted.has(Wanted::HESSIAN) || hessian.len() == end)
}

/// A call without options of one to `L::WIDTH` elements, whose cost is all in how little is done besides; its sum.
/// Nothing where a longer way has to be taken, which also finds out why.
#[cfg_attr(not(debug_assertions), inline(always))]
fn one_vector<L: Lane>(
    wanted: Wanted,
    z: &[L::Real],
    t: &[L::Real],
    [loss, gradient, _]: [&mut [L::Real]; 3],
) -> Option<f64> {
    let end = z.len();
    let (z, t) = (L::load_part(z), L::load_part(t.get(..end)?));
    let mut seen = Extremes::<L::Single>::nothing();
    seen.see_logits(z);
    seen.see_targets(t);
    let point = Plain.finish::<L, false>(z, t, ExpNeg::of::<false>(z), wanted);
    let mut sum = 0.0;
    let mut limit = L::Real::FAST_LIMIT;
    if wanted.has(Wanted::SUM) {
        limit = L::Real::WINDOW_LIMIT;
        let zero = L::splat(L::Real::ZERO);
        let losses = L::select(L::first(end), point.loss, zero);
        sum = Window::<L>::sum_of_one(losses.widen());
    }
    if wanted.has(Wanted::LOSS) {
        point.loss.store(loss.get_mut(..end)?);
    }
    if wanted.has(Wanted::GRADIENT) {
        point.gradient.store(gradient.get_mut(..end)?);
    }
    // Also what the fast kernel made of logits beyond its limit is dropped here.
    if seen.minus_a.may_exceed(-L::Single::splat(limit)) || seen.targets_are_suspect() {
        return None;
    }
    Some(sum)
}

/// The same of more elements, and with any results.
#[cfg_attr(not(debug_assertions), inline(always))]
fn short<L: Lane>(
    wanted: Wanted,
    z: &[L::Real],
    t: &[L::Real],
    outputs: [&mut [L::Real]; 3],
) -> Option<f64> {
    if !lengths_agree(wanted, z, t, &outputs) {
        return None;
    }
    let [loss, gradient, hessian] = outputs;
    let end = z.len();
    let mut window = Window::<L>::short();
    let mut seen = Extremes::<L::Single>::nothing();
    // Begun a step ahead, since the chain of operations is long: .75 to .95 of the time.
    let mut next = ExpNeg::of::<false>(L::load(z));
    let mut at = 0;
    while at < end {
        let exp = next;
        if let Some(z) = z.get(at + L::WIDTH..)
            && !z.is_empty()
        {
            next = ExpNeg::of::<false>(L::load(z));
        }
        let z = L::load(z.get(at..)?);
        let t = L::load(t.get(at..)?);
        seen.see_logits(z);
        seen.see_targets(t);
        let point = Plain.finish::<L, false>(z, t, exp, wanted);
        if wanted.has(Wanted::SUM) {
            let zero = L::splat(L::Real::ZERO);
            let losses = L::select(L::first(end - at), point.loss, zero);
            window.add(losses.spread());
        }
        if wanted.has(Wanted::LOSS) {
            point.loss.store(loss.get_mut(at..)?);
        }
        if wanted.has(Wanted::GRADIENT) {
            point.gradient.store(gradient.get_mut(at..)?);
        }
        if wanted.has(Wanted::HESSIAN) {
            point.hessian.store(hessian.get_mut(at..)?);
        }
        at += L::WIDTH;
    }
    let limit = if wanted.has(Wanted::SUM) {
        L::Real::SHORT_SUM_LIMIT
    } else {
        L::Real::FAST_LIMIT
    };
    // As above.
    if seen.minus_a.may_exceed(-L::Single::splat(limit)) || seen.targets_are_suspect() {
        return None;
    }
    Some(if wanted.has(Wanted::SUM) {
        window.short_sum()
    } else {
        0.0
    })
}

/// What a program asks for one element or a few at a time, of which not more than one is an output.
/// One vector is a function of its own for each: an eighth of the instructions are left.
pub(crate) struct Short<const LOSS: bool, const SUM: bool, const GRADIENT: bool>;

impl<const LOSS: bool, const SUM: bool, const GRADIENT: bool> ShortJob
    for Short<LOSS, SUM, GRADIENT>
{
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa, T: Float>(isa: I, z: &[T], t: &[T], output: &mut [T]) -> f64 {
        let mut wanted = Wanted::NOTHING;
        if LOSS {
            wanted = wanted.and(Wanted::LOSS);
        }
        if SUM {
            wanted = wanted.and(Wanted::SUM);
        }
        if GRADIENT {
            wanted = wanted.and(Wanted::GRADIENT);
        }
        if !I::FAST || z.is_empty() || z.len() > SHORT {
            return longer_way();
        }
        let outputs: [&mut [T]; 3] = if LOSS {
            [output, &mut [], &mut []]
        } else {
            [&mut [], output, &mut []]
        };
        let sum = if z.len() <= <T::Lane<I>>::WIDTH {
            if !lengths_agree(wanted, z, t, &outputs) {
                None
            } else if z.len() == 1 {
                one_vector::<T::OneLane<I>>(wanted, z, t, outputs)
            } else {
                one_vector::<T::Lane<I>>(wanted, z, t, outputs)
            }
        } else if !LOSS && !SUM {
            let [_, gradient, _] = outputs;
            derivatives::<I, T, GRADIENT_ALONE>(z, t, None, [gradient, &mut []])
        } else {
            isa.run(Vectors {
                wanted,
                z,
                t,
                outputs,
            })
        };
        sum.unwrap_or_else(longer_way)
    }
}

/// A branch that is not taken costs less than a selection, which the sum would wait for.
#[cold]
#[inline(never)]
fn longer_way() -> f64 {
    f64::NAN
}

const GRADIENT_ALONE: u8 = Wanted::GRADIENT.bits();
const GRADIENT_HESSIAN: u8 = Wanted::GRADIENT.and(Wanted::HESSIAN).bits();

/// Derivatives alone have a loop of their own, small enough for it: 64 gradients take .75 of the time, and 16,384 .90
/// to .97 of that of the main loop; with Hessians .85 to .96, but for `f32` with 512 bits.
#[cfg_attr(not(debug_assertions), inline(always))]
fn derivatives<I: Isa, T: Float, const WANTED: u8>(
    z: &[T],
    t: &[T],
    weights: Option<&[T]>,
    [gradient, hessian]: [&mut [T]; 2],
) -> Option<f64> {
    let wanted = const { Wanted::of_bits(WANTED) };
    let hessians = wanted.has(Wanted::HESSIAN) && !(weights.is_some() && hessian.is_empty());
    if t.len() != z.len()
        || gradient.len() != z.len()
        || hessians && hessian.len() != z.len()
        || weights.is_some_and(|weights| weights.len() != z.len())
    {
        return None;
    }
    if T::COMPENSATED {
        if const { MainLoop::<T, Plain, false>::buffered::<I>() } {
            if z.len() >= <T::GroupLane<I>>::WIDTH {
                return buffered::<T::GroupLane<I>, T::FullLane<I>, WANTED>(
                    z,
                    t,
                    weights,
                    [gradient, hessian],
                );
            }
        } else if z.len() >= <T::FullLane<I>>::WIDTH {
            return whole::<T::FullLane<I>, WANTED>(z, t, weights, [gradient, hessian]);
        }
    }
    if weights.is_some() {
        return None;
    }
    // In blocks, so that not much is lost where one has to be done the longer way.
    let mut hessian = hessian.chunks_mut(SHORT_BLOCK);
    let blocks = gradient.chunks_mut(SHORT_BLOCK);
    for (gradient, (z, t)) in blocks.zip(z.chunks(SHORT_BLOCK).zip(t.chunks(SHORT_BLOCK))) {
        let hessian = if hessians { hessian.next()? } else { &mut [] };
        let outputs: [&mut [T]; 3] = [&mut [], gradient, hessian];
        short::<T::FullLane<I>>(wanted, z, t, outputs)?;
    }
    Some(0.0)
}

/// Gradients of at least a lane. The last lane ends where the slices do, and may overlap the one before: no length
/// needs a mask. Of `f32`, whose loop is short, the other way takes .95 of the time.
#[cfg_attr(not(debug_assertions), inline(always))]
fn whole<L: Lane, const WANTED: u8>(
    z: &[L::Real],
    t: &[L::Real],
    weights: Option<&[L::Real]>,
    mut outputs: [&mut [L::Real]; 2],
) -> Option<f64> {
    let last = z.len().checked_sub(L::WIDTH)?;
    let mut seen = Extremes::<L::Single>::nothing();
    let mut at = 0;
    // Looked at where e is begun, which needs -|z| too.
    let first = L::load(elements::<L, true>(z, at, 0)?);
    seen.see_logits(first);
    let mut exp = ExpNeg::of::<false>(first);
    loop {
        // In blocks, as above.
        let stop = last.min(at + SHORT_BLOCK);
        while at < stop {
            let following = last.min(at + L::WIDTH);
            let ahead = L::load(elements::<L, true>(z, following, 0)?);
            seen.see_logits(ahead);
            let next = ExpNeg::of::<false>(ahead);
            derivatives_at::<L, WANTED>(z, t, weights, &mut outputs, at, exp, &mut seen)?;
            exp = next;
            at = following;
        }
        if at == last {
            derivatives_at::<L, WANTED>(z, t, weights, &mut outputs, at, exp, &mut seen)?;
        }
        let limit = -L::Single::splat(L::Real::FAST_LIMIT);
        if seen.minus_a.may_exceed(limit) || seen.are_suspect() {
            return None;
        }
        if at == last {
            return Some(0.0);
        }
    }
}

/// Elements whose e `buffered` keeps: more take longer to clear and do not overlap as well, fewer
/// are bound by one chain.
const BUFFERED: usize = 32;

/// `whole` by way of buffers of e, where 16 registers hold too little of both: groups `G` for e, shorter
/// lanes for the rest, which needs more registers.
#[cfg_attr(not(debug_assertions), inline(always))]
fn buffered<G: Lane, L: Lane<Real = G::Real, Single = G::Single>, const WANTED: u8>(
    z: &[L::Real],
    t: &[L::Real],
    weights: Option<&[L::Real]>,
    mut outputs: [&mut [L::Real]; 2],
) -> Option<f64> {
    if !BUFFERED.is_multiple_of(G::WIDTH) {
        return None;
    }
    let last = z.len().checked_sub(G::WIDTH)?;
    let mut e = Aligned([L::Real::ZERO; BUFFERED]);
    let mut low = e;
    let mut seen = Extremes::<L::Single>::nothing();
    let mut start = 0;
    while start < z.len() {
        let end = z.len().min(start + BUFFERED);
        // By index: two `chunks_exact` zipped are a function out of line, which can panic.
        for at in (start..end).step_by(G::WIDTH) {
            let z = G::load(elements::<G, true>(z, at.min(last), 0)?);
            seen.see_logits(z);
            let exp = ExpNeg::of::<false>(z);
            exp.e
                .store(elements_mut::<G, true>(&mut e.0, at - start, 0)?);
            exp.low
                .store(elements_mut::<G, true>(&mut low.0, at - start, 0)?);
        }
        for at in (start..end).step_by(G::WIDTH) {
            for part in (0..G::WIDTH).step_by(L::WIDTH) {
                let place = at - start + part;
                let exp = ExpNeg {
                    e: L::load(elements::<L, true>(&e.0, place, 0)?),
                    low: L::load(elements::<L, true>(&low.0, place, 0)?),
                };
                let at = at.min(last) + part;
                derivatives_at::<L, WANTED>(z, t, weights, &mut outputs, at, exp, &mut seen)?;
            }
        }
        let limit = -L::Single::splat(L::Real::FAST_LIMIT);
        if seen.minus_a.may_exceed(limit) || seen.are_suspect() {
            return None;
        }
        start = end;
    }
    Some(0.0)
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn derivatives_at<L: Lane, const WANTED: u8>(
    z: &[L::Real],
    t: &[L::Real],
    weights: Option<&[L::Real]>,
    [gradient, hessian]: &mut [&mut [L::Real]; 2],
    at: usize,
    exp: ExpNeg<L>,
    seen: &mut Extremes<L::Single>,
) -> Option<()> {
    let z = L::load(elements::<L, true>(z, at, 0)?);
    let t = L::load(elements::<L, true>(t, at, 0)?);
    let weight = match weights {
        Some(weights) => Some(L::load(elements::<L, true>(weights, at, 0)?)),
        None => None,
    };
    seen.note(t, weight);
    let wanted = const { Wanted::of_bits(WANTED) };
    let mut point = Plain.finish::<L, false>(z, t, exp, wanted);
    if let Some(weight) = weight {
        // Not -0.
        point.gradient = weigh(point.gradient, weight) + L::splat(L::Real::ZERO);
        point.hessian = weigh(point.hessian, weight);
    }
    point
        .gradient
        .store(elements_mut::<L, true>(gradient, at, 0)?);
    if wanted.has(Wanted::HESSIAN) && !(weights.is_some() && hessian.is_empty()) {
        point
            .hessian
            .store(elements_mut::<L, true>(hessian, at, 0)?);
    }
    Some(())
}

/// Any results of more than a vector.
pub(crate) struct Vectors<'a, 'b, T> {
    pub(crate) wanted: Wanted,
    pub(crate) z: &'a [T],
    pub(crate) t: &'a [T],
    pub(crate) outputs: [&'b mut [T]; 3],
}

impl<T: Float> Job for Vectors<'_, '_, T> {
    type Output = Option<f64>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> Option<f64> {
        let wide = size_of::<T::Lane<I>>() == 64;
        let derivatives_apart = const { T::COMPENSATED || size_of::<T::Lane<I>>() < 64 };
        if I::FAST
            && derivatives_apart
            && self.wanted.bits() == GRADIENT_HESSIAN
            && self.z.len() > 2 * MAIN_LOOP
        {
            let [_, gradient, hessian] = self.outputs;
            return derivatives::<I, T, GRADIENT_HESSIAN>(
                self.z,
                self.t,
                None,
                [gradient, hessian],
            );
        }
        // Beyond, groups of four vectors are faster, and losses might not add up exactly.
        let spans = if wide && !self.wanted.has(Wanted::SUM) {
            2
        } else {
            1
        };
        if !I::FAST || self.z.len() > spans << T::SPAN_LOG2 {
            None
        } else {
            short::<T::FullLane<I>>(self.wanted, self.z, self.t, self.outputs)
        }
    }
}

/// Derivatives of `f64` with weights: .80 to .91 of the main loop's time. The Hessian is always made, so that one loop
/// does for both.
struct Weighted<'a, 'b, T> {
    z: &'a [T],
    t: &'a [T],
    weights: &'a [T],
    outputs: [&'b mut [T]; 2],
}

impl<T: Float> Job for Weighted<'_, '_, T> {
    type Output = Option<f64>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> Option<f64> {
        let weights = Some(self.weights);
        derivatives::<I, T, GRADIENT_HESSIAN>(self.z, self.t, weights, self.outputs)
    }
}

/// Loss or gradient of one element by the fast kernel.
///
/// No more than two numbers: as arguments, they stay in registers.
pub(crate) struct Single<T, const LOSS: bool> {
    pub(crate) z: T,
    pub(crate) t: T,
}

impl<T: Float, const LOSS: bool> Job for Single<T, LOSS> {
    /// Nothing where the fast kernel does not hold or is not there.
    type Output = Option<T>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> Option<T> {
        // By patterns without the sign, which is in core registers anyway.
        let twice = |value: T| value.pattern() << (1 + 64 - 8 * size_of::<T>());
        if !I::FAST || twice(self.z) > twice(T::FAST_LIMIT) {
            return None;
        }
        let (z, t) = (<T::Lane<I>>::splat(self.z), <T::Lane<I>>::splat(self.t));
        let exp = ExpNeg::of::<false>(z);
        let mut value = [T::ZERO];
        if LOSS {
            let point = Plain.finish::<T::Lane<I>, false>(z, t, exp, Wanted::LOSS);
            point.loss.store(&mut value);
        } else {
            let point = Plain.finish::<T::Lane<I>, false>(z, t, exp, Wanted::GRADIENT);
            point.gradient.store(&mut value);
        }
        let [value] = value;
        Some(value)
    }
}

/// One call, in spans. After an error the outputs are half done: see `Outputs::poison`.
///
/// Without `LOSSES` it makes none, whatever is wanted: a program contains what it asks for.
pub(crate) struct MainLoop<'a, 'b, T, P, const LOSSES: bool> {
    pub(crate) function: P,
    pub(crate) slices: &'b mut Slices<'a, T>,
}

/// What the main loop keeps of a span whose losses are wanted; else there is no room, which
/// would take time to clear.
struct Buffers<'a, T> {
    /// e^-|z|; then, in its place, losses to be summed.
    e: &'a mut [T],
    /// What e lacks.
    low: &'a mut [T],
}

impl<'a, T: Float> Buffers<'a, T> {
    /// Two spans of `room`, from where no load of z has the last address bits of a store a little
    /// before it: a CPU would take it for a load of what was stored, and wait: up to 2.4 times as
    /// long. A span of z begins at one of two such addresses, so a quarter of a page from both.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(room: &'a mut [T], z: &[T]) -> Self {
        let distance = room.as_ptr().addr().wrapping_sub(z.as_ptr().addr()) % SPAN_BYTES;
        let near = SPAN_ROOM > 0 && !(SPAN_BYTES / 4..SPAN_BYTES * 3 / 4).contains(&distance);
        let skipped = if near { SPAN_ROOM / size_of::<T>() } else { 0 };
        let room = room.get_mut(skipped..).unwrap_or(&mut []);
        let (e, low) = room.split_at_mut((1 << T::SPAN_LOG2).min(room.len()));
        Self { e, low }
    }
}

impl<T: Float, P: Pointwise<T>, const LOSSES: bool> MainLoop<'_, '_, T, P, LOSSES> {
    /// Whether there are loops for the results that most programs ask for.
    const FEW: bool = LOSSES && !T::COMPENSATED && P::IN_WINDOW && P::PLAIN_LOOPS;

    /// Not `f32` losses with options.
    const OPTIONS_STREAM: bool = !LOSSES || T::COMPENSATED;

    const MAY_STREAM: bool = Self::OPTIONS_STREAM || Self::FEW;

    /// A span's e^-|z|; returns the largest pattern of -|z|.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exponentials<I: Isa>(
        &self,
        isa: I,
        (start, length): (usize, usize),
        buffers: &mut Buffers<'_, T>,
    ) -> T::Lane<I> {
        let width = <T::GroupLane<I>>::WIDTH;
        let mut seen = Extremes::nothing();
        let z = self.slices.inputs.z.get(start..start + length);
        let mut e = buffers.e.chunks_exact_mut(width);
        let mut low = buffers.low.chunks_exact_mut(width);
        for z in z.unwrap_or(&[]).chunks_exact(width) {
            prefetch::<I, T::GroupLane<I>>(isa, z);
            let z = <T::GroupLane<I>>::load(z);
            seen.see_logits(z);
            if P::OF_EXP {
                let exp = ExpNeg::of::<false>(z);
                let Some(to) = e.next() else { break };
                exp.e.store(to);
                if T::COMPENSATED {
                    let Some(to) = low.next() else { break };
                    exp.low.store(to);
                }
            }
        }
        seen.minus_a
    }

    /// Whether the elements from `start` on need the full kernel, and for how many
    /// of the next `length` that is so: a multiple of `BLOCK`, or all.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run_of_same_kind<I: Isa>(&self, start: usize, length: usize) -> (bool, usize) {
        let z = self.slices.inputs.z.get(start..start + length);
        let z = z.unwrap_or(&[]);
        let mut seen = Extremes::<T::Lane<I>>::nothing();
        for z in z.chunks_exact(<T::GroupLane<I>>::WIDTH) {
            seen.see_logits(<T::GroupLane<I>>::load(z));
        }
        if !exceeds_fast_limit(seen.minus_a) {
            return (false, length);
        }
        // A loop: closures would not be inlined into vector code.
        let mut first = None;
        let mut same = 0;
        for z in z.chunks(BLOCK) {
            let beyond = exceeds_fast_limit(largest_minus_a::<I, T>(z));
            if *first.get_or_insert(beyond) != beyond {
                break;
            }
            same += z.len();
        }
        (first == Some(true), same)
    }

    /// Elements before the first output's address is aligned for streaming, or nothing where the
    /// outputs are too small to leave the caches, or ordinary stores are faster: of losses by loops of
    /// their own and beside sums, .76 to .95 of the time on a Zen 4 (1.1 to 1.4 on Intel).
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn stream_head<I: Isa>(&self, isa: I) -> Option<usize> {
        // Of three outputs at most; nearly all calls end here.
        if !Self::MAY_STREAM || !I::STREAMS || size_of_val(self.slices.inputs.z) < STREAM_BYTES / 3
        {
            return None;
        }
        let losses = LOSSES && (!T::COMPENSATED || Self::chooses::<I>());
        let ordinary = losses || self.slices.wanted.has(Wanted::SUM);
        if ordinary && !isa.always_streams() {
            return None;
        }
        elements_before_line(&self.slices.outputs)
    }

    /// All of a call that has weights and no other option, and stays in the caches, if that is possible.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn weighted<I: Isa>(&mut self, isa: I) -> Option<f64> {
        let Slices {
            wanted,
            inputs,
            outputs,
            ..
        } = &mut *self.slices;
        let Inputs { z, weights, .. } = *inputs;
        let weights = weights?;
        let Targets::Each(t) = inputs.t else {
            return None;
        };
        let alone = inputs.weight_scale.is_none()
            && inputs.pos_weights.is_none()
            && outputs.divisor.is_none()
            && outputs.sign == Sign::Kept
            && wanted.has(Wanted::GRADIENT);
        if !alone || z.len() > SHORT {
            return None;
        }
        let hessian = if wanted.has(Wanted::HESSIAN) {
            &mut *outputs.hessian
        } else {
            &mut []
        };
        isa.run(Weighted {
            z,
            t,
            weights,
            outputs: [&mut *outputs.gradient, hessian],
        })
    }

    /// Whether a span's e^-|z| are buffered. For derivatives alone, whose few operations leave the
    /// divider idle beside them, only where 16 registers hold too little of both.
    #[cfg_attr(not(debug_assertions), inline(always))]
    const fn buffered<I: Isa>() -> bool {
        P::OF_EXP && (LOSSES || (T::COMPENSATED || !P::IN_WINDOW) && size_of::<T::Lane<I>>() < 64)
    }

    /// Whether the plain loops divide, too: what else options need is spilled with 16 registers.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn divides<I: Isa>() -> bool {
        !P::IN_WINDOW && size_of::<T::Lane<I>>() < 64
    }

    /// Whether losses alone have loops of their own: what a choice at run time needs of 16 registers
    /// is spilled.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn losses_apart<I: Isa>() -> bool {
        LOSSES && P::LOSSES_APART && size_of::<T::Lane<I>>() < 64
    }

    /// e^-|z| of a group, from the buffers or made here.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exp<I: Isa, L: Lane<Real = T, Single = T::Lane<I>>>(
        z: L,
        at: usize,
        buffers: &mut Buffers<'_, T>,
        seen: &mut Extremes<L::Single>,
    ) -> Option<ExpNeg<L>> {
        let mut exp = ExpNeg::nothing();
        if Self::buffered::<I>() {
            exp.e = L::load(elements::<L, true>(buffers.e, at, 0)?);
            if T::COMPENSATED {
                exp.low = L::load(elements::<L, true>(buffers.low, at, 0)?);
            }
        } else if !LOSSES {
            seen.see_logits(z);
            if P::OF_EXP {
                exp = ExpNeg::of::<false>(z);
            }
        }
        Some(exp)
    }

    /// What follows from the exponentials.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn results<I: Isa, const DERIVATIVES: bool>(
        &mut self,
        isa: I,
        (start, length): (usize, usize),
        buffers: &mut Buffers<'_, T>,
        stream: bool,
    ) -> Extremes<T::Lane<I>> {
        let stream = stream && Self::OPTIONS_STREAM;
        let mut seen = Extremes::nothing();
        for at in (0..length).step_by(<T::FinishLane<I>>::WIDTH) {
            let place = (start + at, start + length);
            let group = self.group::<I, DERIVATIVES>(isa, place, at, buffers, &mut seen, stream);
            if group.is_none() {
                break;
            }
        }
        seen
    }

    /// One group of `results`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn group<I: Isa, const DERIVATIVES: bool>(
        &mut self,
        isa: I,
        place: (usize, usize),
        at: usize,
        buffers: &mut Buffers<'_, T>,
        seen: &mut Extremes<T::Lane<I>>,
        stream: bool,
    ) -> Option<()> {
        if !Self::buffered::<I>() {
            let z = elements::<T::FinishLane<I>, true>(self.slices.inputs.z, place.0, 0)?;
            prefetch::<I, T::FinishLane<I>>(isa, z);
        }
        if let Some(t) = self.slices.inputs.t.each() {
            let t = elements::<T::FinishLane<I>, true>(t, place.0, 0)?;
            prefetch::<I, T::FinishLane<I>>(isa, t);
        }
        if let Some(weights) = self.slices.inputs.weights {
            let weights = elements::<T::FinishLane<I>, true>(weights, place.0, 0)?;
            prefetch::<I, T::FinishLane<I>>(isa, weights);
        }
        let z = elements::<T::FinishLane<I>, true>(self.slices.inputs.z, place.0, 0)?;
        let z = <T::FinishLane<I>>::load(z);
        let exp = Self::exp::<I, _>(z, at, buffers, seen)?;
        let losses: &mut [T] = if LOSSES {
            elements_mut::<T::FinishLane<I>, true>(buffers.e, at, 0)?
        } else {
            &mut []
        };
        finish::<T::FinishLane<I>, P, false, true, LOSSES, DERIVATIVES>(
            self.function,
            self.slices,
            place,
            exp,
            losses,
            seen,
            stream,
        )
    }

    /// `results` where no option concerns loads or stores, and losses that are to be summed
    /// are in the window: nothing but the branches that choose what is computed.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn plain_results<I: Isa, const WINDOWED: bool, const DERIVATIVES: bool>(
        &mut self,
        isa: I,
        (start, length): (usize, usize),
        buffers: &mut Buffers<'_, T>,
        window: &mut Window<T::FinishLane<I>>,
        stream: bool,
    ) -> Extremes<T::Lane<I>> {
        let stream = stream && Self::OPTIONS_STREAM;
        let width = <T::FinishLane<I>>::WIDTH;
        let mut wanted = self.slices.wanted;
        if !LOSSES {
            wanted = wanted.derivatives_alone();
        } else if !DERIVATIVES {
            wanted = wanted.losses_alone();
        }
        let computed = if LOSSES && !DERIVATIVES {
            wanted.and(Wanted::SUM)
        } else {
            wanted
        };
        let range = start..start + length;
        let Slices {
            inputs, outputs, ..
        } = &mut *self.slices;
        let z = inputs.z.get(range.clone()).unwrap_or(&[]);
        let t = inputs.t.each().and_then(|t| t.get(range.clone()));
        let (targets, sign, divisor) = (inputs.t, outputs.sign, outputs.divisor);
        let loss = outputs.loss.get_mut(range.clone());
        let gradient = outputs.gradient.get_mut(range.clone());
        let hessian = outputs.hessian.get_mut(range);
        let mut loss = loss.unwrap_or(&mut []).chunks_exact_mut(width);
        let mut gradient = gradient.unwrap_or(&mut []).chunks_exact_mut(width);
        let mut hessian = hessian.unwrap_or(&mut []).chunks_exact_mut(width);
        let mut t = t.unwrap_or(&[]).chunks_exact(width);
        let mut e = buffers.e.chunks_exact_mut(width);
        let mut low = buffers.low.chunks_exact(width);
        let buffered = Self::buffered::<I>();
        // The long chain of a derivative is begun a group ahead, where registers allow.
        let ahead = !LOSSES && !buffered && P::OF_EXP;
        let mut z_ahead = z.chunks_exact(width);
        let mut next = ExpNeg::nothing();
        if ahead && let Some(z) = z_ahead.next() {
            next = ExpNeg::of::<false>(<T::FinishLane<I>>::load(z));
        }
        let mut seen = Extremes::nothing();
        for z in z.chunks_exact(width) {
            if !LOSSES && !buffered {
                prefetch::<I, T::FinishLane<I>>(isa, z);
            }
            let z = <T::FinishLane<I>>::load(z);
            let t = if let Targets::All(t) = targets {
                <T::FinishLane<I>>::splat(t)
            } else {
                let Some(t) = t.next() else { break };
                prefetch::<I, T::FinishLane<I>>(isa, t);
                let t = <T::FinishLane<I>>::load(t);
                seen.see_targets(t);
                t
            };
            let mut exp = next;
            let mut buffer: &mut [T] = &mut [];
            if LOSSES || buffered {
                let Some(e) = e.next() else { break };
                buffer = e;
            } else {
                seen.see_logits(z);
                if ahead && let Some(z) = z_ahead.next() {
                    next = ExpNeg::of::<false>(<T::FinishLane<I>>::load(z));
                }
            }
            if buffered {
                exp.e = <T::FinishLane<I>>::load(buffer);
                if T::COMPENSATED {
                    let Some(low) = low.next() else { break };
                    exp.low = <T::FinishLane<I>>::load(low);
                }
            }
            let mut point = self
                .function
                .finish::<T::FinishLane<I>, false>(z, t, exp, computed);
            if P::IN_WINDOW {
                point = sign.of(point);
            }
            if LOSSES {
                if WINDOWED {
                    window.add(point.loss.spread());
                } else if wanted.has(Wanted::LOSS) {
                    let Some(to) = loss.next() else { break };
                    put(point.loss, to, stream);
                } else {
                    point.loss.store(buffer);
                }
            }
            if DERIVATIVES && (!LOSSES || wanted.has(Wanted::GRADIENT)) {
                let Some(to) = gradient.next() else { break };
                if Self::divides::<I>()
                    && let Some(divisor) = divisor
                {
                    let zero = <T::FinishLane<I>>::splat(T::ZERO);
                    point.gradient = point.gradient / <T::FinishLane<I>>::splat(divisor) + zero;
                }
                put(point.gradient, to, stream);
                if wanted.has(Wanted::HESSIAN) {
                    let Some(to) = hessian.next() else { break };
                    put(point.hessian, to, stream);
                }
            }
        }
        seen
    }

    /// `plain_results` of losses, stored or to be summed, and of derivatives beside a sum, known when it is compiled:
    /// nothing to choose in the loop but whether they are `windowed`, and registers for the window.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fixed_results<I: Isa, const SUM: bool, const GRADIENT: bool, const HESSIAN: bool>(
        &mut self,
        isa: I,
        (start, length): (usize, usize),
        buffers: &mut Buffers<'_, T>,
        window: &mut Window<T::FinishLane<I>>,
        windowed: bool,
        stream: bool,
    ) -> Option<Extremes<T::Lane<I>>> {
        let width = <T::FinishLane<I>>::WIDTH;
        let mut wanted = if SUM { Wanted::SUM } else { Wanted::LOSS };
        if GRADIENT {
            wanted = wanted.and(Wanted::GRADIENT);
        }
        if HESSIAN {
            wanted = wanted.and(Wanted::HESSIAN);
        }
        let range = start..start + length;
        let Slices {
            inputs, outputs, ..
        } = &mut *self.slices;
        let z = inputs.z.get(range.clone())?;
        let t = inputs.t.each()?.get(range.clone())?;
        let [mut loss, mut gradient, mut hessian]: [&mut [T]; 3] = [&mut [], &mut [], &mut []];
        if !SUM {
            loss = outputs.loss.get_mut(range.clone())?;
        }
        if GRADIENT {
            gradient = outputs.gradient.get_mut(range.clone())?;
        }
        if HESSIAN {
            hessian = outputs.hessian.get_mut(range)?;
        }
        let e = buffers.e.get_mut(..length)?;
        // The branch takes 3 % where 16 registers do not hold the gradients until then.
        let stream = stream && (!GRADIENT || size_of::<T::Lane<I>>() == 64);
        let mut seen = Extremes::nothing();
        let mut sums = *window;
        keep_constants::<T::FinishLane<I>>();
        let mut at = 0;
        let (mut end, mut added) = (length, 0);
        if SUM && windowed {
            (end, added) = (length + 2 * width, length);
        }
        while at < end {
            if !SUM || at < length {
                let t = t.get(at..at + width)?;
                prefetch::<I, T::FinishLane<I>>(isa, t);
                let z = <T::FinishLane<I>>::load(z.get(at..at + width)?);
                let t = <T::FinishLane<I>>::load(t);
                let mut exp = ExpNeg::nothing();
                exp.e = <T::FinishLane<I>>::load(e.get(at..at + width)?);
                seen.see_targets(t);
                let point = if SUM && GRADIENT {
                    self.function
                        .finish_both::<T::FinishLane<I>>(z, t, exp, wanted)
                } else {
                    self.function
                        .finish::<T::FinishLane<I>, false>(z, t, exp, wanted)
                };
                if SUM {
                    point.loss.store(e.get_mut(at..at + width)?);
                } else {
                    put(point.loss, loss.get_mut(at..at + width)?, stream);
                }
                if GRADIENT {
                    put(point.gradient, gradient.get_mut(at..at + width)?, stream);
                }
                if HESSIAN {
                    put(point.hessian, hessian.get_mut(at..at + width)?, stream);
                }
            }
            // Sums are two groups behind: losses widened from the buffer cost fewer operations than in registers, but
            // wait where they were stored just before.
            if SUM
                && at >= 2 * width
                && let Some(losses) = e.get(..added)?.get(at - 2 * width..at - width)
            {
                sums.add(<T::FinishLane<I>>::load_spread(losses));
            }
            at += width;
        }
        if SUM {
            *window = sums;
        }
        Some(seen)
    }

    /// Whether what most calls want is `Chosen`: of gradients, where they come from buffers.
    const fn chooses<I: Isa>() -> bool {
        let wide = size_of::<T::Lane<I>>() == 64;
        P::IN_WINDOW && P::PLAIN_LOOPS && T::COMPENSATED && wide == LOSSES
    }

    /// `Chosen`, if it can be.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn chosen<I: Isa>(
        &mut self,
        isa: I,
        (start, length): (usize, usize),
        exp: &Buffers<'_, T>,
        window: &mut Window<T::FinishLane<I>>,
        stream: bool,
    ) -> Option<Extremes<T::Lane<I>>> {
        const SUM: u8 = Wanted::SUM.bits();
        const LOSS: u8 = Wanted::LOSS.bits();
        const GRADIENT: u8 = Wanted::GRADIENT.bits();
        const SUM_GRADIENT: u8 = Wanted::SUM.and(Wanted::GRADIENT).bits();
        let Slices {
            wanted,
            inputs,
            outputs,
            ..
        } = &mut *self.slices;
        if outputs.sign != Sign::Kept {
            return None;
        }
        let range = start..start + length;
        let function = self.function;
        let z = inputs.z.get(range.clone())?;
        let t = inputs.t.each()?.get(range.clone())?;
        if !LOSSES {
            let output = outputs.gradient.get_mut(range)?;
            if wanted.bits() != GRADIENT {
                return None;
            }
            // Pairs, since groups of four are spilled: .92 of the time.
            return Some(isa.run(Chosen::<T, T::FullLane<I>, P, GRADIENT> {
                function,
                z,
                t,
                exp,
                output,
                window: &mut Window::new(),
                stream,
            }));
        }
        Some(match wanted.bits() {
            SUM => isa.run(Chosen::<T, T::FinishLane<I>, P, SUM> {
                function,
                z,
                t,
                exp,
                output: &mut [],
                window,
                stream,
            }),
            LOSS => isa.run(Chosen::<T, T::FinishLane<I>, P, LOSS> {
                function,
                z,
                t,
                exp,
                output: outputs.loss.get_mut(range)?,
                window,
                stream,
            }),
            SUM_GRADIENT => isa.run(Chosen::<T, T::FinishLane<I>, P, SUM_GRADIENT> {
                function,
                z,
                t,
                exp,
                output: outputs.gradient.get_mut(range)?,
                window,
                stream,
            }),
            _ => return None,
        })
    }

    /// `Ahead`, and afterwards what few calls want: its loops have no room for that.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn ahead<I: Isa>(
        &mut self,
        isa: I,
        span: (usize, usize),
        losses: &mut [T],
        stream: bool,
    ) -> Option<Extremes<T::Lane<I>>> {
        let (sign, divisor) = (self.slices.outputs.sign, self.slices.outputs.divisor);
        let kept = sign == Sign::Kept && divisor.is_none();
        let stream = stream && kept && Self::OPTIONS_STREAM;
        let seen = if const { size_of::<T::Lane<I>>() == 64 } {
            self.ahead_by::<I, T::Lane<I>>(isa, span, losses, stream)?
        } else {
            self.ahead_by::<I, T::FullLane<I>>(isa, span, losses, stream)?
        };
        let Slices {
            wanted, outputs, ..
        } = &mut *self.slices;
        let range = span.0..span.0 + span.1;
        let width = <T::Lane<I>>::WIDTH;
        if wanted.has(Wanted::SUM) && wanted.has(Wanted::LOSS) {
            let from = outputs.loss.get(range.clone())?;
            losses.get_mut(..span.1)?.copy_from_slice(from);
        }
        if sign == Sign::Flipped && wanted.has(Wanted::LOSS) {
            for loss in outputs.loss.get_mut(range)?.chunks_exact_mut(width) {
                (-<T::Lane<I>>::load(loss)).store(loss);
            }
        } else if !kept && wanted.has(Wanted::GRADIENT) {
            for gradient in outputs.gradient.get_mut(range)?.chunks_exact_mut(width) {
                let mut value = <T::Lane<I>>::load(gradient);
                if sign == Sign::Cleared {
                    value = value.abs();
                }
                if let Some(divisor) = divisor {
                    value = value / <T::Lane<I>>::splat(divisor) + <T::Lane<I>>::splat(T::ZERO);
                }
                value.store(gradient);
            }
        }
        Some(seen)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn ahead_by<I: Isa, L: Lane<Real = T, Single = T::Lane<I>>>(
        &mut self,
        isa: I,
        (start, length): (usize, usize),
        losses: &mut [T],
        stream: bool,
    ) -> Option<Extremes<T::Lane<I>>> {
        const LOSS: u8 = Wanted::LOSS.bits();
        const GRADIENT: u8 = Wanted::GRADIENT.bits();
        const DERIVATIVES: u8 = GRADIENT | Wanted::HESSIAN.bits();
        const LOSS_GRADIENT: u8 = LOSS | GRADIENT;
        const ALL: u8 = LOSS | DERIVATIVES;
        let Slices {
            wanted,
            inputs,
            outputs,
            ..
        } = &mut *self.slices;
        let range = start..start + length;
        let z = inputs.z.get(range.clone())?;
        let all;
        let (t, step) = match inputs.t {
            Targets::Each(t) | Targets::Logits(t) => (t.get(range.clone())?, L::WIDTH),
            Targets::All(t) => {
                all = [t; MAX_WIDTH];
                (&all[..], 0)
            }
        };
        let [mut loss, mut gradient, mut hessian]: [&mut [T]; 3] = [&mut [], &mut [], &mut []];
        if wanted.has(Wanted::LOSS) {
            loss = outputs.loss.get_mut(range.clone())?;
        } else if wanted.has(Wanted::SUM) {
            loss = losses.get_mut(..length)?;
        }
        if wanted.has(Wanted::GRADIENT) {
            gradient = outputs.gradient.get_mut(range.clone())?;
        }
        if wanted.has(Wanted::HESSIAN) {
            hessian = outputs.hessian.get_mut(range)?;
        }
        let hessians = wanted.has(Wanted::HESSIAN);
        let gradients = wanted.has(Wanted::GRADIENT);
        macro_rules! ahead {
            ($wanted:ident) => {
                isa.run(Ahead::<T, L, P, $wanted> {
                    function: PhantomData,
                    z,
                    t,
                    step,
                    outputs: [loss, gradient, hessian],
                    stream,
                })
            };
        }
        Some(if const { LOSSES } {
            if hessians {
                ahead!(ALL)
            } else if gradients {
                ahead!(LOSS_GRADIENT)
            } else {
                ahead!(LOSS)
            }
        } else if hessians {
            ahead!(DERIVATIVES)
        } else {
            ahead!(GRADIENT)
        })
    }

    /// One span, but for what is `Remainder`'s; whether some |z| was beyond the fast kernel,
    /// and the span has to be done again.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn span<I: Isa>(
        &mut self,
        isa: I,
        span: (usize, usize),
        buffers: &mut Buffers<'_, T>,
        window: &mut Window<T::FinishLane<I>>,
        stream: bool,
    ) -> Result<bool, Error> {
        let Slices {
            wanted,
            inputs,
            outputs,
            ..
        } = &self.slices;
        let wanted = *wanted;
        let plain = inputs.weights.is_none()
            && inputs.pos_weights.is_none()
            && (outputs.divisor.is_none() || Self::divides::<I>())
            && !(wanted.has(Wanted::SUM) && wanted.has(Wanted::LOSS))
            // What the linear head asks for.
            && (wanted.has(Wanted::GRADIENT) || !wanted.has(Wanted::HESSIAN));
        let few = Self::FEW;
        // Whether this span is theirs.
        let fixed = few
            && plain
            && matches!(inputs.t, Targets::Each(_))
            && outputs.sign == Sign::Kept
            && (wanted.has(Wanted::SUM) || wanted == Wanted::LOSS);
        let seen;
        let (mut windowed, mut beyond) = (false, false);
        if LOSSES || Self::buffered::<I>() {
            let minus_a = self.exponentials(isa, span, buffers);
            beyond = exceeds_fast_limit(minus_a);
            if beyond && !fixed {
                return Ok(true);
            }
            if beyond {
                let z = inputs.z.get(span.0..span.0 + span.1).unwrap_or(&[]);
                let width = <T::Lane<I>>::WIDTH;
                for (z, e) in z.chunks_exact(width).zip(buffers.e.chunks_exact_mut(width)) {
                    let within = is_within_fast_limit(<T::Lane<I>>::load(z));
                    let zero = <T::Lane<I>>::splat(T::ZERO);
                    <T::Lane<I>>::select(within, <T::Lane<I>>::load(e), zero).store_blended(e);
                }
            }
            windowed = LOSSES
                && plain
                && (fixed || !few)
                && wanted.has(Wanted::SUM)
                && P::IN_WINDOW
                && Window::<T::FinishLane<I>>::holds(minus_a);
        }
        if LOSSES {
            let some = if const { Self::chooses::<I>() }
                && plain
                && (windowed || wanted == Wanted::LOSS)
            {
                self.chosen(isa, span, buffers, window, stream)
            } else if !fixed {
                None
            } else if wanted == Wanted::LOSS {
                self.fixed_results::<I, false, false, false>(
                    isa, span, buffers, window, false, stream,
                )
            } else if wanted.has(Wanted::HESSIAN) {
                self.fixed_results::<I, true, true, true>(
                    isa, span, buffers, window, windowed, stream,
                )
            } else if wanted.has(Wanted::GRADIENT) {
                self.fixed_results::<I, true, true, false>(
                    isa, span, buffers, window, windowed, stream,
                )
            } else {
                self.fixed_results::<I, true, false, false>(
                    isa, span, buffers, window, windowed, stream,
                )
            };
            seen = if let Some(seen) = some {
                seen
            } else if const { P::BEGINS } {
                let seen = self.ahead(isa, span, buffers.e, stream);
                if windowed {
                    let losses = buffers.e.get(..span.1).unwrap_or(&[]);
                    for losses in losses.chunks_exact(<T::FinishLane<I>>::WIDTH) {
                        window.add(<T::FinishLane<I>>::load_spread(losses));
                    }
                }
                seen.unwrap_or(Extremes::nothing())
            } else if P::IN_WINDOW && !few && windowed {
                self.plain_results::<I, true, true>(isa, span, buffers, window, stream)
            } else if P::PLAIN_LOOPS && plain && !few {
                if Self::losses_apart::<I>() && !wanted.derivatives() {
                    self.plain_results::<I, false, false>(isa, span, buffers, window, stream)
                } else {
                    self.plain_results::<I, false, true>(isa, span, buffers, window, stream)
                }
            } else if Self::losses_apart::<I>() && !wanted.derivatives() {
                self.results::<I, false>(isa, span, buffers, stream)
            } else {
                self.results::<I, true>(isa, span, buffers, stream)
            };
        } else {
            let some = if const { Self::chooses::<I>() } && plain && !stream {
                self.chosen(isa, span, buffers, window, stream)
            } else {
                None
            };
            seen = if let Some(seen) = some {
                seen
            } else if const { P::BEGINS } {
                let seen = self.ahead(isa, span, &mut [], stream);
                seen.unwrap_or(Extremes::nothing())
            } else if P::PLAIN_LOOPS && plain {
                self.plain_results::<I, false, true>(isa, span, buffers, window, stream)
            } else {
                self.results::<I, true>(isa, span, buffers, stream)
            };
            if exceeds_fast_limit(seen.minus_a) {
                if stream {
                    // What was streamed is written again.
                    isa.fence();
                }
                return Ok(true);
            }
        }
        let (start, length) = span;
        if seen.are_suspect() {
            self.slices.check(start, length)?;
        }
        if Self::FEW && beyond {
            if stream {
                isa.fence();
            }
            isa.run(Beyond {
                slices: self.slices,
                span,
                losses: buffers.e,
            });
        }
        if windowed {
            window.end_span(self.slices.sum);
        } else if wanted.has(Wanted::SUM) {
            let losses = buffers.e.get_mut(..length);
            isa.run(AddLosses {
                sum: self.slices.sum,
                losses: losses.unwrap_or(&mut []),
            });
        }
        Ok(false)
    }

    /// Everything, from the first span to the rest behind the last one. The first
    /// `head` elements are those in front of the address that `stream` needs.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn spans<I: Isa>(
        &mut self,
        isa: I,
        mut buffers: Buffers<'_, T>,
        head: usize,
        stream: bool,
    ) -> Result<(), Error> {
        let width = <T::GroupLane<I>>::WIDTH;
        let count = self.slices.inputs.z.len();
        let mut window = Window::new();
        // Whether to look at the logits first: where some were beyond `FAST_LIMIT`, since the fast
        // kernel would make subnormal numbers of them, and before the first span. Not if what comes
        // first is a loop that makes none: losses of `f32`, or without e.
        let mut cautious = !LOSSES || P::OF_EXP && T::COMPENSATED;
        let mut start = 0;
        while start < count {
            let left = count - start;
            let whole = left.min(1 << T::SPAN_LOG2) / width * width;
            let (slow, length) = if start < head {
                (true, head.min(left))
            } else if whole == 0 {
                (true, left)
            } else if cautious {
                let (slow, length) = self.run_of_same_kind::<I>(start, whole);
                cautious = slow || length < whole;
                (slow, length)
            } else {
                (false, whole)
            };
            if slow {
                isa.run(Remainder {
                    function: self.function,
                    slices: self.slices,
                    start,
                    end: start + length,
                })?;
            } else if self.span(isa, (start, length), &mut buffers, &mut window, stream)? {
                cautious = true;
                continue;
            }
            start += length;
        }
        window.flush(self.slices.sum);
        Ok(())
    }
}

impl<T: Float, P: Pointwise<T>, const LOSSES: bool> Job for MainLoop<'_, '_, T, P, LOSSES> {
    type Output = Result<(), Error>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(mut self, isa: I) -> Result<(), Error> {
        if !I::FAST {
            let end = self.slices.inputs.z.len();
            return isa.run(Remainder {
                function: self.function,
                slices: self.slices,
                start: 0,
                end,
            });
        }
        if const { !LOSSES && T::COMPENSATED && P::IN_WINDOW && P::PLAIN_LOOPS }
            && self.weighted(isa).is_some()
        {
            return Ok(());
        }
        let head = self.stream_head(isa);
        let stream = head.is_some();
        let head = head.unwrap_or(0);
        let z = self.slices.inputs.z;
        // Constants: what a condition alone excludes would be compiled, and stay in the library.
        let result = if const { T::COMPENSATED && Self::buffered::<I>() } {
            // The stack has no room for another function's frame.
            let mut room = T::EXP_SPAN;
            let buffers = Buffers::new(room.as_mut(), z);
            self.spans(isa, buffers, head, stream)
        } else if const { LOSSES && !Self::buffered::<I>() } {
            let mut losses = T::SPAN;
            let (e, low) = (losses.as_mut(), &mut [] as _);
            self.spans(isa, Buffers { e, low }, head, stream)
        } else if LOSSES && z.len() <= SHORT_ROOM {
            let mut losses = Aligned([T::ZERO; SHORT_ROOM]);
            let (e, low) = (&mut losses.0 as _, &mut [] as _);
            isa.run(Spans(&mut self, Buffers { e, low }, (head, stream)))
        } else if const { Self::buffered::<I>() } {
            let mut room = T::EXP_SPAN;
            let buffers = Buffers::new(room.as_mut(), z);
            isa.run(Spans(&mut self, buffers, (head, stream)))
        } else {
            let (e, low) = (&mut [] as _, &mut [] as _);
            self.spans(isa, Buffers { e, low }, head, stream)
        };
        if stream {
            // Also after an error, which has the outputs overwritten.
            isa.fence();
        }
        result
    }
}

/// `MainLoop::spans`, with either buffers.
struct Spans<'a, 'b, 'c, T, P, const LOSSES: bool>(
    &'c mut MainLoop<'a, 'b, T, P, LOSSES>,
    Buffers<'c, T>,
    (usize, bool),
);

impl<T: Float, P: Pointwise<T>, const LOSSES: bool> Job for Spans<'_, '_, '_, T, P, LOSSES> {
    type Output = Result<(), Error>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, isa: I) -> Result<(), Error> {
        let Self(main_loop, buffers, (head, stream)) = self;
        let MainLoop { function, slices } = main_loop;
        let mut main_loop = MainLoop::<_, _, LOSSES> {
            function: *function,
            slices: &mut **slices,
        };
        main_loop.spans(isa, buffers, head, stream)
    }
}

/// The results of what is beyond `FAST_LIMIT` in a span, from those that the fast kernel made with 0 in the place of e:
/// log1p(e), q and q - q^2 all round to e, which is added last.
struct Beyond<'a, 'b, T> {
    slices: &'b mut Slices<'a, T>,
    span: (usize, usize),
    /// Those to be summed, of the span.
    losses: &'b mut [T],
}

impl<T: Float> Job for Beyond<'_, '_, T> {
    /// Nothing if the slices are shorter than they are.
    type Output = Option<()>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> Option<()> {
        let Slices {
            wanted,
            inputs,
            outputs,
            ..
        } = self.slices;
        let (start, length) = self.span;
        let range = start..start + length;
        let width = <T::FullLane<I>>::WIDTH;
        let z = inputs.z.get(range.clone())?;
        let t = inputs.t.each()?.get(range.clone())?;
        let wanted = *wanted;
        let [mut gradient, mut hessian]: [&mut [T]; 2] = [&mut [], &mut []];
        let losses = if wanted.has(Wanted::SUM) {
            self.losses.get_mut(..length)?
        } else {
            outputs.loss.get_mut(range.clone())?
        };
        if wanted.has(Wanted::GRADIENT) {
            gradient = outputs.gradient.get_mut(range.clone())?;
        }
        if wanted.has(Wanted::HESSIAN) {
            hessian = outputs.hessian.get_mut(range)?;
        }
        let zero = <T::FullLane<I>>::splat(T::ZERO);
        for at in (0..length).step_by(width) {
            let group = <T::FullLane<I>>::load(elements::<T::FullLane<I>, true>(z, at, 0)?);
            let mut seen = Extremes::<T::Lane<I>>::nothing();
            seen.see_logits(group);
            if !exceeds_fast_limit(seen.minus_a) {
                continue;
            }
            if has_tiny::<T::FullLane<I>>(group) {
                let e = ExpNeg::of::<true>(group).tiny();
                let e = <T::FullLane<I>>::select(is_within_fast_limit(group), zero, e);
                add(e, elements_mut::<T::FullLane<I>, true>(losses, at, 0)?);
                if let Some(to) = elements_mut::<T::FullLane<I>, true>(gradient, at, 0) {
                    add(e.with_sign(group.sign_of_minus()), to);
                }
                if let Some(to) = elements_mut::<T::FullLane<I>, true>(hessian, at, 0) {
                    add(e, to);
                }
            }
            if seen.minus_a.exceeds_bits(-<T::Lane<I>>::splat(T::MAX)) {
                for at in (at..at + width).step_by(<T::Lane<I>>::WIDTH) {
                    let z = <T::Lane<I>>::load(elements::<T::Lane<I>, true>(z, at, 0)?);
                    let t = <T::Lane<I>>::load(elements::<T::Lane<I>, true>(t, at, 0)?);
                    let to = elements_mut::<T::Lane<I>, true>(losses, at, 0)?;
                    Plain::at_infinity(z, t, <T::Lane<I>>::load(to)).store_blended(to);
                    for to in [&mut *gradient, &mut *hessian] {
                        if let Some(to) = elements_mut::<T::Lane<I>, true>(to, at, 0) {
                            nan_like::<_, true>(z, <T::Lane<I>>::load(to)).store_blended(to);
                        }
                    }
                }
            }
        }
        Some(())
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn add<L: Lane>(value: L, to: &mut [L::Real]) {
    (L::load(to) + value).store(to);
}

/// Whether some e^-|z| beyond `FAST_LIMIT` does not round to 0.
#[cfg_attr(not(debug_assertions), inline(always))]
fn has_tiny<L: Lane>(z: L) -> bool {
    // Their patterns become the largest.
    let minus_a = z.or_bits(L::splat(L::Real::SIGN_BIT));
    let up = L::splat(L::Real::of_pattern(
        !(L::Real::SIGN_BIT.pattern() | L::Real::ZERO_LIMIT.pattern()),
    ));
    let limit = (-L::splat(L::Real::FAST_LIMIT)).add_bits(up);
    minus_a.add_bits(up).exceeds_bits(limit)
}

/// `plain_results` with targets for each element and `WANTED` known: a function of its own, so that constants and
/// accumulators have all registers.
struct Chosen<'a, 'b, T, L: Lane, P, const WANTED: u8> {
    function: P,
    z: &'a [T],
    t: &'a [T],
    exp: &'a Buffers<'b, T>,
    /// Of losses or gradients.
    output: &'a mut [T],
    window: &'a mut Window<L>,
    stream: bool,
}

impl<T: Float, L: Lane<Real = T>, P: Pointwise<T>, const WANTED: u8> Job
    for Chosen<'_, '_, T, L, P, WANTED>
{
    type Output = Extremes<L::Single>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, isa: I) -> Extremes<L::Single> {
        let wanted = const { Wanted::of_bits(WANTED) };
        let width = L::WIDTH;
        let mut seen = Extremes::nothing();
        let mut window = *self.window;
        let stream = self.stream;
        keep_constants::<L>();
        let inputs = self.z.chunks_exact(width).zip(self.t.chunks_exact(width));
        let e = self.exp.e.chunks_exact(width);
        let exp = e.zip(self.exp.low.chunks_exact(width));
        let mut output = self.output.chunks_exact_mut(width);
        for ((z, t), (e, low)) in inputs.zip(exp) {
            prefetch::<I, L>(isa, t);
            let (z, t) = (L::load(z), L::load(t));
            seen.see_targets(t);
            let exp = ExpNeg {
                e: L::load(e),
                low: L::load(low),
            };
            let point = self.function.finish::<L, false>(z, t, exp, wanted);
            if wanted.has(Wanted::SUM) {
                window.add(point.loss.spread());
            }
            if wanted.has(Wanted::GRADIENT) || wanted.has(Wanted::LOSS) {
                let Some(to) = output.next() else { break };
                if wanted.has(Wanted::GRADIENT) {
                    put(point.gradient, to, stream);
                } else {
                    put(point.loss, to, stream);
                }
            }
        }
        *self.window = window;
        seen
    }
}

/// The results `WANTED`, a sum's losses as such, of a function that `BEGINS`. In each round one vector is begun, the one
/// before it divided, and the one before that finished: three chains that do not wait for each other. What is
/// undecided is noted and done after the loop, which has no call that would need its registers.
struct Ahead<'a, 'b, T, L, P, const WANTED: u8> {
    function: PhantomData<(L, P)>,
    z: &'a [T],
    t: &'a [T],
    /// From one vector's targets to the next one's: none if one is that of all elements.
    step: usize,
    /// Empty, or as long as z.
    outputs: [&'b mut [T]; 3],
    stream: bool,
}

impl<'a, 'b, T: Float, L: Lane<Real = T>, P: Pointwise<T>, const WANTED: u8>
    Ahead<'a, 'b, T, L, P, WANTED>
{
    /// What was undecided: a bit for each vector.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn again<I: Isa, const LOSS: bool>(&mut self, isa: I, mut vectors: u64) {
        // Two at a time, if it can be.
        let width = const {
            let (one, two) = (L::WIDTH, <T::FullLane<I>>::WIDTH);
            let width = if one > two { one } else { two };
            // So that a span, of whole groups, has no rest.
            assert!(!I::FAST || <T::GroupLane<I>>::WIDTH.is_multiple_of(width));
            width
        };
        let [loss, gradient, hessian] = &mut self.outputs;
        while vectors != 0 {
            let start = vectors.trailing_zeros() as usize * L::WIDTH / width * width;
            let end = start + width;
            vectors &= u64::MAX.unbounded_shl((end / L::WIDTH) as u32);
            let range = start..end;
            let targets = if self.step == 0 {
                0..width
            } else {
                range.clone()
            };
            let (Some(z), Some(t)) = (self.z.get(range.clone()), self.t.get(targets)) else {
                break;
            };
            let outputs = [
                loss.get_mut(range.clone()).unwrap_or(&mut []),
                gradient.get_mut(range.clone()).unwrap_or(&mut []),
                hessian.get_mut(range).unwrap_or(&mut []),
            ];
            P::again::<I, LOSS>(isa, z, t, outputs);
        }
    }
}

impl<T: Float, L: Lane<Real = T>, P: Pointwise<T>, const WANTED: u8> Job
    for Ahead<'_, '_, T, L, P, WANTED>
{
    type Output = Extremes<L::Single>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(mut self, isa: I) -> Extremes<L::Single> {
        let wanted = const { Wanted::of_bits(WANTED) };
        let width = L::WIDTH;
        let length = self.z.len();
        let mut seen = Extremes::nothing();
        let mut again = [0_u64; 2];
        let stream = self.stream;
        let [loss, gradient, hessian] = &mut self.outputs;
        let mut to_loss = loss.chunks_exact_mut(width);
        let mut to_gradient = gradient.chunks_exact_mut(width);
        let mut to_hessian = hessian.chunks_exact_mut(width);
        let mut ahead = self.z.chunks_exact(width);
        let mut inputs = self.z.chunks_exact(width);
        let mut of_t = 0;
        P::keep::<L>(wanted);
        let mut divided = [Begun::<L::Wide>::nothing(); 2];
        let mut begun = divided;
        let mut bit = 1;
        let mut at = 0;
        while at < length + 2 * width {
            let this = divided;
            if at > 0 && at <= length {
                divided = [begun[0].divide(), begun[1].divide()];
            }
            if let Some(z) = ahead.next() {
                if !wanted.losses() {
                    prefetch::<I, L>(isa, z);
                    seen.see_logits(L::load(z));
                }
                begun = P::begin::<L>(z);
            }
            if at > width {
                let (Some(z), Some(t)) = (inputs.next(), self.t.get(of_t..of_t + width)) else {
                    break;
                };
                of_t += self.step;
                prefetch::<I, L>(isa, t);
                let (z, t) = (L::load(z), L::load(t));
                seen.see_targets(t);
                let (point, undecided) = P::finish_begun::<L>(z, t, this, wanted);
                for (bits, undecided) in again.iter_mut().zip(undecided) {
                    if undecided {
                        *bits |= bit;
                    }
                }
                bit <<= 1;
                let outputs = [
                    (point.loss, Wanted::LOSS, to_loss.next()),
                    (point.gradient, Wanted::GRADIENT, to_gradient.next()),
                    (point.hessian, Wanted::HESSIAN, to_hessian.next()),
                ];
                for (value, one, to) in outputs {
                    if wanted.has(one)
                        && let Some(to) = to
                    {
                        put(value, to, stream);
                    }
                }
            }
            at += width;
        }
        let [losses, derivatives] = again;
        if losses != 0 {
            self.again::<I, true>(isa, losses);
        }
        if derivatives != 0 {
            self.again::<I, false>(isa, derivatives);
        }
        seen
    }
}

/// One request for each cache line of a lane.
#[cfg_attr(not(debug_assertions), inline(always))]
fn prefetch<I: Isa, L: Lane>(isa: I, of: &[L::Real]) {
    let ahead = PREFETCH_BYTES / size_of::<L::Real>();
    for line in 0..size_of_val(of).div_ceil(LINE) {
        isa.prefetch(of, ahead + line * LINE / size_of::<L::Real>());
    }
}

/// Targets and weights alone.
pub(crate) struct Check<'a, 'b, T>(pub(crate) &'b Slices<'a, T>);

impl<T: Float> Job for Check<'_, '_, T> {
    type Output = Result<(), Error>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> Result<(), Error> {
        let Inputs { t, weights, .. } = self.0.inputs;
        let mut seen = Extremes::<T::Lane<I>>::nothing();
        let width = <T::Lane<I>>::WIDTH;
        let mut weights = weights.map(|weights| weights.chunks(width));
        for each in t.each().unwrap_or(&[]).chunks(width) {
            let weight = match &mut weights {
                Some(weights) => weights.next().map(<T::Lane<I>>::load),
                None => None,
            };
            let mut target = <T::Lane<I>>::load(each);
            if matches!(t, Targets::Logits(_)) {
                target = nan_alone(target);
            }
            seen.note(target, weight);
        }
        if seen.are_suspect() {
            return self.0.check(0, self.0.inputs.z.len());
        }
        Ok(())
    }
}

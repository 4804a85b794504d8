//! The walk over slices.
//!
//! Spans of `SPAN` elements go through the fast kernel, which also keeps the
//! largest |z| and the largest target as bit patterns: one integer maximum each
//! tells, once per span, whether anything in it needs the full kernel or is not
//! a valid target (a negative or NaN pattern is larger than that of 1). Losses to
//! be summed go to a buffer that stays in the first-level cache, and from there to
//! the exact sum.
//!
//! What is left goes through `Part`, which does everything for any number of
//! elements, lane by lane with partial loads and stores: short calls, the rest
//! behind the last span, and what needs the full kernel. It is compiled once for a
//! function, not once for every combination of outputs.

use crate::error::Error;
use crate::kernel::{Begun, Point, Pointwise};
use crate::lane::{Constants, Isa, Job, Lane};
use crate::total::{AddLosses, Total};

/// Microcontrollers, where `Scalar` is all there is: flash and stack matter more
/// than a second kernel and blocks of losses.
pub(crate) const SMALL: bool = cfg!(any(target_arch = "arm", target_arch = "riscv32"));

/// Elements per span: the buffer of losses is 2 or 4 KiB.
pub(crate) const SPAN: usize = if SMALL { 16 } else { 512 };

/// How far ahead of the loads lines are asked for, in bytes.
/// 1 to 8 KiB are the same within the noise, less or none is slower (ARCHITECTURE.md).
const PREFETCH_BYTES: usize = 2048;

/// Outputs of at least this size are stored past the caches.
const STREAM_BYTES: usize = 16 << 20;

/// The widest lane's elements.
pub(crate) const MAX_WIDTH: usize = 128;

/// Elements that `Part` takes at a time; fewer in a call are all its work.
pub(crate) const PART: usize = if SMALL { 16 } else { 64 };

/// Targets and weights alone.
pub(crate) const CHECK: u8 = 0;
pub(crate) const LOSS: u8 = 1;
pub(crate) const GRADIENT: u8 = 2;
pub(crate) const HESSIAN: u8 = 4;
pub(crate) const SUM: u8 = 8;
/// What a part can compute besides what it needs; the caller's slices tell.
pub(crate) const ALL: u8 = LOSS | GRADIENT | HESSIAN | SUM | DIVIDE;
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

/// What a span tells besides its outputs: extremes as bit patterns.
struct Extremes<L: Lane> {
    minus_a: L,
    target: L,
    weight: L,
}

/// What follows from them.
struct Seen {
    /// Some |z| is NaN or too large for the fast kernel.
    beyond: bool,
    /// Some target or weight may be invalid; -0 gives false alarms.
    suspect: bool,
}

impl<L: Lane> Extremes<L> {
    #[inline(always)]
    fn nothing() -> Self {
        let zero = L::splat(L::Real::ZERO);
        Self {
            minus_a: zero,
            target: zero,
            weight: zero,
        }
    }

    #[inline(always)]
    fn judge(self) -> Seen {
        let (one, max) = (L::splat(L::Real::ONE), L::splat(L::Real::MAX));
        Seen {
            beyond: self.minus_a.exceeds_bits(-L::splat(L::Real::FAST_LIMIT)),
            suspect: self.target.exceeds_bits(one) || self.weight.exceeds_bits(max),
        }
    }
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
    /// No element survives an error: all become NaN.
    #[cold]
    pub(crate) fn poison(&mut self) {
        for output in [&mut self.loss, &mut self.gradient, &mut self.hessian] {
            output.fill(T::NAN);
        }
    }

    #[inline(always)]
    pub(crate) fn whole(&mut self) -> Outputs<'_, T> {
        Outputs {
            loss: self.loss,
            gradient: self.gradient,
            hessian: self.hessian,
            divisor: self.divisor,
        }
    }

    #[inline(always)]
    pub(crate) fn part(&mut self, start: usize, length: usize) -> Outputs<'_, T> {
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

/// Applies the function to one lane, and keeps what the span must know.
#[inline(always)]
fn step<L: Lane, P: Pointwise<L::Real>, const FULL: bool>(
    function: P,
    z: L,
    t: Option<L>,
    weight: Option<L>,
    begun: Option<Begun<L>>,
    seen: &mut Extremes<L::Single>,
) -> Point<L> {
    seen.minus_a = z
        .or_bits(L::splat(L::Real::SIGN_BIT))
        .max_bits_into(seen.minus_a);
    if let Some(t) = t {
        seen.target = t.max_bits_into(seen.target);
    }
    let mut point = match begun {
        Some(begun) => function.finish::<L, FULL>(z, t.unwrap_or(z), begun),
        None => function.at::<L, FULL>(z, t.unwrap_or(z)),
    };
    if let Some(weight) = weight {
        seen.weight = weight.max_bits_into(seen.weight);
        point.loss = weigh(point.loss, weight);
        point.gradient = weigh(point.gradient, weight);
        point.hessian = weigh(point.hessian, weight);
    }
    point
}

/// The fast kernel on a multiple of `L::WIDTH` elements.
#[inline(always)]
fn apply<I: Isa, L: Lane, P: Pointwise<L::Real>, const WHAT: u8>(
    isa: I,
    function: P,
    inputs: Inputs<'_, L::Real>,
    outputs: Outputs<'_, L::Real>,
    stream: bool,
) -> Seen {
    let divisor = L::splat(outputs.divisor.unwrap_or(L::Real::ONE));
    let ahead = PREFETCH_BYTES / size_of::<L::Real>();
    let mut seen = Extremes::<L::Single>::nothing();

    let mut t_chunks = inputs.t.chunks_exact(L::WIDTH);
    let mut w_chunks = inputs.weights.unwrap_or(&[]).chunks_exact(L::WIDTH);
    let mut loss_chunks = outputs.loss.chunks_exact_mut(L::WIDTH);
    let mut gradient_chunks = outputs.gradient.chunks_exact_mut(L::WIDTH);
    let mut hessian_chunks = outputs.hessian.chunks_exact_mut(L::WIDTH);
    let mut z_ahead = inputs.z.chunks_exact(L::WIDTH);
    let Some(first) = z_ahead.next() else {
        return seen.judge();
    };
    let mut begun = function.begin::<L, false>(L::load(first));
    for z_chunk in inputs.z.chunks_exact(L::WIDTH) {
        prefetch::<I, L>(isa, z_chunk, ahead);
        let z = L::load(z_chunk);
        let mut t = None;
        if P::READS_TARGET {
            let Some(chunk) = t_chunks.next() else { break };
            prefetch::<I, L>(isa, chunk, ahead);
            t = Some(L::load(chunk));
        }
        let mut weight = None;
        if P::OPTIONS
            && let Some(chunk) = w_chunks.next()
        {
            prefetch::<I, L>(isa, chunk, ahead);
            weight = Some(L::load(chunk));
        }
        let next = match z_ahead.next() {
            Some(chunk) => function.begin::<L, false>(L::load(chunk)),
            None => begun,
        };
        let point = step::<L, P, false>(function, z, t, weight, Some(begun), &mut seen);
        begun = next;
        if WHAT & (LOSS | SUM) != 0 {
            let Some(chunk) = loss_chunks.next() else {
                break;
            };
            put(point.loss, chunk, stream && WHAT & SUM == 0);
        }
        if WHAT & GRADIENT != 0 {
            let Some(chunk) = gradient_chunks.next() else {
                break;
            };
            let gradient = if WHAT & DIVIDE != 0 {
                point.gradient / divisor
            } else {
                point.gradient
            };
            put(gradient, chunk, stream);
        }
        if WHAT & HESSIAN != 0 {
            let Some(chunk) = hessian_chunks.next() else {
                break;
            };
            put(point.hessian, chunk, stream);
        }
    }
    seen.judge()
}

/// One request for each cache line of a lane.
#[inline(always)]
fn prefetch<I: Isa, L: Lane>(isa: I, of: &[L::Real], ahead: usize) {
    const LINE: usize = 64;
    for line in 0..(L::WIDTH * size_of::<L::Real>()).div_ceil(LINE) {
        isa.prefetch(of, ahead + line * LINE / size_of::<L::Real>());
    }
}

#[inline(always)]
fn put<L: Lane>(value: L, to: &mut [L::Real], stream: bool) {
    if stream {
        value.stream(to);
    } else {
        value.store(to);
    }
}

/// Any number of elements, lane by lane: those of the outputs in `WHAT` whose
/// slices are not empty.
///
/// By reference: copies would cost a short call a third of its time.
pub(crate) struct Part<'a, 'b, T: Constants, P, const WHAT: u8> {
    pub(crate) function: P,
    pub(crate) inputs: &'b Inputs<'a, T>,
    pub(crate) outputs: &'b mut Outputs<'a, T>,
    /// Takes the losses, if they are to be summed.
    pub(crate) total: Option<&'b mut Total>,
    /// The index of the first element in the call.
    pub(crate) start: usize,
}

impl<T: Constants, P: Pointwise<T>, const WHAT: u8> Part<'_, '_, T, P, WHAT> {
    /// The first lane of the inputs, with a partial load and partial stores where
    /// they are shorter. `losses` gets zeros for what is missing.
    #[inline(always)]
    fn lane<L: Lane<Real = T>, const FULL: bool>(
        function: P,
        inputs: Inputs<'_, T>,
        to: Outputs<'_, T>,
        losses: Option<&mut [T]>,
        seen: &mut Extremes<L::Single>,
    ) {
        let mut point = step::<L, P, FULL>(
            function,
            L::load(inputs.z),
            P::READS_TARGET.then(|| L::load(inputs.t)),
            inputs.weights.map(L::load),
            None,
            seen,
        );
        if WHAT & DIVIDE != 0
            && let Some(divisor) = to.divisor
        {
            point.gradient = point.gradient / L::splat(divisor);
        }
        if WHAT & SUM != 0
            && let Some(losses) = losses
        {
            let real = L::first(inputs.z.len());
            L::select(real, point.loss, L::splat(T::ZERO)).store(losses);
        }
        for (what, value, to) in [
            (LOSS, point.loss, to.loss),
            (GRADIENT, point.gradient, to.gradient),
            (HESSIAN, point.hessian, to.hessian),
        ] {
            if WHAT & what != 0 && !to.is_empty() {
                value.store(to);
            }
        }
    }

    /// Does it all where it fits into one lane, and needs neither the full kernel
    /// nor a closer look; else says so.
    #[inline(always)]
    fn fits_one_lane<I: Isa>(&mut self, isa: I) -> bool {
        const WIDEST: usize = 16;
        let count = self.inputs.z.len();
        let width = <T::Lane<I>>::WIDTH;
        if width == 1 || count == 0 || count > width || is_beyond::<I, T>(self.inputs.z) {
            return false;
        }
        let mut losses = [T::ZERO; WIDEST];
        let mut seen = Extremes::<T::Lane<I>>::nothing();
        let wanted = self.total.is_some().then_some(&mut losses[..]);
        let outputs = self.outputs.whole();
        Self::lane::<T::Lane<I>, false>(self.function, *self.inputs, outputs, wanted, &mut seen);
        if seen.judge().suspect {
            return false;
        }
        self.add(isa, count, &mut losses);
        true
    }

    /// Up to `PART` elements.
    #[inline(always)]
    fn lane_by_lane<I: Isa, const FULL: bool>(
        &mut self,
        from: usize,
        length: usize,
        losses: &mut [T; PART],
    ) -> Seen {
        let mut seen = Extremes::<T::Lane<I>>::nothing();
        for at in (0..length).step_by(<T::PartLane<I>>::WIDTH) {
            Self::lane::<T::PartLane<I>, FULL>(
                self.function,
                self.inputs.part(from + at, length - at),
                self.outputs.part(from + at, length - at),
                losses.get_mut(at..),
                &mut seen,
            );
        }
        seen.judge()
    }

    /// Adds the first losses to the total, if there is one; those of the last lane
    /// behind them are zeros.
    #[inline(always)]
    fn add<I: Isa>(&mut self, isa: I, length: usize, losses: &mut [T]) {
        if WHAT & SUM == 0 {
            return;
        }
        let Some(total) = &mut self.total else { return };
        if !SMALL && let (1, Some(loss)) = (length, losses.first()) {
            total.add([loss.as_f64(), 0.0]);
            return;
        }
        let losses = losses.get_mut(..length.next_multiple_of(<T::Lane<I>>::WIDTH));
        isa.apart(AddLosses {
            total,
            losses: losses.unwrap_or(&mut []),
        });
    }

    /// The first invalid target or weight among suspect elements.
    #[cold]
    fn check(&self, from: usize, length: usize) -> Result<(), Error> {
        invalid::<T, P>(self.inputs.part(from, length)).map_err(|e| e.shifted(self.start + from))
    }
}

impl<T: Constants, P: Pointwise<T>, const WHAT: u8> Job for Part<'_, '_, T, P, WHAT> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) -> Result<(), Error> {
        if self.fits_one_lane(isa) {
            return Ok(());
        }
        let count = self.inputs.z.len();
        let mut from = 0;
        while from < count {
            let length = (count - from).min(PART);
            let mut losses = [T::ZERO; PART];
            // The full kernel alone gives the same bits.
            let full = SMALL || is_beyond::<I, T>(self.inputs.part(from, length).z);
            let seen = if full {
                self.lane_by_lane::<I, true>(from, length, &mut losses)
            } else {
                self.lane_by_lane::<I, false>(from, length, &mut losses)
            };
            if seen.suspect {
                self.check(from, length)?;
            }
            self.add(isa, length, &mut losses);
            from += length;
        }
        Ok(())
    }
}

/// Whether any |z| is NaN or too large for the fast kernel. Asked before, since
/// that would take an assist for every subnormal number it makes.
#[inline(always)]
fn is_beyond<I: Isa, T: Constants>(z: &[T]) -> bool {
    let mut seen = Extremes::<T::Lane<I>>::nothing();
    for chunk in z.chunks(<T::Lane<I>>::WIDTH) {
        let minus_a = <T::Lane<I>>::load(chunk).or_bits(<T::Lane<I>>::splat(T::SIGN_BIT));
        seen.minus_a = seen.minus_a.max_bits(minus_a);
    }
    seen.judge().beyond
}

/// The first invalid target or weight.
fn invalid<T: Constants, P: Pointwise<T>>(inputs: Inputs<'_, T>) -> Result<(), Error> {
    let mut weights = inputs.weights.map(<[T]>::iter);
    for (index, &target) in inputs.t.iter().enumerate() {
        let value = target.as_f64();
        if P::READS_TARGET && !(0.0..=1.0).contains(&value) {
            return Err(Error::TargetOutOfRange { index, value });
        }
        let weight = weights.as_mut().and_then(Iterator::next);
        let value = weight.map_or(1.0, |weight| weight.as_f64());
        if P::OPTIONS && !(0.0..f64::INFINITY).contains(&value) {
            return Err(Error::InvalidWeight { index, value });
        }
    }
    Ok(())
}

/// One call of at least a span's worth of elements. After an error the outputs
/// are half done: see `Outputs::poison`.
pub(crate) struct Walk<'a, 'b, T: Constants, P, A, const WHAT: u8> {
    pub(crate) function: P,
    /// Computes all of a `Point`, with the same bits: for `Part`.
    pub(crate) any: A,
    pub(crate) inputs: Inputs<'a, T>,
    pub(crate) outputs: &'b mut Outputs<'a, T>,
    pub(crate) total: &'b mut Total,
}

impl<T: Constants, P: Pointwise<T>, A: Pointwise<T>, const WHAT: u8> Walk<'_, '_, T, P, A, WHAT> {
    /// A multiple of the wide lane's width, with room for losses to be summed.
    #[inline(always)]
    fn span<I: Isa>(
        &mut self,
        isa: I,
        start: usize,
        length: usize,
        losses: &mut [T],
        stream: bool,
    ) -> Seen {
        let inputs = self.inputs.part(start, length);
        let mut outputs = self.outputs.part(start, length);
        if WHAT & SUM != 0 {
            outputs.loss = losses;
        }
        if WHAT & (GRADIENT | HESSIAN) != 0 {
            apply::<I, T::GradientLane<I>, P, WHAT>(isa, self.function, inputs, outputs, stream)
        } else {
            apply::<I, T::WideLane<I>, P, WHAT>(isa, self.function, inputs, outputs, stream)
        }
    }

    /// Whether the elements from `start` on need the full kernel, and for how many
    /// of the next `length` that is so: a multiple of `unit`.
    #[inline(always)]
    fn alike<I: Isa>(&self, start: usize, length: usize, unit: usize) -> (bool, usize) {
        // A loop: closures would not be inlined into vector code.
        let mut first = None;
        let mut alike = 0;
        for z in self.inputs.part(start, length).z.chunks(unit) {
            let beyond = is_beyond::<I, T>(z);
            if *first.get_or_insert(beyond) != beyond {
                break;
            }
            alike += z.len();
        }
        (first == Some(true), alike)
    }

    /// What `Part` does; the losses to `losses` if it is given, else to the total.
    #[inline(always)]
    fn part<I: Isa>(
        &mut self,
        isa: I,
        start: usize,
        length: usize,
        losses: Option<&mut [T]>,
    ) -> Result<(), Error> {
        let mut outputs = self.outputs.part(start, length);
        let mut total = (WHAT & SUM != 0).then_some(&mut *self.total);
        if let Some(losses) = losses {
            outputs.loss = losses;
            total = None;
        }
        isa.apart(Part::<_, _, ALL> {
            function: self.any,
            inputs: &self.inputs.part(start, length),
            outputs: &mut outputs,
            total,
            start,
        })
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

    /// Everything, from the first span to the rest behind the last one. The first
    /// `head` elements are those in front of the address that `stream` needs.
    #[inline(always)]
    fn spans<I: Isa>(&mut self, isa: I, head: usize, stream: bool) -> Result<(), Error> {
        let count = self.inputs.z.len();
        let width = <T::WideLane<I>>::WIDTH;
        let mut start = 0;
        let mut losses = [T::ZERO; SPAN];
        // Whether to look at the logits first: before the first span, and where some were beyond
        // `FAST_LIMIT`, since the fast kernel would make subnormal numbers of them.
        let mut cautious = true;
        while start < count {
            let left = count - start;
            let span = left.min(SPAN) / width * width;
            let mut length = span;
            let mut full = true;
            if start < head {
                length = head.min(left);
            } else if span == 0 {
                length = left;
            } else {
                full = false;
                if cautious {
                    (full, length) = self.alike::<I>(start, span, PART.max(width));
                    cautious = full || length < span;
                }
            }
            // Not before the first address aligned for streaming, nor behind the last lane.
            let whole = length.is_multiple_of(width);
            let losses = losses.get_mut(..length).unwrap_or(&mut []);
            if full {
                let losses = (WHAT & SUM != 0 && whole).then_some(&mut *losses);
                self.part(isa, start, length, losses)?;
            } else {
                let seen = self.span::<I>(isa, start, length, losses, stream);
                if seen.beyond {
                    cautious = true;
                    if stream {
                        // What was streamed is written again.
                        isa.fence();
                    }
                    continue;
                }
                if seen.suspect {
                    invalid::<T, P>(self.inputs.part(start, length))
                        .map_err(|error| error.shifted(start))?;
                }
            }
            if WHAT & SUM != 0 && whole {
                let total = &mut *self.total;
                isa.apart(AddLosses { total, losses });
            }
            start += length;
        }
        Ok(())
    }
}

impl<T: Constants, P: Pointwise<T>, A: Pointwise<T>, const WHAT: u8> Job
    for Walk<'_, '_, T, P, A, WHAT>
{
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) -> Result<(), Error> {
        let head = self.stream_head::<I>();
        let stream = head.is_some();
        let result = self.spans(isa, head.unwrap_or(0), stream);
        if stream {
            // Also after an error, which has the outputs overwritten.
            isa.fence();
        }
        result
    }
}

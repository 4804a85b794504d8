//! Logits of rows × classes: what is given once for each row or class, spread to the elements of a
//! piece of the call at a time.

use crate::dispatch::Backend;
use crate::error::Error;
use crate::lane::{FIRMWARE, Float, Isa, Job, Lane};
use crate::span_sum::{AddValues, SpanSum};
use crate::walk::{Inputs, Outputs, Slices};

/// Elements of a piece: few enough for the stack, and to stay in the first-level cache with all that is
/// read and written beside them; twice as many where only rows or only classes have to be spread, and not of
/// twice the size.
const PIECE: usize = if FIRMWARE { 16 } else { 512 };
const LONG_PIECE: usize = 2 * PIECE;
/// For rows and for classes of elements of twice the size: what 16 KiB of stack have room for.
const SHORT_ROWS: usize = if FIRMWARE { PIECE / 2 } else { 128 };
const SHORT_CLASSES: usize = if FIRMWARE { PIECE / 2 } else { 192 };
/// Pieces are multiples of so many elements, and so of the widest group.
const fn granule<T>() -> usize {
    if FIRMWARE {
        PIECE / 4
    } else {
        256 / size_of::<T>()
    }
}
// The shortest buffer, half full of classes, has room for a piece: else none would ever be taken.
const _: () = assert!(granule::<f32>() <= SHORT_CLASSES / 2);

/// What is given for rows and classes of `length` logits.
#[derive(Clone, Copy)]
pub struct Shape<'a, T> {
    pub(crate) row_weights: Option<&'a [T]>,
    pub(crate) pos_weights: Option<&'a [T]>,
    pub(crate) length: usize,
}

/// The weights of rows for the elements from `start` on: element i of all has that of row i /
/// `row_length`, times its own.
struct SpreadRows<'a, T> {
    rows: &'a [T],
    row_length: usize,
    start: usize,
    weights: Option<&'a [T]>,
    out: &'a mut [T],
}

/// Rows of `LENGTH` elements each, from the first on: the compiler interleaves vectors.
#[cfg_attr(not(debug_assertions), inline(always))]
fn spread_short_rows<T: Copy, const LENGTH: usize>(rows: &[T], out: &mut [T]) {
    let (whole, rest) = out.as_chunks_mut::<LENGTH>();
    for (out, &row) in whole.iter_mut().zip(rows) {
        for out in out {
            *out = row;
        }
    }
    if let Some(&row) = rows.get(whole.len()) {
        rest.fill(row);
    }
}

/// Rows of at most `BLOCK` elements, a block each. What it writes beyond its row is that of the next
/// ones, which come later.
#[cfg_attr(not(debug_assertions), inline(always))]
fn spread_rows<T: Copy, const BLOCK: usize>(rows: &[T], length: usize, out: &mut [T]) {
    let mut start = 0;
    for &row in rows {
        let Some(rest) = out.get_mut(start..) else {
            break;
        };
        match rest.first_chunk_mut::<BLOCK>() {
            Some(block) => *block = [row; BLOCK],
            None => rest.fill(row),
        }
        start += length;
    }
}

impl<T: Float> Job for SpreadRows<'_, T> {
    type Output = ();

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) {
        // Never 0, which the compiler cannot know: no division that panics.
        let length = self.row_length.max(1);
        let mut rows = self.rows.get(self.start / length..).unwrap_or(&[]);
        let begun = self.start % length;
        let mut out = &mut *self.out;
        if begun > 0
            && let Some((&row, others)) = rows.split_first()
        {
            let (first, left) = out.split_at_mut(out.len().min(length - begun));
            first.fill(row);
            (rows, out) = (others, left);
        }
        match length {
            1 => spread_short_rows::<T, 1>(rows, out),
            2 => spread_short_rows::<T, 2>(rows, out),
            3 => spread_short_rows::<T, 3>(rows, out),
            4 => spread_short_rows::<T, 4>(rows, out),
            5..=8 => spread_rows::<T, 8>(rows, length, out),
            9..=16 => spread_rows::<T, 16>(rows, length, out),
            17..=32 => spread_rows::<T, 32>(rows, length, out),
            _ => {
                for (out, &row) in out.chunks_mut(length).zip(rows) {
                    out.fill(row);
                }
            }
        }
        let Some(weights) = self.weights else { return };
        let width = <T::Lane<I>>::WIDTH;
        let mut out = self.out.chunks_exact_mut(width);
        let mut weights = weights.chunks_exact(width);
        for (out, weights) in out.by_ref().zip(weights.by_ref()) {
            multiply::<T::Lane<I>>(out, weights);
        }
        multiply::<T::Lane<I>>(out.into_remainder(), weights.remainder());
    }
}

/// The weights of rows times those of elements; a row that is removed may hold anything.
#[cfg_attr(not(debug_assertions), inline(always))]
fn multiply<L: Lane>(rows: &mut [L::Real], weights: &[L::Real]) {
    let (zero, row) = (L::splat(L::Real::ZERO), L::load(rows));
    let own = L::load(weights);
    // A negative weight is invalid also where its product underflows.
    let product = L::select(zero.greater(own), own, row * own);
    L::select(row.equal(zero), zero, product).store(rows);
}

/// Looks for patterns beyond that of the largest number, and for zeros.
struct AreSuspect<'a, T> {
    values: &'a [T],
    zeros_too: bool,
}

impl<T: Float> Job for AreSuspect<'_, T> {
    type Output = bool;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> bool {
        let max = <T::Lane<I>>::splat(T::MAX);
        let (mut largest, mut least) = (<T::Lane<I>>::splat(T::ZERO), max);
        let (whole, rest) = self
            .values
            .split_at(self.values.len() / <T::Lane<I>>::WIDTH * <T::Lane<I>>::WIDTH);
        for values in whole.chunks_exact(<T::Lane<I>>::WIDTH) {
            let values = <T::Lane<I>>::load(values);
            largest = values.max_bits_into(largest);
            least = values.min_bits_into(least);
        }
        for &value in rest {
            let value = <T::Lane<I>>::splat(value);
            largest = value.max_bits_into(largest);
            least = value.min_bits_into(least);
        }
        largest.exceeds_bits(max) || self.zeros_too && least.reduce_min_bits() == 0
    }
}

impl<'a, T: Float> Shape<'a, T> {
    /// The weights of `count` elements from `start` on, of which `weights` are their own.
    fn weights<'b>(
        &self,
        backend: Backend,
        (start, count): (usize, usize),
        weights: Option<&'b [T]>,
        buffer: &'b mut [T],
    ) -> Result<Option<&'b [T]>, Error>
    where
        'a: 'b,
    {
        let Some(rows) = self.row_weights else {
            return Ok(weights);
        };
        if !self.spreads_rows(weights) {
            return Ok(rows.get(start..start + count));
        }
        let out = buffer.get_mut(..count).unwrap_or(&mut []);
        backend.run(SpreadRows {
            rows,
            row_length: self.row_length(),
            start,
            weights,
            out,
        })?;
        Ok(Some(out))
    }

    /// The weights of the classes, again and again, in as many elements as there are.
    fn repeat_classes(classes: &[T], start: usize, out: &mut [T]) {
        let mut at = start % classes.len().max(1);
        let mut filled = 0;
        while filled < out.len() && filled < classes.len() {
            let left = out.get_mut(filled..).unwrap_or(&mut []);
            let run = classes.get(at..).unwrap_or(&[]);
            for (to, from) in left.iter_mut().zip(run) {
                *to = *from;
            }
            filled += run.len().min(left.len());
            at = 0;
        }
        // What is there repeats itself: twice as much each time.
        let period = filled / classes.len().max(1) * classes.len();
        let mut filled = period;
        while filled > 0 && filled < out.len() {
            let (from, to) = out.split_at_mut(filled);
            let count = from.len().min(to.len());
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            filled += count;
        }
    }

    /// Elements of a row.
    fn row_length(&self) -> usize {
        (self.length / self.row_weights.map_or(1, <[T]>::len).max(1)).max(1)
    }

    /// Whether the weights of elements are others than were given.
    fn spreads_rows(&self, weights: Option<&[T]>) -> bool {
        self.row_weights.is_some() && (self.row_length() > 1 || weights.is_some())
    }

    /// Runs the call by pieces that have their weights, the classes' too.
    pub(crate) fn run(
        &self,
        backend: Backend,
        slices: &mut Slices<'_, T>,
        run: impl FnMut(Slices<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let spreads = self.spreads_rows(slices.inputs.weights);
        let single = size_of::<T>() == size_of::<f32>();
        match (spreads, self.pos_weights.unwrap_or(&[]).is_empty()) {
            (false, true) => self.pieces::<0, 0>(backend, slices, run),
            (true, true) if single => self.pieces::<LONG_PIECE, 0>(backend, slices, run),
            (true, true) => self.pieces::<PIECE, 0>(backend, slices, run),
            (false, false) if single => self.pieces::<0, LONG_PIECE>(backend, slices, run),
            (false, false) => self.pieces::<0, PIECE>(backend, slices, run),
            (true, false) if single => self.pieces::<PIECE, PIECE>(backend, slices, run),
            (true, false) => self.pieces::<SHORT_ROWS, SHORT_CLASSES>(backend, slices, run),
        }
    }

    /// With buffers for so many weights of rows and classes, none where nothing has to be spread.
    #[inline(never)]
    fn pieces<const ROWS: usize, const CLASSES: usize>(
        &self,
        backend: Backend,
        slices: &mut Slices<'_, T>,
        mut run: impl FnMut(Slices<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Slices {
            wanted, mut inputs, ..
        } = *slices;
        let mut outputs = slices.outputs.reborrow();
        let sum = &mut *slices.sum;
        let first = inputs.start;
        let mut row_buffer = [T::ZERO; ROWS];
        let mut class_buffer = [T::ZERO; CLASSES];
        let classes = self.pos_weights.unwrap_or(&[]);
        // Few classes stand in the buffer again and again, and a piece begins at any of them.
        let few = classes.len() <= CLASSES / 2;
        let mut most = match (ROWS, CLASSES) {
            (0, 0) => inputs.z.len(),
            (0, buffered) | (buffered, 0) => buffered,
            (rows, classes) => rows.min(classes),
        };
        if !classes.is_empty() && few {
            Self::repeat_classes(classes, 0, &mut class_buffer);
            most = most.min((CLASSES + 1 - classes.len()) / granule::<T>() * granule::<T>());
        }
        while !inputs.z.is_empty() {
            let start = inputs.start;
            let piece: Inputs<'_, T> = inputs.take(most);
            let count = piece.z.len();
            let own = piece.weights;
            let weights = self.weights(backend, (start, count), own, &mut row_buffer)?;
            let pos_weights = if classes.is_empty() {
                None
            } else if few {
                let at = start % classes.len();
                class_buffer.get(at..at + count)
            } else {
                Self::repeat_classes(classes, start, &mut class_buffer);
                class_buffer.get(..count)
            };
            let piece_outputs: Outputs<'_, T> = outputs.take(most);
            run(Slices {
                wanted,
                inputs: Inputs {
                    weights,
                    pos_weights,
                    ..piece
                },
                outputs: piece_outputs,
                sum: &mut *sum,
            })
            .map_err(|error| as_given(error, own).shifted(start - first))?;
        }
        Ok(())
    }

    /// Adds the weights of all elements that are positive.
    pub(crate) fn add_weights(
        &self,
        backend: Backend,
        mut inputs: Inputs<'_, T>,
        sum: &mut SpanSum,
    ) -> Result<(), Error> {
        let mut buffer = [T::ZERO; PIECE];
        while !inputs.z.is_empty() {
            let start = inputs.start;
            let piece = inputs.take(PIECE);
            let span = (start, piece.z.len());
            let weights = self.weights(backend, span, piece.weights, &mut buffer)?;
            backend.run(AddValues {
                sum: &mut *sum,
                values: weights.unwrap_or(&[]),
                negative: false,
            })?;
        }
        Ok(())
    }

    /// Whether the weights of all elements are 0, also by underflow.
    pub(crate) fn removes_all(&self, inputs: &Inputs<'_, T>) -> bool {
        (0..inputs.z.len()).all(|index| {
            let row = (inputs.start + index) / self.row_length();
            let row = self.row_weights.and_then(|rows| rows.get(row));
            let row = row.map_or(1.0, |row| row.as_f64());
            let own = inputs.weights.and_then(|weights| weights.get(index));
            let own = own.map_or(1.0, |own| own.as_f64());
            row == 0.0 || (own >= 0.0 && T::of_f64(row * own) == T::ZERO)
        })
    }
}

/// Names the weight that was given where it, and not its product with that of its row, is invalid.
fn as_given<T: Float>(error: Error, own: Option<&[T]>) -> Error {
    if let Error::InvalidWeight { index, .. } = error
        && let Some(value) = own.and_then(|own| own.get(index)).map(|own| own.as_f64())
        && !(0.0..f64::INFINITY).contains(&value)
    {
        return Error::InvalidWeight { index, value };
    }
    error
}

/// The first element that is not finite and >= 0, or > 0 if `positive`.
pub(crate) fn first_invalid<T: Float>(
    backend: Backend,
    values: &[T],
    positive: bool,
) -> Result<Option<usize>, Error> {
    let zeros_too = positive;
    if !backend.run(AreSuspect { values, zeros_too })? {
        return Ok(None);
    }
    let valid = |value: T| (value > T::ZERO || !positive && value == T::ZERO) && value <= T::MAX;
    Ok(values.iter().position(|&value| !valid(value)))
}

//! X·b, row by row, in one order of operations whatever the layout and the vector width.
//!
//! Partial sum k of a row, k = 0 … 15, takes the columns j ≡ k (mod 16), ascending, by FMA from +0. Then
//! sums k and k + 8 are added, k and k + 4, k and k + 2, k and k + 1; then the constant and the offset. The
//! sign of a zero on the way does not matter: a constant that is not −0 makes it +0.

use core::slice::{Chunks, Iter};

use crate::lane::{Float, Isa, Job, Lane, Rows};
use crate::linear::features::Features;

/// Partial sums of a row.
const SUMS: usize = 16;

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Vectors of rows side by side, in columns: every visit to a column takes an address and its checks.
const STRIP: usize = 8;

/// The dot products of the rows with `coefficients`, + `constant` + `offset`, to `z`: an element a row.
pub(crate) struct Dots<'a, T> {
    pub(crate) x: Features<'a, T>,
    pub(crate) coefficients: &'a [T],
    pub(crate) constant: T,
    pub(crate) offset: Option<&'a [T]>,
    pub(crate) z: &'a mut [T],
}

impl<T: Float> Job for Dots<'_, T> {
    type Output = ();

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, isa: I) {
        let Self {
            x, coefficients, z, ..
        } = self;
        if x.is_columnar() {
            by_columns::<I, T>(isa, x, coefficients, z);
        } else {
            by_rows::<I, T>(x, coefficients, z);
        }
        let width = <T::Lane<I>>::WIDTH;
        let constant = <T::Lane<I>>::splat(self.constant) + <T::Lane<I>>::splat(T::ZERO);
        let mut offset = self.offset.map(|offset| offset.chunks(width));
        for z in z.chunks_mut(width) {
            let mut sum = <T::Lane<I>>::load(z) + constant;
            if let Some(offset) = offset.as_mut().and_then(Iterator::next) {
                sum = sum + <T::Lane<I>>::load(offset);
            }
            sum.store(z);
        }
    }
}

/// The partial sums of some rows; zeros where there are no more.
struct PartialSums<'a, T> {
    rows: Chunks<'a, T>,
    coefficients: &'a [T],
}

impl<T: Float, L: Lane<Real = T>> Rows<L> for PartialSums<'_, T> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn next_row(&mut self) -> L {
        const { assert!(L::WIDTH == SUMS) };
        let row = self.rows.next().unwrap_or(&[]);
        let row = row.get(..self.coefficients.len()).unwrap_or(&[]);
        let mut sums = L::splat(T::ZERO);
        let (mut x, mut b) = (row.chunks_exact(SUMS), self.coefficients.chunks_exact(SUMS));
        for (x, b) in (&mut x).zip(&mut b) {
            sums = L::load(x).fma(L::load(b), sums);
        }
        if !x.remainder().is_empty() {
            sums = L::load(x.remainder()).fma(L::load(b.remainder()), sums);
        }
        sums
    }
}

/// The same where a row is one lane, with the coefficients at hand.
struct Products<'a, L: Lane> {
    rows: Chunks<'a, L::Real>,
    columns: usize,
    coefficients: L,
}

impl<L: Lane> Rows<L> for Products<'_, L> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn next_row(&mut self) -> L {
        let row = self.rows.next().unwrap_or(&[]);
        let row = L::load(row.get(..self.columns).unwrap_or(&[]));
        row.fma(self.coefficients, L::splat(L::Real::ZERO))
    }
}

/// The same where rows of `N` whole lanes, `C` elements, follow each other: their bounds need no look.
struct Whole<'a, L: Lane, const N: usize, const C: usize> {
    rows: Iter<'a, [L::Real; C]>,
    coefficients: [L; N],
}

impl<'a, L: Lane, const N: usize, const C: usize> Whole<'a, L, N, C> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(rows: &'a [[L::Real; C]], coefficients: &[L::Real]) -> Self {
        let mut lanes = [L::splat(L::Real::ZERO); N];
        for (lane, coefficients) in lanes.iter_mut().zip(coefficients.chunks(L::WIDTH)) {
            *lane = L::load(coefficients);
        }
        Self {
            rows: rows.iter(),
            coefficients: lanes,
        }
    }
}

impl<L: Lane, const N: usize, const C: usize> Rows<L> for Whole<'_, L, N, C> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn next_row(&mut self) -> L {
        let mut sums = L::splat(L::Real::ZERO);
        if let Some(row) = self.rows.next() {
            for (x, b) in row.chunks_exact(L::WIDTH).zip(self.coefficients) {
                sums = L::load(x).fma(b, sums);
            }
        }
        sums
    }
}

/// Whether the rows are packed ones of `N` whole lanes; then their dot products have been taken.
#[cfg_attr(not(debug_assertions), inline(always))]
fn by_whole_rows<I: Isa, T: Float, const N: usize, const C: usize>(
    packed: &[T],
    coefficients: &[T],
    z: &mut [T],
) -> bool {
    let width = <T::Lane<I>>::WIDTH;
    let (rows, _) = packed.as_chunks::<C>();
    if coefficients.len() != C || rows.is_empty() {
        return false;
    }
    for (z, rows) in z.chunks_mut(width).zip(rows.chunks(width)) {
        let rows = Whole::<T::RowLane<I>, N, C>::new(rows, coefficients);
        <T::RowLane<I>>::sum_rows(rows).store(z);
    }
    true
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn by_rows<I: Isa, T: Float>(x: Features<'_, T>, coefficients: &[T], z: &mut [T]) {
    let packed = x.packed();
    if by_whole_rows::<I, T, 1, SUMS>(packed, coefficients, z)
        || by_whole_rows::<I, T, 4, { 4 * SUMS }>(packed, coefficients, z)
    {
        return;
    }
    let mut start = 0;
    for z in z.chunks_mut(<T::Lane<I>>::WIDTH) {
        let rows = x.rows_from(start, 0);
        let sums = if coefficients.len() <= SUMS {
            <T::RowLane<I>>::sum_rows(Products {
                rows,
                columns: coefficients.len(),
                coefficients: <T::RowLane<I>>::load(coefficients),
            })
        } else {
            <T::RowLane<I>>::sum_rows(PartialSums { rows, coefficients })
        };
        sums.store(z);
        start += z.len();
    }
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn by_columns<I: Isa, T: Float>(isa: I, x: Features<'_, T>, coefficients: &[T], z: &mut [T]) {
    let width = <T::Lane<I>>::WIDTH;
    let ahead = z.len();
    let mut start = 0;
    for z in z.chunks_mut(STRIP * width) {
        if z.len() == STRIP * width {
            strip_of_rows::<I, T, STRIP>(isa, x, (start, ahead), coefficients, z);
        } else {
            let mut start = start;
            for z in z.chunks_mut(width) {
                strip_of_rows::<I, T, 1>(isa, x, (start, ahead), coefficients, z);
                start += z.len();
            }
        }
        start += z.len();
    }
}

/// `N` vectors of rows; one that may not be full. As the rows' tree: in the order 0, 8, 4, 12, … each sum is
/// complete when it is added to its neighbour.
#[cfg_attr(not(debug_assertions), inline(always))]
fn strip_of_rows<I: Isa, T: Float, const N: usize>(
    isa: I,
    x: Features<'_, T>,
    (start, ahead): (usize, usize),
    coefficients: &[T],
    z: &mut [T],
) {
    const LEVELS: usize = SUMS.ilog2() as usize;
    let width = <T::Lane<I>>::WIDTH;
    let zeros = [<T::Lane<I>>::splat(T::ZERO); N];
    let mut waiting = [zeros; LEVELS];
    let mut whole = zeros;
    for leaf in 0..SUMS {
        let mut sums = zeros;
        let first = leaf.reverse_bits() >> (usize::BITS as usize - LEVELS);
        let mut column = first;
        while let Some(&b) = coefficients.get(column) {
            let of_column = x.of_column(column, start, z.len());
            // The next block's: no CPU follows as many streams as there are columns.
            request(isa, of_column, ahead, z.len());
            let b = <T::Lane<I>>::splat(b);
            if N == 1 {
                sums[0] = <T::Lane<I>>::load(of_column).fma(b, sums[0]);
            } else if let Some(of_column) = of_column.get(..N * width) {
                for (sum, x) in sums.iter_mut().zip(of_column.chunks_exact(width)) {
                    *sum = <T::Lane<I>>::load(x).fma(b, *sum);
                }
            }
            column += SUMS;
        }
        let mut level = leaf;
        for waiting in &mut waiting {
            if level & 1 == 0 {
                *waiting = sums;
                break;
            }
            for (sum, waiting) in sums.iter_mut().zip(*waiting) {
                *sum = waiting + *sum;
            }
            level >>= 1;
        }
        whole = sums;
    }
    for (sum, z) in whole.into_iter().zip(z.chunks_mut(width)) {
        sum.store(z);
    }
}

/// Asks for so many elements after those `ahead` of `of`.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn request<I: Isa, T>(isa: I, of: &[T], ahead: usize, count: usize) {
    for line in (0..count).step_by(LINE / size_of::<T>()) {
        isa.prefetch_later(of, ahead + line);
    }
}

/// The pattern of the largest magnitude; of a NaN if there is one.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn greatest<I: Isa, T: Float>(of: &[T]) -> u64 {
    let mut largest = <T::Lane<I>>::splat(T::ZERO);
    for chunk in of.chunks(<T::Lane<I>>::WIDTH) {
        largest = largest.max_bits(<T::Lane<I>>::load(chunk).abs());
    }
    largest.reduce_max_bits()
}

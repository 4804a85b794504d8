//! Sums of products over the rows of a block, a column each, rounded to the columns' grids.

use core::slice::Chunks;

use crate::lane::{FIRMWARE, Float, Isa, Job, Lane};
use crate::linear::features::Features;
use crate::linear::logits::{LINE, greatest, request};
use crate::linear::sums::{ColumnScale, ColumnSum, power};

/// Additions to an accumulator before its pattern is taken: one more could leave the binade.
const RUN: usize = 64;

/// Vectors of columns, or of rows, side by side.
const STRIP: usize = 4;

/// The most elements in a vector, and in one of `f64`.
const WIDEST: usize = if FIRMWARE { 1 } else { 16 };
const WIDEST_F64: usize = WIDEST.div_ceil(2);

/// A center is 3/2 · 2^7 times the bounds on the column's elements and on the factors.
pub(crate) const CENTER_PER_BOUND: f64 = 192.0;

/// The accumulators of one set of sums.
pub(crate) struct Columns<'a> {
    /// Where each accumulator starts; zeros behind the last.
    centers: &'a mut [f64],
    /// Units, as the patterns of what is no number.
    totals: &'a mut [f64],
    /// `CENTER_PER_BOUND` times the bound on the factors.
    bound: f64,
}

/// Adds the products of rows with their factors, to their groups' sums if there are groups. Whether a
/// feature is beyond its scale.
pub(crate) struct AddProducts<'a, 'b, T> {
    pub(crate) columns: &'b mut Columns<'a>,
    pub(crate) x: Features<'b, T>,
    pub(crate) factors: &'b [f64],
    pub(crate) groups: &'b [u32],
    pub(crate) sums: &'b mut [ColumnSum],
    /// Rows until the same one of the next block, which is asked for meanwhile.
    pub(crate) ahead: usize,
}

impl<T: Float> Job for AddProducts<'_, '_, T> {
    type Output = bool;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, isa: I) -> bool {
        let ahead = (isa, self.x.distance(self.ahead));
        self.columns
            .add_by_group(ahead, self.x, self.factors, self.groups, self.sums)
    }
}

/// What `Columns` needs of the scratch.
pub(crate) const fn scratch_length(width: usize) -> usize {
    2 * width.next_multiple_of(STRIP * WIDEST)
}

impl<'a> Columns<'a> {
    pub(crate) fn new(width: usize, sums: &[ColumnSum], scratch: &'a mut [f64]) -> Self {
        let (scratch, _) = scratch
            .split_at_mut_checked(scratch_length(width))
            .unwrap_or_default();
        let (centers, totals) = scratch.split_at_mut(scratch.len() / 2);
        centers.fill(0.0);
        totals.fill(0.0);
        for (center, sum) in centers.iter_mut().zip(sums).take(width) {
            *center = sum.center();
        }
        let factor = sums.first().map_or(0, ColumnSum::factor_exponent);
        Self {
            centers,
            totals,
            bound: CENTER_PER_BOUND * power(factor),
        }
    }

    /// Takes the units to the sums.
    pub(crate) fn fold(&mut self, sums: &mut [ColumnSum]) {
        for (sum, total) in sums.iter_mut().zip(&mut *self.totals) {
            sum.add_pending(total.to_bits() as i64);
            *total = 0.0;
        }
    }

    /// Adds the products of the rows with their factors. Whether a feature is beyond its scale.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add<I: Isa, T: Float>(
        &mut self,
        ahead: (I, usize),
        x: Features<'_, T>,
        factors: &[f64],
    ) -> bool {
        let mut beyond = <I::F64>::splat(0.0);
        if x.is_columnar() {
            self.by_columns::<I, T>(x, factors, &mut beyond);
        } else {
            let mut start = 0;
            for factors in factors.chunks(RUN) {
                let x = x.part(start..start + factors.len());
                self.by_rows(ahead, x, factors, &mut beyond);
                start += factors.len();
            }
        }
        if let Some(center) = self.centers.get(x.column_count()).copied()
            && center != 0.0
        {
            self.constant_column::<I>(x.column_count(), center, factors);
        }
        beyond.reduce_max_bits() >> 63 != 0
    }

    /// `add`; with groups, each row to its group's sums: fast where rows of a group follow each other.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_by_group<I: Isa, T: Float>(
        &mut self,
        ahead: (I, usize),
        x: Features<'_, T>,
        factors: &[f64],
        groups: &[u32],
        sums: &mut [ColumnSum],
    ) -> bool {
        let width = self.width(x);
        let mut beyond = false;
        let mut start = 0;
        while start < factors.len() {
            let groups = groups.get(start..factors.len()).unwrap_or(&[]);
            // Not by `chunk_by`, in which the compiler sees a panic.
            let run = match groups.split_first() {
                Some((first, rest)) => 1 + rest.iter().take_while(|&group| group == first).count(),
                None => factors.len(),
            };
            let factors = factors.get(start..start + run).unwrap_or(&[]);
            beyond |= self.add(ahead, x.part(start..start + run), factors);
            if let Some(&group) = groups.first() {
                let first = group as usize * width;
                self.fold(sums.get_mut(first..first + width).unwrap_or(&mut []));
            }
            start += run;
        }
        beyond
    }

    /// Columns, and one for the intercept if there is one.
    fn width<T: Float>(&self, x: Features<'_, T>) -> usize {
        let columns = x.column_count();
        let intercept = self
            .centers
            .get(columns)
            .is_some_and(|&center| center != 0.0);
        columns + usize::from(intercept)
    }

    /// Up to `RUN` rows.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn by_rows<I: Isa, T: Float>(
        &mut self,
        ahead: (I, usize),
        x: Features<'_, T>,
        factors: &[f64],
        beyond: &mut I::F64,
    ) {
        let width = <T::Lane<I>>::WIDTH;
        let columns = x.column_count();
        // Sixteen registers do not hold four vectors' accumulators, maxima and what they are made of.
        let few = width == 8 && <T::Lane<I>>::HALVES == 2;
        let mut column = 0;
        while !few && column + STRIP * width <= columns {
            self.strip::<I, T::Lane<I>, STRIP, 1, true>(ahead, x, column, factors, beyond);
            column += STRIP * width;
        }
        while few && column + 2 * width <= columns {
            self.strip::<I, T::Lane<I>, 2, 1, true>(ahead, x, column, factors, beyond);
            column += 2 * width;
        }
        while column + width <= columns {
            self.strip::<I, T::Lane<I>, 1, STRIP, true>(ahead, x, column, factors, beyond);
            column += width;
        }
        if column < columns {
            self.strip::<I, T::Lane<I>, 1, STRIP, false>(ahead, x, column, factors, beyond);
        }
    }

    /// `N` vectors of columns from `column` on, each in `STREAMS` accumulators that take turns, so that no
    /// addition waits for the one before. One vector that is not full unless `FULL`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn strip<I: Isa, L: Lane, const N: usize, const STREAMS: usize, const FULL: bool>(
        &mut self,
        (isa, ahead): (I, usize),
        x: Features<'_, L::Real>,
        column: usize,
        factors: &[f64],
        beyond: &mut L::Wide,
    ) {
        let length = if FULL {
            N * L::WIDTH
        } else {
            x.column_count() - column
        };
        let mut rows = x.rows_from(0, column);
        let centers = self.centers.get(column..).unwrap_or(&[]);
        let totals = self.totals.get_mut(column..).unwrap_or(&mut []);
        let mut starts = [[<L::Wide>::splat(0.0); 2]; N];
        let mut largest = [L::splat(L::Real::ZERO); N];
        for (vector, starts) in starts.iter_mut().enumerate() {
            for (half, start) in starts.iter_mut().take(L::HALVES).enumerate() {
                *start = load_at(centers, vector * L::WIDTH + half * <L::Wide>::WIDTH);
            }
        }
        let ask = |x: &[L::Real]| {
            if column.is_multiple_of(LINE / size_of::<L::Real>()) {
                request(isa, x, ahead, N * L::WIDTH);
            }
        };
        let mut streams = [starts; STREAMS];
        let (groups, rest) = factors.as_chunks::<STREAMS>();
        for factors in groups {
            for (&factor, sums) in factors.iter().zip(&mut streams) {
                add_row(ask, &mut rows, length, factor, sums, &mut largest);
            }
        }
        for &factor in rest {
            add_row(
                ask,
                &mut rows,
                length,
                factor,
                &mut streams[0],
                &mut largest,
            );
        }
        // The first stream takes the others' units.
        let mut sums = streams[0];
        for other in streams.iter().skip(1) {
            for ((sums, other), starts) in sums.iter_mut().zip(other).zip(&starts) {
                for ((sum, other), start) in sums.iter_mut().zip(other).zip(starts) {
                    *sum = sum.add_bits(other.sub_bits(*start));
                }
            }
        }
        let bound = <L::Wide>::splat(self.bound);
        for (vector, (sums, largest)) in sums.iter().zip(largest).enumerate() {
            let largest = largest.widen();
            let halves = [(sums[0], largest.0), (sums[1], largest.1)];
            for (half, (sum, largest)) in halves.into_iter().take(L::HALVES).enumerate() {
                let at = vector * L::WIDTH + half * <L::Wide>::WIDTH;
                let center = load_at::<L::Wide>(centers, at);
                // Negative, as an integer, if it is beyond the column's bound, infinite or NaN.
                let room = center.sub_bits((largest * bound).abs());
                *beyond = beyond.or_bits(room);
                let total = load_at::<L::Wide>(totals, at).add_bits(sum.sub_bits(center));
                total.store(totals.get_mut(at..).unwrap_or(&mut []));
            }
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn by_columns<I: Isa, T: Float>(
        &mut self,
        x: Features<'_, T>,
        factors: &[f64],
        beyond: &mut I::F64,
    ) {
        let bound = <I::F64>::splat(self.bound);
        for column in 0..x.column_count() {
            let of_column = x.of_column(column, 0, factors.len());
            let (Some(center), Some(total)) =
                (self.centers.get(column), self.totals.get_mut(column))
            else {
                return; // never
            };
            let (units, largest) = column_sum::<T::Lane<I>>(of_column, factors, *center);
            *total = f64::from_bits(total.to_bits().wrapping_add(units));
            let center = <I::F64>::splat(*center);
            let (low, high) = largest.widen();
            for largest in [low, high] {
                *beyond = beyond.or_bits(center.sub_bits((largest * bound).abs()));
            }
        }
    }

    /// The column of ones that belongs to an intercept.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn constant_column<I: Isa>(&mut self, column: usize, center: f64, factors: &[f64]) {
        let start = <I::F64>::splat(center);
        let mut units = 0;
        for factors in factors.chunks(RUN * <I::F64>::WIDTH) {
            let mut sum = start;
            for factors in factors.chunks(<I::F64>::WIDTH) {
                sum = sum + <I::F64>::load(factors);
            }
            units = add_lanes(sum.sub_bits(start), units);
        }
        if let Some(total) = self.totals.get_mut(column) {
            *total = f64::from_bits(total.to_bits().wrapping_add(units));
        }
    }
}

/// The next row's products with its factor, to a strip's accumulators.
#[cfg_attr(not(debug_assertions), inline(always))]
fn add_row<L: Lane, const N: usize>(
    ask: impl Fn(&[L::Real]),
    rows: &mut Chunks<'_, L::Real>,
    length: usize,
    factor: f64,
    sums: &mut [[L::Wide; 2]; N],
    largest: &mut [L; N],
) {
    // Always; and the loads below are known to be whole.
    let Some(x) = rows.next().and_then(|row| row.get(..length)) else {
        return;
    };
    ask(x);
    let factor = <L::Wide>::splat(factor);
    for (vector, (sums, largest)) in sums.iter_mut().zip(largest).enumerate() {
        // One load, although widening from memory is less to do: loads are what there are too many of.
        let x: L = load_at(x, vector * L::WIDTH);
        let halves = x.widen();
        sums[0] = halves.0.fma(factor, sums[0]);
        if L::HALVES == 2 {
            sums[1] = halves.1.fma(factor, sums[1]);
        }
        *largest = largest.max_bits(x.abs());
    }
}

/// The lowest bit of the significand set, unless the number is 0.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn odd<W: Lane<Real = f64>>(of: W) -> W {
    let zero = W::splat(0.0);
    let odd = of.or_bits(W::splat(f64::from_bits(1)));
    W::select(of.equal(zero), zero, odd)
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn load_at<L: Lane>(from: &[L::Real], at: usize) -> L {
    L::load(from.get(at..).unwrap_or(&[]))
}

/// The units of one column's products, and the largest of its elements in each lane.
#[cfg_attr(not(debug_assertions), inline(always))]
fn column_sum<L: Lane>(x: &[L::Real], factors: &[f64], center: f64) -> (u64, L) {
    let start = <L::Wide>::splat(center);
    let mut largest = L::splat(L::Real::ZERO);
    let mut units = 0;
    let run = RUN * STRIP * L::WIDTH;
    for (x, factors) in x.chunks(run).zip(factors.chunks(run)) {
        let mut sums = [[start; 2]; STRIP];
        let group = STRIP * L::WIDTH;
        let (mut groups, mut of_factors) = (x.chunks_exact(group), factors.chunks_exact(group));
        for (x, factors) in (&mut groups).zip(&mut of_factors) {
            for ((x, factors), sum) in x
                .chunks_exact(L::WIDTH)
                .zip(factors.chunks_exact(L::WIDTH))
                .zip(&mut sums)
            {
                add_products(x, factors, sum, &mut largest);
            }
        }
        let rest = groups.remainder().chunks(L::WIDTH);
        for ((x, factors), sum) in rest
            .zip(of_factors.remainder().chunks(L::WIDTH))
            .zip(&mut sums)
        {
            add_products(x, factors, sum, &mut largest);
        }
        let mut difference = <L::Wide>::splat(0.0);
        for sum in sums.as_flattened() {
            difference = difference.add_bits(sum.sub_bits(start));
        }
        units = add_lanes(difference, units);
    }
    (units, largest)
}

/// Up to a vector of products, a lane each.
#[cfg_attr(not(debug_assertions), inline(always))]
fn add_products<L: Lane>(x: &[L::Real], factors: &[f64], sums: &mut [L::Wide; 2], largest: &mut L) {
    let halves = L::load_widened(x);
    sums[0] = halves.0.fma(<L::Wide>::load(factors), sums[0]);
    if L::HALVES == 2 {
        sums[1] = halves.1.fma(load_at(factors, <L::Wide>::WIDTH), sums[1]);
    }
    *largest = largest.max_bits(L::load(x).abs());
}

/// The sum of the patterns, wrapping.
#[cfg_attr(not(debug_assertions), inline(always))]
fn add_lanes<W: Lane<Real = f64>>(patterns: W, to: u64) -> u64 {
    let mut lanes = [0.0; WIDEST_F64];
    patterns.store(&mut lanes);
    let mut sum = to;
    for lane in lanes {
        sum = sum.wrapping_add(lane.to_bits());
    }
    sum
}

/// Merges the scales of the columns of a block into `scales`; whether an element has none.
pub(crate) struct Scan<'a, T> {
    pub(crate) x: Features<'a, T>,
    pub(crate) scales: &'a mut [ColumnScale],
}

impl<T: Float> Job for Scan<'_, T> {
    type Output = bool;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, _: I) -> bool {
        let Self { x, scales } = self;

        let mut beyond = false;
        if x.is_columnar() {
            for (column, scale) in scales.iter_mut().enumerate() {
                let largest = greatest::<I, T>(x.of_column(column, 0, x.row_count()));
                beyond |= scale.see(T::of_pattern(largest).as_f64());
            }
            return beyond;
        }
        let width = <T::Lane<I>>::WIDTH;
        for (strip, scales) in scales.chunks_mut(STRIP * width).enumerate() {
            let mut largest = [<T::Lane<I>>::splat(T::ZERO); STRIP];
            for row in 0..x.row_count() {
                let x = x.of_row(row, strip * STRIP * width, scales.len());
                for (vector, largest) in largest.iter_mut().enumerate() {
                    *largest = largest.max_bits(load_at::<T::Lane<I>>(x, vector * width).abs());
                }
            }
            for (largest, scales) in largest.into_iter().zip(scales.chunks_mut(width)) {
                let mut lanes = [T::ZERO; WIDEST];
                largest.store(&mut lanes);
                for (scale, largest) in scales.iter_mut().zip(lanes) {
                    beyond |= scale.see(largest.as_f64());
                }
            }
        }
        beyond
    }
}

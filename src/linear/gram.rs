//! X' diag(w) X, rounded to a grid an element.
//!
//! Element (j, k), k <= j, is Σ_i y_ij x_ik with y_ij = w_i x_ij as `f64`, its last bit set. A block of rows
//! is widened to `f64` once, then tiles of accumulators take its products.

use crate::lane::{FIRMWARE, Float, Isa, Job, Lane};
use crate::linear::columns::{CENTER_PER_BOUND, odd};
use crate::linear::features::Features;
use crate::linear::logits::request;
use crate::linear::sums::{ColumnSum, power};

/// Rows that are widened at a time, which is also how many products an accumulator takes.
const ROWS: usize = if FIRMWARE { 4 } else { 64 };

/// Columns of a panel, a multiple of every tile's sides. A panel's rows follow each other: at a distance of
/// all columns they would share a few lines of the first-level cache.
const PANEL: usize = 16;

/// Elements that are skipped so that the panels begin with a cache line: else half of their loads are of two.
const SPARE: usize = if FIRMWARE { 0 } else { 8 };

/// The least center: of products of three scales below 2^−960.
const LEAST_CENTER: f64 = 1.5 * power(7 - 960);

pub(crate) struct Gram<'a> {
    width: usize,
    /// `width` rounded up.
    padded: usize,
    /// 2^E of each column; zeros behind the last.
    bounds: &'a mut [f64],
    /// `ROWS` rows of x and of y, panel by panel.
    x: &'a mut [f64],
    y: &'a mut [f64],
    /// Units of each element, `padded` a row, as the patterns of what is no number.
    totals: &'a mut [f64],
    /// `CENTER_PER_BOUND` times the bound on the weights.
    bound: f64,
}

/// Adds the products of rows with their weights. Whether a feature is beyond its scale.
pub(crate) struct AddGram<'a, 'b, T> {
    pub(crate) gram: &'b mut Gram<'a>,
    pub(crate) x: Features<'b, T>,
    pub(crate) weights: &'b [f64],
    /// As in `AddProducts`.
    pub(crate) ahead: usize,
}

impl<T: Float> Job for AddGram<'_, '_, T> {
    type Output = bool;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, isa: I) -> bool {
        let ahead = (isa, self.x.distance(self.ahead));
        self.gram.add(ahead, self.x, self.weights)
    }
}

pub(crate) const fn scratch_length(width: usize) -> usize {
    let padded = width.next_multiple_of(PANEL);
    padded * (1 + 2 * ROWS + padded) + SPARE
}

/// E of a column, by its diagonal element.
pub(crate) fn column_exponent(sums: &[ColumnSum], column: usize) -> i32 {
    let diagonal = column * (column + 3) / 2;
    sums.get(diagonal)
        .map_or(0, |sum| sum.column_exponent() / 2)
}

impl<'a> Gram<'a> {
    pub(crate) fn new(width: usize, sums: &[ColumnSum], scratch: &'a mut [f64]) -> Self {
        let padded = width.next_multiple_of(PANEL);
        let (scratch, _) = scratch
            .split_at_mut_checked(scratch_length(width))
            .unwrap_or_default();
        let skipped = (scratch.as_ptr().addr().wrapping_neg() / size_of::<f64>()) % SPARE.max(1);
        let scratch = scratch.get_mut(skipped..).unwrap_or_default();
        scratch.fill(0.0);
        let (bounds, scratch) = scratch.split_at_mut_checked(padded).unwrap_or_default();
        let (x, scratch) = scratch
            .split_at_mut_checked(ROWS * padded)
            .unwrap_or_default();
        let (y, totals) = scratch
            .split_at_mut_checked(ROWS * padded)
            .unwrap_or_default();
        for (column, bound) in bounds.iter_mut().enumerate().take(width) {
            *bound = power(column_exponent(sums, column));
        }
        let factor = sums.first().map_or(0, ColumnSum::factor_exponent);
        Self {
            width,
            padded,
            bounds,
            x,
            y,
            totals,
            bound: CENTER_PER_BOUND * power(factor),
        }
    }

    /// Takes the units to the sums: the lower triangle, row by row.
    pub(crate) fn fold(&mut self, sums: &mut [ColumnSum]) {
        let mut sums = sums.iter_mut();
        for (row, totals) in self
            .totals
            .chunks_mut(self.padded.max(1))
            .enumerate()
            .take(self.width)
        {
            for (total, sum) in totals.iter_mut().take(row + 1).zip(&mut sums) {
                sum.add_pending(total.to_bits() as i64);
            }
            totals.fill(0.0);
        }
    }

    /// Adds the products of the rows with their weights. Whether a feature is beyond its scale.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add<I: Isa, T: Float>(
        &mut self,
        ahead: (I, usize),
        x: Features<'_, T>,
        weights: &[f64],
    ) -> bool {
        let mut beyond = <I::F64>::splat(0.0);
        let mut start = 0;
        for weights in weights.chunks(ROWS) {
            let part = x.part(start..start + weights.len());
            self.widen(ahead, part, weights, &mut beyond);
            if <I::F64>::WIDTH == 8 {
                self.tiles::<I::F64, 8, 2>(weights.len());
            } else {
                self.tiles::<I::F64, 4, 4>(weights.len());
            }
            start += weights.len();
        }
        beyond.reduce_max_bits() >> 63 != 0
    }

    /// Fills the buffers.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn widen<I: Isa, T: Float>(
        &mut self,
        (isa, ahead): (I, usize),
        x: Features<'_, T>,
        weights: &[f64],
        beyond: &mut I::F64,
    ) {
        let columns = x.column_count();
        let width = <I::F64>::WIDTH;
        let panels = self.x.chunks_exact_mut(ROWS * PANEL);
        let panels = panels.zip(self.y.chunks_exact_mut(ROWS * PANEL));
        for (panel, (to_x, to_y)) in panels.enumerate() {
            let first = panel * PANEL;
            let count = columns.saturating_sub(first).min(PANEL);
            let bounds = self.bounds.get(first..).unwrap_or(&[]);
            let to_x = to_x.as_chunks_mut::<PANEL>().0;
            if x.is_columnar() {
                for column in 0..count {
                    let of_column = x.of_column(first + column, 0, weights.len());
                    for (to, from) in to_x.iter_mut().zip(of_column) {
                        if let Some(to) = to.get_mut(column) {
                            *to = from.as_f64();
                        }
                    }
                }
            }
            let rows = to_x.iter_mut();
            let rows = rows.zip(to_y.as_chunks_mut::<PANEL>().0);
            for ((row, &weight), (to_x, to_y)) in weights.iter().enumerate().zip(rows) {
                if !x.is_columnar() {
                    let of_row = x.of_row(row, first, count);
                    request(isa, of_row, ahead, count);
                    let chunks = of_row.chunks(<T::Lane<I>>::WIDTH);
                    for (to, from) in to_x.chunks_mut(<T::Lane<I>>::WIDTH).zip(chunks) {
                        let (low, high) = <T::Lane<I>>::load_widened(from);
                        low.store(to);
                        high.store(to.get_mut(width..).unwrap_or(&mut []));
                    }
                }
                if self.width > columns
                    && let Some(intercept) = to_x.get_mut(columns.wrapping_sub(first))
                {
                    *intercept = 1.0;
                }
                let weight = <I::F64>::splat(weight);
                let bounds = bounds.chunks(width);
                for ((x, y), bound) in to_x.chunks(width).zip(to_y.chunks_mut(width)).zip(bounds) {
                    let x = <I::F64>::load(x);
                    *beyond = beyond.or_bits(<I::F64>::load(bound).sub_bits(x.abs()));
                    odd(x * weight).store(y);
                }
            }
        }
    }

    /// All tiles of `HEIGHT` rows of the result and two vectors of columns that touch the lower triangle. Narrower
    /// ones end at the diagonal; a last row that is alone, an intercept's, is `ALONE` vectors at a time.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn tiles<W: Lane<Real = f64>, const HEIGHT: usize, const ALONE: usize>(&mut self, rows: usize) {
        for row in (0..self.width).step_by(HEIGHT) {
            if row + 1 == self.width {
                for column in (0..=row).step_by(ALONE * W::WIDTH) {
                    self.tile::<W, 1, ALONE>(row, column, rows);
                }
                return;
            }
            for column in (0..row + HEIGHT).step_by(2 * W::WIDTH) {
                if W::WIDTH == HEIGHT && column == row {
                    self.tile::<W, HEIGHT, 1>(row, column, rows);
                } else {
                    self.tile::<W, HEIGHT, 2>(row, column, rows);
                }
            }
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn tile<W: Lane<Real = f64>, const HEIGHT: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        column: usize,
        rows: usize,
    ) {
        let zero = W::splat(0.0);
        let mut centers = [[zero; VECTORS]; HEIGHT];
        for (at, centers) in centers.iter_mut().enumerate() {
            let bound = self.bounds.get(row + at).copied().unwrap_or(0.0) * self.bound;
            for (vector, center) in centers.iter_mut().enumerate() {
                let bounds = self.bounds.get(column + vector * W::WIDTH..);
                let product = W::splat(bound) * W::load(bounds.unwrap_or(&[]));
                *center = product.max_or(W::splat(LEAST_CENTER));
            }
        }
        let mut sums = centers;
        let length = VECTORS * W::WIDTH;
        let panel = |column: usize| column / PANEL * (ROWS * PANEL)..;
        let x = self
            .x
            .get(panel(column))
            .unwrap_or(&[])
            .as_chunks::<PANEL>()
            .0;
        let y = self.y.get(panel(row)).unwrap_or(&[]).as_chunks::<PANEL>().0;
        for (x, y) in x.iter().zip(y).take(rows) {
            let x = x
                .get(column % PANEL..column % PANEL + length)
                .unwrap_or(&[]);
            let y = y
                .get(row % PANEL..)
                .and_then(<[f64]>::first_chunk::<HEIGHT>);
            let (Some(y), true) = (y, x.len() == length) else {
                return; // never
            };
            let mut vectors = [zero; VECTORS];
            for (vector, x) in vectors.iter_mut().zip(x.chunks_exact(W::WIDTH)) {
                *vector = W::load(x);
            }
            for (&y, sums) in y.iter().zip(&mut sums) {
                let y = W::splat(y);
                for (sum, x) in sums.iter_mut().zip(vectors) {
                    *sum = x.fma(y, *sum);
                }
            }
        }
        for (at, (sums, centers)) in sums.into_iter().zip(centers).enumerate() {
            let at = (row + at) * self.padded + column;
            let to = self.totals.get_mut(at..at + length).unwrap_or(&mut []);
            let to = to.chunks_exact_mut(W::WIDTH);
            for ((sum, center), to) in sums.into_iter().zip(centers).zip(to) {
                W::load(to).add_bits(sum.sub_bits(center)).store(to);
            }
        }
    }
}

//! One pass over the rows, for every operation: logits, what follows from them, column sums.
//!
//! Blocks of rows stay in the caches between the two readings of them. A block's logits go through the
//! same calls as those of a slice: no formula is written again here.

use core::ops::Range;

use crate::dispatch::Backend;
use crate::error::Error;
use crate::kernel::Wanted;
use crate::lane::scalar::Scalar;
use crate::lane::{Float, Isa, Job, Lane, MAX_ROWS};
use crate::linear::columns::{self, AddProducts, Columns, Scan, odd};
use crate::linear::features::Features;
use crate::linear::gram::{self, AddGram, Gram};
use crate::linear::logits::{Dots, greatest};
use crate::linear::sums::{ColumnScale, ColumnSum, power};
use crate::span_sum::SpanSum;
use crate::walk::Outputs;

/// What a block should not exceed by much, so that it stays in the first-level cache.
const BLOCK_BYTES: usize = 16 << 10;

/// The same for columns, which are read in longer runs, from the second level: what counts is the number of
/// visits to each.
const COLUMNS_BYTES: usize = 1 << 20;

/// Rows whose units an i64 holds: each adds up to 2^45.
const ROWS_PENDING: usize = 1 << 17;

/// What multiplies the features of row i in a sum over the rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Factor<'a, T> {
    /// r_i, [`Bce`](crate::Bce)'s gradient.
    Residual,
    /// h_i, [`Bce`](crate::Bce)'s Hessian: in a Gram matrix, the Hessian by the coefficients, for Newton
    /// steps and standard errors.
    Hessian,
    /// r_i², rounded to `f64`: in a Gram matrix, the middle of the sandwich for robust standard errors.
    SquaredResidual,
    /// These, one a row, finite, as they are. Logits are not computed; targets, weights and offset are not
    /// looked at.
    Given(&'a [T]),
}

/// What a pass over the rows is for.
pub(crate) enum Task<'a, T> {
    Scan(&'a mut [ColumnScale]),
    Logits(&'a mut [T]),
    /// `Problem::function` makes the predictions, as gradients.
    Predict(&'a mut [T]),
    Sums(Sums<'a, T>),
}

/// What is added up.
pub(crate) struct Sums<'a, T> {
    pub(crate) columns: Option<Factor<'a, T>>,
    /// The columns' factors are multiplied by x_i·direction + constant.
    pub(crate) direction: Option<(&'a [T], T)>,
    /// Whose sums a row belongs to; there is one set of them if empty.
    pub(crate) groups: &'a [u32],
    pub(crate) gram: Option<Factor<'a, T>>,
    /// Whether losses are, besides the columns.
    pub(crate) loss: bool,
}

impl<T> Default for Sums<'_, T> {
    fn default() -> Self {
        Self {
            columns: None,
            direction: None,
            groups: &[],
            gram: None,
            loss: false,
        }
    }
}

/// What a block of rows is read for, one after the other.
#[derive(Clone, Copy)]
enum Step<'a, T> {
    Output,
    Columns(Factor<'a, T>),
    Gram(Factor<'a, T>),
}

impl<'a, T: Copy> Step<'a, T> {
    fn factor(self) -> Factor<'a, T> {
        match self {
            Self::Output => Factor::Residual,
            Self::Columns(factor) | Self::Gram(factor) => factor,
        }
    }
}

impl<'a, T> Task<'a, T> {
    fn steps(&self) -> [Option<Step<'a, T>>; 2]
    where
        T: Copy,
    {
        match self {
            Self::Sums(sums) => [sums.columns.map(Step::Columns), sums.gram.map(Step::Gram)],
            _ => [Some(Step::Output), None],
        }
    }

    /// Whether it is about more than features.
    pub(crate) fn needs_logits(&self) -> bool {
        match self {
            Self::Scan(_) => false,
            Self::Logits(_) | Self::Predict(_) => true,
            Self::Sums(sums) => [&sums.columns, &sums.gram]
                .into_iter()
                .flatten()
                .any(|factor| !matches!(factor, Factor::Given(_))),
        }
    }
}

/// What follows from logits.
pub(crate) trait LogitFunction<T> {
    /// Writes what is wanted of losses, gradients and Hessians, at the logits of these rows. Wanting
    /// nothing checks targets and weights.
    fn apply(
        &self,
        wanted: Wanted,
        rows: Range<usize>,
        z: &[T],
        outputs: Outputs<'_, T>,
        sum: &mut SpanSum,
    ) -> Result<(), Error>;
}

/// What a pass reads, and what it is for.
pub(crate) struct Problem<'a, T: Float> {
    pub(crate) x: Features<'a, T>,
    pub(crate) coefficients: &'a [T],
    pub(crate) intercept: Option<T>,
    pub(crate) offset: Option<&'a [T]>,
    pub(crate) weights: Option<&'a [T]>,
    pub(crate) function: &'a dyn LogitFunction<T>,
    pub(crate) task: Task<'a, T>,
}

/// A pass whose lengths and options are valid.
pub struct Pass<'a, T: Float> {
    pub(crate) backend: Backend,
    pub(crate) problem: Problem<'a, T>,
    /// Of columns, and of products of two.
    pub(crate) sums: &'a mut [ColumnSum],
    pub(crate) gram: &'a mut [ColumnSum],
    /// Of losses, if they are asked for.
    pub(crate) total: &'a mut SpanSum,
    pub(crate) scratch: &'a mut [f64],
}

impl<T: Float> Pass<'_, T> {
    /// What `Entries::linear` does.
    pub(crate) fn run_on_backend(mut self) -> Result<(), Error> {
        let rows = self.problem.x.row_count() as u64;
        for sum in self.sums.iter().chain(&*self.gram) {
            sum.check_rows(rows)?;
        }
        let backend = self.backend;
        let result = backend.run_rare(&mut self);
        for sum in self.sums.iter_mut().chain(&mut *self.gram) {
            sum.finish(result.is_ok().then_some(rows));
        }
        if let Task::Scan(scales) = &mut self.problem.task {
            scales
                .iter_mut()
                .for_each(|scale| scale.finish(result.is_ok()));
        }
        result
    }

    /// What no |x_ij| may exceed.
    fn column_bound(&self, column: usize) -> f64 {
        match &self.problem.task {
            Task::Scan(_) => ColumnScale::GREATEST.bound(),
            Task::Logits(_) | Task::Predict(_) => f64::MAX,
            Task::Sums(sums) if sums.gram.is_some() => {
                power(gram::column_exponent(self.gram, column))
            }
            Task::Sums(_) => {
                let sum = self.sums.get(column);
                sum.map_or(0.0, |sum| power(sum.column_exponent()))
            }
        }
    }

    /// What no |factor| may exceed.
    fn factor_bound(&self, step: Step<'_, T>) -> f64 {
        let sum = match step {
            Step::Output => None,
            Step::Columns(_) => self.sums.first(),
            Step::Gram(_) => self.gram.first(),
        };
        sum.map_or(f64::INFINITY, |sum| power(sum.factor_exponent()))
    }

    /// The first row of a block with an error, counted from its start, and that, if there is one. In a row:
    /// features, offset, weight and target, logit, factor.
    #[cold]
    #[inline(never)]
    fn diagnose(
        &mut self,
        step: Step<'_, T>,
        block: &Block<'_, T>,
        seen: Seen,
    ) -> Option<(usize, Error)> {
        let bound = self.factor_bound(step);
        for index in 0..block.x.row_count() {
            let row = block.start + index;
            if let Err(error) = self.row_error(row, block.x.part(index..index + 1)) {
                return Some((index, error));
            }
            let value = match step.factor() {
                Factor::Given(given) => given.get(row),
                _ => block.values.get(index),
            };
            let mut value = value.map_or(0.0, |value| value.as_f64());
            if step.factor() == Factor::SquaredResidual {
                value *= value;
            }
            if seen == Seen::Suspect && !is_within(value, bound) {
                return Some((index, Error::FactorOutOfScale { row, value }));
            }
        }
        None
    }

    /// What is wrong with a row, but for its factors.
    fn row_error(&mut self, row: usize, x: Features<'_, T>) -> Result<(), Error> {
        for column in 0..x.column_count() {
            let value = x.get(0, column).map_or(0.0, Float::as_f64);
            if !is_within(value, self.column_bound(column)) {
                return Err(Error::FeatureOutOfScale { row, column, value });
            }
        }
        let problem = &self.problem;
        if !problem.task.needs_logits() {
            return Ok(());
        }
        let value = problem.offset.and_then(|offset| offset.get(row));
        let value = value.map_or(0.0, |offset| offset.as_f64());
        if !value.is_finite() {
            return Err(Error::InvalidOffset { row, value });
        }
        let mut z = [T::ZERO];
        problem.function.apply(
            Wanted::NOTHING,
            row..row + 1,
            &z,
            Outputs::default(),
            self.total,
        )?;
        let weight = problem.weights.and_then(|weights| weights.get(row));
        if weight.is_some_and(|weight| *weight == T::ZERO) {
            return Ok(());
        }
        // The same bits as on any other backend.
        Scalar.run(problem.logits(row..row + 1, x, &mut z));
        let [value] = z.map(Float::as_f64);
        if value.is_finite() {
            Ok(())
        } else {
            Err(Error::InvalidLogit { row, value })
        }
    }
}

/// Rows that stay in the caches while they are worked on, the first of which is row `start`.
struct Block<'a, T> {
    start: usize,
    x: Features<'a, T>,
    z: &'a mut [T],
    /// Gradients or Hessians.
    values: &'a mut [T],
    factors: &'a mut [f64],
}

/// What a block of rows tells besides its results.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// A logit that is not finite, or a factor beyond the scale: an error, unless the weight is 0.
    Suspect,
    /// A target or a weight is invalid, and there are no factors.
    Refused,
}

impl Seen {
    fn suspect_if(suspect: bool) -> Self {
        if suspect {
            Self::Suspect
        } else {
            Self::Nothing
        }
    }
}

/// What a pass needs of the scratch besides its sums.
pub(crate) const FACTORS: usize = MAX_ROWS;

impl<T: Float> Job for &mut Pass<'_, T> {
    type Output = Result<(), Error>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, isa: I) -> Result<(), Error> {
        let x = self.problem.x;
        let width = x.column_count() + usize::from(self.problem.intercept.is_some());
        let scratch = core::mem::take(&mut self.scratch);
        let (factors, scratch) = scratch.split_at_mut_checked(FACTORS).unwrap_or_default();
        let of_columns = match self.sums {
            [] => 0,
            _ => columns::scratch_length(width),
        };
        let (of_columns, of_gram) = scratch.split_at_mut_checked(of_columns).unwrap_or_default();
        let mut columns = Columns::new(width, self.sums, of_columns);
        let mut gram = Gram::new(width, self.gram, of_gram);
        let (mut z, mut values) = (T::ROWS, T::ROWS);
        let most = z.as_mut().len();
        let bytes = (x.column_count() * size_of::<T>()).max(1);
        let (block_bytes, least) = if x.is_columnar() {
            (COLUMNS_BYTES, 128)
        } else {
            (BLOCK_BYTES, if self.gram.is_empty() { 32 } else { 64 })
        };
        let mut height = (block_bytes / bytes / 16 * 16).clamp(most.min(least), most);
        // The error of a row, whose predecessors are looked at once more, without it.
        let mut found = None;
        let mut pending = 0;
        let mut start = 0;
        while start < x.row_count() {
            let part = x.part(start..start + height);
            let rows = part.row_count();
            let mut block = Block {
                start,
                x: part,
                z: z.as_mut().get_mut(..rows).unwrap_or(&mut []),
                values: values.as_mut().get_mut(..rows).unwrap_or(&mut []),
                factors: factors.get_mut(..rows).unwrap_or(&mut []),
            };
            let mut error = None;
            for step in self.problem.task.steps().into_iter().flatten() {
                let bound = self.factor_bound(step);
                let seen = self
                    .problem
                    .make_factors(isa, step, &mut block, self.total, bound);
                if seen != Seen::Nothing {
                    error = self.diagnose(step, &block, seen);
                }
                if error.is_none() {
                    let beyond = match step {
                        Step::Output => false,
                        Step::Columns(_) => isa.run(AddProducts {
                            columns: &mut columns,
                            x: part,
                            factors: block.factors,
                            groups: match &self.problem.task {
                                Task::Sums(sums) => sums.groups.get(start..).unwrap_or(&[]),
                                _ => &[],
                            },
                            sums: self.sums,
                            ahead: rows,
                        }),
                        Step::Gram(_) => isa.run(AddGram {
                            gram: &mut gram,
                            x: part,
                            weights: block.factors,
                            ahead: rows,
                        }),
                    };
                    if beyond {
                        error = self.diagnose(step, &block, seen);
                    }
                }
                if error.is_some() {
                    break;
                }
            }
            match error {
                Some((0, error)) => return Err(error),
                Some((row, error)) => {
                    (height, found) = (row, Some(error));
                    continue;
                }
                None => {}
            }
            if let Some(error) = found {
                return Err(error);
            }
            start += rows;
            pending += rows;
            if pending > ROWS_PENDING - MAX_ROWS || start == x.row_count() {
                pending = 0;
                columns.fold(self.sums);
                gram.fold(self.gram);
            }
        }
        Ok(())
    }
}

impl<T: Float> Problem<'_, T> {
    /// The rows' logits.
    fn logits<'b>(&'b self, rows: Range<usize>, x: Features<'b, T>, z: &'b mut [T]) -> Dots<'b, T> {
        Dots {
            x,
            coefficients: self.coefficients,
            constant: self.intercept.unwrap_or(T::ZERO),
            offset: self.offset.and_then(|offset| offset.get(rows)),
            z,
        }
    }

    /// From the rows of a block to their factors in the sums, or to what the task writes instead of sums.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn make_factors<I: Isa>(
        &mut self,
        isa: I,
        step: Step<'_, T>,
        block: &mut Block<'_, T>,
        total: &mut SpanSum,
        bound: f64,
    ) -> Seen {
        let Block {
            start,
            x,
            z,
            values,
            factors,
        } = block;
        let (x, rows) = (*x, *start..*start + x.row_count());
        if let Task::Scan(scales) = &mut self.task {
            return Seen::suspect_if(isa.run(Scan { x, scales }));
        }
        let factor = step.factor();
        let of_columns = matches!(step, Step::Columns(_));
        if let Factor::Given(given) = factor {
            let largest =
                convert::<I, T>(given.get(rows).unwrap_or(&[]), false, of_columns, factors);
            return Seen::suspect_if(largest > bound.to_bits());
        }
        isa.run(self.logits(rows.clone(), x, z));
        let mut suspect = greatest::<I, T>(z) > T::MAX.pattern();
        let (mut wanted, mut direction) = (Wanted::GRADIENT, None);
        let mut outputs = Outputs::default();
        match &mut self.task {
            Task::Scan(_) => return Seen::Nothing, // done above
            Task::Logits(out) => {
                let out = out.get_mut(rows).unwrap_or(&mut []);
                for (to, from) in out.iter_mut().zip(&**z) {
                    *to = *from;
                }
                return Seen::suspect_if(suspect);
            }
            Task::Predict(out) => {
                outputs.gradient = out.get_mut(rows.clone()).unwrap_or(&mut []);
            }
            Task::Sums(sums) => {
                if factor == Factor::Hessian {
                    wanted = Wanted::HESSIAN;
                    outputs.hessian = values;
                } else {
                    outputs.gradient = values;
                }
                if of_columns {
                    direction = sums.direction;
                    if sums.loss {
                        wanted = wanted.and(Wanted::SUM);
                    }
                }
            }
        }
        let result = self.function.apply(wanted, rows, z, outputs, total);
        if let Step::Output = step {
            return Seen::suspect_if(suspect || result.is_err());
        }
        if result.is_err() {
            return Seen::Refused;
        }
        if let Some((coefficients, constant)) = direction {
            isa.run(Dots {
                x,
                coefficients,
                constant,
                offset: None,
                z,
            });
            multiply::<I, T>(values, z);
        }
        let squared = factor == Factor::SquaredResidual;
        suspect |= convert::<I, T>(values, squared, of_columns, factors) > bound.to_bits();
        Seen::suspect_if(suspect)
    }
}

/// The factors as `f64`, squared or not; with the last bit set that prevents ties, unless they multiply
/// features into other features' factors. The pattern of the largest |factor| before that.
#[cfg_attr(not(debug_assertions), inline(always))]
fn convert<I: Isa, T: Float>(from: &[T], squared: bool, is_odd: bool, to: &mut [f64]) -> u64 {
    let (width, half) = (<T::Lane<I>>::WIDTH, <I::F64>::WIDTH);
    let mut largest = <I::F64>::splat(0.0);
    for (from, to) in from.chunks(width).zip(to.chunks_mut(width)) {
        let (low, high) = <T::Lane<I>>::load_widened(from);
        for (mut factors, at) in [(low, 0), (high, half)] {
            if squared {
                factors = factors * factors;
            }
            largest = largest.max_bits(factors.abs());
            if is_odd {
                factors = odd(factors);
            }
            factors.store(to.get_mut(at..).unwrap_or(&mut []));
        }
    }
    largest.reduce_max_bits()
}

/// hessian · products, and 0 where the Hessian is, to the Hessian's place.
#[cfg_attr(not(debug_assertions), inline(always))]
fn multiply<I: Isa, T: Float>(hessian: &mut [T], products: &[T]) {
    let width = <T::Lane<I>>::WIDTH;
    let zero = <T::Lane<I>>::splat(T::ZERO);
    for (hessian, products) in hessian.chunks_mut(width).zip(products.chunks(width)) {
        let factor = <T::Lane<I>>::load(hessian);
        let product = factor * <T::Lane<I>>::load(products);
        <T::Lane<I>>::select(factor.equal(zero), zero, product).store(hessian);
    }
}

/// False for NaN.
fn is_within(value: f64, bound: f64) -> bool {
    value.abs() <= bound
}

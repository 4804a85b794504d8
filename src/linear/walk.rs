//! One pass over the rows, for every operation: logits, what follows from them, column sums.
//!
//! Blocks of rows stay in the caches between the two readings of them. A block's logits go through the
//! same calls as those of a slice: no formula is written again here.

use core::ops::Range;

use crate::dispatch::Backend;
use crate::error::Error;
use crate::kernel::Wanted;
use crate::lane::{Float, Isa, Job, Lane, MAX_ROWS};
use crate::linear::columns::{AddProducts, Columns, Scan, odd};
use crate::linear::features::Features;
use crate::linear::gram::{self, AddGram, Gram};
use crate::linear::logits::{Dots, greatest};
use crate::linear::sums::{ColumnScale, ColumnSum, power};
use crate::span_sum::SpanSum;
use crate::walk::Outputs;

/// What a block should not exceed by much, so that it stays in the first-level cache. Columns are read in
/// longer runs, from the second level: what counts there is the number of visits to each.
const BLOCK_BYTES: usize = 16 << 10;

/// Rows whose units an i64 holds: each adds up to 2^45.
const ROWS_PENDING: usize = 1 << 17;

/// What weighs the products of two features in a Gram matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GramWeight {
    /// h_i, [`Bce`](crate::Bce)'s Hessian: the Hessian by the coefficients, for Newton steps and standard
    /// errors.
    Hessian,
    /// r_i², the squared residual, rounded to `f64`: the middle of the sandwich for robust standard errors.
    SquaredResidual,
}

/// What a pass over the rows is for.
pub(crate) enum Task<'a, T> {
    Scan(&'a mut [ColumnScale]),
    Logits(&'a mut [T]),
    /// `Problem::function` makes the predictions, as gradients.
    Predict(&'a mut [T]),
    Gradient {
        total: &'a mut SpanSum,
        /// Whose sums a row belongs to; there is one set of them if empty.
        groups: &'a [u32],
    },
    HessianVector {
        direction: &'a [T],
        constant: T,
    },
    Gram(GramWeight),
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
    pub(crate) sums: &'a mut [ColumnSum],
    pub(crate) scratch: &'a mut [f64],
}

impl<T: Float> Pass<'_, T> {
    /// What `Entries::linear` does.
    pub(crate) fn run_on_backend(mut self) -> Result<(), Error> {
        let rows = self.problem.x.row_count() as u64;
        for sum in &*self.sums {
            sum.check_rows(rows)?;
        }
        let backend = self.backend;
        let result = backend.run_rare(&mut self).and_then(|result| result);
        for sum in &mut *self.sums {
            sum.finish(result.is_ok().then_some(rows));
        }
        if let Task::Scan(scales) = &mut self.problem.task {
            scales
                .iter_mut()
                .for_each(|scale| scale.finish(result.is_ok()));
        }
        result
    }
}

/// What is known of the rows of a block.
struct Buffers<T: Float> {
    z: T::Rows,
    gradient: T::Rows,
    hessian: T::Rows,
    factors: [f64; MAX_ROWS],
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

impl<T: Float> Job for &mut Pass<'_, T> {
    type Output = Result<(), Error>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run<I: Isa>(self, isa: I) -> Result<(), Error> {
        let Pass {
            problem,
            sums,
            scratch,
            ..
        } = self;
        let (sums, x) = (&mut **sums, problem.x);
        let width = x.column_count() + usize::from(problem.intercept.is_some());
        let mut gram = None;
        let mut columns = None;
        match problem.task {
            Task::Scan(_) | Task::Logits(_) | Task::Predict(_) => {}
            Task::Gram(_) => gram = Some(Gram::new(width, sums, scratch)),
            _ => columns = Some(Columns::new(width, sums, scratch)),
        }
        let mut buffers = Buffers {
            z: T::ROWS,
            gradient: T::ROWS,
            hessian: T::ROWS,
            factors: [0.0; MAX_ROWS],
        };
        let most = AsRef::<[T]>::as_ref(&buffers.z).len();
        let bytes = (x.column_count() * size_of::<T>()).max(1);
        let (block_bytes, least) = if x.is_columnar() {
            (4 * BLOCK_BYTES, 128)
        } else {
            (BLOCK_BYTES, 32)
        };
        let mut height = (block_bytes / bytes / 16 * 16).clamp(most.min(least), most);
        // The error of a row, whose predecessors are looked at once more, without it.
        let mut found = None;
        let mut pending = 0;
        let mut start = 0;
        while start < x.row_count() {
            let block = x.part(start..start + height);
            let rows = block.row_count();
            let seen = problem.factors(isa, start, block, &mut buffers, sums);
            let mut error = None;
            if seen != Seen::Nothing {
                error = problem.diagnose(start, block, &buffers, sums, seen);
            }
            if error.is_none() {
                let factors = buffers.factors.get(..rows).unwrap_or(&[]);
                let beyond = match (&mut columns, &mut gram, &problem.task) {
                    (Some(columns), _, task) => {
                        let groups = match task {
                            Task::Gradient { groups, .. } => groups.get(start..).unwrap_or(&[]),
                            _ => &[],
                        };
                        isa.run(AddProducts {
                            columns,
                            x: block,
                            factors,
                            groups,
                            sums: &mut *sums,
                        })
                    }
                    (_, Some(gram), _) => isa.run(AddGram {
                        gram,
                        x: block,
                        weights: factors,
                    }),
                    _ => false,
                };
                if beyond {
                    error = problem.diagnose(start, block, &buffers, sums, seen);
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
                if let Some(columns) = &mut columns {
                    columns.fold(sums);
                }
                if let Some(gram) = &mut gram {
                    gram.fold(sums);
                }
            }
        }
        Ok(())
    }
}

impl<T: Float> Problem<'_, T> {
    /// From the rows of a block, the first of which is row `start`, to their factors in the sums, or to
    /// what the task writes instead of sums.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn factors<I: Isa>(
        &mut self,
        isa: I,
        start: usize,
        x: Features<'_, T>,
        buffers: &mut Buffers<T>,
        sums: &[ColumnSum],
    ) -> Seen {
        let rows = start..start + x.row_count();
        let z = buffers.z.as_mut().get_mut(..rows.len()).unwrap_or(&mut []);
        let gradient = buffers
            .gradient
            .as_mut()
            .get_mut(..rows.len())
            .unwrap_or(&mut []);
        let hessian = buffers
            .hessian
            .as_mut()
            .get_mut(..rows.len())
            .unwrap_or(&mut []);
        if let Task::Scan(scales) = &mut self.task {
            return Seen::suspect_if(isa.run(Scan { x, scales }));
        }
        let offset = self.offset.and_then(|offset| offset.get(rows.clone()));
        let constant = self.intercept.unwrap_or(T::ZERO);
        isa.run(Dots {
            x,
            coefficients: self.coefficients,
            constant,
            offset,
            z: &mut *z,
        });
        let suspect = greatest::<I, T>(z) > T::MAX.pattern();

        let mut outputs = Outputs::default();
        let mut no_total = SpanSum::default();
        let derivatives = Wanted::GRADIENT.and(Wanted::HESSIAN);
        let (result, from, weight) = match &mut self.task {
            Task::Scan(_) => return Seen::Nothing,
            Task::Logits(out) => {
                let out = out.get_mut(rows).unwrap_or(&mut []);
                for (to, from) in out.iter_mut().zip(z) {
                    *to = *from;
                }
                return Seen::suspect_if(suspect);
            }
            Task::Predict(out) => {
                outputs.gradient = out.get_mut(rows.clone()).unwrap_or(&mut []);
                let result = self
                    .function
                    .apply(Wanted::GRADIENT, rows, z, outputs, &mut no_total);
                return Seen::suspect_if(suspect || result.is_err());
            }
            Task::Gradient { total, .. } => {
                let wanted = Wanted::SUM.and(Wanted::GRADIENT);
                outputs.gradient = &mut *gradient;
                let result = self.function.apply(wanted, rows, z, outputs, total);
                (result, gradient, None)
            }
            Task::HessianVector {
                direction,
                constant,
            } => {
                outputs.gradient = &mut *gradient;
                outputs.hessian = &mut *hessian;
                let result = self
                    .function
                    .apply(derivatives, rows, z, outputs, &mut no_total);
                isa.run(Dots {
                    x,
                    coefficients: direction,
                    constant: *constant,
                    offset: None,
                    z: &mut *gradient,
                });
                multiply::<I, T>(hessian, gradient);
                (result, hessian, None)
            }
            Task::Gram(weight) => {
                outputs.gradient = &mut *gradient;
                outputs.hessian = &mut *hessian;
                let result = self
                    .function
                    .apply(derivatives, rows, z, outputs, &mut no_total);
                match weight {
                    GramWeight::Hessian => (result, hessian, Some(*weight)),
                    GramWeight::SquaredResidual => (result, gradient, Some(*weight)),
                }
            }
        };
        if result.is_err() {
            return Seen::Refused;
        }
        let factors = buffers.factors.get_mut(..x.row_count()).unwrap_or(&mut []);
        let bound = sums.first().map_or(0, ColumnSum::factor_exponent);
        let largest = convert::<I, T>(from, weight, factors);
        Seen::suspect_if(suspect || largest > power(bound).to_bits())
    }

    /// The first row of a block with an error, counted from its start, and that, if there is one. In a row:
    /// features, offset, weight and target, logit, factor.
    #[cold]
    #[inline(never)]
    fn diagnose(
        &self,
        start: usize,
        x: Features<'_, T>,
        buffers: &Buffers<T>,
        sums: &[ColumnSum],
        seen: Seen,
    ) -> Option<(usize, Error)> {
        let bound = sums
            .first()
            .map_or(f64::INFINITY, |sum| power(sum.factor_exponent()));
        let known = AsRef::<[T]>::as_ref(&buffers.z)
            .iter()
            .zip(&buffers.factors);
        for (index, (z, factor)) in (0..x.row_count()).zip(known) {
            let row = start + index;
            if let Err(error) = self.row_error(row, x.part(index..index + 1), z.as_f64(), sums) {
                return Some((index, error));
            }
            // The bit that makes it odd may be beyond the bound.
            let value = f64::from_bits(factor.to_bits() & !1);
            if seen == Seen::Suspect && !is_within(value, bound) {
                return Some((index, Error::FactorOutOfScale { row, value }));
            }
        }
        None
    }

    /// What is wrong with a row, but for its factor.
    fn row_error(
        &self,
        row: usize,
        x: Features<'_, T>,
        z: f64,
        sums: &[ColumnSum],
    ) -> Result<(), Error> {
        for column in 0..x.column_count() {
            let bound = match self.task {
                Task::Scan(_) => ColumnScale::GREATEST.bound(),
                Task::Logits(_) | Task::Predict(_) => f64::MAX,
                Task::Gram(_) => power(gram::column_exponent(sums, column)),
                _ => sums
                    .get(column)
                    .map_or(0.0, |sum| power(sum.column_exponent())),
            };
            let value = x.get(0, column).map_or(0.0, Float::as_f64);
            if !is_within(value, bound) {
                return Err(Error::FeatureOutOfScale { row, column, value });
            }
        }
        if let Task::Scan(_) = self.task {
            return Ok(());
        }
        let value = self.offset.and_then(|offset| offset.get(row));
        let value = value.map_or(0.0, |offset| offset.as_f64());
        if !value.is_finite() {
            return Err(Error::InvalidOffset { row, value });
        }
        self.function.apply(
            Wanted::NOTHING,
            row..row + 1,
            &[T::ZERO],
            Outputs::default(),
            &mut SpanSum::default(),
        )?;
        let weight = self.weights.and_then(|weights| weights.get(row));
        let removed = weight.is_some_and(|weight| *weight == T::ZERO);
        if removed || z.is_finite() {
            Ok(())
        } else {
            Err(Error::InvalidLogit { row, value: z })
        }
    }
}

/// The factors as `f64`: as they are or squared where they multiply features into other features'
/// factors, else with the last bit set that prevents ties. The pattern of the largest |factor| before that.
#[cfg_attr(not(debug_assertions), inline(always))]
fn convert<I: Isa, T: Float>(from: &[T], weight: Option<GramWeight>, to: &mut [f64]) -> u64 {
    let (width, half) = (<T::Lane<I>>::WIDTH, <I::F64>::WIDTH);
    let mut largest = <I::F64>::splat(0.0);
    for (from, to) in from.chunks(width).zip(to.chunks_mut(width)) {
        let (low, high) = <T::Lane<I>>::load_widened(from);
        for (factors, at) in [(low, 0), (high, half)] {
            let factors = match weight {
                Some(GramWeight::SquaredResidual) => factors * factors,
                _ => factors,
            };
            largest = largest.max_bits(factors.abs());
            let factors = match weight {
                Some(_) => factors,
                None => odd(factors),
            };
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

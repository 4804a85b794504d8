//! The linear head: logits, loss and column sums of X in one pass, whose bits depend on no order of the rows.
//!
//! Needs the feature `linear`, which is not a default: a third more machine code.
//!
//! For features X (n rows, d columns), coefficients β, intercept b and offset o:
//!
//! | quantity | formula | by |
//! |---|---|---|
//! | logit | z_i = Σ_j x_ij β_j + b + o_i | [`Head::logits`] |
//! | prediction | σ(z_i) | [`Head::predict`] |
//! | residual | r_i, [`Bce`]'s gradient at z_i, t_i: w_i (σ(z_i) − t_i) | |
//! | loss | Σ_i of [`Bce`]'s loss at z_i, t_i, exact | [`Head::sum_gradient`] |
//! | gradient by β_j and b | Σ_i r_i x_ij, Σ_i r_i | [`Head::sum_gradient`], [`Head::group_gradient`] |
//! | Hessian times v | Σ_i h_i (x_i·v) x_ij, h_i [`Bce`]'s Hessian | [`Head::hessian_vector`] |
//! | Gram matrix | Σ_i h_i x_ij x_ik, or with r_i² or another [`Factor`] for h_i | [`Head::gram`] |
//! | gradient and Gram matrix | both in one pass: a Newton step | [`Head::sum_gradient_gram`] |
//! | column sums | Σ_i y_i x_ij, by group too, y_i a [`Factor`] | [`Head::column_sums`], [`Head::group_sums`] |
//!
//! # The contract
//!
//! The same rows give the same bits, in whatever order, cut into whatever parts and merged in whatever order,
//! row-major or in columns, on any backend, machine and number of threads. Losses are summed exactly, columns
//! to a grid that is fixed by their [scales](ColumnScale): an integer, hence without order. That costs what
//! plain `f64` accumulation costs. See [`ColumnSum`] for the error.
//!
//! # How to use it
//!
//! 1. [`scan`] the data once for the scale of each column. Parts of a data set are scanned apart and their
//!    scales merged, so that all of them use the same.
//! 2. [`Head::start_gradient`] makes the sums of nothing, for these scales and a bound on the residuals.
//! 3. [`Head::sum_gradient`] adds the rows of a matrix. The caller brings the memory: sums and scratch.
//!
//! ```
//! use soft_bce::linear::{ColumnScale, ColumnSum, Features, Head, gradient_scratch, scan};
//! use soft_bce::{Bce, LossSum};
//!
//! let x = Features::rows(&[0.5_f32, -1.0, 2.0, 0.25, -3.0, 1.5], 3, 2)?;
//! let t = [0.9, 0.5, 0.1];
//! let mut scales = [ColumnScale::ZERO; 2];
//! scan(&x, &mut scales)?;
//!
//! let coefficients = [0.75, -0.5];
//! let head = Head::new(&coefficients).intercept(0.125);
//! let mut gradient = [ColumnSum::default(); 3]; // the intercept's is the last
//! head.start_gradient(&scales, head.residual_scale()?, &mut gradient)?;
//! let mut scratch = [0.0; gradient_scratch(3)];
//! let mut loss = LossSum::new();
//! head.sum_gradient(&x, &t, &mut loss, &mut gradient, &mut scratch)?;
//!
//! // The rows in another order, in two parts: the same bits.
//! let (mut left, mut right) = (gradient, gradient);
//! head.start_gradient(&scales, head.residual_scale()?, &mut left)?;
//! head.start_gradient(&scales, head.residual_scale()?, &mut right)?;
//! let (mut first, mut second) = (LossSum::new(), LossSum::new());
//! head.sum_gradient(&x.part(2..3), &t[2..], &mut first, &mut left, &mut scratch)?;
//! head.sum_gradient(&x.part(0..2), &t[..2], &mut second, &mut right, &mut scratch)?;
//! soft_bce::linear::merge(&mut left, &right)?;
//! first.merge(&second);
//! assert_eq!((left, first), (gradient, loss));
//! # Ok::<(), soft_bce::Error>(())
//! ```
//!
//! # Errors
//!
//! Every operation checks in this order, and names what it found: lengths ([`Error::LengthMismatch`], also for
//! scratch that is too short), options and coefficients ([`Error::InvalidCoefficient`]), the scales of sums
//! ([`Error::ScaleMismatch`] unless all have the same for factors, groups and Gram matrix agree on those of the
//! columns, and an intercept's is at least 2^0), groups ([`Error::GroupOutOfRange`]), the number of rows
//! ([`Error::TooManyRows`]), then the rows, of which the first one with an error counts: features that are NaN,
//! infinite or beyond their column's scale ([`Error::FeatureOutOfScale`], whatever the row's weight), offset
//! ([`Error::InvalidOffset`]), weight and target (as in [`Bce`]), a logit beyond the range of the type
//! ([`Error::InvalidLogit`]), a residual or another factor beyond its scale ([`Error::FactorOutOfScale`]). In
//! rows of weight 0 the logit and what follows are not looked at. After an error outputs are NaN, and scales,
//! sums and [`LossSum`]s as they were. No panic.

mod columns;
mod features;
mod gram;
mod logits;
#[cfg(feature = "rayon")]
mod par;
mod sums;
pub(crate) mod walk;

use core::ops::Range;

pub use features::Features;
pub use sums::{ColumnScale, ColumnSum};
pub use walk::Factor;

use crate::bce::Bce;
use crate::dispatch::Backend;
use crate::entry::Real;
use crate::error::Error;
use crate::kernel::Wanted;
use crate::span_sum::SpanSum;
use crate::sum::LossSum;
use crate::walk::{Inputs, Outputs};
use walk::{FACTORS, LogitFunction, Pass, Problem, Sums, Task};

/// A linear model of the logit, with [`Bce`] as its loss.
///
/// ```
/// use soft_bce::linear::{Features, Head};
/// let x = Features::rows(&[1.0, 2.0, 3.0, -4.0], 2, 2)?;
/// let mut p = [0.0; 2];
/// Head::new(&[0.5, -0.25]).predict(&x, &mut p)?;
/// assert_eq!(p[0], 0.5); // logit 1/2 − 1/2
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Head<'a, T: Real> {
    coefficients: &'a [T],
    intercept: Option<T>,
    offset: Option<&'a [T]>,
    bce: Bce<'a, T>,
}

/// The loss at some rows' targets, and what follows from it.
struct Loss<'a, T: Real> {
    bce: Bce<'a, T>,
    t: &'a [T],
}

impl<T: Real> LogitFunction<T> for Loss<'_, T> {
    fn apply(
        &self,
        wanted: Wanted,
        rows: Range<usize>,
        z: &[T],
        outputs: Outputs<'_, T>,
        sum: &mut SpanSum,
    ) -> Result<(), Error> {
        let start = rows.start;
        let weights = self
            .bce
            .weights
            .and_then(|weights| weights.get(rows.clone()));
        let t = self.bce.targets(self.t.get(rows).unwrap_or(&[]));
        let inputs = Inputs::new(z, t, weights);
        let options = self.bce.options()?;
        self.bce
            .run_part(z.len(), wanted, options, inputs, outputs, sum)
            .map_err(|error| error.shifted(start))
    }
}

/// σ(z), as what a gradient is.
struct Sigmoid<'a, T: Real>(Bce<'a, T>);

impl<T: Real> LogitFunction<T> for Sigmoid<'_, T> {
    fn apply(
        &self,
        wanted: Wanted,
        _: Range<usize>,
        z: &[T],
        outputs: Outputs<'_, T>,
        _: &mut SpanSum,
    ) -> Result<(), Error> {
        self.0.predict(wanted, z, outputs.gradient)
    }
}

/// Where logits are all that is asked for.
struct Nothing;

impl<T> LogitFunction<T> for Nothing {
    fn apply(
        &self,
        _: Wanted,
        _: Range<usize>,
        _: &[T],
        _: Outputs<'_, T>,
        _: &mut SpanSum,
    ) -> Result<(), Error> {
        Ok(())
    }
}

/// The length of the scratch that gradients, column sums and Hessians times vectors need, for d columns, plus
/// one if there is an intercept.
#[must_use]
pub const fn gradient_scratch(width: usize) -> usize {
    FACTORS + columns::scratch_length(width)
}

/// The length of the scratch that [`Head::gram`] needs, for d columns, plus one if there is an intercept.
#[must_use]
pub const fn gram_scratch(width: usize) -> usize {
    FACTORS + gram::scratch_length(width)
}

/// The same for [`Head::sum_gradient_gram`].
#[must_use]
pub const fn gradient_gram_scratch(width: usize) -> usize {
    FACTORS + columns::scratch_length(width) + gram::scratch_length(width)
}

/// The length of a Gram matrix: its lower triangle, row by row. Element (j, k), k <= j, is at j (j + 1)/2 + k.
///
/// ```
/// assert_eq!(soft_bce::linear::gram_length(3), 6);
/// ```
#[must_use]
pub const fn gram_length(width: usize) -> usize {
    width.saturating_mul(width.saturating_add(1)) / 2
}

/// Merges the scale of every column of `x` into `scales`: the power of two that no |x_ij| exceeds.
///
/// # Errors
/// [`Error::LengthMismatch`] unless there is a scale for each column; [`Error::FeatureOutOfScale`] for the
/// first row with an element that is NaN, infinite or beyond 2^959, after which `scales` is as it was.
///
/// ```
/// use soft_bce::Error;
/// use soft_bce::linear::{ColumnScale, Features, scan};
/// let mut scales = [ColumnScale::ZERO; 2];
/// scan(&Features::rows(&[0.7, -3.0, 0.1, 2.0], 2, 2)?, &mut scales)?;
/// assert_eq!(scales.map(ColumnScale::exponent), [0, 2]);
/// let bad = scan(&Features::rows(&[9.0, f64::INFINITY], 1, 2)?, &mut scales);
/// assert!(matches!(bad, Err(Error::FeatureOutOfScale { row: 0, column: 1, .. })));
/// assert_eq!(scales.map(ColumnScale::exponent), [0, 2]);
/// # Ok::<(), soft_bce::Error>(())
/// ```
pub fn scan<T: Real>(x: &Features<'_, T>, scales: &mut [ColumnScale]) -> Result<(), Error> {
    check_length("scales", x.column_count(), scales.len())?;
    if scales.is_empty() {
        return Ok(()); // whatever the number of rows, which no memory limits
    }
    T::linear(Pass {
        backend: Backend::detect(),
        problem: Problem {
            x: *x,
            coefficients: &[],
            intercept: None,
            offset: None,
            weights: None,
            function: &Nothing,
            task: Task::Scan(scales),
        },
        sums: &mut [],
        gram: &mut [],
        total: &mut SpanSum::default(),
        scratch: &mut [],
    })
}

/// Merges each sum of `others` into its counterpart in `sums`, or none of them.
///
/// # Errors
/// [`Error::LengthMismatch`]; [`Error::ScaleMismatch`] with the first index where the scales differ;
/// [`Error::TooManyRows`].
pub fn merge(sums: &mut [ColumnSum], others: &[ColumnSum]) -> Result<(), Error> {
    check_length("others", sums.len(), others.len())?;
    for (index, (sum, other)) in sums.iter().zip(others).enumerate() {
        sum.check_merge(other, index)?;
    }
    for (sum, other) in sums.iter_mut().zip(others) {
        sum.merge_checked(other);
    }
    Ok(())
}

impl<'a, T: Real> Head<'a, T> {
    /// β alone: no intercept, no offset, the plain loss.
    #[must_use]
    pub const fn new(coefficients: &'a [T]) -> Self {
        Self {
            coefficients,
            intercept: None,
            offset: None,
            bce: Bce::new(),
        }
    }

    /// b, added to every logit. Sums then have one element more, the last, as if X had a last column of ones.
    #[must_use]
    pub const fn intercept(mut self, intercept: T) -> Self {
        self.intercept = Some(intercept);
        self
    }

    /// o, one element a row, added to the logit: the logarithm of an exposure, or another model's logit.
    #[must_use]
    pub const fn offset(mut self, offset: &'a [T]) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The loss with its options and backend; weights are one a row.
    ///
    /// With a [`temperature`](Bce::temperature) residuals and Hessians are derivatives by the undivided logit,
    /// so that sums are those by the coefficients as they stand. With [`logit_targets`](Bce::logit_targets) `t`
    /// holds a teacher's logits. Every call is [`Error::UnsupportedOptions`] with
    /// [`row_weights`](Bce::row_weights) and [`pos_weights`](Bce::pos_weights), which need rows of several
    /// classes, and with a loss other than cross-entropy: of those the Hessian may be negative, and no bound
    /// on it follows from the weights.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// use soft_bce::linear::{Features, Head};
    /// let x = Features::rows(&[1.0, 2.0], 2, 1)?;
    /// let head = Head::new(&[0.75]).bce(Bce::new().temperature(3.0));
    /// let mut p = [0.0; 2];
    /// head.predict(&x, &mut p)?;
    /// assert!((p[0] - 1.0 / (1.0 + (-0.25_f64).exp())).abs() < 2e-16);
    /// assert_eq!(head.residual_scale()?.bound(), 0.5); // above 1/3
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub const fn bce(mut self, bce: Bce<'a, T>) -> Self {
        self.bce = bce;
        self
    }

    /// How many sums a gradient has: d, plus one if there is an intercept.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.coefficients.len() + self.intercept.is_some() as usize
    }

    /// A bound on |r_i|: the largest weight, times `pos_weight` if that is more than 1, over the temperature
    /// (and 2^−20 of that more, for roundings, if there is either). Of parts of a data set, merge them.
    ///
    /// Near the optimum residuals may be smaller. A tighter bound, [`ColumnScale::of`] the largest of the
    /// iteration before, gains as many bits; a residual beyond it is [`Error::FactorOutOfScale`], and the pass
    /// is to be repeated.
    ///
    /// # Errors
    /// Of the options and weights, as in [`Bce`].
    pub fn residual_scale(&self) -> Result<ColumnScale, Error> {
        self.factor_scale(Factor::Residual)
    }

    /// A bound on h_i: a quarter of that on the residuals, over the temperature once more.
    ///
    /// # Errors
    /// As [`residual_scale`](Self::residual_scale).
    pub fn hessian_scale(&self) -> Result<ColumnScale, Error> {
        self.factor_scale(Factor::Hessian)
    }

    /// A bound on all factors of this kind: the largest of those that are given.
    ///
    /// # Errors
    /// As [`residual_scale`](Self::residual_scale); [`Error::ScaleOutOfRange`] beyond 2^959, and if a factor is
    /// not a number.
    ///
    /// ```
    /// use soft_bce::linear::{Factor, Head};
    /// let head = Head::new(&[0.5]);
    /// assert_eq!(head.factor_scale(Factor::SquaredResidual)?.bound(), 1.0);
    /// assert_eq!(head.factor_scale(Factor::Given(&[1.0, -3.0]))?.bound(), 4.0);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn factor_scale(&self, factor: Factor<'_, T>) -> Result<ColumnScale, Error> {
        if let Factor::Given(given) = factor {
            let mut scale = ColumnScale::ZERO;
            for factor in given {
                scale = scale.merge(ColumnScale::of(factor.as_f64())?);
            }
            return Ok(scale);
        }
        let [gradient, hessian] = self.bce.largest_factors()?;
        ColumnScale::of(match factor {
            Factor::Hessian => hessian,
            Factor::SquaredResidual => gradient * gradient,
            _ => gradient,
        })
    }

    /// A bound on |h_i (x_i·v + c)|, for [`hessian_vector`](Self::hessian_vector).
    ///
    /// # Errors
    /// As [`residual_scale`](Self::residual_scale), and [`Error::LengthMismatch`] unless there are d scales
    /// and `direction` is as long as the gradient.
    pub fn hessian_vector_scale(
        &self,
        scales: &[ColumnScale],
        direction: &[T],
    ) -> Result<ColumnScale, Error> {
        check_length("scales", self.coefficients.len(), scales.len())?;
        check_length("direction", self.width(), direction.len())?;
        // What the roundings of a dot product may add.
        const SLACK: f64 = 1.0 + 1.0 / 128.0;
        let mut bound = 0.0;
        let bounds = scales.iter().map(|scale| scale.bound());
        for (bound_of_column, v) in bounds.chain([1.0]).zip(direction) {
            bound += bound_of_column * v.as_f64().abs();
        }
        ColumnScale::of(self.hessian_scale()?.bound() * bound * SLACK)
    }

    /// Fills `sums` with the sums of no rows, for features of these scales and factors of that one.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] unless there are d scales and [`width`](Self::width) sums;
    /// [`Error::ScaleOutOfRange`] if a product could exceed 2^959.
    pub fn start_gradient(
        &self,
        scales: &[ColumnScale],
        factor: ColumnScale,
        sums: &mut [ColumnSum],
    ) -> Result<(), Error> {
        check_length("scales", self.coefficients.len(), scales.len())?;
        check_length("sums", self.width(), sums.len())?;
        for scale in scales {
            ColumnSum::new(*scale, factor)?;
        }
        let scales = scales.iter().chain([&ColumnScale::ONE]);
        for (sum, scale) in sums.iter_mut().zip(scales) {
            *sum = ColumnSum::new(*scale, factor)?;
        }
        Ok(())
    }

    /// The same for a Gram matrix.
    ///
    /// # Errors
    /// As [`start_gradient`](Self::start_gradient), with [`gram_length`] sums.
    pub fn start_gram(
        &self,
        scales: &[ColumnScale],
        factor: ColumnScale,
        sums: &mut [ColumnSum],
    ) -> Result<(), Error> {
        check_length("scales", self.coefficients.len(), scales.len())?;
        check_length("sums", gram_length(self.width()), sums.len())?;
        let greatest = scales.iter().copied().max().unwrap_or(ColumnScale::ONE);
        ColumnSum::of_products(greatest, greatest, factor)?;
        let scales = scales.iter().chain([&ColumnScale::ONE]);
        let mut sums = sums.iter_mut();
        for (row, left) in scales.clone().enumerate() {
            for (right, sum) in scales.clone().take(row + 1).zip(&mut sums) {
                *sum = ColumnSum::of_products(*left, *right, factor)?;
            }
        }
        Ok(())
    }

    /// Writes the logit of every row.
    ///
    /// Its bits depend on no layout and no vector width: sixteen partial sums, of the columns that are equal
    /// modulo 16, by FMA in ascending order, are added up as a tree; then intercept and offset.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors); weights are not looked at, nor is their number.
    pub fn logits(&self, x: &Features<'_, T>, z: &mut [T]) -> Result<(), Error> {
        let result = check_length("z", x.row_count(), z.len())
            .and_then(|()| self.run(x, Task::Logits(&mut *z), &Nothing, Into::default()));
        if result.is_err() {
            z.fill(T::NAN);
        }
        result
    }

    /// Writes σ(z) of every row, or σ(z/T) if the loss has a [`temperature`](Bce::temperature) T.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors); weights are not looked at, nor is their number.
    pub fn predict(&self, x: &Features<'_, T>, p: &mut [T]) -> Result<(), Error> {
        let sigmoid = Sigmoid(self.bce);
        let result = check_length("p", x.row_count(), p.len())
            .and_then(|()| self.run(x, Task::Predict(&mut *p), &sigmoid, Into::default()));
        if result.is_err() {
            p.fill(T::NAN);
        }
        result
    }

    /// Adds the losses of all rows to `loss`, and r_i x_ij (and r_i) to `gradient`, in one pass over X.
    ///
    /// `scratch` has at least [`gradient_scratch`]`(width)` elements, whatever they are. The mean's gradient is
    /// the sums divided by the total weight.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors).
    pub fn sum_gradient(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        loss: &mut LossSum,
        gradient: &mut [ColumnSum],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        check_length("gradient", self.width(), gradient.len())?;
        self.gradient(x, t, &[], loss, gradient, scratch)
    }

    /// As [`sum_gradient`](Self::sum_gradient), the sums of each group of rows apart: what cluster-robust standard
    /// errors are made of. Row i belongs to group `groups[i]`, whose sums start at `groups[i] * width`.
    ///
    /// Fast where rows of a group follow each other; right in any order.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors).
    ///
    /// ```
    /// use soft_bce::LossSum;
    /// use soft_bce::linear::{ColumnScale, ColumnSum, Features, Head, gradient_scratch, merge, scan};
    /// let x = Features::rows(&[0.5, -1.0, 2.0], 3, 1)?;
    /// let mut scales = [ColumnScale::ZERO];
    /// scan(&x, &mut scales)?;
    /// let (head, t, groups) = (Head::new(&[0.5]), [1.0, 0.5, 0.25], [1, 0, 1]);
    /// let mut sums = [ColumnSum::default(); 2];
    /// for sum in sums.chunks_mut(1) {
    ///     head.start_gradient(&scales, ColumnScale::ONE, sum)?;
    /// }
    /// let mut whole = [sums[0]];
    /// let (mut loss, mut scratch) = (LossSum::new(), [0.0; gradient_scratch(1)]);
    /// head.group_gradient(&x, &t, &groups, &mut loss, &mut sums, &mut scratch)?;
    /// head.sum_gradient(&x, &t, &mut loss, &mut whole, &mut scratch)?;
    /// assert_eq!(sums[0].units() + sums[1].units(), whole[0].units());
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn group_gradient(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        groups: &[u32],
        loss: &mut LossSum,
        gradient: &mut [ColumnSum],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        self.check_group_lengths(x, groups, "gradient", gradient)?;
        self.gradient(x, t, groups, loss, gradient, scratch)
    }

    fn gradient(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        groups: &[u32],
        loss: &mut LossSum,
        gradient: &mut [ColumnSum],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        check_scratch(gradient_scratch(self.width()), scratch)?;
        let sums = Sums {
            columns: Some(Factor::Residual),
            groups,
            loss: true,
            ..Sums::default()
        };
        let into = Into {
            sums: gradient,
            loss: Some(loss),
            scratch,
            ..Into::default()
        };
        self.add(x, t, sums, into)
    }

    /// Adds y_i x_ij (and y_i) to `sums`, for any [`Factor`] y_i: sums and means of columns, corrected scores,
    /// average marginal effects.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors).
    ///
    /// ```
    /// use soft_bce::linear::{ColumnScale, ColumnSum, Factor, Features, Head, gradient_scratch, scan};
    /// let x = Features::rows(&[1.0, 2.0, 3.0, -4.0], 2, 2)?;
    /// let mut scales = [ColumnScale::ZERO; 2];
    /// scan(&x, &mut scales)?;
    /// let (head, given) = (Head::new(&[0.0, 0.0]), Factor::Given(&[1.0, 0.5]));
    /// let mut sums = [ColumnSum::default(); 2];
    /// head.start_gradient(&scales, head.factor_scale(given)?, &mut sums)?;
    /// head.column_sums(&x, &[], given, &mut sums, &mut [0.0; gradient_scratch(2)])?;
    /// assert_eq!(sums.map(|sum| sum.to_f64()), [1.0 + 1.5, 2.0 - 2.0]);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn column_sums(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        factor: Factor<'_, T>,
        sums: &mut [ColumnSum],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        check_length("sums", self.width(), sums.len())?;
        self.columns(x, t, factor, &[], sums, scratch)
    }

    /// As [`column_sums`](Self::column_sums), the sums of each group of rows apart, as in
    /// [`group_gradient`](Self::group_gradient): the part of a Gram matrix that belongs to a feature of
    /// many levels, without a column for each.
    ///
    /// # Errors
    /// As [`group_gradient`](Self::group_gradient).
    pub fn group_sums(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        factor: Factor<'_, T>,
        groups: &[u32],
        sums: &mut [ColumnSum],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        self.check_group_lengths(x, groups, "sums", sums)?;
        self.columns(x, t, factor, groups, sums, scratch)
    }

    fn columns(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        factor: Factor<'_, T>,
        groups: &[u32],
        sums: &mut [ColumnSum],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        check_scratch(gradient_scratch(self.width()), scratch)?;
        let of = Sums {
            columns: Some(factor),
            groups,
            ..Sums::default()
        };
        let into = Into {
            sums,
            scratch,
            ..Into::default()
        };
        self.add(x, t, of, into)
    }

    /// Adds h_i (x_i·v + c) x_ij (and h_i (x_i·v + c)) to `sums`: the Hessian by the coefficients, times
    /// (v, c), `direction`, which is as long as the gradient. For conjugate gradients and trust regions.
    ///
    /// x_i·v is summed as a logit is, the product with h_i rounded once more to `T`.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors).
    pub fn hessian_vector(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        direction: &[T],
        sums: &mut [ColumnSum],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        check_length("direction", self.width(), direction.len())?;
        check_length("sums", self.width(), sums.len())?;
        check_scratch(gradient_scratch(self.width()), scratch)?;
        let (direction, constant) = direction
            .split_at_checked(self.coefficients.len())
            .unwrap_or_default();
        let of = Sums {
            columns: Some(Factor::Hessian),
            direction: Some((direction, constant.first().copied().unwrap_or(T::ZERO))),
            ..Sums::default()
        };
        let into = Into {
            sums,
            scratch,
            ..Into::default()
        };
        self.add(x, t, of, into)
    }

    /// Adds y_i x_ij x_ik to `sums`, for all k <= j and a [`Factor`] y_i: the lower triangle of X' diag(y) X, row
    /// by row, of [`gram_length`] elements. An intercept is a last column of ones.
    ///
    /// y_i x_ij is rounded to `f64`, which is exact for `f32` features and Hessians.
    /// `scratch` has at least [`gram_scratch`]`(width)` elements, whatever they are.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors).
    ///
    /// ```
    /// use soft_bce::linear::{ColumnScale, ColumnSum, Factor, Features, Head, gram_scratch, scan};
    /// let x = Features::rows(&[1.0, 2.0, 3.0, -4.0], 2, 2)?;
    /// let mut scales = [ColumnScale::ZERO; 2];
    /// scan(&x, &mut scales)?;
    /// let head = Head::new(&[0.0, 0.0]); // so that every h is 1/4
    /// let mut sums = [ColumnSum::default(); 3];
    /// head.start_gram(&scales, head.hessian_scale()?, &mut sums)?;
    /// let mut scratch = [0.0; gram_scratch(2)];
    /// head.gram(&x, &[0.5; 2], Factor::Hessian, &mut sums, &mut scratch)?;
    /// assert_eq!(sums.map(|sum| sum.to_f64()), [10.0 / 4.0, -10.0 / 4.0, 20.0 / 4.0]);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn gram(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        factor: Factor<'_, T>,
        sums: &mut [ColumnSum],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        check_length("sums", gram_length(self.width()), sums.len())?;
        check_scratch(gram_scratch(self.width()), scratch)?;
        let of = Sums {
            gram: Some(factor),
            ..Sums::default()
        };
        let into = Into {
            gram: sums,
            scratch,
            ..Into::default()
        };
        self.add(x, t, of, into)
    }

    /// [`sum_gradient`](Self::sum_gradient) and [`gram`](Self::gram) in one pass over X: with
    /// [`Factor::Hessian`] all that a Newton step needs. The same bits as either.
    ///
    /// `scratch` has at least [`gradient_gram_scratch`]`(width)` elements, whatever they are.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors); the index of [`Error::ScaleMismatch`] is that in `gradient` if a
    /// column's scale is not the same in `gram`.
    ///
    /// ```
    /// use soft_bce::LossSum;
    /// use soft_bce::linear::{
    ///     ColumnScale, ColumnSum, Factor, Features, Head, gradient_gram_scratch, scan,
    /// };
    /// let x = Features::rows(&[1.0, 2.0, 3.0], 3, 1)?;
    /// let mut scales = [ColumnScale::ZERO];
    /// scan(&x, &mut scales)?;
    /// let head = Head::new(&[0.0]);
    /// let (mut gradient, mut gram) = ([ColumnSum::default()], [ColumnSum::default()]);
    /// head.start_gradient(&scales, head.residual_scale()?, &mut gradient)?;
    /// head.start_gram(&scales, head.hessian_scale()?, &mut gram)?;
    /// let (mut loss, mut scratch) = (LossSum::new(), [0.0; gradient_gram_scratch(1)]);
    /// let (t, factor) = ([0.5, 0.25, 1.0], Factor::Hessian);
    /// head.sum_gradient_gram(&x, &t, factor, &mut loss, &mut gradient, &mut gram, &mut scratch)?;
    /// let step = gradient[0].to_f64() / gram[0].to_f64();
    /// assert_eq!(step, (0.5 - 1.5) / (14.0 / 4.0));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[allow(clippy::too_many_arguments, reason = "inputs, outputs, scratch")]
    pub fn sum_gradient_gram(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        factor: Factor<'_, T>,
        loss: &mut LossSum,
        gradient: &mut [ColumnSum],
        gram: &mut [ColumnSum],
        scratch: &mut [f64],
    ) -> Result<(), Error> {
        let width = self.width();
        check_length("gradient", width, gradient.len())?;
        check_length("gram", gram_length(width), gram.len())?;
        check_scratch(gradient_gram_scratch(width), scratch)?;
        let of = Sums {
            columns: Some(Factor::Residual),
            gram: Some(factor),
            loss: true,
            ..Sums::default()
        };
        let into = Into {
            sums: gradient,
            gram,
            loss: Some(loss),
            scratch,
        };
        self.add(x, t, of, into)
    }

    /// That the bounds on which accumulators rely are those that are checked: one on the factors, that of the
    /// first sum, and one a column, on which groups and the Gram matrix agree.
    fn check_scales(&self, into: &Into<'_>) -> Result<(), Error> {
        let width = self.width();
        let factor_of = |sums: &[ColumnSum]| sums.first().map_or(0, ColumnSum::factor_exponent);
        let check = |index, sum: &ColumnSum, factor, [left, right]: [i32; 2], column: usize| {
            // The features of an intercept are ones.
            let least = if column < self.coefficients.len() {
                i32::MIN
            } else {
                0
            };
            let valid = sum.factor_exponent() == factor
                && sum.column_exponent() == left + right
                && left >= least
                && ColumnScale::from_exponent(left).is_some();
            valid.then_some(()).ok_or(Error::ScaleMismatch { index })
        };
        let factor = factor_of(into.gram);
        let mut elements = into.gram.iter().enumerate();
        for row in 0..width {
            for (column, (index, sum)) in (0..=row).zip(&mut elements) {
                let scales = [row, column].map(|of| gram::column_exponent(into.gram, of));
                check(index, sum, factor, scales, row)?;
            }
        }
        let factor = factor_of(into.sums);
        for (index, sum) in into.sums.iter().enumerate() {
            let column = index % width.max(1);
            let scale = match &*into.gram {
                [] => into.sums.get(column).map_or(0, ColumnSum::column_exponent),
                gram => gram::column_exponent(gram, column),
            };
            check(index, sum, factor, [scale, 0], column)?;
        }
        Ok(())
    }

    fn check_group_lengths(
        &self,
        x: &Features<'_, T>,
        groups: &[u32],
        argument: &'static str,
        sums: &[ColumnSum],
    ) -> Result<(), Error> {
        check_length("groups", x.row_count(), groups.len())?;
        let width = self.width();
        let count = sums.len().checked_div(width).unwrap_or(0);
        check_length(argument, count * width, sums.len())
    }

    /// Adds to sums, whose lengths are valid.
    fn add(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        sums: Sums<'_, T>,
        into: Into<'_>,
    ) -> Result<(), Error> {
        let rows = x.row_count();
        for factor in [sums.columns, sums.gram] {
            if let Some(Factor::Given(given)) = factor {
                check_length("factors", rows, given.len())?;
            }
        }
        let task = Task::Sums(sums);
        if task.needs_logits() {
            check_length("t", rows, t.len())?;
        }
        self.run(x, task, &Loss { bce: self.bce, t }, into)
    }

    /// A pass whose lengths are valid but for those that concern every task.
    fn run(
        &self,
        x: &Features<'_, T>,
        task: Task<'_, T>,
        function: &dyn LogitFunction<T>,
        into: Into<'_>,
    ) -> Result<(), Error> {
        check_length("coefficients", x.column_count(), self.coefficients.len())?;
        let weights = match task {
            Task::Sums(_) => self.bce.weights,
            _ => None,
        };
        if task.needs_logits() {
            let per_row = [("offset", self.offset), ("weights", weights)];
            for (argument, of) in per_row {
                let rows = x.row_count();
                check_length(argument, rows, of.map_or(rows, <[T]>::len))?;
            }
        }
        self.bce.options_of_vector()?;
        if let Some(intercept) = self.intercept
            && !intercept.as_f64().is_finite()
        {
            return Err(Error::InvalidOption {
                option: "intercept",
                value: intercept.as_f64(),
                range: "finite",
            });
        }
        check_finite(self.coefficients)?;
        if let Task::Sums(sums) = &task {
            if let Some((direction, constant)) = sums.direction {
                check_finite(direction)?;
                let (index, value) = (direction.len(), constant.as_f64());
                if !value.is_finite() {
                    return Err(Error::InvalidCoefficient { index, value });
                }
            }
            self.check_scales(&into)?;
            // Without columns there are no sums to want, whatever the group.
            let count = into.sums.len().checked_div(self.width());
            for (row, &group) in sums.groups.iter().enumerate() {
                if count.is_some_and(|count| group as usize >= count) {
                    return Err(Error::GroupOutOfRange { row, group });
                }
            }
        }
        let mut total = SpanSum::default();
        T::linear(Pass {
            backend: self.bce.backend_or_fastest(),
            problem: Problem {
                x: *x,
                coefficients: self.coefficients,
                intercept: self.intercept,
                offset: self.offset,
                weights,
                function,
                task,
            },
            sums: into.sums,
            gram: into.gram,
            total: &mut total,
            scratch: into.scratch,
        })?;
        if let Some(loss) = into.loss {
            loss.merge(&total.into_state(x.row_count()));
        }
        Ok(())
    }

    /// The same for these rows alone.
    #[cfg(feature = "rayon")]
    fn part(&self, rows: Range<usize>) -> Self {
        let part = |of: &'a [T]| of.get(rows.clone()).unwrap_or(&[]);
        let mut head = *self;
        head.offset = self.offset.map(part);
        head.bce.weights = self.bce.weights.map(part);
        head
    }
}

fn check_length(argument: &'static str, expected: usize, found: usize) -> Result<(), Error> {
    if found == expected {
        Ok(())
    } else {
        Err(Error::LengthMismatch {
            argument,
            expected,
            found,
        })
    }
}

/// Where a pass adds to.
#[derive(Default)]
struct Into<'a> {
    sums: &'a mut [ColumnSum],
    gram: &'a mut [ColumnSum],
    loss: Option<&'a mut LossSum>,
    scratch: &'a mut [f64],
}

fn check_scratch(expected: usize, scratch: &[f64]) -> Result<(), Error> {
    check_length("scratch", expected, scratch.len().min(expected))
}

fn check_finite<T: Real>(coefficients: &[T]) -> Result<(), Error> {
    for (index, coefficient) in coefficients.iter().enumerate() {
        let value = coefficient.as_f64();
        if !value.is_finite() {
            return Err(Error::InvalidCoefficient { index, value });
        }
    }
    Ok(())
}

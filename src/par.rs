//! The entry points on all threads of the current `rayon` pool, for large slices.
//!
//! The bits do not depend on the number of threads: elements do not depend on
//! each other, and sums are exact until their one rounding.

use crate::bce::{Bce, GRADIENT, GRADIENT_HESSIAN, LOSS, SUM};
use crate::entry::Real;
use crate::error::Error;
use crate::kernel::Wanted;
use crate::span_sum::SpanSum;
use crate::sum::LossSum;
use crate::walk::{Inputs, Outputs, Targets};

/// Below this many elements a thread costs more than it brings.
const LEAST: usize = 1 << 14;

/// A call on the whole slices or, after splitting, on a part that starts at `start`.
struct Chunk<'a, T> {
    inputs: Inputs<'a, T>,
    outputs: Outputs<'a, T>,
    start: usize,
}

impl<'a, T: Real> Chunk<'a, T> {
    fn split(self) -> (Self, Self) {
        let at = (self.inputs.z.len() / 2).next_multiple_of(64);
        let cut = |of: &'a [T]| of.split_at_checked(at).unwrap_or((of, &[]));
        let cut_mut = |of: &'a mut [T]| match of.len() {
            0 => (&mut [][..], &mut [][..]),
            length => of.split_at_mut(at.min(length)),
        };
        let z = cut(self.inputs.z);
        let t = match self.inputs.t {
            Targets::Each(t) => {
                let t = cut(t);
                (Targets::Each(t.0), Targets::Each(t.1))
            }
            all => (all, all),
        };
        let weights = self.inputs.weights.map(cut).unzip();
        let loss = cut_mut(self.outputs.loss);
        let gradient = cut_mut(self.outputs.gradient);
        let hessian = cut_mut(self.outputs.hessian);
        let chunk = |z, t, weights, loss, gradient, hessian, start| Self {
            inputs: Inputs { z, t, weights },
            outputs: Outputs {
                loss,
                gradient,
                hessian,
                ..Outputs::default()
            },
            start,
        };
        let Self { start, .. } = self;
        (
            chunk(z.0, t.0, weights.0, loss.0, gradient.0, hessian.0, start),
            chunk(
                z.1,
                t.1,
                weights.1,
                loss.1,
                gradient.1,
                hessian.1,
                start + at,
            ),
        )
    }
}

impl<T: Real> Bce<'_, T> {
    /// [`loss`](Self::loss), in parallel.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut out = [0.0; 1];
    /// Bce::new().par_loss(&[0.0], &[0.5], &mut out)?;
    /// assert_eq!(out, [std::f64::consts::LN_2]);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_loss(&self, z: &[T], t: &[T], out: &mut [T]) -> Result<(), Error> {
        let outputs = Outputs {
            loss: out,
            ..Outputs::default()
        };
        self.par(LOSS, z, t, outputs).map(drop)
    }

    /// [`sum`](Self::sum), in parallel: the same bits on any number of threads.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (z, t) = (vec![0.1_f32; 100_000], vec![0.3_f32; 100_000]);
    /// let bce = Bce::new();
    /// assert_eq!(bce.par_sum(&z, &t)?, bce.sum(&z, &t)?);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_sum(&self, z: &[T], t: &[T]) -> Result<f64, Error> {
        Ok(self.par(SUM, z, t, Outputs::default())?.to_f64())
    }

    /// [`gradient`](Self::gradient), in parallel.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut gradient = [0.0; 1];
    /// Bce::new().par_gradient(&[0.0], &[0.25], &mut gradient)?;
    /// assert_eq!(gradient, [0.25_f32]);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_gradient(&self, z: &[T], t: &[T], out: &mut [T]) -> Result<(), Error> {
        let outputs = Outputs {
            gradient: out,
            ..Outputs::default()
        };
        self.par(GRADIENT, z, t, outputs).map(drop)
    }

    /// [`sum_gradient`](Self::sum_gradient), in parallel.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut gradient = [0.0; 1];
    /// let sum = Bce::new().par_sum_gradient(&[0.0], &[0.5], &mut gradient)?;
    /// assert_eq!((sum, gradient), (std::f64::consts::LN_2, [0.0_f64]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_sum_gradient(&self, z: &[T], t: &[T], gradient: &mut [T]) -> Result<f64, Error> {
        let outputs = Outputs {
            gradient,
            ..Outputs::default()
        };
        Ok(self.par(SUM.and(GRADIENT), z, t, outputs)?.to_f64())
    }

    /// [`gradient_hessian`](Self::gradient_hessian), in parallel.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (mut gradient, mut hessian) = ([0.0], [0.0]);
    /// Bce::new().par_gradient_hessian(&[0.0], &[1.0], &mut gradient, &mut hessian)?;
    /// assert_eq!((gradient, hessian), ([-0.5_f32], [0.25]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_gradient_hessian(
        &self,
        z: &[T],
        t: &[T],
        gradient: &mut [T],
        hessian: &mut [T],
    ) -> Result<(), Error> {
        let outputs = Outputs {
            gradient,
            hessian,
            ..Outputs::default()
        };
        self.par(GRADIENT_HESSIAN, z, t, outputs).map(drop)
    }

    /// [`sum_gradient_hessian`](Self::sum_gradient_hessian), in parallel.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let (mut gradient, mut hessian) = ([0.0], [0.0]);
    /// let sum = Bce::new().par_sum_gradient_hessian(&[0.0], &[0.5], &mut gradient, &mut hessian)?;
    /// assert_eq!((sum, gradient, hessian), (std::f64::consts::LN_2, [0.0_f64], [0.25]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_sum_gradient_hessian(
        &self,
        z: &[T],
        t: &[T],
        gradient: &mut [T],
        hessian: &mut [T],
    ) -> Result<f64, Error> {
        let outputs = Outputs {
            gradient,
            hessian,
            ..Outputs::default()
        };
        Ok(self.par(SUM.and(GRADIENT_HESSIAN), z, t, outputs)?.to_f64())
    }

    /// [`accumulate`](Self::accumulate), in parallel.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does).
    ///
    /// ```
    /// use soft_bce::{Bce, LossSum};
    /// let mut sum = LossSum::new();
    /// Bce::new().par_accumulate(&[0.0_f64], &[0.5], &mut sum)?;
    /// assert_eq!((sum.to_f64(), sum.count()), (std::f64::consts::LN_2, 1));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_accumulate(&self, z: &[T], t: &[T], sum: &mut LossSum) -> Result<(), Error> {
        sum.merge(&self.par(SUM, z, t, Outputs::default())?);
        Ok(())
    }

    fn par(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        mut outputs: Outputs<'_, T>,
    ) -> Result<LossSum, Error> {
        self.check_lengths(wanted, z, t, &outputs)?;
        self.options()?;
        let parts = 4 * rayon::current_num_threads();
        let leaf = (z.len().div_ceil(parts)).max(LEAST);
        let part = Chunk {
            inputs: Inputs {
                z,
                t: Targets::Each(t),
                weights: self.weights,
            },
            outputs: outputs.reborrow(),
            start: 0,
        };
        let result = self.par_chunk(wanted, part, leaf);
        if result.is_err() {
            outputs.poison();
        }
        result
    }

    /// The error of the lowest index wins, as in one thread.
    fn par_chunk(&self, wanted: Wanted, part: Chunk<'_, T>, leaf: usize) -> Result<LossSum, Error> {
        if part.inputs.z.len() > leaf {
            let (left, right) = part.split();
            let (left, right) = rayon::join(
                || self.par_chunk(wanted, left, leaf),
                || self.par_chunk(wanted, right, leaf),
            );
            let mut sum = left?;
            sum.merge(&right?);
            return Ok(sum);
        }
        let count = part.inputs.z.len();
        let mut total = SpanSum::default();
        self.run(wanted, part.inputs, part.outputs, &mut total)
            .map_err(|error| error.shifted(part.start))?;
        let mut sum = LossSum::new();
        total.add_to(&mut sum, count);
        Ok(sum)
    }
}

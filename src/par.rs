//! The entry points on all threads of the current `rayon` pool, for large slices.
//!
//! The bits do not depend on the number of threads: elements do not depend on
//! each other, and sums are exact until their one rounding.

use crate::bce::{Bce, GRADIENT, GRADIENT_HESSIAN, LOSS, SUM, count};
use crate::entry::Real;
use crate::error::Error;
use crate::kernel::{SmoothedWeighted, Wanted};
use crate::span_sum::SpanSum;
use crate::sum::LossSum;
use crate::walk::{Inputs, Outputs};

/// Below this many elements a thread costs more than it brings.
const LEAST: usize = 1 << 14;

/// A call on the whole slices or, after splitting, on a part.
struct Chunk<'a, T> {
    inputs: Inputs<'a, T>,
    outputs: Outputs<'a, T>,
}

impl<'a, T: Real> Chunk<'a, T> {
    fn split(mut self) -> (Self, Self) {
        let at = (self.inputs.z.len() / 2).next_multiple_of(64);
        let first = Self {
            inputs: self.inputs.take(at),
            outputs: self.outputs.take(at),
        };
        (first, self)
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
    pub fn par_loss(&self, z: &[T], t: &[T], loss: &mut [T]) -> Result<(), Error> {
        let outputs = Outputs {
            loss,
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
    pub fn par_gradient(&self, z: &[T], t: &[T], gradient: &mut [T]) -> Result<(), Error> {
        let outputs = Outputs {
            gradient,
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

    /// [`mean`](Self::mean), in parallel.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does), and [`Error::Empty`]
    /// for empty slices or a total weight of 0.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// assert_eq!(Bce::<f64>::new().par_mean(&[0.0, 0.0], &[0.5, 1.0])?, std::f64::consts::LN_2);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_mean(&self, z: &[T], t: &[T]) -> Result<f64, Error> {
        self.par_average(SUM, z, t, Outputs::default())
    }

    /// [`mean_gradient`](Self::mean_gradient), in parallel.
    ///
    /// # Errors
    /// As [for every method](Self#what-every-method-does), and [`Error::Empty`]
    /// for empty slices or a total weight of 0.
    ///
    /// ```
    /// use soft_bce::Bce;
    /// let mut gradient = [0.0; 2];
    /// Bce::new().par_mean_gradient(&[0.0, 0.0], &[0.5, 1.0], &mut gradient)?;
    /// assert_eq!(gradient, [0.0_f32, -0.25]);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_mean_gradient(&self, z: &[T], t: &[T], gradient: &mut [T]) -> Result<f64, Error> {
        let outputs = Outputs {
            gradient,
            ..Outputs::default()
        };
        self.par_average(SUM.and(GRADIENT), z, t, outputs)
    }

    fn par_average(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        outputs: Outputs<'_, T>,
    ) -> Result<f64, Error> {
        self.checked(wanted, z, t, outputs, |options, mut inputs, outputs| {
            let total = if self.is_weighted() {
                let sum = self.par_add_weights(z.len(), inputs, leaf(z.len()))?;
                self.total_weight(&inputs, sum.to_double())?
            } else {
                count(z.len())?
            };
            let mut division = self.division(total);
            loop {
                division.prepare(&mut inputs, outputs);
                let sum = self.par_whole(wanted, options, inputs, outputs.reborrow())?;
                if let Some(mean) = division.mean(sum.to_double(), outputs.gradient) {
                    return Ok(mean);
                }
            }
        })
    }

    fn par_add_weights(
        &self,
        length: usize,
        mut inputs: Inputs<'_, T>,
        leaf: usize,
    ) -> Result<LossSum, Error> {
        let count = inputs.z.len();
        if count > leaf {
            let first = inputs.take(count / 2);
            let (left, right) = rayon::join(
                || self.par_add_weights(length, first, leaf),
                || self.par_add_weights(length, inputs, leaf),
            );
            let mut sum = left?;
            sum.merge(&right?);
            return Ok(sum);
        }
        let mut sum = SpanSum::default();
        self.add_weights(length, inputs, &mut sum)?;
        Ok(sum.into_state(count))
    }

    fn par(
        &self,
        wanted: Wanted,
        z: &[T],
        t: &[T],
        outputs: Outputs<'_, T>,
    ) -> Result<LossSum, Error> {
        self.checked(wanted, z, t, outputs, |options, inputs, outputs| {
            self.par_whole(wanted, options, inputs, outputs.reborrow())
        })
    }

    fn par_whole(
        &self,
        wanted: Wanted,
        options: Option<SmoothedWeighted<T>>,
        inputs: Inputs<'_, T>,
        outputs: Outputs<'_, T>,
    ) -> Result<LossSum, Error> {
        let length = inputs.z.len();
        let chunk = Chunk { inputs, outputs };
        self.par_chunk(length, wanted, options, chunk, leaf(length))
    }

    /// The error of the lowest index wins, as in one thread.
    fn par_chunk(
        &self,
        length: usize,
        wanted: Wanted,
        options: Option<SmoothedWeighted<T>>,
        chunk: Chunk<'_, T>,
        leaf: usize,
    ) -> Result<LossSum, Error> {
        let count = chunk.inputs.z.len();
        if count > leaf {
            let (left, right) = chunk.split();
            let (left, right) = rayon::join(
                || self.par_chunk(length, wanted, options, left, leaf),
                || self.par_chunk(length, wanted, options, right, leaf),
            );
            let mut sum = left?;
            sum.merge(&right?);
            return Ok(sum);
        }
        let mut sum = SpanSum::default();
        let Chunk { inputs, outputs } = chunk;
        self.run_part(length, wanted, options, inputs, outputs, &mut sum)
            .map_err(|error| error.shifted(inputs.start))?;
        Ok(sum.into_state(count))
    }
}

/// The most elements of a call of `count` that one thread takes at a time.
fn leaf(count: usize) -> usize {
    count.div_ceil(4 * rayon::current_num_threads()).max(LEAST)
}

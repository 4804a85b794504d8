//! The passes over the rows on all threads of the current `rayon` pool.
//!
//! The bits do not depend on the number of threads: sums depend on no order and no partition.

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::entry::Real;
use crate::error::Error;
use crate::linear::{
    ColumnSum, Factor, Features, Head, check_length, gradient_gram_scratch, gradient_scratch,
    gram_scratch, merge,
};
use crate::sum::LossSum;

/// Below this many features a thread costs more than it brings.
const LEAST: usize = 1 << 16;

/// What some rows add up to, with scratch of this length.
struct Work<F> {
    sums: Vec<ColumnSum>,
    scratch: usize,
    leaf: usize,
    add: F,
}

impl<F> Work<F>
where
    F: Fn(Range<usize>, &mut LossSum, &mut [ColumnSum], &mut [f64]) -> Result<(), Error> + Sync,
{
    /// The error of the lowest row wins, as in one thread.
    fn run(&self, rows: Range<usize>) -> Result<(LossSum, Vec<ColumnSum>), Error> {
        if rows.len() > self.leaf {
            let middle = rows.start + rows.len() / 2;
            let (left, right) = rayon::join(
                || self.run(rows.start..middle),
                || self.run(middle..rows.end),
            );
            let ((mut loss, mut sums), (other_loss, others)) = (left?, right?);
            loss.merge(&other_loss);
            merge(&mut sums, &others)?;
            return Ok((loss, sums));
        }
        let (start, mut loss, mut sums) = (rows.start, LossSum::new(), self.sums.clone());
        let mut scratch = vec![0.0; self.scratch];
        (self.add)(rows, &mut loss, &mut sums, &mut scratch)
            .map_err(|error| error.shifted(start))?;
        Ok((loss, sums))
    }
}

impl<T: Real> Head<'_, T> {
    /// [`sum_gradient`](Self::sum_gradient) in parallel: the same bits on any number of threads. Allocates.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors).
    ///
    /// ```
    /// use soft_bce::LossSum;
    /// use soft_bce::linear::{ColumnScale, ColumnSum, Features, Head, gradient_scratch, scan};
    /// let (data, t) = (vec![0.25_f32; 100_000], vec![0.75; 50_000]);
    /// let x = Features::rows(&data, 50_000, 2)?;
    /// let mut scales = [ColumnScale::ZERO; 2];
    /// scan(&x, &mut scales)?;
    /// let head = Head::new(&[0.5, -0.125]);
    /// let mut sums = [[ColumnSum::default(); 2]; 2];
    /// for sums in &mut sums {
    ///     head.start_gradient(&scales, ColumnScale::ONE, sums)?;
    /// }
    /// let mut losses = [LossSum::new(), LossSum::new()];
    /// head.par_sum_gradient(&x, &t, &mut losses[0], &mut sums[0])?;
    /// let mut scratch = [0.0; gradient_scratch(2)];
    /// head.sum_gradient(&x, &t, &mut losses[1], &mut sums[1], &mut scratch)?;
    /// assert_eq!((&sums[0], &losses[0]), (&sums[1], &losses[1]));
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    pub fn par_sum_gradient(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        loss: &mut LossSum,
        gradient: &mut [ColumnSum],
    ) -> Result<(), Error> {
        let scratch = gradient_scratch(self.width());
        let found = self.par(x, Some(t), gradient, scratch, |part, sums, scratch| {
            let Part {
                head, x, t, loss, ..
            } = part;
            head.sum_gradient(&x, t, loss, sums, scratch)
        })?;
        loss.merge(&found);
        Ok(())
    }

    /// [`hessian_vector`](Self::hessian_vector) in parallel: the same bits on any number of threads. Allocates.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors).
    pub fn par_hessian_vector(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        direction: &[T],
        sums: &mut [ColumnSum],
    ) -> Result<(), Error> {
        let scratch = gradient_scratch(self.width());
        self.par(x, Some(t), sums, scratch, |part, sums, scratch| {
            let Part { head, x, t, .. } = part;
            head.hessian_vector(&x, t, direction, sums, scratch)
        })?;
        Ok(())
    }

    /// [`gram`](Self::gram) in parallel: the same bits on any number of threads. Allocates.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors).
    pub fn par_gram(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        factor: Factor<'_, T>,
        sums: &mut [ColumnSum],
    ) -> Result<(), Error> {
        let scratch = gram_scratch(self.width());
        if let Factor::Given(given) = factor {
            check_length("factors", x.row_count(), given.len())?;
        }
        let t = match factor {
            Factor::Given(_) => None,
            _ => Some(t),
        };
        self.par(x, t, sums, scratch, |part, sums, scratch| {
            let factor = factor.part(part.rows);
            part.head.gram(&part.x, part.t, factor, sums, scratch)
        })?;
        Ok(())
    }

    /// [`sum_gradient_gram`](Self::sum_gradient_gram) in parallel: the same bits on any number of threads.
    /// Allocates.
    ///
    /// # Errors
    /// See [the module](crate::linear#errors).
    pub fn par_sum_gradient_gram(
        &self,
        x: &Features<'_, T>,
        t: &[T],
        factor: Factor<'_, T>,
        loss: &mut LossSum,
        gradient: &mut [ColumnSum],
        gram: &mut [ColumnSum],
    ) -> Result<(), Error> {
        let scratch = gradient_gram_scratch(self.width());
        if let Factor::Given(given) = factor {
            check_length("factors", x.row_count(), given.len())?;
        }
        let width = self.width();
        check_length("gradient", width, gradient.len())?;
        let mut sums = [&*gradient, &*gram].concat();
        let found = self.par(x, Some(t), &mut sums, scratch, |part, sums, scratch| {
            let Part {
                head,
                x,
                t,
                loss,
                rows,
            } = part;
            let (gradient, gram) = sums.split_at_mut(width);
            head.sum_gradient_gram(&x, t, factor.part(rows), loss, gradient, gram, scratch)
        })?;
        for (to, from) in gradient.iter_mut().chain(gram).zip(sums) {
            *to = from;
        }
        loss.merge(&found);
        Ok(())
    }

    /// `add` on parts of the rows; the losses they add. No targets where none are needed.
    fn par<A>(
        &self,
        x: &Features<'_, T>,
        t: Option<&[T]>,
        sums: &mut [ColumnSum],
        scratch: usize,
        add: A,
    ) -> Result<LossSum, Error>
    where
        A: Fn(Part<'_, T>, &mut [ColumnSum], &mut [f64]) -> Result<(), Error> + Sync,
    {
        let rows = x.row_count();
        for (argument, of) in [
            ("t", t),
            ("offset", self.offset),
            ("weights", self.bce.weights),
        ] {
            check_length(argument, rows, of.map_or(rows, <[T]>::len))?;
        }
        let least = LEAST / x.column_count().max(1) + 1;
        let work = Work {
            sums: sums.iter().map(ColumnSum::emptied).collect(),
            scratch,
            leaf: rows.div_ceil(4 * rayon::current_num_threads()).max(least),
            add: |rows: Range<usize>, loss: &mut _, sums: &mut _, scratch: &mut _| {
                let part = Part {
                    head: self.part(rows.clone()),
                    x: x.part(rows.clone()),
                    t: t.and_then(|t| t.get(rows.clone())).unwrap_or(&[]),
                    loss,
                    rows,
                };
                add(part, sums, scratch)
            },
        };
        // What is wrong without a row is found before there are too many.
        work.run(0..0)?;
        for sum in &*sums {
            sum.check_rows(rows as u64)?;
        }
        let (loss, found) = work.run(0..rows)?;
        merge(sums, &found)?;
        Ok(loss)
    }
}

/// What belongs to some rows.
struct Part<'a, T: Real> {
    head: Head<'a, T>,
    x: Features<'a, T>,
    t: &'a [T],
    loss: &'a mut LossSum,
    rows: Range<usize>,
}

impl<'a, T> Factor<'a, T> {
    fn part(self, rows: Range<usize>) -> Self {
        match self {
            Self::Given(given) => Self::Given(given.get(rows).unwrap_or(&[])),
            other => other,
        }
    }
}

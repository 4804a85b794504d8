//! Passes over many rows at the speed of the kernel's linear head, whose column sums lie on a grid: as free of order as
//! the exact sums, and 100 times as fast. [`Grid::suffices`] tells whether they are precise enough.

use serde::{Deserialize, Serialize};
use soft_bce::linear::{
    ColumnScale, ColumnSum, Factor, Features, Head, gradient_gram_scratch, gradient_scratch,
    gram_length, gram_scratch,
};
use soft_bce::{Bce, LossSum};

use crate::data::{Data, Value, WeightKind};
use crate::error::Error;
use crate::pass::{Places, State, Task, power};
use crate::solve::Double;

/// Rows whose logits are kept at a time: 4 MiB of 64 columns. A tenth of that is not faster.
const BLOCK: usize = 8192;
/// Rows of a sample that are copied at a time.
const SAMPLED: usize = 2048;
/// Columns that a row's place in a sample depends on, besides target and weight.
const HASHED: usize = 2;
/// What the sums may move a logit by.
const PRECISION: f64 = 1e-12;
const SINGLE_PRECISION: f64 = 1e-9;

/// Bounds on columns and weights: powers of two.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Grid {
    /// Of each column.
    pub(crate) exponents: Vec<i32>,
    pub(crate) weight: i32,
    /// Whether the rows are `f32`.
    pub(crate) single: bool,
}

/// A pass of the linear head.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GridWork {
    pub(crate) grid: Grid,
    /// By the columns themselves, the constant's first.
    pub(crate) coefficients: Vec<f64>,
    pub(crate) sums: GridSums,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum GridSums {
    /// Loss, gradient and Hessian of a sample: rows that their own contents choose, wherever they lie. A power of two.
    Sample { one_in: u64 },
    /// Of all rows.
    Hessian,
    /// Loss and gradient.
    Gradient,
    /// All that is reported of a fit, with the logit of the mean target.
    Report { of_mean: f64 },
}

impl Grid {
    fn scales(&self) -> Result<Vec<ColumnScale>, Error> {
        self.exponents.iter().map(|of| scale(*of)).collect()
    }

    /// Whether the roundings of `rows` products to the grid move no logit by more than the precision, given the
    /// least pivot of the Hessian by the basis.
    pub(crate) fn suffices(&self, rows: u64, least_pivot: f64) -> bool {
        let precision = if self.single {
            SINGLE_PRECISION
        } else {
            PRECISION
        };
        let unit = power(self.weight - 46) * (rows as f64).sqrt();
        least_pivot * precision >= unit
    }
}

fn scale(exponent: i32) -> Result<ColumnScale, Error> {
    ColumnScale::from_exponent(exponent).ok_or(Error::OutOfRange)
}

impl GridWork {
    /// Counts, and exact sums.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        match self.sums {
            GridSums::Report { .. } => (0, 8),
            GridSums::Sample { .. } => (1, 2),
            GridSums::Hessian | GridSums::Gradient => (0, 1),
        }
    }

    /// The sums of no rows.
    pub(crate) fn start(&self, places: Places) -> Vec<ColumnSum> {
        let (width, gram) = (places.width, gram_length(places.width));
        let length = match self.sums {
            GridSums::Sample { .. } | GridSums::Hessian => width + gram,
            GridSums::Gradient => width,
            GridSums::Report { .. } => 2 * width + 2 * gram,
        };
        let mut sums = vec![ColumnSum::default(); length];
        // The bounds of a task are in range: the scan has seen to it.
        let _ = self.start_sums(places, &mut sums);
        sums
    }

    fn start_sums(&self, places: Places, sums: &mut [ColumnSum]) -> Result<(), Error> {
        let scales = self.grid.scales()?;
        let zeros = vec![0.0_f64; places.columns];
        let mut head = Head::new(&zeros);
        if places.width > places.columns {
            head = head.intercept(0.0);
        }
        let weight = self.grid.weight;
        let (gradient, rest) = sums.split_at_mut(places.width);
        head.start_gradient(&scales, scale(weight)?, gradient)?;
        if rest.is_empty() {
            return Ok(());
        }
        let (hessian, rest) = rest.split_at_mut(gram_length(places.width));
        head.start_gram(&scales, scale(weight - 2)?, hessian)?;
        if rest.is_empty() {
            return Ok(());
        }
        let (meat, bends) = rest.split_at_mut(gram_length(places.width));
        head.start_gram(&scales, scale(2 * weight)?, meat)?;
        head.start_gradient(&scales, scale(weight)?, bends)?;
        Ok(())
    }

    pub(crate) fn evaluate<T: Value>(
        &self,
        task: &Task,
        data: &Data<'_, T>,
        state: &mut State,
    ) -> Result<(), Error> {
        let places = task.places();
        let narrow: Vec<T> = self.coefficients.iter().map(|x| T::narrow(*x)).collect();
        let (constant, coefficients) = narrow.split_at(places.width - places.columns);
        let bce = task.bce()?;
        let mut head = Head::new(coefficients);
        if let [constant] = constant {
            head = head.intercept(*constant);
        }
        let mut grid = std::mem::take(&mut state.grid);
        let (gradient, rest) = grid.split_at_mut(places.width);
        match self.sums {
            GridSums::Gradient => {
                let mut scratch = vec![0.0; gradient_scratch(places.width)];
                let head = with_rows(head, bce, data);
                let (x, t, loss) = (&data.features, data.targets, &mut state.sums[Places::LOSS]);
                head.sum_gradient(x, t, loss, gradient, &mut scratch)?;
            }
            GridSums::Hessian => {
                let mut scratch = vec![0.0; gradient_gram_scratch(places.width)];
                let (x, t) = (&data.features, data.targets);
                let head = with_rows(head, bce, data);
                let loss = &mut state.sums[Places::LOSS];
                head.sum_gradient_gram(x, t, Factor::Hessian, loss, gradient, rest, &mut scratch)?;
            }
            GridSums::Sample { one_in } => {
                let mut scratch = vec![0.0; gradient_gram_scratch(places.width)];
                let [loss, weight] = state.sums.as_mut_slice() else {
                    return Err(Error::OutOfRange); // never
                };
                visit_sample(data, one_in, &mut |data| {
                    state.counts[0] += data.row_count() as u64;
                    match data.weights {
                        Some(weights) => weight.add_slice(weights),
                        None => weight.add(data.row_count() as f64),
                    }
                    let (x, t) = (&data.features, data.targets);
                    let head = with_rows(head, bce, data);
                    let factor = Factor::Hessian;
                    head.sum_gradient_gram(x, t, factor, loss, gradient, rest, &mut scratch)?;
                    Ok(())
                })?;
            }
            GridSums::Report { of_mean } => {
                let gram = gram_length(places.width);
                let (hessian, rest) = rest.split_at_mut(gram);
                let (meat, bends) = rest.split_at_mut(gram);
                let mut scratch =
                    vec![0.0; gram_scratch(places.width).max(gradient_scratch(places.width))];
                let mut rows = Rows::default();
                let is_double = size_of::<T>() == size_of::<f64>();
                let is_frequency = task.kind == WeightKind::Frequency;
                for start in (0..data.row_count()).step_by(BLOCK) {
                    let part = data.part(start..start + BLOCK);
                    let (head, x, t) = (with_rows(head, bce, &part), part.features, part.targets);
                    rows.report(&head, bce, &part, of_mean, is_frequency, &mut state.sums)?;
                    if is_double {
                        // As the head would find them: no second and third look at the logits.
                        let known = Factor::Given(&rows.hessians);
                        head.gram(&x, t, known, hessian, &mut scratch)?;
                    } else {
                        head.gram(&x, t, Factor::Hessian, hessian, &mut scratch)?;
                    }
                    if is_double || task.kind == WeightKind::Frequency && part.weights.is_some() {
                        head.gram(&x, t, Factor::Given(&rows.squares), meat, &mut scratch)?;
                    } else {
                        head.gram(&x, t, Factor::SquaredResidual, meat, &mut scratch)?;
                    }
                    for (of, sums) in [(&rows.residuals, &mut *gradient), (&rows.bends, bends)] {
                        head.column_sums(&x, t, Factor::Given(of), sums, &mut scratch)?;
                    }
                }
            }
        }
        state.grid = grid;
        Ok(())
    }

    /// The sums as those of the other engine, by the basis whose columns these are times powers of two.
    pub(crate) fn as_exact(&self, places: Places, state: &State) -> Vec<LossSum> {
        let columns = places.columns;
        let has_constant = places.width > columns;
        // The head has the constant last.
        let to = |index: usize| match (has_constant, index) {
            (true, 0) => columns,
            (true, _) => index - 1,
            (false, _) => index,
        };
        let power_of = |index: usize| {
            self.grid
                .exponents
                .get(to(index))
                .map_or(1.0, |of| power(-of))
        };
        let exact = |sum: &ColumnSum, scale: f64| {
            let value = Double::of_integer(sum.units(), sum.unit_exponent()).scaled(scale);
            let mut sum = LossSum::new();
            sum.add(value.high);
            sum.add(value.low);
            sum
        };
        let mut sums = vec![state.sums[Places::LOSS].clone()];
        let gram = gram_length(places.width);
        let (gradient, rest) = state.grid.split_at(places.width);
        sums.extend((0..places.width).map(|index| exact(&gradient[to(index)], power_of(index))));
        let triangle = |matrix: &[ColumnSum]| {
            let mut elements = Vec::with_capacity(gram);
            for row in 0..places.width {
                for column in 0..=row {
                    let (a, b) = (to(row).max(to(column)), to(row).min(to(column)));
                    let element = &matrix[a * (a + 1) / 2 + b];
                    elements.push(exact(element, power_of(row) * power_of(column)));
                }
            }
            elements
        };
        if rest.is_empty() {
            return sums;
        }
        sums.extend(triangle(&rest[..gram]));
        if rest.len() == gram {
            return sums;
        }
        sums.extend(triangle(&rest[gram..2 * gram]));
        // Measures, the slope, its bends.
        sums.extend(state.sums[1..=7].iter().cloned());
        let bends = &rest[2 * gram..];
        let of_columns = usize::from(has_constant)..places.width;
        sums.extend(of_columns.map(|index| exact(&bends[to(index)], power_of(index))));
        sums
    }
}

fn with_rows<'a, T: Value>(head: Head<'a, T>, bce: Bce<'a, T>, data: &Data<'a, T>) -> Head<'a, T> {
    let bce = match data.weights {
        Some(weights) => bce.weights(weights),
        None => bce,
    };
    match data.offset {
        Some(offset) => head.offset(offset).bce(bce),
        None => head.bce(bce),
    }
}

/// What is known of the rows of a block.
#[derive(Default)]
struct Rows<T> {
    logits: Vec<T>,
    residuals: Vec<T>,
    bends: Vec<T>,
    hessians: Vec<T>,
    /// Factors of the meat.
    squares: Vec<T>,
    /// Of each measure.
    terms: [Vec<f64>; 5],
}

impl<T: Value> Rows<T> {
    /// Adds to the loss, the measures, the slope and its bend: sums 0 to 7.
    fn report(
        &mut self,
        head: &Head<'_, T>,
        bce: Bce<'_, T>,
        data: &Data<'_, T>,
        of_mean: f64,
        is_frequency: bool,
        sums: &mut [LossSum],
    ) -> Result<(), Error> {
        let rows = data.row_count();
        self.logits.resize(rows, T::default());
        head.logits(&data.features, &mut self.logits)?;
        let (mut gradient, mut hessian) = (vec![T::default(); rows], vec![T::default(); rows]);
        bce.gradient_hessian(&self.logits, data.targets, &mut gradient, &mut hessian)?;
        let mut predictions = vec![T::default(); rows];
        soft_bce::sigmoid(&self.logits, &mut predictions)?;
        let weighted = match data.weights {
            Some(weights) => bce.weights(weights),
            None => bce,
        };
        weighted.accumulate(&self.logits, data.targets, &mut sums[Places::LOSS])?;
        let weighted = weighted.excess();
        weighted.accumulate(&self.logits, data.targets, &mut sums[1])?;
        self.logits.fill(T::narrow(of_mean));
        weighted.accumulate(&self.logits, data.targets, &mut sums[2])?;
        let Self {
            residuals,
            bends,
            hessians,
            squares,
            ..
        } = self;
        for of in [residuals, bends, hessians, squares] {
            of.clear();
        }
        self.terms.iter_mut().for_each(Vec::clear);
        for row in 0..rows {
            let w: f64 = data.weights.map_or(1.0, |of| of[row].into());
            let (r, h, s): (f64, f64, f64) = (
                gradient[row].into(),
                hessian[row].into(),
                predictions[row].into(),
            );
            let bend = w * h * (-2.0 * (s - 0.5));
            let pearson = if w == 0.0 || r == 0.0 {
                0.0
            } else {
                w * (r / h * r)
            };
            for (terms, term) in
                self.terms
                    .iter_mut()
                    .zip([pearson, w * (r * r), w * s, w * h, bend])
            {
                terms.push(term);
            }
            self.residuals.push(T::narrow(w * r));
            self.bends.push(T::narrow(bend));
            self.hessians.push(T::narrow(w * h));
            let square = if is_frequency {
                w * (r * r)
            } else {
                (w * r) * (w * r)
            };
            self.squares.push(T::narrow(square));
        }
        for (sum, terms) in sums[3..].iter_mut().zip(&self.terms) {
            sum.add_slice(terms);
        }
        Ok(())
    }
}

/// Calls `visit` with rows chosen by a hash of what they hold, some thousands at a time.
fn visit_sample<T: Value>(
    data: &Data<'_, T>,
    one_in: u64,
    visit: &mut dyn FnMut(&Data<'_, T>) -> Result<(), Error>,
) -> Result<(), Error> {
    let columns = data.features.column_count();
    let (mut hashes, mut hard, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
    let [mut features, mut targets, mut weights, mut offset] = [const { Vec::new() }; 4];
    for start in (0..data.row_count()).step_by(BLOCK) {
        let rows = start..data.row_count().min(start + BLOCK);
        hashes.clear();
        hard.clear();
        for row in rows.clone() {
            let t: f64 = data.targets[row].into();
            let hash = mix(t, 0);
            hashes.push(data.weights.map_or(hash, |of| mix(of[row].into(), hash)));
            // Many rows share these targets. Others are not touched for nothing.
            if t == 0.0 || t == 1.0 {
                hard.push(row);
            }
        }
        for &row in &hard {
            let hash = &mut hashes[row - start];
            for column in 0..columns.min(HASHED) {
                *hash = mix(data.features.get(row, column).map_or(0.0, T::into), *hash);
            }
        }
        let kept = rows.clone().zip(&hashes);
        let kept = kept.filter(|(_, hash)| *hash >> 40 & (one_in - 1) == 0);
        chosen.extend(kept.map(|(row, _)| row));
        if chosen.len() < SAMPLED && rows.end < data.row_count() {
            continue;
        }
        for chosen in chosen.chunks(SAMPLED) {
            copy_rows(&data.features, chosen, &mut features);
            let copy = |of: &[T], to: &mut Vec<T>| {
                to.clear();
                to.extend(chosen.iter().map(|&row| of[row]));
            };
            copy(data.targets, &mut targets);
            let x = Features::rows(&features, chosen.len(), columns)?;
            let mut sample = Data::new(x, &targets);
            sample.weights = data.weights.map(|of| {
                copy(of, &mut weights);
                weights.as_slice()
            });
            sample.offset = data.offset.map(|of| {
                copy(of, &mut offset);
                offset.as_slice()
            });
            visit(&sample)?;
        }
        chosen.clear();
    }
    Ok(())
}

/// These rows, one after the other. Read a column of some of them at a time, so that the memory is asked for many rows
/// at once.
fn copy_rows<T: Value>(from: &Features<'_, T>, rows: &[usize], to: &mut Vec<T>) {
    const TOGETHER: usize = 64;
    let columns = from.column_count();
    to.clear();
    to.resize(rows.len() * columns, T::default());
    let parts = to.chunks_mut((TOGETHER * columns).max(1));
    for (rows, to) in rows.chunks(TOGETHER).zip(parts) {
        for column in 0..columns {
            for (index, &row) in rows.iter().enumerate() {
                to[index * columns + column] = from.get(row, column).unwrap_or_default();
            }
        }
    }
}

/// Multiply and fold: what is hashed has no adversary.
pub(crate) fn mix(value: f64, hash: u64) -> u64 {
    let product =
        u128::from(value.to_bits() ^ hash ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product >> 64) as u64 ^ product as u64
}

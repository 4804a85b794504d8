//! The small systems: arithmetic of twice the precision of `f64`, and LDL' with a fixed order of operations.
//!
//! Libraries of linear algebra choose their kernels by the CPU, and so their bits. Here every result is a function
//! of the input alone: sums and products of `f64`, correctly rounded, in the order that is written.

use std::ops::{Add, Div, Mul, Neg, Sub};

use serde::{Deserialize, Serialize};
use soft_bce::LossSum;

use crate::pass::power;

/// The unevaluated sum `high + low`, |low| <= ulp(high)/2: about 106 bits.
///
/// T. J. Dekker, *A floating-point technique for extending the available precision*, Numer. Math. 18 (1971);
/// M. Joldes, J.-M. Muller, V. Popescu, *Tight and rigorous error bounds for basic building blocks of
/// double-word arithmetic*, ACM TOMS 44 (2017).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Double {
    pub(crate) high: f64,
    pub(crate) low: f64,
}

/// Runs loops of products with the CPU's fused multiply-add, where it has one. `mul_add` is a call into the C library
/// otherwise, ten times as slow, with the same bits.
#[inline(always)]
pub(crate) fn with_fma<R>(run: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn on_fma<R>(run: impl FnOnce() -> R) -> R {
            run()
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU has both features.
            return unsafe { on_fma(run) };
        }
    }
    run()
}

/// a + b = sum + error, exactly.
#[inline(always)]
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// The same where |a| >= |b| or a = 0.
fn fast_two_sum(a: f64, b: f64) -> Double {
    let high = a + b;
    Double {
        high,
        low: b - (high - a),
    }
}

/// a b = product + error, exactly unless it underflows.
#[inline(always)]
pub(crate) fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    (product, a.mul_add(b, -product))
}

impl Double {
    pub(crate) const ZERO: Self = Self::new(0.0);
    pub(crate) const ONE: Self = Self::new(1.0);

    pub(crate) const fn new(high: f64) -> Self {
        Self { high, low: 0.0 }
    }

    /// Of an exact sum: its first 106 bits.
    pub(crate) fn of_sum(sum: &LossSum) -> Self {
        let high = sum.to_f64();
        let mut rest = sum.clone();
        rest.add(-high);
        Self {
            high,
            low: rest.to_f64(),
        }
    }

    /// integer 2^exponent, to 106 bits.
    pub(crate) fn of_integer(integer: i128, exponent: i32) -> Self {
        // In pieces that f64 holds exactly.
        let low = integer as u64;
        let sum = Self::new((integer >> 64) as f64).scaled(power(64))
            + Self::new((low >> 32) as f64).scaled(power(32))
            + Self::new((low as u32) as f64);
        sum.scaled(power(exponent / 2))
            .scaled(power(exponent - exponent / 2))
    }

    pub(crate) fn product(a: f64, b: f64) -> Self {
        let (high, low) = two_product(a, b);
        Self { high, low }
    }

    pub(crate) fn to_f64(self) -> f64 {
        self.high
    }

    pub(crate) fn abs(self) -> Self {
        if self.high < 0.0 { -self } else { self }
    }

    pub(crate) fn sqrt(self) -> Self {
        if self.high <= 0.0 {
            return Self::new(self.high.sqrt());
        }
        let root = self.high.sqrt();
        let rest = (self - Self::product(root, root)).high;
        fast_two_sum(root, rest / (2.0 * root))
    }

    /// Times a power of two.
    pub(crate) fn scaled(self, power: f64) -> Self {
        Self {
            high: self.high * power,
            low: self.low * power,
        }
    }
}

impl Neg for Double {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            high: -self.high,
            low: -self.low,
        }
    }
}

impl Add for Double {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (high, error) = two_sum(self.high, other.high);
        let (low, rest) = two_sum(self.low, other.low);
        let first = fast_two_sum(high, error + low);
        fast_two_sum(first.high, first.low + rest)
    }
}

impl Sub for Double {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Double {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let (high, error) = two_product(self.high, other.high);
        let cross = self.high.mul_add(other.low, self.low * other.high);
        fast_two_sum(high, error + cross)
    }
}

impl Div for Double {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self - other * Self::new(first);
        let second = rest.high / other.high;
        let rest = rest - other * Self::new(second);
        fast_two_sum(first, second) + Self::new(rest.high / other.high)
    }
}

/// A symmetric matrix, as its lower triangle, row by row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Symmetric {
    order: usize,
    lower: Vec<Double>,
}

impl Symmetric {
    pub(crate) fn zero(order: usize) -> Self {
        Self {
            order,
            lower: vec![Double::ZERO; order * (order + 1) / 2],
        }
    }

    pub(crate) fn from_lower(order: usize, lower: Vec<Double>) -> Self {
        debug_assert_eq!(lower.len(), order * (order + 1) / 2);
        Self { order, lower }
    }

    /// The order, if as many elements are there: a matrix that was read may lack some.
    pub(crate) fn checked_order(&self) -> Option<usize> {
        let elements = self.order.checked_add(1)?.checked_mul(self.order)? / 2;
        (self.lower.len() == elements).then_some(self.order)
    }

    pub(crate) fn order(&self) -> usize {
        self.order
    }

    pub(crate) fn get(&self, row: usize, column: usize) -> Double {
        self.lower[at(row, column)]
    }

    pub(crate) fn set(&mut self, row: usize, column: usize, value: Double) {
        self.lower[at(row, column)] = value;
    }

    pub(crate) fn add(&mut self, row: usize, column: usize, value: Double) {
        let at = at(row, column);
        self.lower[at] = self.lower[at] + value;
    }

    pub(crate) fn multiply(&self, vector: &[Double]) -> Vec<Double> {
        (0..self.order)
            .map(|row| {
                dot(vector
                    .iter()
                    .enumerate()
                    .map(|(k, &v)| (self.get(row, k), v)))
            })
            .collect()
    }

    /// M A M', for the symmetric A = `self` and the matrix M given by its rows.
    pub(crate) fn conjugate(&self, rows: &[Vec<Double>]) -> Self {
        let products: Vec<_> = rows.iter().map(|row| self.multiply(row)).collect();
        let mut result = Self::zero(rows.len());
        for (row, product) in products.iter().enumerate() {
            for (column, other) in rows.iter().enumerate().take(row + 1) {
                let pairs = product.iter().copied().zip(other.iter().copied());
                result.set(row, column, dot(pairs));
            }
        }
        result
    }

    pub(crate) fn rows(&self) -> Vec<Vec<Double>> {
        (0..self.order)
            .map(|row| (0..self.order).map(|k| self.get(row, k)).collect())
            .collect()
    }
}

fn at(row: usize, column: usize) -> usize {
    let (row, column) = (row.max(column), row.min(column));
    row * (row + 1) / 2 + column
}

fn dot(pairs: impl Iterator<Item = (Double, Double)>) -> Double {
    pairs.fold(Double::ZERO, |sum, (a, b)| sum + a * b)
}

/// L D L' of a symmetric matrix.
#[derive(Clone, Debug)]
pub(crate) struct Factors {
    order: usize,
    /// Below the diagonal L, on it D.
    lower: Vec<Double>,
}

/// The row of a matrix whose pivot is not above the least share of its diagonal element, and how the row before
/// elimination is made up of the rows before it.
pub(crate) struct Singular {
    pub(crate) row: usize,
    pub(crate) shares: Vec<f64>,
    /// The shares of the columns of levels.
    pub(crate) of_levels: Vec<f64>,
}

/// A symmetric matrix whose last rows and columns have nothing but zeros where they meet, and a diagonal: columns of
/// which no row has more than one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bordered {
    pub(crate) inner: Symmetric,
    /// Of each of the last rows: what stands left of the zeros.
    pub(crate) cross: Vec<Vec<Double>>,
    pub(crate) diagonal: Vec<Double>,
}

/// Of a bordered matrix [A B'; B D]: the factors of A - B' D^-1 B, and what leads there.
#[derive(Clone, Debug)]
pub(crate) struct BorderedFactors {
    pub(crate) factors: Factors,
    /// D^-1 B.
    pub(crate) shares: Vec<Vec<Double>>,
    pub(crate) diagonal: Vec<Double>,
}

impl Bordered {
    /// # Errors
    /// [`Singular`], as [`Factors::new`].
    pub(crate) fn factors(self, least: f64) -> Result<BorderedFactors, Singular> {
        let mut inner = self.inner.clone();
        let mut shares = self.cross;
        for (row, pivot) in shares.iter_mut().zip(&self.diagonal) {
            let of_row = row.clone();
            row.iter_mut().for_each(|x| *x = *x / *pivot);
            for (index, left) in row.iter().enumerate() {
                for (other, right) in of_row.iter().enumerate().take(index + 1) {
                    inner.add(index, other, -(*left * *right));
                }
            }
        }
        let factors = Factors::reduced(&inner, &self.inner, least);
        let factors = factors.map_err(|mut singular| {
            let of_level = |row: &Vec<Double>| {
                let others = singular.shares.iter().zip(row);
                let others: f64 = others.map(|(share, x)| share * x.to_f64()).sum();
                row[singular.row].to_f64() - others
            };
            singular.of_levels = shares.iter().map(of_level).collect();
            singular
        })?;
        Ok(BorderedFactors {
            factors,
            shares,
            diagonal: self.diagonal,
        })
    }
}

impl BorderedFactors {
    pub(crate) fn solve(&self, right: &[Double]) -> Vec<Double> {
        let (inner, of_border) = right.split_at(self.factors.order);
        let mut inner = inner.to_vec();
        for (row, right) in self.shares.iter().zip(of_border) {
            for (x, share) in inner.iter_mut().zip(row) {
                *x = *x - *share * *right;
            }
        }
        let mut solution = self.factors.solve(&inner);
        for (index, right) in of_border.iter().enumerate() {
            let shares = self.shares[index].iter().copied();
            let others = dot(shares.zip(solution[..self.factors.order].iter().copied()));
            solution.push(*right / self.diagonal[index] - others);
        }
        solution
    }

    /// The covariance A^-1, A = what was factored.
    pub(crate) fn inverse(&self) -> BorderedForm {
        BorderedForm {
            inner: self.factors.inverse(),
            cross: Vec::new(),
            diagonal: self.diagonal.iter().map(|x| Double::ONE / *x).collect(),
        }
    }

    /// A^-1 M A^-1.
    pub(crate) fn sandwich(&self, meat: &Bordered, bread: &BorderedForm) -> BorderedForm {
        let mut inner = meat.inner.clone();
        let rows = bread.inner.rows();
        let (mut cross, mut diagonal) = (Vec::new(), Vec::new());
        for (index, shares) in self.shares.iter().enumerate() {
            let (of_meat, own) = (&meat.cross[index], meat.diagonal[index]);
            // Less what the shares explain.
            let rest: Vec<Double> = of_meat
                .iter()
                .zip(shares)
                .map(|(x, share)| *x - *share * own)
                .collect();
            for row in 0..inner.order {
                for column in 0..=row {
                    let product = shares[row] * rest[column] + of_meat[row] * shares[column];
                    inner.add(row, column, -product);
                }
            }
            let inverse = bread.diagonal[index];
            let products = rows
                .iter()
                .map(|row| dot(row.iter().copied().zip(rest.iter().copied())) * inverse);
            cross.push(products.collect());
            diagonal.push(own * inverse * inverse);
        }
        BorderedForm {
            inner: inner.conjugate(&rows),
            cross,
            diagonal,
        }
    }
}

/// A covariance T P T' + T Q' + Q T' + D, where T = [1; -shares]: P `inner`, Q `cross` below zeros, or none, D `diagonal` below
/// zeros. So are the inverse of a bordered matrix, and the sandwich of another one between two of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct BorderedForm {
    #[serde(flatten)]
    pub(crate) inner: Symmetric,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) cross: Vec<Vec<Double>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) diagonal: Vec<Double>,
}

/// A combination of coefficients: of all of the inner ones, and of some of the last.
#[derive(Clone, Debug)]
pub(crate) struct Combination {
    pub(crate) inner: Vec<Double>,
    pub(crate) border: Vec<(usize, Double)>,
}

/// A combination as a covariance takes it.
pub(crate) struct Reduced {
    /// By the inner coefficients alone.
    inner: Vec<Double>,
    /// The covariance's `inner` times it.
    product: Vec<Double>,
    cross: Vec<Double>,
    border: Vec<(usize, Double)>,
}

impl BorderedForm {
    pub(crate) fn reduce(&self, of: Combination, shares: &[Vec<Double>]) -> Reduced {
        let mut inner = of.inner;
        let mut cross = vec![Double::ZERO; inner.len()];
        for (index, factor) in &of.border {
            for (x, share) in inner.iter_mut().zip(&shares[*index]) {
                *x = *x - *share * *factor;
            }
            if let Some(row) = self.cross.get(*index) {
                for (x, element) in cross.iter_mut().zip(row) {
                    *x = *x + *element * *factor;
                }
            }
        }
        Reduced {
            product: self.inner.multiply(&inner),
            inner,
            cross,
            border: of.border,
        }
    }

    /// The covariance of two combinations.
    pub(crate) fn between(&self, left: &Reduced, right: &Reduced) -> Double {
        let pairs = |a: &[Double], b: &[Double]| dot(a.iter().copied().zip(b.iter().copied()));
        let mut sum = pairs(&left.product, &right.inner);
        if left.border.is_empty() && right.border.is_empty() {
            return sum;
        }
        sum = sum + (pairs(&left.inner, &right.cross) + pairs(&right.inner, &left.cross));
        // Both are in order.
        let mut others = right.border.iter().peekable();
        for (index, factor) in &left.border {
            while others.next_if(|other| other.0 < *index).is_some() {}
            if let Some(other) = others.next_if(|other| other.0 == *index) {
                sum = sum + self.diagonal[*index] * *factor * other.1;
            }
        }
        sum
    }

    /// Whether so many inner and last rows are there: a form that was read may lack some.
    pub(crate) fn has_size(&self, inner: usize, border: usize) -> bool {
        self.inner.checked_order() == Some(inner)
            && (self.cross.is_empty() || self.cross.len() == border)
            && self.cross.iter().all(|row| row.len() == inner)
            && self.diagonal.len() == border
    }
}

impl Factors {
    /// # Errors
    /// [`Singular`] unless every pivot exceeds `least` times the diagonal element.
    pub(crate) fn new(matrix: &Symmetric, least: f64) -> Result<Self, Singular> {
        Self::reduced(matrix, matrix, least)
    }

    /// The same of what an elimination has left of another matrix, with whose diagonal pivots are compared.
    fn reduced(matrix: &Symmetric, before: &Symmetric, least: f64) -> Result<Self, Singular> {
        let order = matrix.order;
        let mut lower = matrix.lower.clone();
        let mut scaled = vec![Double::ZERO; order];
        for row in 0..order {
            let start = at(row, 0);
            // Row `row` of L D, then of L.
            for column in 0..row {
                let before = at(column, 0);
                let sum = dot((0..column).map(|k| (scaled[k], lower[before + k])));
                scaled[column] = lower[start + column] - sum;
            }
            let mut pivot = lower[start + row];
            for column in 0..row {
                let factor = scaled[column] / lower[at(column, column)];
                pivot = pivot - factor * scaled[column];
                lower[start + column] = factor;
            }
            let diagonal = before.get(row, row).high;
            if !(pivot.high > least * diagonal && pivot.high > 0.0 && pivot.high.is_finite()) {
                let solved = Self { order: row, lower };
                let shares = solved.backward((0..row).map(|k| solved.lower[start + k]).collect());
                return Err(Singular {
                    row,
                    shares: shares.into_iter().map(Double::to_f64).collect(),
                    of_levels: Vec::new(),
                });
            }
            lower[start + row] = pivot;
        }
        Ok(Self { order, lower })
    }

    pub(crate) fn solve(&self, right: &[Double]) -> Vec<Double> {
        let mut solution = right.to_vec();
        for row in 0..self.order {
            let start = at(row, 0);
            let sum = dot((0..row).map(|k| (self.lower[start + k], solution[k])));
            solution[row] = solution[row] - sum;
        }
        for (row, value) in solution.iter_mut().enumerate() {
            *value = *value / self.lower[at(row, row)];
        }
        self.backward(solution)
    }

    /// L' x = right.
    fn backward(&self, right: Vec<Double>) -> Vec<Double> {
        let mut solution = right;
        for row in (0..self.order).rev() {
            let value = solution[row];
            let start = at(row, 0);
            let of_row = &self.lower[start..start + row];
            for (solution, factor) in solution.iter_mut().zip(of_row) {
                *solution = *solution - *factor * value;
            }
        }
        solution
    }

    pub(crate) fn inverse(&self) -> Symmetric {
        let mut inverse = Symmetric::zero(self.order);
        for column in 0..self.order {
            let mut unit = vec![Double::ZERO; self.order];
            unit[column] = Double::ONE;
            for (row, value) in self.solve(&unit).into_iter().enumerate().skip(column) {
                inverse.set(row, column, value);
            }
        }
        inverse
    }

    pub(crate) fn least_pivot(&self) -> f64 {
        let pivots = (0..self.order).map(|row| self.lower[at(row, row)].high);
        pivots.fold(f64::INFINITY, f64::min)
    }

    /// ln det.
    pub(crate) fn log_determinant(&self) -> f64 {
        (0..self.order)
            .map(|row| libm::log(self.lower[at(row, row)].high))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inverse of the Hilbert matrix of order 8 has integers up to 1e10 as its elements.
    #[test]
    fn inverts_the_hilbert_matrix() {
        const ORDER: usize = 8;
        let mut hilbert = Symmetric::zero(ORDER);
        for row in 0..ORDER {
            for column in 0..=row {
                let sum = Double::new((row + column + 1) as f64);
                hilbert.set(row, column, Double::ONE / sum);
            }
        }
        let factors = Factors::new(&hilbert, 1e-26)
            .ok()
            .expect("positive definite");
        let inverse = factors.inverse();
        assert_eq!(inverse.get(0, 0).high, 64.0);
        assert_eq!(inverse.get(1, 0).high, -2016.0);
        let last = inverse.get(7, 7);
        assert!((last - Double::new(176_679_360.0)).high.abs() < 1e-8);
        assert!((factors.log_determinant() - (-74.978_427_329_160_5)).abs() < 1e-12);
    }

    #[test]
    fn twice_the_precision() {
        let third = Double::ONE / Double::new(3.0);
        assert!((third * Double::new(3.0) - Double::ONE).high.abs() < 1e-31);
        let root = Double::new(2.0).sqrt();
        assert!((root * root - Double::new(2.0)).high.abs() < 1e-30);
        let tiny = Double::new(1.0) + Double::new(1e-25);
        assert_eq!((tiny - Double::ONE).high, 1e-25);
    }

    #[test]
    fn names_what_a_row_is_made_of() {
        // x2 = 2 x0 + 3 x1, of orthonormal x0 and x1.
        let lower = [1.0, 0.0, 1.0, 2.0, 3.0, 13.0].map(Double::new);
        let singular = Factors::new(&Symmetric::from_lower(3, lower.to_vec()), 1e-22);
        let singular = singular.expect_err("singular");
        assert_eq!((singular.row, singular.shares), (2, vec![2.0, 3.0]));
    }
}

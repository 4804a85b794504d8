//! [`ColumnScale`] and [`ColumnSum`]: a bound, and a sum of products that depends on no order.

use core::fmt;

use crate::error::Error;

/// Exponents of single scales, and the least and the greatest of products of two or three. Within
/// them every number here is a normal `f64`, and a sum over 2^64 rows is finite.
const LEAST: i32 = -480;
const LEAST_PRODUCT: i32 = -960;
const GREATEST: i32 = 959;

/// The grid is this many bits finer than the bound on a product.
pub(crate) const GRID: i32 = 45;

/// A power of two that no element of a column exceeds in magnitude: |x| <= 2^E.
///
/// Found once for a data set by [`scan`](crate::linear::scan()) and merged by maxima, so it depends
/// on no order and no partition of the rows. The same type bounds residuals and weights.
///
/// From 2^−480 to 2^959. Smaller columns are held to 2^−480, which costs `f64` columns below 10^−144
/// their relative precision; larger ones are an error.
///
/// ```
/// use soft_bce::linear::ColumnScale;
/// let scale = ColumnScale::of(-3.0)?.merge(ColumnScale::of(0.1)?);
/// assert_eq!((scale.exponent(), scale.bound()), (2, 4.0));
/// assert_eq!(ColumnScale::of(1.0)?, ColumnScale::ONE);
/// assert!(ColumnScale::of(f64::NAN).is_err());
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnScale {
    exponent: i16,
    /// What a call in progress has seen; the least between calls.
    pending: i16,
}

impl ColumnScale {
    /// The least scale: that of a column in which nothing, or only zeros, have been seen.
    pub const ZERO: Self = Self::new(LEAST);
    /// 2^0: the scale of plain residuals, which no weight enlarges.
    pub const ONE: Self = Self::new(0);
    pub(crate) const GREATEST: Self = Self::new(GREATEST);
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 4;

    const fn new(exponent: i32) -> Self {
        Self {
            exponent: exponent as i16,
            pending: LEAST as i16,
        }
    }

    /// The least scale of numbers up to |`bound`|.
    ///
    /// # Errors
    /// [`Error::ScaleOutOfRange`] if it is NaN, infinite or beyond 2^959.
    pub fn of(bound: f64) -> Result<Self, Error> {
        let out_of_range = Error::ScaleOutOfRange { value: bound };
        let pattern = bound.abs().to_bits();
        let exponent = (pattern >> 52) as i32 - 1023;
        // Above a power of two the next one is the bound.
        let exponent = exponent + i32::from(pattern << 12 != 0);
        Self::from_exponent(exponent.max(LEAST)).ok_or(out_of_range)
    }

    /// The scale 2^`exponent`, if it is one.
    #[must_use]
    pub fn from_exponent(exponent: i32) -> Option<Self> {
        (LEAST..=GREATEST)
            .contains(&exponent)
            .then_some(Self::new(exponent))
    }

    /// E.
    #[must_use]
    pub const fn exponent(self) -> i32 {
        self.exponent as i32
    }

    /// 2^E.
    #[must_use]
    pub fn bound(self) -> f64 {
        power(self.exponent())
    }

    /// The scale of both columns together: the larger one.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        self.max(other)
    }

    /// Takes note of the largest |x| of a call in progress; whether there is no scale for it.
    pub(crate) fn see(&mut self, largest: f64) -> bool {
        let seen = Self::of(largest).map(|scale| scale.exponent);
        self.pending = self.pending.max(seen.unwrap_or(self.pending));
        seen.is_err()
    }

    /// Ends a call: what it saw counts, or nothing of it.
    pub(crate) fn finish(&mut self, success: bool) {
        let seen = if success { self.pending } else { self.exponent };
        *self = Self::new(self.exponent.max(seen).into());
    }

    /// Four bytes, the same on every machine: `S`, format version 1, E (little-endian).
    ///
    /// ```
    /// use soft_bce::linear::ColumnScale;
    /// let scale = ColumnScale::of(1e-3)?;
    /// assert_eq!(ColumnScale::from_bytes(&scale.to_bytes())?, scale);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let [low, high] = self.exponent.to_le_bytes();
        [b'S', 1, low, high]
    }

    /// Restores what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::MalformedColumnSum`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        match *bytes {
            [b'S', 1, low, high] => Self::from_exponent(i16::from_le_bytes([low, high]).into()),
            _ => None,
        }
        .ok_or(Error::MalformedColumnSum)
    }
}

impl Default for ColumnScale {
    fn default() -> Self {
        Self::ZERO
    }
}

/// S = Σ y_i x_i over rows, each product rounded to the grid u = 2^(E + F − 45), where |x_i| <= 2^E and
/// |y_i| <= 2^F. An integer in units of u: its bits depend on no order and no partition of the rows.
///
/// y_i is a residual, a Hessian times a direction, or (in Gram matrices) a weight times another feature,
/// as `f64` with the lowest bit of its significand set unless it is 0. Then no product lies midway
/// between two points of the grid, and a floating-point addition rounds to it whatever has been added
/// before (`ARCHITECTURE.md`, "No ties").
///
/// # Error
///
/// Against the exact Σ y_i x_i, for n rows: at most
///
/// ```text
/// n · 2^(E + F − 46) + 2^−52 · Σ |y_i x_i|
/// ```
///
/// [`to_f64`](Self::to_f64) rounds once more.
///
/// ```
/// use soft_bce::linear::{ColumnScale, ColumnSum};
/// let sum = ColumnSum::new(ColumnScale::of(8.0)?, ColumnScale::ONE)?;
/// assert_eq!((sum.unit_exponent(), sum.units(), sum.rows()), (3 - 45, 0, 0));
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ColumnSum {
    sum: i128,
    /// What a call in progress has found; 0 between calls.
    pending: i128,
    rows: u64,
    column: i16,
    factor: i16,
}

impl ColumnSum {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 32;

    /// The sum of nothing, for a column of this scale and factors of that one.
    ///
    /// # Errors
    /// [`Error::ScaleOutOfRange`] if the product of both exceeds 2^959.
    pub fn new(column: ColumnScale, factor: ColumnScale) -> Result<Self, Error> {
        Self::start(column.exponent(), factor)
    }

    /// The same for products of two columns.
    ///
    /// # Errors
    /// [`Error::ScaleOutOfRange`] if the product of all three exceeds 2^959.
    pub fn of_products(
        left: ColumnScale,
        right: ColumnScale,
        factor: ColumnScale,
    ) -> Result<Self, Error> {
        Self::start(left.exponent() + right.exponent(), factor)
    }

    fn start(column: i32, factor: ColumnScale) -> Result<Self, Error> {
        let exponent = column + factor.exponent();
        if exponent > GREATEST {
            return Err(Error::ScaleOutOfRange {
                value: power(exponent.min(1023)),
            });
        }
        Ok(Self {
            sum: 0,
            pending: 0,
            rows: 0,
            column: column as i16,
            factor: factor.exponent,
        })
    }

    /// E, or the sum of the two of a product of columns.
    #[must_use]
    pub const fn column_exponent(&self) -> i32 {
        self.column as i32
    }

    /// F.
    #[must_use]
    pub const fn factor_exponent(&self) -> i32 {
        self.factor as i32
    }

    /// log2 u. Products of three scales below 2^−960 are held to that.
    #[must_use]
    pub fn unit_exponent(&self) -> i32 {
        (self.column_exponent() + self.factor_exponent()).max(LEAST_PRODUCT) - GRID
    }

    /// S/u.
    #[must_use]
    pub const fn units(&self) -> i128 {
        self.sum
    }

    /// How many rows have been added, those of weight 0 included.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// S, correctly rounded to nearest, ties to even. Finite and, unless it is 0, normal.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        self.sum as f64 * power(self.unit_exponent())
    }

    /// Adds all that `other` has summed: exact, associative, commutative.
    ///
    /// # Errors
    /// [`Error::ScaleMismatch`] if the scales differ, [`Error::TooManyRows`] beyond 2^64 rows. Nothing is
    /// added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.check_merge(other, 0)?;
        self.merge_checked(other);
        Ok(())
    }

    /// The sum of nothing, of the same scales.
    #[cfg(feature = "rayon")]
    pub(crate) fn emptied(&self) -> Self {
        Self {
            sum: 0,
            pending: 0,
            rows: 0,
            ..*self
        }
    }

    pub(crate) fn check_merge(&self, other: &Self, index: usize) -> Result<(), Error> {
        if (self.column, self.factor) != (other.column, other.factor) {
            return Err(Error::ScaleMismatch { index });
        }
        self.check_rows(other.rows)
    }

    pub(crate) fn check_rows(&self, more: u64) -> Result<(), Error> {
        match self.rows.checked_add(more) {
            Some(_) => Ok(()),
            None => Err(Error::TooManyRows),
        }
    }

    pub(crate) fn merge_checked(&mut self, other: &Self) {
        self.sum += other.sum;
        self.rows += other.rows;
    }

    /// Adds units of a call in progress.
    #[inline]
    pub(crate) fn add_pending(&mut self, units: i64) {
        self.pending += i128::from(units);
    }

    /// Ends a call: what it found counts, or nothing of it.
    pub(crate) fn finish(&mut self, rows: Option<u64>) {
        if let Some(rows) = rows {
            self.sum += self.pending;
            self.rows += rows;
        }
        self.pending = 0;
    }

    /// The number at which a sum of up to 64 products starts: its unit in the last place is u, and
    /// theirs cannot leave its binade.
    #[inline]
    pub(crate) fn center(&self) -> f64 {
        1.5 * power(self.unit_exponent() + 52)
    }

    /// The state as bytes, the same on every machine.
    ///
    /// | bytes | content, little-endian |
    /// |---|---|
    /// | 0..4 | `SBC`, format version 1 |
    /// | 4..6 | E |
    /// | 6..8 | F |
    /// | 8..16 | rows |
    /// | 16..32 | S/u, two's complement |
    ///
    /// ```
    /// use soft_bce::linear::{ColumnScale, ColumnSum};
    /// let sum = ColumnSum::new(ColumnScale::ONE, ColumnScale::ONE)?;
    /// assert_eq!(ColumnSum::from_bytes(&sum.to_bytes())?, sum);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let fields: [&[u8]; 5] = [
            b"SBC\x01",
            &self.column.to_le_bytes(),
            &self.factor.to_le_bytes(),
            &self.rows.to_le_bytes(),
            &self.sum.to_le_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// Restores what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::MalformedColumnSum`] for another length, magic or version, for scales that do not exist,
    /// and for a sum greater than so many rows can have. There is no checksum.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse(bytes).ok_or(Error::MalformedColumnSum)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, bytes) = bytes.split_first_chunk::<4>()?;
        let (column, bytes) = bytes.split_first_chunk()?;
        let (factor, bytes) = bytes.split_first_chunk()?;
        let (rows, bytes) = bytes.split_first_chunk()?;
        let sum = Self {
            sum: i128::from_le_bytes(bytes.try_into().ok()?),
            pending: 0,
            rows: u64::from_le_bytes(*rows),
            column: i16::from_le_bytes(*column),
            factor: i16::from_le_bytes(*factor),
        };
        let (column, factor) = (sum.column_exponent(), sum.factor_exponent());
        let valid = magic == b"SBC\x01"
            && (LEAST_PRODUCT..=2 * GREATEST).contains(&column)
            && (LEAST..=GREATEST).contains(&factor)
            && column + factor <= GREATEST
            && sum.sum.unsigned_abs() <= u128::from(sum.rows) << GRID;
        valid.then_some(sum)
    }
}

impl Default for ColumnSum {
    /// For [`ColumnScale::ZERO`]: a place for what [`Head::start_gradient`](crate::linear::Head::start_gradient)
    /// writes.
    fn default() -> Self {
        Self {
            sum: 0,
            pending: 0,
            rows: 0,
            column: LEAST as i16,
            factor: LEAST as i16,
        }
    }
}

/// The rounded sum and what tells it from others; two sums that print alike may differ.
impl fmt::Debug for ColumnSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ColumnSum")
            .field("sum", &self.to_f64())
            .field("rows", &self.rows)
            .field("column_exponent", &self.column)
            .field("factor_exponent", &self.factor)
            .finish_non_exhaustive()
    }
}

/// 2^exponent, normal.
#[inline]
pub(crate) const fn power(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

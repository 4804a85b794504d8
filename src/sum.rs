//! [`LossSum`]: the exact accumulator behind every sum of this crate.

use core::fmt;
use core::iter;

use crate::error::Error;

/// Limbs of the fixed-point number: 2098 bits reach from 2^-1074 to the top of
/// `f64`, and 78 more are the sign and room for 2^77 terms of any magnitude.
const LIMBS: usize = 34;

/// See [`LossSum::of_bins`].
pub(crate) const BINS: usize = 66;

const FRACTION_BITS: u32 = 52;
const FRACTION: u64 = (1 << FRACTION_BITS) - 1;
const NON_FINITE_EXPONENT: u64 = 0x7ff;
/// The unit is 2^-1074, so 2^1024 is this power of two, and this one the last place of `f64::MAX`.
const OVERFLOW_POSITION: usize = 2098;
const TOP_POSITION: usize = OVERFLOW_POSITION - 53;

/// What a non-finite sum has become; joined with `|`, since the sum of the two
/// infinities is NaN.
const POSITIVE_INFINITY: u8 = 1;
const NEGATIVE_INFINITY: u8 = 2;
const NAN: u8 = POSITIVE_INFINITY | NEGATIVE_INFINITY;

/// Magic `SBCE`, format version 1, and the two bytes of the non-finite state.
const HEADER: u64 = u64::from_le_bytes(*b"SBCE\x01\0\0\0");

/// An exact sum: of losses, or of any `f64` values.
///
/// No addition rounds, so the state is a function of the *multiset* of values
/// alone (of up to 2^77 of them): every order, partition, width, thread count and merge tree gives the
/// same state, the same [bytes](Self::to_bytes) and the same [`f64`](Self::to_f64).
/// That makes a sum over threads, machines or restarts reproducible bit for bit.
///
/// ```
/// use soft_bce::LossSum;
///
/// let values = [1e300, 1.0, 5e-324, -1e300];
/// assert_eq!(values.iter().sum::<f64>(), 0.0); // rounded at each step
///
/// let mut forward = LossSum::new();
/// values.iter().for_each(|&v| forward.add(v));
/// assert_eq!(forward.to_f64(), 1.0); // 1 + 2^-1074, rounded once
///
/// // Two workers, another order: the same bytes.
/// let (mut left, mut right) = (LossSum::new(), LossSum::new());
/// left.add(-1e300);
/// left.add(5e-324);
/// right.add(1.0);
/// right.add(1e300);
/// right.merge(&left);
/// assert_eq!(right.to_bytes(), forward.to_bytes());
/// ```
///
/// # What is computed
///
/// For finite values x_1 … x_n the state is the integer
///
/// ```text
/// S = (x_1 + x_2 + … + x_n) · 2^1074
/// ```
///
/// held in two's complement in 34 limbs of 64 bits, and n. Every finite `f64` is
/// a multiple of 2^-1074 below 2^1024 in magnitude, so S is exact for 2^77
/// values of any magnitude and sign, and intermediate sums cannot overflow.
/// [`to_f64`](Self::to_f64) rounds once.
///
/// * A **NaN**, or infinities of both signs, makes the sum NaN for good;
///   **infinities** of one sign make it that infinity. Such a state holds
///   nothing else but the count.
/// * A sum that is zero is +0.0, whatever the signs of the zeros in it.
/// * [`count`](Self::count) stops at `u64::MAX`. Only merging sums into each
///   other can get there.
/// * An S outside [-2^2175, 2^2175), which takes more than 2^77 values of the
///   greatest magnitude, is the **infinity** of its sign for good: nothing
///   wraps. Only there, and with values of both signs, does the order count.
///
/// # Cost
///
/// One addition touches two limbs, and further ones only when a carry leaves
/// both, or a sum changes sign. The state has 288 bytes and lives where you put
/// it: no allocation.
///
/// # Sources
///
/// The long fixed-point accumulator is Kulisch's (U. Kulisch, *Computer
/// Arithmetic and Validity*, 2nd ed., de Gruyter 2013, chapter 8); its form in
/// software, R. M. Neal, *Fast exact summation using small and large
/// superaccumulators*, arXiv:1505.05571 (2015). Neal defers carries; here they
/// run at once, so that equal sums have equal states.
#[derive(Clone, PartialEq, Eq)]
pub struct LossSum {
    /// S, lowest limb first; all zero once the sum is not finite.
    limbs: [u64; LIMBS],
    count: u64,
    /// 0 while finite.
    non_finite: u8,
}

impl LossSum {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 8 * (2 + LIMBS);

    /// The sum of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            limbs: [0; LIMBS],
            count: 0,
            non_finite: 0,
        }
    }

    /// Adds one value, exactly.
    ///
    /// ```
    /// let mut sum = soft_bce::LossSum::new();
    /// (0..10).for_each(|_| sum.add(0.1));
    /// // Ten times the double nearest 1/10, rounded once. A loop of `+=` ends at 0.9999999999999999.
    /// assert_eq!(sum.to_f64(), 1.0);
    /// assert_eq!(sum.count(), 10);
    /// ```
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.add_exact(value, 1);
    }

    /// Adds `partial`, which is the exact sum of `elements` values.
    ///
    /// It may be infinite or NaN only if one of the values is.
    #[inline]
    pub(crate) fn add_exact(&mut self, partial: f64, elements: u64) {
        self.count = self.count.saturating_add(elements);

        let bits = partial.to_bits();
        let exponent = (bits >> FRACTION_BITS) & NON_FINITE_EXPONENT;
        if exponent == NON_FINITE_EXPONENT || self.non_finite != 0 {
            return self.absorb(partial);
        }
        // Subnormals have the scale of the smallest normal numbers and no implicit bit.
        let implicit = u64::from(exponent != 0);
        let significand = (bits & FRACTION) | (implicit << FRACTION_BITS);
        self.add_shifted(significand, exponent - implicit, bits >> 63 != 0);
    }

    /// Adds significand * 2^(position - 1074), or subtracts it, as part of a value that is counted elsewhere.
    #[inline]
    pub(crate) fn add_shifted(&mut self, significand: u64, position: u64, negative: bool) {
        if self.non_finite != 0 {
            return;
        }
        let magnitude = u128::from(significand) << (position & 63);
        let sign = u128::from(negative).wrapping_neg();
        let term = (magnitude ^ sign).wrapping_sub(sign);
        let Some([low, high, above @ ..]) = self.limbs.get_mut((position >> 6) as usize..) else {
            return; // never: position < 2046
        };
        let (sum, carry) = join(*low, *high).overflowing_add(term);
        (*low, *high) = (sum as u64, (sum >> 64) as u64);

        // The limbs above get the term's sign extension, all ones if negative, and the
        // carry, which undoes it: together -1, 0 or 1.
        let onwards = i64::from(carry) - i64::from((term as i128) < 0);
        if onwards != 0 && propagate(above, onwards > 0) {
            let sign = if negative { -1.0 } else { 1.0 };
            self.absorb(f64::INFINITY.copysign(sign));
        }
    }

    /// The sum of bin * 2^(32 index - 1074), which must be below 2^1038; the count is 0.
    pub(crate) fn of_bins(bins: &[u64]) -> Self {
        let mut sum = Self::new();
        let mut carry = 0;
        for (limb, bins) in sum.limbs.iter_mut().zip(bins.as_chunks::<2>().0) {
            let whole = u128::from(bins[0]) + (u128::from(bins[1]) << 32) + carry;
            *limb = whole as u64;
            carry = whole >> 64;
        }
        sum
    }

    /// Adds all that `other` has summed: exact, associative, commutative.
    ///
    /// ```
    /// use soft_bce::LossSum;
    ///
    /// let mut whole = LossSum::new();
    /// let mut parts = [const { LossSum::new() }; 3];
    /// for i in 0..1000 {
    ///     whole.add(1.0 / f64::from(i + 1));
    ///     parts[i as usize % 3].add(1.0 / f64::from(i + 1));
    /// }
    /// let [mut first, second, third] = parts;
    /// first.merge(&third);
    /// first.merge(&second);
    /// assert_eq!(first, whole);
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.non_finite |= other.non_finite;
        if self.non_finite != 0 {
            self.limbs = [0; LIMBS];
            return;
        }
        let negative = self.is_negative();
        let mut carry = false;
        for (limb, &addend) in self.limbs.iter_mut().zip(&other.limbs) {
            let (sum, first) = limb.overflowing_add(addend);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first | second;
        }
        if negative == other.is_negative() && negative != self.is_negative() {
            let sign = if negative { -1.0 } else { 1.0 };
            self.absorb(f64::INFINITY.copysign(sign));
        }
    }

    /// The same sum of values of the other sign.
    pub(crate) fn negated(&self) -> Self {
        let mut negated = self.clone();
        negated.non_finite = match self.non_finite {
            POSITIVE_INFINITY => NEGATIVE_INFINITY,
            NEGATIVE_INFINITY => POSITIVE_INFINITY,
            other => other,
        };
        let mut carry = true;
        for limb in &mut negated.limbs {
            (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
        }
        negated
    }

    /// How many values have been added; stops at `u64::MAX`.
    #[must_use]
    #[inline]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum, correctly rounded to nearest, ties to even: the one rounding.
    ///
    /// Infinite from `f64::MAX` plus half a unit in its last place on; gradual
    /// underflow needs no rounding. The sum of nothing is 0.
    ///
    /// ```
    /// let mut sum = soft_bce::LossSum::new();
    /// sum.add(f64::MAX);
    /// sum.add(f64::MAX);
    /// assert_eq!(sum.to_f64(), f64::INFINITY); // of the value, not of the state:
    /// sum.add(-f64::MAX);
    /// assert_eq!(sum.to_f64(), f64::MAX);
    /// ```
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        match self.non_finite {
            0 => {}
            POSITIVE_INFINITY => return f64::INFINITY,
            NEGATIVE_INFINITY => return f64::NEG_INFINITY,
            _ => return f64::NAN,
        }
        // The top limb that is not zero, the one below, and whether any bit is set further down.
        let (mut top, mut next, mut rest, mut index) = (0, 0, false, 0);
        let (mut below, mut further) = (0, false);
        for (at, limb) in self.magnitude().enumerate() {
            if limb != 0 {
                (top, next, rest, index) = (limb, below, further, at);
            }
            further |= below != 0;
            below = limb;
        }

        let bits = if index == 0 && top >> FRACTION_BITS <= 1 {
            top // below 2^-1021 the pattern of an f64 is its multiple of 2^-1074
        } else {
            let leading_zeros = top.leading_zeros();
            let leading = index * 64 + 63 - leading_zeros as usize;
            if leading >= OVERFLOW_POSITION {
                f64::INFINITY.to_bits()
            } else {
                let window = join(next, top) << leading_zeros;
                let head = (window >> 64) as u64;
                let rest = rest | (window as u64 != 0);
                let (significand, tail) = (head >> 11, head & 0x7ff);
                let up = tail > 0x400 || (tail == 0x400 && (rest || significand & 1 == 1));
                // The leading bit of the significand adds 1 to the exponent; so may rounding up,
                // to infinity at the last.
                (((leading - 52) as u64) << FRACTION_BITS) + significand + u64::from(up)
            }
        };
        f64::from_bits(bits | (u64::from(self.is_negative()) << 63))
    }

    /// This sum over that one, within 0.5001 ULP (1 ULP where it is subnormal), even if either is
    /// beyond the range of `f64`: the mean of losses that were added up in parts, over the sum of
    /// their weights. What division by 0, infinities and NaN give in `f64`, they give here.
    ///
    /// ```
    /// use soft_bce::{Bce, LossSum};
    /// let (z, t, weights) = ([1.0, -2.0, 0.5], [0.5, 0.25, 1.0], [1e308, 1.5e308, 0.5e308]);
    /// let (mut losses, mut total) = (LossSum::new(), LossSum::new());
    /// for i in 0..3 {
    ///     let bce = Bce::<f64>::new().weights(&weights[i..=i]);
    ///     bce.accumulate(&z[i..=i], &t[i..=i], &mut losses)?;
    ///     total.add(weights[i]);
    /// }
    /// assert_eq!(total.to_f64(), f64::INFINITY);
    /// assert_eq!(losses.divided_by(&total), Bce::new().weights(&weights).mean(&z, &t)?);
    /// # Ok::<(), soft_bce::Error>(())
    /// ```
    #[must_use]
    pub fn divided_by(&self, divisor: &Self) -> f64 {
        let (sum, divisor) = (self.to_double(), divisor.to_double());
        if divisor.is_zero() || !divisor.high.is_finite() {
            return sum.high / divisor.high;
        }
        sum.divided(divisor, 0)
    }

    /// The sum, twice as precise as `f64` and without its limits.
    pub(crate) fn to_double(&self) -> Double {
        let mut rest = self.clone();
        let mut exponent = 0;
        if rest.non_finite == 0 && rest.to_f64().is_infinite() {
            // Two limbs lower: what is lost is far below.
            const LOWER: usize = 2;
            exponent = 64 * LOWER as i32;
            let sign = if self.is_negative() { u64::MAX } else { 0 };
            let limbs = self.limbs.iter().skip(LOWER);
            let limbs = limbs.chain(iter::repeat_n(&sign, LOWER));
            for (to, limb) in rest.limbs.iter_mut().zip(limbs) {
                *to = *limb;
            }
        }
        let high = rest.to_f64();
        rest.add(-high);
        Double {
            high,
            low: if high.is_finite() { rest.to_f64() } else { 0.0 },
            exponent,
        }
    }

    /// The state as bytes, the same on every machine. Equal multisets of values
    /// give equal bytes, whatever the order and the merges.
    ///
    /// | bytes | content, little-endian |
    /// |---|---|
    /// | 0..4 | `SBCE` |
    /// | 4..6 | format version, 1 |
    /// | 6, 7 | twice the same: 0 finite, 1 +∞, 2 −∞, 3 NaN |
    /// | 8..16 | count |
    /// | 16..288 | S, two's complement; 0 if not finite |
    ///
    /// ```
    /// # fn main() -> Result<(), soft_bce::Error> {
    /// use soft_bce::LossSum;
    /// let mut sum = LossSum::new();
    /// sum.add(0.6931471805599453);
    /// assert_eq!(LossSum::from_bytes(&sum.to_bytes())?, sum);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = [header(self.non_finite), self.count];
        let words = words.iter().chain(&self.limbs);
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        bytes
    }

    /// Restores what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedLossSum`] for another length, magic or version; for two
    /// different or undefined state bytes; for a sum that is not finite but
    /// counts no value or has limbs; and for a sum that no `count` values have, be it
    /// too large or have too many digits. There is no checksum: a damaged count or sum can
    /// be well formed.
    ///
    /// ```
    /// use soft_bce::{Error, LossSum};
    /// let bytes = LossSum::new().to_bytes();
    /// assert_eq!(LossSum::from_bytes(&bytes[1..]), Err(Error::MalformedLossSum));
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (words, []) = bytes.as_chunks() else {
            return Err(Error::MalformedLossSum);
        };
        let [state, count, limbs @ ..] = words else {
            return Err(Error::MalformedLossSum);
        };
        let non_finite = u64::from_le_bytes(*state).to_le_bytes()[7];
        if limbs.len() != LIMBS
            || non_finite > NAN
            || u64::from_le_bytes(*state) != header(non_finite)
        {
            return Err(Error::MalformedLossSum);
        }
        let mut sum = Self {
            limbs: [0; LIMBS],
            count: u64::from_le_bytes(*count),
            non_finite,
        };
        for (limb, bytes) in sum.limbs.iter_mut().zip(limbs) {
            *limb = u64::from_le_bytes(*bytes);
        }
        if sum.is_reachable() {
            Ok(sum)
        } else {
            Err(Error::MalformedLossSum)
        }
    }

    /// Whether `count` values can have led here.
    fn is_reachable(&self) -> bool {
        if self.non_finite != 0 {
            return self.count != 0 && self.limbs.iter().all(|&limb| limb == 0);
        }
        self.count == u64::MAX || self.least_count() <= u128::from(self.count)
    }

    /// The least number of values that have this sum.
    ///
    /// A value m 2^p with m odd and |m| < 2^53 can rid S of its lowest 54 bits, from its lowest
    /// set bit p on, in one way, and no value rids it of more. What is left in the end is a
    /// multiple of the last place of `f64::MAX`, and each value takes up to 2^53 - 1 of those.
    fn least_count(&self) -> u128 {
        let mut limbs = [0; LIMBS];
        for (to, limb) in limbs.iter_mut().zip(self.magnitude()) {
            *to = limb;
        }
        let mut count = 0;
        loop {
            let mut set = limbs.iter().enumerate().filter(|(_, limb)| **limb != 0);
            let Some((index, limb)) = set.next() else {
                return count;
            };
            let shift = limb.trailing_zeros() as usize;
            let position = index * 64 + shift;
            count += 1;
            if position + 54 > TOP_POSITION {
                let [.., low, middle, high] = limbs;
                let units = (u128::from(high) << 67) | (u128::from(middle) << 3);
                let units = units | u128::from(low >> (TOP_POSITION % 64));
                // The value that takes the bits below takes as many of the units as go with them.
                let below = TOP_POSITION.saturating_sub(position);
                let units = units.saturating_sub((1 << (53 - below)) - 1);
                return match high >> 61 {
                    0 => count + units.div_ceil(u128::from(2 * FRACTION + 1)),
                    _ => u128::MAX,
                };
            }
            let Some([low, high, above @ ..]) = limbs.get_mut(index..) else {
                return count; // never: position < TOP_POSITION
            };
            // m is these bits or, where it would be too large, these bits less 2^54.
            let bits = (join(*low, *high) >> shift) & ((1 << 54) - 1);
            let carried = u128::from(bits >> 53 != 0) << (shift + 54);
            let (sum, carry) = (join(*low, *high) & !(bits << shift)).overflowing_add(carried);
            (*low, *high) = (sum as u64, (sum >> 64) as u64);
            if carry {
                propagate(above, true);
            }
        }
    }

    fn is_negative(&self) -> bool {
        self.limbs.last().is_some_and(|&limb| (limb as i64) < 0)
    }

    /// The limbs of |S|, lowest first.
    fn magnitude(&self) -> impl Iterator<Item = u64> {
        let negative = self.is_negative();
        let flip = if negative { u64::MAX } else { 0 };
        self.limbs.iter().scan(negative, move |carry, &limb| {
            let (limb, overflow) = (limb ^ flip).overflowing_add(u64::from(*carry));
            *carry = overflow;
            Some(limb)
        })
    }

    /// Joins a value to a sum one of which is not finite: the limbs are
    /// dropped, as a block that was summed before it came here has lost them.
    #[cold]
    #[inline(never)]
    fn absorb(&mut self, value: f64) {
        self.non_finite |= if value.is_nan() {
            NAN
        } else if value == f64::INFINITY {
            POSITIVE_INFINITY
        } else if value == f64::NEG_INFINITY {
            NEGATIVE_INFINITY
        } else {
            0
        };
        self.limbs = [0; LIMBS];
    }
}

/// (high + low) 2^exponent, where low is at most half a unit of high's last place.
#[derive(Clone, Copy)]
pub(crate) struct Double {
    high: f64,
    low: f64,
    exponent: i32,
}

impl Double {
    /// a + b, exactly, if that is finite.
    pub(crate) fn sum(a: f64, b: f64) -> Self {
        let high = a + b;
        let back = high - a;
        let low = (a - (high - back)) + (b - back);
        Self {
            high,
            low: if high.is_finite() { low } else { 0.0 },
            exponent: 0,
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        self.high == 0.0
    }

    /// The k for which the number is in [2^(k - 1), 2^k); of a finite number.
    pub(crate) fn log2(self) -> i32 {
        self.exponent + libm::frexp(self.high).1
    }

    /// The number times 2^k, rounded.
    pub(crate) fn scaled(self, k: i32) -> f64 {
        ldexp(self.high, self.exponent + k)
    }

    /// self / divisor 2^k, within 0.5001 ULP; 1 ULP where it is subnormal. The divisor is finite
    /// and not 0.
    pub(crate) fn divided(self, divisor: Self, k: i32) -> f64 {
        if self.is_zero() || !self.high.is_finite() {
            return self.high / divisor.high;
        }
        let fraction = |of: Self| {
            let (high, exponent) = libm::frexp(of.high);
            (high, ldexp(of.low, -exponent), exponent + of.exponent)
        };
        let ((a, a_low, a_exponent), (b, b_low, b_exponent)) = (fraction(self), fraction(divisor));
        let quotient = a / b;
        let rest = libm::fma(-quotient, b, a) + libm::fma(-quotient, b_low, a_low);
        ldexp(quotient + rest / b, a_exponent - b_exponent + k)
    }
}

/// x 2^k, rounded once, whatever k. Every product here is needed: compilers may do those of
/// `libm::scalbn` before its branches, and an underflow or overflow that is not is then flagged.
pub(crate) fn ldexp(x: f64, k: i32) -> f64 {
    let power = |k: i32| f64::from_bits(((k + 1023) as u64) << 52);
    // What is subnormal after 2^-969 is 0 at last, so that nothing is rounded twice.
    let step = |k: i32| if k < -1022 { -969 } else { k.min(1023) };
    let first = step(k);
    let second = step(k - first);
    let third = (k - first - second).clamp(-1022, 1023);
    x * power(first) * power(second) * power(third)
}

impl Default for LossSum {
    fn default() -> Self {
        Self::new()
    }
}

/// The rounded sum and the count; two sums that print alike may differ.
impl fmt::Debug for LossSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LossSum")
            .field("sum", &self.to_f64())
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

fn header(non_finite: u8) -> u64 {
    HEADER | ((u64::from(non_finite) * 0x0101) << 48)
}

#[inline]
fn join(low: u64, high: u64) -> u128 {
    u128::from(low) | (u128::from(high) << 64)
}

/// Carries a one upwards, or borrows it, as far as it goes. Whether that changed the sign bit
/// the wrong way: the number, in two's complement, has overflowed.
#[cold]
#[inline(never)]
fn propagate(limbs: &mut [u64], carry: bool) -> bool {
    let Some((top, below)) = limbs.split_last_mut() else {
        return false;
    };
    for limb in below {
        let (value, goes_on) = if carry {
            limb.overflowing_add(1)
        } else {
            limb.overflowing_sub(1)
        };
        *limb = value;
        if !goes_on {
            return false;
        }
    }
    let (value, overflow) = (*top as i64).overflowing_add(if carry { 1 } else { -1 });
    *top = value as u64;
    overflow
}

#[cfg(test)]
mod tests {
    use crate::sum::ldexp;

    #[test]
    fn as_libm() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..400_000_u64 {
            bits = bits.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(round);
            let x = match round % 8 {
                0 => f64::from_bits(bits >> 12),
                1 => [0.0, -0.0, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE]
                    [(bits >> 40) as usize % 5],
                _ => f64::from_bits(bits),
            };
            let k = (bits >> 20) as i32 % 2300;
            let near = -1074 - libm::frexp(x).1 + k % 60;
            for k in [k, near.clamp(-2300, 2300), -1022, -1023, 1023, 1024] {
                let (found, wanted) = (ldexp(x, k), libm::scalbn(x, k));
                assert!(
                    found.to_bits() == wanted.to_bits() || x.is_nan(),
                    "{x:e} {k}"
                );
            }
        }
    }
}

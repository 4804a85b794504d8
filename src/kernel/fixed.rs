//! Numbers of 384 fractional bits in eight limbs: the last resort of the exact mode.

/// An integer times 2^-384, below 2^128; the limbs from the lowest on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Fixed([u64; 8]);

impl Fixed {
    const LIMBS: usize = 8;
    const FRACTION_LIMBS: usize = 6;
    const FRACTION_BITS: i32 = 384;
    pub(crate) const ZERO: Self = Self([0; 8]);
    pub(crate) const ONE: Self = Self([0, 0, 0, 0, 0, 0, 1, 0]);
    /// 2 atanh(1/3).
    const LN_2: Self = {
        let mut power = Self::ONE.divided_by(3);
        let mut sum = power;
        let mut n = 3;
        while n < 260 {
            power = power.divided_by(9);
            sum = sum.plus(power.divided_by(n));
            n += 2;
        }
        sum.plus(sum)
    };

    pub(crate) const fn plus(self, other: Self) -> Self {
        let mut sum = [0; Self::LIMBS];
        let mut carry = 0;
        let mut i = 0;
        while i < Self::LIMBS {
            let limb = self.0[i] as u128 + other.0[i] as u128 + carry;
            sum[i] = limb as u64;
            carry = limb >> 64;
            i += 1;
        }
        Self(sum)
    }

    /// For other <= self.
    pub(crate) fn minus(self, other: Self) -> Self {
        let mut complement = other;
        for limb in &mut complement.0 {
            *limb = !*limb;
        }
        self.plus(complement).plus(Self([1, 0, 0, 0, 0, 0, 0, 0]))
    }

    pub(crate) fn less(self, other: Self) -> bool {
        self.0.iter().rev().lt(other.0.iter().rev())
    }

    const fn divided_by(self, divisor: u64) -> Self {
        if divisor == 0 {
            return Self::ZERO; // never; else a division could panic
        }
        let mut quotient = [0; Self::LIMBS];
        let mut rest = 0;
        let mut i = Self::LIMBS;
        while i > 0 {
            i -= 1;
            let part = (rest << 64) | self.0[i] as u128;
            quotient[i] = (part / divisor as u128) as u64;
            rest = part % divisor as u128;
        }
        Self(quotient)
    }

    pub(crate) fn times(self, other: Self) -> Self {
        let mut product = [0_u64; 2 * Self::LIMBS];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (to, &b) in product[i..].iter_mut().zip(&other.0) {
                let limb = u128::from(a) * u128::from(b) + u128::from(*to) + carry;
                *to = limb as u64;
                carry = limb >> 64;
            }
            if let Some(to) = product.get_mut(i + Self::LIMBS) {
                *to = carry as u64;
            }
        }
        let mut result = Self::ZERO;
        for (to, &from) in result.0.iter_mut().zip(&product[Self::FRACTION_LIMBS..]) {
            *to = from;
        }
        result
    }

    /// self / other, bit by bit, for self < other < 2^127.
    pub(crate) fn over(self, other: Self) -> Self {
        let (mut quotient, mut rest) = (Self::ZERO, self);
        for _ in 0..Self::FRACTION_BITS {
            quotient = quotient.plus(quotient);
            rest = rest.plus(rest);
            if !rest.less(other) {
                rest = rest.minus(other);
                quotient.0[0] |= 1;
            }
        }
        quotient
    }

    /// The bits of `mantissa` from the place `place` on, counted from the lowest.
    fn placed(mantissa: u64, place: usize) -> Self {
        let mut result = Self::ZERO;
        let wide = u128::from(mantissa) << (place % 64);
        for (limb, part) in [
            (place / 64, wide as u64),
            (place / 64 + 1, (wide >> 64) as u64),
        ] {
            if let Some(to) = result.0.get_mut(limb) {
                *to = part;
            }
        }
        result
    }

    /// A finite, non-negative number.
    pub(crate) fn of(value: f32) -> Self {
        let bits = value.to_bits();
        let (field, fraction) = (bits >> 23 & 0xff, bits & 0x7f_ffff);
        let normal = u32::from(field != 0);
        let place = Self::FRACTION_BITS - 149 + field.saturating_sub(1) as i32;
        Self::placed(u64::from(fraction | normal << 23), place as usize)
    }

    fn halved(self, times: u32) -> Self {
        let (limbs, bits) = ((times / 64) as usize, times % 64);
        let mut result = Self::ZERO;
        for (i, to) in result.0.iter_mut().enumerate() {
            let limb = |at: usize| self.0.get(at).copied().unwrap_or(0);
            let wide = u128::from(limb(i + limbs)) | u128::from(limb(i + limbs + 1)) << 64;
            *to = (wide >> bits) as u64;
        }
        result
    }

    /// The nearest `f32`, ties to even.
    pub(crate) fn to_f32(self) -> f32 {
        let Some(top) = self.0.iter().rposition(|&limb| limb != 0) else {
            return 0.0;
        };
        let highest = top as i32 * 64 + 63 - self.0[top].leading_zeros() as i32;
        // The places of the last bit kept, and of 2^-149.
        let last = (highest - 23).max(Self::FRACTION_BITS - 149);
        let kept = self.halved(last as u32).0[0];
        let rest = self.minus(Self::placed(kept, last as usize));
        let half = Self::placed(1, last as usize - 1);
        let up = half.less(rest) || rest == half && kept & 1 == 1;
        let scale = f64::from_bits(((1023 + last - Self::FRACTION_BITS) as u64) << 52);
        ((kept + u64::from(up)) as f64 * scale) as f32
    }

    /// e^-self for self <= 200.
    pub(crate) fn exp_of_minus(self) -> Self {
        let (mut multiple, mut k) = (Self::ZERO, 0);
        while multiple.less(self) {
            multiple = multiple.plus(Self::LN_2);
            k += 1;
        }
        let r = multiple.minus(self);
        let (mut term, mut sum) = (Self::ONE, Self::ONE);
        for n in 1..128 {
            term = term.times(r).divided_by(n);
            sum = sum.plus(term);
        }
        sum.halved(k)
    }

    /// ln(1 + self) = 2 atanh(self / (2 + self)) for self <= 1.
    pub(crate) fn log1p(self) -> Self {
        let x = self.over(Self::ONE.plus(Self::ONE).plus(self));
        let square = x.times(x);
        let (mut power, mut sum) = (x, x);
        for n in (3..260).step_by(2) {
            power = power.times(square);
            sum = sum.plus(power.divided_by(n));
        }
        sum.plus(sum)
    }

    /// The difference's sign and magnitude.
    pub(crate) fn difference(self, other: Self) -> (bool, Self) {
        if self.less(other) {
            (true, other.minus(self))
        } else {
            (false, self.minus(other))
        }
    }
}

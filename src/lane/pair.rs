//! Two lanes as one: every operation twice, side by side.
//!
//! The kernel is one long chain of dependent operations, longer than a CPU's
//! schedulers can look past. Two or, as pairs of pairs, four chains in alternation
//! keep the ports busy: `f32` sum + gradient at 16 K elements on Zen 4 takes 1.27,
//! .91 and .74 ns an element with one, two and four AVX2 lanes, .65, .64 and .60
//! with AVX-512. How many the walk uses is in `lane/x86.rs`, what others cost in
//! ARCHITECTURE.md.

use core::ops::{Add, Div, Mul, Neg, Sub};

use super::{Float, Fma, Job, Lane, Rows};

/// Two lanes: the first holds the elements before those of the second. One that `KEEPS` its constants is for
/// loops.
#[derive(Clone, Copy)]
pub(crate) struct Pair<L, const KEEPS: bool = false>(L, L);

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl<L: Lane, const KEEPS: bool> $trait for Pair<L, KEEPS> {
            type Output = Self;
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn $method(self, other: Self) -> Self {
                Self(self.0.$method(other.0), self.1.$method(other.1))
            }
        }
    };
}

operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

impl<L: Lane, const KEEPS: bool> Neg for Pair<L, KEEPS> {
    type Output = Self;
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg(self) -> Self {
        Self(-self.0, -self.1)
    }
}

/// The part of a slice that the second lane holds.
#[cfg_attr(not(debug_assertions), inline(always))]
fn second<L: Lane>(of: &[L::Real]) -> &[L::Real] {
    of.get(L::WIDTH..).unwrap_or(&[])
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn second_mut<L: Lane>(of: &mut [L::Real]) -> &mut [L::Real] {
    of.get_mut(L::WIDTH..).unwrap_or(&mut [])
}

impl<L: Lane, const KEEPS: bool> Lane for Pair<L, KEEPS> {
    type Real = L::Real;
    type Mask = (L::Mask, L::Mask);
    type Wide = Pair<L::Wide, KEEPS>;
    type Single = L::Single;
    const WIDTH: usize = 2 * L::WIDTH;
    const FOURS: bool = L::FOURS;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn max_bits_into(self, so_far: L::Single) -> L::Single {
        self.1.max_bits_into(self.0.max_bits_into(so_far))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn min_bits_into(self, so_far: L::Single) -> L::Single {
        self.1.min_bits_into(self.0.min_bits_into(so_far))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn max_upper_into(self, so_far: L::Single) -> L::Single {
        self.1.max_upper_into(self.0.max_upper_into(so_far))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn or_bits_into(self, so_far: L::Single) -> L::Single {
        self.1.or_bits_into(self.0.or_bits_into(so_far))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn splat(value: L::Real) -> Self {
        let lane = if KEEPS {
            L::splat_kept(value)
        } else {
            L::splat(value)
        };
        Self(lane, lane)
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn keep(value: L::Real) {
        L::keep(value);
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn splat_kept(value: L::Real) -> Self {
        let lane = L::splat_kept(value);
        Self(lane, lane)
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn splat_anew(value: L::Real) -> Self {
        let lane = L::splat_anew(value);
        Self(lane, lane)
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of_single(single: L::Single) -> Self {
        Self(L::of_single(single), L::splat(L::Real::ZERO))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn load(from: &[L::Real]) -> Self {
        Self(L::load(from), L::load(second::<L>(from)))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn store(self, to: &mut [L::Real]) {
        self.0.store(to);
        self.1.store(second_mut::<L>(to));
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn stream(self, to: &mut [L::Real]) {
        self.0.stream(to);
        self.1.stream(second_mut::<L>(to));
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma(self, factor: Self, addend: Self) -> Self {
        if L::FOURS {
            return side_by_side(Fma::Any, self, factor, addend);
        }
        Self(
            self.0.fma(factor.0, addend.0),
            self.1.fma(factor.1, addend.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma_2(kind: Fma, [a, b]: [Self; 2], [c, d]: [Self; 2], [e, f]: [Self; 2]) -> [Self; 2] {
        let (a, b) = ([a.0, a.1, b.0, b.1], [c.0, c.1, d.0, d.1]);
        let [p, q, r, s] = L::fma_4(kind, a, b, [e.0, e.1, f.0, f.1]);
        [Self(p, q), Self(r, s)]
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg_fma(self, factor: Self, addend: Self) -> Self {
        if L::FOURS {
            return side_by_side(Fma::Any, -self, factor, addend);
        }
        Self(
            self.0.neg_fma(factor.0, addend.0),
            self.1.neg_fma(factor.1, addend.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn abreast(self) -> Self {
        if !KEEPS {
            return self;
        }
        let (a, b) = L::abreast_2(self.0, self.1);
        Self(a, b)
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn abreast_2(a: Self, b: Self) -> (Self, Self) {
        let (p, q, r, s) = L::abreast_4(a.0, a.1, b.0, b.1);
        (Self(p, q), Self(r, s))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma_cancelling(self, factor: Self, addend: Self) -> Self {
        if L::FOURS {
            return side_by_side(Fma::Cancelling, self, factor, addend);
        }
        Self(
            self.0.fma_cancelling(factor.0, addend.0),
            self.1.fma_cancelling(factor.1, addend.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg_fma_cancelling(self, factor: Self, addend: Self) -> Self {
        if L::FOURS {
            return side_by_side(Fma::Cancelling, -self, factor, addend);
        }
        Self(
            self.0.neg_fma_cancelling(factor.0, addend.0),
            self.1.neg_fma_cancelling(factor.1, addend.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma_near(self, factor: Self, addend: Self) -> Self {
        if L::FOURS {
            return side_by_side(Fma::Near, self, factor, addend);
        }
        Self(
            self.0.fma_near(factor.0, addend.0),
            self.1.fma_near(factor.1, addend.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg_fma_near(self, factor: Self, addend: Self) -> Self {
        if L::FOURS {
            return side_by_side(Fma::Near, -self, factor, addend);
        }
        Self(
            self.0.neg_fma_near(factor.0, addend.0),
            self.1.neg_fma_near(factor.1, addend.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn neg_fma_integer(self, factor: Self, addend: Self) -> Self {
        if L::FOURS {
            return side_by_side(Fma::NegInteger, self, factor, addend);
        }
        Self(
            self.0.neg_fma_integer(factor.0, addend.0),
            self.1.neg_fma_integer(factor.1, addend.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn fma_of_exact(self, factor: Self, addend: Self) -> Self {
        Self(
            self.0.fma_of_exact(factor.0, addend.0),
            self.1.fma_of_exact(factor.1, addend.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn round_product(self, factor: Self) -> (Self, Self) {
        if L::ROUNDS {
            let (first, second) = (
                self.0.round_product(factor.0),
                self.1.round_product(factor.1),
            );
            return (Self(first.0, second.0), Self(first.1, second.1));
        }
        let rounder = Self::splat(L::Real::ROUNDER);
        let rounded = self.fma(factor, rounder);
        (rounded, rounded - Self::splat(L::Real::ROUNDER_OF_HI))
    }
    const ROUNDS: bool = L::ROUNDS;
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn abs(self) -> Self {
        Self(self.0.abs(), self.1.abs())
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn max_or(self, other: Self) -> Self {
        Self(self.0.max_or(other.0), self.1.max_or(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn min_or(self, other: Self) -> Self {
        Self(self.0.min_or(other.0), self.1.min_or(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn greater(self, other: Self) -> Self::Mask {
        (self.0.greater(other.0), self.1.greater(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn equal(self, other: Self) -> Self::Mask {
        (self.0.equal(other.0), self.1.equal(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
        Self(
            L::select(mask.0, yes.0, no.0),
            L::select(mask.1, yes.1, no.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn first(count: usize) -> Self::Mask {
        (L::first(count), L::first(count.saturating_sub(L::WIDTH)))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn select_negative(self, negative: Self, nonnegative: Self) -> Self {
        Self(
            self.0.select_negative(negative.0, nonnegative.0),
            self.1.select_negative(negative.1, nonnegative.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn step(self) -> Self {
        Self(self.0.step(), self.1.step())
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn sign_of_minus(self) -> Self {
        Self(self.0.sign_of_minus(), self.1.sign_of_minus())
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn step_and_positive(self) -> (Self, Self) {
        let (first, second) = (self.0.step_and_positive(), self.1.step_and_positive());
        (Self(first.0, second.0), Self(first.1, second.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_with_sign_of_minus(self, of: Self, addend: Self) -> Self {
        Self(
            self.0.add_with_sign_of_minus(of.0, addend.0),
            self.1.add_with_sign_of_minus(of.1, addend.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn with_sign(self, sign: Self) -> Self {
        Self(self.0.with_sign(sign.0), self.1.with_sign(sign.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn add_bits(self, other: Self) -> Self {
        Self(self.0.add_bits(other.0), self.1.add_bits(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn sub_bits(self, other: Self) -> Self {
        Self(self.0.sub_bits(other.0), self.1.sub_bits(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn low_bits_to_exponent(self) -> Self {
        Self(self.0.low_bits_to_exponent(), self.1.low_bits_to_exponent())
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exp_table(self) -> Self {
        Self(self.0.exp_table(), self.1.exp_table())
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn eighths_to_exponent(self) -> Self {
        Self(self.0.eighths_to_exponent(), self.1.eighths_to_exponent())
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exponent_to_low_bits(self) -> Self {
        Self(self.0.exponent_to_low_bits(), self.1.exponent_to_low_bits())
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn and_bits(self, other: Self) -> Self {
        Self(self.0.and_bits(other.0), self.1.and_bits(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn or_bits(self, other: Self) -> Self {
        Self(self.0.or_bits(other.0), self.1.or_bits(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn xor_bits(self, other: Self) -> Self {
        Self(self.0.xor_bits(other.0), self.1.xor_bits(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn max_bits(self, other: Self) -> Self {
        Self(self.0.max_bits(other.0), self.1.max_bits(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn min_bits(self, other: Self) -> Self {
        Self(self.0.min_bits(other.0), self.1.min_bits(other.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn reduce_max_bits(self) -> u64 {
        self.0.max_bits(self.1).reduce_max_bits()
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn reduce_min_bits(self) -> u64 {
        self.0.min_bits(self.1).reduce_min_bits()
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn reduce_add_bits(self) -> i64 {
        self.0.add_bits(self.1).reduce_add_bits()
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn exceeds_bits(self, limit: Self) -> bool {
        self.0.max_bits(self.1).exceeds_bits(limit.0)
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn scale(self, rounded: Self, exponent: Self) -> Self {
        Self(
            self.0.scale(rounded.0, exponent.0),
            self.1.scale(rounded.1, exponent.1),
        )
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn widen(self) -> (Self::Wide, Self::Wide) {
        let (first, second) = (self.0.widen(), self.1.widen());
        (Pair(first.0, second.0), Pair(first.1, second.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn load_widened(from: &[L::Real]) -> (Self::Wide, Self::Wide) {
        let (low, high) = from.split_at_checked(L::WIDTH).unwrap_or((from, &[]));
        let (first, second) = (L::load_widened(low), L::load_widened(high));
        (Pair(first.0, second.0), Pair(first.1, second.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn spread(self) -> (Self::Wide, Self::Wide) {
        let (first, second) = (self.0.spread(), self.1.spread());
        (Pair(first.0, second.0), Pair(first.1, second.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn load_spread(from: &[L::Real]) -> (Self::Wide, Self::Wide) {
        let (low, high) = from.split_at_checked(L::WIDTH).unwrap_or((from, &[]));
        let (first, second) = (L::load_spread(low), L::load_spread(high));
        (Pair(first.0, second.0), Pair(first.1, second.1))
    }
    const SPREAD_LOG2: i32 = L::SPREAD_LOG2;
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn narrow(low: Self::Wide, high: Self::Wide) -> Self {
        Self(L::narrow(low.0, high.0), L::narrow(low.1, high.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn low_words(low: Self::Wide, high: Self::Wide) -> Self {
        Self(L::low_words(low.0, high.0), L::low_words(low.1, high.1))
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn run_outlined<J: Job>(self, job: J) -> J::Output {
        self.0.run_outlined(job)
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn reduce_exact_sum(self) -> L::Real {
        (self.0 + self.1).reduce_exact_sum()
    }
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn sum_rows<R: Rows<Self>>(rows: R) -> L::Single {
        L::sum_rows(Halved::<_, KEEPS>(rows))
    }
}

/// An fma where `Lane::FOURS`.
#[cfg_attr(not(debug_assertions), inline(always))]
fn side_by_side<L: Lane, const KEEPS: bool>(
    kind: Fma,
    a: Pair<L, KEEPS>,
    b: Pair<L, KEEPS>,
    c: Pair<L, KEEPS>,
) -> Pair<L, KEEPS> {
    let [first, second] = L::fma_2(kind, [a.0, a.1], [b.0, b.1], [c.0, c.1]);
    Pair(first, second)
}

/// The two lanes of each row added.
struct Halved<R, const KEEPS: bool>(R);

impl<L: Lane, const KEEPS: bool, R: Rows<Pair<L, KEEPS>>> Rows<L> for Halved<R, KEEPS> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn next_row(&mut self) -> L {
        let Pair(low, high) = self.0.next_row();
        low + high
    }
}

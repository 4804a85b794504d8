//! The loss above its least value for the target: the excess.
//!
//! With q = sigmoid(-|z|), p = 1 - q, u = (z < 0 ? t : 1 - t) and v = 1 - u it is
//!
//! ```text
//! KL(t || sigmoid(z)) = u ln(u/q) + v ln(v/p) = D(u, q) + D(v, p),
//! D(x, y) = x ln(x/y) - x + y >= 0
//! ```
//!
//! since the linear parts add up to 0. With d = q - u, the gradient but for its sign:
//!
//! * Where q/u and p/v are near 1: D(x, y) = x (r - ln(1 + r)), r = +-d/x, by the
//!   polynomial of ln. Nothing cancels: the excess is about d^2/(2 p q), and its
//!   error about d times that of d.
//! * Where they are not: by the logarithms, without the linear parts, so that
//!   the error of d has no part in it.
//! * Where u is small, p/v may be near 1 and q/u not: D(v, p) by the polynomial,
//!   D(u, q) by the logarithms.
//!
//! ln q = -(|z| + log1p(e)) is not taken from q, which may be subnormal.

use crate::coeffs::double;
use crate::exact::two_sum;
use crate::kernel::{Begun, Plain, Point, Pointwise, Sum, Tail, horner, limit, nan_like};
use crate::kernel::{splat, split};
use crate::lane::{Constants, Isa, Job, Lane};

/// The polynomial of ln(1 + r) holds for |r| up to here: 1 - sqrt(1/2) is larger.
const NEAR: f64 = 0.29;

/// x (r - ln(1 + r)) where `near`, else x ln(x/y) + `linear`, with ln y = -(a + `log1p`).
#[inline(always)]
fn divergence<W: Lane<Real = f64>>(near: W::Mask, x: W, r: W, linear: W, a: W, log1p: Sum<W>) -> W {
    let (k, g) = split(x);
    let g = W::select(near, r, g);
    let (square, tail) = (g * g, horner(&double::LN, g));
    let by_polynomial = x * -(square * tail);
    // a and k ln 2 may cancel, and then do so exactly.
    let sum = two_sum(k.fma(splat(double::LN2_HI), a), log1p.high);
    let low = sum.low + (log1p.low + tail.fma(square, k * splat(double::LN2_LO)));
    let sum = two_sum(sum.high, g);
    let logarithm = sum.high + (sum.low + low);
    W::select(near, by_polynomial, x.fma(logarithm, linear))
}

/// The excess in `f64`.
#[inline(always)]
fn excess<W: Lane<Real = f64>>(z: W, t: W) -> W {
    let (zero, one, sign_bit) = (splat::<W>(0.0), splat::<W>(1.0), splat::<W>(-0.0));
    let minus_a = z.or_bits(sign_bit);
    let begun = Plain.begin::<W, true>(z);
    let log1p = Tail::new::<true>(minus_a, begun).log1p;
    let plain = Plain.finish::<W, true>(z, t, begun);
    let minus_d = plain.gradient.xor_bits(z.and_bits(sign_bit));
    let d = minus_d.xor_bits(sign_bit);

    let complement = one - t;
    // What 1 - t lost.
    let lost = (one - complement) - t;
    let (u, v) = (
        z.select_negative(t, complement),
        z.select_negative(complement, t),
    );
    let (r_u, r_v) = (d / u, minus_d / v);
    let (limit_r, r_both) = (splat::<W>(NEAR), r_u.abs().max_or(r_v.abs()));
    let small_u = splat::<W>(0.125).greater(u);
    let near_u = limit_r.greater(r_both);
    let near_v = limit_r.greater(W::select(small_u, r_v.abs(), r_both));
    // Without `near_v` there is no `near_u`.
    let (linear_u, linear_v) = (W::select(near_v, d, lost), W::select(near_v, minus_d, zero));
    let sum = divergence(near_u, u, r_u, linear_u, -minus_a, log1p)
        + divergence(near_v, v, r_v, linear_v, zero, log1p);
    let sum = nan_like::<W, true>(z, limit::<W, true>(minus_a, u, sum));
    // Hard labels: the entropy is 0.
    let sum = W::select(t.equal(zero), plain.loss, sum);
    W::select(t.equal(one), plain.loss, sum)
}

/// One lane, out of line: inlined into each form of the walk it is minutes of compilation.
struct Lanes<'a, T> {
    z: &'a [T],
    t: &'a [T],
    excess: &'a mut [T],
}

impl<T: Constants> Job for Lanes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let width = <T::Lane<I>>::WIDTH;
        let (mut z, mut t) = (self.z.chunks_exact(width), self.t.chunks_exact(width));
        let mut excesses = self.excess.chunks_exact_mut(width);
        // Zipped, they divide by `width` where that is not inlined.
        while let (Some(z), Some(t), Some(to)) = (z.next(), t.next(), excesses.next()) {
            let (z, t) = (<T::Lane<I>>::load_widened(z), <T::Lane<I>>::load_widened(t));
            let low = excess(z.0, t.0);
            let high = if <T::Lane<I>>::HALVES == 2 {
                excess(z.1, t.1)
            } else {
                low
            };
            <T::Lane<I>>::narrow(low, high).store(to);
        }
    }
}

/// `Plain` with the excess as its loss.
#[derive(Clone, Copy)]
pub(crate) struct Excess;

impl<T: Constants> Pointwise<T> for Excess {
    const READS_TARGET: bool = true;
    const OPTIONS: bool = true;

    #[inline(always)]
    fn begin<L: Lane<Real = T>, const FULL: bool>(&self, z: L) -> Begun<L> {
        Plain.begin::<L, FULL>(z)
    }

    #[inline(always)]
    fn finish<L: Lane<Real = T>, const FULL: bool>(&self, z: L, t: L, begun: Begun<L>) -> Point<L> {
        const WIDEST: usize = 32;
        const { assert!(L::WIDTH <= WIDEST) };
        let (mut z_values, mut t_values) = ([T::ZERO; WIDEST], [T::ZERO; WIDEST]);
        let mut excess = [T::ZERO; WIDEST];
        z.store(&mut z_values);
        t.store(&mut t_values);
        z.apart(Lanes {
            z: z_values.get(..L::WIDTH).unwrap_or(&[]),
            t: &t_values,
            excess: &mut excess,
        });
        Point {
            loss: L::load(&excess),
            ..Plain.finish::<L, FULL>(z, t, begun)
        }
    }
}
